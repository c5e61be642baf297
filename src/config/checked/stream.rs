//! `[stream]` of a pipeline, as it is checked: its shards, and what an ack means.

use std::time::Duration;

use crate::config::check_stream_log::LogPlace;

/// `[stream]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// 1 to 128 of `a-z A-Z 0-9 _ . -`, as in Kinesis.
    pub name: String,
    /// Number of shards at the start.
    pub shards: u32,
    /// What an ack means.
    pub durability: Durability,
    /// How long a record stays readable.
    pub retention: Duration,
    /// How many bytes of the stream stay readable, besides what a delivery still needs: payload bytes in memory, or
    /// bytes on the disk where the stream is durable.
    pub retention_bytes: Option<u64>,
    /// How long an `Idempotency-Key` is remembered; zero for not at all.
    pub idempotency_window: Duration,
    /// Where its records are, if not here.
    pub log: LogPlace,
    /// What each of its shards may take and give.
    pub quotas: ShardQuotas,
}

/// What a shard may take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShardQuotas {
    /// As much as the machine can.
    #[default]
    None,
    /// As much as one of Kinesis Data Streams.
    Kinesis,
}

impl ShardQuotas {
    /// The word in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ShardQuotas::None => "none",
            ShardQuotas::Kinesis => "kinesis",
        }
    }
}

/// What an ack means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The record is on stable storage: it survives the machine.
    Fsync,
    /// The record is with the operating system: it survives the process, not the machine.
    Os,
    /// The record is in this process's memory: lost with the process.
    Memory,
    /// Every replica that is in sync of a partition of a topic has the record.
    Kafka,
}

impl Durability {
    /// The word in configuration and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
            Durability::Memory => "memory",
            Durability::Kafka => "kafka",
        }
    }

    /// Whether the stream needs a log on the disk.
    pub fn is_durable(self) -> bool {
        match self {
            Durability::Fsync | Durability::Os => true,
            Durability::Memory | Durability::Kafka => false,
        }
    }
}
