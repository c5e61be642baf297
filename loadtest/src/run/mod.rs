//! `forebay-load run`: feeders make bodies → connections send them when they are due → replies are written down.
//!
//! A producer belongs to one connection, and a connection has one request at a time, so the server gets each
//! producer's records in order. Everything that waits is bounded: bodies by the feeders' queues, replies by the
//! client, ranges by the manifest.

mod account;
mod aws;
mod bodies;
pub mod consume;
mod lane;
mod link;
mod plan;
mod replay;
mod reply;
pub mod report;
mod schedule;
pub mod scrape;
mod server_usage;
pub(crate) mod timeline;
pub mod workload;

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
pub use aws::Credentials;
use bodies::{BodyMaker, Feeder, Queue, Recipe, Records};
use consume::{Consumers, Stamps, TapError};
use lane::{Lane, Live, Shared};
pub use link::HeadError;
pub use link::connect::{TlsError, Trust};
use link::{Link, RequestHead};
pub use plan::{CONNECTIONS_MAX, Compression, Mode, PRODUCERS_MAX, Plan, PlanError, Source, Target};
use replay::ReplayFile;
pub use replay::{REPLAY_BYTES_MAX, ReplayError};
use report::Report;
use schedule::{Pacer, Schedule};
use scrape::Scraper;
pub use server_usage::ServerUsage;
use server_usage::Watch;
use workload::Class;

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
    /// No request can be made.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Readers of the stream cannot come in.
    #[error(transparent)]
    Tap(#[from] TapError),
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
    /// Whether every request ended with a success, and every reader got every record once and in order.
    pub fn is_success(&self) -> bool {
        let taps = self.report.taps.as_ref();
        self.report.requests.failed == 0 && taps.is_none_or(report::TapReport::is_right)
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
    let parts = Parts::new(plan)?;
    let producers = producers(plan, &parts)?;
    let mut manifest = manifest(plan, &producers);
    reach(plan, &stop)?;
    let followed = plan.followed_pid.clone();
    let pid = followed.as_ref().map(|pid| pid.load(Ordering::Acquire)).or(plan.server_pid);
    let watch = pid.map(|pid| {
        let watch = match followed {
            Some(followed) => Watch::follow(pid, Some(followed)),
            None => Watch::start(pid),
        };
        watch.map_err(|source| RunError::ServerPid { pid, source })
    });
    let watch = watch.transpose()?;
    let scraper = plan.metrics.clone().map(Scraper::start);

    let stamps = (plan.taps > 0).then(|| Arc::new(Stamps::new(clock::monotonic(), manifest.producers.len())));
    let consumers =
        stamps.as_ref().map(|stamps| Consumers::start(plan, &manifest.producers, stamps)).transpose()?;
    let (feeders, queues) = feed(plan, &parts, producers)?;
    let start = clock::monotonic() + WARM_UP;
    let started_at = Utc::now() + TimeDelta::milliseconds(WARM_UP.as_millis() as i64);
    let live = Live { stop, ..Live::default() };
    let (duration, retry, idempotent) = (plan.duration, plan.retry, plan.idempotent);
    let shared = Arc::new(Shared {
        start,
        duration,
        retry,
        idempotent,
        connections: plan.connections as usize,
        stamps,
        live,
    });
    let due: Vec<_> = queues.iter().map(|_| Arc::new(Notify::new())).collect();
    let mut lanes = Vec::with_capacity(queues.len());
    let mut places = vec![0; parts.classes.len()];
    for (index, (queue, due)) in queues.into_iter().zip(&due).enumerate() {
        let accounts =
            manifest.producers.iter().skip(index).step_by(plan.connections as usize).cloned().collect();
        let class = parts.of_connection[index];
        let link = Link::new(Arc::clone(&parts.heads[class]));
        let place = places[class];
        places[class] += 1;
        let (index, schedule, due) = (index as u32, parts.schedule(plan, class), Arc::clone(due));
        lanes.push(Lane { index, class, place, schedule, queue, link, due, accounts });
    }
    let mut pacers = Vec::new();
    for class in 0..parts.classes.len() {
        let of_class = due.iter().zip(&parts.of_connection).filter(|(_, of)| **of == class);
        let of_class = of_class.map(|(due, _)| Arc::clone(due)).collect();
        let schedule = parts.schedule(plan, class);
        pacers.extend(schedule.map(|schedule| Pacer::start(schedule, start, of_class)));
    }
    let threads = start_threads(plan.threads, parts.classes.len(), lanes, &shared);
    watch_over(&threads, &shared, observer);

    let (mut tally, accounts, end) = join_threads(threads, start, parts.classes.len())?;
    for pacer in pacers {
        pacer.join();
    }
    for feeder in feeders {
        feeder.join()?;
    }
    if shared.live.has_too_many_ranges() {
        return Err(RunError::TooManyRanges);
    }
    let taps = consumers.map(|consumers| consumers.finish(&accounts)).transpose()?;
    manifest.producers = accounts;
    let is_watched = watch.is_some() || scraper.is_some();
    thread::sleep(if is_watched { plan.settle } else { Duration::ZERO });
    let usage = watch.and_then(|watch| watch.finish(tally.counts.payload_bytes, tally.counts.acked, start));
    let (usage, samples) = usage.unzip();
    let metrics = scraper.map(|scraper| scraper.finish(start)).unwrap_or_default();
    let seconds = end.saturating_duration_since(start).as_secs_f64();
    let report = Report { taps, ..Report::new(plan, &tally, seconds, usage) };
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

/// The parts of the load.
struct Parts {
    classes: Vec<Class>,
    heads: Vec<Arc<RequestHead>>,
    /// The part that each connection is of.
    of_connection: Vec<usize>,
}

impl Parts {
    fn new(plan: &Plan) -> Result<Self, HeadError> {
        let classes = plan.classes();
        let heads = classes.iter().map(|class| RequestHead::new(plan, class).map(Arc::new));
        let heads = heads.collect::<Result<_, _>>()?;
        let of_connection = workload::deal(&classes, plan.connections as usize);
        Ok(Self { classes, heads, of_connection })
    }

    /// When requests of a part are due.
    fn schedule(&self, plan: &Plan, class: usize) -> Option<Schedule> {
        let Mode::Open { rate } = plan.mode else { return None };
        let whole: f64 = self.classes.iter().map(|class| class.weight).sum();
        let connections = self.of_connection.iter().filter(|of| **of == class).count() as u32;
        let Class { weight, batch, .. } = self.classes[class];
        Some(Schedule::new(rate * weight / whole, batch.mean(), connections))
    }
}

/// All producers in order, each with the records that it may send.
fn producers(plan: &Plan, parts: &Parts) -> Result<Vec<(Records, u64)>, RunError> {
    let name = |index| producer_name(plan.source.name(), &plan.run_name, index);
    let count = u64::from(plan.producers);
    let share = |index: u32, total: u64| total / count + u64::from(u64::from(index) < total % count);
    match &plan.source {
        Source::Profile(profile) => {
            let keys = Arc::new(KeyPicker::new(plan.keys, plan.zipf)?);
            let one = |index: u32| {
                let class = parts.of_connection[(index % plan.connections) as usize];
                let size = parts.classes[class].record_bytes.draw(plan.seed ^ u64::from(index));
                let (keys, record_bytes) = (Arc::clone(&keys), size as usize);
                let settings = Settings { profile: *profile, seed: plan.seed, keys, record_bytes };
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
fn feed(
    plan: &Plan,
    parts: &Parts,
    producers: Vec<(Records, u64)>,
) -> Result<(Vec<Feeder>, Vec<Queue>), RunError> {
    let connections = plan.connections as usize;
    let mut of_connection: Vec<Vec<_>> = (0..connections).map(|_| Vec::new()).collect();
    for (index, producer) in producers.into_iter().enumerate() {
        of_connection[index % connections].push(producer);
    }
    let count = connections.min(plan.feeders as usize);
    let mut of_feeder: Vec<Vec<BodyMaker>> = (0..count).map(|_| Vec::new()).collect();
    for (index, producers) in of_connection.into_iter().enumerate() {
        let class = parts.of_connection[index];
        let recipe = Recipe {
            head: Arc::clone(&parts.heads[class]),
            stream: plan.stream.clone(),
            prefix: plan.target.prefix.clone(),
            authority: plan.target.authority.clone(),
            credentials: plan.credentials.clone(),
            batch: parts.classes[class].batch,
            compression: plan.compression,
            idempotent: plan.idempotent,
            seed: plan.seed,
        };
        of_feeder[index % count].push(BodyMaker::new(producers, recipe)?);
    }
    let batch = parts.classes.iter().map(|class| class.batch.high).max().unwrap_or(1);
    let record_bytes = parts.classes.iter().map(|class| class.record_bytes.high).max().unwrap_or(0);
    let ahead = bodies::ahead(plan.connections, batch, record_bytes);
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
fn start_threads(threads: u32, classes: usize, lanes: Vec<Lane>, shared: &Arc<Shared>) -> Vec<Worker> {
    let count = lanes.len().min(threads as usize);
    let mut of_thread: Vec<Vec<Lane>> = (0..count).map(|_| Vec::new()).collect();
    for (index, lane) in lanes.into_iter().enumerate() {
        of_thread[index % count].push(lane);
    }
    let start = |lanes: Vec<Lane>| {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let tally = RefCell::new(Tally::new(shared.start, classes));
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
fn join_threads(
    threads: Vec<Worker>,
    start: Instant,
    classes: usize,
) -> Result<(Tally, Vec<Account>, Instant), RunError> {
    let mut tally = Tally::new(start, classes);
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
