//! From an append to the reader that waits for it with a long poll.
//!
//! Producers send at a constant rate whatever happens (open loop), and every record carries the time at which it was
//! to be sent, so a stall shows in all that it delayed. Producers, readers and the server are one process and read one
//! clock. Beside them, two threads that do nothing but sleep for a millisecond, one a core, tell how late this machine
//! wakes anybody.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use chrono::DateTime;
use forebay::runtime::clock;
use forebay::testkit::web_events;
use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::harness::client::{Connection, get, post};
use crate::harness::cores::Cores;
use crate::harness::forebay::{Judging, Server, StreamSpec};
use crate::harness::history::{Better, Figures};
use crate::harness::{Call, clocks, load_average, median};

const STREAM: &str = "tap";
const SHARDS: u32 = 4;
const BATCH_EVENTS: usize = 20;
/// 20,000 events a second.
const REQUESTS_PER_SECOND: u32 = 1_000;
/// Each sends every fourth request, so that one slow answer delays no other producer.
const PRODUCERS: u32 = 4;
const ROUNDS: usize = 5;
const ROUND_DURATION: Duration = Duration::from_secs(4);
/// Seconds that one poll waits.
const WAIT_SECONDS: u32 = 5;
const DIGITS: usize = 16;

/// What one round has seen, in microseconds.
struct Seen {
    /// From the server's stamp, taken before the append, to the reader having the record.
    appended: Histogram<u64>,
    /// From the time at which the producer was to send.
    intended: Histogram<u64>,
    /// From the time at which a sleeping thread was to wake to its waking.
    woken: Histogram<u64>,
    /// Events a second that readers got, each.
    rate: f64,
    /// Share of a core that server threads and clients have used together.
    busy: f64,
}

/// With one reader and with several.
pub fn run(call: &Call, cores: &Cores, figures: &mut Figures) {
    println!(
        "\ntap: open loop, {REQUESTS_PER_SECOND} requests/s of {BATCH_EVENTS} events, {SHARDS} shards; {}; medians of {} rounds",
        cores.describe(),
        call.rounds(ROUNDS)
    );
    println!(
        "  {:<34} {:>9} {:>9} {:>9} {:>10} {:>9} {:>6}",
        "microseconds", "p50", "p99", "p99.9", "worst max", "events/s", "cores"
    );
    for readers in [1, 8] {
        let server = cores.on_server(|| Server::start(&[StreamSpec::new(STREAM, SHARDS, Judging::Key)]));
        let rounds: Vec<_> = (0..call.rounds(ROUNDS))
            .map(|_| round(cores, server.address(), readers, call.duration(ROUND_DURATION)))
            .collect();
        print("limit: a sleeping thread's waking", &rounds, |seen| &seen.woken);
        print(&format!("append to {readers} waiting"), &rounds, |seen| &seen.appended);
        print(&format!("intended send to {readers} waiting"), &rounds, |seen| &seen.intended);
        let p99 = |of: fn(&Seen) -> &Histogram<u64>| {
            median(rounds.iter().map(|seen| of(seen).value_at_quantile(0.99) as f64))
        };
        let (woken, appended) = (p99(|seen| &seen.woken), p99(|seen| &seen.appended));
        let (name, limit) = (format!("append to {readers} waiting, p99"), "a sleeping thread's waking");
        figures.add_beside("tap", &name, (appended, "us"), Better::Lower, (limit, appended / woken));
    }
    println!("  (load average {})", load_average());
}

fn print(name: &str, rounds: &[Seen], of: impl Fn(&Seen) -> &Histogram<u64>) {
    let quantile = |quantile| median(rounds.iter().map(|seen| of(seen).value_at_quantile(quantile) as f64));
    let max = rounds.iter().map(|seen| of(seen).max()).max().unwrap_or_default();
    println!(
        "  {name:<34} {:>9.0} {:>9.0} {:>9.0} {max:>10} {:>9.0} {:>6.2}",
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        median(rounds.iter().map(|seen| seen.rate)),
        median(rounds.iter().map(|seen| seen.busy)),
    );
}

fn round(cores: &Cores, address: SocketAddr, readers: u32, duration: Duration) -> Seen {
    let requests = (duration.as_secs_f64() * f64::from(REQUESTS_PER_SECOND)) as u32;
    let expected = u64::from(requests) * BATCH_EVENTS as u64;
    // Opened before the first record is sent, so that every reader must get all of them.
    let readers: Vec<_> = (0..readers).map(|_| Reader::open(address)).collect();
    let (started, cpu) = (Instant::now(), clocks::process_cpu());
    let begin = Begin { wall_us: clock::wall().0, at: started };
    let reading: Vec<_> =
        readers.into_iter().map(|reader| thread::spawn(move || reader.read(expected))).collect();
    let sleeper = || thread::spawn(move || sleep_until(started + duration));
    let sleeping = [sleeper(), cores.on_server(sleeper)];
    let producing: Vec<_> = (0..PRODUCERS)
        .map(|number| thread::spawn(move || produce(address, begin, number, requests)))
        .collect();
    for thread in producing {
        thread.join().unwrap();
    }
    let (appended, intended, woken) = (histogram(), histogram(), histogram());
    let mut seen = Seen { appended, intended, woken, rate: 0.0, busy: 0.0 };
    for thread in sleeping {
        seen.woken.add(thread.join().unwrap()).unwrap();
    }
    for thread in reading {
        let (appended, intended) = thread.join().unwrap();
        seen.appended.add(appended).unwrap();
        seen.intended.add(intended).unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    seen.rate = expected as f64 / seconds;
    seen.busy = (clocks::process_cpu() - cpu).as_secs_f64() / seconds;
    seen
}

/// From a microsecond to a minute, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap()
}

/// Wakes every millisecond, and how late each time.
fn sleep_until(end: Instant) -> Histogram<u64> {
    let mut woken = histogram();
    let mut due = Instant::now();
    while due < end {
        due = Instant::now() + Duration::from_millis(1);
        thread::sleep(Duration::from_millis(1));
        let late = Instant::now().saturating_duration_since(due);
        woken.record(u64::try_from(late.as_micros()).unwrap().max(1)).unwrap();
    }
    woken
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
struct Begin {
    wall_us: i64,
    at: Instant,
}

/// Sends every [`PRODUCERS`]th of `requests`, each at its time.
fn produce(address: SocketAddr, begin: Begin, number: u32, requests: u32) {
    let mut connection = Connection::open(address).unwrap();
    let first = u64::from(number) * BATCH_EVENTS as u64;
    let event = |index| web_events::event(first + index as u64);
    let stamped = |index| format!("{{\"sent_us\":{:0<DIGITS$},{}\n", 1, &event(index)[1..]);
    let body: String = (0..BATCH_EVENTS).map(stamped).collect();
    let mut request = post(STREAM, "application/x-ndjson", &body).to_vec();
    let stamps: Vec<_> = memchr::memmem::find_iter(&request, b"\"sent_us\":").map(|at| at + 10).collect();
    for request_number in (number..requests).step_by(PRODUCERS as usize) {
        let since_begin = Duration::from_secs(1) * request_number / REQUESTS_PER_SECOND;
        let stamp = (begin.wall_us + since_begin.as_micros() as i64).to_string();
        for &at in &stamps {
            request[at..at + DIGITS].copy_from_slice(stamp.as_bytes());
        }
        thread::sleep((begin.at + since_begin).saturating_duration_since(Instant::now()));
        connection.exchange(&request).unwrap();
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
    next: String,
    skipped: u64,
}

#[derive(Deserialize)]
struct Record<'a> {
    arrival_time: &'a str,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    sent_us: i64,
}

/// Long polls, one after the other.
struct Reader {
    connection: Connection,
    next: String,
}

impl Reader {
    /// Stands behind the newest record.
    fn open(address: SocketAddr) -> Self {
        let mut connection = Connection::open(address).unwrap();
        let request = get(&format!("/v1/streams/{STREAM}/records?from=latest"));
        let page: Page<'_> =
            serde_json::from_slice(connection.exchange(request.as_bytes()).unwrap()).unwrap();
        let next = page.next;
        Self { connection, next }
    }

    /// Reads exactly `expected` records, and how old each was when it came: since its append, and since it was to be
    /// sent.
    fn read(mut self, expected: u64) -> (Histogram<u64>, Histogram<u64>) {
        let (mut appended, mut intended) = (histogram(), histogram());
        while appended.len() < expected {
            let request = get(&format!(
                "/v1/streams/{STREAM}/records?after={}&limit=10000&wait={WAIT_SECONDS}",
                self.next
            ));
            let page = self.connection.exchange(request.as_bytes()).unwrap();
            let now_us = clock::wall().0;
            let page: Page<'_> = serde_json::from_slice(page).unwrap();
            assert!(page.skipped == 0 && !page.records.is_empty(), "a reader must miss nothing");
            // Records of one request have one arrival time.
            let (mut arrival_time, mut arrival_us) = ("", 0);
            for record in &page.records {
                if record.arrival_time != arrival_time {
                    arrival_time = record.arrival_time;
                    arrival_us = DateTime::parse_from_rfc3339(arrival_time).unwrap().timestamp_micros();
                }
                appended.record((now_us - arrival_us).max(1).unsigned_abs()).unwrap();
                intended.record((now_us - record.data.sent_us).max(1).unsigned_abs()).unwrap();
            }
            self.next = page.next;
        }
        assert_eq!(appended.len(), expected, "every record once");
        (appended, intended)
    }
}
