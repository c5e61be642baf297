//! Records as text: the JSON object of a record, and what pages and events make of it.
//!
//! What is written is paid for first, and what was paid comes back when the last holder of the text is gone: with a
//! client that does not read, so that such clients cannot hold more than the taps' account has.

use std::fmt::Write as _;
use std::io::Write;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};

use super::cursor::Cursor;
use super::data;
use super::found::{Found, Part};
use crate::record::{RecordSpans, SequenceNumber, ShardId, Source};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Bytes of a shard's position in a cursor: ten digits, a dash, twenty digits and a separator.
const POSITION_BYTES: u64 = 32;

/// Bytes of a shard in the list of those that a worker has: `"shardId-000000000000",`.
const SHARD_BYTES: u64 = 24;

/// Bytes of what stands around the records and the cursor of a page.
const PAGE_BYTES: u64 = 80;

/// Bytes of what stands around a record and the cursor of an event.
const EVENT_BYTES: u64 = 40;

/// Shards up to which every event carries a cursor of its own. The cursor names every shard, about twenty bytes each: of
/// sixteen it is as large as a usual record.
pub const EVENT_CURSOR_SHARDS_MAX: usize = 16;

/// A page: `{"records":[…],"next":"CURSOR","skipped":0}`. `pay` is asked for its bytes before it is written; a page
/// without records costs nothing, so that waiting readers are never refused.
///
/// # Errors
/// What `pay` says.
pub fn page<E>(found: &Found, pay: impl FnOnce(u64) -> Result<Permit, E>) -> Result<Bytes, E> {
    if found.records == 0 {
        return Ok(write_page(found, 0).into());
    }
    let shards = found.shards.as_ref().map_or(0, Vec::len) as u64;
    let bytes =
        found.bytes + PAGE_BYTES + POSITION_BYTES * found.next.positions.len() as u64 + SHARD_BYTES * shards;
    let permit = pay(bytes)?;
    Ok(permit.cover(write_page(found, bytes)))
}

// Writing to a vector cannot fail.
fn write_page(found: &Found, capacity: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(capacity as usize);
    text.extend_from_slice(b"{\"records\":[");
    let mut separator = "";
    for part in &found.parts {
        let arrival = rfc3339(part.slice.batch.source.arrival);
        for (number, record) in part.shown() {
            text.extend_from_slice(separator.as_bytes());
            separator = ",";
            let place = Place { shard: part.shard, number, arrival: &arrival };
            write_record(&mut text, place, &part.slice.batch.source, record);
        }
    }
    let _ = write!(text, "],\"next\":\"{}\",\"skipped\":{}", found.next, found.skipped);
    if let Some(shards) = &found.shards {
        text.extend_from_slice(b",\"shards\":");
        write_shards(&mut text, shards);
    }
    text.push(b'}');
    text
}

/// A list of shards. Writing to a vector cannot fail.
pub fn write_shards(text: &mut Vec<u8>, shards: &[ShardId]) {
    text.push(b'[');
    for (index, shard) in shards.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let _ = write!(text, "{separator}\"{shard}\"");
    }
    text.push(b']');
}

/// Server-sent events, one a record, for a reader that stood at `start`. The id of an event is the cursor from which to
/// read on behind exactly this record; with more than [`EVENT_CURSOR_SHARDS_MAX`] shards only the last id stands there,
/// behind all of them.
///
/// # Errors
/// What `pay` says.
pub fn events<E>(
    found: &Found,
    start: &Cursor,
    pay: impl FnOnce(u64) -> Result<Permit, E>,
) -> Result<Bytes, E> {
    let shards = start.positions.len();
    let cursor_bytes = POSITION_BYTES * shards as u64;
    let with_ids = shards <= EVENT_CURSOR_SHARDS_MAX;
    let event_bytes = EVENT_BYTES + if with_ids { cursor_bytes } else { 0 };
    let bytes = found.bytes + found.records as u64 * event_bytes + EVENT_BYTES + cursor_bytes;
    let permit = pay(bytes)?;
    let mut text = Vec::with_capacity(bytes as usize);
    let mut at = start.clone();
    for part in &found.parts {
        write_events(&mut text, part, with_ids.then_some(&at));
        at.move_to(part.shard, SequenceNumber(part.slice.first.0 + part.len as u64));
    }
    write_id(&mut text, &found.next);
    text.push(b'\n');
    Ok(permit.cover(text))
}

fn write_events(text: &mut Vec<u8>, part: &Part, at: Option<&Cursor>) {
    let source = &part.slice.batch.source;
    let arrival = rfc3339(source.arrival);
    // Only the position in the shard at hand differs from id to id.
    let (mut before, mut behind) = (String::new(), String::new());
    for (shard, position) in at.iter().flat_map(|at| &at.positions) {
        // Writing to a string cannot fail.
        let _ = match shard.cmp(&part.shard) {
            std::cmp::Ordering::Less => write!(before, "{}-{position}_", shard.0),
            std::cmp::Ordering::Equal => write!(before, "{}-", shard.0),
            std::cmp::Ordering::Greater => write!(behind, "_{}-{position}", shard.0),
        };
    }
    let mut digits = itoa::Buffer::new();
    for (number, record) in part.shown() {
        if at.is_some() {
            text.extend_from_slice(b"id: ");
            text.extend_from_slice(before.as_bytes());
            text.extend_from_slice(digits.format(number.0 + 1).as_bytes());
            text.extend_from_slice(behind.as_bytes());
            text.push(b'\n');
        }
        text.extend_from_slice(b"event: record\ndata: ");
        let start = text.len();
        write_record(text, Place { shard: part.shard, number, arrival: &arrival }, source, record);
        // A record may stand on several lines, where an event would end. In JSON a line's end is white space.
        for byte in &mut text[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        text.extend_from_slice(b"\n\n");
    }
}

/// The line that tells a client of events from where to read on. Writing to a vector cannot fail.
pub fn write_id(text: &mut Vec<u8>, cursor: &Cursor) {
    let _ = writeln!(text, "id: {cursor}");
}

/// Where a record stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    shard: ShardId,
    number: SequenceNumber,
    arrival: &'a str,
}

/// The JSON object of a record.
fn write_record(text: &mut Vec<u8>, place: Place<'_>, source: &Source, record: &RecordSpans) {
    let Place { shard, number, arrival } = place;
    let _ = write!(
        text,
        "{{\"shard\":\"{shard}\",\"sequence_number\":\"{number}\",\"arrival_time\":\"{arrival}\",\
         \"partition_key\":"
    );
    let _ = serde_json::to_writer(&mut *text, &String::from_utf8_lossy(source.bytes(record.key)));
    text.push(b',');
    data::write(source, record.payload, text);
    text.push(b'}');
}

fn rfc3339(time: UnixMicros) -> String {
    DateTime::from_timestamp_micros(time.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}
