//! The metrics of the HTTP authorizer.

use metrics::Counter;

use super::{Metric, Registry};

metric!(
    AUTHORIZER_CALLS,
    "forebay_authorizer_calls_total",
    None,
    "Calls of the HTTP authorizer, by what came of them: allow, deny or unavailable."
);
metric!(
    AUTHORIZER_CACHED,
    "forebay_authorizer_cached_total",
    None,
    "Requests that a decision was kept for, so that the HTTP authorizer was not called."
);

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[AUTHORIZER_CALLS, AUTHORIZER_CACHED];

/// Handles of the HTTP authorizer.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the metric of that name at the top of this file, by its label"
)]
pub struct AuthorizerMetrics {
    pub allowed: Counter,
    pub denied: Counter,
    pub unavailable: Counter,
    pub cached: Counter,
}

impl Registry {
    /// The metrics of the HTTP authorizer.
    pub fn authorizer(&self) -> AuthorizerMetrics {
        let calls = |result| self.counter(AUTHORIZER_CALLS, &[("result", result)]);
        AuthorizerMetrics {
            allowed: calls("allow"),
            denied: calls("deny"),
            unavailable: calls("unavailable"),
            cached: self.counter(AUTHORIZER_CACHED, &[]),
        }
    }
}
