//! What a shard lets go of: with age, by size, with a segment, or because it is gone.

use std::sync::Arc;

use super::{DurableLog, Entry, Part, State};
use crate::runtime::clock::UnixMicros;
use crate::stream::log::Evicted;
use crate::stream::memory::Retention;
use crate::stream::wal::stored::StoredSegment;

/// What [`DurableLog::expire`] has let go of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// All of it.
    pub evicted: Evicted,
    /// Whether the shard's place has to be marked, so that the rest can go.
    pub wants_mark: bool,
}

impl DurableLog {
    /// Lets go of what has outlived its retention and is released by every delivery.
    ///
    /// The last part stays: a start knows from it which numbers were given away. If only it is left and has outlived its
    /// retention, this asks for a batch without records to be appended, which then takes its place.
    pub fn expire(&self, now: UnixMicros) -> Expired {
        let mut expired = Expired::default();
        let mut state = self.state();
        let bytes_max = state.retention.bytes.unwrap_or(u64::MAX);
        let released = state.released();
        while let Some(part) = state.parts.front() {
            let (too_old, too_many) = (state.is_past(part, now), state.stored_bytes > bytes_max);
            if !(too_old || too_many) || !part.segment.is_sealed() {
                break;
            }
            if state.parts.len() == 1 {
                // An empty one is as good as its successor would be, but for the segment that it holds.
                expired.wants_mark = state.pending == 0;
                break;
            }
            if part.end > released {
                break;
            }
            let records = state.let_go_of_oldest();
            let evicted = &mut expired.evicted;
            *(if too_old { &mut evicted.by_age } else { &mut evicted.by_bytes }) += records;
        }
        let out = state.forget_in_memory();
        drop(state);
        drop(out);
        expired
    }

    /// Keeps what is there, and what comes, for another time.
    pub fn set_retention(&self, retention: Retention) {
        self.state().retention = retention;
    }

    /// Whether all its records have outlived their retention, and every delivery has released them.
    pub fn is_outlived(&self, now: UnixMicros) -> bool {
        let state = self.state();
        let is_read = state.pending == 0 && state.released() >= state.durable;
        is_read && state.parts.iter().all(|part| state.is_past(part, now))
    }

    /// Lets go of everything, whoever needs it: the shard is gone.
    pub fn give_up_all(&self) {
        let mut state = self.state();
        state.is_gone = true;
        while !state.parts.is_empty() {
            state.let_go_of_oldest();
        }
        let out = std::mem::take(&mut state.ring);
        drop(state);
        drop(out);
    }

    /// Whether all its records have outlived their retention, and are in the segment that is written.
    pub fn waits_for_turn(&self, now: UnixMicros) -> bool {
        let state = self.state();
        let part = state.parts.front();
        part.is_some_and(|part| {
            part.end > part.first && state.is_past(part, now) && !part.segment.is_sealed()
        })
    }

    /// Whether its records in `segment` have all outlived their retention; `None` if it has none there. Older segments
    /// are gone when this is asked.
    pub fn outlived(&self, segment: &Arc<StoredSegment>, now: UnixMicros) -> Option<bool> {
        let state = self.state();
        let part = state.parts.front().filter(|part| Arc::ptr_eq(&part.segment, segment))?;
        // The last part tells a start which numbers were given away.
        Some(state.is_past(part, now) && state.parts.len() > 1)
    }

    /// Lets go of its records in `segment`, which are its oldest, whoever needs them. Returns how many of them some
    /// delivery had not released.
    pub fn give_up(&self, segment: &Arc<StoredSegment>) -> u64 {
        let mut state = self.state();
        let Some(part) = state.parts.front().filter(|part| Arc::ptr_eq(&part.segment, segment)) else {
            return 0;
        };
        let unread = part.end.0.saturating_sub(state.released().max(part.first).0);
        state.let_go_of_oldest();
        let out = state.forget_in_memory();
        drop(state);
        drop(out);
        unread
    }
}

impl State {
    fn is_past(&self, part: &Part, now: UnixMicros) -> bool {
        part.newest < self.retention.oldest(now)
    }

    /// Lets go of the oldest part; returns its records.
    fn let_go_of_oldest(&mut self) -> u64 {
        let Some(part) = self.parts.pop_front() else { return 0 };
        self.stored_bytes -= part.bytes;
        part.segment.release();
        part.end.0 - part.first.0
    }

    /// Takes out of memory what is not there any more for readers.
    fn forget_in_memory(&mut self) -> Vec<Entry> {
        let first = self.first();
        let mut out = Vec::new();
        while self.ring.front().is_some_and(|entry| entry.end() <= first) {
            out.extend(self.ring.pop_front());
        }
        out
    }
}
