//! Makes the index of a segment while it is written, or scanned.

use std::io;
use std::path::Path;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::rows::{BLOCK_ROWS, Header, Row, put_block};
use super::{IndexEntry, IndexedSegment, ReplyEntry, ShardRange};
use crate::config::limits;
use crate::crash_point;
use crate::runtime::disk::{Disk, DiskFile};
use crate::stream::wal::frame::{FrameHeader, FrameKind, ShardNumber};
use crate::stream::wal::segment::FileName;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 << 10;

/// A segment has as many frames as an index takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the index of a segment is full after {} frames: go on in the next segment",
    limits::INDEX_ENTRIES_MAX
)]
pub struct IndexFull;

/// Frames of one segment, at most [`limits::INDEX_ENTRIES_MAX`].
#[derive(Debug, Default)]
pub struct IndexBuilder {
    entries: Vec<(ShardNumber, IndexEntry)>,
    replies: Vec<ReplyEntry>,
}

impl IndexBuilder {
    /// No frames yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Frames that it still takes.
    pub fn room(&self) -> usize {
        limits::INDEX_ENTRIES_MAX - self.entries.len() - self.replies.len()
    }

    /// Whether it has no frame.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.replies.is_empty()
    }

    /// Adds a batch frame.
    pub fn batch(&mut self, shard: ShardNumber, entry: IndexEntry) -> Result<(), IndexFull> {
        if self.room() == 0 {
            return Err(IndexFull);
        }
        self.entries.push((shard, entry));
        Ok(())
    }

    /// Adds a reply frame.
    pub fn reply(&mut self, entry: ReplyEntry) -> Result<(), IndexFull> {
        if self.room() == 0 {
            return Err(IndexFull);
        }
        self.replies.push(entry);
        Ok(())
    }

    /// Adds a frame that stands at `offset` in a segment (of less than 4 GiB).
    pub fn frame(&mut self, header: &FrameHeader, offset: u64) -> Result<(), IndexFull> {
        match header.kind {
            FrameKind::Batch => self.batch(header.shard, IndexEntry::of(header, offset)),
            FrameKind::Reply => self.reply(ReplyEntry::of(header, offset)),
        }
    }

    /// Writes the index of `segment` to `path`: once this returns, it is there after a crash as well, in the place of
    /// whatever has the name. Until then nothing has it that is not whole.
    pub fn write(mut self, disk: &dyn Disk, path: &Path, segment: IndexedSegment) -> io::Result<()> {
        self.entries.sort_unstable_by_key(|(shard, entry)| (*shard, entry.first, entry.offset));
        let unnamed = FileName::unnamed(path);
        match disk.remove(&unnamed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&unnamed)?;
        let written = self.write_to(&*file, segment).and_then(|()| file.sync_data());
        let named = written.and_then(|()| {
            crash_point!("log.index.rename");
            disk.rename(&unnamed, path)
        });
        if let Err(error) = named {
            // The first error is the one that matters; a file that cannot be removed is at the next start.
            let _ = disk.remove(&unnamed);
            return Err(error);
        }
        disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
    }

    fn write_to(&self, file: &dyn DiskFile, segment: IndexedSegment) -> io::Result<()> {
        let directory = self.directory();
        let mut rows = Vec::with_capacity(directory.len() * ShardRange::BYTES);
        directory.iter().for_each(|range| range.put(&mut rows));
        // All counts are at most `INDEX_ENTRIES_MAX`.
        let header = Header {
            segment,
            shards: directory.len() as u32,
            entries: self.entries.len() as u32,
            replies: self.replies.len() as u32,
            directory_checksum: xxh3_64(&rows),
        };
        let mut out = Out { file, offset: 0, buffer: Vec::with_capacity(WRITE_BYTES) };
        header.put(&mut out.buffer);
        out.buffer.append(&mut rows);
        for block in self.entries.chunks(BLOCK_ROWS) {
            put_block(block.iter().map(|(_, entry)| entry), &mut out.buffer);
            out.flush_above(WRITE_BYTES)?;
        }
        for block in self.replies.chunks(BLOCK_ROWS) {
            put_block(block.iter(), &mut out.buffer);
            out.flush_above(WRITE_BYTES)?;
        }
        out.flush_above(0)
    }

    /// A row a shard, from the sorted entries.
    fn directory(&self) -> Vec<ShardRange> {
        let mut first_entry = 0;
        let mut directory = Vec::new();
        for entries in self.entries.chunk_by(|(left, _), (right, _)| left == right) {
            let Some((shard, first)) = entries.first() else { continue };
            let start = ShardRange {
                shard: *shard,
                first_entry,
                entries: entries.len() as u32,
                first: first.first,
                end: first.first,
                payload_bytes: 0,
                arrival_min: first.arrival,
                arrival_max: first.arrival,
            };
            first_entry += start.entries;
            directory.push(entries.iter().fold(start, |range, (_, entry)| ShardRange {
                end: range.end.max(entry.end()),
                payload_bytes: range.payload_bytes + u64::from(entry.payload_bytes),
                arrival_min: range.arrival_min.min(entry.arrival),
                arrival_max: range.arrival_max.max(entry.arrival),
                ..range
            }));
        }
        directory
    }
}

/// A file that is written from its start.
struct Out<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    buffer: Vec<u8>,
}

impl Out<'_> {
    fn flush_above(&mut self, bytes: usize) -> io::Result<()> {
        if self.buffer.len() > bytes {
            self.file.write_all_at(&self.buffer, self.offset)?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
