//! Entries → a commit.

use bytes::BufMut;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::{
    COMMIT_FIELDS_BYTES, COMMIT_HEADER_BYTES, CONTENT_ANY, CONTENT_JSON, CommitHeader, Entry, FLAG_HEAD,
    FLAG_MEMBER, FLAG_REFUSED, FLAG_SAME_KEY, FRAME_HEADER_BYTES, KEY_ABSENT, KIND_BATCH, KIND_REPLY, Reply,
    ShardNumber, TABLE_ROW_BYTES, checksum_of,
};
use crate::record::{Batch, Content, Put, RecordSpans, SequenceNumber, Span};

/// Where a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLocation {
    /// Bytes from the commit's start.
    pub offset_in_commit: u32,
    /// Bytes of the frame.
    pub bytes: u32,
}

/// Why an entry cannot be written. The commit is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The buffer ends before it, or the commit would have 4 GiB.
    #[error(
        "no room for {needed} bytes in the {left} bytes that are left of a commit: write it in a larger one"
    )]
    NoRoom {
        /// Bytes of the frame or header.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// The edge refuses keys above [`crate::config::limits::PARTITION_KEY_BYTES_MAX`] bytes; the format holds 65,534.
    #[error("a partition key of {0} bytes: the log holds at most 65534")]
    KeyTooLong(usize),
}

impl<'a> Entry<'a> {
    /// The records of `batch`, of which the first one has the number `first`.
    pub fn batch(shard: ShardNumber, first: SequenceNumber, batch: &'a Batch) -> Self {
        Entry::Batch { shard, first, batch, sizes: BatchSizes::of(batch) }
    }

    /// Bytes of its frame, exactly.
    pub fn encoded_bytes(&self) -> u64 {
        match self {
            Entry::Batch { batch, sizes, .. } => sizes.frame_bytes(batch),
            Entry::Reply(reply) => reply_bytes(reply.key, reply.reply.len()),
        }
    }
}

/// Bytes of the frame of a reply of `bytes` bytes to a request with the idempotency key `key`.
pub fn reply_bytes(key: &[u8], bytes: usize) -> u64 {
    (FRAME_HEADER_BYTES + key.len() + bytes) as u64
}

/// Bytes of a batch's regions. To know them, all records have to be looked at: whoever reserves room for a batch keeps
/// them for the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    /// Of the payloads.
    pub payload: u64,
    /// Of keys and refusals.
    pub side: u64,
}

impl BatchSizes {
    /// Those of `batch`.
    pub fn of(batch: &Batch) -> Self {
        let source = &batch.source;
        let mut sizes = Self { payload: 0, side: 0 };
        let mut before = None;
        for put in batch.puts(0) {
            sizes.payload += source.bytes(put.payload).len() as u64;
            for record in records_of(batch, &put) {
                sizes.side += source.bytes(record.refusal).len() as u64;
            }
            if !same_key(batch, before, put.key) {
                sizes.side += source.bytes(put.key).len() as u64;
            }
            before = (put.count == 1).then_some(put.key);
        }
        sizes
    }

    /// Bytes of the frame of `batch`, whose sizes these are, exactly.
    pub fn frame_bytes(&self, batch: &Batch) -> u64 {
        (FRAME_HEADER_BYTES + batch.records.len() * TABLE_ROW_BYTES) as u64 + self.payload + self.side
    }
}

/// The records that a put is.
fn records_of<'a>(batch: &'a Batch, put: &Put) -> &'a [RecordSpans] {
    batch.records.get(put.first..put.first + put.count).unwrap_or_default()
}

/// Whether `key` is that of the row before, and has any bytes.
fn same_key(batch: &Batch, before: Option<Span>, key: Span) -> bool {
    let Some(before) = before else { return false };
    // A request's own key is one span for all its records, so that most of the time no byte is compared.
    !key.is_empty()
        && before.is_present()
        && (before == key || batch.source.bytes(before) == batch.source.bytes(key))
}

/// Writes one commit into a buffer of the caller. Every payload is copied once.
pub struct CommitEncoder<'a> {
    buffer: &'a mut [u8],
    used: usize,
    salt: u64,
    number: u64,
    frames: u32,
    checksums: Box<Xxh3>,
}

impl std::fmt::Debug for CommitEncoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitEncoder")
            .field("number", &self.number)
            .field("frames", &self.frames)
            .field("bytes", &self.used)
            .finish_non_exhaustive()
    }
}

impl<'a> CommitEncoder<'a> {
    /// Begins commit `number` at the start of `buffer`, whose content does not matter, for the segment with `salt`.
    pub fn begin(buffer: &'a mut [u8], salt: u64, number: u64) -> Result<Self, EncodeError> {
        if buffer.len() < COMMIT_HEADER_BYTES {
            return Err(EncodeError::NoRoom {
                needed: COMMIT_HEADER_BYTES as u64,
                left: buffer.len() as u64,
            });
        }
        let checksums = Box::new(Xxh3::new());
        Ok(Self { buffer, used: COMMIT_HEADER_BYTES, salt, number, frames: 0, checksums })
    }

    /// Bytes of the commit so far, its header included.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// Frames so far.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes that a further frame may have.
    pub fn left(&self) -> u64 {
        self.buffer.len().min(u32::MAX as usize).saturating_sub(self.used) as u64
    }

    /// Appends the frame of `entry`. After an error the commit is as before.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<FrameLocation, EncodeError> {
        let (head, size) = Head::of(entry);
        if size > self.left() {
            return Err(EncodeError::NoRoom { needed: size, left: self.left() });
        }
        let start = self.used;
        let end = start + size as usize;
        let frame = &mut self.buffer[start..end];
        head.write(size as u32, frame);
        match entry {
            Entry::Batch { batch, .. } => write_batch(batch, head.payload_bytes as usize, frame)?,
            Entry::Reply(reply) => write_reply(reply, frame),
        }
        let checksum = checksum_of(frame).to_le_bytes();
        frame[..checksum.len()].copy_from_slice(&checksum);
        self.checksums.update(&checksum);
        self.used = end;
        self.frames += 1;
        Ok(FrameLocation { offset_in_commit: start as u32, bytes: size as u32 })
    }

    /// Writes the header. Returns the bytes of the commit.
    pub fn finish(mut self) -> usize {
        let header = CommitHeader {
            bytes: self.used as u32,
            salt: self.salt,
            number: self.number,
            frames: self.frames,
            checksum: 0,
        };
        let fields = header.fields();
        self.checksums.update(&fields);
        self.buffer[..COMMIT_FIELDS_BYTES].copy_from_slice(&fields);
        let checksum = self.checksums.digest().to_le_bytes();
        self.buffer[COMMIT_FIELDS_BYTES..COMMIT_HEADER_BYTES].copy_from_slice(&checksum);
        self.used
    }
}

/// The fields of a frame's header, before its size and checksum are there. Sizes that are too large for their field are
/// refused with the size of the frame, which is larger still.
struct Head {
    kind: u8,
    content: u8,
    owner: u32,
    count: u64,
    first: u64,
    arrival: i64,
    payload_bytes: u64,
    side_bytes: u64,
}

impl Head {
    /// Also the bytes of the frame.
    fn of(entry: &Entry<'_>) -> (Self, u64) {
        let head = match *entry {
            Entry::Batch { shard, first, batch, sizes } => Self {
                kind: KIND_BATCH,
                content: match batch.source.content {
                    Content::Json => CONTENT_JSON,
                    Content::Any => CONTENT_ANY,
                },
                owner: shard.0,
                count: batch.records.len() as u64,
                first: first.0,
                arrival: batch.source.arrival.0,
                payload_bytes: sizes.payload,
                side_bytes: sizes.side,
            },
            Entry::Reply(reply) => Self {
                kind: KIND_REPLY,
                content: CONTENT_JSON,
                owner: reply.stream,
                count: 0,
                first: reply.fingerprint,
                arrival: reply.arrival.0,
                payload_bytes: reply.reply.len() as u64,
                side_bytes: reply.key.len() as u64,
            },
        };
        let size = FRAME_HEADER_BYTES as u64
            + head.count * TABLE_ROW_BYTES as u64
            + head.payload_bytes
            + head.side_bytes;
        (head, size)
    }

    fn write(&self, bytes: u32, mut frame: &mut [u8]) {
        frame.put_u64_le(0);
        frame.put_u32_le(bytes);
        frame.put_u8(self.kind);
        frame.put_u8(self.content);
        frame.put_u16_le(0);
        frame.put_u32_le(self.owner);
        frame.put_u32_le(self.count as u32);
        frame.put_u64_le(self.first);
        frame.put_i64_le(self.arrival);
        frame.put_u32_le(self.payload_bytes as u32);
        frame.put_u32_le(self.side_bytes as u32);
    }
}

fn write_batch(batch: &Batch, payload_bytes: usize, frame: &mut [u8]) -> Result<(), EncodeError> {
    let (_, regions) = frame.split_at_mut(FRAME_HEADER_BYTES);
    let (mut table, regions) = regions.split_at_mut(batch.records.len() * TABLE_ROW_BYTES);
    let (mut payloads, mut side) = regions.split_at_mut(payload_bytes);
    let mut before = None;
    for put in batch.puts(0) {
        let payload = batch.source.bytes(put.payload);
        let key = batch.source.bytes(put.key);
        let same_key = same_key(batch, before, put.key);
        let key_bytes = match u16::try_from(key.len()) {
            _ if !put.key.is_present() => KEY_ABSENT,
            Ok(bytes) if bytes != KEY_ABSENT => bytes,
            _ => return Err(EncodeError::KeyTooLong(key.len())),
        };
        let mut row = Row { payload_bytes: payload.len() as u32, key_bytes, flags: 0 };
        row.flags |= if same_key { FLAG_SAME_KEY } else { 0 };
        row.flags |= if put.is_aggregate { FLAG_HEAD } else { 0 };
        payloads.put_slice(payload);
        for record in records_of(batch, &put) {
            let refusal = row.write(batch, record, &mut table);
            side.put_slice(refusal);
            // The key comes behind the refusal of the first.
            if row.flags & FLAG_MEMBER == 0 && !same_key {
                side.put_slice(key);
            }
            row = Row { payload_bytes: 0, key_bytes: KEY_ABSENT, flags: FLAG_MEMBER };
        }
        before = (put.count == 1).then_some(put.key);
    }
    Ok(())
}

/// A row of the record table, but for its refusal.
struct Row {
    payload_bytes: u32,
    key_bytes: u16,
    flags: u16,
}

impl Row {
    /// Writes it for `record`, whose refusal it returns.
    fn write<'a>(&self, batch: &'a Batch, record: &RecordSpans, table: &mut &mut [u8]) -> &'a [u8] {
        let refusal = batch.source.bytes(record.refusal);
        table.put_u32_le(self.payload_bytes);
        table.put_u32_le(refusal.len() as u32);
        table.put_u16_le(self.key_bytes);
        table.put_u16_le(self.flags | if record.refusal.is_present() { FLAG_REFUSED } else { 0 });
        refusal
    }
}

fn write_reply(reply: &Reply<'_>, frame: &mut [u8]) {
    let (_, mut regions) = frame.split_at_mut(FRAME_HEADER_BYTES);
    regions.put_slice(reply.reply);
    regions.put_slice(reply.key);
}
