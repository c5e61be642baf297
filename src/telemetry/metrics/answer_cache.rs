//! The metrics of the cache of answers.

use metrics::{Counter, Gauge, Unit};

use super::{Metric, Registry};

metric!(
    REQUESTS,
    "forebay_answer_cache_requests_total",
    None,
    "Requests for answers that may be kept, by what the cache did: hit, collapsed, miss or refreshed."
);
metric!(
    EVICTED,
    "forebay_answer_cache_evicted_total",
    None,
    "Answers that went because there was no room for more, whether or not their time was over."
);
metric!(ANSWERS, "forebay_answer_cache_answers", None, "Answers that are kept.");
metric!(
    BYTES,
    "forebay_answer_cache_bytes",
    Some(Unit::Bytes),
    "Bytes of answers that are kept, or went and are still being sent."
);
metric!(
    CAPACITY,
    "forebay_answer_cache_capacity_bytes",
    Some(Unit::Bytes),
    "Bytes of answers that may be kept: `[cache] max_bytes`."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[REQUESTS, EVICTED];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[ANSWERS, BYTES, CAPACITY];

/// Handles of the cache of answers.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the metric of that name at the top of this file, by its label"
)]
pub struct AnswerCacheMetrics {
    pub hits: Counter,
    pub collapsed: Counter,
    pub misses: Counter,
    pub refreshed: Counter,
    pub evicted: Counter,
    pub answers: Gauge,
    pub bytes: Gauge,
    pub capacity: Gauge,
}

impl Registry {
    /// The metrics of the cache of answers.
    pub fn answer_cache(&self) -> AnswerCacheMetrics {
        let requests = |outcome| self.counter(REQUESTS, &[("outcome", outcome)]);
        AnswerCacheMetrics {
            hits: requests("hit"),
            collapsed: requests("collapsed"),
            misses: requests("miss"),
            refreshed: requests("refreshed"),
            evicted: self.counter(EVICTED, &[]),
            answers: self.gauge(ANSWERS, &[]),
            bytes: self.gauge(BYTES, &[]),
            capacity: self.gauge(CAPACITY, &[]),
        }
    }
}
