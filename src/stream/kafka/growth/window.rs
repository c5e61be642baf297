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

use super::super::PartitionLog;
use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;
use crate::stream::captures::CapturePlan;
use crate::stream::log::{
    Bounds, Found, Numbering, Payer, Position, Read, ReadError, ReadLimit, ReaderId, ShardLog, Slice,
    StoredPosition, StoredRead,
};

/// See the module.
#[derive(Debug, Clone)]
pub struct Window {
    log: Arc<PartitionLog>,
    span: Span,
}

/// Offsets from one up to before another one.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    /// `None` for an open shard.
    end: Option<u64>,
}

impl Window {
    /// The records of `log` from `from` on, up to before `end`, which is not below `from`.
    pub fn new(log: Arc<PartitionLog>, from: u64, end: Option<u64>) -> Self {
        Self { log, span: Span { from, end: end.map(|end| end.max(from)) } }
    }

    /// The partition.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    fn is_open(&self) -> bool {
        self.span.end.is_none()
    }
}

impl Span {
    fn end(self) -> u64 {
        self.end.unwrap_or(u64::MAX)
    }

    /// The offset of it that is nearest.
    fn nearest(self, offset: SequenceNumber) -> SequenceNumber {
        SequenceNumber(offset.0.clamp(self.from, self.end()))
    }

    /// What lies in it of a read that began in it, or at its end.
    fn cut(self, mut read: Read) -> Read {
        read.next = self.nearest(read.next);
        read.numbering = match read.numbering {
            Numbering::Dense => Numbering::Dense,
            Numbering::Sparse { lost_below } => Numbering::Sparse { lost_below: self.nearest(lost_below) },
        };
        let within = read.slices.partition_point(|slice| slice.first.0 < self.end());
        read.slices.truncate(within);
        if let Some(last) = read.slices.last_mut() {
            cut_slice(last, self.end());
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
    span: Span,
}

impl StoredRead for StoredWindow {
    fn load(self: Box<Self>, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        self.inner.load(payer, captures).map(|read| self.span.cut(read))
    }
}

#[derive(Debug)]
struct StoredPlace {
    inner: Box<dyn StoredPosition>,
    span: Span,
}

impl StoredPosition for StoredPlace {
    fn find(self: Box<Self>) -> Result<SequenceNumber, ReadError> {
        self.inner.find().map(|found| self.span.nearest(found))
    }
}

impl ShardLog for Window {
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found {
        let (span, asked) = (self.span, from.0.max(self.span.from));
        let low = span.nearest(self.log.bounds().first);
        if asked >= span.end() || low.0 >= span.end() {
            let (next, skipped) = (SequenceNumber(asked.max(low.0)), low.0.saturating_sub(asked));
            let numbering = Numbering::Sparse { lost_below: low };
            return Found::Here(Read { slices: Vec::new(), next, skipped, numbering });
        }
        match self.log.read_below(SequenceNumber(asked), span.end(), limit) {
            Found::Here(read) => Found::Here(span.cut(read)),
            Found::Stored(inner) => Found::Stored(Box::new(StoredWindow { inner, span })),
        }
    }

    /// The bytes in memory are told of the open shard only.
    fn bounds(&self) -> Bounds {
        let Bounds { first, next, bytes } = self.log.bounds();
        let bytes = if self.is_open() { bytes } else { 0 };
        Bounds { first: self.span.nearest(first), next: self.span.nearest(next), bytes }
    }

    fn end(&self) -> SequenceNumber {
        self.span.nearest(self.log.end())
    }

    fn position_at(&self, time: UnixMicros) -> Position {
        match self.log.position_at(time) {
            Position::Here(position) => Position::Here(self.span.nearest(position)),
            Position::Stored(inner) => Position::Stored(Box::new(StoredPlace { inner, span: self.span })),
        }
    }

    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros> {
        let from = from.0.max(self.span.from);
        (from < self.span.end()).then(|| self.log.arrival_at(SequenceNumber(from))).flatten()
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
