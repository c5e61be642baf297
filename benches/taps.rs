//! Live readers: how long a record takes from its append to them, and what each record costs the server, with one reader
//! and with many.
//!
//! Requests of 20 events are sent at a constant rate. With a thousand readers there are fewer of them, because every
//! event is a thousand there. All readers count what they get; a few look at when it was appended. Readers and producer
//! are one thread, so with many readers the times are also theirs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use forebay::runtime::clock;
use forebay::testkit::web_events;
use harness::client::post;
use harness::cores::Cores;
use harness::forebay::{Judging, Server, StreamSpec};
use harness::{Call, clocks, load_average, machine, nanoseconds, quantile_us, record};
use hdrhistogram::Histogram;
use mimalloc::MiMalloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const STREAM: &str = "tap";
const SHARDS: u32 = 4;
const BATCH_EVENTS: usize = 20;
const ROUND: Duration = Duration::from_secs(5);
/// Readers that look at times.
const WATCHERS: usize = 4;
/// What has to come within this time after the last request, or readers are told to have missed it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stands once in each record.
const MARK: &[u8] = b"\"arrival_time\":\"";
const TIME_BYTES: usize = "2026-11-21T22:46:18.000123Z".len();

/// Readers and requests a second.
const ROWS: [(usize, u32); 3] = [(1, 1_000), (100, 1_000), (1_000, 50)];

/// Their kind, and the headers that ask for it.
const KINDS: [(&str, &str); 2] = [
    ("events", "Accept: text/event-stream\r\n"),
    (
        "websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ),
];

fn main() {
    let (call, cores) = (Call::read(), Cores::of_this_machine());
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A thousand readers are two thousand descriptors in this process.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    println!(
        "{}; {}; requests of {BATCH_EVENTS} events of 331 bytes, {SHARDS} shards",
        machine(),
        cores.describe()
    );
    println!(
        "  {:<10} {:>7} {:>9} {:>12} {:>9} {:>9} {:>9} {:>12} {:>7}",
        "kind", "readers", "events/s", "deliveries/s", "p50 us", "p99 us", "max us", "ns CPU each", "cores"
    );
    for (kind, headers) in KINDS.into_iter().filter(|(kind, _)| call.wants(kind)) {
        for (readers, rate) in ROWS {
            let readers = call.amount(readers, readers.min(20));
            let server = cores.on_server(|| Server::start(&[StreamSpec::new(STREAM, SHARDS, Judging::Key)]));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let requests = (call.duration(ROUND).as_secs_f64() * f64::from(rate)) as u32;
            let seen = runtime.block_on(round(server.address(), headers, readers, rate, requests));
            print(kind, readers, &seen);
        }
    }
    println!("  (load average {})", load_average());
}

/// What one round has seen.
struct Seen {
    sent: u64,
    delivered: u64,
    wall: Duration,
    server_cpu: Duration,
    /// From append to reader.
    times: Histogram<u64>,
}

fn print(kind: &str, readers: usize, seen: &Seen) {
    let seconds = seen.wall.as_secs_f64();
    println!(
        "  {kind:<10} {readers:>7} {:>9.0} {:>12.0} {:>9.0} {:>9.0} {:>9.0} {:>12.0} {:>7.2}",
        seen.sent as f64 / seconds,
        seen.delivered as f64 / seconds,
        quantile_us(&seen.times, 0.5),
        quantile_us(&seen.times, 0.99),
        quantile_us(&seen.times, 1.0),
        seen.server_cpu.as_nanos() as f64 / seen.delivered as f64,
        seen.server_cpu.as_secs_f64() / seconds,
    );
}

async fn round(address: SocketAddr, headers: &str, readers: usize, rate: u32, requests: u32) -> Seen {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut reading = tokio::task::JoinSet::new();
    for number in 0..readers {
        let reader = Reader::open(address, headers).await;
        reading.spawn(reader.read(Arc::clone(&delivered), number < WATCHERS));
    }
    let (started, cpu) = (Instant::now(), clocks::others_cpu());
    produce(address, rate, requests).await;
    let sent = u64::from(requests) * BATCH_EVENTS as u64;
    let wanted = sent * readers as u64;
    while delivered.load(Ordering::Relaxed) < wanted {
        assert!(started.elapsed() < ROUND + PATIENCE, "a reader must miss nothing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (wall, server_cpu) = (started.elapsed(), clocks::others_cpu() - cpu);
    assert_eq!(delivered.load(Ordering::Relaxed), wanted, "every record once");
    reading.abort_all();
    let mut times = nanoseconds();
    while let Some(ended) = reading.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a reader was cut off");
    }
    TIMES.with_borrow_mut(|all| {
        times.add(&*all).unwrap();
        all.reset();
    });
    Seen { sent, delivered: wanted, wall, server_cpu, times }
}

thread_local! {
    /// What the watchers have seen: all of them are on one thread.
    static TIMES: std::cell::RefCell<Histogram<u64>> = std::cell::RefCell::new(nanoseconds());
}

async fn produce(address: SocketAddr, rate: u32, requests: u32) {
    let body: String = (0..BATCH_EVENTS).map(|index| web_events::event(index as u64) + "\n").collect();
    let request: Bytes = post(STREAM, "application/x-ndjson", &body);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (started, mut answer) = (Instant::now(), vec![0; 4 << 10]);
    for number in 0..requests {
        let due = started + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
        socket.write_all(&request).await.unwrap();
        let mut length = 0;
        // The last bytes of a reply; it has no errors.
        while !answer[..length].ends_with(b"}]}") {
            length += socket.read(&mut answer[length..]).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

/// A connection that takes whatever comes.
struct Reader {
    socket: TcpStream,
}

impl Reader {
    async fn open(address: SocketAddr, headers: &str) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /v1/streams/{STREAM}/records HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
            assert!(socket.read_buf(&mut head).await.unwrap() > 0);
        }
        assert!(head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 101"));
        Self { socket }
    }

    /// Counts records by their mark. A time that stands on both sides of a read is not looked at; a mark is counted
    /// wherever it stands.
    async fn read(mut self, delivered: Arc<AtomicU64>, watches: bool) {
        let mut text: Vec<u8> = Vec::with_capacity(256 << 10);
        loop {
            // What may be the beginning of a mark.
            let kept = text.len().min(MARK.len() - 1);
            text.drain(..text.len() - kept);
            if self.socket.read_buf(&mut text).await.unwrap() == 0 {
                return;
            }
            let marks = memchr::memmem::find_iter(&text, MARK);
            let count = if watches { watch(&text, marks) } else { marks.count() as u64 };
            delivered.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Looks at the times behind the marks; returns how many marks there are.
fn watch(text: &[u8], marks: impl Iterator<Item = usize>) -> u64 {
    let now = clock::wall();
    let (mut count, mut last, mut age) = (0, &b""[..], Duration::ZERO);
    for mark in marks {
        count += 1;
        let start = mark + MARK.len();
        let Some(time) = text.get(start..start + TIME_BYTES) else { continue };
        // Records of one request have one arrival time.
        if time != last {
            let arrival = DateTime::parse_from_rfc3339(std::str::from_utf8(time).unwrap()).unwrap();
            age = Duration::from_micros((now.0 - arrival.timestamp_micros()).max(0).unsigned_abs());
            last = time;
        }
        TIMES.with_borrow_mut(|times| record(times, age));
    }
    count
}
