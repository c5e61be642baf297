//! A frame → records or a reply.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{
    FLAG_REFUSED, FLAG_SAME_KEY, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, KEY_ABSENT,
    KIND_BATCH, KIND_REPLY, Reply, TABLE_ROW_BYTES,
};
use crate::record::{Batch, RecordSpans, SequenceNumber, Source, Span};
use crate::runtime::budget::Permit;
use crate::stream::CapturePlan;

/// Reads back a batch and the number of its first record. `frame` is the whole frame and nothing else; the batch's
/// records point into it, no byte is copied. `permit` pays for it; the captured fields are those of `captures`.
///
/// Beside the frame, it holds 24 bytes a record and 8 bytes a captured field. Every byte is checked first.
pub fn decode_batch(
    frame: Bytes,
    permit: Permit,
    captures: &CapturePlan,
) -> Result<(SequenceNumber, Batch), FrameError> {
    let header = FrameHeader::verify(&frame)?;
    if header.kind != FrameKind::Batch {
        return Err(FrameError::Kind(KIND_REPLY));
    }
    let table = frame.slice(FRAME_HEADER_BYTES..header.payloads_at());
    let records = records_of(&table, &header)?;
    let body = frame.slice(header.payloads_at()..header.side_at());
    let side = frame.slice(header.side_at()..);
    let mut found = Vec::new();
    captures.capture(&body, &records, &mut found);
    let source = Arc::new(Source { body, content: header.content, side, arrival: header.arrival, permit });
    Ok((header.first, Batch { source, records, captures: found.into_boxed_slice() }))
}

/// The spans of the records, in the source that payloads and side region form.
fn records_of(table: &[u8], header: &FrameHeader) -> Result<Box<[RecordSpans]>, FrameError> {
    let (payloads_end, side_end) = (header.payload_bytes, header.payload_bytes + header.side_bytes);
    let (mut payload_at, mut side_at) = (0, payloads_end);
    let mut key = None;
    let mut records = Vec::with_capacity(header.count as usize);
    for mut row in table.chunks_exact(TABLE_ROW_BYTES) {
        let payload = span(&mut payload_at, row.get_u32_le(), payloads_end)?;
        let refusal_bytes = row.get_u32_le();
        let key_bytes = row.get_u16_le();
        let flags = row.get_u16_le();
        let refusal = match flags & FLAG_REFUSED {
            0 if refusal_bytes == 0 => Span::ABSENT,
            0 => return Err(FrameError::Table),
            _ => span(&mut side_at, refusal_bytes, side_end)?,
        };
        key = Some(match (flags & FLAG_SAME_KEY, key, key_bytes) {
            (0, _, KEY_ABSENT) => Span::ABSENT,
            (0, _, bytes) => span(&mut side_at, u32::from(bytes), side_end)?,
            (_, Some(before), bytes) if Span::len(before) == usize::from(bytes) && bytes > 0 => before,
            _ => return Err(FrameError::Table),
        });
        if flags & !(FLAG_REFUSED | FLAG_SAME_KEY) != 0 {
            return Err(FrameError::Table);
        }
        records.push(RecordSpans { payload, key: key.unwrap_or(Span::ABSENT), refusal });
    }
    if payload_at != payloads_end || side_at != side_end {
        return Err(FrameError::Table);
    }
    Ok(records.into_boxed_slice())
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
