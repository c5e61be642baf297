use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::config::checked::{Durability, Ingest, PartitionKeySource, Stream as StreamConfig};
use crate::edge::partition::{Shared, partition};
use crate::json::Pointer;
use crate::record::{Batch, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::stream::{Backing, Captures, Stream};
use crate::telemetry::metrics::Registry;

/// A stream of two shards whose records have a `/k`; deliveries want `/t`.
fn intake(content: Content, on_invalid: OnInvalid) -> Intake {
    let config = StreamConfig {
        name: "s".into(),
        shards: 2,
        durability: Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
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
    };
    let mut captures = Captures::default();
    captures.slot(&Pointer::parse("/t").unwrap());
    Intake::new(stream, ingest, &captures, Budget::new(u64::MAX)).unwrap()
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
    let batches = partition(intake, decoded, shared);
    batches.iter().map(|(ShardId(id), batch)| (*id, payloads(batch))).collect()
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

#[test]
fn a_request_without_entries_is_empty() {
    let intake = intake(Content::Any, OnInvalid::Reject);
    assert!(matches!(records(&intake, b"", []), Err(Problem::Empty)));
}
