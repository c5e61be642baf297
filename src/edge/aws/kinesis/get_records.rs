//! GetRecords: a page of a shard.
//!
//! The page is found first, as slices of the log's batches, then paid for from the taps' account, and only then written,
//! once, into the buffer that goes to the socket.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize, Serializer};

use super::page_payer::{PagePayer, PagePermit};
use super::position::{Iterator, only_if_wet};
use super::sequence::{DIGITS, Numbering, Printed};
use super::shapes::{ChildShape, encryption_type, rate_exceeded};
use super::stream::{StreamRef, find};
use crate::config::limits::{KINESIS_BYTES_MAX, KINESIS_PAGE_MAX};
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::Violations;
use crate::edge::aws::protocol::values::{Blob, Time};
use crate::edge::aws::protocol::{self, Encoding};
use crate::edge::gate::throttle::charge::{Charge, Held};
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::stream::{Payer, PutRecord, ReadError, ReadLimit, Slice, Stream};

/// Bytes of a record in an answer beside its data and its key: names, quotes, the number and a time.
const RECORD_BYTES: u64 = 160 + DIGITS as u64;

/// Bytes of an answer beside its records.
const FRAME_BYTES: u64 = 1_024;

/// Records of one batch.
#[derive(Debug)]
struct Part {
    slice: Slice,
    /// How many of the slice belong to it.
    len: usize,
}

/// Records of a shard, found and not written yet.
#[derive(Debug)]
pub struct Page {
    numbering: Numbering,
    encryption_type: &'static str,
    parts: Vec<Part>,
    /// Records that are shown.
    pub records: usize,
    /// Bytes of their data and keys.
    pub data: u64,
    /// Where to read on.
    pub next: SequenceNumber,
}

/// How much a page takes.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// Records.
    pub records: usize,
    /// Bytes of data and keys; the record that reaches them is the last one.
    pub bytes: u64,
}

impl Page {
    /// Finds records of a shard from `from` on. A page may have fewer than there are; if it has none and `next` is
    /// `from`, there were none.
    ///
    /// # Errors
    /// If they cannot be read back from the disk.
    pub async fn find(
        stream: &Arc<Stream>,
        (shard, numbering): (ShardId, Numbering),
        from: SequenceNumber,
        limit: PageLimit,
        payer: &Payer,
    ) -> Result<Self, ReadError> {
        let (encryption_type, parts) = (encryption_type(stream), Vec::new());
        let mut page = Self { numbering, encryption_type, parts, records: 0, data: 0, next: from };
        while !page.is_full(limit) {
            let rest = ReadLimit { bytes: limit.bytes - page.data, records: limit.records - page.records };
            let read = stream.read(shard, page.next, rest, payer).await?;
            if read.slices.is_empty() {
                page.next = read.next;
                break;
            }
            if !page.take(read.slices, read.next, limit) {
                break;
            }
        }
        Ok(page)
    }

    fn is_full(&self, limit: PageLimit) -> bool {
        self.records >= limit.records || self.data >= limit.bytes
    }

    /// Takes records until the page is full; false if it left some.
    fn take(&mut self, slices: Vec<Slice>, next: SequenceNumber, limit: PageLimit) -> bool {
        for slice in slices {
            let (first, len) = (slice.first, slice.len());
            let taken = self.take_slice(slice, limit);
            if taken < len {
                self.next = SequenceNumber(first.0 + taken as u64);
                return false;
            }
        }
        self.next = next;
        true
    }

    /// Takes records as they were put; returns how many numbers of the slice are done with.
    fn take_slice(&mut self, slice: Slice, limit: PageLimit) -> usize {
        let (mut done, mut is_cut) = (0, false);
        for put in slice.puts() {
            let bytes = (put.payload.len() + put.key.len()) as u64;
            // An answer never has more bytes than the bound, unless one record has.
            is_cut = self.is_full(limit) || (self.records > 0 && self.data + bytes > limit.bytes);
            if is_cut {
                break;
            }
            done = (put.number.0 - slice.first.0) as usize + put.count;
            if is_shown(&slice, &put) {
                self.records += 1;
                self.data += bytes;
            }
        }
        // What is left behind the last one are members of an aggregate that begins before the slice.
        let len = if is_cut { done } else { slice.len() };
        self.parts.push(Part { slice, len });
        len
    }

    /// Bytes of the page once it is written, at most.
    pub fn written_bytes(&self, encoding: Encoding) -> u64 {
        let around = FRAME_BYTES + RECORD_BYTES * self.records as u64;
        match encoding {
            // Base64 makes four of three; a character of a key may need six.
            Encoding::Json => around + self.data / 3 * 4 + 4 * self.records as u64 + self.key_bytes() * 6,
            Encoding::Cbor => around + self.data,
        }
    }

    fn key_bytes(&self) -> u64 {
        self.shown().map(|(_, put)| put.key.len() as u64).sum()
    }

    /// How far the page is behind the newest record, in milliseconds.
    pub fn millis_behind(&self, stream: &Stream, shard: ShardId) -> i64 {
        let next = stream.shard(shard).and_then(|log| log.arrival_at(self.next));
        next.map_or(0, |arrival| (clock::wall().as_millis() - arrival.as_millis()).max(0))
    }

    fn shown(&self) -> impl std::iter::Iterator<Item = (&Slice, PutRecord<'_>)> {
        self.parts.iter().flat_map(|Part { slice, len }| {
            let end = slice.first.0 + *len as u64;
            let puts = slice.puts().take_while(move |put| put.number.0 < end);
            puts.filter(|put| is_shown(slice, put)).map(move |put| (slice, put))
        })
    }
}

/// A record bound for the dead letters is none that a reader gets, as on the other taps. An aggregate goes to readers as
/// it came, whatever is in it.
fn is_shown(slice: &Slice, put: &PutRecord<'_>) -> bool {
    let index = slice.skip + (put.number.0 - slice.first.0) as usize;
    put.is_aggregate || slice.batch.records.get(index).is_some_and(|record| !record.refusal.is_present())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordShape<'a> {
    sequence_number: Printed,
    approximate_arrival_timestamp: Time,
    data: Blob<'a>,
    partition_key: &'a str,
    encryption_type: &'static str,
}

/// The records as a list.
impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = serializer.serialize_seq(Some(self.records))?;
        for (slice, put) in self.shown() {
            let source = &slice.batch.source;
            // Keys come as texts; one that does not is not shown in part.
            let partition_key = std::str::from_utf8(put.key).unwrap_or_default();
            list.serialize_element(&RecordShape {
                sequence_number: self.numbering.print(put.number),
                approximate_arrival_timestamp: Time(source.arrival),
                data: Blob(put.payload),
                partition_key,
                encryption_type: self.encryption_type,
            })?;
        }
        list.end()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    shard_iterator: Option<String>,
    limit: Option<i64>,
    #[serde(flatten)]
    stream: StreamRef,
    dry_run: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply<'a> {
    records: &'a Page,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    millis_behind_latest: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    child_shards: Vec<ChildShape>,
}

/// An answer on its way to the client.
pub struct PaidBytes {
    bytes: Vec<u8>,
    _permit: PagePermit,
}

impl PaidBytes {
    /// Bytes that `permit` pays for, until they are sent.
    pub fn new(bytes: Vec<u8>, permit: PagePermit) -> Self {
        Self { bytes, _permit: permit }
    }
}

impl AsRef<[u8]> for PaidBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// GetRecords.
///
/// # Errors
/// Why it is refused.
pub async fn answer(edge: &Edge, mut request: Request<'_>) -> Result<Response<Body>, Failure> {
    let mut charge = std::mem::replace(&mut request.charge, Charge::free());
    let members: Members = request.members()?;
    let mut violations = Violations::default();
    violations.required("shardIterator", &members.shard_iterator);
    violations.text("shardIterator", members.shard_iterator.as_deref(), 1, 512, None);
    violations.number("limit", members.limit, 1, KINESIS_PAGE_MAX as i64);
    members.stream.check(&mut violations);
    violations.finish()?;
    let now = clock::wall();
    let iterator = Iterator::open(edge, members.shard_iterator.as_deref().unwrap_or_default(), now)?;
    if members.stream.name().is_ok_and(|name| name != iterator.stream) {
        return Err(Failure::invalid("The ShardIterator does not belong to the stream that is named."));
    }
    let intake = find(edge, &request.caller, &iterator.stream)?;
    let stream = &intake.stream;
    let layout = stream.layout();
    let facts = layout.get(iterator.shard).map(|shard| shard.facts);
    if facts.is_some_and(|facts| facts.created != iterator.created) && !stream.is_durable() {
        // The records of an earlier run are gone with it, and so is the place among them.
        return Err(Failure::new(
            FailureKind::ExpiredIterator,
            "Iterator expired. The server was restarted.",
        ));
    }
    let Some(facts) = facts.filter(|facts| facts.created == iterator.created) else {
        let text = format!(
            "Shard {} in stream {} under account {} does not exist",
            iterator.shard,
            iterator.stream,
            request.caller.account()
        );
        return Err(Failure::not_found(text));
    };
    only_if_wet(members.dry_run)?;
    charge.join(intake.account.clone().map(Held::Account))?;
    if let Some(quotas) = stream.quotas() {
        quotas.begin_read(&layout, facts.id).map_err(|throttled| {
            stream.metrics.throttled_reads.increment(1);
            rate_exceeded(&throttled, stream.name(), request.caller.account())
        })?;
    }
    let records = members.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(KINESIS_PAGE_MAX);
    let limit = PageLimit { records, bytes: KINESIS_BYTES_MAX };
    let mut payer = PagePayer::new(edge);
    let page = payer.find(stream, (facts.id, Numbering::of(&facts)), iterator.next, limit).await?;
    if let Some(quotas) = stream.quotas() {
        quotas.end_read(facts.id, page.data);
    }
    charge.owe(page.records as u64, page.data);
    let is_at_end = facts.end.is_some_and(|end| page.next >= end);
    let reply = Reply {
        next_shard_iterator: (!is_at_end).then(|| Iterator { next: page.next, ..iterator }.seal(edge, now)),
        millis_behind_latest: page.millis_behind(stream, facts.id),
        child_shards: if is_at_end { ChildShape::all(&layout, &facts) } else { Vec::new() },
        records: &page,
    };
    if page.records == 0 {
        return request.reply(&reply);
    }
    let permit = payer.pay(page.written_bytes(request.encoding)).ok_or(Problem::MemoryFull)?;
    let bytes = request.encoding.write(&reply)?;
    Ok(protocol::reply(request.encoding, Bytes::from_owner(PaidBytes::new(bytes, permit))))
}
