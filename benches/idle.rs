//! What streams cost that have little or nothing to do: CPU and memory have to grow with traffic, not with shards.
//!
//! Each row is a process of its own, so that no row has the memory of another one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

mod harness;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use forebay::testkit::web_events;
use harness::client::{Connection, post};
use harness::forebay::{Judging, Server, StreamSpec};
use harness::{Call, clocks};
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};

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
/// Processes of each row.
const RUNS: usize = 3;
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
        let cost = measure(&call, &ROWS[row.parse::<usize>().unwrap()]);
        println!("{}", serde_json::to_string(&cost).unwrap());
        return;
    }
    println!("{}; load average {}", harness::machine(), harness::load_average());
    println!(
        "idle: {:?}; traffic: {:?} of 1 record/s to each of {BUSY_STREAMS} streams (or to the only one, as many); \
         medians of {} processes",
        call.duration(IDLE),
        call.duration(TRAFFIC),
        call.rounds(RUNS)
    );
    println!(
        "files are closed after {FILE_SECONDS} s; CPU in per cent of one core, without the client's; memory is resident\n"
    );
    println!(
        "  {:<28} {:>9} {:>11} {:>9} {:>9} {:>10} {:>11} {:>11}",
        "", "start ms", "idle CPU %", "memory MB", "KB/shard", "traffic %", "CPU us/req", "+ memory MB"
    );
    let mut least: Option<Cost> = None;
    for (number, row) in ROWS.iter().enumerate() {
        let runs: Vec<_> = (0..call.rounds(RUNS)).map(|_| in_a_process(number)).collect();
        let cost = Cost::median(&runs);
        let least = least.get_or_insert(cost);
        // The process itself, with its one shard, is not the other shards' cost.
        let shards = f64::from(row.streams * row.shards - 1);
        let per_shard = match number {
            0 => "-".to_owned(),
            _ => format!("{:.1}", (cost.memory_bytes - least.memory_bytes) / shards / 1e3),
        };
        println!(
            "  {:<28} {:>9.0} {:>11.3} {:>9.1} {per_shard:>9} {:>10.2} {:>11.0} {:>11.1}",
            row.name,
            cost.start_seconds * 1e3,
            cost.idle_share * 100.0,
            cost.memory_bytes / 1e6,
            cost.traffic_share * 100.0,
            cost.request_seconds * 1e6,
            cost.traffic_memory_bytes / 1e6
        );
    }
    println!("\nload average {}", harness::load_average());
}

/// What a row costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    start_seconds: f64,
    /// CPU time over wall time while nothing happens.
    idle_share: f64,
    /// Resident, while nothing happens.
    memory_bytes: f64,
    /// CPU time over wall time under light traffic, without the client's.
    traffic_share: f64,
    /// CPU time of the server over requests.
    request_seconds: f64,
    /// How much the traffic added.
    traffic_memory_bytes: f64,
}

impl Cost {
    /// Of each figure alone.
    fn median(runs: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| harness::median(runs.iter().map(of));
        Self {
            start_seconds: median(|cost| cost.start_seconds),
            idle_share: median(|cost| cost.idle_share),
            memory_bytes: median(|cost| cost.memory_bytes),
            traffic_share: median(|cost| cost.traffic_share),
            request_seconds: median(|cost| cost.request_seconds),
            traffic_memory_bytes: median(|cost| cost.traffic_memory_bytes),
        }
    }
}

/// Runs this program again for one row.
fn in_a_process(number: usize) -> Cost {
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args(std::env::args_os().skip(1)).env(ROW, number.to_string());
    let output = own.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "row {number} failed: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn measure(call: &Call, row: &Row) -> Cost {
    let spec = |index| StreamSpec {
        delivery_seconds: row.delivery_seconds,
        ..StreamSpec::new(&format!("s{index:04}"), row.shards, Judging::Syntax)
    };
    let specs: Vec<_> = (0..row.streams).map(spec).collect();
    let started = Instant::now();
    let server = Server::start(&specs);
    let start_seconds = started.elapsed().as_secs_f64();
    thread::sleep(SETTLE);
    let memory_bytes = clocks::resident_bytes() as f64;
    let idle = usage_during(|| {
        thread::sleep(call.duration(IDLE));
        0
    });
    let traffic = usage_during(|| light_traffic(&server, row.streams, call.duration(TRAFFIC)));
    Cost {
        start_seconds,
        idle_share: idle.share(),
        memory_bytes,
        traffic_share: traffic.share(),
        request_seconds: traffic.cpu_seconds / f64::from(traffic.requests),
        traffic_memory_bytes: clocks::resident_bytes() as f64 - memory_bytes,
    }
}

/// What the server's threads used.
struct Usage {
    requests: u32,
    cpu_seconds: f64,
    wall_seconds: f64,
}

impl Usage {
    /// Of one core.
    fn share(&self) -> f64 {
        self.cpu_seconds / self.wall_seconds
    }
}

/// While `client` runs on this thread, whose own CPU time does not count.
fn usage_during(client: impl FnOnce() -> u32) -> Usage {
    let (started, cpu) = (Instant::now(), clocks::others_cpu());
    let requests = client();
    let cpu_seconds = clocks::others_cpu().saturating_sub(cpu).as_secs_f64();
    Usage { requests, cpu_seconds, wall_seconds: started.elapsed().as_secs_f64() }
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
