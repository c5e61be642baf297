//! The metrics of named cursors.

use std::fmt::Write;
use std::sync::Arc;

use metrics::Counter;

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
metric!(CURSOR_COMMITS, "forebay_cursor_commits_total", None, "Checkpoints that have moved a named cursor.");
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

/// Handles of all cursors of a stream. Clients make and delete cursors at will, and what a registry counts stays.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct CursorMetrics {
    pub takeovers: Counter,
    pub commits: Counter,
    pub lost: Counter,
}

impl CursorMetrics {
    /// Handles that count nothing.
    pub fn noop() -> Self {
        Self { takeovers: Counter::noop(), commits: Counter::noop(), lost: Counter::noop() }
    }
}

impl Registry {
    /// The metrics of the named cursors of a stream.
    pub fn cursors(&self, stream: &str) -> CursorMetrics {
        let labels = [("stream", stream)];
        CursorMetrics {
            takeovers: self.counter(CURSOR_TAKEOVERS, &labels),
            commits: self.counter(CURSOR_COMMITS, &labels),
            lost: self.counter(CURSOR_REFUSED, &labels),
        }
    }
}

/// The gauges of one cursor that is there.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the numbers are the metrics of that name at the top of this file, the others labels"
)]
pub struct CursorGauges {
    pub stream: Arc<str>,
    pub cursor: Arc<str>,
    pub lag: u64,
    pub leases: u64,
}

type Value = fn(&CursorGauges) -> u64;

/// Appends the gauges of the cursors that are there in the Prometheus text form: a registry would go on showing those
/// that are gone. The names of streams and cursors have no character that had to be escaped.
pub fn render_cursors(text: &mut String, cursors: &[CursorGauges]) {
    if cursors.is_empty() {
        return;
    }
    let gauges: [(Metric, Value); 2] =
        [(CURSOR_LAG, |cursor| cursor.lag), (CURSOR_LEASES, |cursor| cursor.leases)];
    for (Metric { name, help, .. }, value) in gauges {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for gauges in cursors {
            let (CursorGauges { stream, cursor, .. }, value) = (gauges, value(gauges));
            let _ = writeln!(text, "{name}{{stream=\"{stream}\",cursor=\"{cursor}\"}} {value}");
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cursor_has_a_line_for_each_gauge_and_none_is_no_text() {
        let mut text = String::new();
        render_cursors(&mut text, &[]);
        assert_eq!(text, "");
        let gauges = |cursor: &str, lag, leases| CursorGauges {
            stream: "s".into(),
            cursor: cursor.into(),
            lag,
            leases,
        };
        render_cursors(&mut text, &[gauges("a", 5, 1), gauges("b", 0, 2)]);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE forebay_cursor_lag_records gauge",
                "forebay_cursor_lag_records{stream=\"s\",cursor=\"a\"} 5",
                "forebay_cursor_lag_records{stream=\"s\",cursor=\"b\"} 0",
                "",
                "# TYPE forebay_cursor_leased_shards gauge",
                "forebay_cursor_leased_shards{stream=\"s\",cursor=\"a\"} 1",
                "forebay_cursor_leased_shards{stream=\"s\",cursor=\"b\"} 2",
                "",
            ]
        );
    }
}
