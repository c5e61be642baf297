//! Late records, and those from the future, whatever happens to the process.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lake;
use super::world::{Kind, Spec, World, config};

const MEMORY: u64 = 64 << 20;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// One record of each partition in each request: times from the arrival of the first request to four days later.
async fn send(world: &mut World, requests: usize) {
    for _ in 0..requests {
        let spec = |partition| Spec { shard: u32::from(partition) % 2, partition, kind: Kind::Number };
        let homeless = Spec { shard: 0, partition: 0, kind: Kind::Homeless };
        let specs: Vec<_> = (0..5_u8).map(spec).chain([homeless]).collect();
        world.send(&specs).await;
    }
}

fn records_by_folder(world: &World) -> BTreeMap<String, usize> {
    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    for file in lake::files(&world.disk) {
        *records.entry(file.folder.trim_start_matches("/lake/").to_owned()).or_default() +=
            file.records.len();
    }
    records
}

#[test]
fn late_records_have_their_own_folder_and_those_from_the_future_are_dead_letters() {
    runtime().block_on(async {
        let mut world = World::new(5);
        world.start(config(7), MEMORY).unwrap();
        send(&mut world, 20).await;
        let (report, has_ended) = world.drain(Duration::from_secs(600)).await;
        assert!(has_ended && report.pending == 0, "{report:?}");
        world.check_lake();
        world.check_ledger();
        let expected = [
            // The records of the first request have arrived in the same microsecond as their time.
            ("errors/event_time", 40),
            ("v5/dt=2025-12-31/A", 1),
            ("v5/dt=2025-12-31/none", 1),
            ("v5/dt=2026-01-01/B", 20),
            ("v5/dt=2026-01-02/C", 20),
            ("v5/late/0", 19),
            ("v5/late/none", 19),
        ];
        let expected = expected.map(|(folder, records)| (folder.to_owned(), records));
        assert_eq!(records_by_folder(&world), BTreeMap::from(expected));
    });
}

#[test]
fn a_record_is_as_late_after_a_crash_as_it_was_before() {
    runtime().block_on(async {
        let mut world = World::new(6);
        for polls in 1..40 {
            world.start(config(7), MEMORY).unwrap();
            send(&mut world, 2).await;
            world.run(polls, Duration::from_secs(30)).await;
            world.kill(polls % 2 == 0);
        }
        world.start(config(7), MEMORY).unwrap();
        let (report, has_ended) = world.drain(Duration::from_secs(600)).await;
        assert!(has_ended && report.pending == 0, "{report:?}");
        world.check_lake();
        world.check_ledger();
        assert_eq!(records_by_folder(&world)["v5/late/none"], 2 * 39 - 1);
    });
}
