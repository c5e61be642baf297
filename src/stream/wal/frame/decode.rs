//! A frame → records or a reply.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{
    FLAG_HEAD, FLAG_MEMBER, FLAG_REFUSED, FLAG_SAME_KEY, FRAME_HEADER_BYTES, FrameError, FrameHeader,
    FrameKind, KEY_ABSENT, KIND_BATCH, KIND_REPLY, Reply, TABLE_ROW_BYTES,
};
use crate::record::{Aggregate, Batch, RecordSpans, SequenceNumber, Source, Span, aggregate};
use crate::runtime::budget::Permit;
use crate::stream::CapturePlan;

/// Reads back a batch and the number of its first record. `frame` is the whole frame and nothing else; the batch's
/// records point into it, no byte is copied. `permit` pays for it; the captured fields are those of `captures`.
///
/// Beside the frame, it holds 24 bytes a record, 8 bytes a captured field and 24 bytes an aggregate. Every byte is checked first.
pub fn decode_batch(
    frame: Bytes,
    mut permit: Permit,
    captures: &CapturePlan,
) -> Result<(SequenceNumber, Batch), FrameError> {
    let header = FrameHeader::verify(&frame)?;
    if header.kind != FrameKind::Batch {
        return Err(FrameError::Kind(KIND_REPLY));
    }
    let table = frame.slice(FRAME_HEADER_BYTES..header.payloads_at());
    let body = frame.slice(header.payloads_at()..header.side_at());
    let (records, aggregates) = Rows::new(&body, &header).read(&table)?;
    let side = frame.slice(header.side_at()..);
    let mut found = Vec::new();
    captures.capture(&body, &records, &mut found);
    if !aggregates.is_empty() {
        permit.set(permit.bytes() + size_of_val(&*aggregates) as u64);
    }
    let source = Arc::new(Source { body, content: header.content, side, arrival: header.arrival, permit });
    Ok((header.first, Batch { source, records, captures: found.into_boxed_slice(), aggregates }))
}

/// Rows of the record table → spans in the source that payloads and side region form.
struct Rows<'a> {
    body: &'a [u8],
    payload_at: u64,
    side_at: u64,
    side_end: u64,
    records: Vec<RecordSpans>,
    aggregates: Vec<Aggregate>,
    /// The key of the row before.
    key: Option<Span>,
    /// Records of the last aggregate, of which the first `met` had their rows.
    members: Vec<RecordSpans>,
    met: usize,
}

/// The records of a batch, and which of them came together.
type Found = (Box<[RecordSpans]>, Box<[Aggregate]>);

impl<'a> Rows<'a> {
    fn new(body: &'a [u8], header: &FrameHeader) -> Self {
        Self {
            body,
            payload_at: 0,
            side_at: header.payload_bytes,
            side_end: header.payload_bytes + header.side_bytes,
            records: Vec::with_capacity(header.count as usize),
            aggregates: Vec::new(),
            key: None,
            members: Vec::new(),
            met: 0,
        }
    }

    fn read(mut self, table: &[u8]) -> Result<Found, FrameError> {
        table.chunks_exact(TABLE_ROW_BYTES).try_for_each(|row| self.row(row))?;
        if self.payload_at != self.body.len() as u64
            || self.side_at != self.side_end
            || self.met != self.members.len()
        {
            return Err(FrameError::Table);
        }
        Ok((self.records.into_boxed_slice(), self.aggregates.into_boxed_slice()))
    }

    fn row(&mut self, mut row: &[u8]) -> Result<(), FrameError> {
        let payload = span(&mut self.payload_at, row.get_u32_le(), self.body.len() as u64)?;
        let refusal_bytes = row.get_u32_le();
        let key_bytes = row.get_u16_le();
        let flags = row.get_u16_le();
        let refusal = match flags & FLAG_REFUSED {
            0 if refusal_bytes == 0 => Span::ABSENT,
            0 => return Err(FrameError::Table),
            _ => span(&mut self.side_at, refusal_bytes, self.side_end)?,
        };
        let key = match (flags & FLAG_SAME_KEY, self.key, key_bytes) {
            (0, _, KEY_ABSENT) => Span::ABSENT,
            (0, _, bytes) => span(&mut self.side_at, u32::from(bytes), self.side_end)?,
            (_, Some(before), bytes) if before.len() == usize::from(bytes) && bytes > 0 => before,
            _ => return Err(FrameError::Table),
        };
        self.key = (flags & FLAG_MEMBER == 0).then_some(key);
        let spans = RecordSpans { payload, key, refusal };
        match flags & !(FLAG_REFUSED | FLAG_SAME_KEY) {
            0 if self.met == self.members.len() => self.records.push(spans),
            FLAG_HEAD if self.met == self.members.len() => self.head(spans)?,
            FLAG_MEMBER if payload.is_empty() && !key.is_present() => self.member(refusal)?,
            _ => return Err(FrameError::Table),
        }
        Ok(())
    }

    /// The first record of an aggregate, whose payload and key `put` has.
    fn head(&mut self, put: RecordSpans) -> Result<(), FrameError> {
        let RecordSpans { payload: blob, key, refusal } = put;
        self.members.clear();
        self.met = 0;
        let count = aggregate::split_again(self.body, blob, &mut self.members).ok_or(FrameError::Table)?;
        // A frame has less than 2³² bytes, and so fewer records.
        let (first, count) = (self.records.len() as u32, count as u32);
        self.aggregates.push(Aggregate { first, count, blob, key });
        self.member(refusal)
    }

    fn member(&mut self, refusal: Span) -> Result<(), FrameError> {
        let member = *self.members.get(self.met).ok_or(FrameError::Table)?;
        self.records.push(RecordSpans { refusal, ..member });
        self.met += 1;
        Ok(())
    }
}

/// The next `bytes` bytes from `at`, which must end by `end`.
fn span(at: &mut u64, bytes: u32, end: u64) -> Result<Span, FrameError> {
    let start = *at;
    *at += u64::from(bytes);
    if *at > end {
        return Err(FrameError::Table);
    }
    // Both fit: they lie in a frame of less than 4 GiB.
    Ok(Span::new(start as usize, *at as usize))
}

/// Reads back a reply. `frame` is the whole frame and nothing else; every byte is checked first.
pub fn decode_reply(frame: &[u8]) -> Result<Reply<'_>, FrameError> {
    let header = FrameHeader::verify(frame)?;
    reply_of(&header, frame)
}

/// The same for a frame that is verified.
pub(in crate::stream::wal) fn reply_of<'a>(
    header: &FrameHeader,
    frame: &'a [u8],
) -> Result<Reply<'a>, FrameError> {
    if header.kind != FrameKind::Reply {
        return Err(FrameError::Kind(KIND_BATCH));
    }
    let size = FrameError::Size { needed: u64::from(header.bytes), found: frame.len() as u64 };
    Ok(Reply {
        stream: header.shard.0,
        arrival: header.arrival,
        key: frame.get(header.side_at()..).ok_or(size)?,
        fingerprint: header.first.0,
        reply: frame.get(header.payloads_at()..header.side_at()).ok_or(size)?,
    })
}
