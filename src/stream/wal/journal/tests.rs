use std::path::Path;

use super::stepped::{Round, Stepped};
use super::*;
use crate::config::limits::{COMMIT_BUFFER_BYTES, LOG_SEGMENTS_RETIRED_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::RealDisk;
use crate::runtime::progress::Progress;
use crate::stream::notices::{Notices, Size};
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::recovery::{self, Recovered, Source};
use crate::stream::wal::samples;
use crate::stream::wal::segment::FileName;
use crate::stream::wal::shard::{DurableLog, Part};
use crate::stream::{Captures, Found, Payer, Read, ReadLimit, Retention, ShardLog};
use crate::telemetry::metrics::Registry;

mod rings;

const SEGMENT: u64 = 64 << 10;
const NODE: [u8; 8] = *b"node-id!";

/// A journal in a folder, and one shard of it.
struct Bench {
    journal: Journal,
    shard: Arc<DurableLog>,
    notices: Arc<Notices>,
}

fn options(folder: &Path, writer: LogWriter) -> Options {
    Options {
        disk: Arc::new(RealDisk),
        folder: folder.to_owned(),
        class: JournalClass::Fsync,
        segment_bytes: SEGMENT,
        writer,
        node: NODE,
        metrics: LogMetrics::none(),
        patience: Patience::default(),
    }
}

fn recover(folder: &Path) -> Recovered {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let source = Source {
        disk: &disk,
        folder,
        class: JournalClass::Fsync,
        node: NODE,
        accept_damage: false,
        replies_since: UnixMicros(0),
    };
    recovery::recover(source, &Progress::default()).unwrap()
}

impl Bench {
    fn open(folder: &Path, writer: LogWriter) -> Self {
        let recovered = recover(folder);
        let journal = Journal::start(options(folder, writer), recovered.resume).unwrap();
        Self::of(journal, recovered.parts.get(&ShardNumber(1)).cloned().unwrap_or_default())
    }

    /// In a new folder, with the work of the threads left to the test.
    fn stepped(options: Options) -> (Self, Stepped) {
        let resume = recover(&options.folder).resume;
        let (journal, stepped) = Journal::stepped(options, resume).unwrap();
        (Self::of(journal, Vec::new()), stepped)
    }

    fn of(journal: Journal, parts: Vec<Part>) -> Self {
        let retention = Retention { age: std::time::Duration::from_secs(60), bytes: None };
        let shard = DurableLog::new(ShardNumber(1), SequenceNumber(100), parts, retention, 1);
        Self {
            journal,
            shard: Arc::new(shard),
            notices: Arc::new(Notices::new(&Registry::new().unwrap().stream("s"))),
        }
    }

    fn append(&self, payloads: &[&str], arrival: i64) -> Result<Queued, AppendError> {
        let batch = samples::plain(payloads, arrival);
        self.journal.append(NewRequest {
            notices: Arc::clone(&self.notices),
            size: Size::of([&batch].into_iter()),
            batches: vec![(ShardId(0), Arc::clone(&self.shard), batch)],
            reply: None,
            stream: 1,
        })
    }

    fn commit(&self, payloads: &[&str]) {
        self.append(payloads, 5).unwrap().ticket.blocking_recv().unwrap().unwrap();
    }

    /// All payloads from `from` on, wherever they are, and the numbers that were skipped.
    fn read(&self, from: u64, limit: ReadLimit) -> (Vec<String>, u64) {
        let payer = Payer { budget: Budget::new(1 << 30), overdraws: false };
        let captures = Captures::default().plan().unwrap();
        let (mut next, mut skipped, mut payloads) = (SequenceNumber(from), 0, Vec::new());
        loop {
            let read: Read = match self.shard.read(next, limit) {
                Found::Here(read) => read,
                Found::Stored(stored) => stored.load(&payer, &captures).unwrap(),
            };
            skipped += read.skipped;
            if read.slices.is_empty() && read.next == next {
                return (payloads, skipped);
            }
            let mut number = next.max(SequenceNumber(next.0 + read.skipped));
            next = read.next;
            for slice in read.slices {
                assert_eq!(slice.first, number, "reads go on without gap or repetition");
                number = SequenceNumber(number.0 + slice.len() as u64);
                for record in &slice.batch.records[slice.skip..] {
                    payloads
                        .push(String::from_utf8(slice.batch.source.bytes(record.payload).to_vec()).unwrap());
                }
            }
        }
    }

    fn read_all(&self) -> Vec<String> {
        let from = self.shard.bounds().first.0;
        let all = self.read(from, ReadLimit::bytes(1 << 30));
        let small = self.read(from, ReadLimit::bytes(1));
        assert_eq!(all, small);
        all.0
    }
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    // So large that a segment takes about a hundred of them.
    range.map(|number| format!("{number:0600}")).collect()
}

fn on_each_writer(test: impl Fn(&Path, LogWriter)) {
    for writer in [LogWriter::Thread, LogWriter::Auto] {
        let folder = tempfile::tempdir().unwrap();
        test(folder.path(), writer);
    }
}

#[test]
fn what_is_committed_is_read_from_memory_and_from_the_disk_and_after_a_restart() {
    on_each_writer(|folder, writer| {
        let expected = texts(0..500);
        let bench = Bench::open(folder, writer);
        for pair in expected.chunks(2) {
            bench.commit(&pair.iter().map(String::as_str).collect::<Vec<_>>());
        }
        assert_eq!(bench.read_all(), expected);
        let (segments, _) = bench.journal.usage();
        assert!(segments > 4, "{segments} segments");
        // Half of the memory is given back, then all of it.
        bench.shard.reclaim(UnixMicros(i64::MAX));
        assert_eq!(bench.read_all(), expected);
        bench.commit(&["last"]);
        assert_eq!(bench.read_all().len(), 501);
        drop(bench);
        let bench = Bench::open(folder, writer);
        assert_eq!(bench.shard.bounds().next, SequenceNumber(601));
        assert_eq!(bench.read_all()[..500], expected);
        bench.commit(&["after"]);
        assert_eq!(bench.read_all().len(), 502);
    });
}

#[test]
fn the_first_record_of_a_point_in_time_is_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let check = |bench: &Bench| {
        for arrival in 0..=301 {
            let found = bench.shard.position_at(UnixMicros(arrival)).find().unwrap();
            // Two records at every tenth point in time, from 0 on.
            let before = u64::try_from((arrival + 9) / 10).unwrap().min(30) * 20;
            assert_eq!(found, SequenceNumber(100 + before), "{arrival}");
        }
    };
    let bench = Bench::open(folder.path(), LogWriter::Thread);
    for number in 0..300_i64 {
        let text = format!("{number:0600}");
        let queued = bench.append(&[&text, &text], number / 10 * 10).unwrap();
        queued.ticket.blocking_recv().unwrap().unwrap();
    }
    assert!(bench.journal.usage().0 > 4);
    check(&bench);
    bench.shard.reclaim(UnixMicros(155));
    check(&bench);
    bench.shard.reclaim(UnixMicros(i64::MAX));
    check(&bench);
    drop(bench);
    check(&Bench::open(folder.path(), LogWriter::Thread));
}

/// Files of the journal that are no segments yet.
fn unnamed(folder: &Path) -> usize {
    let files = RealDisk.list(folder).unwrap();
    files.iter().filter(|path| FileName::of(path) == Some(FileName::Unnamed)).count()
}

#[test]
fn the_files_of_segments_that_nobody_needs_are_used_again_and_read_like_new_ones() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (bench, mut stepped) = Bench::stepped(options(folder.path(), LogWriter::Thread));
    bench.shard.release(0, SequenceNumber(u64::MAX));
    let mut inodes = std::collections::HashMap::<u64, u32>::new();
    let payloads = texts(0..3_000);
    for pair in payloads.chunks(2) {
        let pair: Vec<_> = pair.iter().map(String::as_str).collect();
        let mut queued = bench.append(&pair, 5).unwrap();
        while queued.ticket.try_recv().is_err() {
            assert_eq!(stepped.write(), Round::Worked);
        }
        while stepped.keeper_has_work() {
            assert!(stepped.keep());
        }
        let _ = bench.shard.expire(UnixMicros(i64::MAX));
        bench.journal.housekeeping(&[Arc::clone(&bench.shard)], UnixMicros(i64::MAX));
        assert!(unnamed(folder.path()) <= LOG_SEGMENTS_RETIRED_MAX + 1);
        for path in RealDisk.list(folder.path()).unwrap() {
            if matches!(FileName::of(&path), Some(FileName::Segment(_))) {
                *inodes.entry(std::fs::metadata(&path).unwrap().ino()).or_default() += 1;
            }
        }
    }
    assert!(inodes.len() < 8, "30 segments in {} files", inodes.len());
    let expected = &payloads[(bench.shard.bounds().first.0 - 100) as usize..];
    bench.shard.reclaim(UnixMicros(i64::MAX));
    assert_eq!(bench.read_all(), expected);
    // As after a crash: nothing is closed.
    let again = tempfile::tempdir().unwrap();
    for path in RealDisk.list(folder.path()).unwrap() {
        std::fs::copy(&path, again.path().join(path.file_name().unwrap())).unwrap();
    }
    let bench = Bench::open(again.path(), LogWriter::Thread);
    assert_eq!(bench.read_all(), expected);
    drop(bench);
    stepped.end();
}

#[test]
fn a_file_that_is_being_read_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, mut stepped) = Bench::stepped(options(folder.path(), LogWriter::Thread));
    let keep = |bench: &Bench, stepped: &mut Stepped| {
        while stepped.keeper_has_work() {
            assert!(stepped.keep());
        }
        bench.journal.housekeeping(&[Arc::clone(&bench.shard)], UnixMicros(i64::MAX));
        while stepped.keeper_has_work() {
            assert!(stepped.keep());
        }
    };
    for text in texts(0..250) {
        let mut queued = bench.append(&[&text], 5).unwrap();
        while queued.ticket.try_recv().is_err() {
            assert_eq!(stepped.write(), Round::Worked);
        }
        keep(&bench, &mut stepped);
    }
    bench.shard.reclaim(UnixMicros(i64::MAX));
    let Found::Stored(reader) = bench.shard.read(SequenceNumber(100), ReadLimit::bytes(1)) else {
        panic!("it is not in memory")
    };
    bench.shard.release(0, SequenceNumber(u64::MAX));
    let before = unnamed(folder.path());
    let _ = bench.shard.expire(UnixMicros(i64::MAX));
    let removed = 2;
    keep(&bench, &mut stepped);
    assert_eq!(unnamed(folder.path()), before + removed - 1, "the one that is read is removed");
    drop(reader);
    drop(bench);
    stepped.end();
}

#[test]
fn a_quiet_segment_is_closed_once_for_records_beyond_their_retention() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), LogWriter::Thread);
    options.patience.turn = Duration::ZERO;
    let (bench, mut stepped) = Bench::stepped(options);
    bench.shard.release(0, SequenceNumber(u64::MAX));
    let mut pass = |now: i64| {
        let now = UnixMicros(now);
        let expired = bench.shard.expire(now);
        if expired.wants_mark {
            let batches = vec![(ShardId(0), Arc::clone(&bench.shard), crate::record::Batch::empty(now))];
            let (notices, size) = (Arc::clone(&bench.notices), Size::default());
            bench.journal.append(NewRequest { notices, size, batches, reply: None, stream: 1 }).unwrap();
        }
        bench.journal.housekeeping(&[Arc::clone(&bench.shard)], now);
        let mut rounds = 0;
        while stepped.write() != Round::Idle {
            rounds += 1;
        }
        while stepped.keeper_has_work() {
            assert!(stepped.keep());
        }
        (rounds, bench.journal.usage().0, bench.shard.bounds())
    };
    bench.append(&["quiet"], 5).unwrap();
    let minute = 60_000_000;
    assert!(pass(minute).0 > 0, "it is written");
    let (rounds, segments, bounds) = pass(minute);
    assert_eq!((rounds, segments, bounds.next.0 - bounds.first.0), (0, 1, 1), "its retention is not over");
    assert_eq!(pass(2 * minute).1, 2, "the first is closed");
    pass(2 * minute);
    let (_, segments, bounds) = pass(2 * minute);
    assert_eq!((segments, bounds.first, bounds.next), (1, SequenceNumber(101), SequenceNumber(101)));
    for later in 3..10 {
        assert_eq!(pass(later * minute).0, 0, "nothing is closed for a shard without records");
    }
    drop(bench);
    stepped.end();
}
