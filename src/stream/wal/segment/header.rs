//! The header of a segment.

use std::path::Path;

use bytes::{Buf, BufMut};
use xxhash_rust::xxh3::xxh3_64;

use super::SegmentError;
use crate::stream::wal::JournalClass;
use crate::stream::wal::writer::BLOCK_BYTES;

const MAGIC: [u8; 8] = *b"FOREBAYS";
/// The version of segments, commits and frames together.
pub(super) const VERSION: u32 = 1;
const CLASS_FSYNC: u32 = 1;
const CLASS_OS: u32 = 2;
/// `previous_end` where there is none.
const NO_END: u64 = u64::MAX;
const CHECKSUM_AT: usize = BLOCK_BYTES - 8;

/// What commits are written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the segment: commits end there at the latest.
    pub bytes: u64,
    /// Whether the file has held an older segment, whose commits stand behind those of this one; otherwise, zeros do.
    pub leftovers: bool,
}

/// What a segment is put into use as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The journal.
    pub class: JournalClass,
    /// Increases by 1 within the journal.
    pub number: u64,
    /// Random, not 0: tells this segment's commits from bytes that look like one. Nobody outside may know it.
    pub salt: u64,
    /// Number of the first commit.
    pub first_commit: u64,
    /// Where the valid part of the previous segment ends, in bytes; `None` if there is no previous one, or if that is
    /// not known.
    pub previous_end: Option<u64>,
    /// Id of the node that writes it.
    pub node: [u8; 8],
}

impl SegmentHeader {
    /// A salt for a new segment.
    pub fn new_salt() -> u64 {
        fastrand::u64(1..)
    }

    /// The block that a segment of such a file begins with.
    pub(super) fn encode(&self, space: Space) -> Vec<u8> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut fields = &mut block[..CHECKSUM_AT];
        fields.put_slice(&MAGIC);
        fields.put_u32_le(VERSION);
        fields.put_u32_le(match self.class {
            JournalClass::Fsync => CLASS_FSYNC,
            JournalClass::Os => CLASS_OS,
        });
        fields.put_u64_le(self.number);
        fields.put_u64_le(self.salt);
        fields.put_u64_le(self.first_commit);
        fields.put_u64_le(self.previous_end.unwrap_or(NO_END));
        fields.put_slice(&self.node);
        fields.put_u64_le(space.bytes);
        fields.put_u32_le(u32::from(space.leftovers));
        let checksum = xxh3_64(&block[..CHECKSUM_AT]);
        block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads the first block of the file at `path`, and what the file is like.
    pub(super) fn parse(block: &[u8], path: &Path) -> Result<(Self, Space), SegmentError> {
        let damaged = |what| SegmentError::Damaged { path: path.to_owned(), what };
        let foreign = |what| SegmentError::Foreign { path: path.to_owned(), what };
        let (mut fields, mut checksum) =
            block.split_at_checked(CHECKSUM_AT).ok_or_else(|| damaged("it is cut"))?;
        let expected = xxh3_64(fields);
        let whole = checksum.try_get_u64_le().is_ok_and(|found| found == expected);
        let mut magic = [0; 8];
        fields.copy_to_slice(&mut magic);
        match (magic == MAGIC, whole) {
            (true, true) => {}
            (false, true) => return Err(foreign("it begins with other bytes")),
            (_, false) => return Err(damaged("its checksum is wrong")),
        }
        if fields.get_u32_le() != VERSION {
            return Err(foreign("it has another version: read it with the release that wrote it"));
        }
        let class = match fields.get_u32_le() {
            CLASS_FSYNC => JournalClass::Fsync,
            CLASS_OS => JournalClass::Os,
            _ => return Err(foreign("it belongs to a class that this version does not know")),
        };
        let number = fields.get_u64_le();
        let salt = fields.get_u64_le();
        let first_commit = fields.get_u64_le();
        let previous_end = Some(fields.get_u64_le()).filter(|end| *end != NO_END);
        let mut node = [0; 8];
        fields.copy_to_slice(&mut node);
        let (bytes, leftovers) = (fields.get_u64_le(), fields.get_u32_le() != 0);
        let space = Space { bytes, leftovers };
        Ok((Self { class, number, salt, first_commit, previous_end, node }, space))
    }
}
