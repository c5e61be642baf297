//! What becomes of `io_uring` after a failure.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::stepped::Round;
use super::*;
use crate::runtime::disk::DiskFile;
use crate::stream::wal::writer::{self, WriterKind};

/// The disk of this machine, which refuses files that only try something out once it is full.
#[derive(Debug, Clone, Default)]
struct Picky {
    full: Arc<AtomicBool>,
    /// Fails the next write of more than a commit buffer.
    failing: Arc<AtomicBool>,
}

#[derive(Debug)]
struct PickyFile {
    file: Arc<dyn DiskFile>,
    failing: Arc<AtomicBool>,
}

impl Picky {
    fn of(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(PickyFile { file: file?, failing: Arc::clone(&self.failing) }))
    }
}

impl Disk for Picky {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("probe") && self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.of(RealDisk.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.of(RealDisk.open(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }
}

impl DiskFile for PickyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if bytes.len() > COMMIT_BUFFER_BYTES && self.failing.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("a fault of this test"));
        }
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn file(&self) -> Option<&std::fs::File> {
        self.file.file()
    }
}

#[test]
fn io_uring_is_used_again_after_a_failed_write_also_on_a_full_disk() {
    for wanted in [LogWriter::IoUring, LogWriter::Auto] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Picky::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        if writer::choose(&shared, folder.path(), JournalClass::Fsync, LogWriter::IoUring).is_err() {
            crate::testkit::skip::skipped("io_uring does not work here");
            return;
        }
        let patience = Patience { retry: Duration::ZERO, spare: Duration::ZERO, turn: Duration::ZERO };
        let options =
            Options { disk: shared, segment_bytes: 16 << 20, patience, ..options(folder.path(), wanted) };
        let (journal, mut threads) = Journal::stepped(options, recover(folder.path()).resume).unwrap();
        assert_eq!(threads.kind(), Some(WriterKind::IoUring));
        let bench = Bench::of(journal, Vec::new());
        assert!(threads.keep());
        disk.full.store(true, Ordering::Relaxed);
        disk.failing.store(true, Ordering::Relaxed);
        // So large that it is written at once, through the disk of this test.
        let mut large = bench.append(&["x".repeat(COMMIT_BUFFER_BYTES + 1).as_str()], 1).unwrap().ticket;
        assert_eq!(threads.write(), Round::Worked);
        assert!(large.try_recv().unwrap().is_err());
        assert_eq!((threads.write(), threads.kind()), (Round::Worked, Some(WriterKind::IoUring)));
        let mut small = bench.append(&["y"], 2).unwrap().ticket;
        while small.try_recv().is_err() {
            assert_eq!(threads.write(), Round::Worked);
        }
        assert_eq!(bench.read_all(), ["y"]);
        drop(bench);
        threads.end();
    }
}
