//! Fan-out: a delivery whose records become messages of Kafka, one each.
//!
//! ```text
//! stream ──read──▶ route ──▶ transaction: messages ─┐
//!                    └─dead letter─▶ messages ──────┼─▶ commit ──▶ log lets go
//!                                     positions ────┘
//! ```
//!
//! **Exactly once.** A transaction holds the messages of some records *and* one message with the delivery's positions
//! behind them, in the [progress topic](progress). Either all of that can be read by readers of committed messages, or
//! nothing. There is no ledger: at the start the delivery takes its transactional id, which ends what a process before
//! it has left open and fences that process for ever, and then reads its last committed positions. Whatever fails, the
//! answer is the same: give the transaction up, and send its records once more from where the last one ended. The log
//! keeps them until then.
//!
//! **At least once.** The same without transactions: positions are written once everything below them is acknowledged.
//! What was sent behind the last positions comes twice after a crash.
//!
//! **Bounds.** One transaction is under way at a time, of a size and an age that the configuration tells; its bytes are
//! charged to the delivery's account until it is over. Records are handed to the client at once. Calls that wait for a
//! broker run on threads that may wait.
//!
//! | what is wrong | what is done |
//! | --- | --- |
//! | brokers do not answer, leaders move | wait, try again; after some seconds the delivery is paused |
//! | we are not let in, a topic is missing | paused, and tried again |
//! | a record cannot be addressed, or is refused for what it is | dead letter, in the same transaction |
//! | a batch is refused | its transaction is sent again, message by message, to find out which record it is |
//! | somebody else has taken the transactional id | stop: two processes deliver for the same node |
//!
//! **Many nodes.** Where nodes share a stream in Kafka, each shard has a worker of its own, with a transactional id of its
//! own: see [`sharing`](super::sharing). The new owner takes it, and the old one ends.

pub mod held;
pub mod message;
pub mod producer;
pub mod progress;
pub mod topic;
mod topics;
mod transaction;
mod worker;

use std::sync::Arc;

use super::status::Status;
use super::{Begin, Fields};
use crate::config::checked::{self, MessageHeader, MessageKey, Partitioner};
use crate::record::ShardId;
use crate::runtime::budget::Budget;
use crate::stream::{Captures, ReaderId, Stream};
use crate::telemetry::metrics::KafkaMetrics;

pub use worker::{Ended, Worker};

/// Where a fan-out finds its fields among the stream's captures.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    topic: Vec<usize>,
    key: Option<usize>,
    partition: Option<usize>,
    principal: Option<usize>,
}

impl Slots {
    /// Makes the slots that `config` needs.
    pub fn of(config: &checked::FanOut, captures: &mut Captures) -> Self {
        let sink = &config.sink;
        let topic = sink.topic.fields().pointers().iter().map(|field| captures.slot(field)).collect();
        let key = match &sink.key {
            MessageKey::Field(field) => Some(captures.slot(field)),
            MessageKey::PartitionKey | MessageKey::None => None,
        };
        let partition = match &sink.partitioner {
            Partitioner::Field(field) => Some(captures.slot(field)),
            Partitioner::Murmur2 | Partitioner::Stream | Partitioner::Shard => None,
        };
        let principal = sink.headers.iter().find_map(|header| match header {
            MessageHeader::Principal(field) => Some(captures.slot(field)),
            _ => None,
        });
        Self { topic, key, partition, principal }
    }
}

/// What a worker is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its part of the pipeline file.
    pub config: Arc<checked::FanOut>,
    /// What it reads.
    pub stream: Arc<Stream>,
    /// Its number among the stream's readers.
    pub reader: ReaderId,
    /// Its fields among the captures.
    pub slots: Slots,
    /// Whose captures those are.
    pub fields: Fields,
    /// What the rest of the process sees of it.
    pub status: Arc<Status>,
    /// The same in the words of Kafka.
    pub metrics: KafkaMetrics,
    /// Its account of the delivery share.
    pub budget: Arc<Budget>,
    /// What it is called in the cluster: the same after a restart, and no other's. See [`identity`].
    pub identity: Arc<str>,
    /// Whose positions it goes on from where there are none under its own name: whoever has that name is fenced first.
    pub inherits: Option<Arc<str>>,
    /// Where it begins, if the cluster does not say so.
    pub begin: Begin,
    /// What it does when another process has taken its identity.
    pub when_fenced: WhenFenced,
}

/// What a fan-out does when another process has taken its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFenced {
    /// Sends nothing more, and says so until somebody acts: nobody else should have that identity.
    Halt,
    /// Ends: another node has the shard now.
    End,
}

/// The name of a delivery of a stream in a cluster: its transactional id, and the key of its positions.
///
/// `origin` tells the log whose numbers the positions are: that of the node's folder and the stream's number in it, so
/// that nodes with streams of the same name do not fence each other, and a stream that is made anew begins anew. One
/// that two processes share by mistake (a copied folder) fences the one that came first, which is what a
/// transactional id is for.
pub fn identity(origin: &str, stream: &str, delivery: &str) -> Arc<str> {
    format!("forebay.{origin}.{stream}.{delivery}").into()
}

/// What the `origin` of [`identity`] is where one node alone delivers a stream in `topic`: its numbers are the same for
/// everybody, so that a second node that does the same ends the first.
pub fn origin_of_topic(topic: &str) -> String {
    format!("topic.{topic}")
}

/// What the identities of all shards of a delivery begin with that the nodes of `group` share: the stream is in `topic`.
/// None of the names has a slash, so that no two deliveries have the same.
pub fn shared_identity(group: &str, topic: &str, (stream, delivery): (&str, &str)) -> Arc<str> {
    format!("forebay.{group}/{topic}/{stream}/{delivery}").into()
}

/// The identity of the work on one shard, where nodes share those of a delivery.
pub fn identity_of_shard(shared: &str, shard: ShardId) -> Arc<str> {
    format!("{shared}/{shard}").into()
}

#[cfg(test)]
mod tests;
