//! NDJSON over sockets: the CPU time of durable ingest beside that of ingest into memory.

use std::time::Duration;

use bytes::Bytes;
use forebay::config::checked::Durability;

use crate::feed;
use crate::harness::client::{Seen, closed_loop, post};
use crate::harness::cores::Cores;
use crate::harness::forebay::{Judging, Server, StreamSpec};
use crate::harness::{Call, median};

const SHARDS: u32 = 4;
const BATCH_EVENTS: usize = 100;
const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND_DURATION: Duration = Duration::from_secs(2);

/// A server a durability, on one core each with all of its threads; the client on the other.
pub fn run(call: &Call) {
    let cores = Cores::of_this_machine();
    let body = feed::bodies(BATCH_EVENTS).swap_remove(0);
    println!(
        "\nhttp: POST of {BATCH_EVENTS} events, {} bytes, {SHARDS} shards, {CONNECTIONS} connections, closed loop; {}; medians of {} rounds of {:?}",
        body.len(),
        cores.describe(),
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    let request = post("bench", "application/x-ndjson", std::str::from_utf8(&body).unwrap());
    let mut measured =
        [Durability::Memory, Durability::Os, Durability::Fsync].map(|durability| (durability, Vec::new()));
    cores.be_client();
    for _ in 0..call.rounds(ROUNDS) {
        for (durability, rounds) in &mut measured {
            rounds.push(round(call, &cores, *durability, &request));
        }
    }
    println!(
        "  {:<8} {:>10} {:>8} {:>12} {:>9} {:>14} {:>15}",
        "", "requests/s", "MB/s", "server busy", "CPU s/GB", "CPU / memory's", "rate / memory's"
    );
    let [(_, memory), ..] = &measured;
    for (durability, rounds) in &measured {
        print(durability.as_str(), rounds, memory, body.len());
    }
}

/// Each with a server of its own: what it has written goes away with it.
fn round(call: &Call, cores: &Cores, durability: Durability, request: &Bytes) -> Seen {
    let stream = StreamSpec { durability, ..StreamSpec::new("bench", SHARDS, Judging::Syntax) };
    let server = cores.on_server(|| Server::start(&[stream]));
    closed_loop(server.address(), request, CONNECTIONS, call.duration(ROUND_DURATION))
}

fn print(name: &str, rounds: &[Seen], memory: &[Seen], bytes: usize) {
    let of = |of: &dyn Fn(&Seen) -> f64| median(rounds.iter().map(of));
    let ratio = |of: &dyn Fn(&Seen) -> f64| {
        median(rounds.iter().zip(memory).map(|(own, memory)| of(own) / of(memory)))
    };
    println!(
        "  {name:<8} {:>10.0} {:>8.0} {:>11.0}% {:>9.3} {:>14.2} {:>15.2}",
        of(&Seen::rate),
        of(&Seen::rate) * bytes as f64 / 1e6,
        of(&Seen::busy) * 100.0,
        of(&Seen::cpu_us) * 1e3 / bytes as f64,
        ratio(&Seen::cpu_us),
        ratio(&Seen::rate),
    );
}
