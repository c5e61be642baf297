//! What a body costs between its last byte and the reply, without sockets: pay, copy, decode, partition, append.

#![allow(clippy::unwrap_used, reason = "a panic in a bench is a failed bench")]

mod harness;

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::edge::aws::kinesis::put::{Form, lay_out, read};
use forebay::edge::aws::protocol::Encoding;
use forebay::edge::decode::Framing;
use forebay::edge::judge::{self, Entry};
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

/// Records of one PutRecords.
const PUT_RECORDS: u64 = 500;
/// Bytes of each.
const PUT_BYTES: usize = 1_024;

/// Web events with a text that makes them a kilobyte.
fn kilobytes() -> Vec<String> {
    let lines = web_events::lines(0..PUT_RECORDS);
    let padded = |line: &str| {
        let padding = PUT_BYTES.saturating_sub(line.len() + ",\"padding\":\"\"".len());
        format!("{},\"padding\":\"{}\"}}", line.trim_end().trim_end_matches('}'), "x".repeat(padding))
    };
    lines.lines().map(padded).collect()
}

/// The same records on the native route and in PutRecords, from the whole body to judged records; PutRecords also brings
/// a key for each.
fn put_records(criterion: &mut Criterion) {
    let records = kilobytes();
    let lines = records.join("\n");
    let mut put = "{\"StreamName\":\"bench\",\"Records\":[".to_owned();
    let mut cbor = minicbor::Encoder::new(Vec::new());
    cbor.map(2).unwrap().str("StreamName").unwrap().str("bench").unwrap();
    cbor.str("Records").unwrap().array(PUT_RECORDS).unwrap();
    for (index, record) in records.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let data = STANDARD.encode(record);
        put.push_str(&format!("{comma}{{\"Data\":\"{data}\",\"PartitionKey\":\"key-{index}\"}}"));
        cbor.map(2).unwrap().str("Data").unwrap().bytes(record.as_bytes()).unwrap();
        cbor.str("PartitionKey").unwrap().str(&format!("key-{index}")).unwrap();
    }
    put.push_str("]}");
    let cbor = cbor.into_writer();
    for (name, judging) in [("syntax", Judging::Syntax), ("schema_and_key", Judging::SchemaAndKey)] {
        let door = Door::new(1, judging);
        let mut group = criterion.benchmark_group(format!("edge/put_500_kilobytes/{name}"));
        group.throughput(Throughput::Elements(PUT_RECORDS));
        group.bench_function("lines", |bencher| {
            bencher.iter(|| door.decode(Framing::Lines, black_box(lines.as_bytes())));
        });
        for (encoding_name, encoding, body) in
            [("json", Encoding::Json, put.as_bytes()), ("cbor", Encoding::Cbor, cbor.as_slice())]
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
