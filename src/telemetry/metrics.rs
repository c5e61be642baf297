//! Every metric of the program: its name, its help text, its labels.
//!
//! Names follow the Prometheus conventions: `forebay_` in front, base units, `_total` on counters. Handles are made
//! once a stream or delivery and kept, because looking one up costs ten times as much as counting with it. Those of the
//! log and of live readers are in files of their own.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// A metric that exists: what a [`Registry`] describes and registers.
#[derive(Debug, Clone, Copy)]
struct Metric {
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
}

macro_rules! metric {
    ($constant:ident, $name:literal, $unit:expr, $help:literal) => {
        const $constant: Metric = Metric { name: $name, unit: $unit, help: $help };
    };
}

// Behind the macro, which it uses.
mod log;
mod taps;

pub use log::{LogMetrics, RecoveryMetrics};
pub use taps::TapMetrics;

metric!(HTTP_REQUESTS, "forebay_http_requests_total", None, "Answered requests by route and status code.");
metric!(
    HTTP_DURATION,
    "forebay_http_request_duration_seconds",
    Some(Unit::Seconds),
    "Time from a request's head to its answer."
);
metric!(HTTP_CONNECTIONS, "forebay_http_connections", None, "Open connections of the edge.");
metric!(
    HTTP_CONNECTIONS_REFUSED,
    "forebay_http_connections_refused_total",
    None,
    "Connections closed because the connection cap was reached."
);
metric!(
    HTTP_CONNECTIONS_TIMED_OUT,
    "forebay_http_connections_timed_out_total",
    None,
    "Connections closed because the client was too slow or silent, by what it was late with."
);
metric!(
    INGEST_RECORDS,
    "forebay_ingest_records_total",
    None,
    "Records by verdict: accepted, rejected, or accepted as dead_letter."
);
metric!(INGEST_BYTES, "forebay_ingest_bytes_total", Some(Unit::Bytes), "Payload bytes of accepted records.");
metric!(
    INGEST_REFUSED,
    "forebay_ingest_refused_requests_total",
    None,
    "Requests refused as a whole, by error code."
);
metric!(
    STREAM_RETAINED_BYTES,
    "forebay_stream_retained_bytes",
    Some(Unit::Bytes),
    "Payload bytes that the stream holds."
);
metric!(STREAM_RETAINED_RECORDS, "forebay_stream_retained_records", None, "Records that the stream holds.");
metric!(
    STREAM_EVICTED,
    "forebay_stream_evicted_records_total",
    None,
    "Records that left the stream, by reason: time, bytes or pressure."
);
metric!(
    IDEMPOTENCY_EVICTED,
    "forebay_idempotency_evicted_total",
    None,
    "Replies that were forgotten before their idempotency window was over, because they needed too much memory."
);
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
metric!(
    MEMORY_USED,
    "forebay_memory_used_bytes",
    Some(Unit::Bytes),
    "Bytes taken from a share of the byte budget."
);
metric!(
    MEMORY_CAPACITY,
    "forebay_memory_capacity_bytes",
    Some(Unit::Bytes),
    "Bytes of a share of the byte budget."
);
metric!(BUILD_INFO, "forebay_build_info", None, "Always 1; the labels tell the version.");

const COUNTERS: &[Metric] = &[
    HTTP_REQUESTS,
    HTTP_CONNECTIONS_REFUSED,
    HTTP_CONNECTIONS_TIMED_OUT,
    INGEST_RECORDS,
    INGEST_BYTES,
    INGEST_REFUSED,
    STREAM_EVICTED,
    IDEMPOTENCY_EVICTED,
    DELIVERY_READ,
    DELIVERY_DELIVERED,
    DELIVERY_DEAD_LETTERED,
    DELIVERY_SEALED,
    DELIVERY_STORED_FILES,
    DELIVERY_STORED_BYTES,
    DELIVERY_UPLOAD_ERRORS,
    DELIVERY_SKIPPED,
    DELIVERY_PASSED,
];
const GAUGES: &[Metric] = &[
    HTTP_CONNECTIONS,
    STREAM_RETAINED_BYTES,
    STREAM_RETAINED_RECORDS,
    DELIVERY_PENDING,
    DELIVERY_BACKLOG,
    DELIVERY_OLDEST_PENDING,
    DELIVERY_OPEN,
    DELIVERY_PAUSED,
    MEMORY_USED,
    MEMORY_CAPACITY,
    BUILD_INFO,
];
const HISTOGRAMS: &[Metric] = &[HTTP_DURATION, DELIVERY_UPLOAD_DURATION, DELIVERY_FRESHNESS];

/// Upper bounds of request durations: from a memory append (tens of microseconds) to the longest long poll.
const HTTP_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];
/// Upper bounds of upload times: from a local file to a large multipart upload.
const UPLOAD_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Upper bounds of freshness: around the usual buffer intervals.
const FRESHNESS_SECONDS: &[f64] =
    &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0, 300.0, 600.0, 900.0, 3600.0];

static METADATA: Metadata<'static> = Metadata::new("forebay", Level::INFO, None);

/// Makes handles and renders them.
#[derive(Clone)]
pub struct Registry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry of its own: nothing global, so that tests can have several.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = log::with_buckets(PrometheusBuilder::new())?
            .set_buckets_for_metric(Matcher::Full(HTTP_DURATION.name.to_owned()), HTTP_SECONDS)?
            .set_buckets_for_metric(Matcher::Full(DELIVERY_UPLOAD_DURATION.name.to_owned()), UPLOAD_SECONDS)?
            .set_buckets_for_metric(Matcher::Full(DELIVERY_FRESHNESS.name.to_owned()), FRESHNESS_SECONDS)?
            .build_recorder();
        for metric in COUNTERS.iter().chain(log::COUNTERS).chain(taps::COUNTERS) {
            recorder.describe_counter(metric.name.into(), metric.unit, metric.help.into());
        }
        for metric in GAUGES.iter().chain(log::GAUGES).chain(taps::GAUGES) {
            recorder.describe_gauge(metric.name.into(), metric.unit, metric.help.into());
        }
        for metric in HISTOGRAMS.iter().chain(log::HISTOGRAMS) {
            recorder.describe_histogram(metric.name.into(), metric.unit, metric.help.into());
        }
        let handle = recorder.handle();
        Ok(Self { recorder: Arc::new(recorder), handle })
    }

    /// The Prometheus text form of everything.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves the histograms' samples into their buckets. To be called every few seconds, because samples pile up
    /// until it is.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    fn counter(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    fn gauge(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    fn histogram(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Histogram {
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    /// `forebay_http_requests_total` of one route and status code.
    pub fn http_requests(&self, route: &'static str, code: u16) -> Counter {
        self.counter(HTTP_REQUESTS, &[("route", route), ("code", &code.to_string())])
    }

    /// `forebay_http_request_duration_seconds` of one route.
    pub fn http_duration(&self, route: &'static str) -> Histogram {
        self.histogram(HTTP_DURATION, &[("route", route)])
    }

    /// `forebay_ingest_refused_requests_total` of one error code.
    pub fn ingest_refused(&self, code: &'static str) -> Counter {
        self.counter(INGEST_REFUSED, &[("code", code)])
    }

    /// The edge's connection metrics.
    pub fn connections(&self) -> ConnectionMetrics {
        ConnectionMetrics {
            open: self.gauge(HTTP_CONNECTIONS, &[]),
            refused: self.counter(HTTP_CONNECTIONS_REFUSED, &[]),
            late_head: self.counter(HTTP_CONNECTIONS_TIMED_OUT, &[("late_with", "head")]),
            late_idle: self.counter(HTTP_CONNECTIONS_TIMED_OUT, &[("late_with", "next_request")]),
        }
    }

    /// The metrics of one stream.
    pub fn stream(&self, stream: &str) -> StreamMetrics {
        let verdict = |verdict| self.counter(INGEST_RECORDS, &[("stream", stream), ("verdict", verdict)]);
        let evicted = |reason| self.counter(STREAM_EVICTED, &[("stream", stream), ("reason", reason)]);
        StreamMetrics {
            accepted: verdict("accepted"),
            rejected: verdict("rejected"),
            dead_letter: verdict("dead_letter"),
            bytes: self.counter(INGEST_BYTES, &[("stream", stream)]),
            retained_bytes: self.gauge(STREAM_RETAINED_BYTES, &[("stream", stream)]),
            retained_records: self.gauge(STREAM_RETAINED_RECORDS, &[("stream", stream)]),
            evicted_time: evicted("time"),
            evicted_bytes: evicted("bytes"),
            evicted_pressure: evicted("pressure"),
            idempotency_evicted: self.counter(IDEMPOTENCY_EVICTED, &[("stream", stream)]),
        }
    }

    /// The metrics of one delivery.
    pub fn delivery(&self, stream: &str, delivery: &str) -> DeliveryMetrics {
        let labels = [("stream", stream), ("delivery", delivery)];
        let with = |name, value| [labels[0], labels[1], (name, value)];
        DeliveryMetrics {
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

    /// The metrics of the byte budget. Also publishes the version.
    pub fn memory(&self) -> MemoryMetrics {
        self.gauge(BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        let share = |metric, share| self.gauge(metric, &[("share", share)]);
        MemoryMetrics {
            ingest_used: share(MEMORY_USED, "ingest"),
            ingest_capacity: share(MEMORY_CAPACITY, "ingest"),
            delivery_used: share(MEMORY_USED, "delivery"),
            delivery_capacity: share(MEMORY_CAPACITY, "delivery"),
        }
    }
}

fn key(metric: Metric, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|&(name, value)| Label::new(name, value.to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// Handles of the edge's connections.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct ConnectionMetrics {
    pub open: Gauge,
    pub refused: Counter,
    pub late_head: Counter,
    pub late_idle: Counter,
}

/// Handles of one stream.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct StreamMetrics {
    pub accepted: Counter,
    pub rejected: Counter,
    pub dead_letter: Counter,
    pub bytes: Counter,
    pub retained_bytes: Gauge,
    pub retained_records: Gauge,
    pub evicted_time: Counter,
    pub evicted_bytes: Counter,
    pub evicted_pressure: Counter,
    pub idempotency_evicted: Counter,
}

/// Handles of one delivery.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct DeliveryMetrics {
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

/// Handles of the byte budget.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the metric of that name at the top of this file")]
pub struct MemoryMetrics {
    pub ingest_used: Gauge,
    pub ingest_capacity: Gauge,
    pub delivery_used: Gauge,
    pub delivery_capacity: Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_a_prefix_and_the_suffix_of_its_kind() {
        let log = log::COUNTERS.iter().chain(log::GAUGES).chain(log::HISTOGRAMS);
        for metric in COUNTERS.iter().chain(GAUGES).chain(HISTOGRAMS).chain(log) {
            assert!(metric.name.starts_with("forebay_"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        for metric in COUNTERS.iter().chain(log::COUNTERS).chain(taps::COUNTERS) {
            assert!(metric.name.ends_with("_total"), "{}", metric.name);
        }
    }

    #[test]
    fn a_rendered_counter_carries_its_labels() {
        let registry = Registry::new().unwrap();
        registry.dead_lettered("clicks", "lake", "schema").increment(3);
        let text = registry.render();
        assert!(
            text.contains(r#"forebay_delivery_dead_lettered_records_total{stream="clicks",delivery="lake",reason="schema"} 3"#),
            "{text}"
        );
    }
}
