//! Reading what stands in the progress topic.
//!
//! Where a delivery goes on is read behind everything that it may have committed. An end that a broker shows proves nothing by
//! itself: it may be that of a replica that lags behind, and it is shown again whenever another delivery has written more. So
//! the end of each partition is asked for first, of its leader, and read up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Progress;
use crate::config::limits::{FAN_OUT_PATIENCE, KAFKA_END_SHOWN_FOR};
use crate::kafka::{Connection, Fault, FaultClass, PlainContext, topic};
use crate::runtime::clock;

/// How long transactions of others may keep the end of the topic from being read: a broker gives one up after 60 s, by
/// the client's default.
const OTHERS_PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing may come of a topic that has not been read to its end.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The last message of `key` that was committed, as [`read`] tells; `None` also where there is no such topic.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(connection: &Arc<Connection>, name: &str, key: &str) -> Result<Option<Progress>, Fault> {
    Ok(look(connection, name, key)?.flatten())
}

/// Reads the last message of `key` that was committed. Blocks the thread: until everything that was in the topic at the
/// call is decided, and read.
///
/// # Errors
/// If the topic cannot be read to its end, or what stands there cannot be understood.
pub fn read(connection: &Arc<Connection>, name: &str, key: &str) -> Result<Option<Progress>, Fault> {
    look(connection, name, key)?.ok_or_else(|| Fault {
        class: FaultClass::Missing,
        cluster: connection.cluster().label(),
        action: format!("read positions from topic '{name}'"),
        message: "it is not there any more".to_owned(),
    })
}

/// `None` if there is no such topic; otherwise as [`read`].
fn look(connection: &Arc<Connection>, name: &str, key: &str) -> Result<Option<Option<Progress>>, Fault> {
    let action = || format!("read positions from topic '{name}'");
    let fault = |error: &KafkaError| connection.fault(action(), error);
    let wrong = |message: String, class| {
        let (cluster, action) = (connection.cluster().label(), action());
        Fault { class, cluster, action, message }
    };
    let consumer = |isolation: &str| -> Result<BaseConsumer<PlainContext>, Fault> {
        let mut config = connection.client_config();
        // Nobody joins it; the client wants one all the same.
        config.set("group.id", "forebay.progress").set("enable.auto.commit", "false");
        config.set("isolation.level", isolation).set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest").set("queued.max.messages.kbytes", "8192");
        config.create_with_context(PlainContext(Arc::clone(connection))).map_err(|error| fault(&error))
    };
    let (all, committed) = (consumer("read_uncommitted")?, consumer("read_committed")?);
    let found = topic::partitions(all.client(), connection, name, FAN_OUT_PATIENCE)?;
    let Some((partitions, _)) = found else { return Ok(None) };
    let (mut begins, mut unread) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let bounds = |consumer: &BaseConsumer<PlainContext>| {
            consumer.fetch_watermarks(name, partition, FAN_OUT_PATIENCE).map_err(|error| fault(&error))
        };
        let (low, high) = bounds(&all)?;
        if low >= high {
            continue;
        }
        // Our own last transaction is decided by now; those of others that have begun before it hide it while they last.
        let deadline = clock::monotonic() + OTHERS_PATIENCE;
        while bounds(&committed)?.1 < high {
            if clock::monotonic() > deadline {
                let message = "a transaction of somebody else does not end".to_owned();
                return Err(wrong(message, FaultClass::Transient));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        begins.add_partition_offset(name, partition, Offset::Beginning).map_err(|error| fault(&error))?;
        unread.insert(partition, Rest { until: high, shown: None });
    }
    if unread.is_empty() {
        return Ok(Some(None));
    }
    committed.assign(&begins).map_err(|error| fault(&error))?;
    let last = read_to_end(&committed, (name, key), unread).map_err(|error| match error {
        Unread::Kafka(error) => fault(&error),
        Unread::Silence => wrong("nothing comes".to_owned(), FaultClass::Transient),
    })?;
    let parse = |value: Vec<u8>| {
        Progress::parse(&value).map_err(|why| {
            wrong(format!("what is kept under '{key}' cannot be understood: {why}"), FaultClass::Missing)
        })
    };
    let mut newest: Option<Progress> = None;
    for value in last.into_values() {
        let progress = parse(value)?;
        if newest.as_ref().is_none_or(|newest| newest.number < progress.number) {
            newest = Some(progress);
        }
    }
    Ok(Some(newest))
}

enum Unread {
    Kafka(KafkaError),
    Silence,
}

/// What is to be read of a partition.
struct Rest {
    /// The offset behind the last message.
    until: i64,
    /// Since when the broker says that the partition ends before that.
    shown: Option<Instant>,
}

impl Rest {
    /// Whether the end that is shown is taken for that of the partition: nothing that is kept lies behind it. Otherwise it
    /// comes of a replica that does not know all that is confirmed.
    fn is_over(&self) -> bool {
        self.shown.is_some_and(|since| since.elapsed() >= KAFKA_END_SHOWN_FOR)
    }
}

/// The last value of `key` in each partition, up to where all that is `unread` ends.
fn read_to_end(
    consumer: &BaseConsumer<PlainContext>,
    (name, key): (&str, &str),
    mut unread: BTreeMap<i32, Rest>,
) -> Result<BTreeMap<i32, Vec<u8>>, Unread> {
    let (mut last, mut heard) = (BTreeMap::new(), clock::monotonic());
    while !unread.is_empty() {
        let polled = consumer.poll(Duration::from_millis(200));
        unread.retain(|_, rest| !rest.is_over());
        match polled {
            None if heard.elapsed() > SILENCE_MAX => return Err(Unread::Silence),
            None => continue,
            Some(Ok(message)) => {
                let partition = message.partition();
                if message.key() == Some(key.as_bytes()) {
                    match message.payload() {
                        Some(value) => last.insert(partition, value.to_vec()),
                        None => last.remove(&partition),
                    };
                }
                if let Some(rest) = unread.get_mut(&partition) {
                    rest.shown = None;
                    if message.offset() + 1 >= rest.until {
                        unread.remove(&partition);
                    }
                }
            }
            // It comes again whenever others have written more, and of a replica that lags behind before the end.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(rest) = unread.get_mut(&partition) {
                    rest.shown.get_or_insert_with(clock::monotonic);
                    // Markers of transactions are told of by nothing else.
                    if position(consumer, name, partition)?.is_some_and(|position| position >= rest.until) {
                        unread.remove(&partition);
                    }
                }
            }
            Some(Err(error)) => {
                let class = error.rdkafka_error_code().map(FaultClass::of_code);
                let is_of_group =
                    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed);
                match class {
                    _ if is_of_group => {}
                    Some(FaultClass::Transient) if heard.elapsed() <= SILENCE_MAX => continue,
                    _ => return Err(Unread::Kafka(error)),
                }
            }
        }
        heard = clock::monotonic();
    }
    Ok(last)
}

/// How far the consumer has come in a partition.
fn position(
    consumer: &BaseConsumer<PlainContext>,
    name: &str,
    partition: i32,
) -> Result<Option<i64>, Unread> {
    let places = consumer.position().map_err(Unread::Kafka)?;
    let place = places.find_partition(name, partition);
    Ok(place.and_then(|place| match place.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

    use super::*;
    use crate::config::checked::KafkaCluster;
    use crate::record::{SequenceNumber, ShardId};

    const TOPIC: &str = "forebay.progress";
    const WAIT: Duration = Duration::from_secs(30);

    fn send(producer: &BaseProducer, partition: i32, key: &str, number: u64) {
        let positions = [(ShardId(0), SequenceNumber(number))];
        let value = Progress::new(number, ("s", "bus"), positions.into()).to_bytes();
        producer.send(BaseRecord::to(TOPIC).partition(partition).key(key).payload(&value)).unwrap();
        producer.flush(WAIT).unwrap();
    }

    #[test]
    fn kafka_a_partition_that_is_written_to_does_not_hide_another_one() {
        // Its own broker is slow.
        let mock: MockCluster<'_, DefaultProducerContext> = MockCluster::new(2).unwrap();
        mock.create_topic(TOPIC, 2, 1).unwrap();
        mock.partition_leader(TOPIC, 0, Some(1)).unwrap();
        mock.partition_leader(TOPIC, 1, Some(2)).unwrap();
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", mock.bootstrap_servers()).set("linger.ms", "0");
        let producer: BaseProducer = config.create().unwrap();
        send(&producer, 0, "other", 1);
        send(&producer, 1, "ours", 7);
        mock.broker_round_trip_time(2, Duration::from_millis(500)).unwrap();
        let (tls, sasl, client) = (None, None, BTreeMap::new());
        let brokers = vec![mock.bootstrap_servers()];
        let cluster = KafkaCluster { name: None, brokers, tls, sasl, client };
        let is_over = AtomicBool::new(false);
        let found = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut number = 1;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    send(&producer, 0, "other", number);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let found = read(&Connection::new(cluster, "test"), TOPIC, "ours");
            is_over.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(found.unwrap().map(|found| found.number), Some(7));
    }
}
