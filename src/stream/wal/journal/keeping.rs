//! The keeping thread: makes segments ahead of their use, indexes those that are full, and takes away those that
//! nobody needs. Nothing of this may hold up a commit.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::queue::Queue;
use super::{Options, is_full};
use crate::runtime::clock;
use crate::stream::wal::index::{IndexBuilder, IndexReaders, IndexedSegment};
use crate::stream::wal::segment::{PreparedSegment, SegmentHeader};
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
}

#[derive(Debug)]
struct State {
    spare: Option<PreparedSegment>,
    /// Segments whose index file is to be written.
    full: VecDeque<Full>,
    /// All segments, oldest first.
    segments: VecDeque<Arc<StoredSegment>>,
    /// Whether there may be segments that nobody needs.
    removing: bool,
    disk_is_full: bool,
    /// Whether the last try to make a segment has failed.
    failing: bool,
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
            full: full.into(),
            segments: segments.into(),
            removing: false,
            disk_is_full: false,
            failing: false,
            closed: false,
        };
        let (state, changed, spares) = (Mutex::new(state), Condvar::new(), AtomicU64::new(0));
        Self { index_readers, options, queue, state, changed, spares }
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
            if !self.pass() {
                if self.state().closed {
                    return;
                }
                std::thread::sleep(self.options.patience.retry);
            }
        }
    }

    /// Does once what there is to do. False if something of it has failed and is to be tried again.
    pub fn pass(&self) -> bool {
        let mut state = self.state();
        let wants_spare = state.spare.is_none() && !state.closed;
        let removing = std::mem::take(&mut state.removing);
        drop(state);
        // First, because it may make the room that the rest needs.
        if removing {
            self.remove();
        }
        let has_spare = !wants_spare || self.make_spare().is_ok();
        let full = self.state().full.front().cloned();
        let indexed = full.is_none_or(|full| self.index(&full).is_ok());
        has_spare && indexed
    }

    /// Whether there is something to do.
    #[cfg(test)]
    pub fn has_work(&self) -> bool {
        self.state().has_work()
    }

    /// Whether the next segment is there.
    #[cfg(test)]
    pub fn has_spare(&self) -> bool {
        self.state().spare.is_some()
    }

    /// Makes a segment for later.
    pub fn make_spare(&self) -> io::Result<()> {
        let Options { disk, folder, segment_bytes, .. } = &self.options;
        // Another name than the one before, which may be about to be put into use.
        let number = self.spares.fetch_add(1, Ordering::Relaxed) as u32;
        let made = PreparedSegment::create(&**disk, folder, number, *segment_bytes);
        let full = made.as_ref().is_err_and(is_full);
        let mut state = self.state();
        state.failing = made.is_err();
        if state.disk_is_full != full {
            state.disk_is_full = full;
            let folder = folder.display();
            if full {
                tracing::error!(%folder, "the disk of the log is full: requests are refused with 507 once the current segment is");
            } else {
                tracing::info!(%folder, "the disk of the log has room again");
            }
        } else if let Err(error) = &made
            && !full
        {
            tracing::error!(folder = %folder.display(), %error, "cannot make a segment of the log, trying again");
        }
        self.options.metrics.full.set(if full { 1.0 } else { 0.0 });
        let result = made.map(|spare| state.spare = Some(spare));
        // Under the lock: taking the spare must not be told before its being there.
        self.queue.set_spare(state.spare.is_some(), full);
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Gives the spare segment away; waits for it if need be.
    pub fn take_spare(&self) -> io::Result<PreparedSegment> {
        let deadline = clock::monotonic() + self.options.patience.spare;
        let mut state = self.state();
        loop {
            if let Some(spare) = state.spare.take() {
                self.queue.set_spare(false, state.disk_is_full);
                drop(state);
                self.changed.notify_all();
                return Ok(spare);
            }
            if state.disk_is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let left = deadline.saturating_duration_since(clock::monotonic());
            // A process that stops does not wait for a disk that fails.
            let is_hopeless = state.failing && self.queue.is_closed();
            if left.is_zero() || is_hopeless {
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
        let files = state.segments.len() + usize::from(state.spare.is_some());
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
            drop(state);
            if let Err(error) = self.remove_segment(&segment) {
                tracing::warn!(path = %segment.path().display(), %error, "cannot remove an old segment, trying again later");
                return;
            }
            let mut state = self.state();
            state.segments.pop_front();
            // It needs no index file any more.
            state.full.retain(|full| !Arc::ptr_eq(&full.stored, &segment));
        }
    }

    /// May have been done in part before.
    fn remove_segment(&self, segment: &StoredSegment) -> io::Result<()> {
        let Options { disk, folder, .. } = &self.options;
        for path in [segment.index_path(), segment.path()] {
            match disk.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        disk.sync_folder(folder)
    }
}

impl State {
    fn has_work(&self) -> bool {
        (self.spare.is_none() && !self.closed) || !self.full.is_empty() || self.removing
    }
}
