//! Reads the index of a segment: header and directory at once, everything else as it is needed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::rows::{BLOCK_ROWS, CHECKSUM_BYTES, HEADER_BYTES, Header, HeaderError, Row, get_block};
use super::{IndexEntry, IndexError, IndexedSegment, Places, ReplyEntry, ShardRange};
use crate::config::limits;
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::{Disk, DiskFile};
use crate::stream::wal::frame::ShardNumber;

/// An index that is open. It has its directory in memory, 56 bytes a shard.
#[derive(Debug)]
pub struct IndexReader {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Header,
    directory: Box<[ShardRange]>,
}

impl IndexReader {
    /// Opens the index at `path` and verifies its size, header and directory.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, IndexError> {
        let io_failed = |source| IndexError::Io { path: path.to_owned(), source };
        let damaged = |offset, what| IndexError::Damaged { path: path.to_owned(), offset, what };
        let file = disk.open(path).map_err(io_failed)?;
        let bytes = file.len().map_err(io_failed)?;
        if bytes < HEADER_BYTES as u64 {
            return Err(damaged(0, "it is shorter than its header"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(io_failed)?;
        let header = Header::get(&header).map_err(|error| match error {
            HeaderError::Foreign => IndexError::Foreign { path: path.to_owned() },
            HeaderError::Damaged => damaged(0, "its header has a wrong checksum"),
        })?;
        // Bounds what is read below.
        if u64::from(header.entries) + u64::from(header.replies) > limits::INDEX_ENTRIES_MAX as u64
            || header.shards > header.entries
            || header.places().2 != bytes
        {
            return Err(damaged(0, "its size is not what its header says"));
        }
        let mut rows = vec![0; header.shards as usize * ShardRange::BYTES];
        file.read_exact_at(&mut rows, HEADER_BYTES as u64).map_err(io_failed)?;
        if xxh3_64(&rows) != header.directory_checksum {
            return Err(damaged(HEADER_BYTES as u64, "its directory has a wrong checksum"));
        }
        let directory = rows.chunks_exact(ShardRange::BYTES).map(ShardRange::get).collect();
        Ok(Self { path: path.to_owned(), file, header, directory })
    }

    /// The segment.
    pub fn segment(&self) -> &IndexedSegment {
        &self.header.segment
    }

    /// What it has, by shard, in the order of their numbers.
    pub fn directory(&self) -> &[ShardRange] {
        &self.directory
    }

    /// What it has for `shard`.
    pub fn shard(&self, shard: ShardNumber) -> Option<&ShardRange> {
        let index = self.directory.binary_search_by_key(&shard, |range| range.shard).ok()?;
        self.directory.get(index)
    }

    /// Position, among the entries of `shard`, of the one that holds `from`, or of the next one; `None` if there is
    /// none. Reads one block for each halving of the blocks that have entries of the shard.
    pub fn find(&self, shard: ShardNumber, from: SequenceNumber) -> Result<Option<u32>, IndexError> {
        let Some(range) = self.shard(shard).filter(|range| from < range.end) else { return Ok(None) };
        let (first, end) = (range.first_entry, range.first_entry.saturating_add(range.entries));
        // The first entry that ends behind `from` is one from `low` on, and `high` at the latest.
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let block = middle / BLOCK_ROWS as u32;
            let begin = low.max(block * BLOCK_ROWS as u32);
            let rows: Vec<IndexEntry> =
                self.rows(self.entry_table(), begin, self.behind(block).min(high) - begin)?;
            let before = rows.partition_point(|entry| entry.end() <= from) as u32;
            match before {
                0 => high = begin,
                _ if before as usize == rows.len() => low = begin + before,
                _ => (low, high) = (begin + before, begin + before),
            }
        }
        Ok((low < end).then(|| low - first))
    }

    fn entry_table(&self) -> Table {
        Table { at: self.header.places().0, rows: self.header.entries }
    }

    /// The first row behind a block.
    fn behind(&self, block: u32) -> u32 {
        (block + 1).saturating_mul(BLOCK_ROWS as u32)
    }

    /// The entries of `shard` from `position` on, at most `max`; none behind the last.
    pub fn entries(
        &self,
        shard: ShardNumber,
        position: u32,
        max: usize,
    ) -> Result<Vec<IndexEntry>, IndexError> {
        let Some(range) = self.shard(shard) else { return Ok(Vec::new()) };
        let left = range.entries.saturating_sub(position);
        let count = u32::try_from(max).map_or(left, |max| max.min(left));
        self.rows(self.entry_table(), range.first_entry.saturating_add(position), count)
    }

    /// Replies that it has.
    pub fn reply_count(&self) -> u32 {
        self.header.replies
    }

    /// The replies from `position` on, at most `max`; none behind the last.
    pub fn replies(&self, position: u32, max: usize) -> Result<Vec<ReplyEntry>, IndexError> {
        let left = self.header.replies.saturating_sub(position);
        let count = u32::try_from(max).map_or(left, |max| max.min(left));
        let table = Table { at: self.header.places().1, rows: self.header.replies };
        self.rows(table, position, count)
    }

    /// `count` rows from the one at `first` on, fewer at the table's end, from as many verified blocks as it takes.
    fn rows<R: Row>(&self, table: Table, first: u32, count: u32) -> Result<Vec<R>, IndexError> {
        let end = first.saturating_add(count).min(table.rows);
        let mut found = Vec::with_capacity(end.saturating_sub(first) as usize);
        let mut block = Vec::new();
        let mut next = first;
        while next < end {
            let index = next / BLOCK_ROWS as u32;
            let block_first = index * BLOCK_ROWS as u32;
            let rows = (table.rows - block_first).min(BLOCK_ROWS as u32);
            let offset = table.at + u64::from(index) * (BLOCK_ROWS * R::BYTES + CHECKSUM_BYTES) as u64;
            block.resize(rows as usize * R::BYTES + CHECKSUM_BYTES, 0);
            self.file.read_exact_at(&mut block, offset).map_err(|source| self.unreadable(source))?;
            let what = "a block of it has a wrong checksum";
            let all = get_block(&block).ok_or_else(|| IndexError::Damaged {
                path: self.path.clone(),
                offset,
                what,
            })?;
            found.extend(all.skip((next - block_first) as usize).take((end - next) as usize));
            next = block_first + rows;
        }
        Ok(found)
    }

    fn unreadable(&self, source: io::Error) -> IndexError {
        IndexError::Io { path: self.path.clone(), source }
    }
}

impl Places for IndexReader {
    fn each_from(
        &self,
        shard: ShardNumber,
        from: SequenceNumber,
        take: &mut dyn FnMut(IndexEntry) -> bool,
    ) -> Result<(), IndexError> {
        let (Some(range), Some(mut position)) = (self.shard(shard), self.find(shard, from)?) else {
            return Ok(());
        };
        while position < range.entries {
            // To the end of its block.
            let row = range.first_entry.saturating_add(position);
            let count = self.behind(row / BLOCK_ROWS as u32) - row;
            if !self.entries(shard, position, count as usize)?.into_iter().all(&mut *take) {
                break;
            }
            position += count;
        }
        Ok(())
    }

    fn since(&self, shard: ShardNumber, time: UnixMicros) -> Result<Option<SequenceNumber>, IndexError> {
        let Some(range) = self.shard(shard).filter(|range| range.arrival_max >= time) else {
            return Ok(None);
        };
        // One after the other: requests need not be appended in the order in which they arrived.
        for position in (0..range.entries).step_by(BLOCK_ROWS) {
            let entries = self.entries(shard, position, BLOCK_ROWS)?;
            if let Some(entry) = entries.iter().find(|entry| entry.has_record_since(time)) {
                return Ok(Some(entry.first));
            }
        }
        Ok(None)
    }

    fn is_in_memory(&self) -> bool {
        false
    }
}

/// Where rows stand in blocks.
#[derive(Clone, Copy)]
struct Table {
    at: u64,
    rows: u32,
}
