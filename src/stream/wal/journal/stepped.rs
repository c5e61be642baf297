//! A journal without threads: a test does their work, in the order that it wants, and can so repeat it.

use std::sync::Arc;

use super::keeping::Keeping;
use super::queue::Queue;
use super::writing::{Desk, Next, Writing};
use super::{Journal, Mutex, Options, Resume, io, is_full, prepare};

use crate::stream::wal::writer::WriterKind;

pub use super::writing::Round;

/// What the threads of the journal would do.
pub struct Stepped {
    desk: Desk,
    next: Next,
    /// Not there until the disk has had room for a first segment.
    writing: Option<Writing>,
}

impl Journal {
    /// See the module. A [`super::Patience`] other than zero is of no use: nobody else would end the wait.
    pub fn stepped(options: Options, resume: Resume) -> io::Result<(Self, Stepped)> {
        let (queue, keeping, next) = prepare(&options, resume)?;
        let patience = options.patience;
        let desk = Desk { options, queue, keeping };
        let writing = match Writing::open(&desk, next) {
            Err(error) if is_full(&error) => None,
            opened => Some(opened?),
        };
        let (queue, keeping): (Arc<Queue>, Arc<Keeping>) =
            (Arc::clone(&desk.queue), Arc::clone(&desk.keeping));
        let threads = Mutex::new(Vec::new());
        Ok((Self { queue, keeping, patience, threads }, Stepped { desk, next, writing }))
    }
}

impl Stepped {
    /// Whether there has been a segment to write to.
    pub fn is_open(&self) -> bool {
        self.writing.is_some()
    }

    /// A round of the writing thread.
    pub fn write(&mut self) -> Round {
        let Some(writing) = &mut self.writing else {
            if self.desk.queue.is_closed() {
                return Round::Ended;
            }
            match Writing::open(&self.desk, self.next) {
                Ok(writing) => self.writing = Some(writing),
                Err(error) => self.desk.queue.fail([], &error.to_string()),
            }
            return if self.writing.is_some() { Round::Worked } else { Round::Broken };
        };
        writing.round(false)
    }

    /// How the log is written, if it is.
    pub fn kind(&self) -> Option<WriterKind> {
        self.writing.as_ref().map(Writing::kind)
    }

    /// A pass of the keeping thread; false if something has failed.
    pub fn keep(&mut self) -> bool {
        self.desk.keeping.pass()
    }

    /// Whether the next segment is there.
    pub fn has_spare(&self) -> bool {
        self.desk.keeping.has_spare()
    }

    /// The first part of a pass of the keeping thread; false if it has failed.
    pub fn make_spare(&mut self) -> bool {
        self.desk.keeping.make_spare(&|_| {}).is_ok()
    }

    /// Whether the keeping thread has something to do.
    pub fn keeper_has_work(&self) -> bool {
        self.desk.keeping.has_work()
    }

    /// Whether the keeping thread would make the next segment without pauses.
    pub fn is_keeper_urgent(&self) -> bool {
        self.desk.keeping.is_urgent()
    }

    /// The end of both threads, once the queue is closed and [`Stepped::write`] has said [`Round::Ended`].
    pub fn end(mut self) {
        if let Some(writing) = &mut self.writing {
            writing.close_active();
        }
        self.desk.keeping.close();
        while self.keeper_has_work() && self.keep() {}
    }
}
