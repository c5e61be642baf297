//! One shard of a durable log: what is in memory, and where the rest lies on the disk.
//!
//! ```text
//!   first                    ring.first          durable        next
//!     │   parts (segments)        │                 │             │
//!     ├───────────┬───────────┬───┴───────────┬─────┤             │
//!     └───────────┴───────────┴───────────────┴─────┘             │
//!                                 ├───────────────────────────────┤  ring: batches in memory
//! ```
//!
//! Readers see what lies below `durable`. The ring gives memory back from its old end whoever has read it: what is
//! durable can be read back.

mod retention;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::ShardNumber;
use super::stored::{StoredRange, StoredSegment, StoredTime};
use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;
use crate::stream::log::{
    self, Appended, Bounds, Found, Numbering, Position, Read, ReadLimit, ReaderId, ShardLog, Slice,
};
use crate::stream::memory::Retention;

pub use retention::Expired;

/// See the module.
#[derive(Debug)]
pub struct DurableLog {
    number: ShardNumber,
    state: Mutex<State>,
}

/// The records of one shard in one segment.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where they are.
    pub segment: Arc<StoredSegment>,
    /// Number of the first.
    pub first: SequenceNumber,
    /// Number behind the last.
    pub end: SequenceNumber,
    /// Payload bytes.
    pub bytes: u64,
    /// Arrival of the oldest.
    pub oldest: UnixMicros,
    /// Arrival of the newest.
    pub newest: UnixMicros,
}

#[derive(Debug)]
struct State {
    retention: Retention,
    ring: VecDeque<Entry>,
    parts: VecDeque<Part>,
    origin: SequenceNumber,
    next: SequenceNumber,
    durable: SequenceNumber,
    /// Batches that were appended and are not durable yet.
    pending: usize,
    /// Payload bytes on the disk.
    stored_bytes: u64,
    /// What each delivery has released.
    released: Vec<SequenceNumber>,
    /// Once nothing of it is kept any more, whatever becomes durable.
    is_gone: bool,
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

/// What the journal tells a shard about a batch that is durable.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// Where it is.
    pub segment: &'a Arc<StoredSegment>,
    /// Number of its first record.
    pub first: SequenceNumber,
    /// Records in it.
    pub records: u64,
    /// Payload bytes of them.
    pub bytes: u64,
    /// When it arrived.
    pub arrival: UnixMicros,
}

impl DurableLog {
    /// A shard whose records on the disk are `parts`, in order; its very first record had, or will get, the number
    /// `origin`.
    pub fn new(
        number: ShardNumber,
        origin: SequenceNumber,
        parts: Vec<Part>,
        retention: Retention,
        readers: usize,
    ) -> Self {
        let next = parts.last().map_or(origin, |part| part.end);
        let stored_bytes = parts.iter().map(|part| part.bytes).sum();
        let released = vec![SequenceNumber(0); readers];
        let state = State {
            retention,
            ring: VecDeque::new(),
            parts: parts.into(),
            origin,
            next,
            durable: next,
            pending: 0,
            stored_bytes,
            released,
            is_gone: false,
        };
        Self { number, state: Mutex::new(state) }
    }

    /// Its number in the frames of the log.
    pub fn number(&self) -> ShardNumber {
        self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic half-way through a change, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch and numbers its records. Readers see them after [`DurableLog::publish`]. The journal calls this
    /// in the order in which it writes. `bytes` are those of its payloads.
    pub fn append(&self, batch: &Arc<Batch>, bytes: u64) -> Appended {
        let count = batch.records.len() as u64;
        let mut state = self.state();
        let first = state.next;
        state.next = SequenceNumber(first.0 + count);
        state.pending += 1;
        // A batch without records only marks where the shard is: see `expire`.
        if count > 0 {
            state.ring.push_back(Entry { first, bytes, batch: Arc::clone(batch) });
        }
        Appended::together(first, count)
    }

    /// A batch has become durable.
    pub fn publish(&self, written: &Written<'_>) {
        let Written { segment, first, records, bytes, arrival } = *written;
        let end = SequenceNumber(first.0 + records);
        let mut state = self.state();
        state.durable = end;
        state.pending = state.pending.saturating_sub(1);
        if state.is_gone {
            return;
        }
        state.stored_bytes += bytes;
        match state.parts.back_mut().filter(|part| Arc::ptr_eq(&part.segment, segment)) {
            Some(part) => {
                part.end = end;
                part.bytes += bytes;
                part.oldest = part.oldest.min(arrival);
                part.newest = part.newest.max(arrival);
            }
            None => {
                segment.hold();
                let segment = Arc::clone(segment);
                state.parts.push_back(Part { segment, first, end, bytes, oldest: arrival, newest: arrival });
            }
        }
    }

    /// Takes back what is not durable: writing it has failed, and no reader has seen it.
    pub fn roll_back(&self) {
        let mut out = Vec::new();
        let mut state = self.state();
        while state.ring.back().is_some_and(|entry| entry.end() > state.durable) {
            out.extend(state.ring.pop_back());
        }
        state.next = state.durable;
        state.pending = 0;
        drop(state);
    }
}

impl State {
    /// Oldest record that can be read.
    fn first(&self) -> SequenceNumber {
        self.parts.front().map_or(self.durable, |part| part.first)
    }

    /// Everything below is released by every delivery.
    fn released(&self) -> SequenceNumber {
        self.released.iter().copied().min().unwrap_or(self.durable)
    }

    /// Index of the batch in memory that holds `position`, or of the first behind it.
    fn index_of(&self, position: SequenceNumber) -> usize {
        self.ring.partition_point(|entry| entry.end() <= position)
    }

    fn read_ring(&self, from: SequenceNumber, limit: ReadLimit, skipped: u64) -> Read {
        let mut next = from;
        let mut slices = Vec::new();
        let (mut bytes, mut records) = (0, 0);
        for entry in self.ring.range(self.index_of(next)..) {
            let full = (bytes >= limit.bytes || records >= limit.records) && !slices.is_empty();
            if full || entry.end() > self.durable {
                break;
            }
            // Less than the length of a batch, which is in memory.
            let skip = (next.0 - entry.first.0) as usize;
            slices.push(Slice { batch: Arc::clone(&entry.batch), skip, first: next });
            bytes += entry.bytes;
            records += entry.batch.records.len() - skip;
            next = entry.end();
        }
        Read { slices, next, skipped, numbering: Numbering::Dense }
    }
}

impl ShardLog for DurableLog {
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found {
        let state = self.state();
        let first = state.first();
        let skipped = first.0.saturating_sub(from.max(state.origin).0);
        let from = from.max(first);
        let in_memory = state.ring.front().map_or(state.next, |entry| entry.first);
        if from >= in_memory || from >= state.durable {
            return Found::Here(state.read_ring(from, limit, skipped));
        }
        let index = state.parts.partition_point(|part| part.end <= from);
        let Some(part) = state.parts.get(index) else {
            // Numbers at the end that no record has: see [`ShardLog::skip_to`].
            return Found::Here(Read { skipped, ..Read::nothing(state.durable) });
        };
        // Damage that recovery was told to pass over leaves gaps between parts.
        let gap = part.first.0.saturating_sub(from.0);
        Found::Stored(Box::new(StoredRange {
            segment: Arc::clone(&part.segment),
            shard: self.number,
            from: from.max(part.first),
            end: part.end.min(state.durable),
            limit,
            skipped: skipped + gap,
        }))
    }

    fn bounds(&self) -> Bounds {
        let state = self.state();
        Bounds { first: state.first(), next: state.durable, bytes: state.stored_bytes }
    }

    fn end(&self) -> SequenceNumber {
        self.state().next
    }

    fn position_at(&self, time: UnixMicros) -> Position {
        let state = self.state();
        let in_memory = state.ring.front().map(|entry| entry.batch.source.arrival);
        if in_memory.is_some_and(|oldest| oldest <= time) || state.parts.is_empty() {
            let index = state.ring.partition_point(|entry| entry.batch.source.arrival < time);
            let found = state.ring.get(index).map_or(state.durable, |entry| entry.first);
            return Position::Here(found.min(state.durable));
        }
        let index = state.parts.partition_point(|part| part.newest < time);
        match state.parts.get(index) {
            None => Position::Here(state.durable),
            Some(part) if part.oldest >= time => Position::Here(part.first),
            Some(part) => Position::Stored(Box::new(StoredTime {
                segment: Arc::clone(&part.segment),
                shard: self.number,
                time,
                end: part.end.min(state.durable),
            })),
        }
    }

    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros> {
        let state = self.state();
        let from = from.max(state.first());
        if from >= state.durable {
            return None;
        }
        let in_memory = state.ring.front().is_some_and(|entry| entry.first <= from);
        if in_memory {
            return state.ring.get(state.index_of(from)).map(|entry| entry.batch.source.arrival);
        }
        let index = state.parts.partition_point(|part| part.end <= from);
        state.parts.get(index).map(|part| part.oldest)
    }

    fn release(&self, reader: ReaderId, upto: SequenceNumber) {
        if let Some(released) = self.state().released.get_mut(reader) {
            *released = (*released).max(upto);
        }
    }

    fn hold(&self, reader: ReaderId) {
        log::hold(&mut self.state().released, reader);
    }

    fn leave(&self, reader: ReaderId) {
        log::leave(&mut self.state().released, reader);
    }

    fn skip_to(&self, next: SequenceNumber) {
        let mut state = self.state();
        if state.next == state.durable && next > state.next {
            state.next = next;
            state.durable = next;
        }
    }

    fn reclaim(&self, before: UnixMicros) -> u64 {
        let mut out = Vec::new();
        let mut state = self.state();
        while state
            .ring
            .front()
            .is_some_and(|entry| entry.end() <= state.durable && entry.batch.source.arrival < before)
        {
            out.extend(state.ring.pop_front());
        }
        drop(state);
        0
    }

    fn oldest_arrival(&self) -> Option<UnixMicros> {
        let state = self.state();
        let oldest = state.ring.front().filter(|entry| entry.end() <= state.durable);
        oldest.map(|entry| entry.batch.source.arrival)
    }
}
