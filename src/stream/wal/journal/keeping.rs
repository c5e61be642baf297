//! The keeping thread: makes segments ahead of their use, indexes those that are full, and takes away those that
//! nobody needs. Nothing of this may hold up a commit.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Options;
use super::queue::Queue;
use crate::runtime::clock;
use crate::stream::wal::index::{IndexBuilder, IndexedSegment};
use crate::stream::wal::segment::{PreparedSegment, SegmentHeader};
use crate::stream::wal::stored::StoredSegment;

/// How long to wait until a segment is tried to be made again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long the writing thread waits for a segment that was promised.
const SPARE_PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Keeping {
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
    /// For a journal whose segments are `segments`.
    pub fn new(options: Options, queue: Arc<Queue>, segments: Vec<Arc<StoredSegment>>) -> Self {
        let state = State {
            spare: None,
            full: VecDeque::new(),
            segments: segments.into(),
            removing: false,
            disk_is_full: false,
            closed: false,
        };
        Self { options, queue, state: Mutex::new(state), changed: Condvar::new(), spares: AtomicU64::new(0) }
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
            let (wants_spare, removing) =
                (state.spare.is_none() && !state.closed, std::mem::take(&mut state.removing));
            let full = state.full.front().cloned();
            drop(state);
            let mut failed = false;
            if wants_spare {
                failed |= self.make_spare().is_err();
            }
            if let Some(full) = full {
                failed |= self.index(&full).is_err();
            }
            if removing {
                self.remove();
            }
            if failed {
                if self.state().closed {
                    return;
                }
                std::thread::sleep(RETRY_PAUSE);
            }
        }
    }

    /// Makes a segment for later.
    pub fn make_spare(&self) -> io::Result<()> {
        let Options { disk, folder, segment_bytes, .. } = &self.options;
        // Another name than the one before, which may be about to be put into use.
        let number = self.spares.fetch_add(1, Ordering::Relaxed) as u32;
        let made = PreparedSegment::create(&**disk, folder, number, *segment_bytes);
        let full = made.as_ref().is_err_and(is_full);
        let mut state = self.state();
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
        let deadline = clock::monotonic() + SPARE_PATIENCE;
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
            if left.is_zero() {
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
        self.state().full.push_back(full);
        self.changed.notify_all();
    }

    /// See [`super::Journal::remove_free_segments`].
    pub fn remove_free_segments(&self) {
        let mut state = self.state();
        if state.segments.front().is_some_and(|segment| segment.is_closed() && segment.is_free()) {
            state.removing = true;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// See [`super::Journal::oldest_closed`].
    pub fn oldest_closed(&self) -> Option<Arc<StoredSegment>> {
        self.state().segments.front().filter(|segment| segment.is_closed()).cloned()
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

    /// Takes free segments away, oldest first, so that what is left of each shard is always without gaps.
    fn remove(&self) {
        let mut freed = Vec::new();
        let mut state = self.state();
        while state.segments.front().is_some_and(|segment| segment.is_closed() && segment.is_free()) {
            freed.extend(state.segments.pop_front());
        }
        drop(state);
        let Options { disk, folder, .. } = &self.options;
        for segment in freed {
            let removed = disk
                .remove(segment.index_path())
                .and_then(|()| disk.remove(segment.path()))
                .and_then(|()| disk.sync_folder(folder));
            if let Err(error) = removed {
                // The next start finds it again, and takes it away then.
                tracing::warn!(path = %segment.path().display(), %error, "cannot remove an old segment");
            }
        }
    }
}

impl State {
    fn has_work(&self) -> bool {
        (self.spare.is_none() && !self.closed) || !self.full.is_empty() || self.removing
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
