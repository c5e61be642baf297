use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::config::checked::{Durability, Ingest, PartitionKeySource, Stream as StreamConfig};
use crate::edge::partition::{Shared, partition};
use crate::json::Pointer;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::stream::{Backing, Captures, MemoryLog, ReadLimit, ShardLog as _, Stream};
use crate::telemetry::metrics::Registry;
use crate::testkit::aggregate::{UserRecord, aggregate};

/// A stream of two shards whose records have a `/k`; deliveries want `/t`.
fn intake(content: Content, on_invalid: OnInvalid) -> Intake {
    let config = StreamConfig {
        name: "s".into(),
        shards: 2,
        durability: Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let captures = Captures::default().plan().unwrap();
    let metrics = Registry::new().unwrap().stream("s");
    let stream = Arc::new(Stream::new(&config, Backing::Memory, 0, captures, metrics));
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let ingest = Ingest {
        partition_key: PartitionKeySource::Pointer(Pointer::parse("/k").unwrap()),
        schema: (content == Content::Json).then(|| Arc::new(schema)),
        on_invalid,
        content,
        record_bytes_max: 200,
        takes_clicks: false,
        add: None,
        stages: Vec::new(),
        limit: crate::config::checked::Limit::default(),
    };
    let mut captures = Captures::default();
    captures.slot(&Pointer::parse("/t").unwrap());
    Intake::new(stream, ingest, (captures, None), Budget::new(u64::MAX)).unwrap()
}

/// The entries of a request: payloads and keys, one behind the other.
fn entries(parts: &[(&[u8], Option<&[u8]>)]) -> (Vec<u8>, Vec<Entry>) {
    let mut body = Vec::new();
    let mut put = |bytes: &[u8]| {
        body.extend_from_slice(bytes);
        Span::new(body.len() - bytes.len(), body.len())
    };
    let entry = |&(payload, key): &(&[u8], Option<&[u8]>)| Entry {
        payload: put(payload),
        key: key.map_or(Span::ABSENT, &mut put),
        hash_key: None,
    };
    let entries = parts.iter().map(entry).collect();
    (body, entries)
}

fn text(body: &[u8], decoded: &Decoded, span: Span) -> Option<String> {
    let all = [body, &decoded.side].concat();
    let bytes = all.get(span.start()..span.start() + span.len()).filter(|_| span.is_present())?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

const NO_KEY: Option<&[u8]> = None;

#[test]
fn entries_are_judged_one_by_one_as_lines_are() {
    let intake = intake(Content::Json, OnInvalid::Reject);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200));
    let key = [b'k'; 257];
    let (body, entries) = entries(&[
        (b"{\"t\":1,\"k\":\"own\"}\n", NO_KEY),
        (b"{\"n\":\"no integer\"}", NO_KEY),
        (b"\xff", Some(b"key")),
        (b"{\"a\":1} x", NO_KEY),
        (long.as_bytes(), NO_KEY),
        (b"{}", Some(&key)),
        (b" {\"t\":[2]}", Some(b"given")),
    ]);
    let decoded = records(&intake, &body, entries).unwrap();
    let refused: Vec<_> = decoded.refused.iter().map(|refused| (refused.index, refused.code)).collect();
    let expected =
        [(1, "schema"), (2, "json"), (3, "json"), (4, "record_too_large"), (5, "partition_key_too_long")];
    assert_eq!((refused.as_slice(), decoded.rejected), (expected.as_slice(), 5));
    let of = |span| text(&body, &decoded, span).unwrap();
    let payloads: Vec<_> = decoded.records.iter().map(|record| of(record.payload)).collect();
    assert_eq!(payloads, ["{\"t\":1,\"k\":\"own\"}\n", " {\"t\":[2]}"], "as they came, white space included");
    let keys: Vec<_> = decoded.records.iter().map(|record| of(record.key)).collect();
    assert_eq!(keys, ["own", "given"]);
    let captures: Vec<_> = decoded.captures.iter().map(|span| of(*span)).collect();
    assert_eq!(captures, ["1", "[2]"]);
}

#[test]
fn invalid_entries_are_dead_letters_where_the_stream_says_so() {
    let intake = intake(Content::Json, OnInvalid::DeadLetter);
    let (body, entries) = entries(&[(b"no json", Some(b"k")), (b"{\"n\":1.5}", NO_KEY), (b"", NO_KEY)]);
    let decoded = records(&intake, &body, entries).unwrap();
    assert_eq!((decoded.records.len(), decoded.dead, decoded.captures.len()), (3, 3, 3));
    let refusals: Vec<_> =
        decoded.records.iter().map(|record| text(&body, &decoded, record.refusal).unwrap()).collect();
    assert!(refusals[0].starts_with("json ") && refusals[1].starts_with("schema "), "{refusals:?}");
    assert_eq!(text(&body, &decoded, decoded.records[0].key).unwrap(), "k");
}

#[test]
fn a_stream_of_any_content_takes_every_entry_and_finds_the_fields_of_json() {
    let intake = intake(Content::Any, OnInvalid::Reject);
    let (body, entries) = entries(&[
        (b"\xff\x00", NO_KEY),
        (b"{\"t\":1,\"k\":7}", NO_KEY),
        (b"{\"t\":2} and more", NO_KEY),
        (b"", Some(b"k")),
    ]);
    let decoded = records(&intake, &body, entries).unwrap();
    assert_eq!((decoded.records.len(), decoded.rejected, decoded.content), (4, 0, Content::Any));
    let captures: Vec<_> = decoded.captures.iter().map(|span| text(&body, &decoded, *span)).collect();
    assert_eq!(captures, [None, Some("1".to_owned()), None, None]);
    let keys: Vec<_> = decoded.records.iter().map(|record| text(&body, &decoded, record.key)).collect();
    assert_eq!(keys, [None, Some("7".to_owned()), None, Some("k".to_owned())]);
}

#[test]
fn what_a_delivery_reads_of_an_entry_is_what_the_edge_found_after_a_restart_too() {
    let intake = intake(Content::Any, OnInvalid::Reject);
    let payloads: [&[u8]; 5] = [b"{\"t\":1}", b"{\"t\":1}}", b"[1]", b"\xff{\"t\":1}", b"{\"t\":1,\"t\":2}"];
    let (body, entries) = entries(&payloads.map(|payload| (payload, NO_KEY)));
    let decoded = records(&intake, &body, entries).unwrap();
    let mut captures = Captures::default();
    captures.slot(&Pointer::parse("/t").unwrap());
    let mut again = Vec::new();
    captures.plan().unwrap().capture(&body, &decoded.records, &mut again);
    assert_eq!(again, decoded.captures);
}

/// The payloads of each shard.
fn sharded(intake: &Intake, body: Vec<u8>, decoded: Decoded) -> Vec<(u32, Vec<String>)> {
    let permit = Budget::new(u64::MAX).take_anyway(0);
    let shared = Shared { body: Bytes::from(body), permit, arrival: UnixMicros(0) };
    let payloads = |batch: &Batch| {
        let payload =
            |record: &RecordSpans| String::from_utf8_lossy(batch.source.bytes(record.payload)).into_owned();
        batch.records.iter().map(payload).collect()
    };
    let routed = partition(intake.slots, decoded, shared, &intake.stream.layout());
    routed.batches.iter().map(|(ShardId(id), batch)| (*id, payloads(batch))).collect()
}

#[test]
fn an_explicit_hash_decides_over_the_shard_whatever_stands_before_it() {
    let intake = intake(Content::Json, OnInvalid::Reject);
    let (body, mut entries) = entries(&[
        (b"{\"a\":0}", Some(b"k")),
        (b"bad", Some(b"k")),
        (b"{\"a\":1}", Some(b"k")),
        (b"{\"a\":2}", Some(b"k")),
    ]);
    entries[0].hash_key = Some(HashKey(0));
    entries[1].hash_key = Some(HashKey(0));
    entries[2].hash_key = Some(HashKey(u128::MAX));
    entries[3].hash_key = Some(HashKey(5));
    let decoded = records(&intake, &body, entries).unwrap();
    let found = sharded(&intake, body, decoded);
    let expected =
        [(0, vec!["{\"a\":0}".to_owned(), "{\"a\":2}".to_owned()]), (1, vec!["{\"a\":1}".to_owned()])];
    assert_eq!(found, expected);
}

/// A request with a record before and behind an aggregate of `records`.
fn with_aggregate(intake: &Intake, records: &[(&str, &[u8])]) -> (Vec<u8>, Decoded) {
    let users: Vec<_> = records.iter().map(|(key, data)| UserRecord::new(*key, *data)).collect();
    let (body, entries) = entries(&[
        (b"{\"t\":0}", Some(b"a")),
        (&aggregate(&users), Some(b"outer")),
        (b"{\"t\":9}", Some(b"b")),
    ]);
    let decoded = super::records(intake, &body, entries).unwrap();
    (body, decoded)
}

#[test]
fn the_records_of_an_aggregate_are_records_of_their_own_that_stay_together() {
    let intake = intake(Content::Json, OnInvalid::Reject);
    let (body, decoded) =
        with_aggregate(&intake, &[("x", b"{\"t\":1}"), ("y", b"{\"k\":2}"), ("x", b"{\"t\":3}")]);
    let of = |span| text(&body, &decoded, span);
    let payloads: Vec<_> = decoded.records.iter().map(|record| of(record.payload).unwrap()).collect();
    assert_eq!(payloads, ["{\"t\":0}", "{\"t\":1}", "{\"k\":2}", "{\"t\":3}", "{\"t\":9}"]);
    let keys: Vec<_> = decoded.records.iter().map(|record| of(record.key).unwrap()).collect();
    assert_eq!(keys, ["a", "x", "y", "x", "b"]);
    let captures: Vec<_> = decoded.captures.iter().map(|span| of(*span)).collect();
    let expected = [Some("0"), Some("1"), None, Some("3"), Some("9")];
    assert_eq!(captures, expected.map(|text| text.map(ToOwned::to_owned)));
    let [aggregate] = decoded.aggregates.as_slice() else { panic!("{:?}", decoded.aggregates) };
    assert_eq!((aggregate.first, aggregate.count, of(aggregate.key).unwrap()), (1, 3, "outer".to_owned()));
    let found = sharded(&intake, body.clone(), decoded);
    let shard_of = |key: &[u8]| u32::from(HashKey::of(key).0 >> 127 == 1);
    let mut expected = vec![(0, Vec::new()), (1, Vec::new())];
    for (key, payloads) in [(&b"a"[..], &payloads[..1]), (b"outer", &payloads[1..4]), (b"b", &payloads[4..])]
    {
        expected[shard_of(key) as usize].1.extend_from_slice(payloads);
    }
    expected.retain(|(_, payloads)| !payloads.is_empty());
    assert_eq!(found, expected);
}

#[test]
fn one_bad_record_refuses_its_aggregate_alone_or_is_a_dead_letter_alone() {
    let records: [(&str, &[u8]); 3] = [("x", b"{\"t\":1}"), ("x", b"\xff"), ("x", b"{\"n\":1.5}")];
    let (_, decoded) = with_aggregate(&intake(Content::Json, OnInvalid::Reject), &records);
    assert_eq!((decoded.records.len(), decoded.captures.len(), decoded.aggregates.len()), (2, 2, 0));
    let [refused] = decoded.refused.as_slice() else { panic!("{:?}", decoded.refused) };
    assert_eq!((refused.index, refused.code), (1, "json"));
    assert_eq!(refused.message, "record 1 of the aggregate: invalid UTF-8 at byte 0");

    let (body, decoded) = with_aggregate(&intake(Content::Json, OnInvalid::DeadLetter), &records);
    assert_eq!((decoded.records.len(), decoded.captures.len(), decoded.dead), (5, 5, 2));
    let codes: Vec<_> = decoded.records.iter().map(|record| text(&body, &decoded, record.refusal)).collect();
    let code = |at: usize| codes[at].as_deref().map(|text| text.split(' ').next().unwrap().to_owned());
    assert_eq!([code(0), code(1)], [None, None]);
    assert_eq!([code(2).unwrap(), code(3).unwrap()], ["json", "schema"]);
    assert_eq!(decoded.aggregates[0].count, 3);
}

#[test]
fn what_only_looks_like_an_aggregate_is_judged_as_any_record() {
    let mut broken = aggregate(&[UserRecord::new("k", "{}")]);
    *broken.last_mut().unwrap() ^= 1;
    let (body, entries) = entries(&[(&broken, Some(b"k"))]);
    let judged =
        |content| super::records(&intake(content, OnInvalid::Reject), &body, entries.clone()).unwrap();
    assert_eq!(judged(Content::Json).refused[0].code, "json");
    let any = judged(Content::Any);
    assert_eq!((any.records.len(), any.aggregates.len()), (1, 0));
    assert_eq!(any.records[0].payload.len(), broken.len());
}

#[test]
fn readers_of_kinesis_get_aggregates_as_they_came_and_native_readers_their_records() {
    let intake = intake(Content::Any, OnInvalid::Reject);
    let (body, decoded) = with_aggregate(&intake, &[("x", b"1"), ("y", b"\xff"), ("z", b"")]);
    let blob = body[decoded.aggregates[0].blob.start()..][..decoded.aggregates[0].blob.len()].to_vec();
    let permit = Budget::new(u64::MAX).take_anyway(0);
    let source = crate::record::Source {
        body: Bytes::from(body),
        content: decoded.content,
        side: Bytes::from(decoded.side),
        arrival: UnixMicros(0),
        permit,
    };
    let batch = Batch {
        source: Arc::new(source),
        records: decoded.records.into(),
        captures: decoded.captures.into(),
        aggregates: decoded.aggregates.into(),
    };
    let retention = crate::stream::Retention { age: Duration::from_secs(9), bytes: None };
    let log = MemoryLog::new(SequenceNumber(10), retention, 0);
    log.append(batch);
    let puts = |from: u64| {
        let read = log.read(SequenceNumber(from), ReadLimit::bytes(1 << 20));
        let slice = read.slices[0].clone();
        slice
            .puts()
            .map(|put| (put.number.0, put.count, put.payload.to_vec(), put.key.to_vec()))
            .collect::<Vec<_>>()
    };
    let all = [
        (10, 1, b"{\"t\":0}".to_vec(), b"a".to_vec()),
        (11, 3, blob.clone(), b"outer".to_vec()),
        (14, 1, b"{\"t\":9}".to_vec(), b"b".to_vec()),
    ];
    for (from, skipped) in [(10, 0), (11, 1), (12, 2), (13, 2), (14, 2)] {
        assert_eq!(puts(from), all[skipped..], "from {from}");
    }
    assert_eq!(log.bounds().next, SequenceNumber(15), "each record has a number");
    assert_eq!(log.bounds().bytes, (7 + blob.len() + 7) as u64, "the aggregate is kept as it came");
}

#[test]
fn a_request_without_entries_is_empty() {
    let intake = intake(Content::Any, OnInvalid::Reject);
    assert!(matches!(records(&intake, b"", []), Err(Problem::Empty)));
}
