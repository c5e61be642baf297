use std::fs;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::runtime::disk::RealDisk;
use crate::stream::HashRange;

const NOW: UnixMicros = UnixMicros(1_763_000_000_000_000);

fn stream(name: &str, durability: Durability, shards: u32) -> checked::Stream {
    checked::Stream {
        name: name.into(),
        shards,
        durability,
        retention: Duration::from_secs(60),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    }
}

fn folder() -> (TempDir, NodeFolder) {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeFolder::open(Arc::new(RealDisk), folder.path(), None).unwrap();
    (folder, node)
}

/// A catalog of two streams, with 2 shards and with 1.
fn two() -> Catalog {
    let mut catalog = Catalog::default();
    let streams = [stream("b", Durability::Fsync, 2), stream("a", Durability::Os, 1)];
    catalog.reconcile(&streams, NOW).unwrap();
    catalog
}

#[test]
fn new_durable_streams_get_numbers_and_others_none() {
    let mut catalog = Catalog::default();
    let streams = [
        stream("b", Durability::Fsync, 2),
        stream("m", Durability::Memory, 4),
        stream("a", Durability::Os, 1),
    ];
    let changes = catalog.reconcile(&streams, NOW).unwrap();
    assert_eq!(changes, Changes { added: vec!["b".into(), "a".into()], ..Changes::default() });
    assert!(changes.must_be_saved());
    let first = SequenceNumber(NOW.0.unsigned_abs());
    let facts = |count| ShardFacts::even(count, first.0 / 1_000_000, first).collect::<Vec<_>>();
    let shard = |number, facts| CatalogShard { number, facts };
    let b = catalog.stream("b").unwrap();
    assert_eq!(
        (b.number, b.durability, b.shards.as_slice()),
        (0, Durability::Fsync, &[shard(0, facts(2)[0]), shard(1, facts(2)[1])][..])
    );
    let a = catalog.stream("a").unwrap();
    assert_eq!(
        (a.number, a.durability, a.shards.as_slice()),
        (1, Durability::Os, &[shard(2, facts(1)[0])][..])
    );
    assert_eq!(catalog.stream("m"), None);
}

#[test]
fn the_same_streams_are_found_again() {
    let (_kept, folder) = folder();
    assert_eq!(Catalog::open(&folder).unwrap(), Catalog::default());
    two().save(&folder).unwrap();
    let mut catalog = Catalog::open(&folder).unwrap();
    assert_eq!(catalog, two());
    let streams = [stream("a", Durability::Os, 1), stream("b", Durability::Fsync, 2)];
    let changes = catalog.reconcile(&streams, UnixMicros(NOW.0 + 1)).unwrap();
    assert_eq!((changes.must_be_saved(), changes), (false, Changes::default()));
    assert_eq!(catalog, two());
}

#[test]
fn a_changed_number_of_shards_is_told_until_it_is_noted() {
    let mut catalog = two();
    for _ in 0..2 {
        let changes = catalog.reconcile(&[stream("b", Durability::Fsync, 3)], NOW).unwrap();
        assert_eq!(changes.resized, [("b".to_owned(), 3)]);
        assert_eq!(catalog.stream("b").unwrap().shards.len(), 2);
    }
    catalog.stream_mut("b").unwrap().declared_shards = 3;
    assert_eq!(catalog.reconcile(&[stream("b", Durability::Fsync, 3)], NOW).unwrap().resized, []);
}

#[test]
fn a_split_and_a_merge_are_kept_and_ids_and_numbers_come_once() {
    let (_kept, folder) = folder();
    let mut catalog = two();
    let first = SequenceNumber(7);
    let child = |id, hash_keys, parents| ShardFacts {
        id: ShardId(id),
        hash_keys,
        parents,
        created: 9,
        first,
        end: None,
    };
    let halves: Vec<_> = HashRange::even(4).collect();
    let parents = [Some(ShardId(0)), None];
    let split = Replacement {
        closed: vec![(ShardId(0), SequenceNumber(u64::MAX - 1))],
        children: vec![child(2, halves[0], parents), child(3, halves[1], parents)],
    };
    let children = catalog.reshard("b", &split).unwrap();
    assert_eq!(children.iter().map(|shard| shard.number).collect::<Vec<_>>(), [3, 4]);
    let whole = HashRange { first: halves[1].first, last: u128::MAX };
    let merge = Replacement {
        closed: vec![(ShardId(3), first), (ShardId(1), first)],
        children: vec![child(4, whole, [Some(ShardId(1)), Some(ShardId(3))])],
    };
    catalog.reshard("b", &merge).unwrap();
    catalog.save(&folder).unwrap();
    assert_eq!(Catalog::open(&folder).unwrap(), catalog);
    catalog.forget_shards("b", &[ShardId(0), ShardId(3), ShardId(1), ShardId(4)][..3]).unwrap();
    catalog.save(&folder).unwrap();
    let again = Catalog::open(&folder).unwrap();
    assert_eq!(again, catalog);
    let ids: Vec<_> = again.stream("b").unwrap().shards.iter().map(|shard| shard.facts.id.0).collect();
    assert_eq!((ids, again.stream("b").unwrap().next_id), (vec![2, 4], ShardId(5)));
    assert!(catalog.reshard("z", &merge).is_err());
}

#[test]
fn clients_make_and_remove_streams_of_their_own() {
    let mut catalog = two();
    let made = catalog.create(&stream("c", Durability::Fsync, 2), NOW).unwrap().clone();
    assert_eq!((made.properties.origin, made.number), (StreamOrigin::Client, 2));
    let error = catalog.create(&stream("c", Durability::Fsync, 2), NOW).unwrap_err();
    assert_eq!(error.to_string(), "stream 'c' is there already");
    let changes = catalog.reconcile(&[stream("a", Durability::Os, 1)], NOW).unwrap();
    assert_eq!(changes.unnamed, ["b"], "what a client has made is nobody's oversight");
    assert_eq!(catalog.remove("c").unwrap(), made);
    assert_eq!(catalog.create(&stream("c", Durability::Fsync, 1), NOW).unwrap().number, 3);
}

#[test]
fn a_durable_stream_does_not_become_one_in_memory() {
    let mut catalog = two();
    let error = catalog.reconcile(&[stream("a", Durability::Memory, 1)], NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream 'a' has records of durability \"os\" in the node's folder, which durability \"memory\" would hide: write durability = \"os\", or give the stream another name"
    );
    assert_eq!(catalog, two());
}

#[test]
fn a_stream_may_go_from_one_durability_to_the_other() {
    let mut catalog = two();
    let streams = [stream("a", Durability::Fsync, 1), stream("b", Durability::Os, 2)];
    let changes = catalog.reconcile(&streams, NOW).unwrap();
    let change = |stream: &str, from, to| DurabilityChange { stream: stream.into(), from, to };
    let (fsync, os) = (Durability::Fsync, Durability::Os);
    assert_eq!(changes.changed, [change("a", os, fsync), change("b", fsync, os)]);
    assert!(changes.must_be_saved());
    assert_eq!(catalog.stream("b").unwrap().durability, os);
    assert_eq!(catalog.stream("b").unwrap().shards, two().stream("b").unwrap().shards);
}

#[test]
fn a_stream_that_no_pipeline_names_stays() {
    let mut catalog = two();
    let changes = catalog.reconcile(&[stream("c", Durability::Os, 1)], NOW).unwrap();
    assert_eq!((changes.added, changes.unnamed), (vec!["c".into()], vec!["a".into(), "b".into()]));
    let numbers: Vec<_> = catalog.streams().map(|stream| (stream.number, stream.shards[0].number)).collect();
    assert_eq!(numbers, [(1, 2), (0, 0), (2, 3)]);
}

#[test]
fn there_is_a_most_of_shards() {
    let mut catalog = Catalog::default();
    let streams: Vec<_> =
        (0..=NODE_SHARDS_MAX / 4_096).map(|n| stream(&n.to_string(), Durability::Os, 4_096)).collect();
    assert_eq!(catalog.reconcile(&streams[1..], NOW).unwrap().added.len(), 256);
    let error = catalog.reconcile(&streams, NOW).unwrap_err();
    assert!(matches!(&error, CatalogError::TooManyShards { stream } if stream == "0"), "{error}");
}

#[test]
fn a_catalog_that_contradicts_itself_is_damaged() {
    let (_kept, folder) = folder();
    two().save(&folder).unwrap();
    let path = folder.path().join(CATALOG);
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let bad = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document = good.clone();
        change(&mut document);
        let members = document.as_object_mut().unwrap();
        members.shift_remove("format");
        members.shift_remove("checksum");
        document::write(&**folder.disk(), folder.path(), CATALOG, &document).unwrap();
        Catalog::open(&folder).unwrap_err().to_string()
    };
    let twice = "a number of stream 'b' is given twice, or not yet";
    let shard = "invalid type";
    for (said, pointer, value) in [
        (twice, "/streams/1/shards/1/number", 0),
        (twice, "/streams/1/shards/1/number", 2),
        (twice, "/streams/1/shards/1/number", 3),
        (twice, "/streams/1/number", 1),
        (twice, "/streams/1/number", 2),
        (shard, "/streams/1/shards/1/hash_keys/0", 7),
        ("shardId-000000000000 does not come before shardId-000000000000", "/streams/1/shards/1/id", 0),
        ("stream 'b' would give an id twice", "/streams/1/shards/1/id", 2),
        ("stream 'b' would give an id twice", "/streams/1/next_id", 1),
    ] {
        let error = bad(&|document| *document.pointer_mut(pointer).unwrap() = value.into());
        assert!(error.contains(said), "{pointer} = {value}: {error}");
    }
    let error = bad(&|document| document["streams"][0]["durability"] = "memory".into());
    assert!(error.contains("stream 'a' has durability \"memory\""), "{error}");
    let error = bad(&|document| document["streams"][0]["shards"] = serde_json::json!([]));
    assert!(error.contains("stream 'a': the open shards do not cover the hash space once"), "{error}");
    let error = bad(&|document| document["streams"][1]["shards"][1]["hash_keys"][0] = "1".into());
    assert!(error.contains("stream 'b': the open shards do not cover the hash space once"), "{error}");
    let error = bad(&|document| document["streams"][0]["shards"][0]["first"] = "-1".into());
    assert!(error.contains("shard 0 of stream 'a' is not as it was written"), "{error}");
    let error = bad(&|document| document["streams"][0]["name"] = "b".into());
    assert!(error.contains("stream 'b' is there twice"), "{error}");
}

/// Configurations that come one after the other, of up to four names.
fn configurations() -> impl Strategy<Value = Vec<Vec<checked::Stream>>> {
    let durability = prop_oneof![Just(Durability::Fsync), Just(Durability::Os), Just(Durability::Memory)];
    let stream = (0_usize..4, durability, 1_u32..4)
        .prop_map(|(name, durability, shards)| stream(["a", "b", "c", "d"][name], durability, shards));
    let named_once = prop::collection::vec(stream, 0..5).prop_map(|mut streams| {
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        streams.dedup_by(|a, b| a.name == b.name);
        streams
    });
    prop::collection::vec(named_once, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_configurations_come_no_number_is_given_twice_and_none_changes(sequence in configurations()) {
        let (_kept, folder) = folder();
        let mut catalog = Catalog::default();
        for streams in sequence {
            let before = catalog.clone();
            let Ok(changes) = catalog.reconcile(&streams, NOW) else {
                prop_assert_eq!(&catalog, &before);
                continue;
            };
            catalog.save(&folder).unwrap();
            // Reading checks that the numbers are unique.
            prop_assert_eq!(&Catalog::open(&folder).unwrap(), &catalog);
            for known in before.streams() {
                let now = catalog.stream(&known.name).unwrap();
                prop_assert_eq!((now.number, &now.shards), (known.number, &known.shards));
            }
            for config in &streams {
                let found = catalog.stream(&config.name);
                prop_assert_eq!(found.is_some(), config.durability.is_durable());
                let has_as_many = found.is_none_or(|found| found.shards.len() == config.shards as usize);
                prop_assert!(has_as_many || changes.resized.contains(&(config.name.clone(), config.shards)));
            }
        }
    }
}
