//! How fast a start reads the log, beside reading and hashing the same files.

use std::time::{Duration, Instant};

use crate::contest::{CLIENTS, Contestant, Requests, Shape, segment_bytes};
use crate::feed;
use crate::harness::closed_log::ClosedLog;
use crate::harness::{Call, clocks, median};
use crate::load::{Until, closed_loop};

const LOG_BYTES: u64 = 1 << 30;
const BATCH_EVENTS: usize = 100;
const ROUNDS: usize = 7;
/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// With few shards, and with so many that each record is a frame of its own.
pub fn run(call: &Call) {
    println!(
        "\nrecovery: from the page cache, on one thread; medians of {} rounds, taking turns",
        call.rounds(ROUNDS)
    );
    for shards in [4, 4_000] {
        let log = written(call, shards);
        measure(call, shards, &log);
    }
}

fn written(call: &Call, shards: u32) -> ClosedLog {
    let door = Contestant::fsync().open(call, shards);
    let bodies = feed::bodies(BATCH_EVENTS);
    let feed = Shape { shards, bodies: &bodies, requests: Requests::Ready, clients: CLIENTS }.feed(&door);
    let until = Until { duration: PATIENCE, bytes: call.amount(LOG_BYTES, LOG_BYTES / 64) };
    closed_loop(&door, &feed, CLIENTS, until);
    std::sync::Arc::into_inner(door).unwrap().close()
}

/// One way of going through the log, and the seconds of wall and CPU time that it took.
struct Case<'a> {
    name: &'static str,
    run: Box<dyn Fn() + 'a>,
    rounds: Vec<(f64, f64)>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, run: impl Fn() + 'a) -> Self {
        Self { name, run: Box::new(run), rounds: Vec::new() }
    }

    fn measure(&mut self) {
        let (begun, cpu) = (Instant::now(), clocks::process_cpu());
        (self.run)();
        self.rounds.push((begun.elapsed().as_secs_f64(), (clocks::process_cpu() - cpu).as_secs_f64()));
    }
}

fn measure(call: &Call, shards: u32, log: &ClosedLog) {
    let bytes = log.read();
    let whole =
        |scanned: u64| assert!(scanned > bytes - bytes / 10, "{scanned} of {bytes} bytes were verified");
    let mut cases = [
        Case::new("limit: read", || assert_eq!(log.read(), bytes)),
        Case::new("limit: read, XXH3-64", || assert_eq!(log.read_and_hash(), bytes)),
        Case::new("recovery without indexes", || whole(log.recover().scanned_bytes)),
        Case::new("recovery with indexes", || assert_eq!(log.recover().scanned_bytes, 0)),
    ];
    for _ in 0..call.rounds(ROUNDS) {
        for case in &mut cases {
            if case.name == "recovery without indexes" {
                log.remove_indexes();
            }
            case.measure();
        }
    }
    let segments = log.segments().len();
    println!("\n  {shards} shards: {:.2} GB in {segments} segments", bytes as f64 / 1e9);
    println!(
        "  {:<28} {:>8} {:>8} {:>10} {:>14} {:>16}",
        "", "ms", "GB/s", "CPU s/GB", "us a segment", "/ read, XXH3-64"
    );
    for case in &cases {
        let seconds = median(case.rounds.iter().map(|(wall, _)| *wall));
        println!(
            "  {:<28} {:>8.1} {:>8.2} {:>10.3} {:>14.0} {:>16.2}",
            case.name,
            seconds * 1e3,
            bytes as f64 / 1e9 / seconds,
            median(case.rounds.iter().map(|(_, cpu)| *cpu)) * 1e9 / bytes as f64,
            seconds * 1e6 / segments as f64,
            median(case.rounds.iter().zip(&cases[1].rounds).map(|((own, _), (limit, _))| limit / own)),
        );
    }
    // Last, because each start leaves a segment.
    let starts = (0..call.rounds(ROUNDS)).map(|_| log.start(segment_bytes(call)).as_secs_f64());
    println!("  start with indexes, a new segment and threads: {:.1} ms", median(starts) * 1e3);
}
