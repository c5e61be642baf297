//! What it costs to have many shards: they share a journal, so commits must not grow with their number.

use std::time::Duration;

use bytes::Bytes;

use crate::contest::{CLIENTS, Contestant, Requests, Round, Shape, closed_round, until};
use crate::feed;
use crate::harness::{Call, median};

const SHARDS: [u32; 3] = [1, 100, 4_000];
const BATCH_EVENTS: usize = 100;
const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_secs(2);

/// Requests of one key each go to one shard, as those of devices and of streams with a few shards do. Records without a
/// key go to any shard alike: with 4,000 of them nearly every record is a batch of its own.
pub fn run(call: &Call) {
    let bodies = feed::bodies(BATCH_EVENTS);
    println!(
        "\nshards: bodies of {BATCH_EVENTS} events, {CLIENTS} clients, closed loop; medians of {} rounds of {:?}",
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    for (name, requests) in [
        ("each request to one of the shards", Requests::Keyed),
        ("the records of each request spread over all shards", Requests::Bodies),
    ] {
        println!("\n  {name}");
        contest(call, &bodies, requests);
    }
}

fn contest(call: &Call, bodies: &[Bytes], requests: Requests) {
    println!(
        "  {:<8} {:>7} {:>8} {:>11} {:>9} {:>9} {:>9} {:>13} {:>15}",
        "",
        "shards",
        "MB/s",
        "commits/GB",
        "CPU s/GB",
        "clients'",
        "log's",
        "CPU / 1 shard",
        "commits / 1 sh."
    );
    // The memory log tells what cutting requests into batches costs alone.
    for contestant in [Contestant::fsync(), Contestant::memory()] {
        let mut measured = SHARDS.map(|shards| (shards, Vec::new()));
        for _ in 0..call.rounds(ROUNDS) {
            for (shards, rounds) in &mut measured {
                let shape = Shape { shards: *shards, bodies, requests, clients: CLIENTS };
                rounds.push(closed_round(call, &contestant, &shape, until(call, ROUND_DURATION)));
            }
        }
        let [(_, one), ..] = &measured;
        for (shards, rounds) in &measured {
            print(contestant.name, *shards, rounds, one);
        }
    }
}

fn print(name: &str, shards: u32, rounds: &[Round], one: &[Round]) {
    let of = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of));
    let ratio =
        |of: &dyn Fn(&Round) -> f64| median(rounds.iter().zip(one).map(|(own, one)| of(own) / of(one)));
    let figure = |value: f64, digits: usize| match value.is_nan() {
        true => "-".to_owned(),
        false => format!("{value:.digits$}"),
    };
    let commits = |round: &Round| round.commits_per_gb().unwrap_or(f64::NAN);
    println!(
        "  {name:<8} {shards:>7} {:>8.0} {:>11} {:>9.3} {:>9.3} {:>9.3} {:>13.2} {:>15}",
        of(&|round| round.seen.rate()),
        figure(of(&commits), 0),
        of(&|round| round.seen.cpu_per_gb()),
        of(&|round| round.seen.per_gb(round.seen.client_cpu)),
        of(&|round| round.seen.per_gb(round.seen.other_cpu)),
        ratio(&|round| round.seen.cpu_per_gb()),
        figure(ratio(&commits), 2),
    );
}
