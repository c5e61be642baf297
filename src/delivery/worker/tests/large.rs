//! Files that are sent while they are filled: to a store that fails, forgets and is asked twice, and to a folder.

mod lost;
#[cfg(debug_assertions)]
mod panics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lake;
use super::world::{Kind, Spec, World, config};
use crate::config::checked::Delivery;
use crate::delivery::ledger::State;
use crate::runtime::disk::Disk;
use crate::testkit::disk::{Failure, Fault as DiskFault, Operation as DiskOperation};
use crate::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};

const MEMORY: u64 = 64 << 20;
/// Time for a look at the world; no test depends on what happens within it.
const LOOK: Duration = Duration::from_millis(5);
/// So that a test that hangs ends.
const LOOKS_MAX: u32 = 20_000;
/// Of one record.
const RECORD_BYTES: usize = 20_000;
/// Small enough that the chunks of the encoder make one part each.
const PART_BYTES: u64 = 200_000;

fn runtime() -> tokio::runtime::Runtime {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn to_store(server: &FaultyStore) -> Delivery {
    let mut config = config(0);
    config.sink = server.sink("lake/").unwrap();
    grown(config)
}

fn grown(mut config: Delivery) -> Delivery {
    config.sink.multipart_bytes = PART_BYTES;
    config.buffer.size_bytes = 4 << 20;
    config.buffer.interval = Duration::from_secs(3_600);
    config.open_partitions_max = 10;
    config
}

fn world() -> World {
    let mut world = World::new(1);
    world.pad = RECORD_BYTES;
    world
}

/// Records of so many partitions, in turn.
async fn send(world: &mut World, count: usize, partitions: usize) {
    for first in (0..count).step_by(10) {
        let records = first..count.min(first + 10);
        let spec = |index| Spec { shard: 0, partition: (index % partitions) as u8, kind: Kind::Number };
        world.send(&records.map(spec).collect::<Vec<_>>()).await;
    }
}

/// Lets the process run until `is_so`.
async fn until(world: &mut World, mut is_so: impl FnMut(&World) -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_so(world) {
            return;
        }
        world.run(u64::MAX, LOOK).await;
    }
    panic!("it never comes to that: {:?}", world.report());
}

async fn finish(world: &mut World) {
    let (report, has_ended) = world.drain(Duration::from_secs(100)).await;
    assert!(has_ended, "{report:?}");
    assert_eq!(report.pending, 0, "{report:?}");
}

fn count(server: &FaultyStore, operation: Operation) -> usize {
    let requests = server.requests();
    requests.iter().filter(|request| request.operation == operation && request.status == Some(200)).count()
}

/// Everything that was sent is in the store once and in its order, nothing was written twice, and nothing is left over.
fn check_store(world: &World, server: &FaultyStore) {
    let mut found = Vec::new();
    for (key, object) in server.objects() {
        assert_eq!(object.writes, 1, "{key}");
        let lines = std::str::from_utf8(&object.bytes).unwrap().lines();
        let numbers: Vec<u64> = lines
            .map(|line| {
                serde_json::from_str::<BTreeMap<String, serde_json::Value>>(line).unwrap()["n"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert!(numbers.is_sorted(), "{key}");
        found.extend(numbers);
    }
    found.sort_unstable();
    assert!(
        found.iter().copied().eq(0..world.sent.len() as u64),
        "{} of {}: {found:?}",
        found.len(),
        world.sent.len()
    );
    assert_eq!(server.uploads(), []);
    if world.keeps_ledger {
        world.check_ledger();
    }
}

fn ledger_after_kill(world: &mut World) -> State {
    world.kill(false);
    world.ledger()
}

#[test]
fn a_large_file_is_sent_while_it_is_filled_and_seen_when_it_is_closed() {
    for keeps_ledger in [true, false] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            world.keeps_ledger = keeps_ledger;
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 150, 1).await;
            until(&mut world, |_| count(&server, Operation::PutPart) >= 10).await;
            assert!(server.objects().is_empty(), "nobody sees a file that is not closed");
            until(&mut world, |world| world.held_bytes() < 600_000).await;
            finish(&mut world).await;
            assert_eq!((server.objects().len(), count(&server, Operation::Put)), (1, 0));
            check_store(&world, &server);
        });
    }
}

#[test]
fn small_files_that_are_closed_meanwhile_do_not_wait_for_a_large_one() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        let mut config = to_store(&server);
        config.open_partitions_max = 2;
        world.start(config, MEMORY).unwrap();
        send(&mut world, 60, 1).await;
        until(&mut world, |_| count(&server, Operation::PutPart) >= 2).await;
        // The third partition makes the second one close, whose number is higher than that of the first.
        for partition in [1, 0, 2, 0, 1] {
            world.send(&[Spec { shard: 0, partition, kind: Kind::Number }]).await;
        }
        until(&mut world, |_| server.objects().len() == 2).await;
        assert_eq!(server.uploads().len(), 1);
        let state = ledger_after_kill(&mut world);
        assert!(state.begun.len() == 1 && state.next_seal > 2, "{state:?}");
        world.start(to_store(&server), MEMORY).unwrap();
        finish(&mut world).await;
        check_store(&world, &server);
    });
}

#[test]
fn what_a_killed_process_has_sent_of_an_open_file_is_thrown_away_and_its_records_are_filed_again() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        for parts in [2, 9] {
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 100, 1).await;
            until(&mut world, |_| count(&server, Operation::PutPart) >= parts).await;
            let state = ledger_after_kill(&mut world);
            assert_eq!(state.begun.len(), 1);
            assert_eq!(server.uploads().len(), 1);
            assert_eq!(state.begun.values().next().unwrap().multiparts, [server.uploads()[0].0.clone()]);
        }
        world.start(to_store(&server), MEMORY).unwrap();
        finish(&mut world).await;
        check_store(&world, &server);
    });
}

#[test]
fn a_closed_file_that_is_not_complete_when_its_process_dies_is_sent_again_in_parts() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        send(&mut world, 150, 1).await;
        server.rule(Rule::new(Operation::CompleteMultipart, Fault::INTERNAL).always());
        world.start(to_store(&server), MEMORY).unwrap();
        until(&mut world, |_| count(&server, Operation::PutPart) >= 11).await;
        world.drain(Duration::from_millis(500)).await;
        let state = world.ledger();
        assert_eq!((state.open.len(), state.begun.len(), server.objects().len()), (1, 0, 0));
        let first_key = state.open.values().next().unwrap().seal.key.clone();
        server.heal();
        // The file has three megabytes.
        let before = count(&server, Operation::PutPart);
        world.start(to_store(&server), 700_000).unwrap();
        finish(&mut world).await;
        assert!(count(&server, Operation::PutPart) > before + 9);
        assert_eq!(server.objects().keys().collect::<Vec<_>>(), [&format!("lake/{first_key}")]);
        check_store(&world, &server);
    });
}

#[test]
fn a_complete_file_whose_confirmation_nobody_heard_is_found_and_not_sent_again() {
    for is_killed in [false, true] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            send(&mut world, 100, 1).await;
            let lost = Rule::new(Operation::CompleteMultipart, Fault::Drop).once_done();
            server.rule(if is_killed { lost.always() } else { lost });
            if is_killed {
                // So that nobody can look what is there either.
                server.rule(Rule::new(Operation::Head, Fault::INTERNAL).after(2).always());
            }
            world.start(to_store(&server), MEMORY).unwrap();
            until(&mut world, |_| count(&server, Operation::PutPart) >= 7).await;
            if is_killed {
                world.drain(Duration::from_millis(500)).await;
                assert_eq!((server.objects().len(), world.ledger().open.len()), (1, 1));
                server.heal();
                let before = count(&server, Operation::PutPart);
                world.start(to_store(&server), MEMORY).unwrap();
                finish(&mut world).await;
                assert_eq!(count(&server, Operation::PutPart), before);
            } else {
                finish(&mut world).await;
            }
            check_store(&world, &server);
        });
    }
}

#[test]
fn whatever_fails_on_the_way_is_tried_again_alone() {
    let operations = [Operation::CreateMultipart, Operation::PutPart, Operation::CompleteMultipart];
    for fault in [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Drop, Fault::DENIED] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            for operation in operations {
                server.rule(Rule::new(operation, fault));
                server.rule(Rule::new(operation, fault).once_done());
            }
            let mut world = world();
            world.start(to_store(&server), MEMORY).unwrap();
            send(&mut world, 100, 1).await;
            finish(&mut world).await;
            assert_eq!(server.objects().len(), 1);
            check_store(&world, &server);
        });
    }
}

#[test]
fn an_object_of_somebody_else_is_left_alone_whenever_it_comes() {
    runtime().block_on(async {
        let server = FaultyStore::start().unwrap();
        let mut world = world();
        world.start(to_store(&server), MEMORY).unwrap();
        send(&mut world, 100, 1).await;
        until(&mut world, |_| count(&server, Operation::PutPart) >= 7).await;
        let key = server.uploads()[0].1.clone();
        server.plant(&key, "theirs", &[]);
        world.drain(Duration::from_millis(500)).await;
        assert_eq!(&*server.object(&key).unwrap().bytes, b"theirs");
        // Nor by the next process, until somebody has moved it away.
        world.start(to_store(&server), MEMORY).unwrap();
        until(&mut world, |world| world.report().paused.is_some_and(|why| why.contains("is there already")))
            .await;
        assert_eq!(&*server.object(&key).unwrap().bytes, b"theirs");
        server.remove(&key);
        finish(&mut world).await;
        check_store(&world, &server);
    });
}

#[test]
fn many_large_files_at_a_slow_store_share_little_memory_without_waiting_for_each_other() {
    for keeps_ledger in [true, false] {
        runtime().block_on(async {
            let server = FaultyStore::start().unwrap();
            let mut world = world();
            world.keeps_ledger = keeps_ledger;
            server.rule(Rule::any(Fault::SLOW_DOWN).in_thousand(30).always());
            // Less than half a megabyte for each.
            world.start(to_store(&server), 2_500_000).unwrap();
            for _ in 0..10 {
                send(&mut world, 50, 5).await;
                world.run(u64::MAX, LOOK).await;
                assert!(world.held_bytes() < 5_000_000, "{}", world.held_bytes());
            }
            finish(&mut world).await;
            check_store(&world, &server);
        });
    }
}

/// Everything in a folder of the disk, and below it.
fn names(world: &World, folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| match world.disk.content(&path) {
        Ok(_) => vec![path],
        Err(_) => names(world, &path),
    };
    world.disk.list(folder).unwrap().into_iter().flat_map(below).collect()
}

#[test]
fn a_large_file_of_a_folder_has_a_hidden_name_until_it_is_closed_and_a_killed_process_leaves_none() {
    runtime().block_on(async {
        let mut world = world();
        send(&mut world, 150, 1).await;
        world.start(grown(config(0)), MEMORY).unwrap();
        let hidden_bytes = |world: &World| {
            let names = names(world, Path::new("/lake"));
            assert!(names.len() <= 1, "{names:?}");
            names.first().map_or(0, |name| world.disk.content(name).unwrap().len())
        };
        until(&mut world, |world| hidden_bytes(world) > 2_000_000).await;
        assert!(lake::files(&world.disk).is_empty());
        world.kill(true);
        world.start(grown(config(0)), MEMORY).unwrap();
        finish(&mut world).await;
        assert_eq!(names(&world, Path::new("/lake")).len(), 1);
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn a_large_file_of_a_folder_that_cannot_be_synced_is_made_again() {
    runtime().block_on(async {
        let mut world = world();
        send(&mut world, 100, 1).await;
        world.start(grown(config(0)), MEMORY).unwrap();
        until(&mut world, |world| !names(world, Path::new("/lake")).is_empty()).await;
        world.disk.inject(DiskFault::new(DiskOperation::Sync, Failure::Io).on(".tmp").times(1));
        world.disk.inject(DiskFault::new(DiskOperation::Rename, Failure::Io).on(".tmp").times(1));
        finish(&mut world).await;
        world.check_lake();
        world.check_ledger();
    });
}

#[test]
fn a_complete_file_whose_folder_cannot_be_synced_at_first_is_there_and_not_called_lost() {
    for keeps_ledger in [true, false] {
        runtime().block_on(async {
            let mut world = world();
            world.keeps_ledger = keeps_ledger;
            world.start(grown(config(0)), MEMORY).unwrap();
            send(&mut world, 100, 1).await;
            until(&mut world, |world| !names(world, Path::new("/lake")).is_empty()).await;
            world.disk.inject(DiskFault::new(DiskOperation::SyncFolder, Failure::Io).on("/p=a").times(2));
            let renames = world.disk.count(DiskOperation::Rename);
            finish(&mut world).await;
            let renamed = world.disk.count(DiskOperation::Rename) - renames;
            world.disk = world.disk.crash();
            assert_eq!(names(&world, Path::new("/lake")).len(), 1);
            world.check_lake();
            if keeps_ledger {
                world.check_ledger();
            } else {
                assert_eq!(renamed, 3, "it is only looked for under its name");
            }
        });
    }
}

#[test]
fn a_large_file_that_somebody_removes_before_it_is_complete_is_lost() {
    runtime().block_on(async {
        let mut world = world();
        world.keeps_ledger = false;
        world.start(grown(config(0)), MEMORY).unwrap();
        send(&mut world, 100, 1).await;
        until(&mut world, |world| !names(world, Path::new("/lake")).is_empty()).await;
        world.disk.remove(&names(&world, Path::new("/lake"))[0]).unwrap();
        send(&mut world, 150, 1).await;
        until(&mut world, |world| world.report().paused.is_some()).await;
        let paused = world.report().paused.unwrap();
        assert!(paused.contains("the sink has lost") && paused.contains("rename"), "{paused}");
    });
}
