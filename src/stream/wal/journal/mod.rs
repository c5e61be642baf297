//! A journal: what all shards of a durability class write to.
//!
//! ```text
//! edge threads ──append──▶ queue ──▶ writing thread ──one write, one sync──▶ segment
//!                                          │                                  ▲
//!                            publish: shards, readers, acks        keeping thread: makes segments
//!                                                                  ahead, indexes closed ones
//! ```
//!
//! Group commit: while one commit is written, the next one is put together from everything that has come in since.
//! The number of syncs depends on the disk alone, not on the number of requests, shards or streams.
//!
//! Room is reserved: segments are made ahead, so that a full disk is met by the keeping thread. From then on a request is
//! taken only if it and what is pending fit into segments that exist already; others are refused before anything is
//! written.
//!
//! A failed write or sync fails every request that is not durable yet. The segment is never written to again: the
//! kernel may have marked pages clean that never reached the disk. The next segment names the end of what is valid in
//! the failed one, so that recovery does not bring back what clients were told has failed.

mod commit;
mod keeping;
mod queue;
#[cfg(test)]
pub mod stepped;
mod writing;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use self::keeping::Keeping;
use self::queue::Queue;
use super::index::IndexReaders;
use super::segment::SEGMENT_HEADER_BYTES;
use super::shard::DurableLog;
use super::stored::StoredSegment;
use super::{JournalClass, is_full};
use crate::config::checked::LogWriter;
use crate::config::limits::LOG_SEGMENT_TURN;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::stream::AppendError;
use crate::telemetry::metrics::LogMetrics;

pub use keeping::Full;
pub use queue::{NewRequest, Queued, Ticket};

/// What a journal is built from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its folder is.
    pub disk: Arc<dyn Disk>,
    /// Its folder, which exists.
    pub folder: PathBuf,
    /// What an ack means.
    pub class: JournalClass,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// How it is written.
    pub writer: LogWriter,
    /// The node, for the headers of segments.
    pub node: [u8; 8],
    /// Metric handles.
    pub metrics: LogMetrics,
    /// How long it waits.
    pub patience: Patience,
}

/// How long a journal waits before it does something about it.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until what has failed is tried again.
    pub retry: Duration,
    /// For a segment that is being made, before the requests that need it fail.
    pub spare: Duration,
    /// Until a segment is closed although it has room, so that records in it can go whose retention is over.
    pub turn: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retry: Duration::from_secs(1), spare: Duration::from_secs(30), turn: LOG_SEGMENT_TURN }
    }
}

/// Where recovery has left off.
#[derive(Debug)]
pub struct Resume {
    /// Number of the next segment.
    pub next_segment: u64,
    /// Number of the next commit.
    pub next_commit: u64,
    /// End of what is valid in the last segment.
    pub previous_end: Option<u64>,
    /// The segments that are there, oldest first.
    pub segments: Vec<Arc<StoredSegment>>,
    /// Those of them whose index file could not be written yet, because the disk is full.
    pub unindexed: Vec<Full>,
    /// Indexes that are open, of all its segments.
    pub index_readers: Arc<IndexReaders>,
}

/// Why a journal cannot be started.
#[derive(Debug, Error)]
#[error("cannot write the log in {folder}: {source}", folder = folder.display())]
pub struct JournalError {
    /// Its folder.
    pub folder: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    keeping: Arc<Keeping>,
    patience: Patience,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Journal {
    /// Makes the first segment and starts the threads. On a full disk it starts all the same, so that what is there can
    /// be read and room can be made; requests are refused until there is a segment.
    pub fn start(options: Options, resume: Resume) -> Result<Self, JournalError> {
        let folder = options.folder.clone();
        Self::start_in(options, resume).map_err(|source| JournalError { folder, source })
    }

    fn start_in(options: Options, resume: Resume) -> io::Result<Self> {
        let (queue, keeping, next) = prepare(&options, resume)?;
        let patience = options.patience;
        // On its thread: a ring belongs to the thread that has made it.
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let writing_thread = {
            let (queue, guarded, keeping) = (Arc::clone(&queue), Arc::clone(&queue), Arc::clone(&keeping));
            let name = format!("log-{}", options.class.as_str());
            let desk = writing::Desk { options, queue, keeping };
            let guard = FailOnPanic(guarded);
            thread::Builder::new().name(name).spawn(move || {
                let _guard = guard;
                writing::work(&desk, next, &ready);
            })?
        };
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the writing thread has ended")))?;
        let keeping_thread = {
            let (keeping, guard) = (Arc::clone(&keeping), FailOnPanic(Arc::clone(&queue)));
            thread::Builder::new().name("log-keeper".to_owned()).spawn(move || {
                let _guard = guard;
                keeping.run();
            })?
        };
        Ok(Self { queue, keeping, patience, threads: Mutex::new(vec![writing_thread, keeping_thread]) })
    }

    /// Takes a request: numbers its records and queues them. Nothing is kept if there is an error.
    pub fn append(&self, request: NewRequest) -> Result<Queued, AppendError> {
        self.queue.append(request)
    }

    /// Takes away what nobody needs; closes the segment that is written if it is old and has records that retention
    /// waits for, since only closed ones can go; and, where the disk is full, takes the oldest segment if all of it has
    /// outlived its retention although a delivery has not stored it: records are not given up unless that frees space.
    /// `shards` are all that may have records here. Returns how many records were given up.
    pub fn housekeeping(&self, shards: &[Arc<DurableLog>], now: UnixMicros) -> u64 {
        self.keeping.remove_free_segments();
        if self.queue.can_turn(self.patience.turn) && shards.iter().any(|shard| shard.waits_for_turn(now)) {
            self.queue.turn_early();
        }
        if !self.disk_is_full() {
            return 0;
        }
        let Some(oldest) = self.keeping.oldest_sealed().filter(|segment| !segment.is_free()) else {
            return 0;
        };
        if shards.iter().any(|shard| shard.outlived(&oldest, now) == Some(false)) {
            return 0;
        }
        let unread = shards.iter().map(|shard| shard.give_up(&oldest)).sum();
        self.keeping.remove_free_segments();
        unread
    }

    /// Whether there is no room for another segment.
    pub fn disk_is_full(&self) -> bool {
        self.keeping.disk_is_full()
    }

    /// Segments, and the bytes of the disk that they take.
    pub fn usage(&self) -> (usize, u64) {
        self.keeping.usage()
    }

    /// Writes what is queued, closes the segment, and ends the threads.
    pub fn stop(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log has panicked");
            }
            // The writing thread was the first: the other one ends once the last segment is closed.
            self.keeping.close();
        }
    }
}

/// A thread of the log that panics must not leave requests waiting for ever: they fail, and no more are taken.
struct FailOnPanic(Arc<Queue>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail([], "a thread of the log has panicked: restart the process");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the threads share, with a first segment that is ready to be put into use if the disk has room for it.
fn prepare(options: &Options, resume: Resume) -> io::Result<(Arc<Queue>, Arc<Keeping>, writing::Next)> {
    let Resume { next_segment, next_commit, previous_end, segments, unindexed, index_readers } = resume;
    let queue = Arc::new(Queue::new(options.segment_bytes - SEGMENT_HEADER_BYTES));
    let keeping =
        Arc::new(Keeping::new(options.clone(), Arc::clone(&queue), segments, (unindexed, index_readers)));
    match keeping.make_spare(&|_| {}) {
        Err(error) if !is_full(&error) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok((queue, keeping, writing::Next { segment: next_segment, commit: next_commit, previous_end }))
}

#[cfg(test)]
mod tests;
