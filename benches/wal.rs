//! The lowest layer of the write-ahead log: records → commits, commits → disk, segments → records.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has no result")]

mod harness;

use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::edge::decode::Framing;
use forebay::record::{Batch, SequenceNumber, ShardId};
use forebay::runtime::budget::Budget;
use forebay::runtime::disk::RealDisk;
use forebay::stream::Captures;
use forebay::stream::wal::JournalClass;
use forebay::stream::wal::frame::{CommitEncoder, Entry, ShardNumber, decode_batch};
use forebay::stream::wal::segment::{
    Mode, PreparedSegment, SEGMENT_HEADER_BYTES, ScannedCommit, Segment, SegmentHeader, Start, Verdict, scan,
};
#[cfg(target_os = "linux")]
use forebay::stream::wal::writer::UringWriter;
use forebay::stream::wal::writer::{SegmentWriter, ThreadWriter};
use forebay::testkit::web_events;
use harness::door::Door;
use harness::forebay::Judging;
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SALT: u64 = 0x5a17_c0de;
const SEGMENT_BYTES: u64 = 64 << 20;
/// Name, events of a request, requests of a commit.
const SHAPES: [(&str, u64, u64); 3] =
    [("one_single_event", 1, 1), ("100_single_events", 1, 100), ("10_batches_of_100", 100, 10)];

fn batches(events: u64, requests: u64) -> Vec<(ShardId, Batch)> {
    let door = Door::new(1, Judging::Key);
    let lines = |request| web_events::lines(request * events..(request + 1) * events);
    (0..requests).flat_map(|request| door.batches(Framing::Lines, lines(request).as_bytes())).collect()
}

/// Encodes a commit and returns its bytes.
fn encode(batches: &[(ShardId, Batch)], buffer: &mut [u8], number: u64) -> usize {
    let mut encoder = CommitEncoder::begin(buffer, SALT, number).unwrap();
    let mut first = SequenceNumber(number << 20);
    for (shard, batch) in batches {
        encoder.push(&Entry::batch(ShardNumber(shard.0), first, batch)).unwrap();
        first.0 += batch.records.len() as u64;
    }
    encoder.finish()
}

fn segment(folder: &Path) -> Segment {
    let header = SegmentHeader {
        class: JournalClass::Fsync,
        number: 0,
        salt: SALT,
        first_commit: 0,
        previous_end: None,
        node: [0; 8],
    };
    PreparedSegment::create(&RealDisk, folder, 0, SEGMENT_BYTES).unwrap().activate(&RealDisk, header).unwrap()
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal/encode");
    let mut buffer = vec![0; 4 << 20];
    for (name, events, requests) in SHAPES {
        let batches = batches(events, requests);
        group.throughput(Throughput::Elements(events * requests));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(encode(&batches, &mut buffer, 0)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("wal/decode");
    let plan = Captures::default().plan().unwrap();
    let budget = Budget::new(0);
    for events in [1, 100] {
        let batches = batches(events, 1);
        let bytes = encode(&batches, &mut buffer, 0);
        let header = forebay::stream::wal::frame::COMMIT_HEADER_BYTES;
        let frame = Bytes::copy_from_slice(&buffer[header..bytes]);
        group.throughput(Throughput::Elements(events));
        group.bench_function(format!("batch_of_{events}"), |bencher| {
            bencher.iter(|| black_box(decode_batch(frame.clone(), budget.take_anyway(0), &plan).unwrap()));
        });
    }
    group.finish();
}

/// What recovery does, from the page cache.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal/scan");
    let mut buffer = vec![0; 4 << 20];
    for (name, events, requests) in SHAPES {
        let folder = tempfile::tempdir().unwrap();
        let segment = segment(folder.path());
        let batches = batches(events, requests);
        let (mut at, mut number) = (SEGMENT_HEADER_BYTES, 0);
        loop {
            let bytes = encode(&batches, &mut buffer, number);
            if at + bytes as u64 > segment.space.bytes {
                break;
            }
            segment.file.write_all_at(&buffer[..bytes], at).unwrap();
            at += bytes as u64;
            number += 1;
        }
        group.throughput(Throughput::Bytes(at));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut frames = 0;
                let mut visitor = |commit: &ScannedCommit<'_>| frames += commit.frames.len();
                let end = scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
                assert_eq!(end.verdict, Verdict::Clean);
                black_box(frames)
            });
        });
    }
    group.finish();
}

/// One commit after the other, each on stable storage before the next.
fn durable(criterion: &mut Criterion) {
    let mut writers: Vec<(&str, Box<dyn SegmentWriter>)> =
        vec![("thread", Box::new(ThreadWriter::new(JournalClass::Fsync)))];
    #[cfg(target_os = "linux")]
    writers.push(("io_uring", Box::new(UringWriter::new())));
    // In the target folder: temporary folders are often in memory, where nothing is ever stable.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let segment = segment(folder.path());
    let mut group = criterion.benchmark_group("wal/commit");
    for (name, mut writer) in writers {
        if let Err(error) = writer.open(&segment.file, &segment.path) {
            forebay::testkit::skip::skipped(&format!("the writer {name} does not work here: {error}"));
            continue;
        }
        for len in [4 << 10, 64 << 10, 1 << 20] {
            group.throughput(Throughput::Bytes(len as u64));
            let mut at = SEGMENT_HEADER_BYTES;
            group.bench_function(format!("{name}/{}_KiB", len >> 10), |bencher| {
                bencher.iter(|| {
                    if at + len as u64 > segment.space.bytes {
                        at = SEGMENT_HEADER_BYTES;
                    }
                    writer.start(0, len, at).unwrap();
                    writer.finish().unwrap();
                    at += len as u64;
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits, recovery, durable);
criterion_main!(benches);
