//! The loop of one delivery: read, encode, seal, write down, upload, wait.

mod beginning;
mod book;
mod learn;
mod outflows;
mod read;
mod redo;
mod shards;
mod stage;
mod stopping;
mod trouble;
mod upload_tasks;
mod uploads;

pub(super) use self::read::gaps;
pub(super) use self::trouble::Trouble;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::book::Book;
use self::learn::Learning;
use self::outflows::Outflows;
use self::read::{Place, Round};
use self::redo::Undone;
use self::stage::Stage;
pub use self::stopping::{Ended, Positions};
use self::upload_tasks::UploadTasks;
use super::files::Files;
use super::pause::Pause;
use super::seal::{SealReason, Sealed};
use super::settled::Settled;
use super::status::Status;
use super::{Memory, Stop};
use crate::config::limits::{DELIVERY_LINGER_MS, DELIVERY_PRESSURE_PERCENT};
use crate::runtime::budget::Budget;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::turns::Turn;
use crate::stream::{Layout, ReaderId, Signal, Stream, Waiter};

/// How long a delivery that may not encode (no memory, or all uploads busy) waits until it looks again.
const BLOCKED_PAUSE: Duration = Duration::from_millis(50);

/// One delivery.
pub struct Worker {
    stream: Arc<Stream>,
    /// Its shards when [`Worker::places`] was last brought in step with them.
    layout: Arc<Layout>,
    reader: ReaderId,
    signal: Arc<Signal>,
    status: Arc<Status>,
    memory: Arc<Memory>,
    budget: Arc<Budget>,
    /// Where to read on, shard by shard.
    places: Vec<Place>,
    /// The place to begin the next round with.
    turn: usize,
    /// On the core that it shares with others.
    core_turn: Turn,
    /// The configurations that there are records of, the current one first. Never empty.
    stages: VecDeque<Stage>,
    files: Files,
    /// What earlier processes have settled beyond the cursor, until everything of it is read again.
    settled: Option<Settled>,
    /// Closed and waiting for a free upload.
    queue: VecDeque<Sealed>,
    uploads: UploadTasks,
    /// Large files, which are sent while they are filled.
    outflows: Outflows,
    /// Arrival of the oldest record of each closed file that is not stored yet, by seal number.
    unstored: BTreeMap<u64, UnixMicros>,
    /// The ledger; a stream that does not outlive the process needs none.
    book: Option<Book>,
    /// What an earlier process has closed and not stored.
    undone: Vec<Undone>,
    /// There if columns are learned.
    learning: Option<Learning>,
    /// Set when something went wrong that only a restart can mend: nothing more is read.
    halted: Option<Pause>,
}

impl Worker {
    /// Works until the drain is over, or it is told to stop and nothing of it is under way any more.
    async fn work(&mut self, phases: &Phases, stop: &Stop) {
        self.redo(phases).await;
        loop {
            // Before the look at the phase and at the stream, so that nothing that comes after it is missed.
            let signal = Arc::clone(&self.signal);
            let waiter = signal.wait();
            let (draining, told) = (phases.current() >= Phase::Draining, stop.is_told());
            if told && self.book.is_some() {
                return self.come_to_rest().await;
            }
            let ending = draining || told;
            self.follow_shards();
            if let Some(learning) = self.learning.as_mut().filter(|_| ending) {
                learning.hurry();
            }
            // Without a ledger nobody else knows what was read, so all of that is stored first.
            let read = if told { Round::CaughtUp } else { self.read_round().await };
            let is_idle = matches!(read, Round::CaughtUp | Round::Waiting);
            self.seal_what_is_due(ending && is_idle);
            if !is_idle && self.is_short() {
                // Only a delivery that has work calls, so that those that sleep do not wake each other for ever.
                self.memory.call_for_seals();
            }
            let has_learned = self.learn(ending, phases).await;
            let has_turned = self.finish_stage().await || has_learned;
            self.tend(ending).await;
            // By what has ended meanwhile.
            let has_turned = self.mend(phases).await || has_turned || self.may_finish_stage();
            self.publish();
            // Behind a configuration that is read to its end there is another one.
            let is_last = told || !has_turned && !self.is_stage_read();
            if ending && read == Round::CaughtUp && is_last && self.is_done() {
                return;
            }
            match read {
                _ if has_turned => tokio::task::yield_now().await,
                Round::MoreToRead => tokio::task::yield_now().await,
                // By what was written down meanwhile.
                Round::Blocked if !self.is_blocked() => tokio::task::yield_now().await,
                Round::Blocked | Round::Waiting => self.pause(BLOCKED_PAUSE).await,
                Round::CaughtUp => self.sleep(waiter, (draining, told), (phases, stop)).await,
            }
        }
    }

    /// Waits until there may be something to do.
    async fn sleep(
        &mut self,
        waiter: Waiter<'_>,
        (draining, told): (bool, bool),
        (phases, stop): (&Phases, &Stop),
    ) {
        let due = self.next_due();
        let memory = Arc::clone(&self.memory);
        tokio::select! {
            () = waiter.woken(), if !told => {
                if !draining {
                    tokio::time::sleep(Duration::from_millis(DELIVERY_LINGER_MS)).await;
                }
            }
            () = self.pause(due) => {}
            () = memory.pressure.notified() => {}
            () = phases.reached(Phase::Draining), if !draining => {}
            () = stop.turned(told) => {}
        }
    }

    /// Whether everything that was read is stored, and written down where that is done. Of a delivery that has stopped,
    /// everything that can be: what it has given up waits in the ledger for the next start.
    fn is_done(&self) -> bool {
        let is_written = self.book.as_ref().is_none_or(Book::is_written);
        let is_stored = match self.halted {
            None => self.unstored.is_empty(),
            Some(_) => self.queue.is_empty() && self.uploads.is_empty() && !self.outflows.has_sealed(),
        };
        self.files.is_empty() && is_stored && is_written
    }

    /// Waits for an upload to end, or for `time`.
    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            Some(ended) = self.uploads.next(), if !self.uploads.is_empty() => self.ended(ended),
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Whether open files should be closed before they are full.
    fn is_short(&self) -> bool {
        self.budget.is_taken_to(DELIVERY_PRESSURE_PERCENT)
    }

    /// Whether nothing more may be encoded for now.
    fn is_blocked(&self) -> bool {
        self.budget.is_taken_to(100)
            || self.uploads_are_full()
            || self.learning.as_ref().is_some_and(Learning::is_waiting)
            || self.book.as_ref().is_some_and(|book| book.is_full(self.files.ranges_len()))
    }

    /// Reads nothing more: only a restart helps. What is closed is still stored, and with a ledger nothing is lost.
    fn halt(&mut self, why: &str) {
        let mut pause = Pause::none(&self.status);
        let why = match &self.book {
            Some(_) => format!("{why}; restart to try again from the log"),
            None => format!("{why}; restart to go on without it"),
        };
        if self.halted.is_none() {
            tracing::error!(stream = %self.stream.name(), delivery = self.status.name(), why, "delivery has stopped");
        }
        pause.begin(&why);
        self.halted = Some(pause);
        if let Some(book) = &mut self.book {
            book.freeze();
        }
    }

    /// Closes files that are old enough, the largest ones while memory is short, the oldest one while the ledger is
    /// long, and all of them at the end.
    fn seal_what_is_due(&mut self, all: bool) {
        if all {
            self.seal_all(SealReason::Shutdown);
        }
        if !self.files.is_empty() {
            for key in self.files.due(clock::monotonic()) {
                self.seal(&key, SealReason::Age);
            }
        }
        // Uploads give memory back as well: closing one file a round is enough, and keeps files large.
        let is_quiet = self.uploads.is_empty() && self.queue.is_empty();
        if is_quiet
            && self.is_short()
            && let Some(key) = self.files.largest()
        {
            self.seal(&key, SealReason::Pressure);
        }
        if is_quiet
            && self.book.as_ref().is_some_and(|book| book.is_long(self.files.ranges_len()))
            && let Some(key) = self.files.oldest()
        {
            self.seal(&key, SealReason::Pressure);
        }
    }

    fn seal_all(&mut self, reason: SealReason) {
        for key in self.files.keys() {
            self.seal(&key, reason);
        }
    }

    fn seal(&mut self, key: &[u8], reason: SealReason) {
        let Some(stage) = self.stages.front_mut() else { return };
        let sealed = stage.intake.seal(&mut self.files, key, reason);
        self.close(sealed);
    }

    /// Sends closed files on their way: by the ledger if there is one.
    fn close(&mut self, closed: impl IntoIterator<Item = Sealed>) {
        for sealed in closed {
            self.unstored.insert(sealed.seal.number, sealed.seal.oldest);
            match &mut self.book {
                Some(book) => book.close(sealed),
                None => self.dispatch(sealed),
            }
        }
        let dropped = self.stages.front_mut().map(|stage| stage.intake.take_dropped());
        dropped.unwrap_or_default().into_iter().for_each(|number| self.give_up(number));
        let broken = self.stages.front().and_then(|stage| stage.intake.broken()).map(str::to_owned);
        if let Some(why) = broken.filter(|_| self.halted.is_none()) {
            self.halt(&format!("an encoder has failed ({why})"));
        }
    }

    /// Goes over to the next configuration once everything of the current one is read, and written down as closed.
    /// Returns whether it has.
    async fn finish_stage(&mut self) -> bool {
        if !self.is_stage_read() {
            return false;
        }
        self.seal_all(SealReason::Epoch);
        self.write_book().await;
        if !self.may_finish_stage() {
            return false;
        }
        self.stages.pop_front();
        if let Some(stage) = self.stages.front() {
            let epoch = stage.intake.epoch();
            tracing::info!(stream = %self.stream.name(), delivery = self.status.name(), epoch, "another configuration begins");
        }
        true
    }

    fn is_stage_read(&self) -> bool {
        let Some(stage) = self.stages.front().filter(|_| self.stages.len() > 1) else { return false };
        self.halted.is_none() && self.places.iter().all(|place| place.next >= stage.end(place.shard))
    }

    /// Whether nothing of the current configuration is left to do here. A large file that the sink loses is made again
    /// by the configuration that it is of, so that one is waited for.
    fn may_finish_stage(&self) -> bool {
        let has_closed = self.book.as_ref().is_some_and(Book::has_closed);
        self.is_stage_read() && self.files.is_empty() && !has_closed && self.outflows.is_empty()
    }

    fn next_due(&self) -> Duration {
        let now = Instant::from_std(clock::monotonic());
        let far = now + Duration::from_secs(3600);
        let due = |due| Instant::from_std(due).min(far);
        let trouble = self.book.as_ref().and_then(Book::retries_at).map_or(far, Instant::from_std);
        self.files.first_due().map_or(far, due).min(trouble).saturating_duration_since(now)
    }

    fn publish(&self) {
        let unstored = self.unstored.values().copied();
        self.status.set_oldest_held(unstored.chain(self.files.oldest_record()).min());
        self.status.metrics.open_partitions.set(self.files.len() as f64);
    }
}

#[cfg(test)]
mod tests;
