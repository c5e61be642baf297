//! What the log takes from clients that wait for their acks, beside what the disk takes.

use std::time::Duration;

use crate::contest::{CLIENTS, Contestant, Round, Shape, closed_round, disks, until};
use crate::feed;
use crate::harness::disk::{Method, Written};
use crate::harness::{Call, median, quantile_us};

const BATCH_EVENTS: usize = 100;
/// Enough that a commit is as large as the disk's blocks.
const MANY_CLIENTS: usize = 32;
const LIMIT_BLOCK_BYTES: usize = 1 << 20;
const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_secs(1);

/// Requests that are decoded ahead, then whole bodies. The CPU time over the memory log's tells about ingest in the last
/// table alone: appending what is decoded already costs next to nothing in memory.
pub fn run(call: &Call) {
    let bodies = feed::bodies(BATCH_EVENTS);
    println!(
        "\nappend: batches of {BATCH_EVENTS} events, {} bytes, 4 shards, closed loop; medians of {} rounds of {:?}",
        bodies[0].len(),
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    for (name, ready, clients) in [
        ("decoded ahead, 8 clients", true, CLIENTS),
        ("decoded ahead, 32 clients", true, MANY_CLIENTS),
        ("bodies (admit, copy, decode, partition, append), 8 clients", false, CLIENTS),
    ] {
        println!("\n  {name}");
        contest(call, &Shape { shards: 4, bodies: &bodies, ready, clients });
    }
}

/// Everything that was measured, round by round.
struct Measured {
    disks: Vec<(Method, Vec<Written>)>,
    logs: Vec<(Contestant, Vec<Round>)>,
}

fn contest(call: &Call, shape: &Shape<'_>) {
    let mut files = disks(call);
    let with_memory = Contestant::durable().into_iter().chain([Contestant::memory()]);
    let mut measured = Measured {
        disks: files.iter().map(|(method, _)| (*method, Vec::new())).collect(),
        logs: with_memory.map(|contestant| (contestant, Vec::new())).collect(),
    };
    for _ in 0..call.rounds(ROUNDS) {
        for ((_, file), (_, rounds)) in files.iter_mut().zip(&mut measured.disks) {
            rounds.push(file.back_to_back(LIMIT_BLOCK_BYTES, call.duration(ROUND_DURATION)));
        }
        for (contestant, rounds) in &mut measured.logs {
            rounds.push(closed_round(call, contestant, shape, until(call, ROUND_DURATION)));
        }
    }
    print(&measured);
}

fn print(measured: &Measured) {
    println!(
        "  {:<40} {:>8} {:>9} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "",
        "MB/s",
        "/ disk's",
        "commits/s",
        "req/commit",
        "p50 us",
        "p99 us",
        "CPU s/GB",
        "clients'",
        "log's",
        "/ memory's"
    );
    let Some((_, limit)) = measured.disks.first() else { return };
    for (method, rounds) in &measured.disks {
        let name = format!("limit: 1 MiB, {}", method.name());
        let of = |of: &dyn Fn(&Written) -> f64| median(rounds.iter().map(of));
        println!(
            "  {name:<40} {:>8.0} {:>9.2} {:>10.0} {:>10} {:>9.0} {:>9.0} {:>9.3}",
            of(&Written::rate),
            median(rounds.iter().zip(limit).map(|(own, limit)| own.rate() / limit.rate())),
            of(&|seen| seen.times.len() as f64 / seen.wall.as_secs_f64()),
            "-",
            of(&|seen| quantile_us(&seen.times, 0.5)),
            of(&|seen| quantile_us(&seen.times, 0.99)),
            of(&|seen| seen.cpu.as_secs_f64() * 1e9 / seen.bytes as f64),
        );
    }
    let memory = measured.logs.iter().find(|(contestant, _)| contestant.name == "memory");
    let Some((_, memory)) = memory else { return };
    for (contestant, rounds) in &measured.logs {
        print_log(contestant, rounds, limit, memory);
    }
}

fn print_log(contestant: &Contestant, rounds: &[Round], limit: &[Written], memory: &[Round]) {
    let of = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of));
    let figure = |value: f64, digits: usize| match value.is_nan() {
        true => "-".to_owned(),
        false => format!("{value:.digits$}"),
    };
    let commits_per_second = of(&|round| round.commits_per_second().unwrap_or(f64::NAN));
    let requests = of(&|round| round.commits.map_or(f64::NAN, |commits| commits.requests));
    println!(
        "  {:<40} {:>8.0} {:>9.2} {:>10} {:>10} {:>9.0} {:>9.0} {:>9.3} {:>9.3} {:>9.3} {:>9.2}",
        contestant.name,
        of(&|round| round.seen.rate()),
        median(rounds.iter().zip(limit).map(|(own, limit)| own.seen.rate() / limit.rate())),
        figure(commits_per_second, 0),
        figure(requests, 1),
        of(&|round| quantile_us(&round.seen.acks, 0.5)),
        of(&|round| quantile_us(&round.seen.acks, 0.99)),
        of(&|round| round.seen.cpu_per_gb()),
        of(&|round| round.seen.per_gb(round.seen.client_cpu)),
        of(&|round| round.seen.per_gb(round.seen.other_cpu)),
        median(rounds.iter().zip(memory).map(|(own, other)| own.seen.cpu_per_gb() / other.seen.cpu_per_gb())),
    );
}
