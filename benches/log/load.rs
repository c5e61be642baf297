//! Clients that append and wait for the ack: as fast as they are answered, or at a constant rate whatever happens.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use forebay::runtime::park::ParkingRuntime;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::feed::Feed;
use crate::harness::door::Door;
use crate::harness::{clocks, nanoseconds, record};

/// Threads of the clients, each with a runtime of its own as the edge's have.
const CLIENT_THREADS: usize = 2;

/// Requests that are due and not sent yet: more than a second of them.
const TICKS_MAX: usize = 16 << 10;

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    pub duration: Duration,
    /// Bytes of bodies that are begun at most, about: disks have an end.
    pub bytes: u64,
}

/// What clients have seen.
pub struct Seen {
    pub requests: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    pub wall: Duration,
    /// CPU time of the clients' threads: making requests, appending, being woken.
    pub client_cpu: Duration,
    /// CPU time of all other threads.
    pub other_cpu: Duration,
    /// From the append to the ack.
    pub acks: Histogram<u64>,
    /// From the time at which a request was to be sent to its ack; the same where requests wait for each other.
    pub intended: Histogram<u64>,
}

impl Seen {
    /// Megabytes a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    /// Requests a second.
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// Seconds a gigabyte.
    pub fn per_gb(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e9 / self.bytes as f64
    }

    /// CPU seconds a gigabyte, of all threads.
    pub fn cpu_per_gb(&self) -> f64 {
        self.per_gb(self.client_cpu + self.other_cpu)
    }
}

/// What one client, or one thread of them, has seen.
struct Part {
    requests: u64,
    bytes: u64,
    cpu: Duration,
    acks: Histogram<u64>,
    intended: Histogram<u64>,
}

impl Part {
    fn new() -> Self {
        let (acks, intended) = (nanoseconds(), nanoseconds());
        Self { requests: 0, bytes: 0, cpu: Duration::ZERO, acks, intended }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.cpu += other.cpu;
        self.acks.add(&other.acks).unwrap();
        self.intended.add(&other.intended).unwrap();
    }
}

/// `clients` of them, each of which waits for its ack before it sends again.
pub fn closed_loop(door: &Arc<Door>, feed: &Arc<Feed>, clients: usize, until: Until) -> Seen {
    let per_thread = clients.div_ceil(CLIENT_THREADS);
    let until = Until { bytes: until.bytes / (per_thread * CLIENT_THREADS) as u64, ..until };
    measured((0..CLIENT_THREADS).map(|number| {
        let (door, feed) = (Arc::clone(door), Arc::clone(feed));
        move || async move {
            let mut tasks = JoinSet::new();
            for client in 0..per_thread {
                let (door, feed) = (Arc::clone(&door), Arc::clone(&feed));
                tasks.spawn(
                    async move { repeat(&door, &feed, number + client * CLIENT_THREADS, until).await },
                );
            }
            let mut all = Part::new();
            while let Some(part) = tasks.join_next().await {
                all.add(&part.unwrap());
            }
            all
        }
    }))
}

/// A request each `interval` from one thread, as many as fit.
pub fn open_loop(door: &Arc<Door>, feed: &Arc<Feed>, interval: Duration, until: Until) -> Seen {
    let in_time = until.duration.as_nanos() / interval.as_nanos();
    let count = u32::try_from(in_time).unwrap().min((until.bytes / feed.body_bytes()) as u32).max(1);
    let (door, feed) = (Arc::clone(door), Arc::clone(feed));
    measured(std::iter::once(move || async move { pace(&door, &feed, interval, count).await }))
}

/// Runs each of `clients` on a thread of its own, with the CPU time of everything meanwhile.
fn measured<C, F>(clients: impl Iterator<Item = C>) -> Seen
where
    C: FnOnce() -> F + Send + 'static,
    F: Future<Output = Part>,
{
    let (started, cpu) = (Instant::now(), clocks::process_cpu());
    let on_a_thread = |client: C| {
        thread::spawn(move || {
            let runtime = ParkingRuntime::build().unwrap();
            let mut part = runtime.block_on(client());
            part.cpu += clocks::thread_cpu();
            part
        })
    };
    let threads: Vec<_> = clients.map(on_a_thread).collect();
    let mut all = Part::new();
    for thread in threads {
        all.add(&thread.join().unwrap());
    }
    let cpu = clocks::process_cpu().saturating_sub(cpu);
    let Part { requests, bytes, cpu: client_cpu, acks, intended } = all;
    let other_cpu = cpu.saturating_sub(client_cpu);
    Seen { requests, bytes, wall: started.elapsed(), client_cpu, other_cpu, acks, intended }
}

async fn repeat(door: &Door, feed: &Feed, first: usize, until: Until) -> Part {
    let mut part = Part::new();
    let started = Instant::now();
    while started.elapsed() < until.duration && part.bytes < until.bytes {
        let (batches, bytes) = feed.request(door, first + part.requests as usize);
        let begun = Instant::now();
        let receipt = door.intake().stream.append(batches, None).unwrap();
        receipt.await.unwrap();
        record(&mut part.acks, begun.elapsed());
        part.requests += 1;
        part.bytes += bytes;
    }
    part.intended.add(&part.acks).unwrap();
    part
}

async fn pace(door: &Door, feed: &Feed, interval: Duration, count: u32) -> Part {
    let mut part = Part::new();
    let (ticks, mut ticking) = mpsc::channel(TICKS_MAX);
    let begin = Instant::now() + interval;
    let ticker = thread::spawn(move || tick(begin, interval, count, &ticks));
    let mut acks = JoinSet::new();
    while let Some(due) = ticking.recv().await {
        let (batches, bytes) = feed.request(door, part.requests as usize);
        let begun = Instant::now();
        let receipt = door.intake().stream.append(batches, None).unwrap();
        acks.spawn(async move {
            receipt.await.unwrap();
            let acked = Instant::now();
            (acked - begun, acked - due)
        });
        part.requests += 1;
        part.bytes += bytes;
        while let Some(ack) = acks.try_join_next() {
            part.ack(ack.unwrap());
        }
    }
    while let Some(ack) = acks.join_next().await {
        part.ack(ack.unwrap());
    }
    part.cpu += ticker.join().unwrap();
    part
}

impl Part {
    fn ack(&mut self, (since_append, since_due): (Duration, Duration)) {
        record(&mut self.acks, since_append);
        record(&mut self.intended, since_due);
    }
}

/// Tells when each of `count` requests is due, at that time: the runtime's own clock has milliseconds, so that requests
/// would come in bursts. Returns the CPU time that it took.
fn tick(begin: Instant, interval: Duration, count: u32, ticks: &mpsc::Sender<Instant>) -> Duration {
    for number in 0..count {
        let due = begin + interval * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        ticks.blocking_send(due).unwrap();
    }
    clocks::thread_cpu()
}
