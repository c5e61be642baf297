//! How the bytes of commits get to stable storage.
//!
//! A writer has two buffers, so that the next commit can be put together while the last one is on its way. All writers
//! pass the same suite of tests.

mod buffer;
mod thread;
#[cfg(target_os = "linux")]
mod uring;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{JournalClass, is_full};
use crate::config::checked::LogWriter;
use crate::runtime::disk::{Disk, DiskFile};

pub use thread::ThreadWriter;
#[cfg(target_os = "linux")]
pub use uring::UringWriter;

/// What offsets, lengths and buffers of writes are multiples of: what direct I/O needs on any disk.
pub const BLOCK_BYTES: usize = 4096;

/// How a writer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterKind {
    /// System calls of the calling thread.
    Thread,
    /// `io_uring` with direct I/O.
    IoUring,
}

/// Writes the commits of one journal. It may be made on any thread; the one that opens the first segment must be the
/// one that uses it from then on.
pub trait SegmentWriter: Send {
    /// One of two buffers (`index` 0 or 1) of [`crate::config::limits::COMMIT_BUFFER_BYTES`] each, aligned to
    /// [`BLOCK_BYTES`]; empty for another index. If the buffer is being written, this waits until it is not. Nothing
    /// but the caller changes its content.
    fn buffer(&mut self, index: usize) -> &mut [u8];
    /// Directs the following writes to this segment. Nothing may be under way.
    fn open(&mut self, segment: &Arc<dyn DiskFile>, path: &Path) -> io::Result<()>;
    /// Starts writing the first `len` bytes of a buffer at `offset`, both multiples of [`BLOCK_BYTES`]. One write at a
    /// time: [`SegmentWriter::finish`] comes before the next. An error means that nothing was written and nothing is
    /// under way; every failure of the write itself is told by [`SegmentWriter::finish`].
    fn start(&mut self, index: usize, len: usize, offset: u64) -> io::Result<()>;
    /// Waits until it is on stable storage (class `fsync`) or with the system (class `os`). After an error it is
    /// unknown what stands there. Does nothing if nothing is under way.
    fn finish(&mut self) -> io::Result<()>;
    /// The same at once for bytes elsewhere, which need not be aligned in memory; their number and `offset` are
    /// multiples of [`BLOCK_BYTES`].
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// How it works.
    fn kind(&self) -> WriterKind;
}

/// Makes the writer for the journal of `class` in `folder`, which must exist.
///
/// `io_uring` is for class `fsync` alone: without waiting for the disk, a plain write is as good. It is tried out with
/// a scratch file in `folder` first. Where it does not work, the reason is logged and the thread's writer taken, unless
/// `io_uring` was asked for by name; a disk that is not this machine's has no other than the thread's.
pub fn choose(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    class: JournalClass,
    wanted: LogWriter,
) -> io::Result<Box<dyn SegmentWriter>> {
    let thread = || Ok(Box::new(ThreadWriter::new(class)) as Box<dyn SegmentWriter>);
    if class == JournalClass::Os || wanted == LogWriter::Thread {
        return thread();
    }
    match try_uring(&**disk, folder) {
        Ok(Some(writer)) => Ok(writer),
        Ok(None) => thread(),
        // Says nothing about io_uring: it is tried again.
        Err(error) if wanted == LogWriter::IoUring && is_full(&error) => Err(error),
        Err(error) if wanted == LogWriter::IoUring => {
            let text = format!("io_uring was asked for, but does not work in {}: {error}", folder.display());
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
        Err(error) => {
            tracing::info!(folder = %folder.display(), %error, "io_uring does not work here, the log uses plain writes");
            thread()
        }
    }
}

/// Makes another writer of a kind that has worked for the journal, without trying it out: that would need room on the
/// disk, and memory that may be locked beside that of the one before. A ring is made when a segment is opened.
pub fn again(kind: WriterKind, class: JournalClass) -> Box<dyn SegmentWriter> {
    match kind {
        #[cfg(target_os = "linux")]
        WriterKind::IoUring => Box::new(UringWriter::new()),
        _ => Box::new(ThreadWriter::new(class)),
    }
}

/// A writer that has been tried out; `None` on a disk that is not this machine's.
#[cfg(target_os = "linux")]
fn try_uring(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Box<dyn SegmentWriter>>> {
    let path = super::segment::FileName::unnamed(&folder.join("probe"));
    // A former process may have ended half-way.
    let _ = disk.remove(&path);
    let file = disk.create(&path)?;
    let tried = match file.file() {
        None => Ok(false),
        Some(_) => UringWriter::try_out(&file, &path).map(|()| true),
    };
    disk.remove(&path)?;
    Ok(tried?.then(|| Box::new(UringWriter::new()) as Box<dyn SegmentWriter>))
}

#[cfg(not(target_os = "linux"))]
fn try_uring(_disk: &dyn Disk, _folder: &Path) -> io::Result<Option<Box<dyn SegmentWriter>>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is a part of Linux"))
}

/// What every writer refuses before it writes anything.
fn check(len: usize, offset: u64, room: usize) -> io::Result<()> {
    if !len.is_multiple_of(BLOCK_BYTES) || !offset.is_multiple_of(BLOCK_BYTES as u64) || len > room {
        let text = format!("a write of {len} bytes at {offset} from {room}: give multiples of {BLOCK_BYTES}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// What a writer says that is used in the wrong order.
fn misused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
