//! A topic as the log of a fleet, beside a plain producer and consumer of the same library on the same broker.
//!
//! All of it is on one machine: two edges with clients that send batches as fast as they are answered, two nodes that
//! deliver the shards to files, and the broker. Its share of the pair's rate is what a fleet makes of a broker that is
//! the bottleneck; it should be 0.8 or more.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::web_events;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::harness::client::{closed_loop, post};
use crate::harness::clocks::process_cpu;
use crate::harness::forebay::{Server, configure_with};
use crate::harness::{Call, median};
use crate::{BATCH, PARTITIONS};

const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_secs(5);
/// Of each edge.
const CONNECTIONS: usize = 16;
/// The most that a client takes of one answer. Some brokers give all that a partition has behind an offset, whatever they
/// were asked for.
const ANSWER_BYTES_MAX: u32 = 2_000_000_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// One round of either: records a second until the last one is where it belongs, and CPU time of this process.
struct Round {
    rate: f64,
    cpu_ns: f64,
}

impl Round {
    fn new(records: u64, wall: Duration, cpu: Duration) -> Self {
        let records = records as f64;
        Self { rate: records / wall.as_secs_f64(), cpu_ns: cpu.as_nanos() as f64 / records }
    }
}

/// Measures and prints both.
pub fn run(call: &Call, broker: &Broker) {
    let duration = call.duration(ROUND_DURATION);
    let (mut pairs, mut fleets) = (Vec::new(), Vec::new());
    for _ in 0..call.rounds(ROUNDS) {
        pairs.push(pair(broker, duration));
        fleets.push(fleet(broker, duration));
    }
    for (name, rounds) in [("producer and consumer", &pairs), ("two edges, two deliveries", &fleets)] {
        println!(
            "log          {name:26} {:9.0} records/s, {:6.0} ns of this process a record",
            median(rounds.iter().map(|round| round.rate)),
            median(rounds.iter().map(|round| round.cpu_ns)),
        );
    }
    let share = median(pairs.iter().zip(&fleets).map(|(pair, fleet)| fleet.rate / pair.rate));
    println!("log          the fleet has {share:.2} of the pair's rate");
}

/// One producer and one consumer that does nothing but count.
fn pair(broker: &Broker, duration: Duration) -> Round {
    let topic = broker.topic("pair", PARTITIONS, &[]).unwrap();
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), process_cpu());
    thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(broker, &topic, &is_over, &sent));
        produce(broker, &topic, duration, &sent);
        is_over.store(true, Ordering::Release);
        consumer.join().unwrap();
    });
    let round = Round::new(sent.load(Ordering::Relaxed), began.elapsed(), process_cpu() - cpu);
    broker.remove_topic(&topic).unwrap();
    round
}

fn produce(broker: &Broker, topic: &str, duration: Duration, sent: &AtomicU64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.servers()).set("enable.idempotence", "true");
    config.set("partitioner", "murmur2_random").set("delivery.report.only.error", "true");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let messages: Vec<_> =
        (0..1_000).map(|index| (web_events::event(index), format!("visitor-{index}"))).collect();
    let began = Instant::now();
    let mut count = 0;
    for (payload, key) in messages.iter().cycle() {
        let mut message = BaseRecord::to(topic).payload(payload).key(key);
        while let Err((error, back)) = producer.send(message) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            thread::sleep(Duration::from_millis(1));
            message = back;
        }
        count += 1;
        if count % 256 == 0 && began.elapsed() > duration {
            break;
        }
    }
    producer.flush(PATIENCE).unwrap();
    sent.store(count, Ordering::Relaxed);
}

fn consume(broker: &Broker, topic: &str, is_over: &AtomicBool, sent: &AtomicU64) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.servers())
        .set("group.id", "unused")
        .set("receive.message.max.bytes", ANSWER_BYTES_MAX.to_string())
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut next = [0; PARTITIONS as usize];
    let began = Instant::now();
    while !is_over.load(Ordering::Acquire) || next.iter().sum::<i64>() < sent.load(Ordering::Relaxed) as i64 {
        match consumer.poll(Duration::from_millis(10)) {
            None => {}
            Some(Ok(message)) => next[message.partition() as usize] = message.offset() + 1,
            Some(Err(error)) => panic!("the consumer stands at {next:?}: {error}"),
        }
        assert!(began.elapsed() < PATIENCE, "the consumer has {next:?} and gets no more");
    }
}

/// Two edges and two nodes that deliver.
fn fleet(broker: &Broker, duration: Duration) -> Round {
    let topic = broker.topic("fleet", PARTITIONS, &[]).unwrap();
    let (shared, group) = (tempfile::tempdir().unwrap(), fresh_name("bench"));
    let node = |name: &str, role: &str| {
        let folder = shared.path().display();
        let text = format!(
            "node = \"{name}\"\n[[kafka]]\nname = \"main\"\nbrokers = [\"{}\"]\n\
             client = {{ \"receive.message.max.bytes\" = \"{ANSWER_BYTES_MAX}\" }}\n[cluster]\n\
             ledger = \"file://{folder}/ledgers/\"\nroles = [\"{role}\"]\ngroup = \"{group}\"\n",
            broker.servers()
        );
        let pipeline = format!(
            "[stream]\nname = \"events\"\nlog = {{ kafka = \"main\", topic = \"{topic}\" }}\n\
             [ingest]\npartition_key = \"{}\"\n[[delivery]]\nname = \"lake\"\n\
             sink = {{ url = \"file://{folder}/lake/\" }}\nprefix = \"\"\nformat = \"json\"\ncompression = \"none\"\n\
             buffer = {{ size = \"64MiB\", interval = \"1s\" }}\n",
            web_events::KEY_POINTER
        );
        Server::of(configure_with(&[("events".to_owned(), pipeline)], &text))
    };
    let edges = [node("edge-1", "edge"), node("edge-2", "edge")];
    let deliveries = [node("delivery-1", "delivery"), node("delivery-2", "delivery")];
    let request = post("events", "application/x-ndjson", &web_events::lines(0..BATCH));
    // What is sent while a closed loop warms up, and after it was measured, is not told: so the files are what counts.
    let (began, cpu) = (Instant::now(), process_cpu());
    thread::scope(|scope| {
        for edge in &edges {
            scope.spawn(|| closed_loop(edge.address(), &request, CONNECTIONS, duration));
        }
    });
    drop(edges);
    let delivered = settled_lines(&shared.path().join("lake"));
    let round = Round::new(delivered.lines, delivered.last - began, process_cpu() - cpu);
    drop(deliveries);
    broker.remove_topic(&topic).unwrap();
    round
}

/// What is in the lake once nothing more comes.
struct Delivered {
    lines: u64,
    /// When the last file came.
    last: Instant,
}

/// Waits until no file has come for longer than a buffer's interval twice.
fn settled_lines(lake: &Path) -> Delivered {
    let began = Instant::now();
    let (mut files, mut last) = (0, began);
    while last.elapsed() < Duration::from_secs(4) {
        assert!(began.elapsed() < PATIENCE, "files keep coming");
        let now = std::fs::read_dir(lake).map_or(0, Iterator::count);
        if now != files {
            (files, last) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let lines = std::fs::read_dir(lake).unwrap().map(|entry| count_lines(&entry.unwrap().path())).sum();
    Delivered { lines, last }
}

fn count_lines(path: &Path) -> u64 {
    let (mut file, mut block, mut lines) = (File::open(path).unwrap(), vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut block).unwrap();
        if read == 0 {
            return lines;
        }
        lines += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
    }
}
