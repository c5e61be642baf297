//! Traces and metrics → a collector, by OTLP over HTTP in its JSON form.
//!
//! ```text
//! Tracer: waiting spans ─ 512, or every 5 s ─▶ POST {endpoint}/v1/traces  ─▶ taken
//! /metrics ─ every metrics_interval ─────────▶ POST {endpoint}/v1/metrics    later: 429, 502, 503, 504, no answer
//!                                                                            never: any other status
//! ```
//!
//! Source of the format: <https://opentelemetry.io/docs/specs/otlp/>, version 1.9, and the JSON mapping of its messages.
//! Nothing else in the process waits for a collector: what it does not take is dropped and counted.

mod exposition;
mod points;
mod post;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use self::post::{Collector, Outcome};
use super::metrics::{ExportMetrics, Registry};
use super::request_id::RequestId;
use super::trace::Tracer;
use crate::config::checked::{Node, Otlp};
use crate::config::limits::TRACE_SPANS_PAUSE;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::{Phase, Phases};

/// Renders all metrics in the Prometheus text format.
pub type Render = Box<dyn Fn() -> String + Send + Sync>;

/// Which process tells, whichever collector it is told to.
#[derive(Debug)]
pub struct Process {
    /// Its id: another one after a restart.
    id: RequestId,
    /// When counters began to count.
    started: UnixMicros,
}

impl Default for Process {
    /// It has begun.
    fn default() -> Self {
        Self { id: RequestId::new(), started: clock::wall() }
    }
}

/// Tells a collector what there is to tell.
pub struct Exporter {
    collector: Collector,
    config: Otlp,
    tracer: Arc<Tracer>,
    render: Render,
    /// Says which process this is.
    resource: Value,
    /// When counters began to count.
    started: UnixMicros,
    spans: ExportMetrics,
    points: ExportMetrics,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Exporter {
    /// To the collector that the configuration names; `None` if it names none, or there can be no client.
    pub fn new(
        (node, process): (&Node, &Process),
        tracer: Arc<Tracer>,
        registry: &Registry,
        render: Render,
    ) -> Option<Self> {
        let config = node.otlp.clone()?;
        let collector = Collector::new(&config)
            .inspect_err(
                |error| tracing::error!(%error, "there is no HTTP client: nothing is told to the collector"),
            )
            .ok()?;
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let mut attributes = vec![
            text("service.name", "forebay"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", process.id.as_str()),
        ];
        attributes.extend(node.name.as_deref().map(|name| text("forebay.node", name)));
        let resource = json!({ "attributes": attributes });
        let (spans, points) = (registry.spans(), registry.points());
        let started = process.started;
        Some(Self { collector, config, tracer, render, resource, started, spans, points })
    }

    /// Works until `phases`, which may be its own, are over, and then tells what is left.
    pub async fn run(mut self, phases: Phases) {
        let mut ticks = self.config.metrics_interval.map(every);
        let mut pauses = every(TRACE_SPANS_PAUSE);
        let tracer = Arc::clone(&self.tracer);
        loop {
            tokio::select! {
                biased;
                () = phases.reached(Phase::Stopped) => break,
                () = tick(&mut ticks) => self.tell_points(&phases).await,
                () = tracer.enough.notified() => self.tell_spans(&phases).await,
                _ = pauses.tick() => self.tell_spans(&phases).await,
            }
        }
        self.tell_spans(&phases).await;
        if ticks.is_some() {
            self.tell_points(&phases).await;
        }
    }

    async fn tell_spans(&mut self, phases: &Phases) {
        let waiting = self.tracer.take();
        if waiting.is_empty() {
            return;
        }
        let body = spans::request(&self.resource, &waiting);
        let outcome = self.collector.send(&self.config.traces_url, body, phases).await;
        count(&self.spans, waiting.len() as u64, &outcome);
    }

    async fn tell_points(&mut self, phases: &Phases) {
        let text = (self.render)();
        let (body, told) = points::request(&self.resource, &text, (self.started, clock::wall()));
        let outcome = self.collector.send(&self.config.metrics_url, body, phases).await;
        count(&self.points, told, &outcome);
    }
}

/// Ticks so often, the first time after one interval.
fn every(interval: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Returns when metrics are due; never if they are not told.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

fn count(metrics: &ExportMetrics, told: u64, outcome: &Outcome) {
    match outcome {
        Outcome::Taken { refused } => {
            let refused = told.min(*refused);
            metrics.sent.increment(told - refused);
            metrics.dropped_refused.increment(refused);
        }
        Outcome::Refused => metrics.dropped_refused.increment(told),
        Outcome::Failed => metrics.dropped_failed.increment(told),
    }
}

/// Says which part of the process the data is of.
fn scope() -> Value {
    json!({ "name": "forebay", "version": env!("CARGO_PKG_VERSION") })
}

/// A time as its messages have it: nanoseconds as a decimal string, as all 64-bit numbers in JSON.
fn nanos(time: UnixMicros) -> String {
    (i128::from(time.0.max(0)) * 1_000).to_string()
}
