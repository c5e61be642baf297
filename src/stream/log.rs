//! The seam between a shard's log and everything else.

use std::sync::Arc;

use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;

/// Number of a delivery among those of its stream.
pub type ReaderId = usize;

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Number of its first record.
    pub first: SequenceNumber,
    /// Number of its last record.
    pub last: SequenceNumber,
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
}

/// What [`ShardLog::enforce_retention`] has let go of, in records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Too old.
    pub by_age: u64,
    /// Over the byte limit.
    pub by_bytes: u64,
}

/// One shard's log. Every call is short and never waits for a disk, a network or a consumer: a log that writes does
/// so behind `append`, and tells through `durable` how far it has come.
pub trait ShardLog: Send + Sync {
    /// Takes a batch and numbers its records. Appends of one shard are totally ordered.
    fn append(&self, batch: Batch) -> Appended;

    /// Every record below this number has reached the stream's durability. Acks are released by this alone.
    fn durable(&self) -> SequenceNumber;

    /// Records from `from` on, oldest first: up to the end of the batch that reaches either bound of `limit`, so at
    /// least one batch if there is one.
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Read;

    /// What there is.
    fn bounds(&self) -> Bounds;

    /// The position of the first record that arrived at `time` or later; `next` if there is none.
    fn position_at(&self, time: UnixMicros) -> SequenceNumber;

    /// Arrival of the record at `from`, or of the next one that is there.
    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros>;

    /// Tells that delivery `reader` does not need records below `upto` any more.
    fn release(&self, reader: ReaderId, upto: SequenceNumber);

    /// Lets go of what has outlived its retention and is released by every reader.
    fn enforce_retention(&self, now: UnixMicros) -> Evicted;

    /// Lets go of batches that arrived before `before`, oldest first, up to the first that a reader has not released
    /// or that is younger. Returns their records.
    fn reclaim(&self, before: UnixMicros) -> u64;

    /// Arrival of the oldest batch, if every reader has released it: what [`ShardLog::reclaim`] would begin with.
    fn oldest_arrival(&self) -> Option<UnixMicros>;
}
