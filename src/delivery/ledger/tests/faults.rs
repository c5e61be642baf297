//! What broken and full disks, and damage, do to a ledger.

use std::path::PathBuf;
use std::task::{Context, Waker};

use super::*;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

const FOLDER: &str = "/ledger/s/d";
const SMALL: Bounds = Bounds { step: 512, file: 2048, history: 16 << 10 };

fn open_on(disk: &SimulatedDisk) -> Result<(Ledger, State), LedgerError> {
    Ledger::open_bounded(Arc::new(disk.clone()), PathBuf::from(FOLDER), SMALL)
}

fn file(number: u64) -> PathBuf {
    Path::new(FOLDER).join(file::file_name(number))
}

/// A disk with a ledger file of this content.
fn disk_with(number: u64, content: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(number);
    disk.create_folder(Path::new(FOLDER)).unwrap();
    put(&disk, &file(number), content);
    disk
}

fn put(disk: &SimulatedDisk, path: &Path, content: &[u8]) {
    let file = disk.create(path).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_folder(Path::new(FOLDER)).unwrap();
}

fn names(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.list(Path::new(FOLDER)).unwrap()
}

/// Leaves space for so much more.
fn leave(disk: &SimulatedDisk, bytes: u64) {
    disk.set_capacity(Some(disk.used() + bytes));
}

/// What a ledger asks for that can fail.
const OPERATIONS: [Operation; 5] =
    [Operation::Write, Operation::Sync, Operation::Create, Operation::Rename, Operation::SyncFolder];

/// A ledger with an epoch, and one file that is committed.
fn begun(disk: &SimulatedDisk) -> Ledger {
    let (ledger, _) = open_on(disk).unwrap();
    ledger.append_blocking(&[epoch(1, 100)]).unwrap();
    ledger.append_blocking(&[sealed(0, 100, 109)]).unwrap();
    ledger.append_blocking(&[committed(0), cursor(110)]).unwrap();
    ledger
}

#[test]
fn a_torn_last_write_is_cut_wherever_it_ends() {
    let disk = SimulatedDisk::new(1);
    let ledger = begun(&disk);
    let before = (ledger.state(), disk.content(&file(1)).unwrap());
    ledger.append_blocking(&[sealed(1, 110, 119), sealed(2, 120, 129)]).unwrap();
    let after = (ledger.state(), disk.content(&file(1)).unwrap());
    let used = |content: &[u8]| content.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let (start, end) = (used(&before.1), used(&after.1));
    for cut in start..=end {
        for zeros in [0, 600] {
            let mut content = after.1[..cut].to_vec();
            content.resize(cut + zeros, 0);
            let disk = disk_with(1, &content);
            let (ledger, state) = open_on(&disk).unwrap();
            assert_eq!(state, if cut == end { &after } else { &before }.0.clone(), "{cut}");
            // And it goes on from there.
            ledger.append_blocking(&[epoch(2, 200)]).unwrap();
            let expected = ledger.state();
            assert_eq!(open_on(&disk).unwrap().1, expected);
        }
    }
}

#[test]
fn a_flipped_bit_before_the_last_write_is_an_error_that_names_the_line() {
    let disk = SimulatedDisk::new(1);
    let ledger = begun(&disk);
    let content = disk.content(&file(1)).unwrap();
    let mut line = 1;
    let last_write = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0;
    drop(ledger);
    for at in 0..last_write {
        let mut flipped = content.clone();
        flipped[at] ^= 4;
        let disk = disk_with(1, &flipped);
        let found = open_on(&disk);
        let Err(LedgerError::Damaged { path, line: named, .. }) = found else {
            panic!("byte {at} of line {line}: {found:?}");
        };
        assert_eq!((path, named), (file(1).display().to_string(), line));
        // Nothing is touched.
        assert_eq!((names(&disk), disk.content(&file(1)).unwrap()), (vec![file(1)], flipped));
        line += u64::from(content[at] == b'\n');
    }
}

#[test]
fn a_format_of_another_version_is_refused() {
    let mut content = Vec::new();
    let snapshot = Snapshot { format: FORMAT + 1, ..Snapshot::default() };
    line::encode(&[Entry::Snapshot(Box::new(snapshot))], 0, &mut content).unwrap();
    let error = open_on(&disk_with(3, &content)).unwrap_err();
    assert!(matches!(error, LedgerError::Format { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn an_append_that_has_failed_does_not_come_back_after_one_that_succeeds() {
    for operation in [Operation::Write, Operation::Sync] {
        let disk = SimulatedDisk::new(1);
        let ledger = begun(&disk);
        let before = ledger.state();
        disk.inject(Fault::new(operation, Failure::Io));
        let failed = ledger.append_blocking(&[sealed(1, 110, 119)]);
        assert!(matches!(failed, Err(LedgerError::Io { .. })), "{failed:?}");
        assert_eq!(ledger.state(), before);
        ledger.append_blocking(&[sealed(1, 110, 115)]).unwrap();
        let (_, state) = open_on(&disk.crash()).unwrap();
        assert_eq!(state, ledger.state());
        assert_eq!(state.open[&1].seal, seal(1, 110, 115));
    }
}

#[test]
fn what_stands_behind_a_failed_write_does_not_come_back_with_the_next_one() {
    // Zeros and their sync, the lines and theirs; what is not on the disk may be seen or not.
    for seed in 0..8 {
        for (operation, after) in [0, 1]
            .map(|after| (Operation::Write, after))
            .into_iter()
            .chain([0, 1].map(|after| (Operation::Sync, after)))
        {
            let disk = SimulatedDisk::new(seed);
            let ledger = begun(&disk);
            disk.inject(Fault::new(operation, Failure::Io).after(after));
            let group = [&[sealed(1, 110, 119)][..], &[sealed(2, 120, 129)]];
            assert!(ledger.shared.write(&group).iter().all(Result::is_err));
            // The same bytes as the first half of what has failed.
            ledger.append_blocking(group[0]).unwrap();
            assert_eq!(open_on(&disk.kill()).unwrap().1.open.len(), 1);
        }
    }
}

#[test]
fn a_disk_that_fails_anywhere_loses_nothing() {
    for (operation, after) in
        OPERATIONS.into_iter().flat_map(|operation| (0..12).map(move |after| (operation, after)))
    {
        for appends in 1..14 {
            let disk = SimulatedDisk::new(after * 100 + appends);
            let ledger = begun(&disk);
            disk.inject(Fault::new(operation, Failure::Io).after(after));
            let (mut acked, mut failed) = (ledger.state(), 0);
            for number in 1..=appends {
                let entry = sealed(number, 100 + number * 10, 109 + number * 10);
                match ledger.append_blocking(&[entry]) {
                    Ok(()) => acked = ledger.state(),
                    Err(_) => failed += 1,
                }
                assert_eq!(ledger.state(), acked);
            }
            let told = format!("{operation:?} {after} {appends}");
            assert!(failed <= 1 && acked.open.len() as u64 == appends - failed, "{told}");
            // The very last append may have failed and be there all the same.
            if failed == 0 || acked.open.contains_key(&appends) {
                assert_eq!(open_on(&disk.crash()).unwrap().1, acked, "{told}");
            }
        }
    }
}

#[test]
fn power_that_ends_anywhere_loses_nothing() {
    for changes in 0..120 {
        let disk = SimulatedDisk::new(changes);
        let ledger = begun(&disk);
        disk.cut_power_after(changes);
        let (mut number, mut acked) = (1, ledger.state());
        let entry = |number| sealed(number, 100 + number * 10, 109 + number * 10);
        while ledger.append_blocking(&[entry(number)]).is_ok() {
            acked = ledger.state();
            number += 1;
        }
        let (_, state) = open_on(&disk.crash()).unwrap();
        let mut possible = acked.clone();
        possible.apply(&entry(number)).unwrap();
        assert!(state == acked || state == possible, "{changes}");
    }
}

#[test]
fn a_full_disk_refuses_and_works_again_when_there_is_space() {
    for space in (0..1500).step_by(50) {
        let disk = SimulatedDisk::new(space);
        let ledger = begun(&disk);
        leave(&disk, space);
        let mut number = 1;
        let error = loop {
            let entry = sealed(number, 100 + number * 10, 109 + number * 10);
            match ledger.append_blocking(&[entry]) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_disk_full(), "{error}");
        let full = ledger.state();
        assert_eq!(full.open.len() as u64, number - 1);
        // The same after a restart, which finds no space either.
        let disk = disk.crash();
        leave(&disk, 0);
        let (ledger, state) = open_on(&disk).unwrap();
        assert_eq!(state, full);
        assert!(ledger.append_blocking(&[epoch(2, 5000)]).unwrap_err().is_disk_full());
        disk.set_capacity(None);
        ledger.append_blocking(&[epoch(2, 5000)]).unwrap();
        assert_eq!(open_on(&disk.crash()).unwrap().1, ledger.state());
    }
}

#[test]
fn files_are_begun_and_forgotten_as_they_fill() {
    let disk = SimulatedDisk::new(1);
    let ledger = begun(&disk);
    for number in 1..400 {
        ledger.append_blocking(&[sealed(number, 100 + number * 10, 109 + number * 10)]).unwrap();
        ledger.append_blocking(&[committed(number), cursor(110 + number * 10)]).unwrap();
    }
    assert!(disk.used() <= (16 << 10) + 4096, "{}", disk.used());
    let names = names(&disk);
    assert!(names.len() >= 4 && !names.contains(&file(1)), "{names:?}");
    let (_, state) = open_on(&disk).unwrap();
    assert_eq!((&state, state.committed_records), (&ledger.state(), 4000));
}

#[test]
fn a_file_that_was_being_begun_when_the_power_went_is_cleared_away() {
    let disk = SimulatedDisk::new(1);
    let ledger = begun(&disk);
    put(&disk, &file(2).with_extension("tmp"), b"half a li");
    // Its name came through, and nothing else.
    put(&disk, &file(3), &[0; 512]);
    let (_, state) = open_on(&disk).unwrap();
    assert_eq!(state, ledger.state());
    assert_eq!(names(&disk), [file(1), file(3), file(4)]);
    let (_, state) = open_on(&disk).unwrap();
    assert_eq!(state, ledger.state());
}

#[tokio::test]
async fn appends_that_wait_together_share_a_sync() {
    let disk = SimulatedDisk::new(1);
    let (ledger, _) = Ledger::open(Arc::new(disk.clone()), PathBuf::from(FOLDER)).unwrap();
    ledger.append(vec![epoch(1, 100)]).await.unwrap();
    let syncs = || disk.count(Operation::Sync);
    let before = syncs();
    let mut appends: Vec<_> = (1..=20)
        .map(|number| Box::pin(ledger.append(vec![sealed(number, 100 + number * 10, 109 + number * 10)])))
        .collect();
    let Place::Folder(writer) = &ledger.shared.place else { panic!("a folder") };
    let held = lock(writer);
    for append in &mut appends {
        assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(held);
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(ledger.state().open.len(), 20);
    // One write for those that had come when the thread began, one for the others.
    assert!((1..=2).contains(&(syncs() - before)), "{}", syncs() - before);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_any_more_does_not_keep_others_waiting() {
    let disk = SimulatedDisk::new(1);
    let ledger = begun(&disk);
    for number in 1..50 {
        let mut dropped = Box::pin(ledger.append(vec![sealed(number, 100 + number * 10, 109 + number * 10)]));
        let _ = dropped.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(dropped);
        ledger.append(vec![Entry::Multipart(Multipart { number, upload: "u".into() })]).await.unwrap();
    }
    assert_eq!(ledger.state().open.len(), 49);
}
