//! The seam between a shard's log and everything else.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use super::captures::CapturePlan;
use crate::record::{Batch, SequenceNumber};
use crate::runtime::budget::{Budget, Permit};
use crate::runtime::clock::UnixMicros;

/// Number of a delivery among those of its stream.
pub type ReaderId = usize;

/// Where a batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Number of its first record.
    pub first: SequenceNumber,
    /// Number of its last record.
    pub last: SequenceNumber,
    /// The number of each record, where they do not follow each other: others append to the shard as well. It has more
    /// than one, and rises.
    pub apart: Option<Arc<[SequenceNumber]>>,
}

impl Appended {
    /// `count` records whose numbers follow each other.
    pub fn together(first: SequenceNumber, count: u64) -> Self {
        Self { first, last: SequenceNumber(first.0 + count.saturating_sub(1)), apart: None }
    }

    /// How many records it is; one, where it is a batch without records.
    pub fn count(&self) -> u64 {
        self.apart.as_ref().map_or(self.last.0 - self.first.0 + 1, |numbers| numbers.len() as u64)
    }

    /// The number of the record at `index` of the batch.
    pub fn number(&self, index: usize) -> SequenceNumber {
        match &self.apart {
            None => SequenceNumber(self.first.0 + index as u64),
            Some(numbers) => numbers.get(index).copied().unwrap_or(self.last),
        }
    }
}

/// What a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Oldest record that can be read; equal to `next` if there is none.
    pub first: SequenceNumber,
    /// The number that the next record will get.
    pub next: SequenceNumber,
    /// Payload bytes between the two.
    pub bytes: u64,
}

/// Consecutive records of one batch.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Index of the first record in it that belongs to the slice; the slice goes on to the batch's end.
    pub skip: usize,
    /// Number of that record.
    pub first: SequenceNumber,
}

impl Slice {
    /// How many records it has.
    pub fn len(&self) -> usize {
        self.batch.records.len() - self.skip
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Payload bytes of some of its records. Those of an aggregate count without what is around them.
    pub fn payload_bytes(&self, records: Range<usize>) -> u64 {
        let records = self.skip + records.start..self.skip + records.end;
        let records = self.batch.records.get(records).unwrap_or_default();
        records.iter().map(|record| record.payload.len() as u64).sum()
    }

    /// What readers of Kinesis get of it: records as they were put, aggregates unchanged under the number of their first
    /// record. Where the slice begins within an aggregate, from the one behind that.
    ///
    /// Each takes `count` numbers from `number` on. One that the edge has found invalid, and has taken for the dead
    /// letters, is among them.
    pub fn puts(&self) -> impl Iterator<Item = PutRecord<'_>> {
        let source = &self.batch.source;
        self.batch.puts(self.skip).map(|put| PutRecord {
            number: SequenceNumber(self.first.0 + (put.first - self.skip) as u64),
            count: put.count,
            payload: source.bytes(put.payload),
            key: source.bytes(put.key),
            is_aggregate: put.is_aggregate,
        })
    }
}

/// A record as it was put. See [`Slice::puts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutRecord<'a> {
    /// Its number: of an aggregate, that of its first record.
    pub number: SequenceNumber,
    /// How many numbers it takes: 1, unless it is an aggregate.
    pub count: usize,
    /// Its bytes.
    pub payload: &'a [u8],
    /// The partition key that it was put with; empty where that was random.
    pub key: &'a [u8],
    /// Whether it is an aggregate.
    pub is_aggregate: bool,
}

/// How much [`ShardLog::read`] gives at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Payload bytes of the batches that are read.
    pub bytes: u64,
    /// Records from the asked position on.
    pub records: usize,
}

impl ReadLimit {
    /// Any number of records.
    pub const fn bytes(bytes: u64) -> Self {
        Self { bytes, records: usize::MAX }
    }
}

/// Who pays for the memory of records that are read back from the disk.
#[derive(Debug, Clone)]
pub struct Payer {
    /// The account.
    pub budget: Arc<Budget>,
    /// Whether it may be overdrawn. A delivery may, because giving memory back needs reading on, and it has one read
    /// under way at a time; a tap may not.
    pub overdraws: bool,
}

impl Payer {
    /// Takes `bytes`.
    pub fn pay(&self, bytes: u64) -> Result<Permit, ReadError> {
        if self.overdraws {
            return Ok(self.budget.take_anyway(bytes));
        }
        self.budget.try_take(bytes).ok_or(ReadError::NoMemory { bytes })
    }
}

/// Why records cannot be read back.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The payer's account is spent.
    #[error("no memory for {bytes} bytes of records from the disk: read less at a time, or later")]
    NoMemory {
        /// What was asked for.
        bytes: u64,
    },
    /// The disk does not answer.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The segment or its index.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there is not what was written.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The segment or its index.
        path: String,
        /// Where.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// Another machine that has them does not give them.
    #[error("{0}")]
    Remote(String),
    /// The process stops.
    #[error("the process stops")]
    Stopped,
}

/// Where records were found.
#[derive(Debug)]
pub enum Found {
    /// In memory.
    Here(Read),
    /// On the disk; loading them takes a while.
    Stored(Box<dyn StoredRead>),
}

/// Records that must be loaded from a disk.
pub trait StoredRead: Send + fmt::Debug {
    /// Loads them. Blocks the thread. The captured fields of the batches are those of `captures`.
    fn load(self: Box<Self>, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError>;
}

/// The answer to [`ShardLog::position_at`].
#[derive(Debug)]
pub enum Position {
    /// It is known.
    Here(SequenceNumber),
    /// The disk knows it; finding it takes a while.
    Stored(Box<dyn StoredPosition>),
}

impl Position {
    /// The position. Blocks the thread if the disk has to be asked.
    pub fn find(self) -> Result<SequenceNumber, ReadError> {
        match self {
            Position::Here(position) => Ok(position),
            Position::Stored(stored) => stored.find(),
        }
    }
}

/// A position that must be looked up on a disk.
pub trait StoredPosition: Send + fmt::Debug {
    /// Looks it up. Blocks the thread.
    fn find(self: Box<Self>) -> Result<SequenceNumber, ReadError>;
}

/// The answer to [`ShardLog::read`].
#[derive(Debug, Clone)]
pub struct Read {
    /// In order, without gaps.
    pub slices: Vec<Slice>,
    /// Where to read on.
    pub next: SequenceNumber,
    /// Records that this log has had between the asked position and the oldest that is still there. Numbers from
    /// before its very first record do not count: nothing of it was ever there.
    pub skipped: u64,
    /// What numbers mean that are of no record here.
    pub numbering: Numbering,
}

/// What a number is that no record of a [`Read`] has, although it lies between the asked position and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbering {
    /// That of a lost record.
    #[default]
    Dense,
    /// One that was never given to a record, since others number as well; but below this one, that of a lost one.
    Sparse {
        /// The oldest number that is still there.
        lost_below: SequenceNumber,
    },
}

impl Read {
    /// No record from `next` on.
    pub fn nothing(next: SequenceNumber) -> Self {
        Self { slices: Vec::new(), next, skipped: 0, numbering: Numbering::Dense }
    }
}

/// What a shard has let go of because its retention is over, in records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Too old.
    pub by_age: u64,
    /// Over the byte limit.
    pub by_bytes: u64,
}

/// Begins to hold records for `reader` in what each delivery has released.
pub(super) fn hold(released: &mut Vec<SequenceNumber>, reader: ReaderId) {
    leave(released, reader);
    if let Some(released) = released.get_mut(reader) {
        *released = SequenceNumber(0);
    }
}

/// The opposite.
pub(super) fn leave(released: &mut Vec<SequenceNumber>, reader: ReaderId) {
    if released.len() <= reader {
        released.resize(reader + 1, SequenceNumber(u64::MAX));
    }
    if let Some(released) = released.get_mut(reader) {
        *released = SequenceNumber(u64::MAX);
    }
}

/// One shard of a log, as readers see it: nothing that has not reached the stream's durability can be seen. Every call
/// is short and never waits for a disk, a network or a consumer.
pub trait ShardLog: Send + Sync {
    /// Records from `from` on, oldest first: up to the end of the batch that reaches either bound of `limit`, so at
    /// least one batch if there is one. A read from the disk may end earlier than that.
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found;

    /// What there is.
    fn bounds(&self) -> Bounds;

    /// The number that the next record gets: behind that of the last one, whether or not that is durable yet.
    fn end(&self) -> SequenceNumber;

    /// The position of the first record that arrived at `time` or later; `next` if there is none.
    fn position_at(&self, time: UnixMicros) -> Position;

    /// Arrival of the record at `from`, or of the next one that is there.
    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros>;

    /// Tells that delivery `reader` does not need records below `upto` any more, not even after a crash.
    fn release(&self, reader: ReaderId, upto: SequenceNumber);

    /// Lets go of nothing from now on that delivery `reader` has not released. It may be one that there was not before.
    fn hold(&self, reader: ReaderId);

    /// Holds nothing for delivery `reader` any more, until [`ShardLog::hold`].
    fn leave(&self, reader: ReaderId);

    /// Gives no number below `next` to a record any more, because a log of before has done so: this one has lost its end
    /// with the power of the machine. To be called before the first record is appended. A log that is lost with its
    /// process never has to.
    fn skip_to(&self, _next: SequenceNumber) {}

    /// Whether others append to it and read it as well, and may know of a later end: then [`ShardLog::skip_to`] is how this
    /// one hears of it.
    fn hears_late(&self) -> bool {
        false
    }

    /// Gives memory back: lets go of batches in memory that arrived before `before`, oldest first, up to the first that
    /// is younger or that would be lost with its memory although a reader has not released it. Returns the records
    /// that cannot be read any more.
    fn reclaim(&self, before: UnixMicros) -> u64;

    /// Arrival of the oldest batch in memory that could be let go of: what [`ShardLog::reclaim`] would begin with.
    fn oldest_arrival(&self) -> Option<UnixMicros>;
}
