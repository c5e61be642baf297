//! Fan-outs against librdkafka's mock cluster, which fails on demand. It does not keep transactions apart, so that what
//! becomes of them is tested with a real broker, in `tests/kafka/`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{Parts, Slots, WhenFenced, Worker, identity, identity_of_shard, shared_identity};
use crate::config::{checked, node_for_tests, pipeline_of_text};
use crate::delivery::{Begin, Fields, Status, Stop};
use crate::record::{Batch, Content, RecordSpans, ShardId, Source, Span};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::Registry;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream in memory with `shards` shards.
pub fn memory_stream(shards: u32, registry: &Registry) -> Arc<Stream> {
    let config = checked::Stream {
        name: "clicks".into(),
        shards,
        durability: checked::Durability::Memory,
        retention: Duration::from_secs(3600),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: checked::LogPlace::Local,
        quotas: Default::default(),
    };
    let plan = Captures::default().plan().unwrap();
    Arc::new(Stream::new(&config, Backing::Memory, 1, plan, registry.stream("clicks")))
}

/// Appends records with these keys and payloads to one shard.
fn append(stream: &Stream, shard: u32, records: &[(&str, &str)]) {
    let (mut body, mut spans) = (Vec::new(), Vec::new());
    for (key, payload) in records {
        let start = body.len();
        body.extend_from_slice(payload.as_bytes());
        let middle = body.len();
        body.extend_from_slice(key.as_bytes());
        let (payload, key) = (Span::new(start, middle), Span::new(middle, body.len()));
        spans.push(RecordSpans { payload, key, refusal: Span::ABSENT });
    }
    let permit = Budget::new(u64::MAX).take_anyway(0);
    let (body, side, arrival) = (Bytes::from(body), Bytes::new(), clock::wall());
    let source = Arc::new(Source { body, content: Content::Json, side, arrival, permit });
    let (records, captures) = (spans.into(), Box::default());
    let batch = Batch { source, records, captures, aggregates: Box::default() };
    drop(stream.append(vec![(ShardId(shard), batch)], None).unwrap());
}

/// A fan-out of a stream in memory, and what it runs against.
struct Scene {
    cluster: MockCluster<'static, DefaultProducerContext>,
    stream: Arc<Stream>,
    status: Arc<Status>,
    budget: Arc<Budget>,
    phases: Phases,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    /// With a topic `t` of so many partitions.
    fn begin(partitions: i32, more: &str) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for (topic, partitions) in [("t", partitions), ("forebay.progress", 2), ("t.dead", 1)] {
            cluster.create_topic(topic, partitions, 1).unwrap();
        }
        let registry = Registry::new().unwrap();
        let stream = memory_stream(2, &registry);
        let servers = cluster.bootstrap_servers();
        let text = format!(
            "[stream]\nname = \"clicks\"\n[[delivery]]\nname = \"bus\"\n\
             sink = {{ kafka = \"{servers}\", topic = \"t\", transaction = {{ interval = \"20ms\" }}{more} }}\n"
        );
        let made = pipeline_of_text(&text, &node_for_tests("")).unwrap_or_else(|wrong| panic!("{wrong}"));
        let config = Arc::new(made.fan_outs[0].clone());
        let status = Arc::new(Status::new(Arc::clone(&stream), "bus", &registry));
        let (phases, budget) = (Phases::new(), Budget::new(64 << 20));
        phases.advance(Phase::Serving);
        let parts = Arc::new(Parts {
            slots: Slots::of(&config, &mut Captures::default()),
            config,
            stream: Arc::clone(&stream),
            reader: 0,
            fields: Fields::OfStream(0),
            status: Arc::clone(&status),
            metrics: registry.kafka("clicks", "bus"),
            budget: Arc::clone(&budget),
            identity: identity("node.1", "clicks", "bus"),
            inherits: None,
            begin: Begin::Oldest,
            when_fenced: WhenFenced::Halt,
        });
        let (worker, of_worker) = (Worker::new(&parts), phases.clone());
        let task = tokio::spawn(async move { drop(worker.run(of_worker, Stop::new()).await) });
        Self { cluster, stream, status, budget, phases, task }
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.status.report());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn delivered(&self, records: u64) {
        self.until("delivered", || self.status.report().delivered >= records).await;
    }

    /// Drains it, and returns what is in the topic: key, payload and partition.
    async fn end(self, partitions: i32) -> Vec<(String, String, i32)> {
        self.phases.advance(Phase::Draining);
        tokio::time::timeout(PATIENCE, self.task).await.expect("in time").expect("no panic");
        let report = self.status.report();
        assert_eq!((report.pending, &report.paused), (0, &None), "{report:?}");
        assert_eq!(self.budget.used(), 0, "everything is given back");
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", "reader");
        let consumer: BaseConsumer = config.set("enable.partition.eof", "true").create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset("t", partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (mut found, mut left, began) = (Vec::new(), partitions, Instant::now());
        while left > 0 {
            assert!(began.elapsed() < PATIENCE, "the topic has no end");
            match consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    let text =
                        |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                    found.push((text(message.key()), text(message.payload()), message.partition()));
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
                _ => {}
            }
        }
        found
    }
}

/// Keys with the hash that Apache Kafka's own test has for them (`UtilsTest.testMurmur2`).
const MURMUR2: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
];

#[tokio::test(flavor = "multi_thread")]
async fn murmur2_is_that_of_javas_producer() {
    let scene = Scene::begin(13, "");
    let records: Vec<_> = MURMUR2.iter().map(|&(key, _)| (key, "{}")).collect();
    append(&scene.stream, 0, &records);
    scene.delivered(6).await;
    let found: BTreeMap<_, _> = scene.end(13).await.into_iter().map(|(key, _, at)| (key, at)).collect();
    // `toPositive(murmur2(key)) % partitions`
    let expected = MURMUR2.map(|(key, hash)| (key.to_owned(), (hash & 0x7fff_ffff) % 13));
    assert_eq!(found, expected.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_shard_keep_their_order_while_a_leader_moves_and_connections_break() {
    let scene = Scene::begin(2, ", guarantee = \"at_least_once\", partitioner = \"shard\"");
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ];
    for round in 0..6 {
        scene.cluster.request_errors(RDKafkaApiKey::Produce, &errors[..round % 4]);
        for shard in 0..2 {
            let payloads: Vec<_> = (0..50).map(|n| (round * 50 + n).to_string()).collect();
            let records: Vec<_> = payloads.iter().map(|payload| ("", payload.as_str())).collect();
            append(&scene.stream, shard, &records);
        }
        scene.delivered((round as u64 + 1) * 100).await;
    }
    let found = scene.end(2).await;
    for partition in 0..2 {
        let of_it =
            found.iter().filter(|(.., at)| *at == partition).map(|(_, payload, _)| payload.parse().unwrap());
        let numbers: Vec<u32> = of_it.collect();
        assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "an idempotent producer doubles nothing by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn being_denied_pauses_it_until_it_is_not() {
    let scene = Scene::begin(1, ", guarantee = \"at_least_once\"");
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    scene.cluster.request_errors(RDKafkaApiKey::Produce, &[denied; 3]);
    append(&scene.stream, 0, &[("k", "1"), ("k", "2")]);
    let paused = || scene.status.report().paused.is_some_and(|why| why.contains("ACL"));
    scene.until("paused", paused).await;
    scene.delivered(2).await;
    let found = scene.end(1).await;
    assert!(found.ends_with(&[("k".into(), "1".into(), 0), ("k".into(), "2".into(), 0)]), "{found:?}");
}

#[test]
fn no_two_deliveries_that_are_shared_have_the_same_name() {
    // Names may have points.
    let first = shared_identity("g", "t", ("a.b", "c"));
    let second = shared_identity("g", "t", ("a", "b.c"));
    assert_ne!(first, second);
    assert_ne!(shared_identity("g.t", "u", ("s", "d")), shared_identity("g", "t.u", ("s", "d")));
    assert_eq!(&*identity_of_shard(&first, ShardId(2)), "forebay.g/t/a.b/c/shardId-000000000002");
}
