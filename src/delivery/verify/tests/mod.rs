//! A delivery that is well, and what is found when something is not.

mod world;

use self::world::{World, at};
use super::*;
use crate::delivery::ledger::{Commit, Cursor, Entry, Gap, Ledger, Lost};

fn kinds(report: &DeliveryReport) -> Vec<Kind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// Finds exactly one thing, which it returns as text; `counts` are missing and duplicated records.
fn the_finding(report: &DeliveryReport, kind: Kind, counts: (u64, u64)) -> String {
    assert_eq!(kinds(report), [kind], "{:#?}", report.findings);
    assert_eq!((report.missing, report.duplicated), counts, "{:?}", report.findings);
    report.findings[0].to_string()
}

#[tokio::test]
async fn a_delivery_that_is_well_balances() {
    let world = World::new().await;
    for quick in [true, false] {
        let report = world.verify(quick).await;
        let expected = DeliveryReport {
            stream: "s".into(),
            delivery: "d".into(),
            accepted: 120,
            // 30 of 40 below 120, and a quarter of the next 40.
            delivered: 40,
            dead_lettered: 10,
            pending: 70,
            objects: 5,
            // Those of `a`, `b` and `d`.
            objects_compared: if quick { 0 } else { 4 },
            ..DeliveryReport::default()
        };
        assert_eq!(report, expected);
        assert!(report.is_well());
    }
}

#[tokio::test]
async fn where_nothing_is_delivered_all_is_pending() {
    let world = World::empty();
    let report = world.verify(false).await;
    assert_eq!((report.accepted, report.pending, report.is_well()), (120, 120, true));
    // No epoch, not even a ledger.
    let ledger = world.folder.path().join("ledger");
    std::fs::remove_dir_all(&ledger).unwrap();
    for _ in 0..2 {
        let report = world.verify(false).await;
        assert_eq!((report.accepted, report.pending, report.is_well()), (120, 120, true));
        Ledger::open(Arc::new(crate::runtime::disk::RealDisk), ledger.clone()).unwrap();
    }
}

#[tokio::test]
async fn an_object_that_is_gone_is_missing_with_its_records() {
    let world = World::new().await;
    std::fs::remove_file(world.object("q-3.parquet")).unwrap();
    for quick in [true, false] {
        let text = the_finding(&world.verify(quick).await, Kind::ObjectMissing, (10, 0));
        assert!(text.starts_with("q-3.parquet: "), "{text}");
    }
}

#[tokio::test]
async fn an_object_of_another_size_is_not_the_one_that_was_stored() {
    let world = World::new().await;
    let path = world.object("b-1.json.gz");
    std::fs::write(&path, &std::fs::read(&path).unwrap()[1..]).unwrap();
    for quick in [true, false] {
        let text = the_finding(&world.verify(quick).await, Kind::ObjectDiffers, (0, 0));
        assert!(text.contains("bytes"), "{text}");
    }
}

#[tokio::test]
async fn objects_with_fewer_or_more_rows_are_found() {
    // One record less than it should have, and some of the others twice.
    for (partition, copies, counts) in
        [(b'q', 0, (1, 0)), (b'q', 2, (0, 1)), (b'b', 0, (1, 0)), (b'd', 2, (1, 2))]
    {
        let mut world = World::empty();
        let seal = world.seal(partition, 100..120);
        world.append(&[Entry::Seal(seal.clone())]);
        let mut lines = world.lines(&seal);
        lines.truncate(9);
        lines.extend_from_within(..copies);
        world.store_lines(&seal, &lines).await;
        let report = world.verify(false).await;
        assert_eq!((report.missing, report.duplicated), counts);
        assert!(!report.is_well() && report.findings.len() == 1);
        // Nobody looks inside.
        assert!(world.verify(true).await.is_well());
    }
}

#[tokio::test]
async fn a_changed_line_and_a_changed_order_are_found() {
    let mut world = World::empty();
    let [changed, swapped] = [b'a', b'b'].map(|partition| world.seal(partition, 100..120));
    world.append(&[Entry::Seal(changed.clone()), Entry::Seal(swapped.clone())]);
    let mut lines = world.lines(&changed);
    lines[3] = lines[3].replace("\"s\"", "\"x\"");
    world.store_lines(&changed, &lines).await;
    let mut lines = world.lines(&swapped);
    lines.swap(7, 8);
    world.store_lines(&swapped, &lines).await;
    let mut report = world.verify(false).await;
    report.findings.sort_by_key(|finding| finding.key.clone());
    assert_eq!(kinds(&report), [Kind::ObjectDiffers, Kind::Disordered]);
    assert_eq!((report.missing, report.duplicated), (1, 1));
    let text = report.findings[1].to_string();
    assert_eq!(text, "b-1.json.gz: records of shardId-000000000001 are in another order than in the log");
}

#[tokio::test]
async fn a_record_that_no_file_has_is_named() {
    let mut world = World::new().await;
    // The next file of `a` begins one record of the first shard late.
    let mut seal = world.seal(b'a', 140..160);
    let range = &mut seal.ranges[0];
    let forgotten = range.first;
    range.first = at(range.first.0 + 4);
    range.records -= 1;
    seal.records -= 1;
    world.append(&[Entry::Seal(seal.clone())]);
    world.store(&seal).await;
    let text = the_finding(&world.verify(true).await, Kind::Missing, (1, 0));
    let place = format!("shardId-000000000000 {forgotten}: partition a: ");
    assert!(text.starts_with(&place), "{text}");
}

#[tokio::test]
async fn a_file_with_fewer_records_than_the_log_has_in_its_range_is_named() {
    let mut world = World::new().await;
    let mut seal = world.seal(b'a', 140..160);
    seal.ranges[1].records -= 1;
    seal.records -= 1;
    world.append(&[Entry::Seal(seal.clone())]);
    let mut lines = world.lines(&seal);
    lines.pop();
    world.store_lines(&seal, &lines).await;
    let report = world.verify(false).await;
    assert_eq!((report.missing, report.duplicated), (1, 0), "{:?}", report.findings);
    let text = report.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("a-8.json: shardId-000000000001 "), "{text}");
}

#[tokio::test]
async fn a_cursor_that_has_passed_records_is_found_with_and_without_the_log() {
    let mut world = World::new().await;
    for seal in &world.open {
        world.store(seal).await;
    }
    world.move_cursor(145);
    let report = world.verify(false).await;
    assert_eq!((report.missing, report.accepted), (10, 120), "{:#?}", report.findings);
    assert!(kinds(&report).iter().all(|kind| *kind == Kind::Missing));
    let texts: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|text| text.starts_with("shardId-000000000000 140–144: partition a: 2 of")),
        "{texts:#?}"
    );
    // The log has let go of these and of others.
    world.held.iter_mut().for_each(|held| held.start = 150);
    let report = world.verify(false).await;
    assert_eq!((report.missing, report.accepted), (20, 120), "{:#?}", report.findings);
    assert_eq!(kinds(&report), [Kind::Missing, Kind::Missing]);
    assert!(report.findings[1].to_string().starts_with("shardId-000000000001 100–149: "));
}

#[tokio::test]
async fn numbers_in_gaps_are_not_missing_and_lost_records_are_told() {
    let mut world = World::empty();
    for partition in *b"abdq" {
        let seal = world.seal(partition, 100..160);
        world.append(&[Entry::Seal(seal.clone())]);
        world.store(&seal).await;
    }
    world.move_cursor(160);
    let gap = Gap { shard: ShardId(1), first: at(160), last: at(169), lost: 4 };
    world.append(&[Entry::Gap(gap), Entry::Cursor(Cursor { positions: vec![(ShardId(1), at(170))] })]);
    world.held[1] = 170..180;
    let report = world.verify(false).await;
    assert!(report.is_well(), "{:#?}", report.findings);
    assert_eq!((report.accepted, report.lost, report.pending), (134, 4, 10));
    // The same numbers without the gap in the ledger.
    world.held[0] = 170..180;
    let report = world.verify(false).await;
    let text = the_finding(&report, Kind::Missing, (10, 0));
    assert!(text.starts_with("shardId-000000000000 100–169: "), "{text}");
}

#[tokio::test]
async fn records_that_were_lost_before_their_file_was_stored_are_not_looked_for_in_it() {
    let mut world = World::empty();
    // Of one file there is nothing left: it has no object.
    let [mut gone, mut beside] = [(); 2].map(|()| world.seal(b'a', 100..130));
    gone.ranges.remove(0);
    beside.ranges.remove(1);
    for seal in [&mut gone, &mut beside] {
        seal.records = seal.ranges[0].records;
    }
    let nothing = Commit { number: gone.number, etag: None, bytes: 0 };
    let lost = Lost { number: gone.number, shards: vec![(ShardId(1), gone.records)] };
    world.append(&[
        Entry::Seal(gone),
        Entry::Lost(lost),
        Entry::Commit(nothing),
        Entry::Seal(beside.clone()),
    ]);
    world.store(&beside).await;
    for (partition, numbers) in [(b'a', 130..160), (b'b', 100..160), (b'd', 100..160), (b'q', 100..160)] {
        let seal = world.seal(partition, numbers.clone());
        let left = world.seal(partition, numbers.start.max(130)..160);
        let mut stored = seal.clone();
        stored.ranges[1] = left.ranges[1];
        let lost = seal.ranges[1].records - left.ranges[1].records;
        world.append(&[Entry::Seal(seal.clone())]);
        world.append(&[Entry::Lost(Lost { number: seal.number, shards: vec![(ShardId(1), lost)] })]);
        world.store_lines(&seal, &world.lines(&stored)).await;
    }
    world.append(&[Entry::Gap(Gap { shard: ShardId(1), first: at(100), last: at(129), lost: 30 })]);
    world.move_cursor(160);
    world.held[1] = 130..160;
    for quick in [true, false] {
        let report = world.verify(quick).await;
        assert!(report.is_well(), "{:#?}", report.findings);
        assert_eq!((report.accepted, report.lost, report.pending, report.objects), (120, 30, 0, 5));
        assert_eq!(report.delivered + report.dead_lettered, 90);
    }
    // What is not lost must be there.
    std::fs::remove_file(world.object("b-4.json.gz")).unwrap();
    the_finding(&world.verify(false).await, Kind::ObjectMissing, (22, 0));
}

#[tokio::test]
async fn records_of_a_closed_file_that_the_log_has_let_go_of_are_missing() {
    let mut world = World::new().await;
    world.held[0] = 130..160;
    let report = world.verify(true).await;
    // Of the ten numbers below, two or three are of `a`, whose file is stored.
    assert!((7..=8).contains(&report.missing), "{report:?}");
    assert!(kinds(&report).contains(&Kind::Log) && kinds(&report).contains(&Kind::Missing));
}

#[tokio::test]
async fn a_log_that_ends_before_the_cursor_is_another_one() {
    let mut world = World::new().await;
    world.held[0] = 100..110;
    let report = world.verify(true).await;
    assert_eq!(kinds(&report), [Kind::Log]);
}

#[tokio::test]
async fn a_damaged_ledger_is_told_with_file_and_line() {
    let world = World::new().await;
    let path = world.folder.path().join("ledger/00000001.ledger");
    let mut content = std::fs::read(&path).unwrap();
    let second = content.iter().position(|&byte| byte == b'\n').unwrap() + 40;
    content[second] ^= 1;
    std::fs::write(&path, content).unwrap();
    let text = the_finding(&world.verify(false).await, Kind::Ledger, (0, 0));
    assert!(text.contains("00000001.ledger is damaged at line 2"), "{text}");
}

#[tokio::test]
async fn what_an_unknown_epoch_has_is_not_called_well() {
    let world = World::new().await;
    let from = vec![(ShardId(0), at(150)), (ShardId(1), at(150))];
    world.append(&[Entry::Epoch(Epoch { number: 2, config: "unknown".into(), from })]);
    let report = world.verify(true).await;
    assert_eq!(kinds(&report), [Kind::Epoch, Kind::Epoch]);
    assert!(report.findings[0].to_string().contains("150–159"), "{}", report.findings[0]);
}

#[tokio::test]
async fn what_the_ledger_has_forgotten_is_not_missing() {
    let world = World::new().await;
    // Each start begins a file; without the first ones the history begins later.
    for number in 1..=3 {
        Ledger::open(Arc::new(crate::runtime::disk::RealDisk), world.folder.path().join("ledger")).unwrap();
        let _ = std::fs::remove_file(world.folder.path().join(format!("ledger/{number:08}.ledger")));
    }
    let report = world.verify(false).await;
    assert!(report.is_well(), "{:#?}", report.findings);
    assert_eq!((report.accepted, report.delivered, report.dead_lettered), (120, 40, 10));
    assert_eq!((report.objects, report.objects_forgotten), (0, 5));
}

#[tokio::test]
async fn a_cursor_alone_makes_no_delivery_well() {
    let world = World::empty();
    world.append(&[Entry::Cursor(Cursor { positions: vec![(ShardId(0), at(103))] })]);
    let report = world.verify(true).await;
    let text = the_finding(&report, Kind::Missing, (3, 0));
    assert!(text.starts_with("shardId-000000000000 100–102: 3 records were taken here"), "{text}");
}
