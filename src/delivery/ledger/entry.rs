//! What a ledger says, one fact at a time. How it stands in a file: see [`super`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// One fact. The names in files are those of the variants and fields in lower case; they never change their meaning.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// From here on records are put into files by this configuration.
    Epoch(Epoch),
    /// The stream has shards that it did not have: the latest configuration takes their records, too. Or it has some no
    /// more.
    Shards(Shards),
    /// A file that is still being filled is sent in parts from here on.
    Begun(Begun),
    /// Files were begun that will never be closed.
    Dropped(Dropped),
    /// A file is closed: what is in it, and the key that it will have. Durable before it can be seen in the store.
    Seal(Seal),
    /// An upload in parts has begun.
    Multipart(Multipart),
    /// The log has records of a closed file no more.
    Lost(Lost),
    /// The store has confirmed a file.
    Commit(Commit),
    /// Every record below these positions is in a committed file.
    Cursor(Cursor),
    /// Numbers of a shard that no file will ever have.
    Gap(Gap),
    /// Another process goes on with a ledger that several can reach.
    Generation(Generation),
    /// Everything so far. The first line of each file, and found nowhere else.
    Snapshot(Box<Snapshot>),
}

/// A configuration of the delivery, and where it begins.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Increasing.
    pub number: u32,
    /// All that decides which file a record goes into, and what the file looks like.
    pub config: serde_json::Value,
    /// First position of each shard under this epoch. It must name every shard that still has records to read: one that
    /// it does not name stays under the epoch before.
    pub from: Vec<(ShardId, SequenceNumber)>,
}

/// Shards that came into being while the delivery was running, durable before any file has records of them; and such as
/// have gone.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct Shards {
    /// First position of each, all of which are news.
    pub from: Vec<(ShardId, SequenceNumber)>,
    /// Shards that the stream has no more, and that no open file has records of. Their ids are not given again, so that
    /// nothing of them need be remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<ShardId>,
}

/// Part of a file: every record of the file's partition that the shard has from `first` to `last`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedRange {
    /// The shard.
    pub shard: ShardId,
    /// First record of it in the file.
    pub first: SequenceNumber,
    /// Last record of it in the file.
    pub last: SequenceNumber,
    /// Records of it in the file; those of other partitions lie between them.
    pub records: u64,
}

/// A file whose finished parts go to the store while it is filled. Its number and its key are decided with it; what is
/// in it, its seal will tell. Durable before the upload is begun.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The number that its seal will have.
    pub number: u64,
    /// The epoch that its records belong to.
    pub epoch: u32,
    /// The object key that it will have.
    pub key: String,
}

/// Begun files that were given up: their process has ended, and nothing of them is in the store any more, or not to be
/// got rid of. Their records are in no file yet.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Their numbers, which no seal will have.
    pub numbers: Vec<u64>,
}

/// A closed file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Of this file alone over the whole life of the delivery. Increasing, but for files that were begun before.
    pub number: u64,
    /// The epoch that its records belong to.
    pub epoch: u32,
    /// The partition, as the delivery tells partitions apart; base64 in files.
    #[serde(with = "base64_bytes")]
    pub partition: Vec<u8>,
    /// Folder below the sink, ending with `/` unless empty.
    pub folder: String,
    /// What is inside, at most one range a shard.
    pub ranges: Vec<SealedRange>,
    /// Records of all ranges.
    pub records: u64,
    /// Object key below the sink.
    pub key: String,
    /// The hash that key and identity have in the place of that of the ranges, if they were decided when the file was
    /// begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<u64>,
    /// The reason code, if these are dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
    /// Whether there is no object, because these records are none of the delivery's: it passes them over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub passed: bool,
    /// Why it was closed, in the word of metrics and logs.
    pub reason: String,
    /// Arrival of its oldest record.
    pub oldest: UnixMicros,
}

/// An upload in parts that must be aborted if it is never completed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// Number of the seal, or of the file that was begun.
    pub number: u64,
    /// The store's name for the upload.
    pub upload: String,
}

/// Records of a closed file that the log has let go of before the file was stored: it is stored without them, and one
/// that has no other records is committed without an object. Durable before the first byte of what is left is uploaded,
/// so that an object that is there by then has all records of the file, and one that comes later those that are left.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of the seal.
    pub number: u64,
    /// How many of each shard of the seal, in all; shards that have lost none are left out.
    pub shards: Vec<(ShardId, u64)>,
}

/// A file that the store has confirmed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Number of the seal.
    pub number: u64,
    /// The store's name for this content, where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes of the object.
    pub bytes: u64,
}

/// How far everything is done.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Every record below these is in a committed file, so that the log may let go of it. Shards that are not named
    /// stay where they are.
    pub positions: Vec<(ShardId, SequenceNumber)>,
}

/// Numbers of a shard that no file will ever have.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The shard.
    pub shard: ShardId,
    /// First number.
    pub first: SequenceNumber,
    /// Last number.
    pub last: SequenceNumber,
    /// How many of them were records, which the log's retention has removed before they were delivered; the others were
    /// never given to a record.
    pub lost: u64,
}

/// Who goes on with a ledger that several processes can reach, from this entry to the next of its kind. See
/// [`shared`](super::shared).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// From 1, one more each time.
    pub number: u64,
    /// Name or id of the node.
    pub node: String,
    /// What stands for the node in keys and identities of objects, as all that go on with the ledger must make the same
    /// ones: 16 hexadecimal digits, given by the first.
    pub ledger: String,
    /// The group of the node's cluster: no node of another one may go on with it. None where it was written before there
    /// was this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When that was, by the clock of the node. For people.
    pub at: UnixMicros,
}

/// The whole state, as [`super::State`] keeps it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub struct Snapshot {
    /// Version of the format of the file: [`super::FORMAT`].
    pub format: u32,
    /// The file that this one goes on from; none at the very beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// See [`super::State::generation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// See [`super::State::next_seal`].
    pub next_seal: u64,
    /// See [`super::State::committed_records`].
    pub committed_records: u64,
    /// See [`super::State::dead_records`].
    pub dead_records: u64,
    /// See [`super::State::passed_records`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_records: u64,
    /// See [`super::State::epochs`].
    pub epochs: Vec<Epoch>,
    /// See [`super::State::cursor`].
    pub cursor: Vec<(ShardId, SequenceNumber)>,
    /// See [`super::State::shards`].
    pub shards: Vec<(ShardId, ShardTotals)>,
    /// See [`super::State::open`].
    pub open: Vec<OpenSeal>,
    /// See [`super::State::begun`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<OpenBegun>,
    /// What is stored beyond the cursor.
    pub settled: Vec<SettledPartition>,
}

/// How much of an older file counts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its number.
    pub file: u64,
    /// Bytes from its start. What comes behind them was never promised to anybody.
    pub bytes: u64,
}

/// A closed file that is not committed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenSeal {
    /// The file.
    pub seal: Seal,
    /// Uploads in parts that were begun for it, oldest first; the last
    /// [`LEDGER_MULTIPARTS_MAX`](crate::config::limits::LEDGER_MULTIPARTS_MAX) of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multiparts: Vec<String>,
    /// See [`Lost::shards`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<(ShardId, u64)>,
}

/// A begun file that is not closed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenBegun {
    /// The file.
    pub begun: Begun,
    /// See [`OpenSeal::multiparts`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multiparts: Vec<String>,
}

impl OpenSeal {
    /// Records that the object has, or will have.
    pub fn records(&self) -> u64 {
        self.seal.records.saturating_sub(self.lost.iter().map(|(_, lost)| lost).sum())
    }
}

/// How far a partition's records are in sealed files.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SettledPartition {
    /// The epoch.
    pub epoch: u32,
    /// The partition, as in [`Seal::partition`].
    #[serde(with = "base64_bytes")]
    pub partition: Vec<u8>,
    /// The last sealed record of each shard.
    pub upto: Vec<(ShardId, SequenceNumber)>,
}

/// What has become of a shard's records since the delivery began to read it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ShardTotals {
    /// Where it began.
    pub first: SequenceNumber,
    /// Records in committed files, dead letters not among them.
    pub delivered: u64,
    /// Records in committed files of dead letters.
    pub dead: u64,
    /// Records that were passed over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed: u64,
    /// Numbers in gaps.
    pub skipped: u64,
    /// Records in gaps.
    pub lost: u64,
    /// Numbers below this one are in `skipped` if they were in any gap.
    pub skipped_upto: SequenceNumber,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

mod base64_bytes {
    use super::{Deserialize, Deserializer, Engine, STANDARD, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
