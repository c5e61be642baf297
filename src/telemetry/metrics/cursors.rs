//! The metrics of named cursors.

use metrics::{Counter, Gauge};

use super::{Metric, Registry};

metric!(
    CURSOR_LAG,
    "forebay_cursor_lag_records",
    None,
    "Records that the workers of a named cursor have not said to be done."
);
metric!(
    CURSOR_LEASES,
    "forebay_cursor_leased_shards",
    None,
    "Shards that some worker of a named cursor has."
);
metric!(
    CURSOR_TAKEOVERS,
    "forebay_cursor_takeovers_total",
    None,
    "Shards that went to another worker of a named cursor because a lease was over."
);
metric!(
    CURSOR_COMMITS,
    "forebay_cursor_commits_total",
    None,
    "Checkpoints of a named cursor that have moved it."
);
metric!(
    CURSOR_REFUSED,
    "forebay_cursor_lost_commits_total",
    None,
    "Checkpoints of workers that did not have all of the shards any more."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[CURSOR_TAKEOVERS, CURSOR_COMMITS, CURSOR_REFUSED];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[CURSOR_LAG, CURSOR_LEASES];

/// Handles of one cursor.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct CursorMetrics {
    pub lag: Gauge,
    pub leases: Gauge,
    pub takeovers: Counter,
    pub commits: Counter,
    pub lost: Counter,
}

impl CursorMetrics {
    /// Handles that count nothing.
    pub fn noop() -> Self {
        let (gauge, counter) = (Gauge::noop, Counter::noop);
        Self { lag: gauge(), leases: gauge(), takeovers: counter(), commits: counter(), lost: counter() }
    }
}

impl Registry {
    /// The metrics of a named cursor.
    pub fn cursor(&self, stream: &str, cursor: &str) -> CursorMetrics {
        let labels = [("stream", stream), ("cursor", cursor)];
        CursorMetrics {
            lag: self.gauge(CURSOR_LAG, &labels),
            leases: self.gauge(CURSOR_LEASES, &labels),
            takeovers: self.counter(CURSOR_TAKEOVERS, &labels),
            commits: self.counter(CURSOR_COMMITS, &labels),
            lost: self.counter(CURSOR_REFUSED, &labels),
        }
    }
}
