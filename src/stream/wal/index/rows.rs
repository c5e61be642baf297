//! The index as bytes.

use bytes::{Buf, BufMut};
use xxhash_rust::xxh3::xxh3_64;

use super::{IndexEntry, IndexedSegment, ReplyEntry, ShardRange};
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::stream::wal::frame::ShardNumber;

const MAGIC: [u8; 8] = *b"FOREBAYI";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 80;
/// The header up to its own checksum.
const FIELDS_BYTES: usize = 72;
/// Rows of a block.
pub(super) const BLOCK_ROWS: usize = 128;
pub(super) const CHECKSUM_BYTES: usize = 8;

/// Something that stands in rows of the same size.
pub(super) trait Row: Sized {
    const BYTES: usize;
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from [`Row::BYTES`] bytes.
    fn get(row: &[u8]) -> Self;
}

impl Row for ShardRange {
    const BYTES: usize = 56;

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.shard.0);
        out.put_u32_le(self.first_entry);
        out.put_u32_le(self.entries);
        out.put_u32_le(0);
        out.put_u64_le(self.first.0);
        out.put_u64_le(self.end.0);
        out.put_u64_le(self.payload_bytes);
        out.put_i64_le(self.arrival_min.0);
        out.put_i64_le(self.arrival_max.0);
    }

    fn get(mut row: &[u8]) -> Self {
        let shard = ShardNumber(row.get_u32_le());
        let first_entry = row.get_u32_le();
        let entries = row.get_u32_le();
        row.advance(4);
        Self {
            shard,
            first_entry,
            entries,
            first: SequenceNumber(row.get_u64_le()),
            end: SequenceNumber(row.get_u64_le()),
            payload_bytes: row.get_u64_le(),
            arrival_min: UnixMicros(row.get_i64_le()),
            arrival_max: UnixMicros(row.get_i64_le()),
        }
    }
}

impl Row for IndexEntry {
    const BYTES: usize = 32;

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.first.0);
        out.put_u32_le(self.count);
        out.put_u32_le(self.offset);
        out.put_u32_le(self.bytes);
        out.put_u32_le(self.payload_bytes);
        out.put_i64_le(self.arrival.0);
    }

    fn get(mut row: &[u8]) -> Self {
        Self {
            first: SequenceNumber(row.get_u64_le()),
            count: row.get_u32_le(),
            offset: row.get_u32_le(),
            bytes: row.get_u32_le(),
            payload_bytes: row.get_u32_le(),
            arrival: UnixMicros(row.get_i64_le()),
        }
    }
}

impl Row for ReplyEntry {
    const BYTES: usize = 24;

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.stream);
        out.put_u32_le(self.bytes);
        out.put_u64_le(self.offset);
        out.put_i64_le(self.arrival.0);
    }

    fn get(mut row: &[u8]) -> Self {
        Self {
            stream: row.get_u32_le(),
            bytes: row.get_u32_le(),
            offset: row.get_u64_le(),
            arrival: UnixMicros(row.get_i64_le()),
        }
    }
}

/// Bytes of `rows` rows of a table with blocks.
pub(super) fn table_bytes<R: Row>(rows: u32) -> u64 {
    let blocks = u64::from(rows).div_ceil(BLOCK_ROWS as u64);
    u64::from(rows) * R::BYTES as u64 + blocks * CHECKSUM_BYTES as u64
}

/// Appends up to [`BLOCK_ROWS`] rows and their checksum.
pub(super) fn put_block<'a, R: Row + 'a>(rows: impl Iterator<Item = &'a R>, out: &mut Vec<u8>) {
    let start = out.len();
    rows.for_each(|row| row.put(out));
    let checksum = xxh3_64(&out[start..]);
    out.put_u64_le(checksum);
}

/// The rows of a block; `None` if its checksum is wrong.
pub(super) fn get_block<R: Row>(block: &[u8]) -> Option<impl Iterator<Item = R>> {
    let (rows, mut checksum) = block.split_at_checked(block.len().checked_sub(CHECKSUM_BYTES)?)?;
    (checksum.get_u64_le() == xxh3_64(rows)).then(|| rows.chunks_exact(R::BYTES).map(R::get))
}

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: IndexedSegment,
    pub(super) shards: u32,
    pub(super) entries: u32,
    pub(super) replies: u32,
    pub(super) directory_checksum: u64,
}

/// Why bytes are no header.
pub(super) enum HeaderError {
    Foreign,
    Damaged,
}

impl Header {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.shards);
        out.put_u32_le(self.entries);
        out.put_u32_le(self.replies);
        out.put_u64_le(self.segment.number);
        out.put_u64_le(self.segment.salt);
        out.put_u64_le(self.segment.valid_end);
        out.put_u64_le(self.segment.next_commit);
        out.put_u64_le(0);
        out.put_u64_le(self.directory_checksum);
        let checksum = xxh3_64(&out[start..]);
        out.put_u64_le(checksum);
    }

    pub(super) fn get(header: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let (mut fields, mut checksum) = header.split_at(FIELDS_BYTES);
        if checksum.get_u64_le() != xxh3_64(fields) {
            return Err(HeaderError::Damaged);
        }
        let mut magic = [0; MAGIC.len()];
        fields.copy_to_slice(&mut magic);
        if magic != MAGIC || fields.get_u32_le() != VERSION {
            return Err(HeaderError::Foreign);
        }
        let (shards, entries, replies) = (fields.get_u32_le(), fields.get_u32_le(), fields.get_u32_le());
        let segment = IndexedSegment {
            number: fields.get_u64_le(),
            salt: fields.get_u64_le(),
            valid_end: fields.get_u64_le(),
            next_commit: fields.get_u64_le(),
        };
        fields.advance(8);
        Ok(Self { segment, shards, entries, replies, directory_checksum: fields.get_u64_le() })
    }

    /// Where the entries begin, the replies, and the end of the file.
    pub(super) fn places(&self) -> (u64, u64, u64) {
        let entries_at = HEADER_BYTES as u64 + u64::from(self.shards) * ShardRange::BYTES as u64;
        let replies_at = entries_at + table_bytes::<IndexEntry>(self.entries);
        (entries_at, replies_at, replies_at + table_bytes::<ReplyEntry>(self.replies))
    }
}
