//! The metrics of a delivery.

mod sharing;

use std::sync::Arc;

pub use sharing::{PartGauges, SharingMetrics};

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use super::{Metric, Registry};
use crate::telemetry::trace::Tracer;

metric!(
    DELIVERY_READ,
    "forebay_delivery_read_records_total",
    None,
    "Records that the delivery has read from its stream."
);
metric!(DELIVERY_DELIVERED, "forebay_delivery_delivered_records_total", None, "Records in stored files.");
metric!(
    DELIVERY_DEAD_LETTERED,
    "forebay_delivery_dead_lettered_records_total",
    None,
    "Records in stored dead letters, by reason."
);
metric!(
    DELIVERY_PENDING,
    "forebay_delivery_pending_records",
    None,
    "Records, accepted or found at the start, that are neither delivered nor dead-lettered yet."
);
metric!(
    DELIVERY_BACKLOG,
    "forebay_delivery_backlog_records",
    None,
    "Records that the log had at the start of the process and that were not delivered then."
);
metric!(
    DELIVERY_OLDEST_PENDING,
    "forebay_delivery_oldest_pending_age_seconds",
    Some(Unit::Seconds),
    "Age of the oldest pending record; 0 if there is none."
);
metric!(
    DELIVERY_SEALED,
    "forebay_delivery_sealed_files_total",
    None,
    "Closed files, by reason: size, age, pressure, partitions, shutdown or epoch."
);
metric!(
    DELIVERY_STORED_FILES,
    "forebay_delivery_stored_files_total",
    None,
    "Files that the sink has confirmed."
);
metric!(
    DELIVERY_STORED_BYTES,
    "forebay_delivery_stored_bytes_total",
    Some(Unit::Bytes),
    "Bytes of stored files."
);
metric!(DELIVERY_OPEN, "forebay_delivery_open_partitions", None, "Open files.");
metric!(
    DELIVERY_UPLOAD_DURATION,
    "forebay_delivery_upload_duration_seconds",
    Some(Unit::Seconds),
    "Time of a successful upload try."
);
metric!(
    DELIVERY_FRESHNESS,
    "forebay_delivery_freshness_seconds",
    Some(Unit::Seconds),
    "Time from the arrival of a file's oldest record to the file being stored."
);
metric!(
    DELIVERY_UPLOAD_ERRORS,
    "forebay_delivery_upload_errors_total",
    None,
    "Failed upload tries, by class: transient, denied, not_found, foreign or other."
);
metric!(
    DELIVERY_PAUSED,
    "forebay_delivery_paused",
    None,
    "1 while the delivery cannot go on, or not with all of its files, and somebody has to act."
);
metric!(
    DELIVERY_PASSED,
    "forebay_delivery_passed_over_records_total",
    None,
    "Records that a backup of failed records has passed over, because the delivery that it belongs to takes them."
);
metric!(
    DELIVERY_SKIPPED,
    "forebay_delivery_skipped_records_total",
    None,
    "Records that were gone from the stream before the delivery read them."
);

pub(super) const COUNTERS: &[Metric] = &[
    DELIVERY_READ,
    DELIVERY_DELIVERED,
    DELIVERY_DEAD_LETTERED,
    DELIVERY_SEALED,
    DELIVERY_STORED_FILES,
    DELIVERY_STORED_BYTES,
    DELIVERY_UPLOAD_ERRORS,
    DELIVERY_SKIPPED,
    DELIVERY_PASSED,
    sharing::TAKEN,
    sharing::LOST,
    sharing::DEPOSED,
    sharing::FAILED,
];
pub(super) const GAUGES: &[Metric] = &[
    DELIVERY_PENDING,
    DELIVERY_BACKLOG,
    DELIVERY_OLDEST_PENDING,
    DELIVERY_OPEN,
    DELIVERY_PAUSED,
    sharing::OWNED,
];
pub(super) const HISTOGRAMS: &[Metric] = &[DELIVERY_UPLOAD_DURATION, DELIVERY_FRESHNESS];

/// Upper bounds of upload times: from a local file to a large multipart upload.
const UPLOAD_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Upper bounds of freshness: around the usual buffer intervals.
const FRESHNESS_SECONDS: &[f64] =
    &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0, 300.0, 600.0, 900.0, 3600.0];

/// Gives the histograms their buckets.
pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    let upload = Matcher::Full(DELIVERY_UPLOAD_DURATION.name.to_owned());
    let freshness = Matcher::Full(DELIVERY_FRESHNESS.name.to_owned());
    builder
        .set_buckets_for_metric(upload, UPLOAD_SECONDS)?
        .set_buckets_for_metric(freshness, FRESHNESS_SECONDS)
}

impl Registry {
    /// The metrics of one delivery.
    pub fn delivery(&self, stream: &str, delivery: &str) -> DeliveryMetrics {
        let labels = [("stream", stream), ("delivery", delivery)];
        let with = |name, value| [labels[0], labels[1], (name, value)];
        DeliveryMetrics {
            tracer: self.tracer().cloned(),
            read: self.counter(DELIVERY_READ, &labels),
            delivered: self.counter(DELIVERY_DELIVERED, &labels),
            pending: self.gauge(DELIVERY_PENDING, &labels),
            backlog: self.gauge(DELIVERY_BACKLOG, &labels),
            oldest_pending_seconds: self.gauge(DELIVERY_OLDEST_PENDING, &labels),
            sealed_size: self.counter(DELIVERY_SEALED, &with("reason", "size")),
            sealed_age: self.counter(DELIVERY_SEALED, &with("reason", "age")),
            sealed_pressure: self.counter(DELIVERY_SEALED, &with("reason", "pressure")),
            sealed_partitions: self.counter(DELIVERY_SEALED, &with("reason", "partitions")),
            sealed_shutdown: self.counter(DELIVERY_SEALED, &with("reason", "shutdown")),
            sealed_sink: self.counter(DELIVERY_SEALED, &with("reason", "sink")),
            sealed_epoch: self.counter(DELIVERY_SEALED, &with("reason", "epoch")),
            stored_files: self.counter(DELIVERY_STORED_FILES, &labels),
            stored_bytes: self.counter(DELIVERY_STORED_BYTES, &labels),
            open_partitions: self.gauge(DELIVERY_OPEN, &labels),
            upload_seconds: self.histogram(DELIVERY_UPLOAD_DURATION, &labels),
            freshness_seconds: self.histogram(DELIVERY_FRESHNESS, &labels),
            errors_transient: self.counter(DELIVERY_UPLOAD_ERRORS, &with("class", "transient")),
            errors_denied: self.counter(DELIVERY_UPLOAD_ERRORS, &with("class", "denied")),
            errors_not_found: self.counter(DELIVERY_UPLOAD_ERRORS, &with("class", "not_found")),
            errors_foreign: self.counter(DELIVERY_UPLOAD_ERRORS, &with("class", "foreign")),
            errors_other: self.counter(DELIVERY_UPLOAD_ERRORS, &with("class", "other")),
            paused: self.gauge(DELIVERY_PAUSED, &labels),
            skipped: self.counter(DELIVERY_SKIPPED, &labels),
            passed: self.counter(DELIVERY_PASSED, &labels),
        }
    }

    /// `forebay_delivery_dead_lettered_records_total` of one reason.
    pub fn dead_lettered(&self, stream: &str, delivery: &str, reason: &str) -> Counter {
        self.counter(
            DELIVERY_DEAD_LETTERED,
            &[("stream", stream), ("delivery", delivery), ("reason", reason)],
        )
    }
}

/// Handles of one delivery.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "each field is the metric of that name at the top of this file, but for what takes spans"
)]
pub struct DeliveryMetrics {
    pub tracer: Option<Arc<Tracer>>,
    pub read: Counter,
    pub delivered: Counter,
    pub pending: Gauge,
    pub backlog: Gauge,
    pub oldest_pending_seconds: Gauge,
    pub sealed_size: Counter,
    pub sealed_age: Counter,
    pub sealed_pressure: Counter,
    pub sealed_partitions: Counter,
    pub sealed_shutdown: Counter,
    pub sealed_sink: Counter,
    /// See `sealed_size`.
    pub sealed_epoch: Counter,
    pub stored_files: Counter,
    pub stored_bytes: Counter,
    pub open_partitions: Gauge,
    pub upload_seconds: Histogram,
    pub freshness_seconds: Histogram,
    pub errors_transient: Counter,
    pub errors_denied: Counter,
    pub errors_not_found: Counter,
    pub errors_foreign: Counter,
    pub errors_other: Counter,
    pub paused: Gauge,
    pub skipped: Counter,
    pub passed: Counter,
}
