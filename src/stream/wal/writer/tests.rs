//! What every writer must do, and what only some do.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::limits::COMMIT_BUFFER_BYTES;
use crate::runtime::disk::RealDisk;

const BYTES: usize = 16 * BLOCK_BYTES;

/// A folder with two files of zeros, and a writer of one kind.
struct Bench {
    folder: TempDir,
    writer: Box<dyn SegmentWriter>,
    files: [(PathBuf, Arc<dyn DiskFile>); 2],
}

fn bench(writer: Box<dyn SegmentWriter>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        let file = RealDisk.create(&path).unwrap();
        file.write_all_at(&vec![0; BYTES.max(2 * COMMIT_BUFFER_BYTES)], 0).unwrap();
        file.sync_data().unwrap();
        (path, file)
    };
    let files = [file("a"), file("b")];
    Bench { folder, writer, files }
}

impl Bench {
    fn open(&mut self, index: usize) {
        let (path, file) = &self.files[index];
        self.writer.open(file, path).unwrap();
    }

    fn content(&self, index: usize, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.files[index].1.read_exact_at(&mut bytes, offset as u64).unwrap();
        bytes
    }
}

fn buffers_are_large_and_aligned(bench: &mut Bench) {
    for index in 0..2 {
        let buffer = bench.writer.buffer(index);
        assert_eq!((buffer.len(), buffer.as_ptr().align_offset(BLOCK_BYTES)), (COMMIT_BUFFER_BYTES, 0));
    }
    assert!(bench.writer.buffer(2).is_empty());
    assert!(bench.folder.path().is_dir());
}

fn what_is_written_can_be_read(bench: &mut Bench) {
    bench.open(0);
    for round in 0..6_usize {
        let len = BLOCK_BYTES * (1 + round % 3);
        let offset = BLOCK_BYTES * (2 * round);
        let fill = round as u8 + 1;
        bench.writer.buffer(round % 2)[..len].fill(fill);
        bench.writer.start(round % 2, len, offset as u64).unwrap();
        // The other buffer may be filled meanwhile.
        bench.writer.buffer((round + 1) % 2).fill(0xaa);
        bench.writer.finish().unwrap();
        assert_eq!(bench.content(0, offset, len), vec![fill; len]);
    }
}

fn a_block_can_be_written_again(bench: &mut Bench) {
    bench.open(0);
    for round in 0..4_u8 {
        bench.writer.buffer(0)[..BLOCK_BYTES].fill(round);
        bench.writer.start(0, BLOCK_BYTES, 3 * BLOCK_BYTES as u64).unwrap();
        bench.writer.finish().unwrap();
        assert_eq!(bench.content(0, 3 * BLOCK_BYTES, BLOCK_BYTES), vec![round; BLOCK_BYTES]);
    }
}

fn a_whole_buffer_and_bytes_elsewhere_are_written(bench: &mut Bench) {
    bench.open(0);
    for (index, byte) in bench.writer.buffer(1).iter_mut().enumerate() {
        *byte = (index / 97) as u8;
    }
    bench.writer.start(1, COMMIT_BUFFER_BYTES, 0).unwrap();
    bench.writer.finish().unwrap();
    let expected: Vec<_> = (0..COMMIT_BUFFER_BYTES).map(|index| (index / 97) as u8).collect();
    assert!(bench.content(0, 0, COMMIT_BUFFER_BYTES) == expected);

    // Not aligned, and larger than a buffer.
    let len = COMMIT_BUFFER_BYTES + 3 * BLOCK_BYTES;
    let elsewhere: Vec<_> = (0..=len).map(|index| (index / 89) as u8).collect();
    bench.writer.write(&elsewhere[1..], BLOCK_BYTES as u64).unwrap();
    assert!(bench.content(0, BLOCK_BYTES, len) == elsewhere[1..]);
}

fn writes_go_to_the_segment_that_was_opened_last(bench: &mut Bench) {
    for (index, fill) in [(0, 1), (1, 2), (0, 3)] {
        bench.open(index);
        bench.writer.buffer(0)[..BLOCK_BYTES].fill(fill);
        bench.writer.start(0, BLOCK_BYTES, 0).unwrap();
        bench.writer.finish().unwrap();
    }
    assert_eq!(bench.content(0, 0, 1), [3]);
    assert_eq!(bench.content(1, 0, 1), [2]);
}

fn asking_for_a_buffer_that_is_being_written_waits_for_it(bench: &mut Bench) {
    bench.open(0);
    bench.writer.buffer(0)[..BLOCK_BYTES].fill(7);
    bench.writer.start(0, BLOCK_BYTES, 0).unwrap();
    bench.writer.buffer(0)[..BLOCK_BYTES].fill(8);
    bench.writer.finish().unwrap();
    assert_eq!(bench.content(0, 0, BLOCK_BYTES), vec![7; BLOCK_BYTES]);
}

fn wrong_use_is_refused_and_writes_nothing(bench: &mut Bench) {
    let refused =
        |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    bench.writer.finish().unwrap();
    refused(bench.writer.start(0, BLOCK_BYTES, 0));
    refused(bench.writer.write(&[1; BLOCK_BYTES], 0));
    bench.open(0);
    bench.writer.buffer(0).fill(9);
    refused(bench.writer.start(0, BLOCK_BYTES - 1, 0));
    refused(bench.writer.start(0, BLOCK_BYTES, 1));
    refused(bench.writer.start(2, BLOCK_BYTES, 0));
    refused(bench.writer.start(0, COMMIT_BUFFER_BYTES + BLOCK_BYTES, 0));
    refused(bench.writer.write(&[9; 5], 0));
    bench.writer.start(0, BLOCK_BYTES, BLOCK_BYTES as u64).unwrap();
    refused(bench.writer.start(0, BLOCK_BYTES, 0));
    refused(bench.writer.write(&[9; BLOCK_BYTES], 0));
    let (path, file) = bench.files[1].clone();
    refused(bench.writer.open(&file, &path));
    bench.writer.finish().unwrap();
    assert_eq!(bench.content(0, 0, 2 * BLOCK_BYTES), [[0; BLOCK_BYTES], [9; BLOCK_BYTES]].concat());
}

fn a_write_that_fails_is_told_when_it_finishes(bench: &mut Bench) {
    bench.open(0);
    bench.writer.buffer(0)[..BLOCK_BYTES].fill(1);
    // No file is that large.
    bench.writer.start(0, BLOCK_BYTES, 1 << 60).unwrap();
    assert!(bench.writer.finish().is_err());
    assert!(bench.writer.write(&[1; BLOCK_BYTES], 1 << 60).is_err());
    // And the next one succeeds.
    bench.writer.start(0, BLOCK_BYTES, 0).unwrap();
    bench.writer.finish().unwrap();
    assert_eq!(bench.content(0, 0, BLOCK_BYTES), [1; BLOCK_BYTES]);
}

fn dropping_it_with_a_write_under_way_leaves_the_write_whole(bench: Bench) {
    let Bench { mut writer, files, folder } = bench;
    writer.open(&files[0].1, &files[0].0).unwrap();
    writer.buffer(0).fill(5);
    writer.start(0, COMMIT_BUFFER_BYTES, 0).unwrap();
    drop(writer);
    let mut found = vec![0; COMMIT_BUFFER_BYTES];
    files[0].1.read_exact_at(&mut found, 0).unwrap();
    assert!(found.iter().all(|byte| *byte == 5));
    drop(folder);
}

/// Runs the suite; every case gets a writer of its own.
fn conforms(new: impl Fn() -> Box<dyn SegmentWriter>) {
    for case in [
        buffers_are_large_and_aligned,
        what_is_written_can_be_read,
        a_block_can_be_written_again,
        a_whole_buffer_and_bytes_elsewhere_are_written,
        writes_go_to_the_segment_that_was_opened_last,
        asking_for_a_buffer_that_is_being_written_waits_for_it,
        wrong_use_is_refused_and_writes_nothing,
        a_write_that_fails_is_told_when_it_finishes,
    ] {
        case(&mut bench(new()));
    }
    dropping_it_with_a_write_under_way_leaves_the_write_whole(bench(new()));
}

#[test]
fn the_thread_writer_conforms() {
    for class in [JournalClass::Fsync, JournalClass::Os] {
        conforms(|| Box::new(ThreadWriter::new(class)));
    }
}

/// Whether `io_uring` works here; says so where it does not.
#[cfg(target_os = "linux")]
fn uring_works() -> bool {
    let folder = tempfile::tempdir().unwrap();
    match try_uring(&RealDisk, folder.path()) {
        Ok(Some(_)) => {
            assert!(RealDisk.list(folder.path()).unwrap().is_empty(), "the scratch file is still there");
            true
        }
        Ok(None) => panic!("the disk of this machine has files"),
        Err(error) => {
            crate::testkit::skip::skipped(&format!("io_uring does not work here: {error}"));
            false
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_uring_writer_conforms() {
    if uring_works() {
        conforms(|| Box::new(UringWriter::new()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_ring_is_made_by_the_thread_that_uses_it() {
    if !uring_works() {
        return;
    }
    let mut bench = bench(Box::new(UringWriter::new()));
    std::thread::scope(|scope| scope.spawn(|| what_is_written_can_be_read(&mut bench)).join()).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn another_thread_than_the_first_is_refused_and_nothing_is_freed_too_early() {
    if !uring_works() {
        return;
    }
    let mut bench = bench(Box::new(UringWriter::new()));
    std::thread::scope(|scope| scope.spawn(|| bench.open(0)).join()).unwrap();
    assert!(bench.writer.start(0, BLOCK_BYTES, 0).is_err());
    // Opening makes another ring, for this thread.
    what_is_written_can_be_read(&mut bench);
    // A write whose end this thread cannot wait for.
    std::thread::scope(|scope| {
        let writer = &mut bench.writer;
        scope
            .spawn(|| {
                let (path, file) = &bench.files[0];
                *writer = Box::new(UringWriter::new());
                writer.open(file, path).unwrap();
                writer.start(0, BLOCK_BYTES, 0).unwrap();
            })
            .join()
    })
    .unwrap();
    // Unless the kernel was done with it at once, the kernel may still read the buffer, for all that is known here.
    if bench.writer.finish().is_err() {
        assert!(bench.writer.buffer(0).is_empty());
        assert!(bench.writer.start(1, BLOCK_BYTES, 0).is_err());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_path_of_another_file_is_refused() {
    if !uring_works() {
        return;
    }
    let mut bench = bench(Box::new(UringWriter::new()));
    let (path, file) = (bench.files[0].0.clone(), Arc::clone(&bench.files[1].1));
    assert_eq!(bench.writer.open(&file, &path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_writer_that_was_asked_for_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let kind = |class, wanted| choose(&disk, folder.path(), class, wanted).unwrap().kind();
    assert_eq!(kind(JournalClass::Fsync, LogWriter::Thread), WriterKind::Thread);
    for wanted in [LogWriter::Auto, LogWriter::Thread, LogWriter::IoUring] {
        assert_eq!(kind(JournalClass::Os, wanted), WriterKind::Thread);
    }
    #[cfg(target_os = "linux")]
    if uring_works() {
        for wanted in [LogWriter::Auto, LogWriter::IoUring] {
            assert_eq!(kind(JournalClass::Fsync, wanted), WriterKind::IoUring);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told_to_who_asks_for_io_uring_and_no_matter_otherwise() {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = Path::new("no/such/folder");
    let auto = choose(&disk, folder, JournalClass::Fsync, LogWriter::Auto).unwrap();
    assert_eq!(auto.kind(), WriterKind::Thread);
    let named = choose(&disk, folder, JournalClass::Fsync, LogWriter::IoUring);
    assert_eq!(named.err().unwrap().kind(), io::ErrorKind::Unsupported);
}
