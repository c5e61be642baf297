//! What it costs to know who has sent a request: Signature Version 4, as SDKs sign requests to Kinesis.

mod harness;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forebay::config::Secret;
use forebay::config::checked::{Access, AccessKey, Allowance, Limits, SignatureRule};
use forebay::edge::gate::throttle::Throttle;
use forebay::edge::identity::policy::{Grant, Policy, action_pattern, stream_pattern};
use forebay::edge::identity::signature_v4::{Identities, authenticate};
use forebay::runtime::clock::UnixMicros;
use forebay::telemetry::metrics::Registry;
use harness::aws::{KEY_ID, SECRET, authorization};
use http::request::Parts;
use mimalloc::MiMalloc;
use ring::digest::{SHA256, digest};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// 2015-08-30T12:36:00Z.
const NOW: UnixMicros = UnixMicros(1_440_938_160_000_000);
const TIME: &str = "20150830T123600Z";
const HEADERS: [(&str, &str); 4] = [
    ("content-type", "application/x-amz-json-1.1"),
    ("host", "127.0.0.1:8080"),
    ("x-amz-date", TIME),
    ("x-amz-target", "Kinesis_20131202.PutRecords"),
];

fn identities() -> Identities {
    let Ok(registry) = Registry::new() else { unreachable!("its buckets are right") };
    let pattern = action_pattern("kinesis:Put*").into_iter().collect();
    let access = Access {
        signature: SignatureRule::Required,
        clock_skew: Duration::from_secs(900),
        keys: vec![AccessKey {
            id: KEY_ID.to_owned(),
            secret: Secret::new(SECRET),
            session_token: None,
            policy: Policy::new(vec![Grant::new(pattern, stream_pattern("*").into_iter().collect())]),
            allowance: Allowance::default(),
        }],
    };
    Identities::new(&access, "000000000000", &Throttle::new(&Limits::default(), &registry))
}

/// The head of a request with this body, signed.
fn signed(body: &[u8]) -> Parts {
    let mut request = http::Request::builder().method("POST").uri("/");
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    let authorization = authorization(&HEADERS, body, TIME);
    let Ok(request) = request.header("authorization", authorization).body(()) else {
        unreachable!("all of it is known to be right")
    };
    request.into_parts().0
}

fn identity(criterion: &mut Criterion) {
    for (name, bytes) in [("1KiB", 1 << 10), ("512KiB", 512 << 10)] {
        let body = vec![b'x'; bytes];
        let head = signed(&body);
        let mut group = criterion.benchmark_group(format!("identity/{name}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("sha256_alone", |bencher| bencher.iter(|| digest(&SHA256, black_box(&body))));
        let known = identities();
        group.bench_function("verify", |bencher| {
            let mut body = body.clone();
            bencher.iter(|| {
                let verified = authenticate(&known, black_box(&head), black_box(&mut body), NOW);
                assert!(verified.is_ok_and(|identity| identity.may("kinesis:PutRecords", Some("clicks"))));
            });
        });
        group.bench_function("verify_with_a_new_key", |bencher| {
            let mut body = body.clone();
            bencher.iter_batched(
                identities,
                |fresh| assert!(authenticate(&fresh, black_box(&head), black_box(&mut body), NOW).is_ok()),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("claim", |bencher| {
            bencher.iter(|| assert!(known.claim(black_box(&head), NOW).is_ok()));
        });
        group.finish();
    }
}

criterion_group!(benches, identity);
criterion_main!(benches);
