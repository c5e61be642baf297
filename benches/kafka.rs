//! What a delivery into Kafka, and a log in Kafka, cost beside the library alone.
//!
//! Cases `plain`, `headers` and `headers_lz4`: what a delivery into Kafka costs beside a bare producer of the same library
//! that sends the same messages to the same broker: CPU time of this process for each. The broker is another process
//! (`FOREBAY_KAFKA`), whose time does not count.
//!
//! ```text
//! tests/infra/kafka.sh cargo bench --bench kafka             # or behind it: -- headers, -- log
//! ```
//!
//! Rounds of both alternate, so that what else runs on the machine hits both; the ratio is that of the medians. It should
//! be below 1.5. Case `log`: see [`log`].

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has no result")]
#![expect(clippy::print_stdout, reason = "its result")]

mod harness;
#[path = "kafka/log.rs"]
mod log;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay::config::checked::{FanOut, Stream as StreamConfig};
use forebay::config::load;
use forebay::delivery::fan_out::{Parts, Slots, WhenFenced, Worker, identity};
use forebay::delivery::{Begin, Fields, Status, Stop};
use forebay::record::{Batch, Content, RecordSpans, ShardId, Source, Span};
use forebay::runtime::budget::Budget;
use forebay::runtime::clock;
use forebay::runtime::phases::{Phase, Phases};
use forebay::stream::{Backing, Captures, Stream};
use forebay::telemetry::metrics::Registry;
use forebay::testkit::broker::Broker;
use forebay::testkit::web_events;
use harness::Call;
use harness::clocks::process_cpu;
use mimalloc::MiMalloc;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Records of a request.
const BATCH: u64 = 100;
const PARTITIONS: i32 = 4;

/// What a round is about.
struct Case {
    name: &'static str,
    compression: &'static str,
    has_headers: bool,
}

const CASES: [Case; 3] = [
    Case { name: "plain", compression: "none", has_headers: false },
    Case { name: "headers", compression: "none", has_headers: true },
    Case { name: "headers_lz4", compression: "lz4", has_headers: true },
];

fn main() {
    let call = Call::read();
    let Some(broker) = Broker::shared() else { return };
    let records = call.amount(200_000, 5_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{records} records of {} bytes or so, CPU time of this process", web_events::event(1).len());
    for case in CASES.iter().filter(|case| call.wants(case.name)) {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..call.rounds(5) {
            bare.push(bare_producer(&broker, case, records));
            ours.push(runtime.block_on(fan_out(&broker, case, records)));
        }
        let (bare, ours) = (median(&mut bare), median(&mut ours));
        let each = |time: Duration| time.as_nanos() as f64 / records as f64;
        println!(
            "{:12} bare producer {:5.0} ns a record, fan-out {:5.0} ns, ratio {:.2}",
            case.name,
            each(bare),
            each(ours),
            ours.as_secs_f64() / bare.as_secs_f64()
        );
    }
    if call.wants("log") {
        log::run(&call, &broker);
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn batches(records: u64) -> Vec<Batch> {
    (0..records / BATCH).map(|request| batch(request * BATCH)).collect()
}

/// A request's records, with one of a thousand keys each.
fn batch(first: u64) -> Batch {
    let (mut body, mut spans) = (Vec::new(), Vec::new());
    for index in first..first + BATCH {
        let start = body.len();
        body.extend_from_slice(web_events::event(index).as_bytes());
        let middle = body.len();
        body.extend_from_slice(format!("visitor-{}", index % 1_000).as_bytes());
        let (payload, key) = (Span::new(start, middle), Span::new(middle, body.len()));
        spans.push(RecordSpans { payload, key, refusal: Span::ABSENT });
    }
    let permit = Budget::new(u64::MAX).take_anyway(0);
    let (body, side, arrival) = (Bytes::from(body), Bytes::new(), clock::wall());
    let source = Arc::new(Source { body, content: Content::Json, side, arrival, permit });
    Batch { source, records: spans.into(), captures: Box::default(), aggregates: Box::default() }
}

/// The library alone: the same messages, handed over in a loop and waited for.
fn bare_producer(broker: &Broker, case: &Case, records: u64) -> Duration {
    let topic = broker.topic("bare", PARTITIONS, &[]).unwrap();
    let batches = batches(records);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.servers()).set("enable.idempotence", "true");
    config.set("compression.codec", case.compression).set("partitioner", "murmur2_random");
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "1048576");
    config.set("delivery.report.only.error", "true");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let before = process_cpu();
    let mut number = 0_u64;
    for batch in &batches {
        for record in &batch.records {
            let mut message = BaseRecord::<[u8], [u8]>::to(&topic)
                .payload(batch.source.bytes(record.payload))
                .key(batch.source.bytes(record.key))
                .timestamp(batch.source.arrival.0 / 1_000);
            if case.has_headers {
                let text = |key, value: &str| (key, value.to_owned());
                let headers = [
                    text("forebay.stream", "bench"),
                    text("forebay.shard", "shardId-000000000000"),
                    text("forebay.sequence_number", &(1_800_000_000_000_000 + number).to_string()),
                    text("forebay.arrival_time", &batch.source.arrival.0.to_string()),
                ];
                let insert = |all: OwnedHeaders, (key, value): &(&str, String)| {
                    all.insert(Header { key, value: Some(value) })
                };
                message = message.headers(headers.iter().fold(OwnedHeaders::new_with_capacity(4), insert));
            }
            producer.send(message).map_err(|(error, _)| error).unwrap();
            number += 1;
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    let used = process_cpu() - before;
    broker.remove_topic(&topic).unwrap();
    used
}

/// The pipeline's settings, as they come from files.
fn settings(broker: &Broker, case: &Case, topic: &str) -> (StreamConfig, FanOut) {
    let folder = tempfile::tempdir().unwrap();
    let headers = if case.has_headers { "" } else { ", headers = []" };
    let text = format!(
        "[stream]\nname = \"bench\"\ndurability = \"memory\"\n[[delivery]]\nname = \"bus\"\n\
         sink = {{ kafka = \"{}\", topic = \"{topic}\", compression = \"{}\", progress_topic = \"{topic}.progress\"{headers} }}\n",
        broker.servers(),
        case.compression
    );
    let file = folder.path().join("bench.toml");
    std::fs::write(&file, text).unwrap();
    let mut config = load(&[file], None, &|_| None).unwrap();
    let mut pipeline = config.pipelines.remove(0);
    (pipeline.stream, pipeline.fan_outs.remove(0))
}

/// The delivery, from a stream in memory that has all records.
async fn fan_out(broker: &Broker, case: &Case, records: u64) -> Duration {
    let topic = broker.topic("ours", PARTITIONS, &[]).unwrap();
    let (stream, config) = settings(broker, case, &topic);
    let registry = Registry::new().unwrap();
    let plan = Captures::default().plan().unwrap();
    let stream = Arc::new(Stream::new(&stream, Backing::Memory, 1, plan, registry.stream("bench")));
    for batch in batches(records) {
        drop(stream.append(vec![(ShardId(0), batch)], None).unwrap());
    }
    let status = Arc::new(Status::new(Arc::clone(&stream), "bus", &registry));
    let phases = Phases::new();
    phases.advance(Phase::Draining);
    let parts = Arc::new(Parts {
        slots: Slots::of(&config, &mut Captures::default()),
        config: Arc::new(config),
        stream: Arc::clone(&stream),
        reader: 0,
        fields: Fields::OfStream(0),
        status: Arc::clone(&status),
        metrics: registry.kafka("bench", "bus"),
        budget: Budget::new(64 << 20),
        identity: identity(&topic, "bench", "bus"),
        inherits: None,
        begin: Begin::Oldest,
        when_fenced: WhenFenced::Halt,
    });
    let (before, began) = (process_cpu(), Instant::now());
    drop(Worker::new(&parts).run(phases, Stop::new()).await);
    let (used, took) = (process_cpu() - before, began.elapsed());
    assert_eq!(status.report().delivered, records, "{:?}", status.report());
    assert!(took < Duration::from_secs(300));
    broker.remove_topic(&topic).unwrap();
    broker.remove_topic(&format!("{topic}.progress")).unwrap();
    used
}
