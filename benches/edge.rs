//! What a body costs between its last byte and the reply, without sockets: pay, copy, decode, partition, append.

#![allow(clippy::unwrap_used, reason = "a panic in a bench is a failed bench")]

mod harness;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::edge::aws::kinesis::put::{Form, lay_out, read};
use forebay::edge::aws::protocol::Encoding;
use forebay::edge::decode::Framing;
use forebay::edge::judge::{self, Entry};
use forebay::testkit::web_events;
use harness::door::Door;
use harness::forebay::Judging;
use harness::put_records::{Bodies, RECORDS};
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
        let door = Door::new(1, Judging::SchemaKeyAndFacts);
        let (head, ()) = http::Request::post("/v1/streams/bench/records")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
            .header("referer", "https://shop.example/cart?step=2")
            .body(())
            .unwrap()
            .into_parts();
        group.bench_function("decode_and_splice/schema_key_and_facts", |bencher| {
            bencher.iter(|| door.splice(framing, &head, black_box(body)));
        });
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

/// The same records on the native route and in PutRecords, from the whole body to judged records; PutRecords also brings
/// a key for each.
fn put_records(criterion: &mut Criterion) {
    let Bodies { lines, json, cbor } = Bodies::new("bench");
    for (name, judging) in [("syntax", Judging::Syntax), ("schema_and_key", Judging::SchemaAndKey)] {
        let door = Door::new(1, judging);
        let mut group = criterion.benchmark_group(format!("edge/put_500_kilobytes/{name}"));
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function("lines", |bencher| {
            bencher.iter(|| door.decode(Framing::Lines, black_box(lines.as_bytes())));
        });
        for (encoding_name, encoding, body) in
            [("json", Encoding::Json, json.as_bytes()), ("cbor", Encoding::Cbor, cbor.as_slice())]
        {
            group.bench_function(encoding_name, |bencher| {
                bencher.iter(|| {
                    let put = read(encoding, black_box(body), Form::Records).unwrap();
                    put.check(Form::Records).unwrap();
                    let laid_out = lay_out(&put, body).unwrap();
                    let block = laid_out.block.as_deref().unwrap_or(body);
                    let entry = |&(payload, key)| Entry { payload, key, hash_key: None };
                    judge::records(door.intake(), block, laid_out.records.iter().map(entry)).unwrap()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, edge, put_records);
criterion_main!(benches);
