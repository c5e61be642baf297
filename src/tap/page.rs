//! `GET /v1/streams/{stream}/records`: a page of records, with a long poll.
//!
//! A page is found first, as slices of the log's batches, then paid for from the ingest share of the byte budget, and
//! only then written, once, into the buffer that goes to the socket. What was paid comes back when that buffer has
//! been sent or the client is gone, so readers that ask and do not read cannot hold more than the share has.
//!
//! A page may have fewer records than were asked for although there are more. If it has none, then there were none.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use http::{Response, StatusCode, request};

use super::cursor::Cursor;
use super::query::{self, Query};
use crate::config::limits::TAP_BYTES_MAX;
use crate::edge::problem::Problem;
use crate::edge::reply::{self, Body};
use crate::edge::{Edge, Intake};
use crate::record::{RecordSpans, SequenceNumber, ShardId};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::runtime::phases::Phase;
use crate::stream::{Payer, Read, ReadError, ReadLimit, Slice, Stream};

/// Bytes of a record in a page beside its payload and its key, with the longest numbers.
const RECORD_BYTES: u64 = 150;

/// Bytes of a shard's position in the cursor: ten digits, a dash, twenty digits and a separator.
const POSITION_BYTES: u64 = 32;

/// Bytes of what stands around records and cursor.
const FRAME_BYTES: u64 = 64;

/// Records found, and where to read on.
#[derive(Debug)]
struct Found {
    parts: Vec<Part>,
    records: usize,
    /// What the records will need in the page, at most.
    bytes: u64,
    /// The same of all records that were looked at, with those that taps do not show. It bounds the work on a page.
    looked_at: u64,
    skipped: u64,
    next: Cursor,
}

/// Records of one batch.
#[derive(Debug)]
struct Part {
    shard: ShardId,
    slice: Slice,
    /// How many of the slice belong to it.
    len: usize,
}

/// Where a look finds records, and who pays if they come from the disk.
#[derive(Clone, Copy)]
struct ShardSource<'a> {
    stream: &'a Arc<Stream>,
    shard: ShardId,
    payer: &'a Payer,
}

/// A page on its way to the client.
struct PaidPage {
    json: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for PaidPage {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// Answers one page. Waits for the first record if the client asked for that.
pub async fn get(edge: &Edge, intake: &Intake, head: &request::Parts) -> Result<Response<Body>, Problem> {
    let query = query::parse(&intake.stream, head.uri.query().unwrap_or_default()).await?;
    let found = find(edge, &intake.stream, query).await?;
    let mut response = reply::json(StatusCode::OK, Vec::new());
    *response.body_mut() = Body::whole(found.into_page(|bytes| edge.admit_tap(bytes))?);
    Ok(response)
}

/// Registers, looks, and sleeps, until there is a record or the time is over.
async fn find(edge: &Edge, stream: &Arc<Stream>, query: Query) -> Result<Found, Problem> {
    let payer = Payer { budget: Arc::clone(&edge.taps_budget), overdraws: false };
    let deadline = tokio::time::sleep(query.wait);
    tokio::pin!(deadline);
    let (mut cursor, mut skipped) = (query.cursor, 0);
    loop {
        let waiter = (!query.wait.is_zero()).then(|| stream.taps().wait());
        let mut found = look(stream, &cursor, query.limit, &payer).await?;
        skipped += found.skipped;
        found.skipped = skipped;
        if found.records > 0 {
            return Ok(found);
        }
        if found.next != cursor {
            // All that was looked at are records that taps do not show; others may stand behind them.
            cursor = found.next;
            tokio::task::yield_now().await;
            continue;
        }
        let Some(waiter) = waiter else { return Ok(found) };
        tokio::select! {
            () = waiter.woken() => {}
            () = &mut deadline => return Ok(found),
            // A poll must not hold up a shutdown.
            () = edge.phases.reached(Phase::StoppingEdge) => return Ok(found),
        }
    }
}

/// Finds records in all shards in turn, oldest first within each. Each look begins at another shard, so that a reader
/// that cannot keep up with one of them sees the others all the same.
async fn look(
    stream: &Arc<Stream>,
    cursor: &Cursor,
    limit: usize,
    payer: &Payer,
) -> Result<Found, ReadError> {
    let mut positions = cursor.positions.clone();
    let mut found = Found::none();
    let first = fastrand::usize(..positions.len().max(1));
    let (behind, ahead) = positions.split_at_mut(first);
    for (shard, position) in ahead.iter_mut().chain(behind) {
        let source = ShardSource { stream, shard: *shard, payer };
        *position = found.take_shard(source, *position, limit).await?;
    }
    found.next = Cursor { positions };
    Ok(found)
}

impl Found {
    fn none() -> Self {
        Self { parts: Vec::new(), records: 0, bytes: 0, looked_at: 0, skipped: 0, next: Cursor::default() }
    }

    fn is_full(&self, limit: usize) -> bool {
        self.records >= limit || self.looked_at >= TAP_BYTES_MAX
    }

    /// Takes records of a shard until the page is full or the shard has no more; returns where to read on in it.
    async fn take_shard(
        &mut self,
        source: ShardSource<'_>,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<SequenceNumber, ReadError> {
        let ShardSource { stream, shard, payer } = source;
        let mut position = from;
        while !self.is_full(limit) {
            let read = stream.read(shard, position, self.rest(limit), payer).await?;
            let found_nothing = read.slices.is_empty();
            position = self.take_read(shard, read, limit);
            if found_nothing {
                break;
            }
        }
        Ok(position)
    }

    /// How much more the page takes.
    fn rest(&self, limit: usize) -> ReadLimit {
        ReadLimit { bytes: TAP_BYTES_MAX - self.looked_at, records: limit - self.records }
    }

    /// Takes records of a read until the page is full; returns where to read on.
    fn take_read(&mut self, shard: ShardId, read: Read, limit: usize) -> SequenceNumber {
        self.skipped += read.skipped;
        for slice in read.slices {
            let (first, len) = (slice.first, slice.len());
            let taken = self.take_slice(shard, slice, limit);
            if taken < len {
                return SequenceNumber(first.0 + taken as u64);
            }
        }
        read.next
    }

    /// Takes records of a slice until the page is full; returns how many of its records are done with.
    fn take_slice(&mut self, shard: ShardId, slice: Slice, limit: usize) -> usize {
        let before = self.records;
        let mut len = 0;
        for record in &slice.batch.records[slice.skip..] {
            if self.is_full(limit) {
                break;
            }
            len += 1;
            let mut bytes = RECORD_BYTES + record.payload.len() as u64;
            if is_shown(record) {
                bytes += key_bytes(slice.batch.source.bytes(record.key));
                self.records += 1;
                self.bytes += bytes;
            }
            self.looked_at += bytes;
        }
        if self.records > before {
            self.parts.push(Part { shard, slice, len });
        }
        len
    }

    /// The page as it goes to the client. `pay` is asked for its bytes before it is written; a page without records
    /// costs nothing, so that waiting readers are never refused.
    fn into_page(self, pay: impl FnOnce(u64) -> Result<Permit, Problem>) -> Result<Bytes, Problem> {
        if self.records == 0 {
            return Ok(self.write(0).into());
        }
        let bytes = self.bytes + FRAME_BYTES + POSITION_BYTES * self.next.positions.len() as u64;
        let permit = pay(bytes)?;
        Ok(Bytes::from_owner(PaidPage { json: self.write(bytes), _permit: permit }))
    }

    // Writing to a vector cannot fail.
    fn write(&self, capacity: u64) -> Vec<u8> {
        let mut json = Vec::with_capacity(capacity as usize);
        json.extend_from_slice(b"{\"records\":[");
        for (index, part) in self.parts.iter().enumerate() {
            part.write(index == 0, &mut json);
        }
        let _ = write!(json, "],\"next\":\"{}\",\"skipped\":{}}}", self.next, self.skipped);
        json
    }
}

impl Part {
    fn write(&self, mut is_first: bool, json: &mut Vec<u8>) {
        let source = &self.slice.batch.source;
        let arrival = rfc3339(source.arrival);
        let records = self.slice.batch.records.iter().skip(self.slice.skip).take(self.len);
        for (number, record) in (self.slice.first.0..).zip(records).filter(|(_, record)| is_shown(record)) {
            let separator = if is_first { "" } else { "," };
            is_first = false;
            let _ = write!(
                json,
                "{separator}{{\"shard\":\"{}\",\"sequence_number\":\"{number}\",\"arrival_time\":\"{arrival}\",\
                 \"partition_key\":",
                self.shard
            );
            let _ = serde_json::to_writer(&mut *json, &String::from_utf8_lossy(source.bytes(record.key)));
            json.extend_from_slice(b",\"data\":");
            json.extend_from_slice(source.bytes(record.payload));
            json.push(b'}');
        }
    }
}

/// A record bound for the dead letters need not even be JSON.
fn is_shown(record: &RecordSpans) -> bool {
    !record.refusal.is_present()
}

/// Bytes of a key as the inside of a JSON string, at most: `\u0000` for a byte is the longest form.
fn key_bytes(key: &[u8]) -> u64 {
    let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    let times = if key.iter().all(is_plain) { 1 } else { 6 };
    key.len() as u64 * times
}

fn rfc3339(time: UnixMicros) -> String {
    DateTime::from_timestamp_micros(time.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests;
