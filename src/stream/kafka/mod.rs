//! A log that is a topic of Kafka: each partition is a shard, and the offset of a message is the number of its record.
//!
//! ```text
//! edge ──▶ appender ──produce──▶ topic ──▶ tail: the newest records, in memory ──▶ readers
//!              ▲  (acks = all)      │                                               ▲
//!              └── ack: offsets ────┤                                               │
//!                                   └──▶ catch-up: from any offset on ──────────────┘
//! ```
//!
//! A record is a message: its payload is the value, its partition key the key (none where that is random), its arrival the
//! timestamp in milliseconds. A record that the edge has found invalid has the reason in the header
//! [`REFUSAL_HEADER`]. Any number of nodes append to the topic and read it. All of them come to the same shards, so that
//! numbers and iterators of Kinesis are the same everywhere: shard `i` is partition `i`, the hash space is cut evenly, and
//! [`CREATED`] is a constant. When the topic gets more partitions, other shards follow those, which the nodes agree on in a
//! store: see [`growth`].
//!
//! Offsets have holes: markers of transactions, records that were given up with theirs, what compaction has taken out.
//! Numbers in a hole were never those of a record, so nothing is lost with them; what lies below the low watermark is.
//!
//! What the broker keeps is decided there. `release` and its like do nothing.

mod append;
mod bell;
mod catch_up;
mod client;
mod draft;
mod ends;
pub mod growth;
mod judge;
mod partition;
mod request;
mod shards;
mod tail;
mod topic;

#[cfg(test)]
mod tests;

pub use append::Sending;
pub use judge::Judge;
pub use partition::PartitionLog;
pub use shards::TopicShards;
pub use topic::{Source, TopicLog};

/// When each of the first shards was made, in seconds since 1970: the same for every node.
pub const CREATED: u64 = 0;

/// The header with the reason for which a record is bound for the dead letters.
pub const REFUSAL_HEADER: &str = "forebay-refusal";
