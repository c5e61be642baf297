//! The metrics of issuers of JSON Web Tokens.

use metrics::{Counter, Gauge};

use super::{Metric, Registry};

metric!(
    JWT_REFRESHES,
    "forebay_jwt_key_refreshes_total",
    None,
    "Fetches of the keys of an issuer, by outcome: ok, unreachable, status, too_large or invalid."
);
metric!(JWT_KEYS, "forebay_jwt_keys", None, "Keys of an issuer that tokens are checked with.");
metric!(
    JWT_KEYS_AGE,
    "forebay_jwt_keys_age_seconds",
    Some(metrics::Unit::Seconds),
    "Time since the keys of an issuer were fetched."
);
metric!(
    JWT_TOKENS,
    "forebay_jwt_tokens_total",
    None,
    "Tokens that were taken, by what has told that they are right: the cache or their signature."
);
metric!(JWT_REFUSED, "forebay_jwt_refused_total", None, "Tokens that were refused, by reason.");

/// See [`Registry::new`].
pub(super) const COUNTERS: &[Metric] = &[JWT_REFRESHES, JWT_TOKENS, JWT_REFUSED];
/// See [`Registry::new`].
pub(super) const GAUGES: &[Metric] = &[JWT_KEYS, JWT_KEYS_AGE];

/// Handles of the keys of one issuer.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct JwtKeyMetrics {
    pub ok: Counter,
    pub unreachable: Counter,
    pub status: Counter,
    pub too_large: Counter,
    pub invalid: Counter,
    pub keys: Gauge,
    pub age: Gauge,
}

impl JwtKeyMetrics {
    /// Fetches with that outcome.
    pub fn failed(&self, outcome: &'static str) -> &Counter {
        match outcome {
            "unreachable" => &self.unreachable,
            "status" => &self.status,
            "too_large" => &self.too_large,
            _ => &self.invalid,
        }
    }
}

impl Registry {
    /// The metrics of the keys of an issuer.
    pub fn jwt_keys(&self, issuer: &str) -> JwtKeyMetrics {
        let outcome = |outcome| self.counter(JWT_REFRESHES, &[("issuer", issuer), ("outcome", outcome)]);
        JwtKeyMetrics {
            ok: outcome("ok"),
            unreachable: outcome("unreachable"),
            status: outcome("status"),
            too_large: outcome("too_large"),
            invalid: outcome("invalid"),
            keys: self.gauge(JWT_KEYS, &[("issuer", issuer)]),
            age: self.gauge(JWT_KEYS_AGE, &[("issuer", issuer)]),
        }
    }

    /// `forebay_jwt_tokens_total` of what has told that they are right.
    pub fn jwt_tokens(&self, by: &'static str) -> Counter {
        self.counter(JWT_TOKENS, &[("by", by)])
    }

    /// `forebay_jwt_refused_total` of one reason.
    pub fn jwt_refused(&self, reason: &'static str) -> Counter {
        self.counter(JWT_REFUSED, &[("reason", reason)])
    }
}
