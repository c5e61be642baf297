//! The metrics of the log of durable streams. Where no stream is durable there are none.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use super::{Metric, Registry};

metric!(LOG_COMMITS, "forebay_log_commits_total", None, "Group commits: writes of the log with their sync.");
metric!(
    LOG_COMMIT_BYTES,
    "forebay_log_commit_bytes_total",
    Some(Unit::Bytes),
    "Bytes written to the log by group commits."
);
metric!(
    LOG_COMMIT_SECONDS,
    "forebay_log_commit_seconds",
    Some(Unit::Seconds),
    "Time of a group commit: write and sync."
);
metric!(
    LOG_COMMIT_REQUESTS,
    "forebay_log_commit_requests",
    None,
    "Requests that a group commit has made durable."
);
metric!(LOG_SEGMENTS, "forebay_log_segments", None, "Segments of the log on the disk.");
metric!(
    LOG_DISK_BYTES,
    "forebay_log_disk_bytes",
    Some(Unit::Bytes),
    "Bytes that the log takes on the disk, what is reserved included."
);
metric!(
    LOG_FAILURES,
    "forebay_log_failures_total",
    None,
    "Group commits that have failed: their requests were not acknowledged."
);
metric!(
    LOG_FULL,
    "forebay_log_full",
    None,
    "1 while the disk has no room for the next segment and producers are refused."
);
metric!(
    LOG_RECOVERY_SECONDS,
    "forebay_log_recovery_seconds",
    Some(Unit::Seconds),
    "Time that reading the log back took at the start."
);
metric!(
    LOG_RECOVERED_BYTES,
    "forebay_log_recovered_bytes",
    Some(Unit::Bytes),
    "Bytes of the log that were read back at the start."
);
metric!(
    LOG_DAMAGED_BYTES,
    "forebay_log_damaged_bytes_total",
    Some(Unit::Bytes),
    "Bytes of acknowledged records that were left out because they are damaged."
);

pub(super) const COUNTERS: &[Metric] = &[LOG_COMMITS, LOG_COMMIT_BYTES, LOG_FAILURES, LOG_DAMAGED_BYTES];
pub(super) const GAUGES: &[Metric] =
    &[LOG_SEGMENTS, LOG_DISK_BYTES, LOG_FULL, LOG_RECOVERY_SECONDS, LOG_RECOVERED_BYTES];
pub(super) const HISTOGRAMS: &[Metric] = &[LOG_COMMIT_SECONDS, LOG_COMMIT_REQUESTS];

/// Upper bounds of commit times: from the page cache, over flash with a power-loss buffer, to a disk in trouble.
const COMMIT_SECONDS: &[f64] = &[
    0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0,
];
/// Upper bounds of the requests of a commit: from one to all that wait while the disk syncs once.
const COMMIT_REQUESTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    builder
        .set_buckets_for_metric(Matcher::Full(LOG_COMMIT_SECONDS.name.to_owned()), COMMIT_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(LOG_COMMIT_REQUESTS.name.to_owned()), COMMIT_REQUESTS)
}

impl Registry {
    /// The metrics of one journal of the log.
    pub fn log(&self, journal: &str) -> LogMetrics {
        let labels = [("journal", journal)];
        LogMetrics {
            commits: self.counter(LOG_COMMITS, &labels),
            commit_bytes: self.counter(LOG_COMMIT_BYTES, &labels),
            commit_seconds: self.histogram(LOG_COMMIT_SECONDS, &labels),
            commit_requests: self.histogram(LOG_COMMIT_REQUESTS, &labels),
            segments: self.gauge(LOG_SEGMENTS, &labels),
            disk_bytes: self.gauge(LOG_DISK_BYTES, &labels),
            failures: self.counter(LOG_FAILURES, &labels),
            full: self.gauge(LOG_FULL, &labels),
        }
    }

    /// The metrics of the start.
    pub fn recovery(&self) -> RecoveryMetrics {
        RecoveryMetrics {
            seconds: self.gauge(LOG_RECOVERY_SECONDS, &[]),
            recovered_bytes: self.gauge(LOG_RECOVERED_BYTES, &[]),
            damaged_bytes: self.counter(LOG_DAMAGED_BYTES, &[]),
        }
    }
}

/// Handles of one journal.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct LogMetrics {
    pub commits: Counter,
    pub commit_bytes: Counter,
    pub commit_seconds: Histogram,
    pub commit_requests: Histogram,
    pub segments: Gauge,
    pub disk_bytes: Gauge,
    pub failures: Counter,
    pub full: Gauge,
}

impl LogMetrics {
    /// Handles that lead nowhere.
    pub fn none() -> Self {
        Self {
            commits: Counter::noop(),
            commit_bytes: Counter::noop(),
            commit_seconds: Histogram::noop(),
            commit_requests: Histogram::noop(),
            segments: Gauge::noop(),
            disk_bytes: Gauge::noop(),
            failures: Counter::noop(),
            full: Gauge::noop(),
        }
    }

    /// Counts a group commit of so many requests and bytes; `time` is that of its write and sync.
    pub fn committed(&self, requests: usize, bytes: u64, time: Duration) {
        self.commits.increment(1);
        self.commit_bytes.increment(bytes);
        self.commit_seconds.record(time.as_secs_f64());
        self.commit_requests.record(requests as f64);
    }
}

/// Handles of what the start has found.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct RecoveryMetrics {
    pub seconds: Gauge,
    pub recovered_bytes: Gauge,
    pub damaged_bytes: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_counted_once_by_its_journal() {
        let registry = Registry::new().unwrap();
        let log = registry.log("fsync");
        log.committed(3, 4_096, Duration::from_micros(200));
        log.committed(1, 4_096, Duration::from_micros(40));
        LogMetrics::none().committed(9, 9, Duration::ZERO);
        registry.run_upkeep();
        let text = registry.render();
        for line in [
            "forebay_log_commits_total{journal=\"fsync\"} 2",
            "forebay_log_commit_bytes_total{journal=\"fsync\"} 8192",
            "forebay_log_commit_seconds_bucket{journal=\"fsync\",le=\"0.00005\"} 1",
            "forebay_log_commit_seconds_bucket{journal=\"fsync\",le=\"0.00025\"} 2",
            "forebay_log_commit_requests_bucket{journal=\"fsync\",le=\"2\"} 1",
            "forebay_log_commit_requests_sum{journal=\"fsync\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
