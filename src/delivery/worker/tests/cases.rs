//! What random schedules meet rarely, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::lake;
use super::world::{Kind, Spec, World, config, ledger_folder};
use crate::config::checked::Delivery;
use crate::delivery::OpenError;
use crate::delivery::ledger::{Entry, Epoch, Ledger, Seal, SealedRange};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::testkit::disk::{Failure, Fault, Operation};

const MEMORY: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn records(count: usize) -> Vec<Spec> {
    (0..count).map(|index| Spec { shard: 0, partition: (index % 2) as u8, kind: Kind::Number }).collect()
}

/// Far beyond the retention of every record.
fn much_later() -> UnixMicros {
    UnixMicros(i64::MAX / 2)
}

/// Has the log forget what it holds, as if the delivery had released it.
fn lose_records(world: &World) {
    for id in world.stream.shard_ids() {
        let log = world.stream.shard(id).unwrap();
        log.release(0, log.bounds().next);
    }
    world.stream.enforce_retention(much_later());
    assert_eq!(world.stream.retained().0, 0);
}

async fn finish(world: &mut World) {
    let (report, has_ended) = world.drain(SECOND * 600).await;
    assert!(has_ended, "{report:?}");
    assert_eq!(report.pending, 0, "{report:?}");
}

/// Lets the process close files that the sink does not take, and kills it.
async fn leave_open_seals(world: &mut World, config: Delivery) {
    world.start(config, MEMORY).unwrap();
    world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
    world.run(u64::MAX, SECOND).await;
    world.kill(false);
    assert!(lake::files(&world.disk).is_empty());
    assert_eq!(world.ledger().open.len(), 2);
}

#[test]
fn nothing_is_stored_before_the_ledger_has_it_and_one_that_cannot_be_written_pauses_the_delivery() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.start(config(0), MEMORY).unwrap();
        world.run(u64::MAX, SECOND).await;
        world.send(&records(20)).await;
        world.disk.inject(Fault::new(Operation::Sync, Failure::Io).times(u64::MAX));
        world.run(u64::MAX, SECOND * 60).await;
        let paused = world.report().paused.unwrap();
        assert!(paused.contains("the ledger cannot be written"), "{paused}");
        assert_eq!(world.disk.list(Path::new("/lake")).unwrap(), Vec::<PathBuf>::new(), "not even a folder");
        assert_eq!((world.report().delivered, world.report().pending), (0, 20));
        world.disk.heal();
        world.run(u64::MAX, SECOND * 30).await;
        let report = world.report();
        assert_eq!((report.delivered, report.paused), (20, None));
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn the_log_keeps_what_is_not_committed_and_may_forget_the_rest() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.send(&records(20)).await;
        world.start(config(0), MEMORY).unwrap();
        world.disk.inject(Fault::new(Operation::Rename, Failure::Io).times(u64::MAX));
        world.run(u64::MAX, SECOND).await;
        world.stream.enforce_retention(much_later());
        assert_eq!(world.stream.retained().0, 20, "closed, but not stored");
        world.disk.heal();
        world.run(u64::MAX, SECOND * 30).await;
        world.stream.enforce_retention(much_later());
        assert_eq!(world.stream.retained().0, 0);
        finish(&mut world).await;
        world.check_lake();
    });
}

#[test]
fn records_that_the_log_has_lost_are_counted_and_the_balance_stays_true() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.start(config(0), MEMORY).unwrap();
        world.run(u64::MAX, SECOND).await;
        world.send(&records(7)).await;
        lose_records(&world);
        world.send(&records(5)).await;
        let (report, has_ended) = world.drain(SECOND * 600).await;
        assert!(has_ended);
        let counts = (report.accepted, report.delivered, report.skipped, report.pending);
        assert_eq!(counts, (12, 5, 7, 0));
        let state = world.ledger();
        assert_eq!(state.shards[&ShardId(0)].lost, 7);
        assert_eq!(state.committed_records, 5);

        // What was gone before a process began is noted, and no part of its balance.
        world.send(&records(3)).await;
        lose_records(&world);
        world.start(config(0), MEMORY).unwrap();
        let (report, has_ended) = world.drain(SECOND * 600).await;
        assert!(has_ended);
        assert_eq!((report.backlog, report.skipped, report.pending), (0, 0, 0));
        assert_eq!(world.ledger().shards[&ShardId(0)].lost, 10);
    });
}

/// Ten records in two files that are closed and not stored, of which the log lets go of `lost` when the next process
/// has begun, or before that.
async fn lose_of_open_seals(lost: usize, has_begun: bool) -> World {
    let mut world = World::new(1);
    world.send(&records(lost)).await;
    let lost_below = world.stream.shard(ShardId(0)).unwrap().bounds().next;
    world.send(&records(10 - lost)).await;
    leave_open_seals(&mut world, config(0)).await;
    if has_begun {
        world.start(config(0), MEMORY).unwrap();
    }
    world.stream.shard(ShardId(0)).unwrap().release(0, lost_below);
    world.stream.enforce_retention(much_later());
    assert_eq!(world.stream.retained().0, 10 - lost as u64);
    if !has_begun {
        world.start(config(0), MEMORY).unwrap();
    }
    world
}

/// Checks that the ledger and the lake have all but the first `lost` of ten records.
fn check_all_but(world: &World, lost: u64) {
    let state = world.ledger();
    assert!(state.open.is_empty());
    let totals = state.shards[&ShardId(0)];
    assert_eq!((state.committed_records, totals.delivered, totals.lost), (10 - lost, 10 - lost, lost));
    let mut found: Vec<_> = lake::files(&world.disk).into_iter().flat_map(|file| file.records).collect();
    found.sort_unstable();
    assert!(found.iter().copied().eq(lost..10), "{found:?}");
}

#[test]
fn of_a_closed_file_whose_records_are_lost_the_rest_is_stored() {
    // With nine lost records one file has nothing left, with ten neither has: no object is made of that.
    for (lost, objects) in [(6, 2), (9, 1), (10, 0)] {
        for has_begun in [false, true] {
            runtime().block_on(async {
                let mut world = lose_of_open_seals(lost, has_begun).await;
                let (report, has_ended) = world.drain(SECOND * 600).await;
                let lost = lost as u64;
                assert!(has_ended && report.paused.is_none(), "{report:?}");
                assert_eq!((report.delivered, report.pending), (10 - lost, 0), "{report:?}");
                // What the process has never found it cannot miss.
                let counted = if has_begun { (10, lost) } else { (10 - lost, 0) };
                assert_eq!((report.backlog, report.skipped), counted, "{report:?}");
                assert_eq!(lake::files(&world.disk).len(), objects);
                check_all_but(&world, lost);
            });
        }
    }
}

#[test]
fn the_rest_of_a_closed_file_is_not_taken_for_all_of_it_after_a_crash() {
    runtime().block_on(async {
        let mut world = lose_of_open_seals(6, false).await;
        while lake::files(&world.disk).len() < 2 {
            world.run(1, SECOND).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.kill(false);
        assert!(world.ledger().open.values().any(|open| open.records() == 2), "stored, but not committed");
        world.start(config(0), MEMORY).unwrap();
        finish(&mut world).await;
        check_all_but(&world, 6);
    });
}

#[test]
fn records_that_only_the_sink_has_are_delivered_and_not_lost() {
    for has_begun in [false, true] {
        runtime().block_on(async {
            let mut world = World::new(1);
            world.send(&records(10)).await;
            leave_open_seals(&mut world, config(0)).await;
            world.start(config(0), MEMORY).unwrap();
            // Both are stored, and none is committed.
            world.disk.inject(Fault::new(Operation::Write, Failure::Io).on(".ledger").times(u64::MAX));
            while lake::files(&world.disk).len() < 2 {
                world.run(1, SECOND).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            world.kill(false);
            world.disk.heal();
            assert_eq!(world.ledger().open.len(), 2);
            if has_begun {
                world.start(config(0), MEMORY).unwrap();
                lose_records(&world);
            } else {
                lose_records(&world);
                world.start(config(0), MEMORY).unwrap();
            }
            let (report, has_ended) = world.drain(SECOND * 600).await;
            assert!(has_ended);
            assert_eq!((report.backlog, report.delivered, report.skipped, report.pending), (10, 10, 0, 0));
            check_all_but(&world, 0);
        });
    }
}

#[test]
fn a_closed_file_that_the_sink_has_is_not_overwritten_with_what_the_log_still_has() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.send(&records(10)).await;
        world.start(config(0), MEMORY).unwrap();
        // Stored, but the process is killed before it can write that down.
        while lake::files(&world.disk).len() < 2 {
            world.run(1, SECOND).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.kill(false);
        assert!(!world.ledger().open.is_empty());
        lose_records(&world);
        world.start(config(0), MEMORY).unwrap();
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn a_closed_file_that_the_log_cannot_have_filled_stops_the_delivery_and_touches_nothing() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.send(&records(4)).await;
        world.start(config(0), MEMORY).unwrap();
        world.run(u64::MAX, Duration::from_millis(50)).await;
        world.kill(false);
        let (ledger, state) = Ledger::open(Arc::new(world.disk.clone()), ledger_folder()).unwrap();
        let first = state.cursor[&ShardId(0)];
        let last = SequenceNumber(first.0 + 3);
        let seal = Seal {
            number: state.next_seal,
            epoch: 1,
            partition: b"of another time".to_vec(),
            folder: "p=a/".into(),
            ranges: vec![SealedRange { shard: ShardId(0), first, last, records: 2 }],
            records: 2,
            key: "p=a/s-d-00000000-00000000-00000000.json".into(),
            guard: None,
            dead: None,
            passed: false,
            reason: "age".into(),
            oldest: UnixMicros(0),
        };
        ledger.append_blocking(&[Entry::Seal(seal)]).unwrap();
        world.start(config(0), MEMORY).unwrap();
        world.run(u64::MAX, SECOND * 60).await;
        let report = world.report();
        let paused = report.paused.unwrap();
        assert!(paused.contains("0 records of the file") && paused.contains("restart"), "{paused}");
        assert_eq!(report.pending, 4);
        assert!(lake::files(&world.disk).is_empty());
        let (report, has_ended) = world.drain(SECOND * 600).await;
        assert!(has_ended, "there is nothing to wait for");
        assert_eq!((report.pending, world.ledger().open.len()), (4, 1));
    });
}

#[test]
fn a_ledger_remembers_no_more_than_it_may_and_a_full_one_does_not_keep_the_next_process_from_reading() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.settled_max = 6;
        let pairs =
            (0..9).map(|index| Spec { shard: index % 3, partition: (index / 3) as u8, kind: Kind::Number });
        let pairs: Vec<_> = pairs.collect();
        for _ in 0..3 {
            for spec in &pairs {
                world.send(std::slice::from_ref(spec)).await;
            }
        }
        world.start(config(0), MEMORY).unwrap();
        world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
        world.drain(SECOND * 60).await;
        world.disk.heal();
        assert_eq!(world.ledger().settled_len(), 6);
        // Less than it finds there.
        world.settled_max = 4;
        world.start(config(0), MEMORY).unwrap();
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn files_that_were_closed_under_an_earlier_configuration_go_to_its_sink_in_its_format() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.send(&records(10)).await;
        leave_open_seals(&mut world, config(3)).await;
        world.start(config(2), MEMORY).unwrap();
        world.send(&records(6)).await;
        finish(&mut world).await;
        let files = lake::files(&world.disk);
        let of = |root: &str, ending: &str| {
            let mut all = files.iter().filter(|file| file.name.starts_with(root));
            all.all(|file| file.name.ends_with(ending))
        };
        assert!(of("/pond", ".json") && of("/lake", ".parquet"));
        let in_pond = files.iter().filter(|file| file.name.starts_with("/pond"));
        assert_eq!(in_pond.map(|file| file.records.len()).sum::<usize>(), 10);
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn closed_files_that_memory_has_no_room_for_together_are_made_again_one_after_the_other() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.pad = 20_000;
        for _ in 0..10 {
            let specs: Vec<_> =
                (0..10).map(|n| Spec { shard: 0, partition: n % 5, kind: Kind::Number }).collect();
            world.send(&specs).await;
        }
        let mut large = config(0);
        large.buffer.size_bytes = 10 << 20;
        large.open_partitions_max = 5;
        world.start(large.clone(), MEMORY).unwrap();
        world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
        world.run(u64::MAX, SECOND).await;
        world.kill(false);
        assert_eq!(world.ledger().open.len(), 5, "400 KB each");

        world.start(large, 500_000).unwrap();
        finish(&mut world).await;
        assert_eq!(lake::files(&world.disk).len(), 5);
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn only_what_decides_over_files_begins_an_epoch() {
    runtime().block_on(async {
        let mut world = World::new(1);
        let mut buffered = config(0);
        buffered.buffer.size_bytes *= 2;
        buffered.open_partitions_max += 1;
        for (config, number) in [(config(0), 1), (buffered, 1), (config(1), 2), (config(0), 3)] {
            world.send(&records(3)).await;
            world.start(config, MEMORY).unwrap();
            finish(&mut world).await;
            assert_eq!(world.ledger().epochs.last().unwrap().number, number);
        }
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn a_configuration_of_a_later_version_is_refused_at_the_start() {
    let mut world = World::new(1);
    let (ledger, _) = Ledger::open(Arc::new(world.disk.clone()), ledger_folder()).unwrap();
    let config_text = serde_json::json!({ "transform": "sql" });
    let epoch = Epoch { number: 1, config: config_text, from: vec![(ShardId(0), SequenceNumber(0))] };
    ledger.append_blocking(&[Entry::Epoch(epoch)]).unwrap();
    let error = world.start(config(0), MEMORY).unwrap_err();
    assert!(matches!(error, OpenError::Epoch(_)) && error.to_string().contains("transform"), "{error}");
}

#[test]
fn what_earlier_processes_have_delivered_is_no_backlog_once_it_is_read_again() {
    runtime().block_on(async {
        let mut world = World::new(1);
        world.send(&records(1)).await;
        world.run(1, SECOND).await;
        // A quiet partition holds the cursor back while a busy one is stored.
        let mut slow = config(0);
        slow.buffer.interval = SECOND * 3_000;
        world.start(slow.clone(), MEMORY).unwrap();
        let busy = Spec { shard: 0, partition: 1, kind: Kind::Number };
        world.send(&[busy; 100]).await;
        world.run(u64::MAX, SECOND * 20).await;
        let before = world.report();
        assert!(before.delivered >= 50 && before.pending > 0, "{before:?}");
        world.kill(true);
        assert_eq!(world.ledger().cursor[&ShardId(0)].0, world.sent[0].1.0);

        world.start(slow, MEMORY).unwrap();
        assert_eq!(world.report().backlog, 101, "not read again so far");
        world.run(u64::MAX, SECOND).await;
        assert_eq!(world.report().backlog, 101 - before.delivered);
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn a_log_that_cannot_be_read_pauses_the_delivery_until_it_can() {
    runtime().block_on(async {
        let mut world = World::durable(1);
        world.send(&records(20)).await;
        world.start(config(0), MEMORY).unwrap();
        // Out of memory, and not to be had from the disk.
        world.stream.reclaim(much_later());
        world.log_disk.inject(Fault::new(Operation::Read, Failure::Io).times(u64::MAX));
        world.run(u64::MAX, SECOND * 30).await;
        let report = world.report();
        let paused = report.paused.unwrap();
        assert!(paused.starts_with("the log cannot be read: "), "{paused}");
        assert_eq!((report.delivered, report.pending), (0, 20));
        world.log_disk.heal();
        world.run(u64::MAX, SECOND * 30).await;
        assert_eq!((world.report().delivered, world.report().paused), (20, None));
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}
