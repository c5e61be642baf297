//! Taps as consumers: readers of the stream, in the same process as the load, that say how long a record takes from
//! being sent to being read, and whether anything is doubled, out of order or missing.
//!
//! A record does not carry when it was sent, because bodies are made ahead. The connection that sends it writes the
//! time into a ring of its producer, and the reader looks it up.

mod reader;
mod stamps;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use thiserror::Error;
use tokio::sync::watch;

use super::HeadError;
use super::account::{Counts, Times};
use super::link::connect::Dialer;
use super::plan::Plan;
use super::report::{Percentiles, TapReport};
use super::timeline::Timeline;
use crate::manifest::Account;
use crate::record::TapTimes;
use reader::{Reader, Seen, Source};
pub(super) use stamps::Stamps;

/// Readers of a run. They share a thread.
pub const TAPS_MAX: u32 = 1_000;

/// For how long readers may take to open.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// Readers that get nothing for so long after the load get nothing more.
const QUIET: Duration = Duration::from_secs(3);

/// Readers that have every acked record go on for so long, to see what comes again behind the last of them.
const BEHIND: Duration = Duration::from_millis(100);

/// How readers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapKind {
    /// Server-sent events.
    Events,
    /// Pages of a WebSocket.
    WebSocket,
}

/// Why there are no readers.
#[derive(Debug, Error)]
pub enum TapError {
    /// A reader was refused, or nobody answered.
    #[error("a tap cannot be opened: {0}")]
    Open(String),
    /// A thread could not be started or has panicked.
    #[error("taps: {0}")]
    Io(#[from] io::Error),
}

/// What the readers' thread has to say: what each has seen, and all of them second by second.
type Read = io::Result<(Vec<Seen>, Seconds)>;

/// Readers under way. They are told to end, and waited for, when this is dropped.
pub(super) struct Consumers {
    /// Nothing once it was joined.
    thread: Option<JoinHandle<Read>>,
    state: Arc<State>,
    kind: TapKind,
    behind: Duration,
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.state.ended.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What readers and the run tell each other.
#[derive(Debug, Default)]
struct State {
    /// Whether readers are to end.
    ended: watch::Sender<bool>,
    open: AtomicU64,
    /// Distinct records that all readers together have seen.
    distinct: AtomicU64,
    refused: std::sync::Mutex<Option<String>>,
    /// When the load began.
    start: OnceLock<Instant>,
}

/// What all readers together see second by second.
#[derive(Debug, Default)]
struct Seconds {
    timeline: Option<Timeline>,
    /// Each record is a request of it.
    counts: Counts,
}

impl Seconds {
    /// Counts a record that was read at `now`, `age` after it was sent.
    fn count(&mut self, start: Instant, now: Instant, age: Option<Duration>) {
        let timeline = self.timeline.get_or_insert_with(|| Timeline::new(start));
        timeline.tick(now, &self.counts);
        self.counts.requests += 1;
        if let Some(age) = age {
            timeline.latency(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn finish(self) -> TapTimes {
        TapTimes::of(self.timeline.into_iter().map(|timeline| timeline.finish(&self.counts)).collect())
    }
}

impl Consumers {
    /// Opens all readers at the end of the stream; returns when every one of them is there.
    pub(super) fn start(
        plan: &Plan,
        producers: &[Account],
        stamps: &Arc<Stamps>,
    ) -> Result<Self, super::RunError> {
        let dialer = Dialer::new(&plan.target, &plan.trust, b"http/1.1").map_err(HeadError::from)?;
        let source = Arc::new(Source {
            dialer,
            authority: plan.target.authority.clone(),
            path: format!("{}/v1/streams/{}/records", plan.target.prefix, plan.stream),
            is_tls: plan.target.is_tls,
            authorization: plan.authorization.clone(),
            producers: producers
                .iter()
                .enumerate()
                .map(|(at, account)| (account.producer.clone(), at))
                .collect(),
            stamps: Arc::clone(stamps),
            kind: plan.tap_kind,
        });
        let state = Arc::new(State::default());
        let (count, told) = (plan.taps, Arc::clone(&state));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let seconds = Rc::<RefCell<Seconds>>::default();
            let one = |_| Reader::new(Arc::clone(&source), Arc::clone(&told), Rc::clone(&seconds)).work();
            let seen = runtime.block_on(futures_util::future::join_all((0..count).map(one)));
            Ok((seen, seconds.take()))
        });
        let consumers = Self { thread: Some(thread), state, kind: plan.tap_kind, behind: BEHIND };
        let give_up = clock::monotonic() + OPEN_MAX;
        while consumers.state.open.load(Ordering::Acquire) < u64::from(count) {
            let refused =
                consumers.state.refused.lock().map(|mut refused| refused.take()).unwrap_or_default();
            if refused.is_some() || clock::monotonic() > give_up {
                let reason = refused.unwrap_or_else(|| "no answer in 10 s".to_owned());
                return Err(TapError::Open(reason).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(consumers)
    }

    /// Says when the load begins; before, nothing of it can be read.
    pub(super) fn begin(&self, start: Instant) {
        // Nobody else sets it.
        let _ = self.state.start.set(start);
    }

    /// Waits until the readers have what was acked, or get nothing more, and says what they have seen.
    pub(super) fn finish(mut self, accounts: &[Account]) -> Result<(TapReport, TapTimes), TapError> {
        let acked: u64 = accounts.iter().map(|account| account.acked.count()).sum();
        let readers = self.state.open.load(Ordering::Acquire);
        let (mut before, mut since) = (0, clock::monotonic());
        // Records of which no reply told may come, too: then only silence says that all are there.
        let is_exact =
            accounts.iter().all(|account| account.unknown.is_empty() && account.uncertain.is_empty());
        loop {
            let distinct = self.state.distinct.load(Ordering::Acquire);
            if distinct != before {
                (before, since) = (distinct, clock::monotonic());
            }
            let is_complete = is_exact && distinct >= acked * readers;
            if since.elapsed() > if is_complete { self.behind } else { QUIET } {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.state.ended.send_replace(true);
        let panicked = || Err(io::Error::other("the thread of the taps panicked"));
        let joined = self.thread.take().and_then(|thread| thread.join().ok());
        let (seen, seconds) = joined.unwrap_or_else(panicked)?;
        Ok((report(self.kind, seen, accounts), seconds.finish()))
    }
}

fn report(kind: TapKind, seen: Vec<Seen>, accounts: &[Account]) -> TapReport {
    let kind = match kind {
        TapKind::Events => "server-sent events",
        TapKind::WebSocket => "websocket",
    };
    let mut times = Times::new();
    let mut report = TapReport { kind: kind.to_owned(), readers: seen.len() as u64, ..TapReport::default() };
    for seen in seen {
        times.add(&seen.times);
        report.records += seen.records;
        report.duplicated += seen.duplicated;
        report.reordered += seen.reordered;
        report.skipped += seen.skipped;
        report.foreign += seen.foreign;
        report.reconnects += seen.reconnects;
        for (account, bitmap) in accounts.iter().zip(&seen.bitmaps) {
            let missing = |(first, last)| last - first + 1 - bitmap.count(first, last);
            report.missing += account.acked.iter().map(missing).sum::<u64>();
        }
    }
    report.latency_ms = Percentiles::of(&times);
    report.latency_us = times.spread();
    report
}

#[cfg(test)]
mod tests;
