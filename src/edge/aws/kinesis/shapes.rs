//! Shapes that several answers have.

use serde::{Serialize, Serializer};

use super::sequence::{Numbering, Printed};
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::values::Time;
use crate::runtime::clock::UnixMicros;
use crate::stream::quotas::Throttled;
use crate::stream::{Layout, ShardFacts, Stream};

/// `EncryptionType` of a stream and of its records. A label: what encrypts is the disk below.
pub fn encryption_type(stream: &Stream) -> &'static str {
    if stream.is_labelled_encrypted() { "KMS" } else { "NONE" }
}

/// What a request or a record is refused with that is beyond a quota.
pub fn rate_exceeded(throttled: &Throttled, stream: &str, account: &str) -> Failure {
    let shard = throttled.shard;
    let text = format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.");
    Failure::new(FailureKind::ThroughputExceeded, text)
}

/// Writes what prints itself as a text.
pub fn printed<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A time in seconds as one in microseconds.
pub fn seconds(seconds: u64) -> Time {
    Time(UnixMicros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
}

/// `HashKeyRange`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HashKeys {
    #[serde(serialize_with = "printed")]
    starting_hash_key: u128,
    #[serde(serialize_with = "printed")]
    ending_hash_key: u128,
}

impl HashKeys {
    fn of(facts: &ShardFacts) -> Self {
        Self { starting_hash_key: facts.hash_keys.first, ending_hash_key: facts.hash_keys.last }
    }
}

/// `Shard`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardShape {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeys,
    sequence_number_range: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Numbers {
    starting_sequence_number: Printed,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<Printed>,
}

impl ShardShape {
    /// Of a shard.
    pub fn of(facts: &ShardFacts) -> Self {
        let numbering = Numbering::of(facts);
        let [parent, adjacent] = facts.parents.map(|parent| parent.map(|parent| parent.to_string()));
        Self {
            shard_id: facts.id.to_string(),
            parent_shard_id: parent,
            adjacent_parent_shard_id: adjacent,
            hash_key_range: HashKeys::of(facts),
            sequence_number_range: Numbers {
                starting_sequence_number: numbering.print(facts.first),
                ending_sequence_number: facts.end.map(|end| numbering.print(end)),
            },
        }
    }
}

/// `ChildShard`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChildShape {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeys,
}

impl ChildShape {
    /// The children of a shard.
    pub fn all(layout: &Layout, parent: &ShardFacts) -> Vec<Self> {
        let child = |facts: &ShardFacts| Self {
            shard_id: facts.id.to_string(),
            parent_shards: facts.parents().map(|parent| parent.to_string()).collect(),
            hash_key_range: HashKeys::of(facts),
        };
        layout.children(parent.id).map(|shard| child(&shard.facts)).collect()
    }
}
