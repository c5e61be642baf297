//! All live readers of a node.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::feed::Feed;
use super::feed::Format;
use super::named::live::{AnyReader, LiveWorker};
use super::named::reader::WorkerReader;
use super::query::{Live, Reads};
use super::reader::Reader;
use crate::edge::Intake;
use crate::edge::problem::Problem;
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::runtime::phases::Phases;
use crate::runtime::tasks::Tasks;
use crate::stream::{Payer, Stream};
use crate::telemetry::metrics::TapMetrics;

/// The longest time between two signs of life to a reader.
const HEARTBEAT_MAX: Duration = Duration::from_secs(15);
/// The part of the time after which a silent connection is closed, so that a quiet stream's readers keep theirs.
const HEARTBEAT_DIVISOR: u32 = 3;

type Feeds = HashMap<Arc<str>, Arc<Feed>, foldhash::fast::RandomState>;

/// See the module.
#[derive(Debug)]
pub struct Taps {
    /// By stream, as long as somebody reads it live.
    feeds: Mutex<Feeds>,
    pumps: Tasks,
    phases: Phases,
    budget: Arc<Budget>,
    idle_timeout: Duration,
    /// Of readers of server-sent events.
    pub events: TapMetrics,
    /// Of WebSockets.
    pub websockets: TapMetrics,
    /// Of readers by SubscribeToShard.
    pub subscriptions: TapMetrics,
}

impl Taps {
    /// Nobody reads yet. `budget` pays for what readers are sent; `idle_timeout` is when a connection on which nothing
    /// moves is closed.
    pub fn new(
        budget: Arc<Budget>,
        idle_timeout: Duration,
        phases: Phases,
        [events, websockets, subscriptions]: [TapMetrics; 3],
    ) -> Arc<Self> {
        let feeds = Mutex::default();
        let pumps = Tasks::new();
        Arc::new(Self { feeds, pumps, phases, budget, idle_timeout, events, websockets, subscriptions })
    }

    /// Time between two signs of life.
    pub fn heartbeat(&self) -> Duration {
        (self.idle_timeout / HEARTBEAT_DIVISOR).min(HEARTBEAT_MAX)
    }

    /// How long a reader may take nothing.
    pub fn slow_after(&self) -> Duration {
        self.idle_timeout
    }

    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        // Nothing under the lock leaves the map half-changed.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader of `stream`. Has to be called on a runtime: it may start the stream's pump.
    pub fn reader(self: &Arc<Self>, stream: &Arc<Stream>, live: Live, format: Format) -> Reader {
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: false };
        Reader::new(self.subscribe(stream), live, format, payer)
    }

    /// The same for whoever reads.
    ///
    /// # Errors
    /// If there is no such named cursor.
    pub async fn any_reader(
        self: &Arc<Self>,
        intake: &Intake,
        reads: Reads,
        format: Format,
    ) -> Result<AnyReader, Problem> {
        let worker = match reads {
            Reads::Live(live) => {
                return Ok(AnyReader::Own(Box::new(self.reader(&intake.stream, live, format))));
            }
            Reads::Worker(worker) => worker,
        };
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: false };
        let reader = WorkerReader::new(&intake.stream, worker.ask(&intake.cursors).await?, payer.clone());
        let paying = (payer, self.phases.clone());
        let worker = LiveWorker::new(reader, self.subscribe(&intake.stream), format, paying);
        Ok(AnyReader::Worker(Box::new(worker)))
    }

    /// Who tells of new records of `stream`, shard by shard. Has to be called on a runtime, as [`Taps::reader`].
    pub fn subscribe(self: &Arc<Self>, stream: &Arc<Stream>) -> Subscription {
        let mut feeds = self.feeds();
        // A stream that was deleted and made again under its name is another one.
        let known = feeds
            .get(stream.name())
            .filter(|feed| Arc::ptr_eq(&feed.stream, stream) && feed.ended().is_none());
        let feed = match known {
            Some(feed) => Arc::clone(feed),
            None => {
                let feed = Arc::new(Feed::new(Arc::clone(stream)));
                feeds.insert(Arc::clone(stream.name()), Arc::clone(&feed));
                let (taps, left) = (Arc::clone(self), Arc::clone(&feed));
                let (pump, phases) = (Arc::clone(&feed), self.phases.clone());
                self.pumps.spawn(async move {
                    pump.pump(phases, || taps.leave(&left)).await;
                    // Also where readers are left, who have been told.
                    taps.forget(&left);
                });
                feed
            }
        };
        feed.readers.fetch_add(1, Ordering::SeqCst);
        Subscription { feed }
    }

    /// Forgets a feed that nobody reads. False if somebody does after all.
    fn leave(&self, feed: &Arc<Feed>) -> bool {
        let mut feeds = self.feeds();
        if feed.readers.load(Ordering::SeqCst) > 0 {
            return false;
        }
        remove(&mut feeds, feed);
        true
    }

    /// Forgets a feed that has ended.
    fn forget(&self, feed: &Arc<Feed>) {
        remove(&mut self.feeds(), feed);
    }
}

/// Takes a feed out, unless another one has its place.
fn remove(feeds: &mut Feeds, feed: &Arc<Feed>) {
    if feeds.get(feed.stream.name()).is_some_and(|known| Arc::ptr_eq(known, feed)) {
        feeds.remove(feed.stream.name());
    }
}

/// A reader's part in a feed.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
}

impl Subscription {
    /// The feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.feed.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.feed.deserted.notify_one();
        }
    }
}

/// One open tap in the metrics, and whether its client takes what it is sent.
#[derive(Debug)]
pub struct OpenTap {
    metrics: TapMetrics,
    slow_after: Duration,
    waiting_since: Option<Instant>,
}

impl OpenTap {
    /// Counts it. After `slow_after` without taking anything its client is slow.
    pub fn new(metrics: &TapMetrics, slow_after: Duration) -> Self {
        metrics.open.increment(1.0);
        Self { metrics: metrics.clone(), slow_after, waiting_since: None }
    }

    /// Something waits to be taken by the client.
    pub fn waits(&mut self) {
        self.waiting_since = Some(clock::monotonic());
    }

    /// The client has taken `bytes` with `records`.
    pub fn sent(&mut self, bytes: usize, records: u64) {
        self.waiting_since = None;
        self.metrics.bytes.increment(bytes as u64);
        self.metrics.records.increment(records);
    }

    /// The client was too slow.
    pub fn is_slow(&mut self) {
        self.metrics.slow.increment(1);
        self.waiting_since = None;
    }
}

impl Drop for OpenTap {
    fn drop(&mut self) {
        self.metrics.open.decrement(1.0);
        // The connection was closed for it, see `Body::streamed`; what it took last may have been a little later.
        if self.waiting_since.is_some_and(|since| since.elapsed() * 2 >= self.slow_after) {
            self.metrics.slow.increment(1);
        }
    }
}
