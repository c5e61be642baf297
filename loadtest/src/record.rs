//! The record of a run: everything that plots, comparisons and other programs need, in one JSON file.
//!
//! A record has the format [`RECORD_FORMAT`] and a version. Members may be added without a new version; readers pass
//! over those that they do not know. A member that changes its meaning, or goes, makes a new version.
//!
//! | member | holds |
//! | --- | --- |
//! | `report` | what `--json` prints: settings, machine, totals, percentiles of the whole run |
//! | `interval_seconds`, `intervals` | what was sent and answered in each interval, and the latencies of it |
//! | `latency_us`, `service_us`, `pacing_us` | `[microseconds, count]` of the whole run, to three digits |
//! | `percentiles` | the curve of the latency: `[share, milliseconds]` |
//! | `taps` | what readers of the stream saw in each interval: records, and from being sent to being read |
//! | `server` | CPU time and memory of the server's process, sample by sample |
//! | `metrics` | counters and gauges that the server told of itself |
//! | `marks` | what was done to the server, and when |
//!
//! All times of the record are seconds since the start of the load.

mod taps;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::run::report::Report;
use crate::spread::Spread;
pub use taps::{TapInterval, TapTimes};

/// The `format` of a record.
pub const RECORD_FORMAT: &str = "forebay-load-record";

/// The `version` that this program writes and reads.
pub const RECORD_VERSION: u32 = 1;

/// A run, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_FORMAT`].
    pub format: String,
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// When the load began, RFC 3339.
    pub started_at: String,
    /// What the run says of itself as a whole.
    pub report: Report,
    /// Length of each interval.
    pub interval_seconds: u64,
    /// From the start on, without gaps.
    pub intervals: Vec<Interval>,
    /// From when each request was due to its end.
    pub latency_us: Spread,
    /// From the start of the last try to its reply.
    pub service_us: Spread,
    /// How late requests were sent over idle connections: the load generator's own share.
    pub pacing_us: Spread,
    /// The curve of the latency: share of requests, milliseconds.
    pub percentiles: Vec<(f64, f64)>,
    /// What readers of the stream saw; empty if there were none.
    #[serde(default)]
    pub taps: TapTimes,
    /// The server's process; empty if it was not named.
    #[serde(default)]
    pub server: Vec<ServerSample>,
    /// What the server said about itself; empty if it was not asked.
    #[serde(default)]
    pub metrics: Metrics,
    /// What was done to the server.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// What happened in an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Where it begins.
    pub at: u64,
    /// Records that were sent for the first time.
    pub sent: u64,
    /// Records that the server said to have.
    pub acked: u64,
    /// Records that it said not to have.
    pub refused: u64,
    /// Records of which no reply told.
    pub unknown: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Of them, those without a success.
    pub failed: u64,
    /// Further tries.
    pub retries: u64,
    /// Bytes of acked records before compression.
    pub payload_bytes: u64,
    /// Bytes of bodies as sent.
    pub body_bytes: u64,
    /// Of the requests that ended; missing if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Quantiles>,
    /// The same as `[microseconds, count]`, at most 1.6 % too high.
    #[serde(default)]
    pub latency_us: Spread,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p999: f64,
    pub max: f64,
}

/// One look at the server's process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// When.
    pub at: f64,
    /// CPU seconds that it has used since it began, user and system.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// Values that the server told, by name, summed over labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// When it was asked.
    pub at: Vec<f64>,
    /// A value for each time; missing where the server did not name it, or did not answer.
    pub series: BTreeMap<String, Vec<Option<f64>>>,
}

/// Something that was done to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: f64,
    /// What.
    pub text: String,
}

impl Interval {
    /// Whether nothing happened.
    pub fn is_idle(&self) -> bool {
        self.sent == 0 && self.requests == 0 && self.retries == 0 && self.body_bytes == 0
    }

    /// Adds what happened elsewhere at the same time.
    pub fn merge(&mut self, other: &Interval) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.requests += other.requests;
        self.failed += other.failed;
        self.retries += other.retries;
        self.payload_bytes += other.payload_bytes;
        self.body_bytes += other.body_bytes;
        self.latency_us.merge(&other.latency_us);
    }

    /// Computes `latency_ms` from `latency_us`.
    pub fn summarise(&mut self) {
        let at = |quantile| self.latency_us.quantile(quantile) as f64 / 1e3;
        self.latency_ms = (!self.latency_us.is_empty()).then(|| Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        });
    }
}

/// The curve of a spread: for each power of ten of what is left, ten points.
pub fn curve(spread: &Spread) -> Vec<(f64, f64)> {
    let mut curve = Vec::new();
    if spread.is_empty() {
        return curve;
    }
    let count = spread.count() as f64;
    let mut step = 0;
    loop {
        let left = 10_f64.powf(-f64::from(step) / 10.0);
        if left * count < 1.0 {
            curve.push((1.0, spread.quantile(1.0) as f64 / 1e3));
            return curve;
        }
        curve.push((1.0 - left, spread.quantile(1.0 - left) as f64 / 1e3));
        step += 1;
    }
}

/// Why a record cannot be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a record.
    #[error("{path} is no record of a run: {source}: give a file that `run --record` wrote")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It is of another format or version.
    #[error(
        "{path} is of format {format:?}, version {version}; this program reads {RECORD_FORMAT:?}, {RECORD_VERSION}"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: String,
        /// Its version.
        version: u32,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Record {
    /// Reads a file that [`Record::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read(path).map_err(|source| RecordError::Io { path: path.into(), source })?;
        let bad = |source| RecordError::Format { path: path.into(), source };
        let Head { format, version } = serde_json::from_slice(&text).map_err(bad)?;
        if format != RECORD_FORMAT || version != RECORD_VERSION {
            return Err(RecordError::Version { path: path.into(), format, version });
        }
        serde_json::from_slice(&text).map_err(bad)
    }

    /// Writes it as JSON, replacing the file in one step.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let text =
            serde_json::to_vec(self).map_err(|source| RecordError::Format { path: path.into(), source })?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(".draft");
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, path))
            .map_err(|source| RecordError::Io { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_rises_to_the_longest_and_has_ten_points_a_power() {
        let spread: Spread = (1..=1_000).map(|value| (value * 1_000, 1)).collect();
        let curve = curve(&spread);
        assert_eq!(curve.len(), 32);
        assert_eq!((curve[0], curve[10].1), ((0.0, 1.0), 900.0));
        assert_eq!(curve.last(), Some(&(1.0, 1_000.0)));
        assert!(curve.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(super::curve(&Spread::default()).is_empty());
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "{}").unwrap();
        let refused = Record::read(&path).unwrap_err().to_string();
        assert!(refused.contains("a.json is no record"), "{refused}");
        std::fs::write(&path, "{\"format\":\"forebay-load-record\",\"version\":99}").unwrap();
        assert!(matches!(Record::read(&path), Err(RecordError::Version { version: 99, .. })));
        assert!(matches!(Record::read(&folder.path().join("b")), Err(RecordError::Io { .. })));
    }
}
