//! The index of a closed segment: which frames it has for a shard, and where. It can be made again from the segment.
//!
//! | part | bytes | content |
//! | --- | --- | --- |
//! | header | 80 | see below |
//! | directory | 56 × shards | a row a shard, in the order of the shards' numbers |
//! | entries | 32 × entries, and 8 a block | a row a batch frame, ordered by shard and then by sequence number |
//! | replies | 24 × replies, and 8 a block | a row a reply frame, in the order of the segment |
//!
//! Rows of entries and replies stand in blocks of 128 (the last one is shorter), each followed by the checksum of its
//! rows, so that any of them can be read and verified alone. Numbers and checksums are as in [`super`].
//!
//! | offset | bytes | field of the header |
//! | --- | --- | --- |
//! | 0 | 8 | magic `FOREBAYI` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | shards |
//! | 16 | 4 | entries |
//! | 20 | 4 | replies |
//! | 24 | 8 | number of the segment |
//! | 32 | 8 | salt of the segment |
//! | 40 | 8 | where the valid part of the segment ends, in bytes |
//! | 48 | 8 | number of the commit behind its last one |
//! | 56 | 8 | zeros |
//! | 64 | 8 | checksum of the directory |
//! | 72 | 8 | checksum of the 72 bytes before |
//!
//! | offset | bytes | field of a directory row |
//! | --- | --- | --- |
//! | 0 | 4 | number of the shard in the node's catalog |
//! | 4 | 4 | index of its first entry |
//! | 8 | 4 | number of its entries |
//! | 12 | 4 | zeros |
//! | 16 | 8 | sequence number of its first record |
//! | 24 | 8 | sequence number behind its last record |
//! | 32 | 8 | payload bytes |
//! | 40 | 8 | least arrival |
//! | 48 | 8 | greatest arrival |
//!
//! | offset | bytes | field of an entry |
//! | --- | --- | --- |
//! | 0 | 8 | sequence number of the first record |
//! | 8 | 4 | records |
//! | 12 | 4 | byte offset of the frame in the segment |
//! | 16 | 4 | bytes of the frame |
//! | 20 | 4 | payload bytes |
//! | 24 | 8 | arrival |
//!
//! | offset | bytes | field of a reply |
//! | --- | --- | --- |
//! | 0 | 4 | number of the stream in the node's catalog |
//! | 4 | 4 | bytes of the frame |
//! | 8 | 8 | byte offset of the frame in the segment |
//! | 16 | 8 | arrival |

mod build;
mod growing;
mod read;
mod readers;
mod rows;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::frame::{FrameHeader, ShardNumber};
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;

pub use build::{IndexBuilder, IndexFull};
pub use growing::GrowingIndex;
pub use read::IndexReader;
pub use readers::IndexReaders;

/// Tells where a shard's frames are in a segment.
pub trait Places: Debug + Send + Sync {
    /// Gives the frames of `shard` from the one that holds `from` on to `take`, one after the other, for as long as that
    /// says that it takes more.
    fn each_from(
        &self,
        shard: ShardNumber,
        from: SequenceNumber,
        take: &mut dyn FnMut(IndexEntry) -> bool,
    ) -> Result<(), IndexError>;

    /// The number of the first record of `shard` that arrived at `time` or later.
    fn since(&self, shard: ShardNumber, time: UnixMicros) -> Result<Option<SequenceNumber>, IndexError>;

    /// Whether all of it is in memory.
    fn is_in_memory(&self) -> bool;
}

/// What an index says about its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedSegment {
    /// Its number.
    pub number: u64,
    /// Its salt.
    pub salt: u64,
    /// Where its valid part ends, in bytes.
    pub valid_end: u64,
    /// The number of the commit behind its last one.
    pub next_commit: u64,
}

/// What a segment has for one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRange {
    /// The shard.
    pub shard: ShardNumber,
    /// Index of its first entry among all.
    first_entry: u32,
    /// How many entries it has.
    pub entries: u32,
    /// Number of its first record.
    pub first: SequenceNumber,
    /// The number behind its last record.
    pub end: SequenceNumber,
    /// Payload bytes of its records.
    pub payload_bytes: u64,
    /// Arrival of its oldest record.
    pub arrival_min: UnixMicros,
    /// Arrival of its newest record.
    pub arrival_max: UnixMicros,
}

/// A batch frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Number of its first record.
    pub first: SequenceNumber,
    /// Records.
    pub count: u32,
    /// Where the frame begins, in bytes from the file's start.
    pub offset: u32,
    /// Bytes of the frame.
    pub bytes: u32,
    /// Bytes of all payloads.
    pub payload_bytes: u32,
    /// When the request was complete.
    pub arrival: UnixMicros,
}

impl IndexEntry {
    /// The batch frame with this header that stands at `offset` in a segment (of less than 4 GiB).
    pub fn of(header: &FrameHeader, offset: u64) -> Self {
        Self {
            first: header.first,
            count: header.count,
            offset: offset as u32,
            bytes: header.bytes,
            payload_bytes: header.payload_bytes as u32,
            arrival: header.arrival,
        }
    }

    /// Whether it has a record that arrived at `time` or later. A batch without records only marks where the shard is.
    fn has_record_since(&self, time: UnixMicros) -> bool {
        self.count > 0 && self.arrival >= time
    }

    /// The number behind its last record.
    pub fn end(&self) -> SequenceNumber {
        SequenceNumber(self.first.0.saturating_add(u64::from(self.count)))
    }
}

/// A reply frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyEntry {
    /// Number of the stream in the node's catalog.
    pub stream: u32,
    /// Bytes of the frame.
    pub bytes: u32,
    /// Where the frame begins, in bytes from the file's start.
    pub offset: u64,
    /// When the request was complete.
    pub arrival: UnixMicros,
}

impl ReplyEntry {
    /// Of a reply frame that stands at `offset` in a segment.
    pub fn of(header: &FrameHeader, offset: u64) -> Self {
        Self { stream: header.shard.0, bytes: header.bytes, offset, arrival: header.arrival }
    }
}

/// Why an index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The disk does not answer.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was written by another program, or by another version of this one.
    #[error("{path} is no index of format version {}", rows::VERSION)]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written. It can be made again from the segment.
    #[error("{path} is damaged at byte {offset}: {what}; the next start makes it again from its segment")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the part begins that is damaged.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
}
