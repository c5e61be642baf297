//! A delivery into Kafka, as it is checked.

use std::time::Duration;

use crate::config::check_kafka::KafkaCluster;
use crate::delivery::fan_out::topic::TopicTemplate;
use crate::json::Pointer;

/// A delivery into Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct FanOut {
    /// Same alphabet as a stream's name.
    pub name: String,
    /// Where records go, and how.
    pub sink: KafkaSink,
    /// The topic of dead letters.
    pub dead_topic: String,
}

/// `sink` of a [`FanOut`].
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSink {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// Which topic a record goes to.
    pub topic: TopicTemplate,
    /// How many of them there may be at a time.
    pub topics_max: usize,
    /// The key of its message.
    pub key: MessageKey,
    /// Which partition it goes to.
    pub partitioner: Partitioner,
    /// What its headers tell, in their order.
    pub headers: Vec<MessageHeader>,
    /// How messages are compressed.
    pub compression: KafkaCompression,
    /// The level of that, if it is given.
    pub compression_level: Option<i32>,
    /// What becomes of records when something breaks.
    pub guarantee: Guarantee,
    /// Where positions are kept.
    pub progress_topic: String,
    /// When a transaction is committed: its age.
    pub transaction_interval: Duration,
    /// The same: payload bytes.
    pub transaction_bytes: u64,
}

/// The key of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKey {
    /// The partition key that the record came with; none where that was random.
    PartitionKey,
    /// A field of the record; none where it has none.
    Field(Pointer),
    /// No message has one.
    None,
}

/// Which partition a message goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitioner {
    /// By the key of the message, as the default producer of Java does it.
    Murmur2,
    /// By the record's partition key, as streams choose a shard: the MD5 of it, in as many even ranges as there are
    /// partitions.
    Stream,
    /// The number of the shard, modulo the number of partitions.
    Shard,
    /// A number in the record, modulo the number of partitions.
    Field(Pointer),
}

impl Partitioner {
    /// The word in the configuration.
    pub fn as_str(&self) -> &str {
        match self {
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Stream => "stream",
            Partitioner::Shard => "shard",
            Partitioner::Field(pointer) => pointer.as_str(),
        }
    }
}

/// What a header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageHeader {
    /// `forebay.stream`: the name of the stream.
    Stream,
    /// `forebay.shard`: the shard, as it is printed everywhere.
    Shard,
    /// `forebay.sequence_number`: the record's number in the shard, in decimal digits.
    SequenceNumber,
    /// `forebay.arrival_time`: microseconds since 1970, in decimal digits.
    ArrivalTime,
    /// `forebay.principal`: who has sent it, as `[ingest] add` has put it into the record, at this place.
    Principal(Pointer),
}

impl MessageHeader {
    /// The word in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            MessageHeader::Stream => "stream",
            MessageHeader::Shard => "shard",
            MessageHeader::SequenceNumber => "sequence_number",
            MessageHeader::ArrivalTime => "arrival_time",
            MessageHeader::Principal(_) => "principal",
        }
    }
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl KafkaCompression {
    pub(in crate::config) const ALL: [Self; 5] =
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The word in the configuration, and that of the client.
    pub fn as_str(self) -> &'static str {
        match self {
            KafkaCompression::None => "none",
            KafkaCompression::Gzip => "gzip",
            KafkaCompression::Snappy => "snappy",
            KafkaCompression::Lz4 => "lz4",
            KafkaCompression::Zstd => "zstd",
        }
    }

    /// Its highest level, if it has any.
    pub(in crate::config) fn level_max(self) -> Option<i64> {
        match self {
            KafkaCompression::None | KafkaCompression::Snappy => None,
            KafkaCompression::Gzip => Some(9),
            KafkaCompression::Lz4 => Some(12),
            // The codec has more. The client takes no higher number, whatever the codec.
            KafkaCompression::Zstd => Some(12),
        }
    }
}

/// What becomes of records when something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Readers of committed messages see each once.
    ExactlyOnce,
    /// Some may come twice.
    AtLeastOnce,
}

impl Guarantee {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Guarantee::ExactlyOnce => "exactly_once",
            Guarantee::AtLeastOnce => "at_least_once",
        }
    }
}
