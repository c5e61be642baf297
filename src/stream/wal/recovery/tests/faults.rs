//! Disks that fail or are full.

use super::bench::*;
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::stream::wal::journal::stepped::Round;
use crate::stream::{AppendError, ReadError, ShardLog};
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

/// A disk on which record 2 was told to have failed, because of its sync, behind records 0 and 1; and the process.
fn with_failed_sync(seed: u64) -> (SimulatedDisk, Bench) {
    let disk = new_disk(seed);
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    bench.fill(0..2);
    disk.inject(Fault::new(Operation::Sync, Failure::Io));
    let mut queued = bench.append(0, &payload(2), None).unwrap();
    while bench.threads.write() != Round::Idle && queued.ticket.try_recv().is_err() {}
    (disk, bench)
}

#[test]
fn what_a_failed_sync_has_left_on_the_disk_is_void_after_a_restart() {
    let mut left = 0;
    for seed in 0..40 {
        let (disk, mut bench) = with_failed_sync(seed);
        assert_eq!(bench.records(), [0, 1]);
        assert_eq!(bench.threads.write(), Round::Worked, "another segment is found");
        // The number goes to the next record, which is acknowledged. The old segment is not cut yet.
        let mut queued = bench.append(0, "instead", None).unwrap();
        while queued.ticket.try_recv().is_err() {
            bench.threads.write();
        }
        let disk = if seed % 2 == 0 { disk.crash() } else { disk.kill() };
        left += u32::from(find(&disk, &segment(1), 2).is_some());
        let bench = Bench::open(&disk, FSYNC).unwrap();
        let expected = [(ORIGIN, payload(0)), (ORIGIN + 1, "instead".to_owned())];
        assert_eq!(bench.read(0), (expected.to_vec(), 0));
    }
    assert!(left > 5, "the record should be on the disk now and then, not {left} times");
}

/// The system shows what a failed sync has not written until the machine ends.
#[test]
fn what_a_start_has_shown_to_readers_survives_a_loss_of_power_although_its_sync_had_failed() {
    let mut shown = 0;
    for seed in 0..60 {
        let (disk, bench) = with_failed_sync(seed);
        drop(bench);
        let disk = disk.kill();
        let bench = Bench::open(&disk, FSYNC).unwrap();
        let found = bench.records();
        assert!(found == [0, 1] || found == [0, 1, 2]);
        shown += u32::from(found.len() == 3);
        drop(bench);
        assert_eq!(Bench::open(&disk.crash(), FSYNC).unwrap().records(), found, "{seed}");
    }
    assert!(shown > 5, "the record should be there now and then, not {shown} times");
}

#[test]
fn a_start_on_a_full_disk_reads_makes_room_and_then_takes_requests() {
    let disk = filled(FSYNC, 60);
    let numbers = segments(&disk);
    for number in &numbers[1..] {
        disk.remove(&index_of(*number)).unwrap();
    }
    disk.set_capacity(Some(disk.used()));
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    assert_eq!(bench.records(), (0..60).collect::<Vec<_>>());
    assert!(bench.journal.disk_is_full());
    // Until there is a segment requests are refused and old records are given up: it must not take its time.
    assert!(bench.threads.is_keeper_urgent());
    assert_eq!(bench.append(0, "x", None).err(), Some(AppendError::DiskFull));
    assert_eq!(bench.threads.write(), Round::Broken);
    let expire = |bench: &Bench, now| {
        for shard in &bench.shards {
            let _ = shard.expire(now);
        }
        bench.journal.housekeeping(&bench.shards, now);
    };
    // As long as its retention lasts nothing goes.
    expire(&bench, UnixMicros(0));
    assert!(!bench.threads.keep());
    assert_eq!(bench.records().len(), 60);
    for shard in &bench.shards {
        shard.release(0, SequenceNumber(u64::MAX));
    }
    expire(&bench, UnixMicros(i64::MAX));
    bench.rest();
    assert!(!bench.journal.disk_is_full() && !bench.threads.is_keeper_urgent());
    let left = bench.records().len() as u64;
    assert!(left > 0 && left < 60);
    bench.fill(60..62);
    bench.stop();
    let bench = Bench::open(&disk, FSYNC).unwrap();
    assert_eq!(bench.records().len() as u64, left + 2);
    bench.stop();
    let is_indexed = |number: &u64| disk.open(&index_of(*number)).is_ok();
    assert!(segments(&disk).iter().all(is_indexed), "indexes are written once there is room");
}

#[test]
fn numbers_go_on_although_retention_has_taken_every_record() {
    let disk = filled(FSYNC, 60);
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    let next: Vec<_> = bench.shards.iter().map(|shard| shard.bounds().next).collect();
    for _ in 0..3 {
        for (id, shard) in bench.shards.iter().enumerate() {
            shard.release(0, SequenceNumber(u64::MAX));
            if shard.expire(UnixMicros(i64::MAX)).wants_mark {
                bench.mark(id);
            }
        }
        bench.journal.housekeeping(&bench.shards, UnixMicros(i64::MAX));
        bench.rest();
    }
    assert!(bench.records().is_empty());
    assert_eq!(segments(&disk).len(), 1, "the segment that is written");
    let disk = disk.crash();
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    assert_eq!(bench.shards.iter().map(|shard| shard.bounds().next).collect::<Vec<_>>(), next);
    bench.fill(60..64);
    assert_eq!(bench.records(), (60..64).collect::<Vec<_>>());
    assert_eq!(Bench::open(&disk.crash(), FSYNC).unwrap().records(), (60..64).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_cannot_be_removed_keeps_those_behind_it() {
    let disk = filled(FSYNC, 60);
    let mut bench = Bench::open(&disk, FSYNC).unwrap();
    let first = segments(&disk)[0];
    for shard in &bench.shards {
        shard.release(0, SequenceNumber(u64::MAX));
        shard.expire(UnixMicros(i64::MAX));
    }
    // Neither to be used again nor to go.
    disk.inject(Fault::new(Operation::Rename, Failure::Io).on(".segment"));
    disk.inject(Fault::new(Operation::Remove, Failure::Io).on(".segment"));
    bench.journal.housekeeping(&bench.shards, UnixMicros(i64::MAX));
    bench.threads.keep();
    assert_eq!(segments(&disk)[0], first);
    assert_eq!(Bench::open(&disk.kill(), FSYNC).unwrap().records(), (0..60).collect::<Vec<_>>());
}

#[test]
fn segments_that_cannot_be_put_into_use_do_not_fill_the_disk() {
    for operation in [Operation::Rename, Operation::SyncFolder] {
        let (disk, mut bench) = with_failed_sync(3);
        disk.inject(Fault::new(operation, Failure::Io).times(u64::MAX));
        let used = disk.used();
        for _ in 0..10 {
            assert_eq!(bench.threads.write(), Round::Broken);
            bench.threads.keep();
        }
        assert!(disk.used() <= used + 2 * SEGMENT, "{operation:?}: {} after {used}", disk.used());
        disk.heal();
        bench.rest();
        bench.fill(2..5);
        assert_eq!(Bench::open(&disk.crash(), FSYNC).unwrap().records(), (0..5).collect::<Vec<_>>());
    }
}

#[test]
fn a_segment_that_is_missing_although_it_is_needed_is_an_error_for_readers() {
    let disk = filled(FSYNC, 60);
    let bench = Bench::open(&disk, FSYNC).unwrap();
    // Without its index file, a segment is read whole.
    disk.remove(&index_of(1)).unwrap();
    assert_eq!(bench.records(), (0..60).collect::<Vec<_>>());
    disk.remove(&segment(1)).unwrap();
    let error = bench.try_read(0).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }), "records that a delivery needs are not skipped: {error}");
}
