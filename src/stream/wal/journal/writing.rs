//! The writing thread: queue → commits → segment → publish.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::commit::{Commit, index_entries, reply_entries};
use super::keeping::{Full, Keeping};
use super::queue::{Placed, Queue, Request};
use super::{Options, is_full};
use crate::config::checked::LogWriter;
use crate::config::limits::{COMMIT_BUFFER_BYTES, COMMIT_OVERLAP_BYTES, INDEX_ENTRIES_MAX};
use crate::crash_point;
use crate::runtime::clock;
use crate::stream::wal::frame::CommitEncoder;
use crate::stream::wal::segment::{FileName, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::stream::wal::shard::Written;
use crate::stream::wal::stored::StoredSegment;
use crate::stream::wal::writer::{self, BLOCK_BYTES, SegmentWriter, WriterKind};

/// How often a ring for which no memory can be locked is tried to be made again after a failure.
const RING_TRIES_MAX: u32 = 10;

/// Where the next segment begins.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    /// Its number.
    pub segment: u64,
    /// Number of its first commit.
    pub commit: u64,
    /// End of what is valid in the segment before it.
    pub previous_end: Option<u64>,
}

/// What the writing thread shares with others.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Those of the journal.
    pub options: Options,
    /// Where requests come from.
    pub queue: Arc<Queue>,
    /// Where segments come from, and go to.
    pub keeping: Arc<Keeping>,
}

/// What a round of work has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Something was done, and there may be more.
    Worked,
    /// There was nothing to do.
    Idle,
    /// Nothing can be written at the moment.
    Broken,
    /// The queue is closed, and everything in it is written or has failed.
    Ended,
}

/// See the module.
pub struct Writing {
    options: Options,
    queue: Arc<Queue>,
    keeping: Arc<Keeping>,
    /// Whether writing has failed and no other segment was found yet.
    broken: bool,
    /// Tries in a row that have not found one.
    repairs: u32,
    writer: Box<dyn SegmentWriter>,
    active: Active,
    next: Next,
    backlog: VecDeque<Request>,
    under_way: Option<Commit>,
    /// The number behind the last commit that is durable.
    durable_commit: u64,
    /// The buffer that is free.
    buffer: usize,
}

/// What [`Writing::start_next`] has started.
enum Started {
    Commit,
    Nothing,
}

/// The segment that is written.
struct Active {
    stored: Arc<StoredSegment>,
    header: SegmentHeader,
    /// Where the next commit begins.
    end: u64,
    /// Where what is durable ends.
    durable_end: u64,
    /// The bytes from the last block boundary to `end`: a block is written again with what follows.
    tail: Vec<u8>,
    /// Frames in it.
    frames: usize,
}

/// The life of the writing thread. `ready` is told once it is known that requests can be taken, or that they cannot
/// until the disk has room.
pub fn work(desk: &Desk, next: Next, ready: &SyncSender<io::Result<()>>) {
    let opened = match Writing::open(desk, next) {
        Err(error) if is_full(&error) => {
            // Nobody listens if the process has given up already.
            let _ = ready.send(Ok(()));
            open_later(desk, next)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            None
        }
        Ok(writing) => {
            let _ = ready.send(Ok(()));
            Some(writing)
        }
    };
    if let Some(writing) = opened {
        writing.run();
    }
}

/// Opens the first segment once the disk has room for it; `None` if the queue is closed before.
fn open_later(desk: &Desk, next: Next) -> Option<Writing> {
    while !desk.queue.is_closed() {
        std::thread::sleep(desk.options.patience.retry);
        match Writing::open(desk, next) {
            Ok(writing) => return Some(writing),
            Err(error) => desk.queue.fail([], &error.to_string()),
        }
    }
    None
}

impl Writing {
    /// Opens the first segment. To be called on the thread that then runs it.
    pub fn open(desk: &Desk, next: Next) -> io::Result<Self> {
        let Desk { options, queue, keeping } = desk.clone();
        let mut writer = writer::choose(&options.disk, &options.folder, options.class, options.writer)?;
        let mut next = next;
        let active = turn(&options, &keeping, &mut *writer, &mut next)?;
        queue.turned();
        let (backlog, under_way) = (VecDeque::new(), None);
        let durable_commit = next.commit;
        Ok(Self {
            options,
            queue,
            keeping,
            broken: false,
            repairs: 0,
            writer,
            active,
            next,
            backlog,
            under_way,
            durable_commit,
            buffer: 0,
        })
    }

    /// Writes until the queue is closed and empty.
    pub fn run(mut self) {
        loop {
            match self.round(true) {
                Round::Worked | Round::Idle => {}
                Round::Broken => std::thread::sleep(self.options.patience.retry),
                Round::Ended => break,
            }
        }
        self.close_active();
    }

    /// Does the next piece of work: one write, at most. With `wait`, sleeps until there is something.
    pub fn round(&mut self, wait: bool) -> Round {
        if self.broken {
            return self.repair();
        }
        let idle = self.under_way.is_none() && self.backlog.is_empty();
        let open = self.queue.take(&mut self.backlog, idle && wait);
        if idle && self.backlog.is_empty() {
            return self.rest(open);
        }
        if let Err(error) = self.step() {
            self.fail(&error);
        }
        Round::Worked
    }

    /// Nothing waits, and the queue may be closed.
    fn rest(&mut self, open: bool) -> Round {
        if !open {
            return Round::Ended;
        }
        if !self.queue.takes_turn() || self.active.frames == 0 {
            return Round::Idle;
        }
        if let Err(error) = self.turn() {
            self.fail(&error);
        }
        Round::Worked
    }

    /// Hands the segment over to be indexed: the last thing that is done.
    pub fn close_active(&mut self) {
        let Active { stored, header, durable_end, .. } = &self.active;
        let (stored, header) = (Arc::clone(stored), *header);
        self.keeping.close_segment(Full {
            stored,
            header,
            end: *durable_end,
            next_commit: self.durable_commit,
        });
    }

    /// Waits for the commit that is under way, starts the next one, and then publishes the one before: the disk does not
    /// wait for acks.
    fn step(&mut self) -> io::Result<()> {
        let is_long =
            self.under_way.as_ref().is_some_and(|commit| commit.end - commit.start >= COMMIT_OVERLAP_BYTES);
        let early = if is_long { self.assemble()? } else { None };
        let done = match self.finish() {
            Ok(done) => done,
            Err(error) => {
                // What is put together already has to fail with the rest.
                self.backlog.extend(early.map(|commit| commit.requests).unwrap_or_default());
                return Err(error);
            }
        };
        let started = self.start_next(early);
        if let Some(done) = done {
            self.publish(done);
        }
        match started? {
            Started::Nothing if !self.backlog.is_empty() => self.write_alone_or_turn(),
            Started::Nothing | Started::Commit => Ok(()),
        }
    }

    /// Starts the commit that was put together, or puts one together.
    fn start_next(&mut self, early: Option<Commit>) -> io::Result<Started> {
        let next = match early {
            Some(commit) => Some(commit),
            None => {
                self.queue.take(&mut self.backlog, false);
                self.assemble()?
            }
        };
        match next {
            Some(commit) => self.start(commit).map(|()| Started::Commit),
            // Nothing waits; or it is too large for the buffer, or the segment is full.
            None => Ok(Started::Nothing),
        }
    }

    /// Room for frames and their header in the segment.
    fn room(&self) -> u64 {
        self.options.segment_bytes - self.active.end
    }

    /// Takes as many requests as fit, and writes their frames into the free buffer.
    fn assemble(&mut self) -> io::Result<Option<Commit>> {
        let fits = |bytes: u64, room: u64| bytes <= room;
        let tail = self.active.tail.len();
        let room = self.room().min((COMMIT_BUFFER_BYTES - tail) as u64);
        let Some(first) = self.backlog.front() else { return Ok(None) };
        if !fits(first.bytes(), room) || self.active.frames + first.frames() > INDEX_ENTRIES_MAX {
            return Ok(None);
        }
        let buffer = self.writer.buffer(self.buffer);
        buffer[..tail].copy_from_slice(&self.active.tail);
        let mut encoder =
            CommitEncoder::begin(&mut buffer[tail..], self.active.header.salt, self.next.commit)
                .map_err(io::Error::other)?;
        let mut commit = Commit::at(self.active.end, self.next.commit);
        while let Some(request) = self.backlog.front() {
            let frames = self.active.frames + commit.frames.len() + request.frames();
            if !fits(commit.charged + request.bytes(), room) || frames > INDEX_ENTRIES_MAX {
                break;
            }
            let Some(request) = self.backlog.pop_front() else { break };
            if let Err(error) = commit.push(request, |entry| encoder.push(entry)) {
                self.backlog.extend(commit.requests);
                return Err(io::Error::other(error));
            }
        }
        commit.end = commit.start + encoder.finish() as u64;
        Ok(Some(commit))
    }

    /// Starts writing what was put together last.
    fn start(&mut self, mut commit: Commit) -> io::Result<()> {
        let tail = self.active.tail.len();
        let filled = tail + (commit.end - commit.start) as usize;
        let padded = filled.next_multiple_of(BLOCK_BYTES);
        let buffer = self.writer.buffer(self.buffer);
        buffer[filled..padded].fill(0);
        let whole = filled - filled % BLOCK_BYTES;
        self.active.tail.clear();
        self.active.tail.extend_from_slice(&buffer[whole..filled]);
        commit.begun = clock::monotonic();
        let offset = commit.start - tail as u64;
        self.advance(&commit);
        self.under_way = Some(commit);
        crash_point!("log.write.before");
        self.writer.start(self.buffer, padded, offset)?;
        self.buffer = 1 - self.buffer;
        Ok(())
    }

    fn advance(&mut self, commit: &Commit) {
        self.active.end = commit.end;
        self.keeping.used(commit.end);
        self.active.frames += commit.frames.len();
        self.next.commit += 1;
    }

    /// Waits for the commit that is under way.
    fn finish(&mut self) -> io::Result<Option<Commit>> {
        if self.under_way.is_none() {
            return Ok(None);
        }
        self.writer.finish()?;
        crash_point!("log.write.after");
        Ok(self.under_way.take())
    }

    /// The first request of the backlog does not fit into what is left of buffer or segment; nothing is under way.
    fn write_alone_or_turn(&mut self) -> io::Result<()> {
        let Some(request) = self.backlog.front() else { return Ok(()) };
        let frames = self.active.frames + request.frames();
        if request.bytes() > self.room() || (frames > INDEX_ENTRIES_MAX && self.active.frames > 0) {
            return self.turn();
        }
        let Some(request) = self.backlog.pop_front() else { return Ok(()) };
        let tail = self.active.tail.len();
        let most = tail + request.bytes() as usize;
        let mut bytes = vec![0; most.next_multiple_of(BLOCK_BYTES)];
        bytes[..tail].copy_from_slice(&self.active.tail);
        let mut encoder = CommitEncoder::begin(&mut bytes[tail..], self.active.header.salt, self.next.commit)
            .map_err(io::Error::other)?;
        let mut commit = Commit::at(self.active.end, self.next.commit);
        if let Err(error) = commit.push(request, |entry| encoder.push(entry)) {
            self.backlog.extend(commit.requests);
            return Err(io::Error::other(error));
        }
        commit.end = commit.start + encoder.finish() as u64;
        let filled = tail + (commit.end - commit.start) as usize;
        bytes[filled..].fill(0);
        bytes.truncate(filled.next_multiple_of(BLOCK_BYTES));
        self.active.tail = bytes[filled - filled % BLOCK_BYTES..filled].to_vec();
        let offset = commit.start - tail as u64;
        self.advance(&commit);
        self.under_way = Some(commit);
        self.writer.write(&bytes, offset)?;
        if let Some(commit) = self.under_way.take() {
            self.publish(commit);
        }
        Ok(())
    }

    /// Closes the segment and goes on in the next one.
    fn turn(&mut self) -> io::Result<()> {
        self.next.previous_end = Some(self.active.durable_end);
        let active = turn(&self.options, &self.keeping, &mut *self.writer, &mut self.next)?;
        self.close_active();
        self.active = active;
        self.queue.turned();
        Ok(())
    }

    /// What was written is durable: shows it to readers, then tells the clients.
    fn publish(&mut self, commit: Commit) {
        let Commit { number, requests, frames, start, end, charged, begun } = commit;
        self.active.durable_end = end;
        self.durable_commit = number + 1;
        self.options.metrics.committed(requests.len(), end - start, begun.elapsed());
        let stored = &self.active.stored;
        let (entries, replies) =
            (index_entries(&requests, &frames, start), reply_entries(&requests, &frames, start));
        stored.add(entries, replies);
        for request in &requests {
            for Placed { log, first, batch, sizes } in request.batches() {
                log.publish(&Written {
                    segment: stored,
                    first: *first,
                    records: batch.records.len() as u64,
                    bytes: sizes.payload,
                    arrival: batch.source.arrival,
                });
            }
        }
        crash_point!("log.publish.before");
        self.queue.written(charged, self.options.segment_bytes - end);
        for request in &requests {
            request.notices().notify(number);
        }
        requests.into_iter().for_each(Request::succeed);
    }

    /// Fails everything that is not durable, and looks for a segment that can be written.
    fn fail(&mut self, error: &io::Error) {
        let why = error.to_string();
        tracing::error!(
            folder = %self.options.folder.display(), error = why,
            "writing the log has failed: requests are refused until a new segment can be written"
        );
        self.options.metrics.failures.increment(1);
        let under_way = self.under_way.take().map(|commit| commit.requests).unwrap_or_default();
        self.queue.fail(under_way.into_iter().chain(self.backlog.drain(..)), &why);
        self.next.previous_end = Some(self.active.durable_end);
        self.broken = true;
    }

    /// Tries once to find a segment that can be written.
    fn repair(&mut self) -> Round {
        match self.turn_after_failure() {
            Ok(()) => {
                tracing::info!(folder = %self.options.folder.display(), "the log can be written again");
                self.broken = false;
                Round::Worked
            }
            Err(error) if self.queue.is_closed() => {
                tracing::error!(%error, "the log cannot be closed in order: the next start repairs it");
                Round::Ended
            }
            Err(error) => {
                self.queue.fail([], &error.to_string());
                Round::Broken
            }
        }
    }

    fn turn_after_failure(&mut self) -> io::Result<()> {
        // The old one may hold a write that never ends well. It goes before the new one locks memory.
        let kind = self.writer.kind();
        self.writer = writer::again(kind, self.options.class);
        self.buffer = 0;
        self.repairs += 1;
        let turned = self.turn();
        match &turned {
            Ok(()) => self.repairs = 0,
            Err(error) if kind == WriterKind::IoUring && self.is_ring_lost(error) => {
                tracing::warn!(
                    folder = %self.options.folder.display(), %error,
                    "io_uring does not work any more, the log uses plain writes"
                );
                self.writer = writer::again(WriterKind::Thread, self.options.class);
            }
            Err(_) => {}
        }
        turned
    }

    /// Whether another kind of writer is to be used from now on: with an error that says that there is no ring for this
    /// disk, or because memory cannot be locked for long, as when a write that never ends keeps what there is of it.
    fn is_ring_lost(&self, error: &io::Error) -> bool {
        let is_lost = match error.kind() {
            io::ErrorKind::Unsupported => true,
            io::ErrorKind::OutOfMemory => self.repairs >= RING_TRIES_MAX,
            _ => false,
        };
        is_lost && self.options.writer == LogWriter::Auto
    }

    /// How it writes.
    #[cfg(test)]
    pub fn kind(&self) -> WriterKind {
        self.writer.kind()
    }
}

/// Takes the segment that was made ahead into use.
fn turn(
    options: &Options,
    keeping: &Keeping,
    writer: &mut dyn SegmentWriter,
    next: &mut Next,
) -> io::Result<Active> {
    // First: a segment that is taken has to be used.
    remove_leftover(options, next.segment)?;
    let spare = keeping.take_spare()?;
    let header = SegmentHeader {
        class: options.class,
        number: next.segment,
        salt: SegmentHeader::new_salt(),
        first_commit: next.commit,
        previous_end: next.previous_end,
        node: options.node,
    };
    let segment = spare.activate(&*options.disk, header)?;
    writer.open(&segment.file, &segment.path)?;
    next.segment += 1;
    let (disk, readers) = (Arc::clone(&options.disk), &keeping.index_readers);
    let stored = Arc::new(StoredSegment::growing(disk, &options.folder, header.number, readers));
    keeping.opened(&stored);
    keeping.used(0);
    let start = SEGMENT_HEADER_BYTES;
    Ok(Active { stored, header, end: start, durable_end: start, tail: Vec::new(), frames: 0 })
}

/// A segment that could not be put into use may have got its name all the same. Nothing was written to it, and its
/// number is that of the next one.
fn remove_leftover(options: &Options, number: u64) -> io::Result<()> {
    match options.disk.remove(&FileName::segment(&options.folder, number)) {
        Ok(()) => options.disk.sync_folder(&options.folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
