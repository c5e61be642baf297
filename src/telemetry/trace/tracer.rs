//! Which steps are told to a collector, and what waits to be.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::sync::Notify;

use super::context::{SpanId, TraceContext, TraceId};
use super::span::Span;
use crate::config::limits::{TRACE_SPANS_BATCH, TRACE_SPANS_MAX};
use crate::telemetry::metrics::ExportMetrics;

/// The step of a trace that a request is.
#[derive(Debug, Clone)]
pub struct Step {
    /// The trace as it goes on from here: for what is called next, and for logs.
    pub context: TraceContext,
    /// There if the step is told to a collector.
    pub recorded: Option<Recorded>,
}

/// A step that is told to a collector when it ends. Its id is the parent of what it causes.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    /// The step that has caused it; none at the beginning of a trace.
    pub parent: Option<SpanId>,
}

impl Step {
    /// Of a request that says that it belongs to a trace, where nothing is told to a collector.
    pub fn passing(headers: &HeaderMap) -> Option<Self> {
        TraceContext::of(headers).map(|context| Self { context, recorded: None })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Tracer {
    /// Whether anything is recorded.
    is_on: AtomicBool,
    /// The part of the traces that begin here which are recorded: the bits of a number from 0 to 1.
    sample: AtomicU64,
    waiting: Mutex<Vec<Span>>,
    /// There are enough for a request to the collector.
    pub enough: Notify,
    metrics: ExportMetrics,
}

impl Tracer {
    /// Records this part, from 0 to 1, of the traces that begin here, and of others those that are recorded already.
    pub fn new(sample: f64, metrics: ExportMetrics) -> Self {
        let (is_on, sample) = (AtomicBool::new(true), AtomicU64::new(sample.to_bits()));
        Self { is_on, sample, waiting: Mutex::default(), enough: Notify::new(), metrics }
    }

    /// Records nothing.
    pub fn off(metrics: ExportMetrics) -> Self {
        Self { is_on: AtomicBool::new(false), ..Self::new(0.0, metrics) }
    }

    /// Records another part from now on, or nothing: steps that have begun and not ended are not told then.
    pub fn set(&self, sample: Option<f64>) {
        self.sample.store(sample.unwrap_or_default().to_bits(), Ordering::Relaxed);
        self.is_on.store(sample.is_some(), Ordering::Relaxed);
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The step that a request with these headers is.
    pub fn step(&self, headers: &HeaderMap) -> Option<Step> {
        if !self.is_on() {
            return Step::passing(headers);
        }
        match TraceContext::of(headers) {
            Some(context) if context.is_sampled() => {
                let recorded = Some(Recorded { parent: Some(context.parent) });
                Some(Step { context: context.at(SpanId::new()), recorded })
            }
            // Whoever has begun it does not record it.
            Some(context) => Some(Step { context, recorded: None }),
            None if self.is_chosen() => {
                let context = TraceContext::new(TraceId::new(), SpanId::new(), true);
                Some(Step { context, recorded: Some(Recorded { parent: None }) })
            }
            None => None,
        }
    }

    /// Whether a trace that begins now is recorded.
    pub fn is_chosen(&self) -> bool {
        let sample = f64::from_bits(self.sample.load(Ordering::Relaxed));
        self.is_on() && (sample >= 1.0 || fastrand::f64() < sample)
    }

    /// Leaves a step to be told. Where too many wait it is dropped and counted.
    pub fn record(&self, span: Span) {
        if !self.is_on() {
            return;
        }
        let mut waiting = self.lock();
        if waiting.len() >= TRACE_SPANS_MAX {
            return self.metrics.dropped_full.increment(1);
        }
        waiting.push(span);
        if waiting.len() == TRACE_SPANS_BATCH {
            drop(waiting);
            self.enough.notify_one();
        }
    }

    /// Takes what waits.
    pub fn take(&self) -> Vec<Span> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Span>> {
        // Nothing panics under it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::trace::SpanKind;
    use crate::telemetry::trace::context::TRACE_PARENT;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn headers(flags: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("00-{TRACE}-b7ad6b7169203331-{flags}")).unwrap();
        [(TRACE_PARENT, value)].into_iter().collect()
    }

    fn tracer(sample: f64) -> Tracer {
        Tracer::new(sample, Registry::new().unwrap().spans())
    }

    #[test]
    fn a_trace_is_recorded_where_its_client_records_it() {
        for sample in [0.0, 1.0] {
            let tracer = tracer(sample);
            let step = tracer.step(&headers("01")).unwrap();
            assert_eq!(step.context.trace.to_string(), TRACE);
            assert_eq!(step.recorded.unwrap().parent.unwrap().to_string(), "b7ad6b7169203331");
            assert_ne!(
                step.context.parent.to_string(),
                "b7ad6b7169203331",
                "what follows is caused by this step"
            );
            let step = tracer.step(&headers("00")).unwrap();
            assert!(step.recorded.is_none());
            assert_eq!(step.context.header(), format!("00-{TRACE}-b7ad6b7169203331-00"));
        }
    }

    #[test]
    fn of_traces_that_begin_here_a_part_is_recorded() {
        let begun = |sample: f64| {
            let tracer = tracer(sample);
            (0..100_000).filter(|_| tracer.step(&HeaderMap::new()).is_some()).count()
        };
        assert_eq!((begun(0.0), begun(1.0)), (0, 100_000));
        // Six standard deviations of a binomial distribution to each side.
        let some = begun(0.1);
        assert!((9_430..=10_570).contains(&some), "{some}");
        let step = tracer(1.0).step(&HeaderMap::new()).unwrap();
        assert!(step.recorded.unwrap().parent.is_none() && step.context.is_sampled());
    }

    #[test]
    fn what_waits_is_bounded() {
        let registry = Registry::new().unwrap();
        let tracer = Tracer::new(1.0, registry.spans());
        for _ in 0..TRACE_SPANS_MAX + 7 {
            tracer.record(Span::first("s", SpanKind::Internal));
        }
        assert_eq!((tracer.take().len(), tracer.take().len()), (TRACE_SPANS_MAX, 0));
        assert!(registry.render().contains("forebay_otlp_dropped_total{signal=\"spans\",why=\"full\"} 7"));
    }
}
