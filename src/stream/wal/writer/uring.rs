//! The writer for `io_uring`: direct, synchronous writes (`O_DIRECT`, `O_DSYNC`) from registered buffers to a
//! registered file. One system call starts a commit and one waits for it, with a third of the CPU time of a write and
//! a sync, and the page cache is not filled with what is rarely read again.
//!
//! # Why its `unsafe` is sound
//!
//! The kernel reads a buffer from the submission of a write to its completion. In that time:
//!
//! - the buffer stays where it is: its memory is allocated once, and freed only by [`UringWriter`]'s drop, which waits
//!   for the completion, or leaks the memory where it cannot learn of it;
//! - nobody changes it: [`UringWriter::buffer`] waits for the completion too, before it lends the buffer, and a loan
//!   ends before the next call because it borrows the writer.

mod ring;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use self::ring::Ring;
use super::buffer::CommitBuffer;
use super::{BLOCK_BYTES, SegmentWriter, WriterKind, check, misused};
use crate::config::limits;
use crate::runtime::disk::DiskFile;

/// See the module. The thread that opens the first segment is the one that must use it.
#[derive(Default)]
pub struct UringWriter {
    /// Made by the thread that uses it, because the kernel lets no other thread submit. It has the buffers then.
    ring: Option<Ring>,
    /// The buffers until then.
    buffers: Option<[CommitBuffer; 2]>,
    segment: Option<Arc<dyn DiskFile>>,
    /// What is being written.
    under_way: Option<UnderWay>,
    /// The result of the write that has ended before it was asked for.
    ended: Option<io::Result<()>>,
}

/// The rest of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UnderWay {
    buffer: usize,
    /// First byte in the buffer, and the one behind the last.
    from: usize,
    to: usize,
    /// Where the first byte goes.
    offset: u64,
}

/// What a completion means.
#[derive(Debug)]
enum Step {
    Done,
    Again(UnderWay),
    Failed(io::Error),
}

impl UnderWay {
    /// Judges what the kernel says: the bytes it has written, or an error number below 0.
    fn after(self, result: i32) -> Step {
        let Ok(written) = usize::try_from(result) else {
            let error = io::Error::from_raw_os_error(-result);
            return match error.kind() {
                io::ErrorKind::Interrupted => Step::Again(self),
                _ => Step::Failed(error),
            };
        };
        if written >= self.to - self.from {
            return Step::Done;
        }
        // Direct writes must go on at a block: the same bytes are written again from there.
        let blocks = written - written % BLOCK_BYTES;
        if blocks == 0 {
            return Step::Failed(io::ErrorKind::WriteZero.into());
        }
        Step::Again(Self { from: self.from + blocks, offset: self.offset + blocks as u64, ..self })
    }
}

impl UringWriter {
    /// A writer that has no ring yet and writes nowhere: opening a segment makes the ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes to the empty file at `path` as it would to a segment, and reads it back.
    pub(super) fn try_out(file: &Arc<dyn DiskFile>, path: &Path) -> io::Result<()> {
        let sample: Vec<u8> = (0..2 * BLOCK_BYTES).map(|index| (index / 7) as u8).collect();
        file.write_all_at(&vec![0; sample.len()], 0)?;
        file.sync_data()?;
        let mut writer = Self::new();
        writer.open(file, path)?;
        writer.buffer(1)[..sample.len()].copy_from_slice(&sample);
        writer.start(1, sample.len(), 0)?;
        writer.finish()?;
        let mut found = vec![0; sample.len()];
        file.read_exact_at(&mut found, 0)?;
        if found == sample { Ok(()) } else { Err(io::Error::other("what was written cannot be read back")) }
    }

    fn idle(&self) -> io::Result<()> {
        match (&self.under_way, &self.ended) {
            (None, None) => Ok(()),
            _ => Err(misused("another write is under way")),
        }
    }

    /// Waits for the write that is under way and keeps its result.
    fn wait(&mut self) {
        let (Some(mut write), Some(ring)) = (self.under_way, &mut self.ring) else { return };
        let result = loop {
            let result = match ring.wait() {
                Ok(result) => result,
                // The write stays under way: nobody may touch its buffer any more.
                Err(_) => return,
            };
            match write.after(result) {
                Step::Done => break Ok(()),
                Step::Failed(error) => break Err(error),
                Step::Again(rest) => match ring.start(rest.buffer, rest.from..rest.to, rest.offset) {
                    Ok(()) => {
                        write = rest;
                        self.under_way = Some(rest);
                    }
                    Err(error) => break Err(error),
                },
            }
        };
        self.under_way = None;
        self.ended = Some(result);
    }
}

impl SegmentWriter for UringWriter {
    fn buffer(&mut self, index: usize) -> &mut [u8] {
        if self.under_way.is_some_and(|write| write.buffer == index) {
            self.wait();
        }
        if self.under_way.is_some_and(|write| write.buffer == index) {
            // It cannot be learned whether the kernel still reads it.
            return &mut [];
        }
        let buffers = match &mut self.ring {
            Some(ring) => ring.buffers(),
            None => self.buffers.get_or_insert_with(CommitBuffer::pair),
        };
        buffers.get_mut(index).map(CommitBuffer::bytes_mut).unwrap_or_default()
    }

    fn open(&mut self, segment: &Arc<dyn DiskFile>, path: &Path) -> io::Result<()> {
        self.idle()?;
        let direct = open_direct(segment, path)?;
        // Nothing is under way, so a ring that does not work can be let go of.
        let ring = match self.ring.take().filter(Ring::works) {
            Some(ring) => ring,
            None => Ring::new(self.buffers.take().unwrap_or_else(CommitBuffer::pair))?,
        };
        let ring = self.ring.insert(ring);
        ring.direct_to(&direct)?;
        self.segment = Some(Arc::clone(segment));
        Ok(())
    }

    fn start(&mut self, index: usize, len: usize, offset: u64) -> io::Result<()> {
        self.idle()?;
        check(len, offset, limits::COMMIT_BUFFER_BYTES)?;
        let (Some(_), Some(ring)) = (&self.segment, &mut self.ring) else {
            return Err(misused("no segment is open for writing"));
        };
        let write = UnderWay { buffer: index, from: 0, to: len, offset };
        ring.start(index, 0..len, offset)?;
        self.under_way = Some(write);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.wait();
        match (self.ended.take(), self.under_way) {
            (Some(result), _) => result,
            (None, None) => Ok(()),
            (None, Some(_)) => Err(io::Error::other("the completion of a write cannot be learned of")),
        }
    }

    /// Through the page cache: such commits are rare and large, and this needs no third buffer.
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.idle()?;
        check(bytes.len(), offset, bytes.len())?;
        let segment = self.segment.as_ref().ok_or_else(|| misused("no segment is open for writing"))?;
        segment.write_all_at(bytes, offset)?;
        segment.sync_data()
    }

    fn kind(&self) -> WriterKind {
        WriterKind::IoUring
    }
}

impl Drop for UringWriter {
    fn drop(&mut self) {
        self.wait();
        if self.under_way.is_some()
            && let Some(ring) = self.ring.take()
        {
            // The kernel may still read the buffers.
            std::mem::forget(ring);
        }
    }
}

/// Opens the file at `path`, which must be `segment`, for direct and synchronous writes.
fn open_direct(segment: &Arc<dyn DiskFile>, path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    let direct = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let known = segment.file().ok_or_else(|| misused("a segment of a disk that has no files"))?.metadata()?;
    let found = direct.metadata()?;
    if (known.dev(), known.ino()) == (found.dev(), found.ino()) {
        Ok(direct)
    } else {
        Err(misused("the path is that of another file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: UnderWay = UnderWay { buffer: 1, from: 0, to: 4 * BLOCK_BYTES, offset: 1 << 20 };

    #[test]
    fn a_short_write_goes_on_at_the_last_whole_block() {
        let rest = UnderWay { from: 2 * BLOCK_BYTES, offset: (1 << 20) + 2 * BLOCK_BYTES as u64, ..WRITE };
        for written in [2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 512] {
            assert!(matches!(WRITE.after(written as i32), Step::Again(found) if found == rest));
        }
        assert!(matches!(rest.after(2 * BLOCK_BYTES as i32), Step::Done));
    }

    #[test]
    fn a_write_that_was_interrupted_begins_again() {
        assert!(matches!(WRITE.after(-libc::EINTR), Step::Again(found) if found == WRITE));
    }

    #[test]
    fn a_write_without_progress_fails() {
        for written in [0, 512] {
            let Step::Failed(error) = WRITE.after(written) else { panic!("it has not failed") };
            assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        }
    }

    #[test]
    fn any_other_error_is_passed_on() {
        let Step::Failed(error) = WRITE.after(-libc::EIO) else { panic!("it has not failed") };
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}
