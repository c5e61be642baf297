//! The loop of one fan-out: read, send, commit, wait.

mod committing;
mod connecting;
mod reading;
mod recovering;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::Parts;
use super::held::{Held, Stage};
use super::message::Writer;
use super::producer::{Failed, Pace, Producer};
use super::topics::Topics;
use super::transaction::Transaction;
use crate::config::limits::{FAN_OUT_BATCH_BYTES, FAN_OUT_LETTER_BYTES, FAN_OUT_LINGER};
use crate::delivery::Stop;
use crate::delivery::pause::Pause;
use crate::delivery::worker::{Positions, Trouble};
use crate::kafka::{Connection, Fault};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Permit;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Layout, Waiter};

/// How long to wait for memory, or for a log that cannot be read.
const BLOCKED_PAUSE: Duration = Duration::from_millis(50);

/// What a step has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be more.
    MoreToRead,
    /// No shard has anything left.
    CaughtUp,
    /// Some shards cannot be read for now, and the others have nothing left.
    Waiting,
}

/// Where a shard is read on.
#[derive(Debug)]
struct Place {
    shard: ShardId,
    /// The first record that is not sent.
    next: SequenceNumber,
    /// The first record that is not delivered.
    committed: SequenceNumber,
    /// The oldest record that the log had when the balance began.
    found: SequenceNumber,
    /// Why it cannot be read.
    trouble: Option<Box<Trouble>>,
}

/// Records that are sent message by message, because some of them, or a batch, was refused.
#[derive(Debug)]
struct Careful {
    until: BTreeMap<ShardId, SequenceNumber>,
    has_refused: bool,
}

/// How the work has ended.
#[derive(Debug)]
pub struct Ended {
    /// Everything below these is delivered.
    pub positions: Positions,
    /// Set if it is because somebody else has taken its place: see [`WhenFenced::End`].
    pub fenced: Option<Fault>,
}

/// One fan-out.
pub struct Worker {
    parts: Arc<Parts>,
    connection: Arc<Connection>,
    layout: Arc<Layout>,
    /// Empty until the positions are known.
    places: Vec<Place>,
    /// The place to begin the next round with.
    turn: usize,
    /// Where the logs ended before the edge took anything.
    ends: BTreeMap<ShardId, SequenceNumber>,
    /// Whether positions were read.
    has_begun: bool,
    /// Which transaction was committed last.
    committed: u64,
    producer: Option<Producer>,
    /// Pays for `producer`.
    client: Option<Permit>,
    pace: Pace,
    /// Whether the client is to be made anew, with another pace.
    is_outpaced: bool,
    topics: Topics,
    writer: Writer,
    open: Option<Transaction>,
    /// Whether `open` is being given up.
    is_aborting: bool,
    /// One of which it is not known whether it was committed.
    unresolved: Option<Transaction>,
    careful: Option<Careful>,
    /// Records that a broker has refused.
    refused: HashMap<(ShardId, SequenceNumber), RDKafkaErrorCode>,
    /// Whether the topics that are ours are there.
    has_progress_topic: bool,
    has_dead_topic: bool,
    /// Bytes of a part of a dead letter.
    letter_bytes: usize,
    held: Held,
    /// When it was fenced last.
    fenced: Option<Instant>,
    /// Set when something went wrong that only a restart can mend: nothing more is sent.
    halted: Option<Pause>,
    /// How somebody else has taken its place, if that ends it.
    deposed: Option<Fault>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("identity", &self.parts.identity).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that goes on where the cluster says, or begins where it is told. Asks nobody yet: a cluster that is
    /// away does not keep the process from starting. To be called before the stream takes records.
    pub fn new(parts: &Arc<Parts>) -> Self {
        let purpose = format!("fan-out {}/{}", parts.stream.name(), parts.config.name);
        let layout = parts.stream.layout();
        let ends = layout.shards().iter().map(|shard| (shard.facts.id, shard.log_ref().end())).collect();
        Self {
            connection: Connection::new(parts.config.sink.cluster.clone(), purpose),
            layout,
            places: Vec::new(),
            turn: 0,
            ends,
            has_begun: false,
            committed: 0,
            producer: None,
            client: None,
            pace: Pace { batch_bytes: FAN_OUT_BATCH_BYTES, one_by_one: false },
            is_outpaced: false,
            topics: Topics::new(parts.config.sink.topics_max),
            writer: Writer::new(parts.stream.name(), &parts.config),
            open: None,
            is_aborting: false,
            unresolved: None,
            careful: None,
            refused: HashMap::new(),
            has_progress_topic: false,
            has_dead_topic: false,
            letter_bytes: FAN_OUT_LETTER_BYTES,
            held: Held::none(&parts.status),
            fenced: None,
            halted: None,
            deposed: None,
            scratch: Vec::new(),
            parts: Arc::clone(parts),
        }
    }

    /// Its name in the cluster.
    pub fn identity(&self) -> &Arc<str> {
        &self.parts.identity
    }

    /// Works until the drain is over: returns once everything that was accepted is committed. Whoever cannot wait that
    /// long drops the future; what was not committed then shows as pending in the status, and is delivered after the
    /// next start.
    ///
    /// If it is told to stop it returns once what is under way is committed, or given up: the cluster knows which.
    pub async fn run(mut self, phases: Phases, stop: Stop) -> Ended {
        tokio::select! {
            () = self.work(&phases, &stop) => {}
            () = stop.overdue(true) => {}
        }
        self.disconnect().await;
        let positions = self.places.iter().map(|place| (place.shard, place.committed)).collect();
        Ended { positions, fenced: self.deposed.take() }
    }

    async fn work(&mut self, phases: &Phases, stop: &Stop) {
        loop {
            // Before the look at the phase and at the stream, so that nothing that comes after it is missed.
            let signal = self.parts.stream.delivery_signal();
            let waiter = signal.wait();
            let (draining, told) = (phases.current() >= Phase::Draining, stop.is_told());
            if self.deposed.is_some() {
                return;
            }
            if told {
                return self.come_to_rest().await;
            }
            if self.halted.is_some() {
                if draining {
                    return;
                }
                tokio::select! {
                    () = phases.reached(Phase::Draining) => {}
                    () = stop.turned(told) => {}
                }
                continue;
            }
            if let Some(until) = self.held.until() {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = stop.turned(told) => {}
                }
                continue;
            }
            let began = clock::monotonic();
            match self.step(draining).await {
                Ok(Round::CaughtUp) if draining && self.open.is_none() => return,
                Ok(Round::MoreToRead) => tokio::task::yield_now().await,
                Ok(Round::Waiting) => self.pause(BLOCKED_PAUSE).await,
                Ok(Round::CaughtUp) => self.sleep(waiter, draining, (phases, stop)).await,
                Err(failed) => self.recover(failed, began).await,
            }
            self.publish();
        }
    }

    /// One look at everything that there is to do.
    async fn step(&mut self, draining: bool) -> Result<Round, Failed> {
        if self.is_aborting {
            self.abort().await?;
        }
        if self.is_outpaced && self.open.is_none() {
            self.disconnect().await;
        }
        if self.producer.is_none() {
            self.connect().await?;
            self.held.passed(Stage::Connecting);
        }
        if self.is_due() {
            self.commit().await?;
        }
        self.follow_shards();
        let round = self.read_round().await?;
        if self.is_due() || draining && round == Round::CaughtUp {
            self.commit().await?;
        }
        Ok(round)
    }

    /// Whether what is open is to be committed now.
    fn is_due(&self) -> bool {
        let sink = &self.parts.config.sink;
        self.open.as_ref().is_some_and(|open| {
            open.is_closed()
                || self.is_outpaced
                || self.is_full()
                || clock::monotonic().saturating_duration_since(open.begun) >= sink.transaction_interval
        })
    }

    /// Whether nothing more may be added to what is open.
    fn is_full(&self) -> bool {
        let bytes_max = self.parts.config.sink.transaction_bytes;
        let is_short = self.parts.budget.is_taken_to(100);
        self.is_outpaced || self.open.as_ref().is_some_and(|open| open.bytes >= bytes_max || is_short)
    }

    /// Waits until there may be something to do.
    async fn sleep(&self, waiter: Waiter<'_>, draining: bool, (phases, stop): (&Phases, &Stop)) {
        tokio::select! {
            () = waiter.woken() => tokio::time::sleep(FAN_OUT_LINGER).await,
            () = self.commit_is_due() => {}
            () = phases.reached(Phase::Draining), if !draining => {}
            () = stop.turned(false) => {}
        }
    }

    async fn commit_is_due(&self) {
        match &self.open {
            Some(open) => {
                let due = open.begun + self.parts.config.sink.transaction_interval;
                tokio::time::sleep_until(due.into()).await;
            }
            None => std::future::pending().await,
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Commits what is under way, if that works at once.
    async fn come_to_rest(&mut self) {
        if self.open.is_some() && !self.is_aborting && self.halted.is_none() && self.producer.is_some() {
            // What fails here is sent again by whoever follows.
            if let Err(Failed { fault, .. }) = self.commit().await {
                tracing::info!(stream = %self.parts.stream.name(), delivery = self.parts.config.name, error = %fault,
                    "what was under way is sent again");
            }
        }
        self.publish();
    }

    /// Lets go of the client, with what it has not committed.
    async fn disconnect(&mut self) {
        self.is_outpaced = false;
        self.is_aborting = false;
        if self.open.take().is_some() {
            self.parts.metrics.aborted.increment(1);
        }
        if let Some(producer) = self.producer.take() {
            producer.close().await;
        }
        self.client = None;
        self.rewind();
    }

    /// Reads on behind what is delivered.
    fn rewind(&mut self) {
        self.places.iter_mut().for_each(|place| place.next = place.committed);
        self.open = None;
        self.is_aborting = false;
    }

    fn publish(&self) {
        let open = self.open.as_ref();
        self.parts.status.set_oldest_held(open.and_then(|open| open.oldest));
        self.parts.metrics.in_flight.set(open.map_or(0, Transaction::messages) as f64);
        self.parts.metrics.topics.set(self.topics.len() as f64);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Closing waits for threads; a worker that is broken off must not keep one of the runtime.
        if let (Some(producer), Ok(runtime)) = (self.producer.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(producer)));
        }
    }
}
