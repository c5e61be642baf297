//! A delivery that is stopped while the process goes on, and what its ledger keeps of shards that have gone.

use std::time::Duration;

use super::lake;
use super::world::{Kind, SHARDS, Spec, World, config};
use crate::delivery::{Begin, StatusReport};
use crate::runtime::clock::UnixMicros;
use crate::testkit::disk::{Failure, Fault, Operation};

const MEMORY: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn records(count: usize) -> Vec<Spec> {
    let spec = |index| Spec { shard: index % SHARDS, partition: (index % 2) as u8, kind: Kind::Number };
    (0..count as u32).map(spec).collect()
}

async fn finish(world: &mut World) {
    let (report, has_ended) = world.drain(SECOND * 600).await;
    assert!(has_ended && report.pending == 0, "{report:?}");
    assert_eq!(report.accepted + report.backlog, report.delivered + report.dead_lettered + report.passed);
}

#[test]
fn one_that_is_stopped_closes_nothing_and_the_next_has_all_of_it() {
    runtime().block_on(async {
        let mut world = World::durable(1);
        let mut slow = config(0);
        slow.buffer.interval = SECOND * 3_600;
        slow.buffer.size_bytes = 1 << 20;
        world.start(slow, MEMORY).unwrap();
        world.send(&records(30)).await;
        world.run(u64::MAX, SECOND).await;
        world.stop().await;
        assert!(lake::files(&world.disk).is_empty());
        world.send(&records(10)).await;
        world.start(config(8), MEMORY).unwrap();
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
        assert!(lake::files(&world.disk).iter().all(|file| file.folder.contains("/v8/")));
    });
}

#[test]
fn one_whose_sink_takes_nothing_is_stopped_all_the_same() {
    runtime().block_on(async {
        let mut world = World::durable(2);
        world.start(config(0), MEMORY).unwrap();
        world.send(&records(60)).await;
        world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
        world.run(u64::MAX, SECOND).await;
        tokio::time::timeout(SECOND * 10, world.stop()).await.unwrap();
        world.disk.heal();
        assert!(!world.ledger().open.is_empty(), "what was closed is to be made again");
        world.start(config(1), MEMORY).unwrap();
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn without_a_ledger_only_one_that_is_deleted_gives_up_what_its_sink_does_not_take() {
    runtime().block_on(async {
        let mut world = World::new(5);
        world.keeps_ledger = false;
        world.start(config(0), MEMORY).unwrap();
        world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
        world.send(&records(30)).await;
        world.run(u64::MAX, SECOND).await;
        tokio::time::timeout(SECOND * 600, world.stop()).await.expect_err("another one may follow");
        tokio::time::timeout(SECOND * 10, world.stop_for_good()).await.unwrap();
        assert!(lake::files(&world.disk).is_empty());
    });
}

#[test]
fn without_a_ledger_what_one_has_lost_is_in_the_balance_of_the_next() {
    runtime().block_on(async {
        let mut world = World::new(6);
        world.keeps_ledger = false;
        world.start(config(0), MEMORY).unwrap();
        world.send(&records(20)).await;
        world.run(u64::MAX, SECOND * 60).await;
        assert_eq!(world.report().delivered, 20);
        world.disk.inject(Fault::new(Operation::Create, Failure::Io).on(".tmp").times(u64::MAX));
        world.send(&records(30)).await;
        world.run(u64::MAX, SECOND).await;
        world.stop_for_good().await;
        world.disk.heal();
        // Not read by the one that has ended.
        world.send(&records(10)).await;
        world.start(config(1), MEMORY).unwrap();
        world.send(&records(10)).await;
        let (report, has_ended) = world.drain(SECOND * 600).await;
        assert!(has_ended, "{report:?}");
        let StatusReport { accepted, backlog, delivered, skipped, pending, .. } = report;
        assert_eq!((accepted, backlog, delivered + skipped, pending), (10, 40, 50, 0));
        let stored: usize = lake::files(&world.disk).iter().map(|file| file.records.len()).sum();
        assert_eq!(stored as u64, 20 + delivered);
        assert!(skipped > 0, "what it had read of 30 when its sink was away");
    });
}

#[test]
fn without_a_ledger_the_next_begins_where_the_one_before_has_stored_all() {
    runtime().block_on(async {
        let mut world = World::new(3);
        world.keeps_ledger = false;
        world.start(config(0), MEMORY).unwrap();
        world.send(&records(30)).await;
        world.run(u64::MAX, SECOND / 10).await;
        world.stop().await;
        let stored: usize = lake::files(&world.disk).iter().map(|file| file.records.len()).sum();
        let Begin::Behind(positions, _) = world.begin.clone() else { panic!("it has ended somewhere") };
        let read: u64 = positions
            .iter()
            .map(|&(id, position)| position.0 - world.stream.shard(id).unwrap().bounds().first.0)
            .sum();
        assert_eq!(stored as u64, read);
        world.send(&records(30)).await;
        world.start(config(1), MEMORY).unwrap();
        finish(&mut world).await;
        world.check_lake();
    });
}

#[test]
fn with_a_shard_the_configurations_go_that_were_kept_for_it() {
    runtime().block_on(async {
        let mut world = World::durable(4);
        world.start(config(0), MEMORY).unwrap();
        world.send(&records(30)).await;
        world.reshard(0, true).await;
        world.send(&records(30)).await;
        finish(&mut world).await;
        let much_later = UnixMicros(i64::MAX / 2);
        let gone = world.stream.outlived(much_later);
        assert_eq!(gone.len(), 1);
        world.stream.forget(&gone);
        assert!(world.ledger().knows(gone[0]));
        for variant in [1, 3, 8] {
            world.start(config(variant), MEMORY).unwrap();
            world.send(&records(10)).await;
            world.run(u64::MAX, SECOND).await;
            world.stop().await;
        }
        world.start(config(0), MEMORY).unwrap();
        finish(&mut world).await;
        let state = world.ledger();
        assert_eq!((state.knows(gone[0]), state.epochs.len()), (false, 1), "{:?}", state.epochs);
        assert!(!state.shards.contains_key(&gone[0]));
        world.check_lake();
    });
}
