//! The metrics of functions that records go through.

use std::sync::Arc;

use metrics::{Counter, Gauge};

use super::{Metric, Registry};
use crate::telemetry::trace::Tracer;

metric!(
    FUNCTION_RECORDS,
    "forebay_function_records_total",
    None,
    "Records of a stream that have gone through a function, by what became of them: ok, dropped, failed, or lost from the log before."
);
metric!(
    FUNCTION_CALLS,
    "forebay_function_calls_total",
    None,
    "Calls of a function, by outcome: ok or error."
);
metric!(
    FUNCTION_LAG,
    "forebay_function_lag_records",
    None,
    "Records of a stream that have not gone through its function yet."
);
metric!(
    FUNCTION_FAILING,
    "forebay_function_failing",
    None,
    "Whether the last call of a function for a stream has failed."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[FUNCTION_RECORDS, FUNCTION_CALLS];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[FUNCTION_LAG, FUNCTION_FAILING];

/// Handles of a function that the records of one stream go through.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the metric of that name at the top of this file, but for what takes spans"
)]
pub struct FunctionMetrics {
    pub ok: Counter,
    pub dropped: Counter,
    pub failed: Counter,
    pub lost: Counter,
    pub calls: Counter,
    pub errors: Counter,
    pub lag: Gauge,
    pub failing: Gauge,
    pub tracer: Option<Arc<Tracer>>,
}

impl Registry {
    /// The metrics of a function for the records of a stream.
    pub fn function(&self, stream: &str, function: &str) -> FunctionMetrics {
        let records = |result| {
            self.counter(FUNCTION_RECORDS, &[("stream", stream), ("function", function), ("result", result)])
        };
        let calls = |outcome| {
            self.counter(FUNCTION_CALLS, &[("stream", stream), ("function", function), ("outcome", outcome)])
        };
        let gauge = |metric| self.gauge(metric, &[("stream", stream), ("function", function)]);
        FunctionMetrics {
            ok: records("ok"),
            dropped: records("dropped"),
            failed: records("failed"),
            lost: records("lost"),
            calls: calls("ok"),
            errors: calls("error"),
            lag: gauge(FUNCTION_LAG),
            failing: gauge(FUNCTION_FAILING),
            tracer: self.tracer().cloned(),
        }
    }
}
