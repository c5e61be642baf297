//! Metrics → `ExportMetricsServiceRequest`.

use serde_json::{Value, json};

use super::exposition::{Family, Sample, families};
use super::{nanos, scope};
use crate::runtime::clock::UnixMicros;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// Labels of a series: what tells it from the others of its family.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// The body of a request that tells all metrics of the text form, and how many points it has. `times`: when counters began
/// to count, and now.
pub(super) fn request(resource: &Value, text: &str, times: (UnixMicros, UnixMicros)) -> (Vec<u8>, u64) {
    let mut told = 0;
    let metrics: Vec<_> =
        families(text).iter().filter_map(|family| metric(family, times, &mut told)).collect();
    let scope_metrics = json!([{ "scope": scope(), "metrics": metrics }]);
    let body = json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": scope_metrics }] });
    (body.to_string().into_bytes(), told)
}

fn metric(family: &Family<'_>, times: (UnixMicros, UnixMicros), told: &mut u64) -> Option<Value> {
    let (start, now) = (nanos(times.0), nanos(times.1));
    let number = |sample: &Sample<'_>| {
        sample.value.is_finite().then(|| {
            json!({
                "attributes": attributes(labels(sample, "")),
                "startTimeUnixNano": start,
                "timeUnixNano": now,
                "asDouble": sample.value,
            })
        })
    };
    let (kind, points): (&str, Vec<Value>) = match family.kind {
        "counter" => ("sum", family.samples.iter().filter_map(number).collect()),
        "gauge" => ("gauge", family.samples.iter().filter_map(number).collect()),
        "histogram" => {
            ("histogram", series(family, "le").iter().map(|it| it.histogram(&start, &now)).collect())
        }
        "summary" => {
            ("summary", series(family, "quantile").iter().map(|it| it.summary(&start, &now)).collect())
        }
        _ => return None,
    };
    if points.is_empty() {
        return None;
    }
    *told += points.len() as u64;
    let mut data = json!({ "dataPoints": points });
    if matches!(kind, "sum" | "histogram") {
        data["aggregationTemporality"] = CUMULATIVE.into();
    }
    if kind == "sum" {
        data["isMonotonic"] = true.into();
    }
    let mut metric = json!({ "name": family.name, "description": family.help, "unit": unit(family.name) });
    metric[kind] = data;
    Some(metric)
}

/// In the words of UCUM. Names end in their unit.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn labels<'a>(sample: &'a Sample<'_>, except: &str) -> Labels<'a> {
    let labels = sample.labels.iter().map(|(name, value)| (*name, &**value));
    labels.filter(|(name, _)| *name != except).collect()
}

fn attributes(labels: Labels<'_>) -> Vec<Value> {
    let attribute = |(name, value)| json!({ "key": name, "value": { "stringValue": value } });
    labels.into_iter().map(attribute).collect()
}

/// Samples of a histogram or a summary that are one point.
struct Series<'a> {
    labels: Labels<'a>,
    /// The value of the label that tells them apart, and theirs.
    steps: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

/// Puts the samples of each point together. They stand together in the text.
fn series<'a>(family: &'a Family<'_>, step: &str) -> Vec<Series<'a>> {
    let mut found: Vec<Series<'a>> = Vec::new();
    for sample in &family.samples {
        let labels = labels(sample, step);
        if found.last().is_none_or(|last| last.labels != labels) {
            found.push(Series { labels, steps: Vec::new(), sum: 0.0, count: 0.0 });
        }
        let Some(series) = found.last_mut() else { continue };
        let at = sample.labels.iter().find(|(name, _)| *name == step);
        match (sample.suffix, at.and_then(|(_, at)| at.parse().ok())) {
            ("_sum", _) => series.sum = sample.value,
            ("_count", _) => series.count = sample.value,
            (_, Some(at)) => series.steps.push((at, sample.value)),
            _ => {}
        }
    }
    found
}

impl Series<'_> {
    fn point(&self, start: &str, now: &str) -> Value {
        json!({
            "attributes": attributes(self.labels.clone()),
            "startTimeUnixNano": start,
            "timeUnixNano": now,
            "count": whole(self.count),
            "sum": self.sum,
        })
    }

    fn histogram(&self, start: &str, now: &str) -> Value {
        let bounds: Vec<f64> =
            self.steps.iter().map(|step| step.0).filter(|bound| bound.is_finite()).collect();
        // In the text each bucket has those below it as well.
        let mut below = 0.0;
        let mut counts: Vec<String> = Vec::with_capacity(bounds.len() + 1);
        for (_, count) in self.steps.iter().take(bounds.len()) {
            counts.push(whole(count - below));
            below = *count;
        }
        counts.push(whole(self.count - below));
        let mut point = self.point(start, now);
        point["explicitBounds"] = bounds.into();
        point["bucketCounts"] = counts.into();
        point
    }

    fn summary(&self, start: &str, now: &str) -> Value {
        let finite = self.steps.iter().filter(|(_, value)| value.is_finite());
        let values = finite.map(|(quantile, value)| json!({ "quantile": quantile, "value": value }));
        let mut point = self.point(start, now);
        point["quantileValues"] = values.collect();
        point
    }
}

/// A count as its messages have it: a decimal string.
fn whole(count: f64) -> String {
    (count.max(0.0) as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Registry;

    #[test]
    fn metrics_have_the_form_of_the_specification() {
        let registry = Registry::new().unwrap();
        registry.http_requests("records", 200).increment(7);
        for seconds in [0.000_2, 0.002, 0.002, 100.0] {
            registry.http_duration("records").record(seconds);
        }
        registry.memory().ingest_used.set(12.0);
        registry.run_upkeep();
        let times = (UnixMicros(1), UnixMicros(2));
        let (body, told) = request(&json!({ "attributes": [] }), &registry.render(), times);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let metric = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
        assert_eq!(
            metric("forebay_http_requests_total"),
            &json!({
                "name": "forebay_http_requests_total",
                "description": "Answered requests by route and status code.",
                "unit": "1",
                "sum": {
                    "dataPoints": [{
                        "attributes": [
                            { "key": "route", "value": { "stringValue": "records" } },
                            { "key": "code", "value": { "stringValue": "200" } },
                        ],
                        "startTimeUnixNano": "1000",
                        "timeUnixNano": "2000",
                        "asDouble": 7.0,
                    }],
                    "aggregationTemporality": 2,
                    "isMonotonic": true,
                },
            })
        );
        let used = metric("forebay_memory_used_bytes");
        let values: Vec<_> = used["gauge"]["dataPoints"].as_array().unwrap().iter().collect();
        assert!(values.iter().any(|point| point["asDouble"] == 12.0), "{used}");
        assert_eq!(used["unit"], "By");
        let durations = metric("forebay_http_request_duration_seconds");
        assert_eq!(
            (&durations["unit"], &durations["histogram"]["aggregationTemporality"]),
            (&"s".into(), &2.into())
        );
        let point = &durations["histogram"]["dataPoints"][0];
        let (bounds, counts) = (&point["explicitBounds"], point["bucketCounts"].as_array().unwrap());
        assert_eq!((bounds.as_array().unwrap().len() + 1, &point["count"]), (counts.len(), &"4".into()));
        let place =
            |bound: f64| bounds.as_array().unwrap().iter().position(|it| it.as_f64() == Some(bound)).unwrap();
        assert_eq!((&counts[place(0.000_25)], &counts[place(0.002_5)]), (&"1".into(), &"2".into()));
        assert_eq!(counts.last().unwrap(), "1");
        let points: usize = metrics
            .iter()
            .flat_map(|metric| {
                ["sum", "gauge", "histogram", "summary"].map(|kind| &metric[kind]["dataPoints"])
            })
            .filter_map(|points| points.as_array().map(Vec::len))
            .sum();
        assert_eq!(told, points as u64);
    }
}
