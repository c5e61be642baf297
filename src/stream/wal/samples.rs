//! Batches, replies and segments for tests.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::JournalClass;
use super::frame::{CommitEncoder, Entry, Reply, ShardNumber};
use super::segment::{PreparedSegment, Segment, SegmentHeader};
use crate::config::limits::PARTITION_KEY_BYTES_MAX;
use crate::record::aggregate::split;
use crate::record::{Aggregate, Batch, Content, RecordSpans, SequenceNumber, Source, Span};
use crate::runtime::budget::{Budget, Permit};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::stream::{CapturePlan, Captures};
use crate::testkit::aggregate::{UserRecord, aggregate};

/// A record as its parts. `None` is a part that it does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) payload: Vec<u8>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) refusal: Option<Vec<u8>>,
}

pub(super) fn permit() -> Permit {
    Budget::new(0).take_anyway(0)
}

pub(super) fn no_captures() -> CapturePlan {
    Captures::default().plan().unwrap()
}

/// A batch of `records`. Payloads lie in the body with a byte between them, keys and refusals beside it; a key that
/// equals the one before shares its span.
pub(super) fn batch_of(records: &[Parts], arrival: i64) -> Batch {
    let mut body = Vec::new();
    let payloads: Vec<_> = records
        .iter()
        .map(|record| {
            let start = body.len();
            body.extend_from_slice(&record.payload);
            body.push(b'\n');
            Span::new(start, start + record.payload.len())
        })
        .collect();
    let mut side = Vec::new();
    let mut beside = |part: &Option<Vec<u8>>| match part {
        Some(bytes) => {
            let start = body.len() + side.len();
            side.extend_from_slice(bytes);
            Span::new(start, start + bytes.len())
        }
        None => Span::ABSENT,
    };
    let mut spans: Vec<RecordSpans> = Vec::new();
    for (index, (record, payload)) in records.iter().zip(payloads).enumerate() {
        let shared = index > 0 && records[index - 1].key == record.key;
        let key = if shared { spans[index - 1].key } else { beside(&record.key) };
        spans.push(RecordSpans { payload, key, refusal: beside(&record.refusal) });
    }
    let source = Arc::new(Source {
        content: Content::Json,
        body: Bytes::from(body),
        side: Bytes::from(side),
        arrival: UnixMicros(arrival),
        permit: permit(),
    });
    Batch { source, records: spans.into_boxed_slice(), captures: Box::default(), aggregates: Box::default() }
}

/// The same records, some of them in aggregates: for each of `lengths` one record of its own (0), or an aggregate of so
/// many; those behind are on their own. Records of an aggregate have a key that aggregates can have, and an aggregate
/// that of its first record.
pub(super) fn batch_with_aggregates(records: &[Parts], lengths: &[usize], arrival: i64) -> Batch {
    let (mut puts, mut groups, mut rest) = (Vec::new(), Vec::new(), records);
    let mut lengths = lengths.iter().copied().chain(std::iter::repeat(0));
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(0);
        let (group, behind) = rest.split_at(length.clamp(1, rest.len()));
        let user = |parts: &Parts| {
            let mut key = parts.key.clone().unwrap_or_default();
            key.truncate(PARTITION_KEY_BYTES_MAX);
            UserRecord::new(key, parts.payload.clone())
        };
        let payload = match length {
            0 => group[0].payload.clone(),
            _ => aggregate(&group.iter().map(user).collect::<Vec<_>>()),
        };
        puts.push(Parts { payload, ..group[0].clone() });
        groups.push((length > 0).then_some(group));
        rest = behind;
    }
    let batch = batch_of(&puts, arrival);
    let (mut spans, mut aggregates) = (Vec::new(), Vec::new());
    let mut side = batch.source.side.to_vec();
    for (put, group) in batch.records.iter().zip(groups) {
        let Some(group) = group else {
            spans.push(*put);
            continue;
        };
        let first = spans.len();
        let count = split(&batch.source.body, put.payload, usize::MAX, &mut spans).unwrap();
        for (record, parts) in spans[first..].iter_mut().zip(group) {
            if let Some(refusal) = &parts.refusal {
                let start = batch.source.body.len() + side.len();
                side.extend_from_slice(refusal);
                record.refusal = Span::new(start, side.len() + batch.source.body.len());
            }
        }
        let (first, count) = (first as u32, count as u32);
        aggregates.push(Aggregate { first, count, blob: put.payload, key: put.key });
    }
    let Source { body, arrival, .. } = &*batch.source;
    let source = Source {
        body: body.clone(),
        content: Content::Any,
        side: side.into(),
        arrival: *arrival,
        permit: permit(),
    };
    let (records, aggregates) = (spans.into_boxed_slice(), aggregates.into_boxed_slice());
    Batch { source: Arc::new(source), records, captures: Box::default(), aggregates }
}

/// For each record of a batch the payload bytes that the log keeps for it: an aggregate's are those of its first.
pub(super) fn kept_bytes(batch: &Batch) -> Vec<u64> {
    let mut bytes = vec![0; batch.records.len()];
    for put in batch.puts(0) {
        bytes[put.first] = put.payload.len() as u64;
    }
    bytes
}

/// How many records it is, whether it is an aggregate, its bytes and its key.
type SamplePut = (usize, bool, Vec<u8>, Option<Vec<u8>>);

/// The records of a batch as they were put: number of records, payload and key.
pub(super) fn puts_of(batch: &Batch) -> Vec<SamplePut> {
    let bytes = |span: Span| batch.source.bytes(span).to_vec();
    let key = |span: Span| span.is_present().then(|| bytes(span));
    batch.puts(0).map(|put| (put.count, put.is_aggregate, bytes(put.payload), key(put.key))).collect()
}

/// The parts of a batch's records.
pub(super) fn parts_of(batch: &Batch) -> Vec<Parts> {
    let bytes = |span: Span| batch.source.bytes(span).to_vec();
    let part = |span: Span| span.is_present().then(|| bytes(span));
    let parts =
        |r: &RecordSpans| Parts { payload: bytes(r.payload), key: part(r.key), refusal: part(r.refusal) };
    batch.records.iter().map(parts).collect()
}

/// A batch of `payloads` with the same key.
pub(super) fn plain(payloads: &[&str], arrival: i64) -> Batch {
    let record = |payload: &&str| Parts {
        payload: payload.as_bytes().to_vec(),
        key: Some(b"key".to_vec()),
        refusal: None,
    };
    batch_of(&payloads.iter().map(record).collect::<Vec<_>>(), arrival)
}

pub(super) fn arbitrary_parts() -> impl Strategy<Value = Vec<Parts>> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    // Few different keys, so that neighbours often share theirs.
    let key =
        prop_oneof![Just(None), Just(Some(Vec::new())), Just(Some(b"k".to_vec())), bytes(257).prop_map(Some)];
    let record = (bytes(60), key, prop::option::of(bytes(20))).prop_map(|(payload, key, refusal)| Parts {
        payload,
        key,
        refusal,
    });
    prop::collection::vec(record, 0..20)
}

/// Lengths for [`batch_with_aggregates`].
pub(super) fn arbitrary_lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(0), 1..6_usize], 0..10)
}

/// Salt of the segments below.
pub(super) const SALT: u64 = 0x5a17_c0de_1234_5678;
/// Number of their first commit.
pub(super) const FIRST_COMMIT: u64 = 7;

/// An empty segment of `bytes` bytes.
pub(super) fn segment(disk: &dyn Disk, folder: &Path, bytes: u64) -> Segment {
    let header = SegmentHeader {
        class: JournalClass::Fsync,
        number: 3,
        salt: SALT,
        first_commit: FIRST_COMMIT,
        previous_end: Some(5_000),
        node: *b"node-id!",
    };
    PreparedSegment::create(disk, folder, 0, bytes).unwrap().activate(disk, header).unwrap()
}

/// The bytes of a commit.
pub(super) fn commit(number: u64, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut buffer = vec![0xee; 4 << 20];
    let mut encoder = CommitEncoder::begin(&mut buffer, SALT, number).unwrap();
    for entry in entries {
        encoder.push(entry).unwrap();
    }
    let bytes = encoder.finish();
    buffer.truncate(bytes);
    buffer
}

pub(super) fn entry(shard: u32, first: u64, batch: &Batch) -> Entry<'_> {
    Entry::batch(ShardNumber(shard), SequenceNumber(first), batch)
}

pub(super) fn reply() -> Reply<'static> {
    Reply {
        stream: 4,
        arrival: UnixMicros(-5),
        key: b"an idempotency key",
        fingerprint: 99,
        reply: b"200 {}",
    }
}
