"""Reads lines of a path and the JSON body that was posted there, and has each judged by the messages of OTLP as
opentelemetry-proto has them. Exits 77 if that is not installed."""

import base64
import sys

try:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
except ImportError:
    sys.exit(77)

MESSAGES = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
}


def hexadecimal(field: bytes) -> bytes:
    """Ids are hexadecimal in OTLP's JSON; protobuf's own mapping has taken them for Base64."""
    return bytes.fromhex(base64.b64encode(field).decode())


def check_spans(request) -> int:
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    for span in spans:
        assert len(hexadecimal(span.trace_id)) == 16 and len(hexadecimal(span.span_id)) == 8, span
        assert not span.parent_span_id or len(hexadecimal(span.parent_span_id)) == 8, span
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
        assert span.name and span.kind, span
        keys = [attribute.key for attribute in span.attributes]
        assert len(keys) == len(set(keys)), keys
    return len(spans)


def check_metrics(request) -> int:
    points = 0
    for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
        kind = metric.WhichOneof("data")
        assert metric.name and metric.description and kind, metric
        data = getattr(metric, kind)
        if kind in ("sum", "histogram"):
            assert data.aggregation_temporality == 2, metric
        if kind == "sum":
            assert data.is_monotonic, metric
        for point in data.data_points:
            points += 1
            assert 0 < point.start_time_unix_nano <= point.time_unix_nano, metric
            if kind == "histogram":
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1, metric
                assert sum(point.bucket_counts) == point.count, metric
                assert list(point.explicit_bounds) == sorted(point.explicit_bounds), metric
    return points


def main() -> None:
    found = {"traces": 0, "metrics": 0}
    for line in sys.stdin:
        path, body = line.split(" ", 1)
        signal = path.rsplit("/", 1)[1]
        # Unknown members are errors.
        request = json_format.Parse(body, MESSAGES[signal]())
        found[signal] += check_spans(request) if signal == "traces" else check_metrics(request)
    assert all(found.values()), found
    print(found)


main()
