//! The log of durability `memory`: a ring of batches.
//!
//! One short lock a shard guards it. An append pushes one entry, whatever the number of records; a read clones the
//! `Arc`s of the batches it needs; nothing is copied and nothing is dropped under the lock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::log::{
    Appended, Bounds, Evicted, Found, Numbering, Position, Read, ReadLimit, ReaderId, ShardLog, Slice,
};
use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;

/// How long records stay readable once no delivery needs them.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Since arrival.
    pub age: Duration,
    /// Payload bytes of what is kept.
    pub bytes: Option<u64>,
}

impl Retention {
    /// The part of a stream's retention that each of its `shards` gets.
    pub fn of_one_shard(self, shards: u32) -> Self {
        Self { age: self.age, bytes: self.bytes.map(|bytes| bytes / u64::from(shards.max(1))) }
    }

    pub(super) fn oldest(&self, now: UnixMicros) -> UnixMicros {
        UnixMicros(now.0.saturating_sub(i64::try_from(self.age.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemoryLog {
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    retention: Retention,
    entries: VecDeque<Entry>,
    /// Number of the first record ever.
    origin: SequenceNumber,
    next: SequenceNumber,
    bytes: u64,
    /// What each delivery has released.
    released: Vec<SequenceNumber>,
}

#[derive(Debug)]
struct Entry {
    first: SequenceNumber,
    bytes: u64,
    batch: Arc<Batch>,
}

impl Entry {
    fn end(&self) -> SequenceNumber {
        SequenceNumber(self.first.0 + self.batch.records.len() as u64)
    }
}

impl MemoryLog {
    /// An empty log whose first record gets the number `first`.
    pub fn new(first: SequenceNumber, retention: Retention, readers: usize) -> Self {
        let ring = Ring {
            retention,
            entries: VecDeque::new(),
            origin: first,
            next: first,
            bytes: 0,
            released: vec![first; readers],
        };
        Self { ring: Mutex::new(ring) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // No code under the lock can panic half-way through a change, so a poisoned ring is still whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn first(&self) -> SequenceNumber {
        self.entries.front().map_or(self.next, |entry| entry.first)
    }

    /// Index of the entry that holds `position`, or of the first behind it.
    fn index_of(&self, position: SequenceNumber) -> usize {
        self.entries.partition_point(|entry| entry.end() <= position)
    }

    /// Everything below is released by every delivery.
    fn released(&self) -> SequenceNumber {
        self.released.iter().copied().min().unwrap_or(self.next)
    }

    /// Takes out released entries from the oldest on, for as long as `unwanted` says so of the ring and the entry.
    fn evict(&mut self, mut unwanted: impl FnMut(&Ring, &Entry) -> bool, out: &mut Vec<Entry>) -> u64 {
        let released = self.released();
        let mut records = 0;
        while let Some(entry) = self.entries.front() {
            if entry.end() > released || !unwanted(self, entry) {
                break;
            }
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= entry.bytes;
                records += entry.batch.records.len() as u64;
                out.push(entry);
            }
        }
        records
    }
}

impl MemoryLog {
    /// Takes a batch and numbers its records. Appends are totally ordered.
    pub fn append(&self, batch: Batch) -> Appended {
        let count = batch.records.len() as u64;
        let bytes = batch.payload_bytes();
        let batch = Arc::new(batch);
        let mut ring = self.ring();
        let first = ring.next;
        ring.next = SequenceNumber(first.0 + count);
        ring.bytes += bytes;
        ring.entries.push_back(Entry { first, bytes, batch });
        Appended::together(first, count)
    }

    /// See [`ShardLog::read`]; everything is in memory.
    pub fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Read {
        let ring = self.ring();
        let first = ring.first();
        let skipped = first.0.saturating_sub(from.max(ring.origin).0);
        let mut next = from.max(first);
        let mut slices = Vec::new();
        let (mut bytes, mut records) = (0, 0);
        for entry in ring.entries.range(ring.index_of(next)..) {
            if (bytes >= limit.bytes || records >= limit.records) && !slices.is_empty() {
                break;
            }
            let skip = (next.0 - entry.first.0) as usize;
            slices.push(Slice { batch: Arc::clone(&entry.batch), skip, first: next });
            bytes += entry.bytes;
            records += entry.batch.records.len() - skip;
            next = entry.end();
        }
        Read { slices, next, skipped, numbering: Numbering::Dense }
    }
}

impl MemoryLog {
    /// Lets go of what has outlived its retention and is released by every reader.
    pub fn enforce_retention(&self, now: UnixMicros) -> Evicted {
        let mut out = Vec::new();
        let mut ring = self.ring();
        let Retention { bytes, .. } = ring.retention;
        let (oldest, bytes_max) = (ring.retention.oldest(now), bytes.unwrap_or(u64::MAX));
        let by_age = ring.evict(|_, entry| entry.batch.source.arrival < oldest, &mut out);
        let by_bytes = ring.evict(|ring, _| ring.bytes > bytes_max, &mut out);
        drop(ring);
        Evicted { by_age, by_bytes }
    }

    /// Keeps what is there, and what comes, for another time.
    pub fn set_retention(&self, retention: Retention) {
        self.ring().retention = retention;
    }

    /// Whether nothing is left of what came, and every delivery has read it.
    pub fn is_outlived(&self) -> bool {
        let ring = self.ring();
        ring.entries.is_empty() && ring.released() >= ring.next
    }
}

impl ShardLog for MemoryLog {
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found {
        Found::Here(MemoryLog::read(self, from, limit))
    }

    fn bounds(&self) -> Bounds {
        let ring = self.ring();
        Bounds { first: ring.first(), next: ring.next, bytes: ring.bytes }
    }

    fn end(&self) -> SequenceNumber {
        self.ring().next
    }

    fn position_at(&self, time: UnixMicros) -> Position {
        let ring = self.ring();
        let index = ring.entries.partition_point(|entry| entry.batch.source.arrival < time);
        Position::Here(ring.entries.get(index).map_or(ring.next, |entry| entry.first))
    }

    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros> {
        let ring = self.ring();
        ring.entries.get(ring.index_of(from)).map(|entry| entry.batch.source.arrival)
    }

    fn release(&self, reader: ReaderId, upto: SequenceNumber) {
        if let Some(released) = self.ring().released.get_mut(reader) {
            *released = (*released).max(upto);
        }
    }

    fn hold(&self, reader: ReaderId) {
        super::log::hold(&mut self.ring().released, reader);
    }

    fn leave(&self, reader: ReaderId) {
        super::log::leave(&mut self.ring().released, reader);
    }

    fn reclaim(&self, before: UnixMicros) -> u64 {
        let mut out = Vec::new();
        let mut ring = self.ring();
        let records = ring.evict(|_, entry| entry.batch.source.arrival < before, &mut out);
        drop(ring);
        records
    }

    fn oldest_arrival(&self) -> Option<UnixMicros> {
        let ring = self.ring();
        let released = ring.released();
        let oldest = ring.entries.front().filter(|entry| entry.end() <= released);
        oldest.map(|entry| entry.batch.source.arrival)
    }
}

#[cfg(test)]
mod tests;
