//! Columns that are learned while records come, and processes that die meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;

use super::lake;
use super::world::{Kind, SHARDS, Spec, World, config};
use crate::config::checked::{Delivery, Format, ParquetCompression, ParquetFormat};
use crate::config::limits::{DELIVERY_READ_BYTES, LOOK_AHEAD_BYTES, LOOK_AHEAD_BYTES_MAX};
use crate::delivery::epoch::EpochConfig;
use crate::delivery::worker::Worker;
use crate::delivery::worker::learn::Look;
use crate::record::ShardId;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::phases::{Phase, Phases};
use crate::schema::columns::Columns;
use crate::schema::inference::{OnConflict, Rules};
use crate::testkit::disk::{Failure, Fault, Operation};

const MEMORY: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// One file a partition, unless something else closes it.
fn learned() -> Delivery {
    let mut delivery = config(2);
    delivery.format =
        Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::new(Columns::unlearned())));
    delivery.buffer.size_bytes = 1 << 20;
    delivery.buffer.interval = SECOND * 600;
    delivery
}

fn world(seed: u64, on_conflict: OnConflict) -> World {
    let mut world = World::new(seed);
    world.learns = Some(Rules { on_conflict, columns_max: 20 });
    world
}

fn record(shard: u32, kind: Kind) -> Spec {
    Spec { shard, partition: 0, kind }
}

async fn finish(world: &mut World) {
    let (report, has_ended) = world.drain(SECOND * 600).await;
    assert!(has_ended, "{report:?}");
    assert_eq!((report.pending, report.paused.as_deref()), (0, None), "{report:?}");
    world.check_lake();
    world.check_ledger();
}

/// `name: type` of each column of the newest version, and its number.
fn known(world: &World) -> (Vec<String>, u32) {
    let latest = world.schema().unwrap().latest();
    let columns = latest.columns.as_slice().iter();
    (columns.map(|column| format!("{}: {}", column.name, column.column_type)).collect(), latest.number)
}

const USUAL: [&str; 5] = ["n: int64", "id: int64", "at: timestamp_micros", "p: string", "pad: string"];

#[test]
fn the_first_records_tell_the_columns() {
    runtime().block_on(async {
        let mut world = world(1, OnConflict::Widen);
        world.start(learned(), MEMORY).unwrap();
        world.send(&[record(0, Kind::Number), record(1, Kind::Extra(3))]).await;
        world.run(u64::MAX, SECOND * 10).await;
        finish(&mut world).await;
        let mut expected = USUAL.map(str::to_owned).to_vec();
        expected.push("x3: int64".to_owned());
        assert_eq!(known(&world), (expected, 1));
        assert_eq!(lake::files(&world.disk).len(), 1);
    });
}

#[test]
fn old_and_new_producers_side_by_side_share_their_files() {
    runtime().block_on(async {
        let mut world = world(1, OnConflict::Widen);
        world.start(learned(), MEMORY).unwrap();
        world.send(&[record(0, Kind::Number), record(1, Kind::Number)]).await;
        world.run(u64::MAX, SECOND * 10).await;
        for round in 0..60 {
            let shard = round % SHARDS;
            world.send(&[record(shard, Kind::Extra(0)), record(shard, Kind::Number)]).await;
            world.run(u64::MAX, SECOND).await;
        }
        finish(&mut world).await;
        assert_eq!(known(&world).1, 2);
        let files: Vec<_> = lake::files(&world.disk).iter().map(|file| file.records.len()).collect();
        assert_eq!((files.len(), files.iter().sum::<usize>()), (2, 122), "one a version: {files:?}");
    });
}

#[test]
fn contradictory_producers_end_as_the_policy_says() {
    for (policy, id, dead, versions) in [
        (OnConflict::Widen, vec!["id: json"], 0, 2),
        (OnConflict::String, vec!["id: string"], 0, 2),
        (OnConflict::Suffix, vec!["id: int64", "id_string: string"], 0, 2),
        (OnConflict::DeadLetter, vec!["id: int64"], 20, 1),
        (OnConflict::Reject, vec!["id: int64"], 20, 1),
    ] {
        runtime().block_on(async {
            let mut world = world(1, policy);
            world.start(learned(), MEMORY).unwrap();
            world.send(&[record(0, Kind::Number)]).await;
            world.run(u64::MAX, SECOND * 10).await;
            for _ in 0..20 {
                world.send(&[record(0, Kind::Text), record(1, Kind::Number)]).await;
                world.run(u64::MAX, SECOND).await;
            }
            let (report, _) = world.drain(SECOND * 600).await;
            assert_eq!((report.pending, report.dead_lettered), (0, dead), "{policy}: {report:?}");
            world.check_lake();
            world.check_ledger();
            let (columns, version) = known(&world);
            let of_id: Vec<_> = columns.into_iter().filter(|column| column.starts_with("id")).collect();
            assert_eq!((of_id, version), (id.into_iter().map(str::to_owned).collect(), versions), "{policy}");
        });
    }
}

#[test]
fn a_producer_that_invents_fields_meets_the_bound_and_few_files_are_made_of_it() {
    runtime().block_on(async {
        let mut world = world(1, OnConflict::Widen);
        world.start(learned(), MEMORY).unwrap();
        for number in 0..200 {
            world.send(&[record(0, Kind::Extra(number)), record(0, Kind::Number)]).await;
            world.run(u64::MAX, Duration::from_millis(50)).await;
        }
        let (report, has_ended) = world.drain(SECOND * 600).await;
        assert!(has_ended);
        world.check_lake();
        world.check_ledger();
        let (columns, versions) = known(&world);
        assert_eq!(columns.len(), 20);
        assert_eq!(report.dead_lettered, 200 - 15, "{report:?}");
        assert!(versions <= 4, "{versions} versions");
    });
}

#[test]
fn a_version_that_no_epoch_tells_of_is_where_the_next_process_begins() {
    runtime().block_on(async {
        let mut world = world(1, OnConflict::Widen);
        world.start(learned(), MEMORY).unwrap();
        world.send(&[record(0, Kind::Number), record(1, Kind::Number)]).await;
        world.run(u64::MAX, SECOND * 10).await;
        world.disk.inject(Fault::new(Operation::Write, Failure::Io).on(".ledger").times(u64::MAX));
        world.disk.inject(Fault::new(Operation::Write, Failure::Io).on(".tmp").times(u64::MAX));
        world.send(&[record(0, Kind::Extra(1)), record(1, Kind::Number)]).await;
        world.run(u64::MAX, SECOND * 10).await;
        assert_eq!(known(&world).1, 2);
        world.kill(true);
        assert_eq!(world.ledger().epochs.last().map(|epoch| epoch.number), Some(2));
        world.start(learned(), MEMORY).unwrap();
        world.send(&[record(0, Kind::Extra(1)), record(1, Kind::Number)]).await;
        world.run(u64::MAX, SECOND * 10).await;
        finish(&mut world).await;
        assert_eq!(known(&world).1, 2);
    });
}

#[test]
fn nothing_is_delivered_under_columns_that_cannot_be_kept() {
    runtime().block_on(async {
        let mut world = world(1, OnConflict::Widen);
        world.start(learned(), MEMORY).unwrap();
        world.disk.inject(Fault::new(Operation::Rename, Failure::Full).on("s.json.new").times(u64::MAX));
        world.send(&[record(0, Kind::Number)]).await;
        world.run(u64::MAX, SECOND * 60).await;
        let paused = world.report().paused.unwrap();
        assert!(paused.contains("a new version of the columns cannot be kept"), "{paused}");
        assert_eq!(world.disk.list(Path::new("/lake")).unwrap().len(), 0);
        world.disk.heal();
        world.run(u64::MAX, SECOND * 60).await;
        finish(&mut world).await;
        assert_eq!(known(&world).1, 1);
    });
}

#[test]
fn a_process_begins_with_whatever_keys_the_one_before_has_met() {
    let keys = ["", " ", "\"", "a\"b", "\\", "=|:<>,", "\u{0}", "ö", "A", "a"];
    let object: serde_json::Map<_, _> = keys.map(|key| (key.to_owned(), 1.into())).into_iter().collect();
    let records = [serde_json::json!({ "s": object, "l": [object] }), object.clone().into()];
    for on_conflict in OnConflict::WORDS.map(|(_, policy)| policy) {
        let mut world = world(1, on_conflict);
        world.learns = Some(Rules { on_conflict, columns_max: 100 });
        let schemas = world.schema().unwrap();
        let mut learner = schemas.learner(&schemas.latest().columns);
        records.iter().for_each(|record| assert_eq!(learner.take(&record.to_string()), Ok(true)));
        let version = schemas.add(0, &learner, None, UnixMicros(0)).unwrap().version;
        let format = learned().format.with_columns(Arc::clone(&version.columns));
        let delivery = Delivery { format, ..learned() };
        let text = EpochConfig::of(&delivery).text();
        let restored = EpochConfig::parse(&text).unwrap().delivery(&learned()).unwrap();
        assert_eq!(restored.format.columns().unwrap().as_slice(), version.columns.as_slice());
        assert_eq!(world.schema().unwrap().latest().columns, version.columns);
    }
}

#[test]
fn a_record_that_cannot_be_read_again_for_now_is_no_dead_letter() {
    for reads in 0..12 {
        runtime().block_on(async {
            let mut world = World::durable(1);
            world.learns = Some(Rules { on_conflict: OnConflict::Widen, columns_max: 20 });
            // No other record has its fields.
            world.send(&[record(0, Kind::Number)]).await;
            world.start(learned(), MEMORY).unwrap();
            // Out of memory, so that every look is one at the disk.
            world.stream.reclaim(UnixMicros(i64::MAX));
            world.log_disk.inject(Fault::new(Operation::Read, Failure::Io).after(reads).times(1));
            world.run(u64::MAX, SECOND * 60).await;
            let report = world.report();
            assert_eq!((report.dead_lettered, report.paused), (0, None), "after {reads} reads");
            finish(&mut world).await;
            assert_eq!(known(&world).0.len(), USUAL.len());
        });
    }
}

#[test]
fn a_drain_that_begins_within_a_look_ahead_ends_it_soon() {
    /// 64 records of 128 KiB.
    const ALL: u64 = 8 << 20;
    /// With a read, of which the last record may be beyond.
    const SHORT: std::ops::Range<u64> = LOOK_AHEAD_BYTES..LOOK_AHEAD_BYTES + DELIVERY_READ_BYTES;
    for (drains_after, expected) in [(None, ALL..2 * ALL), (Some(0), SHORT), (Some(1), SHORT)] {
        runtime().block_on(async {
            let mut world = world(1, OnConflict::Widen);
            world.pad = 128 << 10;
            for number in 0..64 {
                world.send(&[record(0, Kind::Extra(number % 8))]).await;
            }
            let parts = world.parts(learned(), MEMORY).unwrap();
            let mut worker = Worker::new(&parts).unwrap();
            let phases = Phases::new();
            let schemas = world.schema().unwrap();
            let learner = schemas.learner(&schemas.latest().columns);
            let mut look = Look { learner, bytes_max: LOOK_AHEAD_BYTES_MAX, phases: &phases };
            let place = (ShardId(0), worker.positions()[0].1);
            let (bytes, ended) = {
                let mut looked =
                    std::pin::pin!(worker.look_into(place, (0, LOOK_AHEAD_BYTES_MAX), &mut look));
                for _ in 0..drains_after.unwrap_or_default() {
                    // It lets others have a turn behind each read.
                    let polled = std::future::poll_fn(|context| Poll::Ready(looked.as_mut().poll(context)));
                    assert!(polled.await.is_pending());
                }
                if drains_after.is_some() {
                    phases.advance(Phase::Draining);
                }
                looked.await
            };
            assert_eq!(ended, Ok(()));
            assert!(expected.contains(&bytes), "{drains_after:?}: {bytes} bytes of {expected:?}");
            assert_eq!(look.learner.fits("{\"x0\":1}"), Ok(true), "it has seen some");
        });
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Spec>),
    Work { polls: u64 },
    Wait { millis: u64 },
    Kill { power: bool },
    Fault { operation: Operation, after: u64, times: u64 },
    Heal,
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        5 => Just(Kind::Number),
        1 => Just(Kind::Text),
        2 => (0_u8..6).prop_map(Kind::Extra),
        1 => Just(Kind::Homeless),
        1 => Just(Kind::Refused),
    ];
    (0..SHARDS, 0..2_u8, kind).prop_map(|(shard, partition, kind)| Spec { shard, partition, kind })
}

fn step() -> impl Strategy<Value = Step> {
    let operations = [Operation::Create, Operation::Rename, Operation::Write, Operation::Sync];
    prop_oneof![
        6 => prop::collection::vec(spec(), 1..20).prop_map(Step::Send),
        8 => (1..30_u64).prop_map(|polls| Step::Work { polls }),
        4 => (1..3_000_u64).prop_map(|millis| Step::Wait { millis }),
        4 => any::<bool>().prop_map(|power| Step::Kill { power }),
        2 => (prop::sample::select(operations.to_vec()), 0..20_u64, 1..10_u64)
            .prop_map(|(operation, after, times)| Step::Fault { operation, after, times }),
        1 => Just(Step::Heal),
    ]
}

async fn check(steps: Vec<Step>, on_conflict: OnConflict, columns_max: usize, seed: u64) {
    let mut world = if seed.is_multiple_of(2) { World::new(seed) } else { World::durable(seed) };
    world.learns = Some(Rules { on_conflict, columns_max });
    let mut delivery = learned();
    delivery.buffer.size_bytes = 700;
    delivery.buffer.interval = SECOND;
    world.start(delivery.clone(), MEMORY).unwrap();
    for step in &steps {
        match *step {
            Step::Send(ref specs) => world.send(specs).await,
            Step::Work { polls } => world.run(polls, SECOND).await,
            Step::Wait { millis } => world.run(u64::MAX, Duration::from_millis(millis)).await,
            Step::Kill { power } => {
                world.kill(power);
                let _ = world.start(delivery.clone(), MEMORY);
            }
            Step::Fault { operation, after, times } => {
                world.disk.inject(Fault::new(operation, Failure::Io).after(after).times(times));
            }
            Step::Heal => world.disk.heal(),
        }
    }
    world.disk.heal();
    if !world.is_running() {
        world.start(delivery.clone(), MEMORY).unwrap();
    }
    let (report, has_ended) = world.drain(SECOND * 600).await;
    assert!(has_ended, "{report:?}");
    assert_eq!((report.pending, report.skipped, report.paused.as_deref()), (0, 0, None), "{report:?}");
    world.check_lake();
    world.check_ledger();
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_file_while_columns_grow(
        steps in prop::collection::vec(step(), 1..50),
        policy in prop::sample::select(OnConflict::WORDS.map(|(_, policy)| policy).to_vec()),
        columns_max in prop::sample::select(vec![6, 8, 100]),
        seed in any::<u64>(),
    ) {
        runtime().block_on(check(steps, policy, columns_max, seed));
    }
}
