use std::ops::Range;

use super::node::SECTOR_BYTES;
use super::*;

const FOLDER: &str = "data";

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_folder(Path::new(FOLDER)).unwrap();
    disk
}

/// A disk with a synced file of `bytes` bytes `a`, whose name is synced too.
fn with_file(seed: u64, bytes: usize) -> (SimulatedDisk, Arc<dyn DiskFile>) {
    let disk = disk(seed);
    let file = disk.create(&path("file")).unwrap();
    file.write_all_at(&vec![b'a'; bytes], 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_folder(Path::new(FOLDER)).unwrap();
    (disk, file)
}

/// What crashes with 200 seeds leave of what `run` did.
fn crashes<T: Ord>(run: impl Fn(u64) -> SimulatedDisk, look: impl Fn(&SimulatedDisk) -> T) -> BTreeSet<T> {
    (0..200).map(|seed| look(&run(seed).crash())).collect()
}

#[test]
fn what_is_synced_survives_every_crash() {
    let found = crashes(|seed| with_file(seed, 1_000).0, |disk| disk.content(&path("file")).unwrap());
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [vec![b'a'; 1_000]]);
}

#[test]
fn every_sector_that_is_not_synced_is_kept_or_lost_on_its_own() {
    let run = |seed| {
        let (disk, file) = with_file(seed, 4 * SECTOR_BYTES);
        file.write_all_at(&[b'b'; 2 * SECTOR_BYTES], SECTOR_BYTES as u64 / 2).unwrap();
        disk
    };
    let found = crashes(run, |disk| {
        let content = disk.content(&path("file")).unwrap();
        // No sector is a mixture.
        assert!(content[..256].iter().all(|byte| *byte == b'a'));
        let fate = |range: Range<usize>| {
            let byte = content[range.start];
            assert!(content[range].iter().all(|other| *other == byte));
            byte
        };
        [fate(256..512), fate(512..1_024), fate(1_024..1_280), fate(1_280..2_048)]
    });
    // Every combination of three sectors, and the untouched one is as it was.
    assert_eq!(found.len(), 8);
    assert!(found.iter().all(|fates| fates[3] == b'a'));
}

#[test]
fn a_file_that_grew_has_any_length_in_between_and_no_foreign_bytes() {
    let run = |seed| {
        let (disk, file) = with_file(seed, 100);
        file.write_all_at(&[b'b'; 2_000], 100).unwrap();
        disk
    };
    let lengths = crashes(run, |disk| {
        let content = disk.content(&path("file")).unwrap();
        assert!(content[..100].iter().all(|byte| *byte == b'a'));
        assert!(content[100..].iter().all(|byte| [0, b'b'].contains(byte)));
        content.len()
    });
    assert!(lengths.contains(&100) && lengths.contains(&2_100) && lengths.len() > 2, "{lengths:?}");
}

#[test]
fn a_cut_that_is_not_synced_is_undone_or_kept() {
    let run = |seed| {
        let (disk, file) = with_file(seed, 1_024);
        file.set_len(512).unwrap();
        disk
    };
    let found = crashes(run, |disk| disk.content(&path("file")).unwrap());
    let expected: BTreeSet<_> = [vec![b'a'; 512], vec![b'a'; 1_024]].into();
    assert_eq!(found, expected);
}

#[test]
fn names_that_are_not_synced_are_kept_or_lost_and_a_rename_is_whole() {
    let run = |seed| {
        let (disk, _) = with_file(seed, 1);
        let new = disk.create(&path("new")).unwrap();
        new.write_all_at(b"n", 0).unwrap();
        new.sync_data().unwrap();
        disk.rename(&path("new"), &path("file")).unwrap();
        disk.create(&path("other")).unwrap();
        disk
    };
    let names = |disk: &SimulatedDisk| {
        let content = disk.content(&path("file")).unwrap();
        assert!([b"a", b"n"].contains(&content.as_slice().try_into().unwrap()));
        (content, disk.list(Path::new(FOLDER)).unwrap())
    };
    let found = crashes(run, names);
    let old_alone = (b"a".to_vec(), vec![path("file")]);
    let all = (b"n".to_vec(), vec![path("file"), path("other")]);
    assert!(found.contains(&old_alone) && found.contains(&all), "{found:?}");
    let synced = |seed| {
        let disk = run(seed);
        disk.sync_folder(Path::new(FOLDER)).unwrap();
        disk
    };
    assert_eq!(crashes(synced, names), [all].into());
}

#[test]
fn syncing_one_folder_does_not_sync_another() {
    let run = |seed| {
        let disk = disk(seed);
        disk.create_folder(Path::new("other/deep")).unwrap();
        disk.create(&path("one")).unwrap();
        disk.create(Path::new("other/deep/two")).unwrap();
        disk.sync_folder(Path::new("other/deep")).unwrap();
        disk
    };
    let found = crashes(run, |disk| {
        assert_eq!(disk.list(Path::new("other/deep")).unwrap(), [Path::new("other/deep/two")]);
        disk.list(Path::new(FOLDER)).unwrap().len()
    });
    assert_eq!(found, [0, 1].into());
}

#[test]
fn the_end_of_the_process_loses_nothing_and_syncs_nothing() {
    let run = |seed| {
        let (disk, file) = with_file(seed, 100);
        file.write_all_at(b"unsynced", 0).unwrap();
        let killed = disk.kill();
        assert!(killed.content(&path("file")).unwrap().starts_with(b"unsynced"));
        assert!(file.write_at(b"x", 0).is_err() && disk.open(&path("file")).is_err());
        killed
    };
    let found = crashes(run, |disk| disk.content(&path("file")).unwrap().starts_with(b"unsynced"));
    assert_eq!(found, [false, true].into());
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let (disk, file) = with_file(seed, 64 * SECTOR_BYTES);
        file.write_all_at(&[b'b'; 64 * SECTOR_BYTES], 0).unwrap();
        disk.crash().content(&path("file")).unwrap()
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
    assert!((0..20).map(run).collect::<BTreeSet<_>>().len() > 5);
}

#[test]
fn faults_strike_the_operation_that_they_name() {
    let (disk, file) = with_file(1, 100);
    disk.inject(Fault::new(Operation::Write, Failure::Short(3)).after(1));
    assert_eq!(file.write_at(b"12345", 0).unwrap(), 5);
    assert_eq!(file.write_at(b"abcde", 0).unwrap(), 3);
    assert_eq!(file.write_at(b"67890", 5).unwrap(), 5);
    assert_eq!(&disk.content(&path("file")).unwrap()[..10], b"abc4567890");

    disk.inject(Fault::new(Operation::Read, Failure::Io).on("elsewhere"));
    disk.inject(Fault::new(Operation::Read, Failure::Io).times(2).on("file"));
    let mut byte = [0];
    assert!(file.read_at(&mut byte, 0).is_err());
    assert!(file.read_at(&mut byte, 0).is_err());
    assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);

    disk.inject(Fault::new(Operation::Rename, Failure::Io).times(u64::MAX));
    for _ in 0..3 {
        assert!(disk.rename(&path("file"), &path("else")).is_err());
    }
    disk.heal();
    disk.rename(&path("file"), &path("else")).unwrap();
    assert_eq!(disk.count(Operation::Rename), 4);
}

/// As Linux does it: the second sync succeeds, and the data are not there.
#[test]
fn what_a_failed_sync_has_lost_no_later_sync_brings_back() {
    let (mut lost, mut forgotten) = (0, 0);
    for seed in 0..50 {
        let (disk, file) = with_file(seed, SECTOR_BYTES);
        file.write_all_at(&[b'b'; SECTOR_BYTES], 0).unwrap();
        disk.inject(Fault::new(Operation::Sync, Failure::Io));
        assert!(file.sync_data().is_err());
        let seen = disk.content(&path("file")).unwrap()[0];
        file.sync_data().unwrap();
        let stable = disk.crash().content(&path("file")).unwrap()[0];
        lost += u32::from(stable == b'a');
        forgotten += u32::from(stable == b'a' && seen == b'b');
    }
    assert!(forgotten > 5 && lost > forgotten, "{lost} {forgotten}");
}

#[test]
fn a_full_disk_takes_what_fits_and_what_is_there_can_be_written_again() {
    let (disk, file) = with_file(1, 100);
    disk.set_capacity(Some(110));
    assert_eq!(file.write_at(&[b'b'; 30], 90).unwrap(), 20);
    let error = file.write_at(b"c", 110).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_len(111).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(&[b'd'; 110], 0).unwrap(), 110);
    assert_eq!(disk.used(), 110);
    disk.set_capacity(None);
    assert_eq!(file.write_at(b"c", 110).unwrap(), 1);
}

#[test]
fn without_power_nothing_answers_and_nothing_changes() {
    let (disk, file) = with_file(3, SECTOR_BYTES);
    disk.cut_power_after(1);
    file.write_all_at(b"first", 0).unwrap();
    assert!(file.write_all_at(&[b'b'; 100], 100).is_err());
    assert!(disk.is_off());
    let content = disk.content(&path("file")).unwrap();
    for _ in 0..5 {
        assert!(file.write_all_at(&[b'c'; 100], 300).is_err());
    }
    assert!(file.sync_data().is_err() && disk.list(Path::new(FOLDER)).is_err());
    assert_eq!(disk.content(&path("file")).unwrap(), content);
    let disk = disk.crash();
    assert!(!disk.is_off());
    assert_eq!(disk.content(&path("file")).unwrap().len(), SECTOR_BYTES);
}

#[test]
fn flipped_bits_stay_flipped() {
    let (disk, _) = with_file(1, 100);
    disk.flip(&path("file"), 42, 0b11).unwrap();
    let disk = disk.crash();
    assert_eq!(disk.content(&path("file")).unwrap()[42], b'a' ^ 0b11);
    assert!(disk.flip(&path("file"), 100, 1).is_err());
}

/// What a real disk says too.
#[test]
fn names_follow_the_rules_of_a_file_system() {
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let real = tempfile::tempdir().unwrap();
    let simulated = disk(1);
    let disks: [(&dyn Disk, &Path); 2] =
        [(&crate::runtime::disk::RealDisk, real.path()), (&simulated, Path::new(FOLDER))];
    for (disk, folder) in disks {
        let (a, b) = (folder.join("a"), folder.join("b"));
        let file = disk.create(&a).unwrap();
        assert_eq!(kind(disk.create(&a).map(drop)), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.create(&folder.join("no/a")).map(drop)), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.open(&b).map(drop)), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.remove(&b)), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.rename(&b, &a)), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.list(&folder.join("no")).map(drop)), io::ErrorKind::NotFound);
        disk.create_folder(&folder.join("sub/deep")).unwrap();
        disk.create_folder(&folder.join("sub/deep")).unwrap();
        assert_eq!(disk.list(folder).unwrap(), [a.clone(), folder.join("sub")]);
        // A file stays what it is while it is open, whatever its name.
        disk.create(&b).unwrap().write_all_at(b"b", 0).unwrap();
        disk.rename(&b, &a).unwrap();
        file.write_all_at(b"xyz", 2).unwrap();
        assert_eq!((file.len().unwrap(), disk.open(&a).unwrap().len().unwrap()), (5, 1));
        let mut bytes = [9; 6];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 5);
        assert_eq!(&bytes, b"\0\0xyz\x09");
        assert_eq!(file.read_at(&mut bytes, 5).unwrap(), 0);
        disk.remove(&a).unwrap();
        disk.sync_folder(folder).unwrap();
        assert_eq!(disk.list(folder).unwrap(), [folder.join("sub")]);
    }
}
