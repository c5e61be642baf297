//! What a record costs that comes by PutRecords, beside one that comes as a line on the native route: CPU time of the
//! whole server, from the socket to the reply, 500 records of a kilobyte a request.
//!
//! ```text
//! cargo bench --bench aws                   # or only: memory, fsync, "fsync, PutRecords, JSON"
//! ```
//!
//! The contestants take turns on servers of their own. Requests are prepared and signed beforehand, so the client does
//! little more than to write and to read; its time is not counted.

#![expect(clippy::print_stdout, reason = "a bench that cannot run has to stop and reports on its own output")]

mod harness;

use std::time::Duration;

use bytes::Bytes;
use forebay::config::checked::Durability;
use harness::aws::{CBOR, JSON, UNSIGNED_NODE, request, signed_node};
use harness::client::{Seen, closed_loop, post};
use harness::cores::Cores;
use harness::forebay::{Judging, Server, StreamSpec, configure_with};
use harness::put_records::{Bodies, RECORD_BYTES, RECORDS};
use harness::{Call, load_average, machine, median};
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const STREAM: &str = "bench";
const SHARDS: u32 = 4;
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 7;
const ROUND_DURATION: Duration = Duration::from_secs(1);
/// Little memory, so that it is used again from the beginning: clearing new pages is the kernel's cost, and the same for
/// all.
const MEMORY: &str = "memory_budget = \"64MiB\"\n";

/// How records come in.
struct Contestant {
    name: &'static str,
    /// What the node's file says.
    node: String,
    request: Bytes,
}

fn contestants() -> [Contestant; 5] {
    let Bodies { lines, json, cbor } = Bodies::new(STREAM);
    let of = |name, node: &str, request| Contestant { name, node: format!("{MEMORY}{node}"), request };
    let signed = signed_node();
    [
        of("NDJSON, native route", "", post(STREAM, "application/x-ndjson", &lines)),
        of("PutRecords, JSON, signatures off", UNSIGNED_NODE, request("PutRecords", JSON, json.as_bytes())),
        of("PutRecords, JSON, signed", &signed, request("PutRecords", JSON, json.as_bytes())),
        of("PutRecords, CBOR, signatures off", UNSIGNED_NODE, request("PutRecords", CBOR, &cbor)),
        of("PutRecords, CBOR, signed", &signed, request("PutRecords", CBOR, &cbor)),
    ]
}

fn main() {
    let (call, cores) = (Call::read(), Cores::of_this_machine());
    let contestants = contestants();
    println!(
        "{}; {}; {RECORDS} records of {RECORD_BYTES} bytes a request, {SHARDS} shards, {CONNECTIONS} connections, closed \
         loop; best of {} rounds of {:?}",
        machine(),
        cores.describe(),
        call.rounds(ROUNDS),
        call.duration(ROUND_DURATION)
    );
    for durability in [Durability::Memory, Durability::Fsync] {
        let is_wanted = |of: &&Contestant| call.wants(&format!("{}, {}", durability.as_str(), of.name));
        let wanted: Vec<_> = contestants.iter().filter(is_wanted).collect();
        if !wanted.is_empty() {
            contest(&call, &cores, &wanted, durability);
        }
    }
    println!("  (load average {})", load_average());
}

fn contest(call: &Call, cores: &Cores, contestants: &[&Contestant], durability: Durability) {
    println!("\n  durability {}", durability.as_str());
    println!(
        "  {:<34} {:>11} {:>12} {:>15} {:>17}",
        "", "records/s", "server busy", "CPU ns/record", "x native (median)"
    );
    let mut measured: Vec<Vec<Seen>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..call.rounds(ROUNDS) {
        for (contestant, rounds) in contestants.iter().zip(&mut measured) {
            rounds.push(round(call, cores, contestant, durability));
        }
    }
    let per_record = |seen: &Seen| seen.cpu_us() * 1e3 / RECORDS as f64;
    let best = |rounds: &[Seen]| rounds.iter().map(per_record).fold(f64::INFINITY, f64::min);
    let native = &measured[0];
    for (contestant, rounds) in contestants.iter().zip(&measured) {
        let ratios = rounds.iter().zip(native).map(|(own, native)| per_record(own) / per_record(native));
        println!(
            "  {:<34} {:>11.0} {:>11.0}% {:>15.0} {:>9.2} ({:.2})",
            contestant.name,
            rounds.iter().map(Seen::rate).fold(0.0, f64::max) * RECORDS as f64,
            median(rounds.iter().map(Seen::busy)) * 100.0,
            best(rounds),
            best(rounds) / best(native),
            median(ratios),
        );
    }
}

/// Each with a server of its own: what it has written goes away with it.
fn round(call: &Call, cores: &Cores, contestant: &Contestant, durability: Durability) -> Seen {
    let stream = StreamSpec { durability, ..StreamSpec::new(STREAM, SHARDS, Judging::Key) };
    let files = [(stream.name.clone(), stream.file())];
    let server = cores.on_server(|| Server::of(configure_with(&files, &contestant.node)));
    closed_loop(server.address(), &contestant.request, CONNECTIONS, call.duration(ROUND_DURATION))
}
