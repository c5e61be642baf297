//! What readers of the stream saw second by second.

use serde::{Deserialize, Serialize};

use super::{Interval, Quantiles};
use crate::run::timeline;
use crate::spread::Spread;

/// All readers of a run together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TapTimes {
    /// Length of each interval; 0 if there were no readers.
    pub interval_seconds: u64,
    /// From the start of the load on, without gaps.
    pub intervals: Vec<TapInterval>,
}

/// What was read in an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TapInterval {
    /// Where it begins.
    pub at: u64,
    /// Records of the run that came for the first time to a reader.
    pub records: u64,
    /// From when they were sent to when they were read; missing if that is not known of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Quantiles>,
    /// The same as `[microseconds, count]`, at most 1.6 % too high.
    #[serde(default)]
    pub latency_us: Spread,
}

impl TapTimes {
    /// From the intervals of threads or processes, whose requests are the records that were read.
    pub(crate) fn of(parts: Vec<(u64, Vec<Interval>)>) -> Self {
        if parts.iter().all(|(_, intervals)| intervals.is_empty()) {
            return Self::default();
        }
        let (interval_seconds, intervals) = timeline::merge(parts);
        let of = |Interval { at, requests, latency_ms, latency_us, .. }| TapInterval {
            at,
            records: requests,
            latency_ms,
            latency_us,
        };
        Self { interval_seconds, intervals: intervals.into_iter().map(of).collect() }
    }

    /// The intervals, moved behind by about `seconds`.
    pub(crate) fn moved(self, seconds: f64) -> (u64, Vec<Interval>) {
        let length = self.interval_seconds.max(1);
        let offset = (seconds / length as f64).round() as u64 * length;
        let of = |TapInterval { at, records, latency_us, .. }| Interval {
            at: at + offset,
            requests: records,
            latency_us,
            ..Interval::default()
        };
        (length, self.intervals.into_iter().map(of).collect())
    }
}
