//! A part of a partition as the log of a shard: from the offset with which its generation begins there, up to that with
//! which it ends.
//!
//! ```text
//! partition   low                E₁           E₂          next
//!              ├──── shard 0 ────┼── shard 2 ─┼── shard 5 ──▶
//! ```
//!
//! What is in memory of the partition, and what is read from the topic again, is the same for all shards in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::PartitionLog;
use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;
use crate::stream::captures::CapturePlan;
use crate::stream::log::{
    Bounds, Found, Numbering, Payer, Position, Read, ReadError, ReadLimit, ReaderId, ShardLog, Slice,
    StoredPosition, StoredRead,
};

/// The end of an open shard.
const OPEN: u64 = u64::MAX;

/// See the module. A clone is the same shard, and ends with it.
#[derive(Debug, Clone)]
pub struct Window {
    log: Arc<PartitionLog>,
    generation: u32,
    from: u64,
    /// It changes once, before anything behind it can be read: so it is to be looked at *after* the partition is.
    end: Arc<AtomicU64>,
}

impl Window {
    /// The records of `log` from `from` on, up to before `end`, which is not below `from`: a shard of the generation with
    /// this number.
    pub fn new(log: Arc<PartitionLog>, generation: u32, from: u64, end: Option<u64>) -> Self {
        let end = Arc::new(AtomicU64::new(end.map_or(OPEN, |end| end.max(from))));
        Self { log, generation, from, end }
    }

    /// The partition.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// Number of the generation that it is of.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// It ends there. To be called before the partition shows anything that lies behind.
    pub fn close(&self, end: u64) {
        self.end.store(end.max(self.from), Ordering::Release);
    }

    fn until(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn is_open(&self) -> bool {
        self.until() == OPEN
    }

    /// The offset of it that is nearest.
    fn nearest(&self, offset: SequenceNumber) -> SequenceNumber {
        SequenceNumber(offset.0.clamp(self.from, self.until()))
    }

    /// What lies in it of a read that began in it, or at its end.
    fn cut(&self, mut read: Read) -> Read {
        read.next = self.nearest(read.next);
        read.numbering = match read.numbering {
            Numbering::Dense => Numbering::Dense,
            Numbering::Sparse { lost_below } => Numbering::Sparse { lost_below: self.nearest(lost_below) },
        };
        let end = self.until();
        let within = read.slices.partition_point(|slice| slice.first.0 < end);
        read.slices.truncate(within);
        if let Some(last) = read.slices.last_mut() {
            cut_slice(last, end);
        }
        read
    }
}

/// Leaves the records below `end`, which is behind the first one.
fn cut_slice(slice: &mut Slice, end: u64) {
    let below = end.saturating_sub(slice.first.0);
    let Some(records) = usize::try_from(below).ok().filter(|&below| below < slice.len()) else { return };
    let (batch, keep) = (&slice.batch, slice.skip + records);
    // Batches from a topic have no aggregates.
    let slots = batch.captures.len() / batch.records.len().max(1);
    slice.batch = Arc::new(Batch {
        source: Arc::clone(&batch.source),
        records: batch.records.iter().take(keep).copied().collect(),
        captures: batch.captures.iter().take(keep * slots).copied().collect(),
        aggregates: Box::default(),
    });
}

#[derive(Debug)]
struct StoredWindow {
    inner: Box<dyn StoredRead>,
    window: Window,
}

impl StoredRead for StoredWindow {
    fn load(self: Box<Self>, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        self.inner.load(payer, captures).map(|read| self.window.cut(read))
    }
}

#[derive(Debug)]
struct StoredPlace {
    inner: Box<dyn StoredPosition>,
    window: Window,
}

impl StoredPosition for StoredPlace {
    fn find(self: Box<Self>) -> Result<SequenceNumber, ReadError> {
        self.inner.find().map(|found| self.window.nearest(found))
    }
}

impl ShardLog for Window {
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found {
        let asked = from.0.max(self.from);
        let low = self.nearest(self.log.bounds().first);
        let end = self.until();
        if asked >= end || low.0 >= end {
            let (next, skipped) = (SequenceNumber(asked.max(low.0)), low.0.saturating_sub(asked));
            let numbering = Numbering::Sparse { lost_below: low };
            return Found::Here(Read { slices: Vec::new(), next, skipped, numbering });
        }
        match self.log.read_below(SequenceNumber(asked), end, limit) {
            Found::Here(read) => Found::Here(self.cut(read)),
            Found::Stored(inner) => Found::Stored(Box::new(StoredWindow { inner, window: self.clone() })),
        }
    }

    /// The bytes in memory are told of the open shard only.
    fn bounds(&self) -> Bounds {
        let Bounds { first, next, bytes } = self.log.bounds();
        let bytes = if self.is_open() { bytes } else { 0 };
        Bounds { first: self.nearest(first), next: self.nearest(next), bytes }
    }

    fn end(&self) -> SequenceNumber {
        let end = self.log.end();
        self.nearest(end)
    }

    fn position_at(&self, time: UnixMicros) -> Position {
        match self.log.position_at(time) {
            Position::Here(position) => Position::Here(self.nearest(position)),
            Position::Stored(inner) => {
                Position::Stored(Box::new(StoredPlace { inner, window: self.clone() }))
            }
        }
    }

    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros> {
        let from = from.0.max(self.from);
        let arrival = self.log.arrival_at(SequenceNumber(from));
        arrival.filter(|_| from < self.until())
    }

    fn skip_to(&self, next: SequenceNumber) {
        // Of a shard that is closed it is known that the partition goes on at least to its end.
        self.log.skip_to(next.min(SequenceNumber(self.until())));
    }

    fn hears_late(&self) -> bool {
        self.log.hears_late()
    }

    /// The broker decides what is kept.
    fn release(&self, _: ReaderId, _: SequenceNumber) {}

    fn hold(&self, _: ReaderId) {}

    fn leave(&self, _: ReaderId) {}

    fn reclaim(&self, before: UnixMicros) -> u64 {
        if self.is_open() { self.log.reclaim(before) } else { 0 }
    }

    fn oldest_arrival(&self) -> Option<UnixMicros> {
        self.log.oldest_arrival().filter(|_| self.is_open())
    }
}
