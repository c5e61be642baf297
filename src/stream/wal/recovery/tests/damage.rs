//! What is torn, damaged or missing.

use super::bench::*;
use crate::runtime::disk::Disk;
use crate::stream::ShardLog;
use crate::stream::wal::journals::OpenError;
use crate::stream::wal::recovery::RecoveryError;
use crate::stream::wal::segment::{SEGMENT_HEADER_BYTES, SegmentError};
use crate::testkit::disk::SimulatedDisk;

const RECORDS: u64 = 60;

fn all() -> Vec<u64> {
    (0..RECORDS).collect()
}

fn without(records: &[u64]) -> Vec<u64> {
    all().into_iter().filter(|record| !records.contains(record)).collect()
}

/// What everything on the disk is that has its name.
fn contents(disk: &SimulatedDisk) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let read = |path: std::path::PathBuf| (path.clone(), disk.content(&path).unwrap());
    let paths = disk.list(&folder()).unwrap().into_iter();
    paths.filter(|path| path.extension().is_some_and(|ending| ending != "new")).map(read).collect()
}

/// The segment in the middle with the record in the middle of it, and where that stands.
fn middle(disk: &SimulatedDisk) -> (u64, u64, u64) {
    let number = segments(disk)[1];
    let here: Vec<_> =
        (0..RECORDS).filter_map(|record| Some((record, find(disk, &segment(number), record)?))).collect();
    let (record, at) = here[here.len() / 2];
    (number, record, at)
}

#[test]
fn a_torn_tail_is_cut_at_whole_commits_wherever_it_was_torn() {
    let mut found_before = 0;
    let end = {
        let disk = filled(FSYNC, 8);
        valid_end(&disk, 1)
    };
    for cut in (SEGMENT_HEADER_BYTES..=end).step_by(97) {
        let disk = filled(FSYNC, 8);
        disk.remove(&index_of(1)).unwrap();
        disk.open(&segment(1)).unwrap().set_len(cut).unwrap();
        let mut bench = Bench::open(&disk, FSYNC).unwrap();
        let found = bench.records();
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
        assert!(found.len() >= found_before);
        assert_eq!(bench.damaged_bytes, 0);
        found_before = found.len();
        // It goes on where it was cut, and so do the numbers.
        bench.fill(found.len() as u64..12);
        let disk = disk.crash();
        assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), (0..12).collect::<Vec<_>>());
    }
    assert!(found_before >= 7, "{found_before}");
}

#[test]
fn damage_in_the_middle_stops_the_start_and_nothing_is_touched() {
    let disk = filled(FSYNC, RECORDS);
    let (number, _, at) = middle(&disk);
    disk.remove(&index_of(number)).unwrap();
    disk.flip(&segment(number), at + 1, 4).unwrap();
    let before = contents(&disk);
    let error = Bench::open(&disk, FSYNC).err().unwrap();
    let OpenError::Recovery(RecoveryError::Damaged { path, at: from, until, bytes, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!((path, *bytes), (&segment(number), until - from));
    assert!((*from..*until).contains(&at), "{error}");
    assert!(error.to_string().contains("--accept-damage"), "{error}");
    assert_eq!(contents(&disk), before);
}

#[test]
fn accepted_damage_is_passed_over_told_to_readers_and_not_complained_about_again() {
    // An index says nothing about what it points to: damage behind it was found by a reader.
    for is_indexed in [false, true] {
        let disk = filled(FSYNC, RECORDS);
        let (number, record, at) = middle(&disk);
        if !is_indexed {
            disk.remove(&index_of(number)).unwrap();
        }
        disk.flip(&segment(number), at + 1, 4).unwrap();
        assert_eq!(Bench::open(&disk, FSYNC).is_ok(), is_indexed);
        let bench = Bench::open(&disk, ACCEPTING).unwrap();
        assert_eq!(bench.records(), without(&[record]));
        assert_eq!(bench.read(record as usize % 2).1, 1, "skipped");
        assert!(bench.damaged_bytes > 0);
        bench.stop();
        let bench = Bench::open(&disk, FSYNC).unwrap();
        assert_eq!((bench.records(), bench.damaged_bytes), (without(&[record]), 0));
    }
}

#[test]
fn a_lost_end_of_a_segment_is_damage_because_the_next_one_knows_of_it() {
    let disk = filled(FSYNC, RECORDS);
    let (number, _, at) = middle(&disk);
    disk.remove(&index_of(number)).unwrap();
    disk.open(&segment(number)).unwrap().set_len(at).unwrap();
    let error = Bench::open(&disk, FSYNC).err().unwrap();
    assert!(matches!(error, OpenError::Recovery(RecoveryError::Damaged { .. })), "{error}");
    let found = Bench::open(&disk, ACCEPTING).unwrap().records();
    assert!(found.len() < RECORDS as usize && found.contains(&(RECORDS - 1)));
    assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), found);
}

#[test]
fn a_damaged_reply_is_damage_once() {
    let disk = new_disk(1);
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    bench.fill(0..4);
    let mut queued = bench.append(0, &payload(4), Some(b"a key of a client")).unwrap();
    bench.rest();
    assert_eq!(queued.ticket.try_recv(), Ok(Ok(())));
    bench.fill(5..10);
    bench.stop();
    let bench = Bench::open(&disk, FSYNC).unwrap();
    assert_eq!((bench.replies.len(), bench.records().len()), (1, 10));
    bench.stop();
    let content = disk.content(&segment(1)).unwrap();
    let at = memchr::memmem::find(&content, b"a key of a client").unwrap();
    disk.flip(&segment(1), at as u64, 1).unwrap();
    let error = Bench::open(&disk, FSYNC).err().unwrap();
    assert!(matches!(error, OpenError::Recovery(RecoveryError::Damaged { .. })), "{error}");
    for opening in [ACCEPTING, FSYNC] {
        let bench = Bench::open(&disk, opening).unwrap();
        // With the reply goes the commit, and with that its record.
        assert_eq!((bench.replies.len(), bench.records().len()), (0, 9));
        bench.stop();
    }
}

#[test]
fn a_missing_segment_stops_the_start_until_it_is_accepted() {
    for with_index in [true, false] {
        let disk = filled(FSYNC, RECORDS);
        let missing = segments(&disk)[1];
        disk.remove(&segment(missing)).unwrap();
        if with_index {
            disk.remove(&index_of(missing)).unwrap();
        }
        let error = Bench::open(&disk, FSYNC).err().unwrap();
        let OpenError::Missing { first, last, .. } = error else { panic!("{error}") };
        assert_eq!((first, last), (missing, missing));
        let found = Bench::open(&disk, ACCEPTING).unwrap().records();
        let lost = RECORDS - found.len() as u64;
        assert!(lost > 0 && found.contains(&0) && found.contains(&(RECORDS - 1)));
        let bench = Bench::open(&disk, FSYNC).unwrap();
        assert_eq!(bench.records(), found);
        assert_eq!(bench.read(0).1 + bench.read(1).1, lost, "skipped");
        bench.stop();
        // Another one that is lost is another matter.
        disk.remove(&segment(missing + 1)).unwrap();
        let error = Bench::open(&disk, FSYNC).err().unwrap();
        assert!(
            matches!(error, OpenError::Missing { first, last, .. } if (first, last) == (missing + 1, missing + 1))
        );
    }
}

#[test]
fn a_segment_that_has_lost_its_header_stops_the_start_until_it_is_accepted() {
    let disk = filled(FSYNC, RECORDS);
    let (number, ..) = middle(&disk);
    disk.flip(&segment(number), 20, 1).unwrap();
    let error = Bench::open(&disk, FSYNC).err().unwrap();
    assert!(matches!(error, OpenError::Recovery(RecoveryError::Damaged { at: 0, .. })), "{error}");
    let bench = Bench::open(&disk, ACCEPTING).unwrap();
    assert!(bench.damaged_bytes > 0);
    let found = bench.records();
    assert!(!found.is_empty() && found.len() < RECORDS as usize);
    bench.stop();
    assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), found);
}

#[test]
fn segments_of_another_node_class_or_number_are_refused() {
    let disk = filled(FSYNC, 3);
    let other = Opening { node: *b"other-id", ..FSYNC };
    let error = Bench::open(&disk, other).err().unwrap();
    assert!(matches!(error, OpenError::Recovery(RecoveryError::OtherNode { .. })), "{error}");
    let error = Bench::open(&disk, OS).err().unwrap();
    let is_foreign = |error: &OpenError| {
        matches!(error, OpenError::Recovery(RecoveryError::Segment(SegmentError::Foreign { .. })))
    };
    assert!(is_foreign(&error), "{error}");
    disk.rename(&segment(1), &segment(9)).unwrap();
    let error = Bench::open(&disk, FSYNC).err().unwrap();
    assert!(is_foreign(&error), "{error}");
}

#[test]
fn an_index_that_is_missing_damaged_or_stale_is_made_again() {
    let disk = filled(FSYNC, RECORDS);
    let numbers = segments(&disk);
    let bytes = disk.content(&index_of(numbers[1])).unwrap().len() as u64;
    for at in (0..bytes).step_by(13) {
        // Entries are read when they are needed.
        let entries = 80 + 2 * 56;
        if at >= entries {
            break;
        }
        disk.flip(&index_of(numbers[1]), at, 8).unwrap();
        let bench = Bench::open(&disk, FSYNC).unwrap();
        assert_eq!(bench.records(), all(), "{at}");
        bench.stop();
    }
    disk.remove(&index_of(numbers[0])).unwrap();
    assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), all());
    // The index of another segment.
    let stale = disk.content(&index_of(numbers[2])).unwrap();
    disk.remove(&index_of(numbers[1])).unwrap();
    disk.create(&index_of(numbers[1])).unwrap().write_all_at(&stale, 0).unwrap();
    assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), all());
    assert_eq!(Bench::open(&disk, FSYNC).unwrap().records(), all());
}

#[test]
fn a_journal_of_class_os_starts_with_holes_and_tells_readers_of_them() {
    let disk = filled(OS, RECORDS);
    let (number, record, at) = middle(&disk);
    disk.remove(&index_of(number)).unwrap();
    // As if the system had not written it when the power ended.
    disk.open(&segment(number)).unwrap().write_all_at(&[0; 20], at).unwrap();
    let bench = Bench::open(&disk, OS).unwrap();
    assert_eq!(bench.records(), without(&[record]));
    assert!(bench.damaged_bytes > 0);
    assert_eq!((bench.read(0).1 + bench.read(1).1, bench.shards[0].bounds().first.0), (1, ORIGIN));
    bench.stop();
    let bench = Bench::open(&disk, OS).unwrap();
    assert_eq!((bench.records(), bench.damaged_bytes), (without(&[record]), 0));
}
