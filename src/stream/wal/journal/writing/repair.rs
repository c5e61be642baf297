//! What follows a write that has failed: requests fail, and another segment is looked for.

use std::io;

use super::{Round, Writing};
use crate::config::checked::LogWriter;
use crate::stream::wal::writer::{self, WriterKind};

/// How often a ring for which no memory can be locked is tried to be made again after a failure.
const RING_TRIES_MAX: u32 = 10;

impl Writing {
    /// Fails everything that is not durable, and looks for a segment that can be written.
    pub(super) fn fail(&mut self, error: &io::Error) {
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
    pub(super) fn repair(&mut self) -> Round {
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
}
