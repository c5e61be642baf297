//! One server, some readers, and a producer at a constant rate.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use forebay::config::checked::Durability;
use forebay::testkit::web_events;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::aws::UNSIGNED_NODE;
use crate::harness::client::post;
use crate::harness::cores::Cores;
use crate::harness::forebay::{Judging, Server, StreamSpec, configure_with};
use crate::harness::{clocks, nanoseconds, record};
use crate::kind::{DIGITS, Kind, MARK, is_balanced, make_cursor, open};

pub const STREAM: &str = "tap";
pub const BATCH_EVENTS: usize = 20;
/// Readers that look at times.
const WATCHERS: usize = 4;
/// What has to come within this time after the last request, or readers are told to have missed it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub kind: Kind,
    pub durability: Durability,
    pub shards: u32,
    pub readers: usize,
    /// Requests a second.
    pub rate: u32,
}

/// What one round has seen.
pub struct Seen {
    /// Records that came to readers.
    pub delivered: u64,
    /// Bytes that came to readers.
    pub bytes: u64,
    pub wall: Duration,
    pub server_cpu: Duration,
    /// From a request to its ack.
    pub acks: Histogram<u64>,
    /// From the ack to a reader; zero where the reader was first.
    pub behind_ack: Histogram<u64>,
    /// From the request to a reader.
    pub behind_send: Histogram<u64>,
}

impl Seen {
    /// Cores that the server has used.
    pub fn cores(&self) -> f64 {
        self.server_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// What all tasks of the client know; they are one thread.
struct Log {
    delivered: u64,
    bytes: u64,
    /// Of each request.
    sent: Vec<Instant>,
    acked: Vec<Instant>,
    /// Those of its records that came before its ack was seen, which are behind it by nothing.
    early: u64,
    behind_ack: Histogram<u64>,
    behind_send: Histogram<u64>,
}

impl Log {
    fn new() -> Self {
        let (delivered, bytes, early) = (0, 0, 0);
        let (behind_ack, behind_send) = (nanoseconds(), nanoseconds());
        Self { delivered, bytes, sent: Vec::new(), acked: Vec::new(), early, behind_ack, behind_send }
    }

    /// A record of that request has come.
    fn came(&mut self, number: usize, now: Instant) {
        record(&mut self.behind_send, now - self.sent[number]);
        match self.acked.get(number) {
            Some(acked) => record(&mut self.behind_ack, now.saturating_duration_since(*acked)),
            None => self.early += 1,
        }
    }
}

thread_local! {
    static LOG: RefCell<Log> = RefCell::new(Log::new());
}

/// Runs a server, its readers and a producer for so long.
pub fn run(cores: &Cores, load: Load, duration: Duration) -> Seen {
    let stream =
        StreamSpec { durability: load.durability, ..StreamSpec::new(STREAM, load.shards, Judging::Key) };
    let files = [(stream.name.clone(), stream.file())];
    let server = cores.on_server(|| Server::of(configure_with(&files, UNSIGNED_NODE)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let requests = (duration.as_secs_f64() * f64::from(load.rate)) as u32;
    LOG.set(Log::new());
    let (acks, wall, server_cpu) = runtime.block_on(round(server.address(), load, requests));
    let Log { delivered, bytes, early, mut behind_ack, behind_send, .. } = LOG.replace(Log::new());
    // The shortest time that the histogram tells.
    behind_ack.record_n(100, early).unwrap();
    Seen { delivered, bytes, wall, server_cpu, acks, behind_ack, behind_send }
}

async fn round(address: SocketAddr, load: Load, requests: u32) -> (Histogram<u64>, Duration, Duration) {
    let mut reading = tokio::task::JoinSet::new();
    let is_shared = load.kind == Kind::Worker;
    if is_shared {
        make_cursor(address);
    }
    for number in 0..load.readers {
        for request in load.kind.requests(address, load.shards, number) {
            let socket = open(address, &request).await;
            reading.spawn(read(socket, load.kind, number < WATCHERS));
        }
    }
    let joined = Instant::now();
    while is_shared && !is_balanced(address, load.shards, load.readers) {
        assert!(joined.elapsed() < PATIENCE, "workers must get their shards");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (started, cpu) = (Instant::now(), clocks::others_cpu());
    let acks = produce(address, load.rate, requests).await;
    let copies = if is_shared { 1 } else { load.readers };
    let wanted = u64::from(requests) * (BATCH_EVENTS * copies) as u64;
    let sent = Instant::now();
    while LOG.with_borrow(|log| log.delivered) < wanted {
        assert!(sent.elapsed() < PATIENCE, "a reader must miss nothing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let measured = (acks, started.elapsed(), clocks::others_cpu() - cpu);
    assert_eq!(LOG.with_borrow(|log| log.delivered), wanted, "every record once");
    reading.abort_all();
    while let Some(ended) = reading.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a reader was cut off");
    }
    measured
}

/// Sends requests, one at a time; returns how long their acks took.
async fn produce(address: SocketAddr, rate: u32, requests: u32) -> Histogram<u64> {
    let event = |index| format!("{MARK}{:0DIGITS$}\",{}\n", 0, &web_events::event(index)[1..]);
    let body: String = (0..BATCH_EVENTS as u64).map(event).collect();
    let mut request = post(STREAM, "application/x-ndjson", &body).to_vec();
    let places: Vec<_> = memchr::memmem::find_iter(&request, MARK).map(|mark| mark + MARK.len()).collect();
    assert_eq!(places.len(), BATCH_EVENTS);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (started, mut answer, mut acks) = (Instant::now(), vec![0; 8 << 10], nanoseconds());
    for number in 0..requests {
        let digits = format!("{number:0DIGITS$}");
        for &place in &places {
            request[place..place + DIGITS].copy_from_slice(digits.as_bytes());
        }
        let due = started + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        LOG.with_borrow_mut(|log| log.sent.push(sent));
        socket.write_all(&request).await.unwrap();
        let mut length = 0;
        // The last bytes of a reply; it has no errors.
        while !answer[..length].ends_with(b"}]}") {
            length += socket.read(&mut answer[length..]).await.unwrap();
        }
        let acked = Instant::now();
        LOG.with_borrow_mut(|log| log.acked.push(acked));
        record(&mut acks, acked - sent);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    acks
}

/// Counts records by their marks, wherever they stand. One whose number stands on both sides of a read is not looked at.
async fn read(mut socket: TcpStream, kind: Kind, watches: bool) {
    let mark = memchr::memmem::Finder::new(kind.mark());
    let mut text: Vec<u8> = Vec::with_capacity(256 << 10);
    loop {
        // What may be the beginning of a mark.
        let kept = text.len().min(kind.mark().len() - 1);
        text.drain(..text.len() - kept);
        let count = socket.read_buf(&mut text).await.unwrap();
        if count == 0 {
            return;
        }
        let now = Instant::now();
        LOG.with_borrow_mut(|log| {
            log.bytes += count as u64;
            for found in mark.find_iter(&text) {
                log.delivered += 1;
                if watches && let Some(number) = kind.number(&text[found + kind.mark().len()..]) {
                    log.came(number, now);
                }
            }
        });
    }
}
