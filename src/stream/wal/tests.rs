//! Segments, commits, writer, scan and index together, on disks that fail.

use std::path::Path;
use std::sync::Arc;

use super::JournalClass;
use super::frame::{COMMIT_HEADER_BYTES, CommitEncoder};
use super::index::{IndexBuilder, IndexReader, IndexedSegment};
use super::samples::{entry, plain};
use super::segment::{
    FileName, Mode, PreparedSegment, SEGMENT_HEADER_BYTES, ScannedCommit, Segment, SegmentHeader, Start,
    Verdict, scan,
};
use super::writer::{BLOCK_BYTES, SegmentWriter, ThreadWriter};
use crate::runtime::disk::Disk;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

const FOLDER: &str = "log";
const SEGMENT_BYTES: u64 = 20 << 10;

/// Writes commits until the disk fails or there are `commits`, as a journal does. Returns how many were acknowledged.
fn write_commits(disk: &SimulatedDisk, commits: u64) -> u64 {
    let mut acknowledged = 0;
    let mut journal =
        Writing { disk, writer: ThreadWriter::new(JournalClass::Fsync), segment: None, end: 0, tail: vec![] };
    while acknowledged < commits && journal.commit(acknowledged).is_ok() {
        acknowledged += 1;
    }
    acknowledged
}

struct Writing<'a> {
    disk: &'a SimulatedDisk,
    writer: ThreadWriter,
    segment: Option<Segment>,
    /// Where the last commit ends.
    end: u64,
    /// The bytes of its last block, up to that end.
    tail: Vec<u8>,
}

impl Writing<'_> {
    /// Commit `number`, whose record has the sequence number `number`.
    fn commit(&mut self, number: u64) -> std::io::Result<()> {
        let payload = "x".repeat(number as usize * 397 % 5_000);
        let batch = plain(&[&payload], 0);
        let entry = entry(1, number, &batch);
        let bytes = COMMIT_HEADER_BYTES as u64 + entry.encoded_bytes();
        if self.segment.as_ref().is_none_or(|segment| self.end + bytes > segment.bytes) {
            self.next_segment(number)?;
        }
        let salt = self.segment.as_ref().unwrap().header.salt;
        // The block in which the last commit ends is written again.
        let tail = self.tail.len();
        let buffer = self.writer.buffer(number as usize % 2);
        buffer[..tail].copy_from_slice(&self.tail);
        let mut encoder = CommitEncoder::begin(&mut buffer[tail..], salt, number).unwrap();
        encoder.push(&entry).unwrap();
        let end = tail + encoder.finish();
        let len = end.next_multiple_of(BLOCK_BYTES);
        buffer[end..len].fill(0);
        self.tail = buffer[end - end % BLOCK_BYTES..end].to_vec();
        self.writer.start(number as usize % 2, len, self.end - tail as u64)?;
        self.writer.finish()?;
        self.end += (end - tail) as u64;
        Ok(())
    }

    fn next_segment(&mut self, first_commit: u64) -> std::io::Result<()> {
        let header = SegmentHeader {
            class: JournalClass::Fsync,
            number: self.segment.as_ref().map_or(0, |segment| segment.header.number + 1),
            salt: 1_000_000 + first_commit,
            first_commit,
            previous_end: self.segment.as_ref().map(|_| self.end),
            node: [0; 8],
        };
        let prepared = PreparedSegment::create(self.disk, Path::new(FOLDER), 0, SEGMENT_BYTES)?;
        let segment = prepared.activate(self.disk, header)?;
        self.writer.open(&segment.file, &segment.path)?;
        self.segment = Some(segment);
        self.end = SEGMENT_HEADER_BYTES;
        self.tail.clear();
        Ok(())
    }
}

fn new_disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_folder(Path::new(FOLDER)).unwrap();
    disk
}

/// Reads back all segments, checks that each is whole up to where the next begins, and returns the commits.
fn read_commits(disk: &SimulatedDisk) -> u64 {
    let mut next = 0;
    let mut last: Option<(u64, u64)> = None;
    for path in disk.list(Path::new(FOLDER)).unwrap() {
        let Some(FileName::Segment(number)) = FileName::of(&path) else { continue };
        let segment = Segment::open(disk, &path).unwrap();
        assert_eq!(segment.header.number, number);
        assert_eq!(last.map_or(0, |(number, _)| number + 1), number, "a segment is missing");
        assert_eq!(last.map(|(_, end)| end), segment.header.previous_end, "a segment has lost its end");
        assert_eq!(segment.header.first_commit, next);
        let mut visitor = |commit: &ScannedCommit<'_>| {
            assert_eq!((commit.number, commit.frames[0].header.first.0), (next, next));
            next += 1;
        };
        let end = scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
        assert!(!matches!(end.verdict, Verdict::Damaged { .. }), "{end:?}");
        last = Some((number, end.valid_end));
    }
    next
}

#[test]
fn what_is_acknowledged_survives_a_loss_of_power_at_any_moment() {
    let commits = 40;
    let whole = new_disk(0);
    assert_eq!(write_commits(&whole, commits), commits);
    let (changes, segments) = (whole.changes(), whole.list(Path::new(FOLDER)).unwrap().len());
    assert!(segments > 2, "the commits should not fit into {segments} segments");
    let mut beyond = 0;
    for seed in 0..5 {
        // Every moment once, on one of the disks.
        for moment in (seed..changes).step_by(5) {
            let disk = new_disk(seed);
            disk.cut_power_after(moment);
            let acknowledged = write_commits(&disk, commits);
            let found = read_commits(&disk.crash());
            // One that was under way may have got there, or not.
            assert!(
                [acknowledged, acknowledged + 1].contains(&found),
                "{seed} {moment}: {acknowledged} {found}"
            );
            beyond += found - acknowledged;
        }
    }
    assert!(beyond > 4, "commits that were not acknowledged should survive now and then, not {beyond} times");
}

#[test]
fn the_end_of_the_process_at_any_moment_loses_nothing() {
    for moment in 0..60 {
        let disk = new_disk(1);
        disk.inject(Fault::new(Operation::Sync, Failure::Io).after(moment));
        let acknowledged = write_commits(&disk, 20);
        let killed = disk.kill();
        assert!(read_commits(&killed) >= acknowledged);
    }
}

#[test]
fn a_failed_sync_is_told_and_takes_nothing_that_was_acknowledged() {
    for seed in 0..5 {
        for moment in 1..50 {
            let disk = new_disk(seed);
            disk.inject(Fault::new(Operation::Sync, Failure::Io).after(moment));
            let acknowledged = write_commits(&disk, 100);
            assert!(acknowledged < 100, "the fault at {moment} was not told");
            let found = read_commits(&disk.crash());
            assert!(
                [acknowledged, acknowledged + 1].contains(&found),
                "{seed} {moment}: {acknowledged} {found}"
            );
        }
    }
}

#[test]
fn failed_and_short_writes_are_told_or_completed() {
    for moment in 0..50 {
        let disk = new_disk(moment);
        disk.inject(Fault::new(Operation::Write, Failure::Io).after(moment));
        disk.inject(Fault::new(Operation::Write, Failure::Short(700)).times(u64::MAX));
        let acknowledged = write_commits(&disk, 100);
        assert!(acknowledged < 100, "the fault at {moment} was not told");
        let found = read_commits(&disk.crash());
        assert!([acknowledged, acknowledged + 1].contains(&found), "{moment}: {acknowledged} {found}");
    }
}

#[test]
fn a_segment_that_does_not_fit_on_the_disk_leaves_nothing_behind() {
    let disk = new_disk(1);
    disk.set_capacity(Some(SEGMENT_BYTES - 1));
    let error = PreparedSegment::create(&disk, Path::new(FOLDER), 0, SEGMENT_BYTES).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(disk.list(Path::new(FOLDER)).unwrap().is_empty());
    disk.set_capacity(Some(SEGMENT_BYTES));
    PreparedSegment::create(&disk, Path::new(FOLDER), 0, SEGMENT_BYTES).unwrap();
}

#[test]
fn a_segment_that_cannot_be_read_is_an_error_and_not_damage() {
    let disk = new_disk(1);
    write_commits(&disk, 5);
    let path = FileName::segment(Path::new(FOLDER), 0);
    let segment = Segment::open(&disk, &path).unwrap();
    for read in 0..disk.count(Operation::Read) {
        disk.inject(Fault::new(Operation::Read, Failure::Io).after(read));
        let mut visitor = |_: &ScannedCommit<'_>| {};
        assert!(scan(&segment, Start::of(&segment), Mode::GoOn, &mut visitor).is_err());
        disk.heal();
    }
    // Reads that end early do no harm.
    disk.inject(Fault::new(Operation::Read, Failure::Short(61)).times(u64::MAX));
    let mut commits = 0;
    let mut visitor = |_: &ScannedCommit<'_>| commits += 1;
    let end = scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
    assert_eq!((commits, end.verdict), (5, Verdict::Clean));
}

/// A builder with some frames.
fn index_builder() -> IndexBuilder {
    let disk = new_disk(1);
    write_commits(&disk, 12);
    let segment = Segment::open(&disk, &FileName::segment(Path::new(FOLDER), 0)).unwrap();
    let mut builder = IndexBuilder::new();
    let mut visitor = |commit: &ScannedCommit<'_>| {
        for frame in commit.frames {
            builder.frame(&frame.header, frame.offset).unwrap();
        }
    };
    scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
    builder
}

#[test]
fn an_index_is_there_as_a_whole_or_not_at_all() {
    let path = FileName::index(Path::new(FOLDER), 0);
    let segment = |commit| IndexedSegment { number: 0, salt: 1, valid_end: 4_096, next_commit: commit };
    let whole = new_disk(0);
    index_builder().write(&whole, &path, segment(1)).unwrap();
    let changes = whole.changes() - 1;
    let mut found = [0; 3];
    for seed in 0..20 {
        for moment in 0..=changes {
            let disk = new_disk(seed);
            if seed % 2 == 0 {
                index_builder().write(&disk, &path, segment(1)).unwrap();
            }
            disk.cut_power_after(moment);
            let written = index_builder().write(&disk, &path, segment(2));
            let disk = disk.crash();
            let commit = match IndexReader::open(&disk, &path) {
                Ok(index) => index.segment().next_commit,
                Err(super::index::IndexError::Io { source, .. }) => {
                    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
                    0
                }
                Err(error) => panic!("{error}"),
            };
            assert!(written.is_err() || commit == 2);
            assert!(seed % 2 == 1 || commit > 0);
            found[commit as usize] += 1;
        }
    }
    assert!(found.iter().all(|count| *count > 5), "{found:?}");
}

#[test]
fn an_index_that_does_not_fit_on_the_disk_leaves_nothing_behind() {
    let disk = new_disk(1);
    disk.set_capacity(Some(100));
    let path = FileName::index(Path::new(FOLDER), 0);
    let segment = IndexedSegment { number: 0, salt: 1, valid_end: 4_096, next_commit: 1 };
    let error = index_builder().write(&disk, &path, segment).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(disk.list(Path::new(FOLDER)).unwrap().is_empty());
}

#[test]
fn a_simulated_disk_gets_the_writer_of_the_thread() {
    use super::writer::{WriterKind, choose};
    use crate::config::checked::LogWriter;
    let disk = new_disk(1);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    for wanted in [LogWriter::Auto, LogWriter::IoUring] {
        let writer = choose(&shared, Path::new(FOLDER), JournalClass::Fsync, wanted).unwrap();
        assert_eq!(writer.kind(), WriterKind::Thread);
    }
    assert!(disk.list(Path::new(FOLDER)).unwrap().is_empty(), "the scratch file is still there");
}
