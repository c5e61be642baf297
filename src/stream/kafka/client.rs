//! The consumers of a topic that is a log: they belong to no group, and read committed records only.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::{Connection, Fault};

/// How long a broker may take to answer a question.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Hands on what a consumer says.
#[derive(Debug)]
pub struct Context(pub Arc<Connection>);

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {}

/// A consumer that is told where to read.
pub type Reader = BaseConsumer<Context>;

/// Makes one that holds `queue_bytes` at most of what it has fetched ahead.
///
/// # Errors
/// If the client does not take its settings.
pub fn reader(connection: &Arc<Connection>, queue_bytes: u64) -> Result<Reader, Fault> {
    let mut config = connection.client_config();
    config
        // The client wants one to let a reader assign itself; nothing is ever joined or committed.
        .set("group.id", "forebay.none")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", (queue_bytes >> 10).max(1).to_string())
        .set("fetch.queue.backoff.ms", "20");
    config
        .create_with_context(Context(Arc::clone(connection)))
        .map_err(|error| connection.fault("begin to read", &error))
}

/// Has `reader` read from these offsets on, and nothing else.
///
/// # Errors
/// If it does not take them.
pub fn assign(
    (reader, connection): (&Reader, &Connection),
    topic: &str,
    places: impl Iterator<Item = (i32, u64)>,
) -> Result<(), Fault> {
    let fault = |error: &KafkaError| connection.fault(format!("read topic '{topic}'"), error);
    let mut list = TopicPartitionList::new();
    for (partition, offset) in places {
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, partition, offset).map_err(|error| fault(&error))?;
    }
    reader.assign(&list).map_err(|error| fault(&error))
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
