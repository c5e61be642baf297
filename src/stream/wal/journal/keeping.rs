//! The keeping thread: makes segments ahead of their use, indexes those that are full, and takes away those that
//! nobody needs. Nothing of this may hold up a commit.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::queue::Queue;
use super::{Options, is_full};
use crate::config::limits::{LOG_SEGMENT_FILL_AHEAD, LOG_SEGMENT_FILL_WAIT, LOG_SEGMENTS_RETIRED_MAX};
use crate::runtime::clock;
use crate::stream::wal::index::{IndexBuilder, IndexReaders, IndexedSegment};
use crate::stream::wal::segment::{PreparedSegment, RetiredSegment, SegmentHeader};
use crate::stream::wal::stored::StoredSegment;

/// See the module.
#[derive(Debug)]
pub struct Keeping {
    /// Indexes that are open, of all segments of the journal.
    pub index_readers: Arc<IndexReaders>,
    options: Options,
    queue: Arc<Queue>,
    state: Mutex<State>,
    changed: Condvar,
    /// Spare segments made so far.
    spares: AtomicU64,
    /// Bytes that are used of the segment that is written.
    used: AtomicU64,
}

#[derive(Debug)]
struct State {
    spare: Option<PreparedSegment>,
    /// Files for later spare segments, at most [`LOG_SEGMENTS_RETIRED_MAX`].
    retired: Vec<RetiredSegment>,
    /// Segments whose index file is to be written.
    full: VecDeque<Full>,
    /// All segments, oldest first.
    segments: VecDeque<Arc<StoredSegment>>,
    /// Whether there may be segments that nobody needs.
    removing: bool,
    disk_is_full: bool,
    /// Whether the last try to make a segment has failed.
    failing: bool,
    /// Whether somebody waits for a spare segment.
    awaited: bool,
    closed: bool,
}

/// A segment to which nothing is written any more.
#[derive(Debug, Clone)]
pub struct Full {
    /// The segment.
    pub stored: Arc<StoredSegment>,
    /// Its header.
    pub header: SegmentHeader,
    /// Where what is valid ends.
    pub end: u64,
    /// The number behind its last commit.
    pub next_commit: u64,
}

impl Keeping {
    /// For a journal whose segments are `segments`; `full` are those without an index file.
    pub fn new(
        options: Options,
        queue: Arc<Queue>,
        segments: Vec<Arc<StoredSegment>>,
        (full, index_readers): (Vec<Full>, Arc<IndexReaders>),
    ) -> Self {
        let state = State {
            spare: None,
            retired: Vec::new(),
            full: full.into(),
            segments: segments.into(),
            removing: false,
            disk_is_full: false,
            failing: false,
            awaited: false,
            closed: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let (spares, used) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { index_readers, options, queue, state, changed, spares, used }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panics under the lock has changed nothing yet, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until [`Keeping::close`], then does what is left.
    pub fn run(&self) {
        loop {
            let mut state = self.state();
            while !state.has_work() {
                if state.closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            if !self.pass_at(&|filled| self.pace(filled)) {
                if self.state().closed {
                    return;
                }
                std::thread::sleep(self.options.patience.retry);
            }
        }
    }

    /// Does once what there is to do, without pauses. False if something of it has failed and is to be tried again.
    #[cfg(test)]
    pub fn pass(&self) -> bool {
        self.pass_at(&|_| {})
    }

    fn pass_at(&self, pace: &dyn Fn(u64)) -> bool {
        let mut state = self.state();
        let wants_spare = state.spare.is_none() && !state.closed;
        let removing = std::mem::take(&mut state.removing);
        drop(state);
        // First, because it may make the room that the rest needs.
        if removing {
            self.remove();
        }
        let full = self.state().full.front().cloned();
        let indexed = full.is_none_or(|full| self.index(&full).is_ok());
        // Last, because it takes its time.
        let has_spare = !wants_spare || self.make_spare(pace).is_ok();
        has_spare && indexed
    }

    /// Waits until the next step of filling a segment, of which `filled` bytes are filled, is in place: a disk that is
    /// busy with zeros makes commits wait.
    fn pace(&self, filled: u64) {
        let state = self.state();
        let used = self.used.load(Ordering::Relaxed);
        if filled < used.saturating_mul(LOG_SEGMENT_FILL_AHEAD) || state.is_urgent() {
            return;
        }
        // A commit does not end the wait: the used bytes are looked at before the next step.
        drop(self.changed.wait_timeout(state, LOG_SEGMENT_FILL_WAIT).unwrap_or_else(PoisonError::into_inner));
    }

    /// So many bytes of the segment that is written are used.
    pub fn used(&self, bytes: u64) {
        self.used.store(bytes, Ordering::Relaxed);
    }

    /// Whether there is something to do.
    #[cfg(test)]
    pub fn has_work(&self) -> bool {
        self.state().has_work()
    }

    /// Whether the next segment would be made without pauses.
    #[cfg(test)]
    pub fn is_urgent(&self) -> bool {
        self.state().is_urgent()
    }

    /// Whether the next segment is there.
    #[cfg(test)]
    pub fn has_spare(&self) -> bool {
        self.state().spare.is_some()
    }

    /// Makes a segment for later; `pace` is told before each step how far it is.
    pub fn make_spare(&self, pace: &dyn Fn(u64)) -> io::Result<()> {
        let made = self.make_segment(pace);
        let full = made.as_ref().is_err_and(is_full);
        let mut state = self.state();
        state.failing = made.is_err();
        if state.disk_is_full != full {
            state.disk_is_full = full;
            let folder = self.options.folder.display();
            if full {
                tracing::error!(%folder, "the disk of the log is full: requests are refused with 507 once the current segment is");
            } else {
                tracing::info!(%folder, "the disk of the log has room again");
            }
        } else if let Err(error) = &made
            && !full
        {
            tracing::error!(folder = %self.options.folder.display(), %error, "cannot make a segment of the log, trying again");
        }
        self.options.metrics.full.set(if full { 1.0 } else { 0.0 });
        let result = made.map(|spare| state.spare = Some(spare));
        // Under the lock: taking the spare must not be told before its being there.
        self.queue.set_spare(state.spare.is_some(), full);
        drop(state);
        self.changed.notify_all();
        result
    }

    /// A segment in a file that was used before, or else in a new one.
    fn make_segment(&self, pace: &dyn Fn(u64)) -> io::Result<PreparedSegment> {
        let Options { disk, folder, segment_bytes, .. } = &self.options;
        let retired = self.state().retired.pop();
        if let Some(retired) = retired
            && let Ok(reused) = PreparedSegment::reuse(&**disk, retired, *segment_bytes, pace)
        {
            return Ok(reused);
        }
        // What stands in the way of the old file stands in the way of a new one, or does not matter.
        PreparedSegment::create_paced(&**disk, folder, self.spare_number(), *segment_bytes, pace)
    }

    /// For a temporary name that no other file has.
    fn spare_number(&self) -> u32 {
        self.spares.fetch_add(1, Ordering::Relaxed) as u32
    }

    /// Gives the spare segment away; waits for it if need be.
    pub fn take_spare(&self) -> io::Result<PreparedSegment> {
        let deadline = clock::monotonic() + self.options.patience.spare;
        let mut state = self.state();
        loop {
            if let Some(spare) = state.spare.take() {
                state.awaited = false;
                self.queue.set_spare(false, state.disk_is_full);
                drop(state);
                self.changed.notify_all();
                return Ok(spare);
            }
            if state.disk_is_full {
                state.awaited = false;
                return Err(io::ErrorKind::StorageFull.into());
            }
            if !std::mem::replace(&mut state.awaited, true) {
                self.changed.notify_all();
            }
            let left = deadline.saturating_duration_since(clock::monotonic());
            // A process that stops does not wait for a disk that fails.
            let is_hopeless = state.failing && self.queue.is_closed();
            if left.is_zero() || is_hopeless {
                state.awaited = false;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no new segment could be made"));
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A segment is in use.
    pub fn opened(&self, segment: &Arc<StoredSegment>) {
        self.state().segments.push_back(Arc::clone(segment));
    }

    /// Nothing is written to a segment any more.
    pub fn close_segment(&self, full: Full) {
        full.stored.seal();
        self.state().full.push_back(full);
        self.changed.notify_all();
    }

    /// Takes away segments that no shard needs. Cheap if there is none.
    pub fn remove_free_segments(&self) {
        let mut state = self.state();
        if state.segments.front().is_some_and(|segment| segment.is_sealed() && segment.is_free()) {
            state.removing = true;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The oldest segment, if nothing is written to it any more.
    pub fn oldest_sealed(&self) -> Option<Arc<StoredSegment>> {
        self.state().segments.front().filter(|segment| segment.is_sealed()).cloned()
    }

    /// See [`super::Journal::disk_is_full`].
    pub fn disk_is_full(&self) -> bool {
        self.state().disk_is_full
    }

    /// See [`super::Journal::usage`].
    pub fn usage(&self) -> (usize, u64) {
        let state = self.state();
        let files = state.segments.len() + state.retired.len() + usize::from(state.spare.is_some());
        (state.segments.len(), files as u64 * self.options.segment_bytes)
    }

    /// Ends the thread once nothing is left to do.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Writes the index file of a full segment and gives the unused end of its space back.
    fn index(&self, full: &Full) -> io::Result<()> {
        let written = self.write_index(full);
        if let Err(error) = &written {
            let path = full.stored.index_path().display();
            tracing::error!(%path, %error, "cannot write the index of a segment, trying again");
            return written;
        }
        let mut state = self.state();
        full.stored.close();
        state.full.pop_front();
        written
    }

    fn write_index(&self, full: &Full) -> io::Result<()> {
        let Full { stored, header, end, next_commit } = full;
        let disk = &*self.options.disk;
        let file = disk.open(stored.path())?;
        file.set_len(*end)?;
        file.sync_data()?;
        let mut index = IndexBuilder::new();
        stored.fill(&mut index).map_err(io::Error::other)?;
        let SegmentHeader { number, salt, .. } = *header;
        let segment = IndexedSegment { number, salt, valid_end: *end, next_commit: *next_commit };
        index.write(disk, stored.index_path(), segment)
    }

    /// Takes free segments away, oldest first, so that what is left of each shard is always without gaps. One that
    /// cannot be removed holds up those behind it, until the next time.
    fn remove(&self) {
        loop {
            let state = self.state();
            let oldest = state.segments.front().filter(|segment| segment.is_sealed() && segment.is_free());
            let Some(segment) = oldest.cloned() else { return };
            let retires = state.can_retire(&segment);
            drop(state);
            let removed = self.remove_segment(&segment, retires);
            if let Err(error) = &removed {
                tracing::warn!(path = %segment.path().display(), %error, "cannot remove an old segment, trying again later");
                return;
            }
            let mut state = self.state();
            state.segments.pop_front();
            // It needs no index file any more.
            state.full.retain(|full| !Arc::ptr_eq(&full.stored, &segment));
            state.retired.extend(removed.ok().flatten());
        }
    }

    /// May have been done in part before. Returns the file if it `retires` and so stays.
    fn remove_segment(&self, segment: &StoredSegment, retires: bool) -> io::Result<Option<RetiredSegment>> {
        let Options { disk, folder, .. } = &self.options;
        let gone = |done: io::Result<()>| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        gone(disk.remove(segment.index_path()))?;
        let retired = retires
            .then(|| RetiredSegment::retire(&**disk, segment.path(), self.spare_number()))
            .and_then(Result::ok);
        if retired.is_none() {
            gone(disk.remove(segment.path()))?;
        }
        match (disk.sync_folder(folder), retired) {
            (Ok(()), retired) => Ok(retired),
            (Err(error), retired) => {
                // The old name may be back after a crash: what it held must not be written over.
                let _ = retired.map(|retired| retired.discard(&**disk));
                Err(error)
            }
        }
    }
}

impl State {
    /// Whether the next segment must not take its time: the writing thread or the end of the process waits for it, or
    /// the disk counts as full until it is there. Requests are refused meanwhile, and old records given up.
    fn is_urgent(&self) -> bool {
        self.awaited || self.closed || self.disk_is_full
    }

    /// Whether the file of a segment that goes away is kept to be used again: nobody may be about to read it, as readers
    /// hold the segment.
    fn can_retire(&self, segment: &Arc<StoredSegment>) -> bool {
        let own = self.segments.iter().chain(self.full.iter().map(|full| &full.stored));
        let own = own.filter(|held| Arc::ptr_eq(held, segment)).count();
        // The caller has one more.
        let is_read = Arc::strong_count(segment) > own + 1;
        !is_read && !self.closed && self.retired.len() < LOG_SEGMENTS_RETIRED_MAX
    }

    fn has_work(&self) -> bool {
        (self.spare.is_none() && !self.closed) || !self.full.is_empty() || self.removing
    }
}
