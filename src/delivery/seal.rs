//! A closed file: its bytes, what is in it, and the key that follows from that.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Why a file was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealReason {
    /// It has the size that was asked for.
    Size,
    /// Its first record has waited long enough.
    Age,
    /// Memory was short.
    Pressure,
    /// Another partition needed its place.
    Partitions,
    /// The process stops.
    Shutdown,
}

impl SealReason {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            SealReason::Size => "size",
            SealReason::Age => "age",
            SealReason::Pressure => "pressure",
            SealReason::Partitions => "partitions",
            SealReason::Shutdown => "shutdown",
        }
    }
}

/// First and last record that a file has of a shard. Records of other partitions may lie between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRange {
    /// The shard.
    pub shard: ShardId,
    /// First record of it in the file.
    pub first: SequenceNumber,
    /// Last record of it in the file.
    pub last: SequenceNumber,
}

/// What an object key is made of: all of it is decided when the file is closed, nothing when it is uploaded, so that
/// a second try finds or overwrites the object of the first.
#[derive(Debug, Clone)]
pub struct SealId<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// Name of the delivery.
    pub delivery: &'a str,
    /// Run of the process.
    pub epoch: u64,
    /// Number of the seal within the run.
    pub number: u64,
    /// What is inside.
    pub ranges: &'a [ShardRange],
}

impl SealId<'_> {
    /// `{folder}{stream}-{delivery}-{epoch}-{number}-{hash of the ranges}{extension}`.
    pub fn key(&self, folder: &str, extension: &str) -> String {
        let mut hash = Xxh3::new();
        for range in self.ranges {
            hash.update(&range.shard.0.to_be_bytes());
            hash.update(&range.first.0.to_be_bytes());
            hash.update(&range.last.0.to_be_bytes());
        }
        let SealId { stream, delivery, epoch, number, .. } = self;
        format!("{folder}{stream}-{delivery}-{epoch:x}-{number:08}-{:08x}{extension}", hash.digest() as u32)
    }
}

/// A closed file on its way to the sink.
#[derive(Debug)]
pub struct Sealed {
    /// Object key below the sink's folder.
    pub key: String,
    /// The file.
    pub chunks: Vec<Bytes>,
    /// Records in it.
    pub records: u64,
    /// Arrival of its oldest record.
    pub oldest: UnixMicros,
    /// The reason code, if these are dead letters.
    pub dead: Option<String>,
    /// Pays for the chunks, for as long as they are here.
    #[expect(dead_code, reason = "held, not read")]
    pub permit: Permit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_what_is_inside_alone() {
        let range =
            |last| ShardRange { shard: ShardId(1), first: SequenceNumber(5), last: SequenceNumber(last) };
        let key = |last| {
            let ranges = [range(last)];
            SealId { stream: "s", delivery: "d", epoch: 255, number: 7, ranges: &ranges }
                .key("dt=1/", ".json.gz")
        };
        assert!(key(9).starts_with("dt=1/s-d-ff-00000007-") && key(9).ends_with(".json.gz"), "{}", key(9));
        assert_eq!(key(9), key(9));
        assert_ne!(key(9), key(10));
    }
}
