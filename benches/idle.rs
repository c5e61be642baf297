//! What streams cost that have little or nothing to do: CPU and memory have to grow with traffic, not with shards.
//!
//! Each row is a process of its own, so that no row has the memory of another one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

mod harness;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use forebay::testkit::web_events;
use harness::client::{Connection, post};
use harness::forebay::{Judging, Server, StreamSpec};
use harness::{Call, clocks};
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Time between a change and the measurement of what it has led to.
const SETTLE: Duration = Duration::from_millis(1_500);
const IDLE: Duration = Duration::from_secs(5);
/// Twice the age at which files are closed, so that closing and storing them is in it.
const TRAFFIC: Duration = Duration::from_secs(10);
const FILE_SECONDS: u32 = 5;
const BUSY_STREAMS: u32 = 100;
/// One record a second to each of the busy streams.
const REQUEST_INTERVAL: Duration = Duration::from_millis(10);

/// Tells a process that it measures the row of this number.
const ROW: &str = "FOREBAY_BENCH_ROW";

struct Row {
    name: &'static str,
    streams: u32,
    shards: u32,
    delivery_seconds: Option<u32>,
}

const ROWS: [Row; 5] = [
    Row { name: "1 stream of 1 shard", streams: 1, shards: 1, delivery_seconds: None },
    Row { name: "100 streams of 4", streams: 100, shards: 4, delivery_seconds: None },
    Row { name: "1,000 streams of 4", streams: 1_000, shards: 4, delivery_seconds: None },
    Row { name: "100 of 4, a delivery each", streams: 100, shards: 4, delivery_seconds: Some(FILE_SECONDS) },
    Row {
        name: "1,000 of 4, a delivery each",
        streams: 1_000,
        shards: 4,
        delivery_seconds: Some(FILE_SECONDS),
    },
];

fn main() {
    let call = Call::read();
    if let Ok(row) = std::env::var(ROW) {
        return measure(&call, &ROWS[row.parse::<usize>().unwrap()]);
    }
    println!("{}; load average {}", harness::machine(), harness::load_average());
    println!(
        "idle: {:?}; traffic: {:?} of 1 record/s to each of {BUSY_STREAMS} streams (or to the only one, as many)",
        call.duration(IDLE),
        call.duration(TRAFFIC)
    );
    println!(
        "files are closed after {FILE_SECONDS} s; CPU in per cent of one core, without the client's; memory is resident\n"
    );
    println!(
        "  {:<28} {:>9} {:>11} {:>9} {:>8} {:>9} {:>12} {:>11}",
        "", "start ms", "idle CPU %", "memory MB", "KB/shard", "traffic %", "CPU us/req", "+ memory MB"
    );
    for row in 0..ROWS.len() {
        let mut own = Command::new(std::env::current_exe().unwrap());
        let status = own.args(std::env::args_os().skip(1)).env(ROW, row.to_string()).status().unwrap();
        assert!(status.success(), "row {row} failed: {status}");
    }
    println!("\nload average {}", harness::load_average());
}

fn measure(call: &Call, row: &Row) {
    let spec = |index| StreamSpec {
        delivery_seconds: row.delivery_seconds,
        ..StreamSpec::new(&format!("s{index:04}"), row.shards, Judging::Syntax)
    };
    let specs: Vec<_> = (0..row.streams).map(spec).collect();
    let memory_before = clocks::resident_bytes();
    let started = Instant::now();
    let server = Server::start(&specs);
    let start_ms = started.elapsed().as_secs_f64() * 1e3;
    thread::sleep(SETTLE);
    let memory = clocks::resident_bytes();
    let (idle, _) = cpu_share(|| {
        thread::sleep(call.duration(IDLE));
        0
    });
    let (traffic, cpu_us) = cpu_share(|| light_traffic(&server, row.streams, call.duration(TRAFFIC)));
    let own = memory.saturating_sub(memory_before);
    println!(
        "  {:<28} {start_ms:>9.0} {idle:>11.3} {:>9.1} {:>8.1} {traffic:>9.2} {cpu_us:>12.0} {:>11.1}",
        row.name,
        memory as f64 / 1e6,
        own as f64 / 1e3 / f64::from(row.streams * row.shards),
        clocks::resident_bytes().saturating_sub(memory) as f64 / 1e6,
    );
}

/// Per cent of one core that the server's threads use while `client` runs on this one, and microseconds a request.
fn cpu_share(client: impl FnOnce() -> u32) -> (f64, f64) {
    let (started, cpu) = (Instant::now(), clocks::others_cpu());
    let requests = client();
    let used = clocks::others_cpu().saturating_sub(cpu).as_secs_f64();
    (used / started.elapsed().as_secs_f64() * 100.0, used * 1e6 / f64::from(requests))
}

fn light_traffic(server: &Server, streams: u32, duration: Duration) -> u32 {
    let event = web_events::typical_event();
    let request = |index| post(&format!("s{index:04}"), "application/json", &event);
    let requests: Vec<_> = (0..streams.min(BUSY_STREAMS)).map(request).collect();
    let mut connection = Connection::open(server.address()).unwrap();
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < duration {
        connection.exchange(&requests[sent as usize % requests.len()]).unwrap();
        sent += 1;
        thread::sleep((started + REQUEST_INTERVAL * sent).saturating_duration_since(Instant::now()));
    }
    sent
}
