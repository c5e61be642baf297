//! Spans → `ExportTraceServiceRequest`.

use serde_json::{Value, json};

use super::{nanos, scope};
use crate::telemetry::trace::{Span, TraceContext, Value as Attribute};

/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The body of a request.
pub(super) fn request(resource: &Value, spans: &[Span]) -> Vec<u8> {
    let spans: Vec<_> = spans.iter().map(span).collect();
    let scope_spans = json!([{ "scope": scope(), "spans": spans }]);
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scope_spans }] }).to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    let mut value = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        value["parentSpanId"] = parent.to_string().into();
    }
    if let Some(state) = &span.state {
        value["traceState"] = state.to_str().unwrap_or_default().into();
    }
    if !span.links.is_empty() {
        value["links"] = span.links.iter().map(link).collect();
    }
    if span.is_error {
        value["status"] = json!({ "code": ERROR });
    }
    value
}

fn attribute((key, value): &(&'static str, Attribute)) -> Value {
    match value {
        Attribute::Text(text) => json!({ "key": key, "value": { "stringValue": text } }),
        Attribute::Number(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
    }
}

fn link(context: &TraceContext) -> Value {
    json!({ "traceId": context.trace.to_string(), "spanId": context.parent.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::UnixMicros;
    use crate::telemetry::trace::{SpanId, SpanKind, TraceId};

    #[test]
    fn a_span_has_the_form_of_the_specification() {
        let context = TraceContext::new(TraceId::new(), SpanId::new(), true);
        let linked = TraceContext::new(TraceId::new(), SpanId::new(), true);
        let made = Span::of(&context, "POST /v1", SpanKind::Server)
            .between(UnixMicros(1_763_791_200_123_456), UnixMicros(1_763_791_200_123_460))
            .with("url.path", "/v1")
            .with("http.response.status_code", 503);
        let made = Span { links: vec![linked.clone()], is_error: true, ..made };
        let body: Value =
            serde_json::from_slice(&request(&json!({ "attributes": [] }), &[made.clone()])).unwrap();
        let found = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let expected = json!({
            "traceId": context.trace.to_string(),
            "spanId": made.id.to_string(),
            "parentSpanId": context.parent.to_string(),
            "name": "POST /v1",
            "kind": 2,
            "startTimeUnixNano": "1763791200123456000",
            "endTimeUnixNano": "1763791200123460000",
            "attributes": [
                { "key": "url.path", "value": { "stringValue": "/v1" } },
                { "key": "http.response.status_code", "value": { "intValue": "503" } },
            ],
            "links": [{ "traceId": linked.trace.to_string(), "spanId": linked.parent.to_string() }],
            "status": { "code": 2 },
        });
        assert_eq!(found, &expected);
    }
}
