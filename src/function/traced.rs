//! The step of a trace that a call of a function is.

use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::trace::{Span, SpanKind, TraceContext, Tracer};

/// A call that is about records of some requests. It goes on with the trace of the first of them, and names the others.
#[derive(Debug)]
pub struct TracedCall<'a> {
    /// What the function is told.
    pub context: Option<TraceContext>,
    tracer: Option<&'a Tracer>,
    span: Option<Span>,
    started: UnixMicros,
}

impl<'a> TracedCall<'a> {
    /// Begins now. `traces` are those of the requests.
    pub fn begin(tracer: Option<&'a Tracer>, traces: &[TraceContext]) -> Self {
        let tracer = tracer.filter(|tracer| tracer.is_on());
        let name = "call function";
        let span = match (tracer, traces.first()) {
            (Some(_), Some(first)) if first.is_sampled() => Some(Span::of(first, name, SpanKind::Client)),
            (Some(tracer), None) if tracer.is_chosen() => Some(Span::first(name, SpanKind::Client)),
            _ => None,
        };
        let span = span.map(|span| Span { links: traces.iter().skip(1).cloned().collect(), ..span });
        let context = match (&span, traces.first()) {
            (Some(span), Some(first)) => Some(first.at(span.id)),
            (Some(span), None) => Some(TraceContext::new(span.trace, span.id, true)),
            (None, first) => first.cloned(),
        };
        Self { context, tracer, span, started: clock::wall() }
    }

    /// Has ended.
    pub fn end(self, (stream, function): (&str, &str), records: usize, is_error: bool) {
        if let (Some(tracer), Some(span)) = (self.tracer, self.span) {
            let span = span
                .between(self.started, clock::wall())
                .with("forebay.stream", stream.to_owned())
                .with("forebay.function", function.to_owned())
                .with("forebay.records", records as u64);
            tracer.record(Span { is_error, ..span });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::trace::{SpanId, TraceId};

    fn trace(is_sampled: bool) -> TraceContext {
        TraceContext::new(TraceId::new(), SpanId::new(), is_sampled)
    }

    #[test]
    fn a_call_goes_on_with_the_first_trace_and_names_the_others() {
        let tracer = Tracer::new(0.0, Registry::new().unwrap().spans());
        let traces = [trace(true), trace(true), trace(false)];
        let call = TracedCall::begin(Some(&tracer), &traces);
        let context = call.context.clone().unwrap();
        assert_eq!(context.trace, traces[0].trace);
        call.end(("s", "f"), 3, true);
        let spans = tracer.take();
        assert_eq!(
            (spans[0].id, spans[0].parent, spans[0].is_error),
            (context.parent, Some(traces[0].parent), true)
        );
        assert_eq!(spans[0].links, traces[1..]);
    }

    #[test]
    fn what_is_not_recorded_is_handed_on_as_it_is() {
        let tracer = Tracer::new(1.0, Registry::new().unwrap().spans());
        for (tracer, trace) in [(None, trace(true)), (Some(&tracer), trace(false))] {
            let call = TracedCall::begin(tracer, std::slice::from_ref(&trace));
            assert_eq!(call.context, Some(trace));
            call.end(("s", "f"), 1, false);
        }
        assert_eq!(tracer.take().len(), 0);
        let call = TracedCall::begin(Some(&tracer), &[]);
        assert!(call.context.as_ref().is_some_and(TraceContext::is_sampled), "a trace of its own");
        call.end(("s", "f"), 1, false);
        assert_eq!(tracer.take()[0].parent, None);
        assert_eq!(TracedCall::begin(None, &[]).context, None);
    }
}
