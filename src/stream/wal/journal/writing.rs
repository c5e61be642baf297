//! The writing thread: queue → commits → segment → publish.
//!
//! Rounds of the thread and what follows a write are here; [`filling`] puts commits together and starts to write them,
//! [`active`] takes segments into use, and [`repair`] goes on after a write that has failed.

mod active;
mod filling;
mod repair;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::commit::{Commit, index_entries, reply_entries};
use super::keeping::{Full, Keeping};
use super::queue::{Placed, Queue, Request};
use super::{Options, is_full};
use crate::config::limits::COMMIT_OVERLAP_BYTES;
use crate::crash_point;
use crate::stream::wal::shard::Written;
#[cfg(test)]
use crate::stream::wal::writer::WriterKind;
use crate::stream::wal::writer::{self, SegmentWriter};

use active::{Active, turn};

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

    /// Waits for the commit that is under way.
    fn finish(&mut self) -> io::Result<Option<Commit>> {
        if self.under_way.is_none() {
            return Ok(None);
        }
        self.writer.finish()?;
        crash_point!("log.write.after");
        Ok(self.under_way.take())
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

    /// How it writes.
    #[cfg(test)]
    pub fn kind(&self) -> WriterKind {
        self.writer.kind()
    }
}
