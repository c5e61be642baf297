//! One shard: what the tail of its partition has brought into memory, and what is known of the rest.
//!
//! ```text
//!    low                       from                 next
//!     │   in the topic only     │  ring: in memory    │
//!     └─────────────────────────┴─────────────────────┘
//! ```
//!
//! `next` never goes back. While somebody reads the shard, its end is read into memory, and `next` is how far that is;
//! otherwise nothing of it is fetched, and `next` is what the broker says every second.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::catch_up::{StoredRange, StoredTime};
use super::draft::Placed;
use super::topic::TopicLog;
use crate::config::limits::KAFKA_TAIL_IDLE;
use crate::record::{Batch, SequenceNumber};
use crate::runtime::clock::UnixMicros;
use crate::stream::log::{Bounds, Found, Numbering, Position, Read, ReadLimit, ReaderId, ShardLog, Slice};

/// See the module.
#[derive(Debug)]
pub struct PartitionLog {
    partition: i32,
    topic: Weak<TopicLog>,
    /// When somebody has read it last, in milliseconds of its topic's clock; zero for never.
    used: AtomicU64,
    state: Mutex<State>,
}

/// [`KAFKA_TAIL_IDLE`].
const TAIL_IDLE_MILLIS: u64 = KAFKA_TAIL_IDLE.as_secs() * 1_000;

#[derive(Debug)]
struct State {
    /// The oldest offset that is there.
    low: u64,
    /// What is in memory begins here.
    from: u64,
    next: u64,
    ring: VecDeque<Entry>,
    ring_bytes: u64,
    /// How far a reader has come that is behind the ring, and the arrival of the last record that it got.
    behind: Option<(u64, UnixMicros)>,
}

#[derive(Debug)]
struct Entry {
    first: u64,
    bytes: u64,
    batch: Arc<Batch>,
}

impl Entry {
    fn end(&self) -> u64 {
        self.first + self.batch.records.len() as u64
    }
}

impl PartitionLog {
    /// A shard whose partition has records from `low` up to before `next`.
    pub fn new(partition: i32, topic: Weak<TopicLog>, (low, next): (u64, u64)) -> Self {
        let (ring, ring_bytes, behind) = (VecDeque::new(), 0, None);
        let state = State { low, from: next, next, ring, ring_bytes, behind };
        Self { partition, topic, used: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Number of the partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic half-way through a change, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset behind the last record that readers may see.
    pub fn next(&self) -> u64 {
        self.state().next
    }

    /// Takes over where the partition ends while it is not followed. Returns whether there are new records; `note` is told
    /// how many numbers that is, before anybody can read them.
    pub fn learn(&self, high: u64, note: impl FnOnce(u64)) -> bool {
        let mut out = VecDeque::new();
        let mut state = self.state();
        let is_news = high > state.next;
        if is_news {
            note(high - state.next);
            // Nothing of what comes between is in memory.
            std::mem::swap(&mut out, &mut state.ring);
            (state.ring_bytes, state.from, state.next) = (0, high, high);
        }
        drop(state);
        drop(out);
        is_news
    }

    /// Takes over the oldest offset that is there.
    pub fn learn_low(&self, low: u64) {
        self.state().let_go_below(low);
    }

    /// Takes what the tail has read up to before `next`, and lets go of the oldest beyond `bytes_max`. `note` is told as by
    /// [`PartitionLog::learn`].
    pub fn push(&self, placed: Vec<Placed>, next: u64, bytes_max: u64, note: impl FnOnce(u64)) {
        let mut out = Vec::new();
        let mut state = self.state();
        note(next.saturating_sub(state.next));
        for Placed { first, batch } in placed {
            let bytes = batch.payload_bytes();
            state.ring_bytes += bytes;
            state.ring.push_back(Entry { first: first.0, bytes, batch });
        }
        state.next = state.next.max(next);
        state.trim(bytes_max, &mut out);
        drop(state);
        drop(out);
    }

    /// Lets go of everything in memory.
    pub fn forget(&self) {
        let mut state = self.state();
        let out = std::mem::take(&mut state.ring);
        (state.ring_bytes, state.from) = (0, state.next);
        drop(state);
        drop(out);
    }

    /// A reader that is behind the ring has come to `next`.
    pub(super) fn has_loaded(&self, next: u64, arrival: UnixMicros) {
        self.state().behind = Some((next, arrival));
    }

    /// Lets go of the oldest in memory beyond `bytes_max`.
    pub fn trim(&self, bytes_max: u64) {
        let mut out = Vec::new();
        let mut state = self.state();
        state.trim(bytes_max, &mut out);
        drop(state);
        drop(out);
    }

    /// Somebody reads it, `now`.
    pub(super) fn is_used(&self, topic: &TopicLog, now: u64) {
        // While it is read, the thread looks here by itself.
        if !Self::was_used(self.used.swap(now, Ordering::Relaxed), now) {
            topic.bell.ring();
        }
    }

    /// Whether somebody has read it lately.
    pub(super) fn is_wanted(&self, now: u64) -> bool {
        Self::was_used(self.used.load(Ordering::Relaxed), now)
    }

    /// Has it look as if nobody read it.
    #[cfg(test)]
    pub(super) fn is_left(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    fn was_used(used: u64, now: u64) -> bool {
        used > 0 && now.saturating_sub(used) < TAIL_IDLE_MILLIS
    }

    /// [`ShardLog::read`], where nothing from `end` on is wanted, which lies behind `from`. What is in memory may go beyond.
    pub fn read_below(&self, from: SequenceNumber, end: u64, limit: ReadLimit) -> Found {
        self.use_topic();
        let state = self.state();
        let skipped = state.low.saturating_sub(from.0);
        let numbering = Numbering::Sparse { lost_below: SequenceNumber(state.low) };
        let from = from.0.max(state.low);
        if from >= state.next {
            let next = SequenceNumber(from);
            return Found::Here(Read { slices: Vec::new(), next, skipped, numbering });
        }
        if from >= state.from {
            return Found::Here(state.read_ring(from, limit, (skipped, numbering)));
        }
        let Some(topic) = self.topic.upgrade() else {
            return Found::Here(Read::nothing(SequenceNumber(from)));
        };
        let end = state.from.min(end);
        drop(state);
        Found::Stored(Box::new(StoredRange::new(
            topic,
            self.partition,
            (from, end),
            limit,
            skipped,
            numbering,
        )))
    }

    fn use_topic(&self) {
        if let Some(topic) = self.topic.upgrade() {
            self.is_used(&topic, topic.now());
        }
    }
}

impl State {
    fn evict(&mut self) -> Option<Entry> {
        let entry = self.ring.pop_front()?;
        self.ring_bytes -= entry.bytes;
        self.from = entry.end();
        Some(entry)
    }

    fn trim(&mut self, bytes_max: u64, out: &mut Vec<Entry>) {
        while self.ring_bytes > bytes_max && self.ring.len() > 1 {
            out.extend(self.evict());
        }
    }

    fn let_go_below(&mut self, low: u64) {
        self.low = self.low.max(low.min(self.next));
    }

    fn index_of(&self, position: u64) -> usize {
        self.ring.partition_point(|entry| entry.end() <= position)
    }

    fn read_ring(&self, from: u64, limit: ReadLimit, (skipped, numbering): (u64, Numbering)) -> Read {
        let mut slices = Vec::new();
        let (mut bytes, mut records, mut next) = (0, 0, self.next);
        for entry in self.ring.range(self.index_of(from)..) {
            if (bytes >= limit.bytes || records >= limit.records) && !slices.is_empty() {
                next = slices.last().map_or(from, |slice: &Slice| slice.first.0 + slice.len() as u64);
                break;
            }
            let first = entry.first.max(from);
            // Less than the length of a batch, which is in memory.
            let skip = (first - entry.first) as usize;
            slices.push(Slice { batch: Arc::clone(&entry.batch), skip, first: SequenceNumber(first) });
            bytes += entry.bytes;
            records += entry.batch.records.len() - skip;
        }
        Read { slices, next: SequenceNumber(next), skipped, numbering }
    }
}

impl ShardLog for PartitionLog {
    fn read(&self, from: SequenceNumber, limit: ReadLimit) -> Found {
        self.read_below(from, u64::MAX, limit)
    }

    fn bounds(&self) -> Bounds {
        let state = self.state();
        // What the records have in bytes only the broker knows.
        let bytes = state.ring_bytes;
        Bounds { first: SequenceNumber(state.low), next: SequenceNumber(state.next), bytes }
    }

    fn end(&self) -> SequenceNumber {
        SequenceNumber(self.state().next)
    }

    fn position_at(&self, time: UnixMicros) -> Position {
        let next = self.end();
        match self.topic.upgrade() {
            None => Position::Here(next),
            Some(topic) => Position::Stored(Box::new(StoredTime::new(topic, self.partition, time))),
        }
    }

    /// Of a record that is not in memory, that of one about as old.
    fn arrival_at(&self, from: SequenceNumber) -> Option<UnixMicros> {
        let state = self.state();
        if from.0 >= state.next {
            return None;
        }
        if from.0 >= state.from {
            return state.ring.get(state.index_of(from.0)).map(|entry| entry.batch.source.arrival);
        }
        let behind = state.behind.filter(|(next, _)| *next <= from.0).map(|(_, arrival)| arrival);
        behind.or_else(|| state.ring.front().map(|entry| entry.batch.source.arrival))
    }

    /// Somebody has read up to there: if the topic does not go that far, reading on says so.
    fn skip_to(&self, next: SequenceNumber) {
        if let Some(topic) = self.topic.upgrade() {
            self.learn(next.0, |numbers| topic.notices().accept(numbers));
        }
    }

    fn hears_late(&self) -> bool {
        true
    }

    /// The broker decides what is kept.
    fn release(&self, _: ReaderId, _: SequenceNumber) {}

    fn hold(&self, _: ReaderId) {}

    fn leave(&self, _: ReaderId) {}

    fn reclaim(&self, before: UnixMicros) -> u64 {
        let mut out = Vec::new();
        let mut state = self.state();
        while state.ring.front().is_some_and(|entry| entry.batch.source.arrival < before) {
            out.extend(state.evict());
        }
        drop(state);
        0
    }

    fn oldest_arrival(&self) -> Option<UnixMicros> {
        self.state().ring.front().map(|entry| entry.batch.source.arrival)
    }
}
