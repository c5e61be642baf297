//! Where records go, and that the heat of a shard is where its records lie.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::checked::{Durability, Stream as StreamConfig};
use crate::config::limits::HEAT_SAMPLE;
use crate::record::{Content, ShardId};
use crate::runtime::budget::Budget;
use crate::stream::{Backing, Captures, Heat, HeatReport, Stream};
use crate::telemetry::metrics::Registry;

fn stream(shards: u32) -> Stream {
    let config = StreamConfig {
        name: "s".into(),
        shards,
        durability: Durability::Memory,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let metrics = Registry::new().unwrap().stream("s");
    Stream::new(&config, Backing::Memory, 0, Captures::default().plan().unwrap(), metrics)
}

/// A record of as many bytes as its key's number, and the hash that it may come with.
#[derive(Debug, Clone, Copy)]
struct Sent {
    key: u8,
    hash: Option<u128>,
}

impl Sent {
    fn key(self) -> String {
        format!("key-{}", self.key)
    }

    fn bytes(self) -> usize {
        usize::from(self.key) + 1
    }

    /// Where it belongs.
    fn hash(self) -> HashKey {
        self.hash.map_or_else(|| HashKey::of(self.key().as_bytes()), HashKey)
    }
}

/// What a request with these records is judged to be.
fn request(sent: &[Sent]) -> (Decoded, Shared) {
    let (mut body, mut records) = (Vec::new(), Vec::new());
    for record in sent {
        let start = body.len();
        body.resize(start + record.bytes(), b'x');
        let payload = Span::new(start, body.len());
        body.extend_from_slice(record.key().as_bytes());
        let key = Span::new(payload.start() + payload.len(), body.len());
        records.push(RecordSpans { payload, key, refusal: Span::ABSENT });
    }
    let hash = |(index, record): (usize, &Sent)| record.hash.map(|hash| (index, HashKey(hash)));
    let hash_keys = sent.iter().enumerate().filter_map(hash).collect();
    let decoded = Decoded { records, hash_keys, content: Content::Any, ..Decoded::default() };
    let permit = Budget::new(0).take_anyway(0);
    (decoded, Shared { body: body.into(), permit, arrival: UnixMicros(0) })
}

fn route(sent: &[Sent], layout: &Layout) -> Routed {
    let (decoded, shared) = request(sent);
    partition(0, decoded, shared, layout)
}

/// Appends the same records so often that each was in the sample as often as any other.
fn append_until_all_were_seen(stream: &Stream, sent: &[Sent]) {
    for _ in 0..HEAT_SAMPLE {
        let writing = stream.try_writing().unwrap();
        let routed = route(sent, writing.layout());
        writing.append(routed, None).unwrap();
    }
}

/// Of the records that belong into a shard: the bytes at each place.
fn bytes_by_hash(sent: &[Sent], is_here: impl Fn(HashKey) -> bool) -> BTreeMap<u128, usize> {
    let mut bytes = BTreeMap::new();
    for record in sent.iter().filter(|record| is_here(record.hash())) {
        *bytes.entry(record.hash().0).or_default() += record.bytes();
    }
    bytes
}

/// Few places at which records come together, on both ends of the hash space and anywhere.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let hash = prop_oneof![
        Just(None),
        (0_u128..3).prop_map(Some),
        Just(Some(u128::MAX)),
        any::<u128>().prop_map(Some)
    ];
    let record = (0_u8..6, hash).prop_map(|(key, hash)| Sent { key, hash });
    prop::collection::vec(record, 1..28)
}

proptest! {
    #[test]
    fn each_record_goes_where_its_hash_lies_and_is_as_hot_as_it_is_heavy(sent in sent(), shards in 1_u32..5) {
        let stream = stream(shards);
        let routed = route(&sent, &stream.layout());
        let mut found = 0;
        for (id, batch, hashes) in routed.observed() {
            let range = stream.layout().get(id).unwrap().facts.hash_keys;
            // In their order, each with its own hash.
            let here: Vec<_> = sent.iter().filter(|record| range.contains(record.hash())).collect();
            prop_assert_eq!(batch.records.len(), here.len());
            for (index, record) in here.iter().enumerate() {
                let key = record.key();
                prop_assert_eq!(batch.source.bytes(batch.records[index].key), key.as_bytes());
                prop_assert_eq!(hashes.of(index), record.hash.map(HashKey));
            }
            found += here.len();
        }
        prop_assert_eq!(found, sent.len());
        prop_assert_eq!(routed.hashes.is_empty(), sent.iter().all(|record| record.hash.is_none()));

        append_until_all_were_seen(&stream, &sent);
        for shard in stream.layout().shards() {
            let range = shard.facts.hash_keys;
            let bytes = bytes_by_hash(&sent, |hash| range.contains(hash));
            let records = sent.iter().filter(|record| range.contains(record.hash())).count();
            if bytes.is_empty() || (records as u64).is_multiple_of(HEAT_SAMPLE) {
                continue;
            }
            let total: usize = bytes.values().sum();
            let HeatReport { keys, .. } = shard.heat.report();
            prop_assert_eq!(keys.len(), bytes.len());
            for key in &keys {
                let share = bytes[&key.hash.0] as f64 / total as f64;
                prop_assert!((key.share - share).abs() < 1e-9, "{:?} is {}", key, share);
            }
            halves_are_what_they_should_be(&shard.heat, range, &bytes)?;
        }
    }
}

/// The hottest place begins the upper half, or is alone in the lower one where nothing is below it.
fn halves_are_what_they_should_be(
    heat: &Heat,
    range: crate::stream::HashRange,
    bytes: &BTreeMap<u128, usize>,
) -> Result<(), TestCaseError> {
    let hottest = *bytes.values().max().unwrap();
    let is_hottest = |hash: u128| bytes.get(&hash) == Some(&hottest);
    match heat.split_point(range) {
        Some(HashKey(at)) => {
            prop_assert!(at > range.first && range.contains(HashKey(at)));
            prop_assert!(is_hottest(at) || (at - 1 == range.first && is_hottest(range.first)), "{}", at);
        }
        None => prop_assert!(range.first == range.last && is_hottest(range.first)),
    }
    Ok(())
}

#[test]
fn an_aggregate_is_hot_where_it_was_put_whatever_the_keys_of_its_records() {
    let stream = stream(2);
    let record = |key, hash| Sent { key, hash };
    let sent = [record(1, None), record(2, Some(7)), record(3, None), record(4, Some(9))];
    for _ in 0..HEAT_SAMPLE {
        let writing = stream.try_writing().unwrap();
        let (mut decoded, shared) = request(&sent);
        // The second and the third came together.
        let (blob, key) = (Span::new(0, 5), decoded.records[1].key);
        decoded.aggregates.push(Aggregate { first: 1, count: 2, blob, key });
        let routed = partition(0, decoded, shared, writing.layout());
        let first = &routed.batches[0];
        assert_eq!((first.0, &routed.hashes[0]), (ShardId(0), &hashes_of(&first.1)));
        writing.append(routed, None).unwrap();
    }
    let report = stream.layout().shards()[0].heat.report();
    let hashes: Vec<_> = report.keys.iter().map(|key| key.hash.0).collect();
    assert!(hashes.contains(&7) && hashes.contains(&9), "{hashes:?}");
    assert!(!hashes.contains(&HashKey::of(b"key-2").0), "{hashes:?}");
}

/// What the first shard of two gets of the request above: the aggregate, the last record, and the first one if its key
/// says so.
fn hashes_of(batch: &Batch) -> ExplicitHashes {
    let before = batch.records.len() - 3;
    ExplicitHashes::new(vec![(before, HashKey(7)), (before + 2, HashKey(9))])
}
