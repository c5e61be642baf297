//! Learned columns: going over to a version that has room for what does not fit.
//!
//! ```text
//! record that does not fit ─▶ wait a little ─▶ look ahead in all shards ─▶ version, durable ─▶ next configuration
//! ```
//!
//! The version takes over where reading stands, as any other configuration does ([`super::stage`]): what is open is
//! closed under the one before, and the ledger has the boundary before any file beyond it. A crash between the two
//! leaves a version that no file has, which the next process begins with.
//!
//! A producer that keeps inventing fields must not make a file of each. So a delivery lets records gather before it
//! looks, twice as long with each version that follows soon ([`VERSION_WAIT`]), and looks twice as far ahead
//! ([`LOOK_AHEAD_BYTES`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Worker;
use super::read::Place;
use super::stage::{Stage, leave_ancestors};
use super::trouble::Trouble;
use crate::config::limits::{
    DELIVERY_READ_BYTES, FIRST_VERSION_WAIT, LOOK_AHEAD_BYTES, LOOK_AHEAD_BYTES_MAX, VERSION_WAIT,
};
use crate::delivery::intake;
use crate::delivery::status::Status;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::schema::inference::Learner;
use crate::schema::registry::{Added, Registry, Version};
use crate::stream::Payer;

/// Bytes of a shard that are looked at in any case, however many shards there are.
const SHARD_LOOK_BYTES_MIN: u64 = 64 << 10;

/// What a delivery with learned columns has besides.
pub struct Learning {
    registry: Arc<Registry>,
    /// The record that does not fit. Nothing is read while there is one.
    want: Option<(ShardId, SequenceNumber)>,
    pace: Pace,
    trouble: Trouble,
}

/// A look at the records that come next.
pub(super) struct Look<'a> {
    /// What is shown to whom.
    pub learner: Learner,
    /// Payload bytes that are looked at while nobody wants the process to end.
    pub bytes_max: u64,
    /// Whether somebody does.
    pub phases: &'a Phases,
}

impl Look<'_> {
    /// Payload bytes that are looked at as things stand: a drain does not wait for more than the shortest look, which
    /// has the record that is to fit in it.
    fn bytes_now(&self) -> u64 {
        let is_draining = self.phases.current() >= Phase::Draining;
        if is_draining { self.bytes_max.min(LOOK_AHEAD_BYTES) } else { self.bytes_max }
    }
}

/// How fast versions may follow each other.
#[derive(Debug)]
struct Pace {
    /// The longest wait.
    interval: Duration,
    /// When the version was wanted first.
    asked: Option<Instant>,
    /// When it may be made.
    due: Option<Instant>,
    /// When the last one was made.
    last: Option<Instant>,
    /// How many have followed each other soon.
    level: u32,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, asked: None, due: None, last: None, level: 0 }
    }

    fn wait(&self, is_first: bool) -> Duration {
        let wait = VERSION_WAIT.saturating_mul(1 << self.level.min(20));
        let wait = if is_first { FIRST_VERSION_WAIT } else { wait };
        wait.min(self.interval)
    }

    /// Whether a version may be made now; otherwise it has to be asked again when it is due.
    fn is_due(&mut self, now: Instant, is_first: bool) -> bool {
        let asked = *self.asked.get_or_insert(now);
        let due = asked + self.wait(is_first);
        self.due = Some(due).filter(|&due| due > now);
        self.due.is_none()
    }

    fn look_ahead_bytes(&self) -> u64 {
        LOOK_AHEAD_BYTES.saturating_mul(1 << self.level.min(20)).min(LOOK_AHEAD_BYTES_MAX)
    }

    fn made(&mut self, now: Instant) {
        let soon = |last: Instant| now.saturating_duration_since(last) < self.interval.saturating_mul(2);
        self.level = if self.last.is_some_and(soon) { self.level.saturating_add(1) } else { 0 };
        (self.last, self.asked, self.due) = (Some(now), None, None);
    }
}

impl Learning {
    /// Nothing is wanted yet.
    pub fn new(registry: &Arc<Registry>, interval: Duration, status: &Arc<Status>) -> Self {
        let (registry, trouble) = (Arc::clone(registry), Trouble::none(status));
        Self { registry, want: None, pace: Pace::new(interval), trouble }
    }

    /// Notes a record that does not fit.
    pub fn want(&mut self, shard: ShardId, number: SequenceNumber) {
        self.want = Some((shard, number));
    }

    /// Whether there is one.
    pub fn is_wanted(&self) -> bool {
        self.want.is_some()
    }

    /// Whether nothing may be read until some time has passed.
    pub fn is_waiting(&self) -> bool {
        let now = clock::monotonic();
        self.pace.due.is_some_and(|due| due > now) || self.trouble.until().is_some()
    }

    /// Waits no more: the process is to end.
    pub fn hurry(&mut self) {
        self.pace.due = None;
    }
}

impl Worker {
    /// Adds the configuration that has room for the record that did not fit. Returns whether there is one now.
    pub(super) async fn learn(&mut self, draining: bool, phases: &Phases) -> bool {
        let (Some(learning), Some(stage)) = (&mut self.learning, self.stages.front()) else { return false };
        let Some(at) = learning.want.take().filter(|_| self.halted.is_none()) else { return false };
        let (Some(known), 1) = (stage.intake.version(), self.stages.len()) else { return false };
        let registry = Arc::clone(&learning.registry);
        let mut latest = registry.latest();
        if latest.number <= known {
            if !draining && !learning.pace.is_due(clock::monotonic(), latest.number == 0) {
                return false;
            }
            let bytes = learning.pace.look_ahead_bytes();
            let mut look = Look { learner: registry.learner(&latest.columns), bytes_max: bytes, phases };
            let learner = match self.look_ahead(&mut look, at).await.map(|()| look.learner) {
                Ok(learner) => learner,
                Err(why) => {
                    // Without the record nothing can be said of it, least of all that it is a dead letter.
                    let trouble = self.learning.as_mut().map(|learning| &mut learning.trouble);
                    trouble.into_iter().for_each(|trouble| trouble.failed("the log cannot be read", &why));
                    return false;
                }
            };
            match self.add_version(&latest, learner, at).await {
                Some(version) => latest = version,
                None => return false,
            }
        }
        let Some(learning) = &mut self.learning else { return false };
        // Whoever was faster may have mended what did not work here.
        learning.trouble.passed();
        learning.pace.made(clock::monotonic());
        if latest.number > known {
            self.go_over(&latest);
            return true;
        }
        if let Some(stage) = self.stages.front_mut() {
            stage.intake.leave_dead(at);
        }
        false
    }

    /// Looks at the records that come next, those of the shard of `at` first.
    ///
    /// # Errors
    /// If the one at `at` cannot be read now. What cannot be read of the others is met later.
    async fn look_ahead(&mut self, look: &mut Look<'_>, at: (ShardId, SequenceNumber)) -> Result<(), String> {
        let bytes_max = look.bytes_max;
        let count = self.places.len();
        let start = self.places.iter().position(|place| place.shard == at.0).unwrap_or_default();
        let share = (bytes_max / count.max(1) as u64).max(SHARD_LOOK_BYTES_MIN);
        let mut seen = 0;
        for step in 0..count {
            let place = self.places.get((start + step) % count).map(|place| (place.shard, place.next));
            let Some(place) = place.filter(|_| seen < look.bytes_now()) else { break };
            let own = if step == 0 { share.max(bytes_max / 2) } else { share };
            let (looked, ended) = self.look_into(place, (seen, own), look).await;
            if let (0, 0, Err(why)) = (step, looked, ended) {
                return Err(why);
            }
            seen += looked;
        }
        Ok(())
    }

    /// The same at up to `own` bytes of one shard after `seen` of others; returns payload bytes, 0 if nothing could be
    /// read, and why no more could be.
    pub(super) async fn look_into(
        &mut self,
        (shard, mut from): (ShardId, SequenceNumber),
        (seen, own): (u64, u64),
        look: &mut Look<'_>,
    ) -> (u64, Result<(), String>) {
        let Some(fields) = self.stages.front().map(Stage::fields) else { return (0, Ok(())) };
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: true };
        let left =
            |look: &Look<'_>, bytes| own.min(look.bytes_now().saturating_sub(seen)).saturating_sub(bytes);
        let mut bytes = 0;
        while left(look, bytes) > 0 {
            let has_more = self.stream.shard(shard).is_some_and(|log| log.bounds().next > from);
            if !has_more {
                break;
            }
            let chunk = left(look, bytes).min(DELIVERY_READ_BYTES);
            let read = Stage::read(fields.clone(), &self.stream, (shard, from), chunk, &payer).await;
            let read = match read {
                Ok(read) if read.next > from => read,
                Ok(_) => return (bytes, Err(format!("it has records behind {from}, but gives none"))),
                Err(error) => return (bytes, Err(error.to_string())),
            };
            for slice in &read.slices {
                // What has been read is not looked at to its end where a drain begins meanwhile.
                if bytes > 0 && left(look, bytes) == 0 {
                    break;
                }
                for record in intake::records(shard, slice, 0..slice.len()) {
                    if let Some(payload) = record.valid_text() {
                        bytes += payload.len() as u64;
                        // What is refused here is a dead letter when its turn comes.
                        let _ = look.learner.take(payload);
                    }
                }
            }
            from = read.next;
            bytes += 1;
            tokio::task::yield_now().await;
        }
        (bytes, Ok(()))
    }

    /// Has the registry keep what was learned. Nothing if it cannot, for now.
    async fn add_version(
        &mut self,
        base: &Arc<Version>,
        learner: Learner,
        at: (ShardId, SequenceNumber),
    ) -> Option<Arc<Version>> {
        let learning = self.learning.as_mut()?;
        let (registry, base) = (Arc::clone(&learning.registry), base.number);
        let add = move || registry.add(base, &learner, Some(at), clock::wall());
        let added = tokio::task::spawn_blocking(add).await;
        match added.map_err(|error| error.to_string()).and_then(|added| added) {
            Ok(Added { version, is_new }) => {
                // Of all deliveries that want a version one makes it, and tells of it.
                if is_new {
                    let changes = version.changes.len() + version.changes_left_out;
                    tracing::info!(
                        stream = %self.stream.name(), delivery = self.status.name(), version = version.number,
                        changes, shard = %at.0, sequence_number = %at.1, "the columns of the stream have grown"
                    );
                }
                Some(version)
            }
            Err(error) => {
                learning.trouble.failed("a new version of the columns cannot be kept", &error);
                None
            }
        }
    }

    /// Makes `version` the next configuration, from where reading stands.
    fn go_over(&mut self, version: &Version) {
        let Some(stage) = self.stages.front_mut() else { return };
        let begin = |place: &Place| (place.shard, place.next.max(stage.intake.floor(place.shard)));
        let mut from: BTreeMap<ShardId, SequenceNumber> = self.places.iter().map(begin).collect();
        leave_ancestors(&self.layout, &mut from);
        let (next, epoch) = stage.followed_by(&version.columns, from);
        if let Some(book) = &mut self.book {
            book.begin_epoch(epoch);
        }
        self.stages.push_back(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_follow_each_other_wait_longer_up_to_the_interval() {
        let interval = Duration::from_secs(2);
        let (mut pace, mut now) = (Pace::new(interval), Instant::now());
        let mut waits = Vec::new();
        for index in 0..8 {
            assert!(!pace.is_due(now, index == 0));
            let wait = pace.wait(index == 0);
            now += wait;
            assert!(pace.is_due(now, index == 0));
            pace.made(now);
            waits.push(wait.as_millis());
        }
        assert_eq!(waits, [1_000, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(pace.look_ahead_bytes(), LOOK_AHEAD_BYTES_MAX);
        now += interval * 3;
        pace.is_due(now, false);
        pace.made(now);
        assert_eq!((pace.wait(false), pace.look_ahead_bytes()), (VERSION_WAIT, LOOK_AHEAD_BYTES));
    }
}
