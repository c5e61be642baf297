//! What one record costs to scan, to capture from, and to validate: web events of about 331 bytes as lines of one body.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: criterion's macro makes the items, a panic ends the run"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::json::{Pointer, Scanner};
use forebay::schema::validation::{Plan, Scratch, Verdict};
use forebay::testkit::web_events;
use serde_json::Value;

const RECORDS: usize = 1_000;
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
    let body = web_events::lines(0..RECORDS as u64);
    let schema = web_events::schema();
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
