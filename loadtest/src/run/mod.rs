//! `forebay-load run`: feeders make bodies → connections send them when they are due → replies are written down.
//!
//! A producer belongs to one connection and has one request at a time under way, so the server gets each producer's
//! records in order. Everything that waits is bounded: bodies by the feeders' queues, replies by the
//! client, ranges by the manifest.

mod account;
mod aws;
mod bodies;
pub mod consume;
mod deal;
mod file_part;
mod lane;
mod link;
mod plan;
mod replay;
mod reply;
pub mod report;
mod schedule;
pub mod scrape;
mod server_usage;
mod threads;
pub(crate) mod timeline;
pub mod workload;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use forebay::runtime::clock;
use forebay::testkit::generators::{GeneratorError, KeyPickerError};
use thiserror::Error;

pub use aws::Credentials;
use consume::{Consumers, Stamps, TapError};
use deal::{Parts, feed, lanes, manifest, producers};
pub use file_part::FilePart;
use lane::{Live, Shared};
pub use link::HeadError;
pub use link::connect::{TlsError, Trust};
pub use plan::{CONNECTIONS_MAX, Compression, Mode, PRODUCERS_MAX, Plan, PlanError, Source, Target};
pub use replay::{REPLAY_BYTES_MAX, ReplayError};
use report::Report;
use scrape::Scraper;
pub use server_usage::{ServerUsage, Watch};
use threads::{join_threads, start_threads, watch_over};

use crate::manifest::{Manifest, RANGES_MAX};
use crate::record::{self, RECORD_FORMAT, RECORD_VERSION, Record};

/// Time to make the first bodies and open the connections, before the clock starts.
const WARM_UP: Duration = Duration::from_millis(100);

/// From one look whether somebody listens to the next.
const REACH_INTERVAL: Duration = Duration::from_millis(50);

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
    /// Somebody listens, but it is nobody to send the load to.
    #[error("cannot speak TLS with {authority}: {source}: look at --url, or say whom to trust with --ca")]
    Handshake {
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
    let watch = watch(plan)?;
    let scraper = plan.metrics.clone().map(Scraper::start);

    let stamps = (plan.taps > 0).then(|| Arc::new(Stamps::new(clock::monotonic(), manifest.producers.len())));
    let consumers =
        stamps.as_ref().map(|stamps| Consumers::start(plan, &manifest.producers, stamps)).transpose()?;
    let (feeders, queues) = feed(plan, &parts, producers)?;
    let Beginning { start, started_at, late } = beginning(plan);
    consumers.iter().for_each(|consumers| consumers.begin(start));
    let shared = Arc::new(Shared {
        start,
        duration: plan.duration,
        retry: plan.retry,
        idempotent: plan.idempotent,
        lanes: plan.lanes(),
        stamps,
        live: Live { stop, ..Live::default() },
    });
    let (lanes, pacers) = lanes(plan, &parts, &manifest, queues, start);
    let classes = parts.classes.len();
    let threads = start_threads(plan.threads, plan.pipeline as usize, classes, lanes, &shared);
    watch_over(&threads, &shared, observer);

    // Whoever has a thread joins it when it is dropped: an error leaves none behind.
    let (mut tally, accounts, end) = join_threads(threads, start, classes)?;
    drop(pacers);
    for feeder in feeders {
        feeder.join()?;
    }
    if shared.live.has_too_many_ranges() {
        return Err(RunError::TooManyRanges);
    }
    let seen = consumers.map(|consumers| consumers.finish(&accounts)).transpose()?;
    let (taps, tap_times) = seen.unzip();
    manifest.producers = accounts;
    let is_watched = watch.is_some() || scraper.is_some();
    thread::sleep(if is_watched { plan.settle } else { Duration::ZERO });
    let usage = watch.and_then(|watch| watch.finish(tally.counts.payload_bytes, tally.counts.acked, start));
    let (usage, samples) = usage.unzip();
    let metrics = scraper.map(|scraper| scraper.finish(start)).unwrap_or_default();
    let seconds = end.saturating_duration_since(start).as_secs_f64();
    let late_seconds = late.as_secs_f64();
    let report = Report { taps, late_seconds, ..Report::new(plan, &tally, seconds, usage) };
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
        taps: tap_times.unwrap_or_default(),
        server: samples.unwrap_or_default(),
        metrics,
        marks: Vec::new(),
    };
    Ok(Outcome { report, manifest, record })
}

/// Begins to watch the server's process, if the plan names one.
pub fn watch(plan: &Plan) -> Result<Option<Watch>, RunError> {
    let followed = plan.followed_pid.clone();
    let pid = followed.as_ref().map(|pid| pid.load(Ordering::Acquire)).or(plan.server_pid);
    let watch = pid.map(|pid| {
        let watch = match followed {
            Some(followed) => Watch::follow(pid, Some(followed)),
            None => Watch::start(pid),
        };
        watch.map_err(|source| RunError::ServerPid { pid, source })
    });
    watch.transpose()
}

/// When the load begins.
struct Beginning {
    start: Instant,
    started_at: DateTime<Utc>,
    /// How much later than the plan says.
    late: Duration,
}

/// When the plan says, or as soon as the first bodies may be there.
fn beginning(plan: &Plan) -> Beginning {
    let (now, at) = (clock::monotonic(), Utc::now());
    let started_at = plan.start_at.unwrap_or(at).max(at + WARM_UP);
    let late = plan.start_at.and_then(|asked| (started_at - asked).to_std().ok()).unwrap_or_default();
    Beginning { start: now + (started_at - at).to_std().unwrap_or(WARM_UP), started_at, late }
}

/// Says in one message that nobody listens, or nobody who is trusted; at once, unless the plan is to try again.
pub fn reach(plan: &Plan, stop: &AtomicBool) -> Result<(), RunError> {
    let Plan { target, retry, .. } = plan;
    let give_up = clock::monotonic() + retry.unwrap_or_default();
    let authority = || target.authority.clone();
    loop {
        let error = match TcpStream::connect((target.host.as_str(), target.port)) {
            Err(source) => RunError::Connect { authority: authority(), source },
            Ok(_) => match link::connect::shake_hands(plan, stop)? {
                Ok(()) => return Ok(()),
                // A certificate does not get better.
                Err(source) if source.kind() == io::ErrorKind::InvalidData => {
                    return Err(RunError::Handshake { authority: authority(), source });
                }
                Err(source) => RunError::Handshake { authority: authority(), source },
            },
        };
        if stop.load(Ordering::Relaxed) || clock::monotonic() + REACH_INTERVAL > give_up {
            return Err(error);
        }
        thread::sleep(REACH_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_later_than_asked_says_so() {
        let at = |start_at| beginning(&Plan { start_at, ..Plan::default() });
        assert_eq!(at(None).late, Duration::ZERO);
        let soon = Utc::now() + Duration::from_secs(3_600);
        let beginning = at(Some(soon));
        assert_eq!((beginning.started_at, beginning.late), (soon, Duration::ZERO));
        let asked = Utc::now() - Duration::from_secs(5);
        let late = at(Some(asked));
        assert!(late.late >= Duration::from_secs(5) && late.started_at - asked == chrono_of(late.late));
    }

    fn chrono_of(duration: Duration) -> chrono::TimeDelta {
        chrono::TimeDelta::from_std(duration).unwrap()
    }
}
