//! A file, seen through a buffer.

use std::io;

use xxhash_rust::xxh3::Xxh3;

use crate::config::limits;
use crate::runtime::disk::DiskFile;

/// Reads start at a multiple of this, so that each page is asked for once.
const PAGE_BYTES: u64 = 4096;

/// Part of a file that is in memory. It moves to where it is asked for.
pub(super) struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Nothing at or behind this offset is read.
    end: u64,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte.
    start: u64,
    /// Bytes in it.
    filled: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, end: u64) -> Self {
        let bytes = limits::SCAN_WINDOW_BYTES + PAGE_BYTES as usize;
        let bytes = usize::try_from(end).map_or(bytes, |end| bytes.min(end));
        Self { file, end, buffer: vec![0; bytes], start: 0, filled: 0 }
    }

    pub(super) fn file(&self) -> &'a dyn DiskFile {
        self.file
    }

    /// `bytes` bytes at `offset`, at most [`limits::SCAN_WINDOW_BYTES`]; fewer where the file ends.
    pub(super) fn get(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let bytes = usize::try_from(self.end.saturating_sub(offset)).map_or(bytes, |left| bytes.min(left));
        if self.available(offset).len() < bytes {
            self.fill(offset)?;
        }
        let available = self.available(offset);
        Ok(&available[..bytes.min(available.len())])
    }

    /// As many bytes at `offset` as the buffer holds: none at the end of the file.
    pub(super) fn chunk(&mut self, offset: u64) -> io::Result<&[u8]> {
        if self.available(offset).is_empty() && offset < self.end {
            self.fill(offset)?;
        }
        Ok(self.available(offset))
    }

    /// XXH3-64 of the `bytes` bytes at `offset`.
    pub(super) fn checksum(&mut self, offset: u64, bytes: u64) -> io::Result<u64> {
        let mut hash = Xxh3::new();
        self.pieces(offset, bytes, |piece| hash.update(piece))?;
        Ok(hash.digest())
    }

    /// Appends the `bytes` bytes at `offset` to `out`.
    pub(super) fn copy(&mut self, offset: u64, bytes: u64, out: &mut Vec<u8>) -> io::Result<()> {
        self.pieces(offset, bytes, |piece| out.extend_from_slice(piece))
    }

    fn pieces(&mut self, mut offset: u64, mut bytes: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        while bytes > 0 {
            let chunk = self.chunk(offset)?;
            let piece = &chunk[..usize::try_from(bytes).map_or(chunk.len(), |left| left.min(chunk.len()))];
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(piece);
            offset += piece.len() as u64;
            bytes -= piece.len() as u64;
        }
        Ok(())
    }

    fn available(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.buffer.get(skip..self.filled)).unwrap_or_default()
    }

    fn fill(&mut self, offset: u64) -> io::Result<()> {
        self.start = offset - offset % PAGE_BYTES;
        self.filled = 0;
        let bytes = usize::try_from(self.end.saturating_sub(self.start))
            .map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
        while self.filled < bytes {
            let at = self.start + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..bytes], at) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What is there is no longer what `start` says it is.
                    self.filled = 0;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
