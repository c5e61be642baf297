//! Live readers: how long a record takes to them, and what each byte of it costs the server, with one reader and with
//! many.
//!
//! ```text
//! cargo bench --bench taps                  # or only: latency, readers, workers
//! ```
//!
//! `latency`: 20,000 records a second in requests of 20, one reader of each kind. A record has come when the bytes that
//! it stands in were read from the socket; it was acked when the reply to its request was. `readers`: fewer requests,
//! because every record is a thousand there; what is spent without any reader is taken off. A reader of SubscribeToShard
//! has a connection a shard. `workers`: one reader of all shards, and as many workers of a named cursor as there are
//! shards, each with one of them: they get each record once together. What they get is not said to be done.
//!
//! Readers and producer are one thread on a core of their own, so the times are also theirs. They look for marks in what
//! they read and parse nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

mod harness;
#[path = "taps/kind.rs"]
mod kind;
#[path = "taps/round.rs"]
mod round;

use std::time::Duration;

use forebay::config::checked::Durability;
use harness::cores::Cores;
use harness::{Call, load_average, machine, quantile_us, raise_file_limit};
use kind::Kind;
use mimalloc::MiMalloc;
use round::{BATCH_EVENTS, Load, Seen, run};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// 20,000 records a second.
const LATENCY_RATE: u32 = 1_000;
const LATENCY_SHARDS: u32 = 4;
const LATENCY_ROUNDS: usize = 3;
const LATENCY_DURATION: Duration = Duration::from_secs(3);

/// 1,000 records a second, to each of a thousand readers.
const READERS_RATE: u32 = 50;
const READERS_SHARDS: [u32; 2] = [4, 64];
const READERS: [usize; 3] = [1, 100, 1_000];
/// Of SubscribeToShard: a stream has at most fifty consumers.
const CONSUMERS: [usize; 3] = [1, 10, 40];
const READERS_DURATION: Duration = Duration::from_secs(2);

/// Shards, and workers of one cursor that share them.
const WORKERS: u32 = 256;
/// 20,000 records a second, which all workers get together.
const WORKERS_RATE: u32 = 1_000;
const WORKERS_DURATION: Duration = Duration::from_secs(3);

fn main() {
    let (call, cores) = (Call::read(), Cores::of_this_machine());
    raise_file_limit();
    println!("{}; {}; requests of {BATCH_EVENTS} events of 350 bytes", machine(), cores.describe());
    if call.wants("latency") {
        latency(&call, &cores);
    }
    if call.wants("readers") {
        readers(&call, &cores);
    }
    if call.wants("workers") {
        workers(&call, &cores);
    }
    println!("  (load average {})", load_average());
}

fn latency(call: &Call, cores: &Cores) {
    println!(
        "\nlatency: {} events/s, {LATENCY_SHARDS} shards, one reader; us; of {} rounds of {:?} that with the best p99 behind \
         the ack",
        LATENCY_RATE * BATCH_EVENTS as u32,
        call.rounds(LATENCY_ROUNDS),
        call.duration(LATENCY_DURATION)
    );
    println!(
        "  {:<8} {:<12} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7}",
        "", "", "ack p50", "p99", "max", "- ack p50", "p99", "max", "- sent p50", "p99", "max", "cores"
    );
    for durability in [Durability::Memory, Durability::Fsync] {
        for kind in Kind::ALL {
            let load = Load { kind, durability, shards: LATENCY_SHARDS, readers: 1, rate: LATENCY_RATE };
            let rounds =
                (0..call.rounds(LATENCY_ROUNDS)).map(|_| run(cores, load, call.duration(LATENCY_DURATION)));
            let best = rounds.min_by_key(|seen| seen.behind_ack.value_at_quantile(0.99)).unwrap();
            print!("  {:<8} {:<12}", durability.as_str(), kind.name());
            for times in [&best.acks, &best.behind_ack, &best.behind_send] {
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| quantile_us(times, quantile));
                print!(" {p50:>9.0} {p99:>7.0} {max:>7.0}");
            }
            println!(" {:>6.2}", best.cores());
        }
    }
}

fn readers(call: &Call, cores: &Cores) {
    println!(
        "\nreaders: {} events/s in memory, rounds of {:?}; server CPU beyond that without readers",
        READERS_RATE * BATCH_EVENTS as u32,
        call.duration(READERS_DURATION)
    );
    print_head();
    for shards in READERS_SHARDS {
        let load = |kind, readers| Load {
            kind,
            durability: Durability::Memory,
            shards,
            readers,
            rate: READERS_RATE,
        };
        let without = run(cores, load(Kind::Events, 0), call.duration(READERS_DURATION));
        for kind in Kind::ALL {
            for readers in if kind == Kind::Subscribe { CONSUMERS } else { READERS } {
                let readers = call.amount(readers, readers.min(10));
                let seen = run(cores, load(kind, readers), call.duration(READERS_DURATION));
                print_readers(&load(kind, readers), &seen, &without);
            }
        }
    }
}

fn workers(call: &Call, cores: &Cores) {
    let duration = call.duration(WORKERS_DURATION);
    let shards = call.amount(WORKERS, 16);
    println!(
        "\nworkers: {} events/s in memory, a round of {duration:?}; server CPU beyond that without readers",
        WORKERS_RATE * BATCH_EVENTS as u32,
    );
    print_head();
    let load =
        |kind, readers| Load { kind, durability: Durability::Memory, shards, readers, rate: WORKERS_RATE };
    let without = run(cores, load(Kind::Events, 0), duration);
    for (kind, readers) in [(Kind::Events, 1), (Kind::Worker, 1), (Kind::Worker, shards as usize)] {
        let load = load(kind, readers);
        print_readers(&load, &run(cores, load, duration), &without);
    }
}

fn print_head() {
    println!(
        "  {:<12} {:>6} {:>7} {:>12} {:>9} {:>13} {:>11} {:>9}",
        "", "shards", "readers", "connections", "MB/s", "CPU ns/record", "CPU ns/byte", "cores"
    );
}

fn print_readers(load: &Load, seen: &Seen, without: &Seen) {
    let seconds = seen.wall.as_secs_f64();
    let nanoseconds = (seen.cores() - without.cores()) * seconds * 1e9;
    println!(
        "  {:<12} {:>6} {:>7} {:>12} {:>9.1} {:>13.0} {:>11.2} {:>9.2}",
        load.kind.name(),
        load.shards,
        load.readers,
        load.kind.connections(load.shards) * load.readers,
        seen.bytes as f64 / seconds / 1e6,
        nanoseconds / seen.delivered as f64,
        nanoseconds / seen.bytes as f64,
        seen.cores(),
    );
}
