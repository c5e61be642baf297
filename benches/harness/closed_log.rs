//! The segments that a journal has left behind.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::config::checked::{Durability, LogWriter};
use forebay::runtime::clock::UnixMicros;
use forebay::runtime::disk::{Disk, RealDisk};
use forebay::runtime::progress::Progress;
use forebay::stream::wal::JournalClass;
use forebay::stream::wal::journals::{Journals, Setting};
use forebay::stream::wal::recovery::{self, Recovered, Source};
use forebay::telemetry::metrics::LogMetrics;
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// What recovery reads at a time as well.
const READ_BYTES: usize = 1 << 20;

/// A journal that nobody writes to. Removed when dropped.
pub struct ClosedLog {
    class: JournalClass,
    node: [u8; 8],
    /// `log` in the data folder.
    folder: PathBuf,
    _scratch: TempDir,
}

impl ClosedLog {
    /// The journal of a durability in the data folder of a node.
    pub fn new(scratch: TempDir, data: &Path, durability: Durability, node: [u8; 8]) -> Self {
        let class = match durability {
            Durability::Fsync => JournalClass::Fsync,
            Durability::Os => JournalClass::Os,
            Durability::Memory | Durability::Kafka => panic!("there is no log on the disk"),
        };
        Self { class, node, folder: data.join("log"), _scratch: scratch }
    }

    fn journal(&self) -> PathBuf {
        self.folder.join(self.class.as_str())
    }

    /// The segment files, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        files(&self.journal(), "segment")
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    }

    /// Takes the index files away: the next recovery has to read everything.
    pub fn remove_indexes(&self) {
        for path in files(&self.journal(), "index") {
            fs::remove_file(path).unwrap();
        }
    }

    /// What a start does first.
    pub fn recover(&self) -> Recovered {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let source = Source {
            disk: &disk,
            folder: &self.journal(),
            class: self.class,
            node: self.node,
            accept_damage: false,
            replies_since: UnixMicros(i64::MIN),
        };
        recovery::recover(source, &Progress::default()).unwrap()
    }

    /// Commits, and so syncs, since the journal was new.
    pub fn commits(&self) -> u64 {
        self.recover().resume.next_commit - 1
    }

    /// All that a start does with journals: recovery, a new segment of `segment_bytes`, and the threads. The time until
    /// it takes requests.
    pub fn start(&self, segment_bytes: u64) -> Duration {
        let setting = Setting {
            disk: Arc::new(RealDisk),
            folder: self.folder.clone(),
            node: self.node,
            segment_bytes,
            writer: LogWriter::Auto,
            accept_damage: false,
            replies_since: UnixMicros(i64::MIN),
        };
        let begun = Instant::now();
        let metrics = |_| LogMetrics::none();
        let (journals, _) = Journals::open(&setting, &[self.class], &metrics, &Progress::default()).unwrap();
        let time = begun.elapsed();
        journals.stop();
        time
    }

    /// Reads all segments, which puts them into the page cache.
    pub fn read(&self) -> u64 {
        self.each_piece(|_| {})
    }

    /// Reads all segments and hashes every byte: the least that a recovery has to do.
    pub fn read_and_hash(&self) -> u64 {
        self.each_piece(|piece| {
            black_box(xxh3_64(piece));
        })
    }

    fn each_piece(&self, mut each: impl FnMut(&[u8])) -> u64 {
        let mut buffer = vec![0; READ_BYTES];
        let mut bytes = 0;
        for path in self.segments() {
            let file = File::open(path).unwrap();
            let mut at = 0;
            loop {
                let read = file.read_at(&mut buffer, at).unwrap();
                if read == 0 {
                    break;
                }
                each(black_box(&buffer[..read]));
                at += read as u64;
            }
            bytes += at;
        }
        bytes
    }
}

/// Lets the page cache forget the segments in a journal's folder, apart from what is not written yet.
pub fn forget_pages(folder: &Path) {
    for path in files(folder, "segment") {
        // One that retention takes away at this moment has no pages either.
        let Ok(file) = File::open(path) else { continue };
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    found.sort_unstable();
    found
}
