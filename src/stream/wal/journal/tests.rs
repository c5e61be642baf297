use std::path::Path;

use super::*;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::RealDisk;
use crate::runtime::progress::Progress;
use crate::stream::notices::{Notices, Size};
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::recovery::{self, Recovered, Source};
use crate::stream::wal::samples;
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Captures, Found, Payer, Read, ReadLimit, Retention, ShardLog};
use crate::telemetry::metrics::Registry;

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
        let parts = recovered.parts.get(&ShardNumber(1)).cloned().unwrap_or_default();
        let retention = Retention { age: std::time::Duration::from_secs(60), bytes: None };
        let shard = DurableLog::new(ShardNumber(1), SequenceNumber(100), parts, retention, 1);
        Self {
            journal,
            shard: Arc::new(shard),
            notices: Arc::new(Notices::new(0, &Registry::new().unwrap().stream("s"))),
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
