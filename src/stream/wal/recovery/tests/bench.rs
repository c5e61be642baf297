//! A journal without threads on a simulated disk, with two shards.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::checked::LogWriter;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress;
use crate::stream::notices::{Notices, Size};
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journal::stepped::{Round, Stepped};
use crate::stream::wal::journal::{Journal, NewRequest, Options, Patience, Queued};
use crate::stream::wal::journals::{OpenError, check_complete};
use crate::stream::wal::recovery::{self, KeptReply, Source};
use crate::stream::wal::segment::FileName;
use crate::stream::wal::shard::DurableLog;
use crate::stream::wal::{index, samples};
use crate::stream::{
    AppendError, Captures, Found, Known, NewReply, Payer, Read, ReadError, ReadLimit, Replies, Retention,
    ShardLog,
};
use crate::telemetry::metrics::{LogMetrics, Registry};
use crate::testkit::disk::SimulatedDisk;

pub const SEGMENT: u64 = 16 << 10;
pub const NODE: [u8; 8] = *b"node-id!";
/// Number of the first record of each shard.
pub const ORIGIN: u64 = 100;
const SHARDS: u32 = 2;

/// How it is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    pub class: JournalClass,
    pub node: [u8; 8],
    pub accept_damage: bool,
}

pub const FSYNC: Opening = Opening { class: JournalClass::Fsync, node: NODE, accept_damage: false };
pub const OS: Opening = Opening { class: JournalClass::Os, ..FSYNC };
pub const ACCEPTING: Opening = Opening { accept_damage: true, ..FSYNC };

pub struct Bench {
    pub journal: Journal,
    pub threads: Stepped,
    pub shards: Vec<Arc<DurableLog>>,
    pub replies: Vec<KeptReply>,
    pub damaged_bytes: u64,
    notices: Arc<Notices>,
}

pub fn folder() -> PathBuf {
    PathBuf::from("log")
}

pub fn segment(number: u64) -> PathBuf {
    FileName::segment(&folder(), number)
}

pub fn index_of(number: u64) -> PathBuf {
    FileName::index(&folder(), number)
}

/// Numbers of the segments that are there.
pub fn segments(disk: &SimulatedDisk) -> Vec<u64> {
    let number = |path: &PathBuf| match FileName::of(path) {
        Some(FileName::Segment(number)) => Some(number),
        _ => None,
    };
    disk.list(&folder()).unwrap().iter().filter_map(number).collect()
}

/// Bytes of the valid part of a segment, as its index has it.
pub fn valid_end(disk: &SimulatedDisk, number: u64) -> u64 {
    index::IndexReader::open(disk, &index_of(number)).unwrap().segment().valid_end
}

pub fn new_disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_folder(&folder()).unwrap();
    disk
}

/// A payload that a search finds.
pub fn payload(number: u64) -> String {
    format!("<{number}>{}", "x".repeat(number as usize * 131 % 900))
}

impl Bench {
    /// What a start does.
    pub fn open(disk: &SimulatedDisk, opening: Opening) -> Result<Self, OpenError> {
        let Opening { class, node, accept_damage } = opening;
        let (shared, folder): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), folder());
        let replies_since = UnixMicros(0);
        let source = Source { disk: &shared, folder: &folder, class, node, accept_damage, replies_since };
        let recovered = recovery::recover(source, &Progress::default())?;
        if accept_damage {
            recovery::accept_missing(disk, &folder, &recovered.missing).unwrap();
        } else {
            check_complete(&folder, &recovered)?;
        }
        let options = Options {
            disk: Arc::clone(&shared),
            folder,
            class,
            segment_bytes: SEGMENT,
            writer: LogWriter::Thread,
            node,
            metrics: LogMetrics::none(),
            patience: Patience { retry: Duration::ZERO, spare: Duration::ZERO, turn: Duration::ZERO },
        };
        let (journal, threads) = Journal::stepped(options, recovered.resume).unwrap();
        let retention = Retention { age: Duration::from_secs(1), bytes: None };
        let shard = |number| {
            let number = ShardNumber(number);
            let parts = recovered.parts.get(&number).cloned().unwrap_or_default();
            Arc::new(DurableLog::new(number, SequenceNumber(ORIGIN), parts, retention, 1))
        };
        Ok(Self {
            journal,
            threads,
            shards: (0..SHARDS).map(shard).collect(),
            replies: recovered.replies,
            damaged_bytes: recovered.damaged_bytes,
            notices: Arc::new(Notices::new(&Registry::new().unwrap().stream("s"))),
        })
    }

    pub fn append(&self, shard: usize, payload: &str, key: Option<&[u8]>) -> Result<Queued, AppendError> {
        let reply = key.map(|key| {
            let replies = Replies::new(Duration::from_secs(60), metrics::Counter::noop());
            let claiming = replies.claim(key, 7, UnixMicros(5));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let Known::New(claim) = runtime.block_on(claiming) else { panic!("the key is new") };
            NewReply { claim, arrival: UnixMicros(5), make: Box::new(|_| "told".into()), bytes_max: 10 }
        });
        let batch = samples::plain(&[payload], 5);
        self.journal.append(NewRequest {
            notices: Arc::clone(&self.notices),
            size: Size::of([&batch].into_iter()),
            batches: vec![(ShardId(shard as u32), Arc::clone(&self.shards[shard]), batch)],
            reply,
            stream: 1,
        })
    }

    /// Marks where a shard is.
    pub fn mark(&self, shard: usize) {
        let batch = Batch::empty(UnixMicros(i64::MAX));
        let batches = vec![(ShardId(shard as u32), Arc::clone(&self.shards[shard]), batch)];
        let notices = Arc::clone(&self.notices);
        self.journal
            .append(NewRequest { notices, batches, size: Size::default(), reply: None, stream: 1 })
            .unwrap();
    }

    /// Writes everything, and does what the keeping thread has to do.
    pub fn rest(&mut self) {
        loop {
            if self.threads.keeper_has_work() {
                self.threads.keep();
            }
            if self.threads.write() == Round::Idle && !self.threads.keeper_has_work() {
                return;
            }
        }
    }

    /// Appends records `numbers`, alternately to both shards, each in a commit of its own.
    pub fn fill(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let mut queued = self.append(number as usize % SHARDS as usize, &payload(number), None).unwrap();
            self.rest();
            assert_eq!(queued.ticket.try_recv(), Ok(Ok(())));
        }
    }

    /// Stops in order.
    pub fn stop(mut self) {
        self.journal.stop();
        while self.threads.write() != Round::Ended {}
        self.threads.end();
    }

    /// All records of a shard with their numbers, and how many numbers were skipped.
    pub fn read(&self, shard: usize) -> (Vec<(u64, String)>, u64) {
        self.try_read(shard).unwrap()
    }

    /// The same, or why they cannot be read.
    pub fn try_read(&self, shard: usize) -> Result<(Vec<(u64, String)>, u64), ReadError> {
        let payer = Payer { budget: Budget::new(1 << 30), overdraws: true };
        let captures = Captures::default().plan().unwrap();
        let (mut next, mut skipped, mut found) = (SequenceNumber(ORIGIN), 0, Vec::new());
        loop {
            let read: Read = match self.shards[shard].read(next, ReadLimit::bytes(3_000)) {
                Found::Here(read) => read,
                Found::Stored(stored) => stored.load(&payer, &captures)?,
            };
            skipped += read.skipped;
            if read.slices.is_empty() && read.next <= next {
                return Ok((found, skipped));
            }
            next = read.next;
            for slice in read.slices {
                for (number, record) in (slice.first.0..).zip(&slice.batch.records[slice.skip..]) {
                    let payload = slice.batch.source.bytes(record.payload);
                    found.push((number, String::from_utf8(payload.to_vec()).unwrap()));
                }
            }
        }
    }

    /// Records of both shards, as [`Bench::fill`] has numbered them.
    pub fn records(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for shard in 0..SHARDS as usize {
            let (found, _) = self.read(shard);
            for (number, text) in found {
                let record = (number - ORIGIN) * u64::from(SHARDS) + shard as u64;
                assert_eq!(text, payload(record));
                all.push(record);
            }
        }
        all.sort_unstable();
        all
    }
}

/// A disk with records `0..records`, closed in order.
pub fn filled(opening: Opening, records: u64) -> SimulatedDisk {
    let disk = new_disk(1);
    let mut bench = Bench::open(&disk, opening).unwrap();
    bench.fill(0..records);
    bench.stop();
    disk
}

/// The offset of a record's payload in a segment.
pub fn find(disk: &SimulatedDisk, path: &Path, record: u64) -> Option<u64> {
    let (content, text) = (disk.content(path).unwrap(), payload(record));
    memchr::memmem::find(&content, text.as_bytes()).map(|at| at as u64)
}
