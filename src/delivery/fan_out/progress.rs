//! The progress topic: how far deliveries are, in the cluster that they deliver to.
//!
//! One message a transaction, under the delivery's key, committed with the records that lie below its positions. So after
//! a crash the last one that was committed is right, whatever was sent besides. The topic is compacted: of each delivery
//! the last message stays. Which of several is the last is told by their numbers, and not by where they stand, so that
//! the topic may be given more partitions.

mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use serde::{Deserialize, Serialize};

use crate::config::limits::FAN_OUT_PATIENCE;
use crate::kafka::{Connection, Fault, FaultClass, PlainContext, topic};
use crate::record::{SequenceNumber, ShardId};

pub use reading::{read, read_if_there};

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
