//! What one record costs to scan, to capture from, and to validate: web events of 331 bytes as lines of one body.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: criterion's macro makes the items, a panic ends the run"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::json::{Pointer, Scanner};
use forebay::schema::validation::{Plan, Scratch, Verdict};
use serde_json::{Value, json};

const RECORDS: usize = 1_000;
const RECORD_BYTES: usize = 331;

/// One event. The user agent is filled up so that every record has the same length.
fn event(index: usize) -> String {
    let fields = [
        ("client_ip", json!(format!("203.0.{}.{}", index % 100 + 100, index % 155 + 100))),
        (
            "timestamp",
            json!(format!("2019-01-22T{:02}:{:02}:{:02}Z", index / 3600 % 24, index / 60 % 60, index % 60)),
        ),
        ("method", json!(if index.is_multiple_of(7) { "POST" } else { "GET" })),
        ("path", json!(format!("/product/{}/details?page={}", 10_000 + index, index % 10))),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(if index.is_multiple_of(11) { 404 } else { 200 })),
        ("bytes", json!(10_000 + index * 13 % 80_000)),
        ("referrer", json!("https://www.example.com/search/shoes")),
        ("user_agent", json!("Mozilla/5.0 (Linux; Android 9) ")),
    ];
    let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let record = format!("{{{}}}", members.join(","));
    let padding = "x".repeat(RECORD_BYTES - record.len());
    record.replace("Android 9) ", &format!("Android 9) {padding}"))
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["client_ip", "timestamp", "method", "path", "status"],
        "properties": {
            "client_ip": {"type": "string", "minLength": 7, "maxLength": 45},
            "timestamp": {"type": "string", "format": "date-time"},
            "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]},
            "path": {"type": "string", "minLength": 1, "maxLength": 2048},
            "protocol": {"type": ["string", "null"]},
            "status": {"type": "integer", "minimum": 100, "maximum": 599},
            "bytes": {"type": "integer", "minimum": 0},
            "referrer": {"type": ["string", "null"], "maxLength": 2048},
            "user_agent": {"type": ["string", "null"], "maxLength": 1024},
        },
        "additionalProperties": false,
    })
}

fn check_all(plan: &Plan, body: &str, scratch: &mut Scratch) -> usize {
    let mut scanner = Scanner::new(body);
    let mut fits = 0;
    while scanner.peek().is_ok() {
        fits += usize::from(plan.check(&mut scanner, scratch) == Ok(Verdict::Fits));
        black_box(scratch.captures());
    }
    fits
}

fn validate(criterion: &mut Criterion) {
    let body: String = (0..RECORDS).map(|index| event(index) + "\n").collect();
    assert_eq!(body.len(), RECORDS * (RECORD_BYTES + 1));
    let schema = schema();
    let captures = [Pointer::parse("/client_ip").unwrap(), Pointer::parse("/timestamp").unwrap()];
    let mut scratch = Scratch::new();

    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("scanner", |bencher| {
        bencher.iter(|| {
            let mut scanner = Scanner::new(black_box(&body));
            while scanner.peek().is_ok() {
                scanner.skip_value().unwrap();
            }
            scanner.position()
        });
    });
    let plans = [
        ("captures", Plan::compile(None, &captures).unwrap()),
        ("schema", Plan::compile(Some(&schema), &[]).unwrap()),
        ("schema_and_captures", Plan::compile(Some(&schema), &captures).unwrap()),
    ];
    for (name, plan) in &plans {
        assert!(plan.is_compiled());
        assert_eq!(check_all(plan, &body, &mut scratch), RECORDS);
        group.bench_function(*name, |bencher| {
            bencher.iter(|| check_all(plan, black_box(&body), &mut scratch));
        });
    }
    group.bench_function("serde_json_ignored", |bencher| {
        bencher.iter(|| {
            let values =
                serde_json::Deserializer::from_str(black_box(&body)).into_iter::<serde::de::IgnoredAny>();
            values.filter(Result::is_ok).count()
        });
    });
    let crate_form = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    group.bench_function("jsonschema_crate", |bencher| {
        bencher.iter(|| {
            let values = serde_json::Deserializer::from_str(black_box(&body)).into_iter::<Value>();
            values.filter(|value| value.as_ref().is_ok_and(|value| crate_form.is_valid(value))).count()
        });
    });
    group.finish();
}

criterion_group!(benches, validate);
criterion_main!(benches);
