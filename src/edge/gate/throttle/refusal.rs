//! Why a request is too much, for people and for programs.
//!
//! The fields are those of the Internet draft "RateLimit header fields for HTTP", version 11
//! (draft-ietf-httpapi-ratelimit-headers): `RateLimit-Policy` tells the limit, `RateLimit` what is left of it. The
//! draft has no unit for records; theirs is `records` here.

use std::fmt;
use std::time::Duration;

use super::account::Short;
use super::measure::{Flow, Level, Measure};
use crate::config::checked::{Allowance, Period, Quota, Rate};

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A bucket.
    Rate(Flow, Measure),
    /// What is left of a period.
    Quota(Measure),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    level: Level,
    short: Short,
    /// What the bucket holds and how it fills, or what the period has and how long it is in seconds.
    policy: (Rate, u64),
}

/// The largest integer of a structured field (RFC 9651): 15 digits.
const FIELD_INTEGER_MAX: u64 = 999_999_999_999_999;

impl Refusal {
    /// Of an account that is `short`.
    pub fn new(level: Level, allowance: &Allowance, short: Short) -> Self {
        let none = Rate { a_second: 0, burst: 0 };
        let policy = match short.reason {
            Reason::Rate(flow, measure) => (measure.rate(flow.rates(&allowance.limit)).unwrap_or(none), 1),
            Reason::Quota(measure) => allowance.quota.map_or((none, 1), |quota| of_quota(&quota, measure)),
        };
        Self { level, short, policy }
    }

    /// Whose limit it is.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// Whether the quota of a period is used up.
    pub fn is_quota(&self) -> bool {
        matches!(self.short.reason, Reason::Quota(_))
    }

    /// How long the same would be refused if nothing else came.
    pub fn wait(&self) -> Duration {
        self.short.wait
    }

    /// Whole seconds after which it is worth trying again. Rounded up: what is asked for too early is asked for twice.
    pub fn retry_after_seconds(&self) -> u64 {
        let part = u64::from(self.short.wait.subsec_nanos() > 0);
        self.short.wait.as_secs().saturating_add(part).max(1)
    }

    /// The name of the limit without that of its holder: `principal.records_per_second`.
    pub fn policy_name(&self) -> String {
        format!("{}.{}", self.level.word(), Setting(self.short.reason))
    }

    /// The value of `RateLimit-Policy`.
    pub fn policy_field(&self) -> String {
        let (rate, window_seconds) = self.policy;
        let (name, unit) = (self.policy_name(), self.measure().unit());
        let quota = rate.a_second.min(FIELD_INTEGER_MAX);
        let mut field = format!("\"{name}\";q={quota};qu=\"{unit}\";w={window_seconds}");
        if !self.is_quota() && rate.burst != rate.a_second {
            field.push_str(&format!(";forebay-burst={}", rate.burst.min(FIELD_INTEGER_MAX)));
        }
        field
    }

    /// The value of `RateLimit`.
    pub fn limit_field(&self) -> String {
        let left = self.short.left.min(FIELD_INTEGER_MAX);
        format!("\"{}\";r={left};t={}", self.policy_name(), self.retry_after_seconds())
    }

    fn measure(&self) -> Measure {
        match self.short.reason {
            Reason::Rate(_, measure) | Reason::Quota(measure) => measure,
        }
    }
}

fn of_quota(quota: &Quota, measure: Measure) -> (Rate, u64) {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    let all = if measure == Measure::Bytes { quota.bytes } else { quota.records }.unwrap_or_default();
    let days = match quota.period {
        Period::Day => 1,
        // The draft knows no months: the longest.
        Period::Month => 31,
    };
    (Rate { a_second: all, burst: all }, days * DAY_SECONDS)
}

/// The setting's name.
struct Setting(Reason);

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Rate(Flow::Ingest, measure) => write!(f, "{}_per_second", measure.noun()),
            Reason::Rate(Flow::Tap, measure) => write!(f, "tap.{}_per_second", measure.noun()),
            Reason::Quota(measure) => write!(f, "quota.{}", measure.noun()),
        }
    }
}

/// Which limit it is: `principal mobile: records_per_second`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, Setting(self.short.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Limit, Rates};

    fn allowance() -> Allowance {
        let records = Some(Rate { a_second: 100, burst: 200 });
        let bytes = Some(Rate { a_second: u64::MAX, burst: u64::MAX });
        let rates = Rates { records, bytes, requests: None };
        let quota = Quota { records: Some(1_000), bytes: None, period: Period::Month };
        Allowance { limit: Limit { ingest: rates, tap: rates }, quota: Some(quota), weight: 1 }
    }

    fn refusal(level: Level, reason: Reason, millis: u64) -> Refusal {
        let short = Short { reason, wait: Duration::from_millis(millis), left: 3 };
        Refusal::new(level, &allowance(), short)
    }

    #[test]
    fn a_rate_tells_its_name_its_burst_and_whole_seconds() {
        let mobile = Level::Principal("mobile".into());
        let refusal = refusal(mobile, Reason::Rate(Flow::Ingest, Measure::Records), 1_001);
        assert_eq!(refusal.to_string(), "principal mobile: records_per_second");
        assert_eq!(
            refusal.policy_field(),
            "\"principal.records_per_second\";q=100;qu=\"records\";w=1;forebay-burst=200"
        );
        assert_eq!(refusal.limit_field(), "\"principal.records_per_second\";r=3;t=2");
    }

    #[test]
    fn a_quota_tells_the_length_of_its_period() {
        let refusal = refusal(Level::Principal("a".into()), Reason::Quota(Measure::Records), 60_000);
        assert_eq!(refusal.to_string(), "principal a: quota.records");
        assert_eq!(refusal.policy_field(), "\"principal.quota.records\";q=1000;qu=\"records\";w=2678400");
        assert_eq!(refusal.limit_field(), "\"principal.quota.records\";r=3;t=60");
    }

    #[test]
    fn numbers_stay_within_what_a_field_may_have() {
        let refusal = refusal(Level::Global, Reason::Rate(Flow::Tap, Measure::Bytes), 0);
        assert_eq!(
            refusal.policy_field(),
            "\"global.tap.bytes_per_second\";q=999999999999999;qu=\"content-bytes\";w=1"
        );
        assert_eq!(refusal.limit_field(), "\"global.tap.bytes_per_second\";r=3;t=1");
    }
}
