//! `forebay-load run`: feeders make bodies → connections send them when they are due → replies are written down.
//!
//! A producer belongs to one connection, and a connection has one request at a time, so the server gets each
//! producer's records in order. Everything that waits is bounded: bodies by the feeders' queues, replies by the
//! client, ranges by the manifest.

mod account;
mod bodies;
mod client;
mod lane;
mod plan;
mod replay;
mod reply;
pub mod report;
mod schedule;
pub mod scrape;
mod server_usage;
pub(crate) mod timeline;

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta, Utc};
use forebay::runtime::clock;
use forebay::testkit::generators::{
    Generator, GeneratorError, KeyPicker, KeyPickerError, Settings, producer_name,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::sync::Notify;

use account::Tally;
use bodies::{BodyMaker, Feeder, Queue, Records};
use client::{Link, RequestHead};
use lane::{Lane, Live, Shared};
pub use plan::{CONNECTIONS_MAX, Compression, Mode, PRODUCERS_MAX, Plan, PlanError, Source, Target};
use replay::ReplayFile;
pub use replay::{REPLAY_BYTES_MAX, ReplayError};
use report::Report;
use schedule::{Pacer, Schedule};
use scrape::Scraper;
pub use server_usage::ServerUsage;
use server_usage::Watch;

use crate::manifest::{Account, MANIFEST_VERSION, Manifest, RANGES_MAX};
use crate::record::{self, RECORD_FORMAT, RECORD_VERSION, Record};

/// Time to make the first bodies and open the connections, before the clock starts.
const WARM_UP: Duration = Duration::from_millis(100);

/// From one look whether somebody listens to the next.
const REACH_INTERVAL: Duration = Duration::from_millis(50);

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Why there is no report.
#[derive(Debug, Error)]
pub enum RunError {
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The keys make no sense.
    #[error(transparent)]
    Keys(#[from] KeyPickerError),
    /// The records make no sense.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// The file cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Nobody listens.
    #[error("cannot connect to {authority}: {source}: start the server or give another --url")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The process to watch is not there.
    #[error("cannot read /proc/{pid}: {source}: give the process id of the server")]
    ServerPid {
        /// The process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// Bodies could not be made, or a runtime could not be built.
    #[error("load generator: {0}")]
    Io(#[from] io::Error),
    /// The server refuses every other record.
    #[error("the run was ended: its manifest would hold more than {RANGES_MAX} ranges of sequences")]
    TooManyRanges,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Records that the server has.
    pub records: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Requests with a final fate.
    pub requests: u64,
    /// Of them, those that failed.
    pub failed: u64,
    /// Further tries.
    pub retries: u64,
}

/// What a run leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What it measured.
    pub report: Report,
    /// What became of its records.
    pub manifest: Manifest,
    /// The same second by second.
    pub record: Record,
}

impl Outcome {
    /// Whether every request ended with a success.
    pub fn is_success(&self) -> bool {
        self.report.requests.failed == 0
    }
}

/// Does what `plan` says and blocks until it is done, or until `stop` is set and what is in flight has an answer.
/// `observer` is called several times a second.
pub fn run(
    plan: &Plan,
    stop: Arc<AtomicBool>,
    observer: &mut dyn FnMut(Progress),
) -> Result<Outcome, RunError> {
    plan.check()?;
    let head = Arc::new(RequestHead::new(plan)?);
    let producers = producers(plan)?;
    let mut manifest = manifest(plan, &producers);
    reach(plan, &stop)?;
    let watch =
        plan.server_pid.map(|pid| Watch::start(pid).map_err(|source| RunError::ServerPid { pid, source }));
    let watch = watch.transpose()?;
    let scraper = plan.metrics.clone().map(Scraper::start);

    let (feeders, queues) = feed(plan, producers)?;
    let start = clock::monotonic() + WARM_UP;
    let started_at = Utc::now() + TimeDelta::milliseconds(WARM_UP.as_millis() as i64);
    let schedule = match plan.mode {
        Mode::Open { rate } => Some(Schedule::new(rate, plan.batch, plan.connections)),
        Mode::Closed => None,
    };
    let live = Live { stop, ..Live::default() };
    let (duration, retry, idempotent) = (plan.duration, plan.retry, plan.idempotent);
    let shared = Arc::new(Shared { start, schedule, duration, retry, idempotent, live });
    let due: Vec<_> = queues.iter().map(|_| Arc::new(Notify::new())).collect();
    let mut lanes = Vec::with_capacity(queues.len());
    for (index, (queue, due)) in queues.into_iter().zip(&due).enumerate() {
        let accounts =
            manifest.producers.iter().skip(index).step_by(plan.connections as usize).cloned().collect();
        let link = Link::new(Arc::clone(&head));
        lanes.push(Lane { index: index as u32, queue, link, due: Arc::clone(due), accounts });
    }
    let pacer = schedule.map(|schedule| Pacer::start(schedule, start, due));
    let threads = start_threads(plan.threads, lanes, &shared);
    watch_over(&threads, &shared, observer);

    let (mut tally, accounts, end) = join_threads(threads, start)?;
    if let Some(pacer) = pacer {
        pacer.join();
    }
    for feeder in feeders {
        feeder.join()?;
    }
    if shared.live.has_too_many_ranges() {
        return Err(RunError::TooManyRanges);
    }
    manifest.producers = accounts;
    let is_watched = watch.is_some() || scraper.is_some();
    thread::sleep(if is_watched { plan.settle } else { Duration::ZERO });
    let usage = watch.and_then(|watch| watch.finish(tally.counts.payload_bytes, tally.counts.acked, start));
    let (usage, samples) = usage.unzip();
    let metrics = scraper.map(|scraper| scraper.finish(start)).unwrap_or_default();
    let seconds = end.saturating_duration_since(start).as_secs_f64();
    let report = Report::new(plan, &tally, seconds, usage);
    let (interval_seconds, intervals) = timeline::merge(std::mem::take(&mut tally.merged));
    let latency_us = tally.latency.spread();
    let record = Record {
        format: RECORD_FORMAT.to_owned(),
        version: RECORD_VERSION,
        started_at: started_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        report: report.clone(),
        interval_seconds,
        intervals,
        percentiles: record::curve(&latency_us),
        latency_us,
        service_us: tally.service.spread(),
        pacing_us: tally.pacing.spread(),
        server: samples.unwrap_or_default(),
        metrics,
        marks: Vec::new(),
    };
    Ok(Outcome { report, manifest, record })
}

/// All producers in order, each with the records that it may send.
fn producers(plan: &Plan) -> Result<Vec<(Records, u64)>, RunError> {
    let name = |index| producer_name(plan.source.name(), &plan.run_name, index);
    let count = u64::from(plan.producers);
    let share = |index: u32, total: u64| total / count + u64::from(u64::from(index) < total % count);
    match &plan.source {
        Source::Profile(profile) => {
            let keys = Arc::new(KeyPicker::new(plan.keys, plan.zipf)?);
            let settings =
                Settings { profile: *profile, seed: plan.seed, keys, record_bytes: plan.record_bytes };
            let one = |index| {
                let generator = Generator::new(&settings, &name(index))?;
                let may = plan.records.map_or(u64::MAX, |total| share(index, total));
                Ok((Records::Made(Box::new(generator)), may))
            };
            (0..plan.producers).map(one).collect()
        }
        Source::File(path) => {
            let file = Arc::new(ReplayFile::read(path)?);
            let total = plan.records.or(plan.duration.is_none().then_some(file.len()));
            let one = |index: u32| {
                let records = Records::Replayed {
                    file: Arc::clone(&file),
                    producer: name(index),
                    sequence: 0,
                    next: index.into(),
                    step: count,
                };
                (records, total.map_or(u64::MAX, |total| share(index, total)))
            };
            Ok((0..plan.producers).map(one).collect())
        }
    }
}

fn manifest(plan: &Plan, producers: &[(Records, u64)]) -> Manifest {
    let account = |(records, _): &(Records, u64)| Account {
        producer: records.producer().to_owned(),
        ..Account::default()
    };
    Manifest {
        version: MANIFEST_VERSION,
        run: plan.run_name.clone(),
        stream: plan.stream.clone(),
        profile: plan.source.name().to_owned(),
        seed: plan.seed,
        idempotent: plan.idempotent,
        producers: producers.iter().map(account).collect(),
    }
}

/// Says in one message that nobody listens; at once, unless the plan is to try again.
fn reach(plan: &Plan, stop: &AtomicBool) -> Result<(), RunError> {
    let Plan { target, retry, .. } = plan;
    let give_up = clock::monotonic() + retry.unwrap_or_default();
    loop {
        let Err(source) = TcpStream::connect((target.host.as_str(), target.port)) else { return Ok(()) };
        if stop.load(Ordering::Relaxed) || clock::monotonic() + REACH_INTERVAL > give_up {
            return Err(RunError::Connect { authority: target.authority.clone(), source });
        }
        thread::sleep(REACH_INTERVAL);
    }
}

/// Deals the producers to the connections, and the connections to the feeders. The queues are in the order of the
/// connections.
fn feed(plan: &Plan, producers: Vec<(Records, u64)>) -> Result<(Vec<Feeder>, Vec<Queue>), RunError> {
    let connections = plan.connections as usize;
    let mut of_connection: Vec<Vec<_>> = (0..connections).map(|_| Vec::new()).collect();
    for (index, producer) in producers.into_iter().enumerate() {
        of_connection[index % connections].push(producer);
    }
    let count = connections.min(plan.feeders as usize);
    let mut of_feeder: Vec<Vec<BodyMaker>> = (0..count).map(|_| Vec::new()).collect();
    for (index, producers) in of_connection.into_iter().enumerate() {
        of_feeder[index % count].push(BodyMaker::new(producers, plan.batch, plan.compression)?);
    }
    let ahead = bodies::ahead(plan.connections, plan.batch, plan.record_bytes);
    let (feeders, queues): (Vec<_>, Vec<_>) =
        of_feeder.into_iter().map(|makers| Feeder::start(makers, ahead)).unzip();
    let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
    let in_order = (0..connections).filter_map(|index| queues[index % count].next()).collect();
    Ok((feeders, in_order))
}

/// What the connections of a thread leave behind.
struct Seen {
    tally: Tally,
    /// By number of the connection.
    accounts: Vec<(u32, Vec<Account>)>,
    end: Instant,
}

type Worker = JoinHandle<io::Result<Seen>>;

/// Spreads the connections over current-thread runtimes.
fn start_threads(threads: u32, lanes: Vec<Lane>, shared: &Arc<Shared>) -> Vec<Worker> {
    let count = lanes.len().min(threads as usize);
    let mut of_thread: Vec<Vec<Lane>> = (0..count).map(|_| Vec::new()).collect();
    for (index, lane) in lanes.into_iter().enumerate() {
        of_thread[index % count].push(lane);
    }
    let start = |lanes: Vec<Lane>| {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let tally = RefCell::new(Tally::new(shared.start));
            let one = async |lane: Lane| (lane.index, lane.work(&shared, &tally).await);
            let accounts =
                runtime.block_on(lanes.into_iter().map(one).collect::<FuturesUnordered<_>>().collect());
            Ok(Seen { tally: tally.into_inner(), accounts, end: clock::monotonic() })
        })
    };
    of_thread.into_iter().map(start).collect()
}

/// Tells the observer how far it is, until all threads have ended.
fn watch_over(threads: &[Worker], shared: &Shared, observer: &mut dyn FnMut(Progress)) {
    loop {
        let is_over = threads.iter().all(JoinHandle::is_finished);
        let now = clock::monotonic();
        let live = &shared.live;
        observer(Progress {
            elapsed: now.saturating_duration_since(shared.start),
            records: live.records.load(Ordering::Relaxed),
            payload_bytes: live.payload_bytes.load(Ordering::Relaxed),
            requests: live.requests.load(Ordering::Relaxed),
            failed: live.failed.load(Ordering::Relaxed),
            retries: live.retries.load(Ordering::Relaxed),
        });
        if is_over {
            return;
        }
        thread::park_timeout(PROGRESS_INTERVAL);
    }
}

/// Adds up what the threads have seen. The accounts are in the order of the producers; the end is that of the last
/// thread.
fn join_threads(threads: Vec<Worker>, start: Instant) -> Result<(Tally, Vec<Account>, Instant), RunError> {
    let mut tally = Tally::new(start);
    let mut of_lane = Vec::new();
    let mut end = start;
    for thread in threads {
        let panicked = |_| Err(io::Error::other("a client thread panicked"));
        let seen = thread.join().unwrap_or_else(panicked)?;
        tally.merge(seen.tally);
        of_lane.extend(seen.accounts);
        end = end.max(seen.end);
    }
    of_lane.sort_unstable_by_key(|(lane, _)| *lane);
    let mut lanes: Vec<_> = of_lane.into_iter().map(|(_, accounts)| accounts.into_iter()).collect();
    let mut producers = Vec::new();
    loop {
        let before = producers.len();
        producers.extend(lanes.iter_mut().filter_map(Iterator::next));
        if producers.len() == before {
            return Ok((tally, producers, end));
        }
    }
}
