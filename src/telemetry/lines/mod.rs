//! Logs of lines: gathered by each thread, queued within bounds, written by one thread a log.
//!
//! ```text
//! edge thread: line ─▶ staged (32 KiB) ─ when the thread has nothing else to do ─▶ queue (4 MiB) ─▶ writer ─▶ file
//!              no lock, no call          one lock for all of them                  full: dropped,   one write
//!                                                                                  counted
//! ```
//!
//! Nobody waits for a line: what does not fit is dropped and counted, and so is what cannot be written.

mod file;
mod rotation;
mod writer;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::checked::LogTo;
use crate::config::limits::{LOG_LINES_QUEUE_BYTES, LOG_LINES_STAGED_BYTES};
use crate::runtime::park::{self, Wake};
use crate::telemetry::metrics::LineMetrics;

use writer::Sink;
pub use writer::Writer;

/// Where lines are left to be written.
#[derive(Debug)]
pub struct Lines {
    /// Names the log in messages: `access log`.
    name: &'static str,
    queue: Mutex<Queue>,
    /// There is something to do for the writer.
    work: Condvar,
    metrics: LineMetrics,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    /// Where lines go from now on, with those from before that were not written yet.
    moved: Option<Moved>,
    /// The file is to be opened again.
    is_reopened: bool,
    /// Nothing comes any more.
    is_closed: bool,
    /// The writer has ended.
    has_ended: bool,
}

/// See [`Lines::move_to`].
#[derive(Debug)]
struct Moved {
    bytes: Vec<u8>,
    lines: u64,
    to: Sink,
}

/// A place that lines can be moved to: it is open already.
#[derive(Debug)]
pub struct Place(Sink);

impl Place {
    /// Opens it.
    ///
    /// # Errors
    /// If its file cannot be had.
    pub fn open(to: &LogTo) -> io::Result<Self> {
        Sink::open(to).map(Self)
    }
}

/// Lines of one thread that nobody else has seen.
#[derive(Default)]
struct Staged {
    of: Option<Arc<Lines>>,
    bytes: Vec<u8>,
    lines: u64,
}

thread_local! {
    static STAGED: RefCell<Staged> = RefCell::default();
}

impl Lines {
    /// A queue, and the thread that writes what is in it.
    ///
    /// # Errors
    /// If the file or the thread cannot be had.
    pub fn open(name: &'static str, to: &LogTo, metrics: LineMetrics) -> io::Result<(Arc<Self>, Writer)> {
        let (queue, work) = (Mutex::default(), Condvar::new());
        let lines = Arc::new(Self { name, queue, work, metrics });
        let writer = Writer::start(&lines, to)?;
        Ok((lines, writer))
    }

    /// Leaves a line, which `write` writes without its end.
    pub fn add(self: &Arc<Self>, write: impl FnOnce(&mut Vec<u8>)) {
        STAGED.with_borrow_mut(|staged| {
            if !staged.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, self)) {
                staged.hand_over();
                staged.of = Some(Arc::clone(self));
            }
            let is_first = staged.bytes.is_empty();
            write(&mut staged.bytes);
            staged.bytes.push(b'\n');
            staged.lines += 1;
            let is_full = staged.bytes.len() >= LOG_LINES_STAGED_BYTES;
            if is_full || (is_first && !park::before_park(self)) {
                staged.hand_over();
            }
        });
    }

    /// Leaves a line at once, beside those that threads have gathered.
    pub fn add_now(&self, line: &[u8]) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        self.take(&bytes, 1);
    }

    /// Has the file opened again, because somebody has moved it.
    pub fn reopen(&self) {
        self.lock().is_reopened = true;
        self.work.notify_one();
    }

    /// Has lines that are left from now on written to another place, and all others to the one from before.
    pub fn move_to(&self, Place(to): Place) {
        let mut queue = self.lock();
        let (mut bytes, mut lines) = (mem::take(&mut queue.bytes), mem::take(&mut queue.lines));
        if let Some(before) = queue.moved.take() {
            // Nobody has got to it: what was meant for the place in between goes to the one before it.
            bytes = [before.bytes, bytes].concat();
            lines += before.lines;
        }
        queue.moved = Some(Moved { bytes, lines, to });
        self.work.notify_one();
    }

    fn take(&self, bytes: &[u8], lines: u64) {
        let mut queue = self.lock();
        if queue.is_closed || queue.bytes.len() + bytes.len() > LOG_LINES_QUEUE_BYTES {
            self.metrics.dropped_full.increment(lines);
            return;
        }
        let was = queue.bytes.len();
        queue.bytes.extend_from_slice(bytes);
        queue.lines += lines;
        // The writer lets lines gather for a while, unless they become many.
        let half = LOG_LINES_QUEUE_BYTES / 2;
        if was == 0 || (was < half && queue.bytes.len() >= half) {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, or that long.
    fn wait(&self, patience: Duration) {
        let is_idle = |queue: &mut Queue| {
            queue.bytes.is_empty() && queue.moved.is_none() && !queue.is_reopened && !queue.is_closed
        };
        drop(self.work.wait_timeout_while(self.lock(), patience, is_idle));
    }

    /// Lets lines gather for that long, unless they become many.
    fn linger(&self, patience: Duration) {
        let is_early = |queue: &mut Queue| !queue.is_closed && queue.bytes.len() < LOG_LINES_QUEUE_BYTES / 2;
        drop(self.work.wait_timeout_while(self.lock(), patience, is_early));
    }
}

impl Wake for Lines {
    fn wake(&self) {
        STAGED.with_borrow_mut(Staged::hand_over);
    }
}

impl Staged {
    fn hand_over(&mut self) {
        if let (Some(of), true) = (&self.of, self.lines > 0) {
            of.take(&self.bytes, self.lines);
        }
        self.bytes.clear();
        self.lines = 0;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests;
