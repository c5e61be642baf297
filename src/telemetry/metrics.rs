//! Every metric of the program: its name, its help text, its labels.
//!
//! Names follow the Prometheus conventions: `forebay_` in front, base units, `_total` on counters. Handles are made
//! once a stream or delivery and kept, because looking one up costs ten times as much as counting with it. Those of
//! streams, deliveries, live readers and the log are in files of their own.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::trace::Tracer;

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
mod answer_cache;
mod authorizer;
mod cursors;
mod delivery;
mod functions;
mod jwt;
mod kafka;
mod log;
mod record;
mod stream;
mod taps;
mod throttle;

pub use answer_cache::AnswerCacheMetrics;
pub use authorizer::AuthorizerMetrics;
pub use cursors::{CursorGauges, CursorMetrics, render_cursors};
pub use delivery::{DeliveryMetrics, PartGauges, SharingMetrics};
pub use functions::FunctionMetrics;
pub use jwt::JwtKeyMetrics;
pub use kafka::KafkaMetrics;
pub use log::{LogMetrics, RecoveryMetrics};
pub use record::{ExportMetrics, LineMetrics};
pub use stream::StreamMetrics;
pub use taps::TapMetrics;
pub use throttle::{QuotaMetrics, ThrottleMetrics};

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
    HTTP_CONNECTIONS_REFUSED_BY_ADDRESS,
    "forebay_http_connections_refused_by_address_total",
    None,
    "Connections closed because their address had as many as it may."
);
metric!(
    HTTP_CONNECTIONS_BROKEN,
    "forebay_http_connections_broken_total",
    None,
    "Connections that came to no request, by what was wrong: the header of the proxy in front, or TLS."
);
metric!(
    HTTP_CONNECTIONS_TIMED_OUT,
    "forebay_http_connections_timed_out_total",
    None,
    "Connections closed because the client was too slow or silent, by what it was late with."
);
metric!(
    INGEST_REFUSED,
    "forebay_ingest_refused_requests_total",
    None,
    "Requests refused as a whole, by error code."
);
metric!(
    RULE_MATCHES,
    "forebay_rule_matches_total",
    None,
    "Requests that a rule is about, by its name and by what is done about them."
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
    HTTP_CONNECTIONS_REFUSED_BY_ADDRESS,
    HTTP_CONNECTIONS_BROKEN,
    HTTP_CONNECTIONS_TIMED_OUT,
    INGEST_REFUSED,
    RULE_MATCHES,
];
const GAUGES: &[Metric] = &[HTTP_CONNECTIONS, MEMORY_USED, MEMORY_CAPACITY, BUILD_INFO];
const HISTOGRAMS: &[Metric] = &[HTTP_DURATION];

fn counters() -> impl Iterator<Item = &'static Metric> {
    let own =
        [COUNTERS, stream::COUNTERS, delivery::COUNTERS, log::COUNTERS, taps::COUNTERS, authorizer::COUNTERS];
    let more = [cursors::COUNTERS, functions::COUNTERS, record::COUNTERS, jwt::COUNTERS, throttle::COUNTERS];
    own.into_iter().chain(more).chain([answer_cache::COUNTERS, kafka::COUNTERS]).flatten()
}

fn gauges() -> impl Iterator<Item = &'static Metric> {
    let own = [GAUGES, stream::GAUGES, delivery::GAUGES, log::GAUGES, taps::GAUGES];
    let more = [cursors::GAUGES, functions::GAUGES, jwt::GAUGES, throttle::GAUGES, answer_cache::GAUGES];
    own.into_iter().chain(more).chain([kafka::GAUGES]).flatten()
}

fn histograms() -> impl Iterator<Item = &'static Metric> {
    [HISTOGRAMS, delivery::HISTOGRAMS, log::HISTOGRAMS, kafka::HISTOGRAMS].into_iter().flatten()
}

/// Upper bounds of request durations: from a memory append (tens of microseconds) to the longest long poll.
const HTTP_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];

static METADATA: Metadata<'static> = Metadata::new("forebay", Level::INFO, None);

/// Makes handles and renders them.
#[derive(Clone)]
pub struct Registry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    tracer: Arc<OnceLock<Arc<Tracer>>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry of its own: nothing global, so that tests can have several.
    pub fn new() -> Result<Self, BuildError> {
        let recorder =
            kafka::with_buckets(delivery::with_buckets(log::with_buckets(PrometheusBuilder::new())?)?)?
                .set_buckets_for_metric(Matcher::Full(HTTP_DURATION.name.to_owned()), HTTP_SECONDS)?
                .build_recorder();
        for metric in counters() {
            recorder.describe_counter(metric.name.into(), metric.unit, metric.help.into());
        }
        for metric in gauges() {
            recorder.describe_gauge(metric.name.into(), metric.unit, metric.help.into());
        }
        for metric in histograms() {
            recorder.describe_histogram(metric.name.into(), metric.unit, metric.help.into());
        }
        let handle = recorder.handle();
        Ok(Self { recorder: Arc::new(recorder), handle, tracer: Arc::default() })
    }

    /// Has handles that are made from now on tell their steps of traces as well.
    pub fn trace_by(&self, tracer: &Arc<Tracer>) {
        self.tracer.get_or_init(|| Arc::clone(tracer));
    }

    /// What takes steps of traces, if anything does.
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.get()
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

    /// `forebay_rule_matches_total` of one rule.
    pub fn rule_matches(&self, rule: &str, action: &str) -> Counter {
        self.counter(RULE_MATCHES, &[("rule", rule), ("action", action)])
    }

    /// The edge's connection metrics.
    pub fn connections(&self) -> ConnectionMetrics {
        ConnectionMetrics {
            open: self.gauge(HTTP_CONNECTIONS, &[]),
            refused: self.counter(HTTP_CONNECTIONS_REFUSED, &[]),
            refused_by_address: self.counter(HTTP_CONNECTIONS_REFUSED_BY_ADDRESS, &[]),
            late_head: self.counter(HTTP_CONNECTIONS_TIMED_OUT, &[("late_with", "head")]),
            late_idle: self.counter(HTTP_CONNECTIONS_TIMED_OUT, &[("late_with", "next_request")]),
            late_answer: self.counter(HTTP_CONNECTIONS_TIMED_OUT, &[("late_with", "answer")]),
            broken_tls: self.counter(HTTP_CONNECTIONS_BROKEN, &[("what", "tls")]),
            broken_proxy: self.counter(HTTP_CONNECTIONS_BROKEN, &[("what", "proxy")]),
        }
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
    pub refused_by_address: Counter,
    pub late_head: Counter,
    pub late_idle: Counter,
    pub late_answer: Counter,
    pub broken_tls: Counter,
    pub broken_proxy: Counter,
}

impl ConnectionMetrics {
    /// Connections that have come to no request because of their `proxy` header or `tls`.
    pub fn broken(&self, what: &'static str) -> &Counter {
        if what == "proxy" { &self.broken_proxy } else { &self.broken_tls }
    }
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
        for metric in counters().chain(gauges()).chain(histograms()) {
            assert!(metric.name.starts_with("forebay_"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        for metric in counters() {
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
