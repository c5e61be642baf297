//! The consumers of a topic that is a log: they belong to no group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{Connection, Fault, PlainContext};

/// How long a broker may take to answer a question.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer that is told where to read.
pub type Reader = BaseConsumer<PlainContext>;

/// Makes one that reads committed records, and holds `queue_bytes` at most of what it has fetched ahead.
///
/// # Errors
/// If the client does not take its settings.
pub fn reader(connection: &Arc<Connection>, queue_bytes: u64) -> Result<Reader, Fault> {
    reader_of(connection, queue_bytes, "read_committed")
}

/// Makes one for questions, to which a partition ends behind its last record, whatever transactions are open.
///
/// # Errors
/// If the client does not take its settings.
pub fn surveyor(connection: &Arc<Connection>) -> Result<Reader, Fault> {
    // It fetches nothing.
    reader_of(connection, 0, "read_uncommitted")
}

fn reader_of(connection: &Arc<Connection>, queue_bytes: u64, isolation: &str) -> Result<Reader, Fault> {
    let mut config = connection.client_config();
    config
        // The client wants one to let a reader assign itself; nothing is ever joined or committed.
        .set("group.id", "forebay.none")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", (queue_bytes >> 10).max(1).to_string())
        .set("fetch.queue.backoff.ms", "20");
    config
        .create_with_context(PlainContext(Arc::clone(connection)))
        .map_err(|error| connection.fault("begin to read", &error))
}

/// Offsets of partitions of a topic, as the client wants them.
fn places(
    connection: &Connection,
    topic: &str,
    places: impl Iterator<Item = (i32, Offset)>,
) -> Result<TopicPartitionList, Fault> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in places {
        list.add_partition_offset(topic, partition, offset)
            .map_err(|error| read_fault(connection, topic, &error))?;
    }
    Ok(list)
}

fn read_fault(connection: &Connection, topic: &str, error: &KafkaError) -> Fault {
    connection.fault(format!("read topic '{topic}'"), error)
}

fn offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}

/// Has `reader` read from these offsets on, and nothing else.
///
/// # Errors
/// If it does not take them.
pub fn assign(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    from: impl Iterator<Item = (i32, u64)>,
) -> Result<(), Fault> {
    let list = places(connection, topic, from.map(|(partition, from)| (partition, offset(from))))?;
    reader.assign(&list).map_err(|error| read_fault(connection, topic, &error))
}

/// Has `reader` read some partitions from these offsets on as well.
///
/// # Errors
/// If it does not take them.
pub fn add(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    from: impl Iterator<Item = (i32, u64)>,
) -> Result<(), Fault> {
    let list = places(connection, topic, from.map(|(partition, from)| (partition, offset(from))))?;
    reader.incremental_assign(&list).map_err(|error| read_fault(connection, topic, &error))
}

/// Has `reader` leave some partitions. What it has fetched of them is not told any more.
///
/// # Errors
/// If it does not know them.
pub fn leave(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<(), Fault> {
    let list = places(connection, topic, partitions.map(|partition| (partition, Offset::Invalid)))?;
    reader.incremental_unassign(&list).map_err(|error| read_fault(connection, topic, &error))
}

/// An end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The oldest offset that is there.
    Low,
    /// The offset behind the last record that the client may read.
    High,
}

/// Where each of these partitions begins or ends: one request to each broker that leads some of them. Blocks the thread,
/// for `timeout` at most.
///
/// # Errors
/// If a broker does not tell.
pub fn ends(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    (partitions, end): (impl Iterator<Item = i32>, End),
    timeout: Duration,
) -> Result<Vec<(i32, u64)>, Fault> {
    // As a time, these stand for the ends.
    let asked = match end {
        End::Low => Offset::Beginning,
        End::High => Offset::End,
    };
    let list = places(connection, topic, partitions.map(|partition| (partition, asked)))?;
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let fault = |error: &KafkaError| connection.fault(format!("ask where topic '{topic}' ends"), error);
    let found = reader.offsets_for_times(list, timeout).map_err(|error| fault(&error))?;
    let told = |place: &TopicPartitionListElem<'_>| {
        place.error().map_err(|error| fault(&error))?;
        let Offset::Offset(offset) = place.offset() else {
            return Err(fault(&KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)));
        };
        Ok((place.partition(), u64::try_from(offset).unwrap_or_default()))
    };
    found.elements().iter().map(told).collect()
}

/// How far `reader` has come in a partition: behind the last message that it was told of, or the last marker of a transaction
/// that it has passed. `None` if there was neither yet.
///
/// # Errors
/// If the client does not tell.
pub fn position(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    partition: i32,
) -> Result<Option<u64>, Fault> {
    let places = reader.position().map_err(|error| read_fault(connection, topic, &error))?;
    let place = places.find_partition(topic, partition);
    Ok(place.and_then(|place| match place.offset() {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    }))
}

/// The oldest offset of a partition, and the one behind its last committed record. Blocks the thread.
///
/// # Errors
/// If the broker does not tell.
pub fn watermarks(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    partition: i32,
) -> Result<(u64, u64), Fault> {
    let found = reader.fetch_watermarks(topic, partition, QUESTION_TIMEOUT);
    let (low, high) = found.map_err(|error| {
        connection.fault(format!("ask where partition {partition} of topic '{topic}' ends"), &error)
    })?;
    Ok((u64::try_from(low).unwrap_or_default(), u64::try_from(high).unwrap_or_default()))
}
