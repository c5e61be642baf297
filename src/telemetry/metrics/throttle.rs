//! The metrics of limits and quotas.

use metrics::{Counter, Gauge};

use super::{Metric, Registry};
use crate::edge::gate::throttle::measure::Level;

metric!(
    THROTTLED,
    "forebay_throttled_total",
    None,
    "Requests and messages that were refused because they were too much, by the limit that they ran into."
);
metric!(
    QUOTA_USED_RECORDS,
    "forebay_quota_used_records",
    None,
    "Records that count in this period of a quota."
);
metric!(
    QUOTA_USED_BYTES,
    "forebay_quota_used_bytes",
    Some(metrics::Unit::Bytes),
    "Bytes that count in this period of a quota."
);
metric!(QUOTA_LIMIT_RECORDS, "forebay_quota_limit_records", None, "Records that a quota allows in a period.");
metric!(
    QUOTA_LIMIT_BYTES,
    "forebay_quota_limit_bytes",
    Some(metrics::Unit::Bytes),
    "Bytes that a quota allows in a period."
);

pub(super) const COUNTERS: &[Metric] = &[THROTTLED];
pub(super) const GAUGES: &[Metric] =
    &[QUOTA_USED_RECORDS, QUOTA_USED_BYTES, QUOTA_LIMIT_RECORDS, QUOTA_LIMIT_BYTES];

/// Handles of the limits.
#[derive(Debug, Clone)]
pub struct ThrottleMetrics {
    by_level: [Counter; Level::WORDS.len()],
    /// Refused because a quota is used up.
    pub quota: Counter,
    /// Refused because others come first.
    pub fair_share: Counter,
}

impl ThrottleMetrics {
    /// Refused because of the buckets of a level.
    pub fn level(&self, level: &Level) -> &Counter {
        &self.by_level[level.index()]
    }
}

/// Handles of one principal's quota.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct QuotaMetrics {
    pub used_records: Gauge,
    pub used_bytes: Gauge,
    pub limit_records: Gauge,
    pub limit_bytes: Gauge,
}

impl Registry {
    /// The metrics of limits.
    pub fn throttle(&self) -> ThrottleMetrics {
        let refused = |limit: &str| self.counter(THROTTLED, &[("limit", limit)]);
        ThrottleMetrics {
            by_level: Level::WORDS.map(refused),
            quota: refused("quota"),
            fair_share: refused("fair_share"),
        }
    }

    /// The gauges of the quota of a principal.
    pub fn quota(&self, kind: &str, principal: &str) -> QuotaMetrics {
        let gauge = |metric| self.gauge(metric, &[("kind", kind), ("principal", principal)]);
        QuotaMetrics {
            used_records: gauge(QUOTA_USED_RECORDS),
            used_bytes: gauge(QUOTA_USED_BYTES),
            limit_records: gauge(QUOTA_LIMIT_RECORDS),
            limit_bytes: gauge(QUOTA_LIMIT_BYTES),
        }
    }
}
