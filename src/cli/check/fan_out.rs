//! What `forebay check` says about a delivery into Kafka.

use std::io::{self, Write};

use serde::Serialize;

use super::printed;
use crate::config::Size;
use crate::config::checked::{FanOut, MessageHeader, MessageKey};

/// A delivery into Kafka as `check` prints it.
#[derive(Debug, Serialize)]
pub(super) struct FanOutReport<'a> {
    name: &'a str,
    kafka: String,
    topic: &'a str,
    max_topics: usize,
    key: &'a str,
    partitioner: &'a str,
    headers: Vec<&'static str>,
    compression: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_level: Option<i32>,
    guarantee: &'static str,
    progress_topic: &'a str,
    dead_letters_topic: &'a str,
    transaction_bytes: u64,
    transaction_interval_ms: u128,
}

impl<'a> FanOutReport<'a> {
    pub(super) fn of(fan_out: &'a FanOut) -> Self {
        let sink = &fan_out.sink;
        Self {
            name: &fan_out.name,
            kafka: sink.cluster.label(),
            topic: sink.topic.as_str(),
            max_topics: sink.topics_max,
            key: match &sink.key {
                MessageKey::PartitionKey => "partition_key",
                MessageKey::Field(pointer) => pointer.as_str(),
                MessageKey::None => "none",
            },
            partitioner: sink.partitioner.as_str(),
            headers: sink.headers.iter().map(MessageHeader::as_str).collect(),
            compression: sink.compression.as_str(),
            compression_level: sink.compression_level,
            guarantee: sink.guarantee.as_str(),
            progress_topic: &sink.progress_topic,
            dead_letters_topic: &fan_out.dead_topic,
            transaction_bytes: sink.transaction_bytes,
            transaction_interval_ms: sink.transaction_interval.as_millis(),
        }
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { name, kafka, topic, key, partitioner, compression, guarantee, .. } = self;
        let level = self.compression_level.map(|level| format!(" level {level}")).unwrap_or_default();
        let (size, interval) = (Size(self.transaction_bytes), printed(self.transaction_interval_ms));
        writeln!(
            out,
            "  delivery {name}: Kafka cluster {kafka}, topic {topic}, key {key}, partitioner {partitioner}, compression \
             {compression}{level}, {guarantee} by transactions of {size} or {interval}, positions in {}, dead letters in {}",
            self.progress_topic, self.dead_letters_topic
        )
    }
}
