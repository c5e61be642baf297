mod ends;
mod follow;
mod growth;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use object_store::memory::InMemory;

use super::growth::Agreement;
use super::growth::objects::Objects;
use super::growth::switch::Times;
use super::{Judge, Source as TopicSource};
use crate::config::checked::{self, Content, KafkaCluster, KafkaCompression, KafkaLog};
use crate::record::{Batch, RecordSpans, SequenceNumber, ShardId, Source, Span};
use crate::runtime::budget::Budget;
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::{
    AppendError, Appended, Backing, Captures, CommitError, Committed, Payer, Read, ReadLimit, Stream,
};
use crate::telemetry::metrics::Registry;

const TOPIC: &str = "events";
const BUDGET: u64 = 256 << 20;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock(partitions: i32) -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, partitions, 1).unwrap();
    mock
}

fn kafka_log(brokers: &str, is_source: bool) -> KafkaLog {
    let brokers = brokers.split(',').map(str::to_owned).collect();
    let cluster = KafkaCluster { name: None, brokers, tls: None, sasl: None, client: Default::default() };
    let (topic, compression) = (TOPIC.to_owned(), KafkaCompression::None);
    KafkaLog { cluster, topic, is_source, partitions: None, compression, compression_level: None }
}

/// A stream on the topic, as one node has it.
fn node_with(log: KafkaLog, budget: &Arc<Budget>, wait: Duration) -> Arc<Stream> {
    let objects = Objects::new(Arc::new(InMemory::new()), "layout".into());
    node_of(log, budget, wait, Agreement { objects, times: Times::ALONE })
}

fn node_of(log: KafkaLog, budget: &Arc<Budget>, wait: Duration, agreement: Agreement) -> Arc<Stream> {
    let judge = Judge::new(Content::Json, None).unwrap();
    let source = TopicSource { log, judge, budget: Arc::clone(budget), request_bytes: 1 << 20, agreement };
    let config = checked::Stream {
        name: "s".to_owned(),
        shards: 1,
        durability: checked::Durability::Kafka,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: checked::LogPlace::Local,
        quotas: Default::default(),
    };
    let plan = Captures::default().plan().unwrap();
    let metrics = Registry::new().unwrap().stream("s");
    let stream = Arc::new(Stream::new(&config, Backing::Kafka(Box::new(source)), 0, plan, metrics));
    stream.begin_log(wait);
    stream
}

fn node(mock: &Mock) -> Arc<Stream> {
    let stream =
        node_with(kafka_log(&mock.bootstrap_servers(), false), &Budget::new(BUDGET), Duration::from_secs(30));
    assert_eq!(stream.topic().unwrap().trouble(), None);
    stream
}

/// A batch of these payloads, with the same key.
fn batch(payloads: &[&str], key: &str, refusal: Option<&str>) -> Batch {
    let mut body = String::new();
    let mut records = Vec::new();
    for payload in payloads {
        let start = body.len();
        body.push_str(payload);
        records.push(Span::new(start, body.len()));
    }
    let end = body.len();
    let side = format!("{key}{}", refusal.unwrap_or_default());
    let key = if key.is_empty() { Span::ABSENT } else { Span::new(end, end + key.len()) };
    let refusal = refusal.map_or(Span::ABSENT, |_| Span::new(end + key.len(), end + side.len()));
    let records = records.into_iter().map(|payload| RecordSpans { payload, key, refusal }).collect();
    let source = Source {
        body: body.into(),
        content: Content::Json,
        side: Bytes::from(side),
        arrival: clock::wall(),
        permit: Budget::new(0).take_anyway(0),
    };
    Batch { source: Arc::new(source), records, captures: Box::default(), aggregates: Box::default() }
}

async fn put(stream: &Stream, shard: u32, payloads: &[&str]) -> Result<Appended, CommitError> {
    let receipt = stream.append(vec![(ShardId(shard), batch(payloads, "k", None))], None).unwrap();
    let Committed { mut appended, .. } = receipt.committed().await?;
    let (id, appended) = appended.pop().unwrap();
    assert_eq!(id, ShardId(shard));
    Ok(appended)
}

fn payer() -> Payer {
    Payer { budget: Budget::new(BUDGET), overdraws: false }
}

/// Reads a shard from a place on until so many records are there: number, payload, key, refusal.
async fn read(
    stream: &Arc<Stream>,
    shard: u32,
    from: u64,
    count: usize,
) -> (Vec<(u64, String, String, String)>, u64) {
    let (mut records, mut next) = (Vec::new(), SequenceNumber(from));
    while records.len() < count {
        let signal = stream.delivery_signal();
        let waiter = signal.wait();
        let read: Read =
            stream.read(ShardId(shard), next, ReadLimit::bytes(1 << 20), &payer()).await.unwrap();
        assert_eq!(read.skipped, 0);
        for slice in &read.slices {
            let source = &slice.batch.source;
            for (index, record) in slice.batch.records[slice.skip..].iter().enumerate() {
                let text = |span| String::from_utf8(source.bytes(span).to_vec()).unwrap();
                let number = slice.first.0 + index as u64;
                records.push((number, text(record.payload), text(record.key), text(record.refusal)));
            }
        }
        if read.next == next {
            tokio::time::timeout(Duration::from_secs(60), waiter.woken()).await.expect("nothing comes");
        }
        next = read.next;
    }
    (records, next.0)
}

fn payloads(records: &[(u64, String, String, String)]) -> Vec<&str> {
    records.iter().map(|(_, payload, ..)| payload.as_str()).collect()
}

#[tokio::test]
async fn kafka_records_are_read_where_they_were_acknowledged_to_be() {
    let mock = mock(2);
    let stream = node(&mock);
    assert_eq!(stream.layout().shards().len(), 2);
    let first = put(&stream, 0, &["{\"n\":0}", "{\"n\":1}"]).await.unwrap();
    assert_eq!(first, Appended::together(SequenceNumber(0), 2));
    let (records, next) = read(&stream, 0, 0, 2).await;
    assert_eq!(payloads(&records), ["{\"n\":0}", "{\"n\":1}"]);
    assert_eq!((records[1].0, records[1].2.as_str(), next), (1, "k", 2));
    // The tail is read now.
    let refused = batch(&["no"], "", Some("json expected a value"));
    stream.append(vec![(ShardId(0), refused)], None).unwrap().committed().await.unwrap();
    put(&stream, 1, &["{}"]).await.unwrap();
    let (records, _) = read(&stream, 0, 2, 1).await;
    let expected = (2, "no".to_owned(), String::new(), "json expected a value".to_owned());
    assert_eq!(records, [expected]);
    let (records, _) = read(&stream, 1, 0, 1).await;
    assert_eq!(payloads(&records), ["{}"]);
    assert_eq!(stream.accepted(), 4);
    end(stream).await;
}

async fn end(stream: Arc<Stream>) {
    tokio::task::spawn_blocking(move || stream.end_log()).await.unwrap();
}

#[tokio::test]
async fn kafka_two_nodes_share_a_topic_and_numbers_of_a_request_may_lie_apart() {
    let mock = mock(1);
    let (a, b) = (node(&mock), node(&mock));
    let many: Vec<String> = (0..2_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (of_a, of_b) = tokio::join!(
        async {
            let mut numbers = Vec::new();
            for part in many.chunks(100) {
                let appended = put(&a, 0, part).await.unwrap();
                numbers.extend((0..part.len()).map(|index| appended.number(index).0));
            }
            numbers
        },
        async {
            let mut numbers = Vec::new();
            for part in many.chunks(70) {
                let appended = put(&b, 0, part).await.unwrap();
                numbers.extend((0..part.len()).map(|index| appended.number(index).0));
            }
            numbers
        }
    );
    let mut all: Vec<u64> = of_a.iter().chain(&of_b).copied().collect();
    assert!(of_a.is_sorted() && of_b.is_sorted());
    all.sort_unstable();
    assert_eq!(all, (0..4_000).collect::<Vec<_>>());
    let ((on_a, _), (on_b, _)) = (read(&a, 0, 0, 4_000).await, read(&b, 0, 0, 4_000).await);
    assert_eq!(on_a, on_b);
    for (number, payload) in of_a.iter().chain(&of_b).zip(many.iter().chain(&many)) {
        assert_eq!(on_a[*number as usize].1, **payload);
    }
    // Facts that make numbers of Kinesis are the same.
    let facts =
        |stream: &Stream| stream.layout().shards().iter().map(|shard| shard.facts).collect::<Vec<_>>();
    assert_eq!(facts(&a), facts(&b));
    end(a).await;
    end(b).await;
}

#[tokio::test]
async fn kafka_what_is_not_in_memory_is_read_from_the_topic() {
    let mock = mock(1);
    // So little that the ring holds next to nothing.
    let budget = Budget::new(8 << 20);
    let stream = node_with(kafka_log(&mock.bootstrap_servers(), false), &budget, Duration::from_secs(30));
    read_nothing(&stream).await;
    let large = format!("\"{}\"", "x".repeat(100 << 10));
    // The mock cluster keeps 5 MiB of a partition.
    for n in 0..40 {
        let payload = format!("[{n},{large}]");
        put(&stream, 0, &[&payload]).await.unwrap();
    }
    let (tail, _) = read(&stream, 0, 39, 1).await;
    assert_eq!(tail[0].0, 39);
    let (records, next) = read(&stream, 0, 0, 40).await;
    assert_eq!(next, 40);
    for (n, (number, payload, ..)) in records.iter().enumerate() {
        assert_eq!((*number, payload), (n as u64, &format!("[{n},{large}]")));
    }
    let ring = stream.layout().shards()[0].log_ref().bounds().bytes;
    assert!(ring <= 2 * (budget.capacity() / 4), "{ring}");
    let time = clock::wall().0 + 60_000_000;
    let positions = stream.positions_at(&[ShardId(0)], UnixMicros(time)).await.unwrap();
    assert_eq!(positions, [(ShardId(0), SequenceNumber(40))]);
    end(stream).await;
    assert_eq!(budget.used(), 0);
}

async fn read_nothing(stream: &Arc<Stream>) {
    let read = stream.read(ShardId(0), SequenceNumber(0), ReadLimit::bytes(1), &payer()).await.unwrap();
    assert!(read.slices.is_empty());
}

#[tokio::test]
async fn kafka_errors_of_the_broker_are_told_by_what_helps() {
    let mock = mock(1);
    let stream = node(&mock);
    put(&stream, 0, &["{}"]).await.unwrap();
    let produce = |errors: &[RDKafkaRespErr]| mock.request_errors(RDKafkaApiKey::Produce, errors);
    // It is tried again, and in the log once.
    produce(&[
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    ]);
    let appended = put(&stream, 0, &["[1]", "[2]"]).await.unwrap();
    assert_eq!(appended, Appended::together(SequenceNumber(1), 2));
    produce(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let refused = put(&stream, 0, &["[4]"]).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Refused(_)), "{refused}");
    // It goes on as if nothing had been.
    put(&stream, 0, &["[3]"]).await.unwrap();
    produce(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let denied = put(&stream, 0, &["[4]"]).await.unwrap_err();
    assert!(matches!(&denied, CommitError::Failed(why) if why.contains("topic 'events'")), "{denied}");
    // The client remembers that until it has asked about the topic again.
    let appended = loop {
        match put(&stream, 0, &["[5]"]).await {
            Ok(appended) => break appended,
            Err(error) => assert!(matches!(error, CommitError::Failed(_)), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let (records, _) = read(&stream, 0, 0, 5).await;
    assert_eq!(payloads(&records), ["{}", "[1]", "[2]", "[3]", "[5]"]);
    assert_eq!(records[4].0, appended.first.0);
    end(stream).await;
}

#[tokio::test]
async fn kafka_a_stream_whose_topic_is_not_there_says_so_until_it_is() {
    let mock: Mock = MockCluster::new(1).unwrap();
    mock.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let log = kafka_log(&mock.bootstrap_servers(), false);
    let stream = node_with(log, &Budget::new(BUDGET), Duration::from_millis(500));
    let refused = stream.append(vec![(ShardId(0), batch(&["{}"], "", None))], None);
    let Err(AppendError::NoShard { .. } | AppendError::Unavailable(_)) = refused else {
        panic!("{refused:?}")
    };
    let why = loop {
        let Err(AppendError::Unavailable(why)) = stream.try_writing().unwrap().check() else { panic!() };
        if why.contains("create it") {
            break why;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(why.contains("topic 'events'"), "{why}");
    mock.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    while stream.layout().shards().is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    put(&stream, 0, &["{}"]).await.unwrap();
    end(stream).await;
}

#[tokio::test]
async fn kafka_a_source_takes_nothing_and_a_wrong_number_of_partitions_is_told() {
    let mock = mock(3);
    let source =
        node_with(kafka_log(&mock.bootstrap_servers(), true), &Budget::new(BUDGET), Duration::from_secs(30));
    let refused = source.append(vec![(ShardId(0), batch(&["{}"], "", None))], None);
    assert!(matches!(refused, Err(AppendError::ReadOnly { .. })), "{refused:?}");
    let log = KafkaLog { partitions: Some(4), ..kafka_log(&mock.bootstrap_servers(), false) };
    let other = node_with(log, &Budget::new(BUDGET), Duration::from_millis(1));
    let why = loop {
        let why = other.topic().unwrap().trouble().unwrap();
        if why.contains("shards = 3") {
            break why;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(why.contains("3 partitions"), "{why}");
    end(source).await;
    end(other).await;
}

#[tokio::test]
async fn kafka_a_view_has_one_shard_and_is_woken_with_the_whole() {
    let mock = mock(3);
    let stream = node(&mock);
    let view = stream.view(ShardId(1), 1).unwrap();
    assert_eq!(view.shard_ids().collect::<Vec<_>>(), [ShardId(1)]);
    assert!(stream.view(ShardId(3), 1).is_none());
    put(&stream, 1, &["[1]"]).await.unwrap();
    put(&stream, 2, &["[2]"]).await.unwrap();
    let (records, _) = read(&view, 1, 0, 1).await;
    assert_eq!(payloads(&records), ["[1]"]);
    drop(view);
    end(stream).await;
}

#[tokio::test]
async fn kafka_a_reader_behind_the_ring_sees_no_end_that_is_over() {
    let mock = mock(1);
    let stream = node(&mock);
    let log = stream.shard(ShardId(0)).unwrap();
    // Reads through consumers of the pool only: nothing is ever kept in memory.
    for round in 0..5_u64 {
        let from = 20 * round;
        for n in 0..20 {
            put(&stream, 0, &[&format!("[{}]", from + n)]).await.unwrap();
        }
        let mut next = SequenceNumber(from);
        while next.0 < from + 20 {
            log.reclaim(UnixMicros(i64::MAX));
            let read = stream.read(ShardId(0), next, ReadLimit::bytes(1), &payer()).await.unwrap();
            for slice in &read.slices {
                assert_eq!(slice.first, next);
                next = SequenceNumber(slice.first.0 + slice.len() as u64);
            }
            assert_eq!(read.next, next);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    end(stream).await;
}

#[tokio::test]
async fn kafka_nothing_acknowledged_is_lost_while_the_broker_is_away() {
    let mock = mock(1);
    let stream = node(&mock);
    put(&stream, 0, &["[0]"]).await.unwrap();
    mock.broker_down(1).unwrap();
    let waits = stream.append(vec![(ShardId(0), batch(&["[1]"], "k", None))], None).unwrap();
    let mut waits = std::pin::pin!(waits.committed());
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut waits).await.is_err());
    mock.broker_up(1).unwrap();
    let Committed { appended, .. } = waits.await.unwrap();
    assert_eq!(appended[0].1, Appended::together(SequenceNumber(1), 1));
    let (records, _) = read(&stream, 0, 0, 2).await;
    assert_eq!(payloads(&records), ["[0]", "[1]"]);
    end(stream).await;
}
