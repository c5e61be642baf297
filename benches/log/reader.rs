//! Appends while somebody reads everything back from the disk, as a delivery does that was away for hours.
//!
//! The log is larger than what it may keep in memory, and the page cache is told to forget it before each pass of the
//! reader, which stands for a log that is larger than the machine's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::config::limits::DELIVERY_READ_BYTES;
use forebay::record::{SequenceNumber, ShardId};
use forebay::runtime::budget::Budget;
use forebay::runtime::clock::UnixMicros;
use forebay::stream::{CapturePlan, Captures, Found, Payer, ReadLimit, Stream};

use crate::contest::{CLIENTS, Contestant, Requests, Shape, settle, until};
use crate::feed;
use crate::harness::closed_log::forget_pages;
use crate::harness::door::Door;
use crate::harness::{Call, clocks, median, quantile_us};
use crate::load::{Seen, Until, closed_loop, open_loop};

const SHARDS: u32 = 4;
const BATCH_EVENTS: usize = 100;
/// Eight times what the ring may keep by default.
const LOG_BYTES: u64 = 1 << 30;
const READER_BUDGET_BYTES: u64 = 64 << 20;
const ROUNDS: usize = 3;
const ROUND_DURATION: Duration = Duration::from_secs(2);
/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a load was like, and the reader beside it.
struct Round {
    seen: Seen,
    reader: Option<Reading>,
}

/// What the reader has done.
struct Reading {
    bytes: u64,
    wall: Duration,
    cpu: Duration,
}

/// Takes turns: without a reader and with one, at full load and at half.
pub fn run(call: &Call) {
    let door = Contestant::fsync().open(call, SHARDS);
    let bodies = feed::bodies(BATCH_EVENTS);
    let feed =
        Shape { shards: SHARDS, bodies: &bodies, requests: Requests::Ready, clients: CLIENTS }.feed(&door);
    let preloaded = Until { duration: PATIENCE, bytes: call.amount(LOG_BYTES, LOG_BYTES / 64) };
    closed_loop(&door, &feed, CLIENTS, preloaded);
    let back = Backlog::of(&door);
    println!(
        "\nreader: {:.2} GB in {SHARDS} shards are read again and again from the disk; batches of {BATCH_EVENTS} events; \
         medians of {} rounds of {:?}",
        back.bytes as f64 / 1e9,
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    let mut measured = Measured::default();
    for _ in 0..call.rounds(ROUNDS) {
        let until = until(call, ROUND_DURATION);
        let full = || closed_loop(&door, &feed, CLIENTS, until);
        let alone = full();
        let interval = Duration::from_secs_f64(2.0 / alone.requests_per_second());
        let half = || open_loop(&door, &feed, interval, until);
        measured.full_alone.push(Round { seen: alone, reader: None });
        measured.full.push(back.read_beside(full));
        measured.half_alone.push(Round { seen: half(), reader: None });
        measured.half.push(back.read_beside(half));
        settle();
    }
    measured.print();
}

#[derive(Default)]
struct Measured {
    full_alone: Vec<Round>,
    full: Vec<Round>,
    half_alone: Vec<Round>,
    half: Vec<Round>,
}

impl Measured {
    fn print(&self) {
        println!(
            "  {:<28} {:>8} {:>8} {:>8} {:>9} {:>12} {:>13} {:>12} {:>11}",
            "",
            "MB/s",
            "p50 us",
            "p99 us",
            "CPU s/GB",
            "reader MB/s",
            "reader's CPU",
            "rate / alone",
            "p99 / alone"
        );
        print("8 clients, alone", &self.full_alone, &self.full_alone);
        print("8 clients, a reader", &self.full, &self.full_alone);
        print("half of that rate, alone", &self.half_alone, &self.half_alone);
        print("half of that rate, a reader", &self.half, &self.half_alone);
    }
}

fn print(name: &str, rounds: &[Round], alone: &[Round]) {
    let of = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of));
    let ratio =
        |of: &dyn Fn(&Round) -> f64| median(rounds.iter().zip(alone).map(|(own, alone)| of(own) / of(alone)));
    let reader = |of_reader: &dyn Fn(&Reading) -> f64, digits: usize| {
        let value = of(&|round| round.reader.as_ref().map_or(f64::NAN, of_reader));
        if value.is_nan() { "-".to_owned() } else { format!("{value:.digits$}") }
    };
    let p99 = |round: &Round| quantile_us(&round.seen.acks, 0.99);
    // The reader is a thread of this process as well, but not the log's.
    let cpu = |round: &Round| {
        let reader = round.reader.as_ref().map_or(Duration::ZERO, |reader| reader.cpu);
        round.seen.cpu_per_gb() - round.seen.per_gb(reader)
    };
    println!(
        "  {name:<28} {:>8.0} {:>8.0} {:>8.0} {:>9.3} {:>12} {:>13} {:>12.2} {:>11.2}",
        of(&|round| round.seen.rate()),
        of(&|round| quantile_us(&round.seen.acks, 0.5)),
        of(&p99),
        of(&cpu),
        reader(&|reader| reader.bytes as f64 / 1e6 / reader.wall.as_secs_f64(), 0),
        reader(&|reader| reader.cpu.as_secs_f64() / reader.wall.as_secs_f64(), 2),
        ratio(&|round| round.seen.rate()),
        ratio(&p99),
    );
}

/// What the reader has before it: all that is on the disk and no longer in memory.
struct Backlog {
    stream: Arc<Stream>,
    folder: std::path::PathBuf,
    /// Where each shard begins and ends.
    shards: Vec<(ShardId, SequenceNumber, SequenceNumber)>,
    bytes: u64,
}

impl Backlog {
    fn of(door: &Door) -> Self {
        let stream = Arc::clone(&door.intake().stream);
        stream.reclaim(UnixMicros(i64::MAX));
        let bounds = |id| stream.shard(id).unwrap().bounds();
        let shards = stream.shard_ids().map(|id| (id, bounds(id).first, bounds(id).next)).collect();
        let bytes = stream.shard_ids().map(|id| bounds(id).bytes).sum();
        Self { folder: door.log_folder().unwrap(), stream, shards, bytes }
    }

    /// Reads on a thread of its own for as long as `load` takes.
    fn read_beside(&self, load: impl FnOnce() -> Seen) -> Round {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let reading = scope.spawn(|| self.read_again_and_again(&stop));
            let seen = load();
            stop.store(true, Ordering::Relaxed);
            Round { seen, reader: Some(reading.join().unwrap()) }
        })
    }

    fn read_again_and_again(&self, stop: &AtomicBool) -> Reading {
        let payer = Payer { budget: Budget::new(READER_BUDGET_BYTES), overdraws: true };
        let captures = Captures::default().plan().unwrap();
        let (begun, mut bytes) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            forget_pages(&self.folder);
            bytes += self.pass(&payer, &captures, stop);
        }
        Reading { bytes, wall: begun.elapsed(), cpu: clocks::thread_cpu() }
    }

    /// Some of each shard in turn, as a delivery does it. Returns the payload bytes.
    fn pass(&self, payer: &Payer, captures: &CapturePlan, stop: &AtomicBool) -> u64 {
        let mut bytes = 0;
        let mut rest = self.shards.clone();
        while !rest.is_empty() && !stop.load(Ordering::Relaxed) {
            for (id, next, end) in &mut rest {
                let found =
                    self.stream.shard(*id).unwrap().read(*next, ReadLimit::bytes(DELIVERY_READ_BYTES));
                let Found::Stored(stored) = found else { panic!("{next} of {id} is still in memory") };
                let read = stored.load(payer, captures).unwrap();
                assert!(read.skipped == 0 && read.next > *next, "a reader misses nothing and comes on");
                bytes += read.slices.iter().map(|slice| slice.batch.payload_bytes()).sum::<u64>();
                *next = read.next.min(*end);
            }
            rest.retain(|(_, next, end)| next < end);
        }
        bytes
    }
}
