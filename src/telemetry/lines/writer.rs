//! The thread that writes the lines of one log.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::file::RotatedFile;
use super::{Lines, Moved};
use crate::config::checked::LogTo;
use crate::config::limits::{LOG_LINES_FLUSH_WAIT, LOG_LINES_LINGER};

/// How long the writer sleeps at most where nothing comes: files are closed by age meanwhile.
const IDLE: Duration = Duration::from_secs(1);

/// What is written to.
pub(super) enum Sink {
    /// Standard output or error, or what stands for them.
    Stream(Box<dyn Write + Send>),
    /// Files.
    File(Box<RotatedFile>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sink::Stream(_) => "Stream",
            Sink::File(_) => "File",
        })
    }
}

impl Sink {
    pub(super) fn open(to: &LogTo) -> io::Result<Self> {
        Ok(match to {
            LogTo::Stdout => Sink::Stream(Box::new(io::stdout())),
            LogTo::Stderr => Sink::Stream(Box::new(io::stderr())),
            LogTo::File(rule) => Sink::File(Box::new(RotatedFile::open(rule.clone())?)),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Sink::File(file) => file.write(bytes),
        }
    }
}

/// The thread, to be ended by [`Writer::end`].
#[derive(Debug)]
pub struct Writer {
    lines: Arc<Lines>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(lines: &Arc<Lines>, to: &LogTo) -> io::Result<Self> {
        Self::start_with(lines, Sink::open(to)?)
    }

    pub(super) fn start_with(lines: &Arc<Lines>, sink: Sink) -> io::Result<Self> {
        let mut sink = sink;
        if let Sink::File(file) = &mut sink {
            file.begin()?;
        }
        let lines = Arc::clone(lines);
        let running = Running { lines: Arc::clone(&lines), sink, is_failing: false };
        let thread = Builder::new().name(lines.name.replace(' ', "-")).spawn(move || running.run())?;
        Ok(Self { lines, thread })
    }

    /// Has everything written that was left before, and waits for it, but not for ever: a pipe that nobody reads takes
    /// nothing.
    pub fn end(self) {
        let mut queue = self.lines.lock();
        queue.is_closed = true;
        self.lines.work.notify_one();
        let is_running = |queue: &mut super::Queue| !queue.has_ended;
        let waited = self.lines.work.wait_timeout_while(queue, LOG_LINES_FLUSH_WAIT, is_running);
        let has_ended = waited.is_ok_and(|(queue, _)| queue.has_ended);
        if !has_ended {
            tracing::warn!(log = self.lines.name, "what the log is written to takes nothing: lines are lost");
        } else if self.thread.join().is_err() {
            tracing::error!(log = self.lines.name, "the thread that writes the log has panicked");
        }
    }
}

struct Running {
    lines: Arc<Lines>,
    sink: Sink,
    is_failing: bool,
}

impl Running {
    fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.lines));
        let mut batch = Vec::new();
        loop {
            // A file that is compressed is so in steps, in between.
            let is_busy = matches!(&self.sink, Sink::File(file) if file.is_compressing());
            self.lines.wait(if is_busy { Duration::ZERO } else { IDLE });
            self.lines.linger(if is_busy { Duration::ZERO } else { LOG_LINES_LINGER });
            let (moved, lines, is_reopened, is_closed) = {
                let mut queue = self.lines.lock();
                mem::swap(&mut batch, &mut queue.bytes);
                let (lines, is_reopened) = (mem::take(&mut queue.lines), mem::take(&mut queue.is_reopened));
                (queue.moved.take(), lines, is_reopened, queue.is_closed)
            };
            if let Some(moved) = moved {
                self.move_on(moved);
            }
            let mut said = match &mut self.sink {
                // Nothing to tell, unless it fails.
                Sink::File(file) => file.tend(is_reopened).err().map(Err),
                Sink::Stream(_) => None,
            };
            let written = self.write(&batch, lines);
            said = said.or(written);
            self.tell(said);
            batch.clear();
            if is_closed {
                return;
            }
        }
    }

    /// Writes and counts what there is.
    fn write(&mut self, batch: &[u8], lines: u64) -> Option<io::Result<()>> {
        if lines == 0 {
            return None;
        }
        let written = self.sink.write(batch);
        match &written {
            Ok(()) => self.lines.metrics.written.increment(lines),
            Err(_) => self.lines.metrics.dropped_failed.increment(lines),
        }
        Some(written)
    }

    /// Writes what is for the old place, and goes on at the new one.
    fn move_on(&mut self, moved: Moved) {
        let written = self.write(&moved.bytes, moved.lines);
        self.tell(written);
        // The old file is closed first: the new one may be the same under another rule.
        self.sink = moved.to;
        let begun = match &mut self.sink {
            Sink::File(file) => file.begin().err().map(Err),
            Sink::Stream(_) => None,
        };
        self.tell(begun);
    }

    /// Logs a change of how writing goes.
    fn tell(&mut self, said: Option<io::Result<()>>) {
        match (said, self.is_failing) {
            (Some(Err(error)), false) => {
                self.is_failing = true;
                tracing::error!(
                    log = self.lines.name, %error,
                    "the log cannot be written: its lines are lost and counted, requests go on"
                );
            }
            (Some(Ok(())), true) => {
                self.is_failing = false;
                tracing::info!(log = self.lines.name, "the log can be written again");
            }
            _ => {}
        }
    }
}

/// Tells that the thread has ended, also where it has panicked.
struct Ended(Arc<Lines>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        (queue.is_closed, queue.has_ended) = (true, true);
        self.0.work.notify_all();
    }
}
