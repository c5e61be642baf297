//! The progress topic: how far deliveries are, in the cluster that they deliver to.
//!
//! One message a transaction, under the delivery's key, committed with the records that lie below its positions. So after
//! a crash the last one that was committed is right, whatever was sent besides. The topic is compacted: of each delivery
//! the last message stays. Which of several is the last is told by their numbers, and not by where they stand, so that
//! the topic may be given more partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use serde::{Deserialize, Serialize};

use crate::config::limits::FAN_OUT_PATIENCE;
use crate::kafka::{Connection, Fault, FaultClass, PlainContext, topic};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;

/// How long transactions of others may keep the end of the topic from being read: a broker gives one up after 60 s, by
/// the client's default.
const OTHERS_PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing may come of a topic that has not been read to its end.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The format of messages.
const FORMAT: u32 = 1;

/// What a topic of positions is made with: short segments, since only what is in a closed one is compacted, so that a
/// start has little to read.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "600000"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// How far a delivery is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    format: u32,
    /// Counts the transactions of the delivery.
    pub number: u64,
    /// Name of the stream, for whoever looks.
    pub stream: String,
    /// Name of the delivery, for the same.
    pub delivery: String,
    /// The first record of each shard that is not delivered.
    pub positions: BTreeMap<ShardId, SequenceNumber>,
}

impl Progress {
    /// The one behind `number` others.
    pub fn new(
        number: u64,
        (stream, delivery): (&str, &str),
        positions: BTreeMap<ShardId, SequenceNumber>,
    ) -> Self {
        let (stream, delivery) = (stream.to_owned(), delivery.to_owned());
        Self { format: FORMAT, number, stream, delivery, positions }
    }

    /// The value of its message.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps of numbers and texts can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let progress: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match progress.format {
            FORMAT => Ok(progress),
            other => Err(format!("format {other} is of a later version")),
        }
    }
}

/// Makes the topic where it is missing. What there is is left as it is.
///
/// # Errors
/// If it is missing and cannot be made, or is none that keeps positions.
pub async fn make_topic(connection: &Arc<Connection>, name: &str) -> Result<(), Fault> {
    let refused = make(connection, NewTopic { config: SETTINGS.to_vec(), ..new_topic(name) }).await;
    let Some(facts) = topic::facts(connection, (name, topic::Missing::Stays), FAN_OUT_PATIENCE).await? else {
        return Err(missing(connection, name, refused));
    };
    match facts.settings.cleanup_policy {
        Some(policy) if !policy.split(',').any(|word| word.trim() == "compact") => Err(Fault {
            class: FaultClass::Missing,
            cluster: connection.cluster().label(),
            action: format!("keep positions in topic '{name}'"),
            message: format!(
                "its cleanup.policy is {policy}, so that positions would be deleted: set cleanup.policy=compact, or write another progress_topic"
            ),
        }),
        _ => Ok(()),
    }
}

/// Makes a topic of dead letters where it is missing, with what the cluster does by itself.
///
/// # Errors
/// If it is missing and cannot be made.
pub async fn make_dead_topic(connection: &Arc<Connection>, name: &str) -> Result<(), Fault> {
    let refused = make(connection, new_topic(name)).await;
    match topic::facts(connection, (name, topic::Missing::Stays), FAN_OUT_PATIENCE).await? {
        Some(_) => Ok(()),
        None => Err(missing(connection, name, refused)),
    }
}

fn new_topic(name: &str) -> NewTopic<'_> {
    // As many replicas as the cluster makes by itself.
    NewTopic::new(name, 1, TopicReplication::Fixed(-1))
}

fn missing(connection: &Connection, name: &str, refused: Option<String>) -> Fault {
    let why = refused.map(|why| format!(" and cannot be made ({why})")).unwrap_or_default();
    Fault {
        class: FaultClass::Missing,
        cluster: connection.cluster().label(),
        action: format!("use topic '{name}'"),
        message: format!("it is not there{why}: make it, or let us (CREATE on the topic)"),
    }
}

/// Why it was not made, if it was not.
async fn make(connection: &Arc<Connection>, new: NewTopic<'_>) -> Option<String> {
    let admin: Result<AdminClient<PlainContext>, _> =
        connection.client_config().create_with_context(PlainContext(Arc::clone(connection)));
    let options = AdminOptions::new().request_timeout(Some(Timeout::After(FAN_OUT_PATIENCE)));
    let made = match admin {
        Ok(admin) => {
            let made = admin.create_topics([&new], &options).await;
            // It joins a thread.
            let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
            made
        }
        Err(error) => Err(error),
    };
    match made.map(|mut made| made.pop()) {
        Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => None,
        Ok(Some(Err((_, code)))) => Some(code.to_string()),
        Ok(_) => None,
        // Not all that speaks the protocol makes topics. Whether anybody is there shows next.
        Err(error) => Some(error.to_string()),
    }
}

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
    let mut unread = TopicPartitionList::new();
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
        unread.add_partition_offset(name, partition, Offset::Beginning).map_err(|error| fault(&error))?;
    }
    if unread.count() == 0 {
        return Ok(Some(None));
    }
    committed.assign(&unread).map_err(|error| fault(&error))?;
    let last = read_to_end(&committed, key, unread.count()).map_err(|error| match error {
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

/// The last value of `key` in each partition.
fn read_to_end(
    consumer: &BaseConsumer<PlainContext>,
    key: &str,
    partitions: usize,
) -> Result<BTreeMap<i32, Vec<u8>>, Unread> {
    let (mut last, mut left) = (BTreeMap::new(), partitions);
    let mut heard = Instant::now();
    while left > 0 {
        match consumer.poll(Duration::from_millis(200)) {
            None if heard.elapsed() > SILENCE_MAX => return Err(Unread::Silence),
            None => continue,
            Some(Ok(message)) => {
                if message.key() == Some(key.as_bytes()) {
                    match message.payload() {
                        Some(value) => last.insert(message.partition(), value.to_vec()),
                        None => last.remove(&message.partition()),
                    };
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
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
        heard = Instant::now();
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_message() {
        let positions = [(ShardId(0), SequenceNumber(5)), (ShardId(7), SequenceNumber(u64::MAX))];
        let progress = Progress::new(3, ("clicks", "bus"), positions.into());
        let bytes = progress.to_bytes();
        assert_eq!(Progress::parse(&bytes).unwrap(), progress);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"format":1,"number":3,"stream":"clicks","delivery":"bus","positions":{"0":5,"7":18446744073709551615}}"#
        );
        assert!(
            Progress::parse(br#"{"format":2,"number":3,"stream":"","delivery":"","positions":{}}"#).is_err()
        );
        assert!(Progress::parse(b"7").is_err());
    }
}
