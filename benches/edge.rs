//! What a body costs between its last byte and the reply, without sockets: pay, copy, decode, partition, append.

mod harness;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::edge::decode::Framing;
use forebay::testkit::web_events;
use harness::door::Door;
use harness::forebay::Judging;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const BATCH_EVENTS: u64 = 100;

fn edge(criterion: &mut Criterion) {
    let batch = web_events::lines(0..BATCH_EVENTS);
    let single = web_events::typical_event();
    let bodies =
        [("batch_of_100", Framing::Lines, batch.as_bytes()), ("single", Framing::Json, single.as_bytes())];
    for (body_name, framing, body) in bodies {
        let mut group = criterion.benchmark_group(format!("edge/{body_name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for (judging_name, judging) in
            [("syntax", Judging::Syntax), ("key", Judging::Key), ("schema_and_key", Judging::SchemaAndKey)]
        {
            let door = Door::new(1, judging);
            group.bench_function(format!("decode/{judging_name}"), |bencher| {
                bencher.iter(|| door.decode(framing, black_box(body)));
            });
        }
        for shards in [1, 4, 64] {
            let door = Door::new(shards, Judging::SchemaAndKey);
            group.bench_function(format!("decode_partition/{shards}_shards"), |bencher| {
                bencher.iter(|| door.batches(framing, black_box(body)));
            });
            group.bench_function(format!("decode_partition_append/{shards}_shards"), |bencher| {
                bencher.iter(|| door.append(framing, black_box(body)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, edge);
criterion_main!(benches);
