//! How long an ack takes at half load, beside how long the disk takes for the same bytes alone.

use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;

use crate::contest::{CLIENTS, Commits, Contestant, Shape, closed_round, disks, settle, until};
use crate::feed;
use crate::harness::disk::{Method, Written, ZeroedFile};
use crate::harness::{Call, median, quantile_us};
use crate::load::{Seen, open_loop};

const SHARDS: u32 = 4;
const BATCH_EVENTS: usize = 100;
/// Requests of one event.
const SINGLES_PER_SECOND: u32 = 1_000;
const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_secs(3);
/// Of the closed loop by which full load is known.
const FULL_LOAD_DURATION: Duration = Duration::from_secs(2);

/// What one round has seen.
struct Round {
    seen: Seen,
    commits: Commits,
    /// Blocks of a commit's size as often as there were commits, in each way of writing; nothing where an ack does not
    /// wait for the disk.
    disk: Vec<(Method, Written)>,
}

impl Round {
    /// How long the disk takes alone, in microseconds.
    fn disk_us(&self, method: Option<Method>, quantile: f64) -> f64 {
        let found = self.disk.iter().find(|(measured, _)| Some(*measured) == method);
        found.map_or(f64::NAN, |(_, written)| quantile_us(&written.times, quantile))
    }
}

/// Batches at half load, then small requests.
pub fn run(call: &Call) {
    println!(
        "\nlatency: open loop from one thread, {SHARDS} shards; microseconds; medians of {} rounds of {:?}",
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    println!(
        "  ack: from the append; sent: from the time at which the request was to be sent, with the client's own waking"
    );
    println!(
        "  disk: a block of a commit's bytes at the rate of the commits, from one thread and nothing beside it"
    );
    println!("  p99 / sync's: over pwrite + fdatasync; / own: over the way in which this log writes");
    let contestants = Contestant::durable();
    let batches = feed::bodies(BATCH_EVENTS);
    println!(
        "\n  batches of {BATCH_EVENTS} events, {} bytes, at half of what 8 clients have reached",
        batches[0].len()
    );
    contest(call, &contestants, &batches, |contestant| {
        let shape = Shape { shards: SHARDS, bodies: &batches, ready: true, clients: CLIENTS };
        let full = closed_round(call, contestant, &shape, until(call, FULL_LOAD_DURATION));
        Duration::from_secs_f64(2.0 / full.seen.requests_per_second())
    });
    let singles = feed::bodies(1);
    println!("\n  single events, {} bytes, {SINGLES_PER_SECOND} requests/s", singles[0].len());
    contest(call, &contestants, &singles, |_| Duration::from_secs(1) / SINGLES_PER_SECOND);
}

fn contest(
    call: &Call,
    contestants: &[Contestant],
    bodies: &[Bytes],
    interval: impl Fn(&Contestant) -> Duration,
) {
    let mut files = disks(call);
    let shape = Shape { shards: SHARDS, bodies, ready: true, clients: 1 };
    let mut measured: Vec<_> =
        contestants.iter().map(|contestant| (contestant, interval(contestant), Vec::new())).collect();
    for _ in 0..call.rounds(ROUNDS) {
        for (contestant, interval, rounds) in &mut measured {
            rounds.push(round(call, contestant, &shape, *interval, &mut files));
        }
    }
    println!(
        "  {:<18} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>12} {:>12}",
        "",
        "req/s",
        "KB",
        "ack p50",
        "ack p99",
        "sent p50",
        "sent p99",
        "disk p50",
        "disk p99",
        "p99 / sync's",
        "p99 / own"
    );
    for (contestant, _, rounds) in &measured {
        print(contestant, rounds);
    }
}

fn round(
    call: &Call,
    contestant: &Contestant,
    shape: &Shape<'_>,
    interval: Duration,
    files: &mut [(Method, ZeroedFile)],
) -> Round {
    let door = contestant.open(call, shape.shards);
    let feed = shape.feed(&door);
    let until = until(call, ROUND_DURATION);
    let seen = open_loop(&door, &feed, interval, until);
    let commits = Commits::of(door, seen.requests).unwrap();
    settle();
    let commits_per_second = seen.requests_per_second() / commits.requests;
    let (block, interval) = (commits.written_bytes(), Duration::from_secs_f64(1.0 / commits_per_second));
    let waits_for_disk = contestant.method.is_some();
    let compared = files.iter_mut().filter(|(method, _)| {
        waits_for_disk && (*method == Method::WriteAndSync || Some(*method) == contestant.method)
    });
    let paced =
        |(method, file): &mut (Method, ZeroedFile)| (*method, file.paced(block, interval, until.duration));
    let disk = compared.map(paced).collect();
    Round { seen, commits, disk }
}

fn print(contestant: &Contestant, rounds: &[Round]) {
    let of = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of));
    let p50 = |times: &Histogram<u64>| quantile_us(times, 0.5);
    let p99 = |times: &Histogram<u64>| quantile_us(times, 0.99);
    let disk = |of_disk: &dyn Fn(&Round) -> f64, digits: usize| {
        let value = of(of_disk);
        if value.is_nan() { "-".to_owned() } else { format!("{value:.digits$}") }
    };
    let (sync, own) = (Some(Method::WriteAndSync), contestant.method);
    println!(
        "  {:<18} {:>8.0} {:>6.1} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>9} {:>9} {:>12} {:>12}",
        contestant.name,
        of(&|round| round.seen.requests_per_second()),
        of(&|round| round.commits.bytes / 1e3),
        of(&|round| p50(&round.seen.acks)),
        of(&|round| p99(&round.seen.acks)),
        of(&|round| p50(&round.seen.intended)),
        of(&|round| p99(&round.seen.intended)),
        disk(&|round| round.disk_us(sync, 0.5), 0),
        disk(&|round| round.disk_us(sync, 0.99), 0),
        disk(&|round| p99(&round.seen.acks) / round.disk_us(sync, 0.99), 2),
        disk(&|round| p99(&round.seen.acks) / round.disk_us(own, 0.99), 2),
    );
}
