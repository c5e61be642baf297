use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{Judge, Source as TopicSource};
use crate::config::checked::{self, Content, KafkaCluster, KafkaLog};
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
    KafkaLog { cluster, topic: TOPIC.to_owned(), is_source, partitions: None }
}

/// A stream on the topic, as one node has it.
fn node_with(log: KafkaLog, budget: &Arc<Budget>, wait: Duration) -> Arc<Stream> {
    let judge = Judge::new(Content::Json, None).unwrap();
    let source = TopicSource { log, judge, budget: Arc::clone(budget), request_bytes: 1 << 20 };
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
