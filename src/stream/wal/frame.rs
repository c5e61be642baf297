//! Frames and commits as bytes. The layout is described in [`super`].

mod decode;
mod encode;

#[cfg(test)]
mod tests;

use bytes::Buf;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Batch, Content, SequenceNumber};
use crate::runtime::clock::UnixMicros;

pub use decode::{decode_batch, decode_reply};
pub use encode::{BatchSizes, CommitEncoder, EncodeError, FrameLocation, reply_bytes};

pub(super) use decode::reply_of;

/// Bytes of a commit's header.
pub const COMMIT_HEADER_BYTES: usize = 40;
/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 48;
/// Bytes of a record in a batch's record table.
const TABLE_ROW_BYTES: usize = 12;

const COMMIT_MAGIC: u32 = u32::from_le_bytes(*b"FBCM");
/// The header up to its checksum.
const COMMIT_FIELDS_BYTES: usize = 32;
/// Where a frame's checksum ends and what it covers begins.
const CHECKSUM_BYTES: usize = 8;

const KIND_BATCH: u8 = 1;
const KIND_REPLY: u8 = 2;

const CONTENT_JSON: u8 = 0;
const CONTENT_ANY: u8 = 1;

/// `key` of a record that has none.
const KEY_ABSENT: u16 = 0xffff;
/// The key is that of the record before.
const FLAG_SAME_KEY: u16 = 1;
/// There is a refusal, perhaps an empty one.
const FLAG_REFUSED: u16 = 2;

/// The payload is an aggregate: the record is its first.
const FLAG_HEAD: u16 = 4;
/// A further record of the aggregate that is the last payload.
const FLAG_MEMBER: u16 = 8;

/// Number of a shard in the node's catalog: unlike [`crate::record::ShardId`], unique over all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(pub u32);

/// What becomes a frame.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// Records that one request brought to one shard.
    Batch {
        /// The shard.
        shard: ShardNumber,
        /// Number of the first record.
        first: SequenceNumber,
        /// The records. Their captured fields are not written.
        batch: &'a Batch,
        /// Of the batch.
        sizes: BatchSizes,
    },
    /// What a request with an idempotency key was answered.
    Reply(Reply<'a>),
}

/// What a request with an idempotency key was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Number of the stream in the node's catalog.
    pub stream: u32,
    /// When the request was complete.
    pub arrival: UnixMicros,
    /// The idempotency key.
    pub key: &'a [u8],
    /// Tells the request from another one with the same key.
    pub fingerprint: u64,
    /// Status and body, as whoever answers requests writes them.
    pub reply: &'a [u8],
}

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// [`Entry::Batch`].
    Batch,
    /// [`Entry::Reply`].
    Reply,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// XXH3-64 of the rest of the frame.
    pub checksum: u64,
    /// Bytes of the whole frame.
    pub bytes: u32,
    /// What it is about.
    pub kind: FrameKind,
    /// What is known of the payloads.
    pub content: Content,
    /// The shard; of a reply, the stream's number.
    pub shard: ShardNumber,
    /// Records; 0 for a reply.
    pub count: u32,
    /// Number of the first record; of a reply, the fingerprint.
    pub first: SequenceNumber,
    /// When the request was complete.
    pub arrival: UnixMicros,
    /// Bytes of all payloads.
    pub payload_bytes: u64,
    /// Bytes of all refusals and keys.
    pub side_bytes: u64,
}

/// Why bytes are no frame. It is damage, or an interrupted write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// There are fewer or more bytes than the frame says.
    #[error("a frame of {needed} bytes in {found} bytes")]
    Size {
        /// What the frame says, or what its header needs.
        needed: u64,
        /// What there is.
        found: u64,
    },
    /// The kind is none of this version, or not the one that was asked for.
    #[error("a frame of kind {0}, which is not expected here")]
    Kind(u8),
    /// The lengths in the header contradict each other.
    #[error("lengths in a frame's header that do not fit together")]
    Header,
    /// The content is not what was written.
    #[error("a frame with a wrong checksum")]
    Checksum,
    /// The record table contradicts the header.
    #[error("a frame whose record table does not fit its header")]
    Table,
}

impl FrameHeader {
    /// Reads a header from the first bytes of a frame. Its fields fit together; the checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let found = bytes.len() as u64;
        let mut fields = bytes
            .get(..FRAME_HEADER_BYTES)
            .ok_or(FrameError::Size { needed: FRAME_HEADER_BYTES as u64, found })?;
        let checksum = fields.get_u64_le();
        let bytes = fields.get_u32_le();
        let kind = match fields.get_u8() {
            KIND_BATCH => FrameKind::Batch,
            KIND_REPLY => FrameKind::Reply,
            other => return Err(FrameError::Kind(other)),
        };
        let content = match (fields.get_u8(), kind) {
            (CONTENT_JSON, _) => Content::Json,
            (CONTENT_ANY, FrameKind::Batch) => Content::Any,
            _ => return Err(FrameError::Header),
        };
        let reserved = fields.get_u16_le();
        let header = Self {
            checksum,
            bytes,
            kind,
            content,
            shard: ShardNumber(fields.get_u32_le()),
            count: fields.get_u32_le(),
            first: SequenceNumber(fields.get_u64_le()),
            arrival: UnixMicros(fields.get_i64_le()),
            payload_bytes: u64::from(fields.get_u32_le()),
            side_bytes: u64::from(fields.get_u32_le()),
        };
        let numbers_fit = match kind {
            FrameKind::Batch => header.first.0.checked_add(u64::from(header.count)).is_some(),
            FrameKind::Reply => header.count == 0,
        };
        if reserved != 0 || !numbers_fit || header.parts_bytes() != u64::from(bytes) {
            return Err(FrameError::Header);
        }
        Ok(header)
    }

    /// Reads a header from `frame`, which is the whole frame and nothing else, and checks every byte of it.
    pub fn verify(frame: &[u8]) -> Result<Self, FrameError> {
        let header = Self::parse(frame)?;
        if frame.len() as u64 != u64::from(header.bytes) {
            return Err(FrameError::Size { needed: u64::from(header.bytes), found: frame.len() as u64 });
        }
        if checksum_of(frame) != header.checksum {
            return Err(FrameError::Checksum);
        }
        Ok(header)
    }

    /// The number behind its last record.
    pub fn end(&self) -> SequenceNumber {
        SequenceNumber(self.first.0.saturating_add(u64::from(self.count)))
    }

    fn parts_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64
            + u64::from(self.count) * TABLE_ROW_BYTES as u64
            + self.payload_bytes
            + self.side_bytes
    }

    /// Byte offset of the payloads in the frame.
    fn payloads_at(&self) -> usize {
        FRAME_HEADER_BYTES + self.count as usize * TABLE_ROW_BYTES
    }

    /// Byte offset of the side region in the frame.
    fn side_at(&self) -> usize {
        self.payloads_at() + self.payload_bytes as usize
    }
}

/// The checksum that `frame` should have.
fn checksum_of(frame: &[u8]) -> u64 {
    xxh3_64(frame.get(CHECKSUM_BYTES..).unwrap_or_default())
}

/// The header of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitHeader {
    pub(super) bytes: u32,
    pub(super) salt: u64,
    pub(super) number: u64,
    pub(super) frames: u32,
    pub(super) checksum: u64,
}

impl CommitHeader {
    /// Offset of the salt in the header.
    pub(super) const SALT_AT: usize = 8;
    /// Where its number stands.
    pub(super) const NUMBER_AT: usize = 16;

    /// Reads a header; `None` if none begins there.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.get(..COMMIT_HEADER_BYTES)?;
        let magic = fields.get_u32_le();
        let bytes = fields.get_u32_le();
        let salt = fields.get_u64_le();
        let number = fields.get_u64_le();
        let frames = fields.get_u32_le();
        let reserved = fields.get_u32_le();
        let checksum = fields.get_u64_le();
        let fits =
            COMMIT_HEADER_BYTES as u64 + u64::from(frames) * FRAME_HEADER_BYTES as u64 <= u64::from(bytes);
        (magic == COMMIT_MAGIC && reserved == 0 && fits).then_some(Self {
            bytes,
            salt,
            number,
            frames,
            checksum,
        })
    }

    /// The bytes that the checksum covers behind those of the frames.
    pub(super) fn fields(&self) -> [u8; COMMIT_FIELDS_BYTES] {
        let mut fields = [0; COMMIT_FIELDS_BYTES];
        fields[..4].copy_from_slice(&COMMIT_MAGIC.to_le_bytes());
        fields[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        fields[8..16].copy_from_slice(&self.salt.to_le_bytes());
        fields[16..24].copy_from_slice(&self.number.to_le_bytes());
        fields[24..28].copy_from_slice(&self.frames.to_le_bytes());
        fields
    }
}
