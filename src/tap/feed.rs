//! What all live readers of a stream have in common: the newest records, found once and written once.
//!
//! ```text
//! append ─▶ pump ─▶ chunk 17 │ chunk 18 │ chunk 19 ◀─ boundary: a position in every shard
//!                      ▲          ▲          ▲▲▲
//!                    reader     reader     readers that wait
//! ```
//!
//! One task a stream, the pump, is woken by appends. It looks at the shards, makes a chunk of what is new, and wakes the
//! readers: so an append costs the same whatever the number of readers, a reader looks at no shard, and one that reads
//! a single shard sleeps on while only others get records. The text of a chunk is written for the first reader that
//! wants it and shared by all others that stand at its beginning.
//!
//! A reader that is further behind reads the log itself, up to the boundary, and then goes on with the chunks. The feed
//! holds few chunks and lets go of them when nothing new comes, because they keep their batches in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::cursor::Cursor;
use super::found::{Found, Scope};
use super::text;
use crate::config::limits::{FEED_BYTES_MAX, FEED_CHUNK_BYTES};
use crate::record::ShardId;
use crate::runtime::budget::Permit;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Found as LogFound, Layout, Shard, Signal, Stream, Waiter};

/// How long the newest chunks stay when nothing new comes: readers take them within milliseconds, and one that does not
/// finds their records in the log.
const IDLE: Duration = Duration::from_secs(1);

/// Signals of single shards, at least: a stream of few may be split into more while it is read. One is 48 bytes.
const SHARD_SIGNALS_MIN: usize = 64;

/// Shards of a reader up to which each of them wakes it by its own signal: a registration is about 150 bytes. Of the
/// 20,480 that a stream may have, twenty readers at most have more.
const WAITED_SHARDS_MAX: usize = 1_024;

/// Consecutive records of the stream, for every reader that stands at their beginning.
#[derive(Debug)]
pub struct Chunk {
    /// Where it begins, in every shard.
    pub start: Arc<Cursor>,
    /// The records; `next` is where it ends.
    pub found: Found,
    events: Mutex<Option<Bytes>>,
    page: Mutex<Option<Bytes>>,
}

/// In which form a reader gets its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Server-sent events.
    Events,
    /// A JSON page.
    Page,
}

impl Chunk {
    /// Its text, written at the first call.
    ///
    /// # Errors
    /// What `pay` says; a later call tries again.
    pub fn text<E>(&self, format: Format, pay: impl FnOnce(u64) -> Result<Permit, E>) -> Result<Bytes, E> {
        let slot = match format {
            Format::Events => &self.events,
            Format::Page => &self.page,
        };
        let mut slot = lock(slot);
        if let Some(text) = &*slot {
            return Ok(text.clone());
        }
        let text = match format {
            Format::Events => text::events(&self.found, &self.start, pay)?,
            Format::Page => text::page(&self.found, pay)?,
        };
        *slot = Some(text.clone());
        Ok(text)
    }
}

/// The newest chunks.
#[derive(Debug)]
struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    /// Number of the first of them.
    base: u64,
    /// Bytes of records that they have looked at.
    bytes: u64,
    /// Where the last of them ends.
    boundary: Arc<Cursor>,
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    /// Whose records these are.
    pub stream: Arc<Stream>,
    ring: Mutex<Ring>,
    /// The number that the next chunk will get.
    newest: AtomicU64,
    ended: OnceLock<End>,
    /// Who reads all shards.
    everybody: Signal,
    /// Who reads only some, by the remainder of a shard's number: also shards that are made later have one.
    by_shard: Box<[Signal]>,
    pub(super) readers: AtomicUsize,
    /// The last reader has gone.
    pub(super) deserted: Notify,
}

/// Why readers get nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process stops.
    Draining,
    /// The stream is gone.
    Deleted,
    /// The reader is a worker that has given its shards back.
    WorkerLeft,
}

impl End {
    /// The word that clients are told.
    pub fn word(self) -> &'static str {
        match self {
            End::Draining => "draining",
            End::Deleted => "stream_deleted",
            End::WorkerLeft => "worker_left",
        }
    }
}

/// What a reader finds at the number of a chunk.
#[derive(Debug)]
pub enum At {
    /// It is there.
    Chunk(Arc<Chunk>),
    /// There is nothing new.
    Future,
    /// It is not kept any more: the log has its records.
    Past,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is changed under these locks is whole at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Begins behind the newest records of `stream`.
    pub fn new(stream: Arc<Stream>) -> Self {
        let boundary = Arc::new(ends(&stream.layout()));
        let signals = stream.shard_ids().count().max(SHARD_SIGNALS_MIN);
        let by_shard = std::iter::repeat_with(Signal::default).take(signals).collect();
        Self {
            stream,
            ring: Mutex::new(Ring { chunks: VecDeque::new(), base: 0, bytes: 0, boundary }),
            newest: AtomicU64::new(0),
            ended: OnceLock::new(),
            everybody: Signal::default(),
            by_shard,
            readers: AtomicUsize::new(0),
            deserted: Notify::new(),
        }
    }

    /// Who wakes a reader of all shards, or of one.
    pub fn signal(&self, shard: Option<ShardId>) -> &Signal {
        let shard = shard.and_then(|ShardId(shard)| self.by_shard.get(shard as usize % self.by_shard.len()));
        shard.unwrap_or(&self.everybody)
    }

    /// Registers for new records of `shards`; for those of all shards, where they are too many.
    pub fn wait(&self, shards: &[ShardId]) -> Vec<Waiter<'_>> {
        if shards.len() > WAITED_SHARDS_MAX {
            return vec![self.everybody.wait()];
        }
        shards.iter().map(|shard| self.signal(Some(*shard)).wait()).collect()
    }

    /// Why nothing will come any more; `None` as long as something may.
    pub fn ended(&self) -> Option<End> {
        self.ended.get().copied()
    }

    /// The chunk of that number.
    pub fn at(&self, number: u64) -> At {
        if number == self.newest.load(Ordering::SeqCst) {
            return At::Future;
        }
        let ring = lock(&self.ring);
        match number.checked_sub(ring.base).and_then(|index| ring.chunks.get(index as usize)) {
            Some(chunk) => At::Chunk(Arc::clone(chunk)),
            // A chunk may have come since the look above, or all have gone.
            None if number == ring.base + ring.chunks.len() as u64 => At::Future,
            None => At::Past,
        }
    }

    /// The number that the next chunk will get, and where it will begin.
    pub fn boundary(&self) -> (u64, Arc<Cursor>) {
        let ring = lock(&self.ring);
        (ring.base + ring.chunks.len() as u64, Arc::clone(&ring.boundary))
    }

    /// Makes chunks of what is new and wakes who reads it, until nothing is new.
    fn advance(&self) {
        loop {
            let (_, start) = self.boundary();
            let layout = self.stream.layout();
            let mut followed = (*start).clone();
            followed.follow(&layout);
            if followed != *start {
                // Readers take the new shards on by themselves before they follow again.
                self.restart(followed);
                continue;
            }
            match find(&layout, &start) {
                Some(found) if found.next == *start => return,
                Some(found) => {
                    self.push(Chunk { start, found, events: Mutex::new(None), page: Mutex::new(None) })
                }
                None => self.restart(ends(&layout)),
            }
        }
    }

    fn push(&self, chunk: Chunk) {
        let moved: Vec<ShardId> = {
            let ends = chunk.found.next.positions.iter();
            let both = ends.zip(&chunk.start.positions);
            both.filter(|((_, end), (_, start))| end != start).map(|((shard, _), _)| *shard).collect()
        };
        let mut out = Vec::new();
        let mut ring = lock(&self.ring);
        ring.boundary = Arc::new(chunk.found.next.clone());
        ring.bytes += chunk.found.looked_at;
        ring.chunks.push_back(Arc::new(chunk));
        while ring.bytes > FEED_BYTES_MAX && ring.chunks.len() > 1 {
            if let Some(chunk) = ring.chunks.pop_front() {
                ring.bytes -= chunk.found.looked_at;
                ring.base += 1;
                out.push(chunk);
            }
        }
        self.newest.store(ring.base + ring.chunks.len() as u64, Ordering::SeqCst);
        drop(ring);
        drop(out);
        self.everybody.notify();
        for shard in moved {
            self.signal(Some(shard)).notify();
        }
    }

    /// Goes on at another boundary; readers find in the log what lies before it.
    fn restart(&self, boundary: Cursor) {
        let boundary = Arc::new(boundary);
        let mut ring = lock(&self.ring);
        let base = ring.base + ring.chunks.len() as u64 + 1;
        let out = std::mem::replace(&mut *ring, Ring { chunks: VecDeque::new(), base, bytes: 0, boundary });
        self.newest.store(base, Ordering::SeqCst);
        drop(ring);
        drop(out);
        self.wake_all();
    }

    /// Lets go of the chunks.
    fn forget(&self) {
        let mut ring = lock(&self.ring);
        ring.base += ring.chunks.len() as u64;
        ring.bytes = 0;
        let out = std::mem::take(&mut ring.chunks);
        drop(ring);
        drop(out);
    }

    fn has_chunks(&self) -> bool {
        !lock(&self.ring).chunks.is_empty()
    }

    fn wake_all(&self) {
        self.everybody.notify();
        self.by_shard.iter().for_each(Signal::notify);
    }

    /// Keeps the feed up to date until the edge stops, the stream is deleted, or `leave` says that no reader is left.
    pub async fn pump(self: Arc<Self>, phases: Phases, leave: impl Fn() -> bool) {
        let ending = Ending(Arc::clone(&self));
        let stopping = phases.reached(Phase::StoppingEdge);
        tokio::pin!(stopping);
        loop {
            let waiter = self.stream.taps().wait();
            if self.stream.is_deleted() {
                break;
            }
            self.advance();
            tokio::select! {
                () = waiter.woken() => {}
                () = &mut stopping => break,
                () = self.deserted.notified() => if leave() { break },
                () = tokio::time::sleep(IDLE), if self.has_chunks() => self.forget(),
            }
        }
        drop(ending);
    }
}

/// Tells the readers that nothing will come any more, whatever has ended the pump.
struct Ending(Arc<Feed>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Self(feed) = self;
        feed.ended.get_or_init(|| if feed.stream.is_deleted() { End::Deleted } else { End::Draining });
        feed.wake_all();
        feed.forget();
    }
}

/// Behind the newest record of every shard.
fn ends(layout: &Layout) -> Cursor {
    let end = |shard: &Shard| (shard.facts.id, shard.log_ref().bounds().next);
    Cursor { positions: layout.shards().iter().map(end).collect() }
}

/// What is new in memory since `start`, of children once their parents are read; `None` if something is not there any
/// more.
fn find(layout: &Layout, start: &Cursor) -> Option<Found> {
    let scope = Scope { records: usize::MAX, bytes: FEED_CHUNK_BYTES, filter: None, upto: None };
    let mut found = Found::default();
    let mut next = start.clone();
    for (index, shard) in layout.shards().iter().enumerate() {
        let (id, mut position) = *next.positions.get(index)?;
        if !layout.may_read(&shard.facts, |parent| next.position(parent)) {
            continue;
        }
        while !found.is_full(&scope) {
            let LogFound::Here(read) = shard.log_ref().read(position, found.rest(&scope)) else {
                return None;
            };
            let found_nothing = read.slices.is_empty();
            position = found.take_read(id, read, &scope);
            if found_nothing {
                break;
            }
        }
        next.positions[index].1 = position;
    }
    found.next = next;
    (found.skipped == 0).then_some(found)
}
