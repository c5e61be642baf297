//! The writer that works everywhere: system calls of the calling thread.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::buffer::CommitBuffer;
use super::{SegmentWriter, WriterKind, check, misused};
use crate::config::limits;
use crate::runtime::disk::DiskFile;
use crate::stream::wal::JournalClass;

/// Writes to the page cache when a write starts, and syncs when it finishes.
pub struct ThreadWriter {
    class: JournalClass,
    buffers: [CommitBuffer; 2],
    segment: Option<Arc<dyn DiskFile>>,
    /// The result of the write that has started.
    started: Option<io::Result<()>>,
}

impl ThreadWriter {
    /// A writer for a journal of `class`. It writes nowhere until it is opened.
    pub fn new(class: JournalClass) -> Self {
        Self { class, buffers: CommitBuffer::pair(), segment: None, started: None }
    }

    fn segment(&self) -> io::Result<&Arc<dyn DiskFile>> {
        self.segment.as_ref().ok_or_else(|| misused("no segment is open for writing"))
    }

    fn idle(&self) -> io::Result<()> {
        match &self.started {
            None => Ok(()),
            Some(_) => Err(misused("another write is under way")),
        }
    }
}

impl SegmentWriter for ThreadWriter {
    fn buffer(&mut self, index: usize) -> &mut [u8] {
        self.buffers.get_mut(index).map(CommitBuffer::bytes_mut).unwrap_or_default()
    }

    fn open(&mut self, segment: &Arc<dyn DiskFile>, _path: &Path) -> io::Result<()> {
        self.idle()?;
        self.segment = Some(Arc::clone(segment));
        Ok(())
    }

    fn start(&mut self, index: usize, len: usize, offset: u64) -> io::Result<()> {
        self.idle()?;
        check(len, offset, limits::COMMIT_BUFFER_BYTES)?;
        let buffer = self.buffers.get(index).ok_or_else(|| misused("there are two buffers"))?;
        self.started = Some(self.segment()?.write_all_at(&buffer.bytes()[..len], offset));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(written) = self.started.take() else { return Ok(()) };
        written?;
        match self.class {
            JournalClass::Fsync => self.segment()?.sync_data(),
            JournalClass::Os => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.idle()?;
        check(bytes.len(), offset, bytes.len())?;
        self.started = Some(self.segment()?.write_all_at(bytes, offset));
        self.finish()
    }

    fn kind(&self) -> WriterKind {
        WriterKind::Thread
    }
}
