//! Up to where each shard is done, and which worker has which shard: a state machine that is told the time.
//!
//! ```text
//! free ──given──▶ leased ──too many──▶ handed over: it gets no more of it ──all that it got is done──▶ free
//!   ▲               │                                    │
//!   └───────────────┴── the worker leaves, or the lease is over and another one wants it
//! ```
//!
//! A shard is leased only once all of its ancestors are done to their ends, and to one worker at a time. Whatever a
//! worker asks for renews its leases. One whose leases are over keeps the shards that nobody has taken meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balance::{Changes, balance};
use super::kept::Kept;
use crate::config::limits::CURSOR_WORKERS_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::ShardFacts;
use crate::tap::cursor::Cursor;

/// See the module.
#[derive(Debug, Clone)]
pub struct Leases {
    /// How long a worker keeps its shards without a sign of life.
    pub(super) length: Duration,
    /// How much longer that is because signs of life may have been given to others.
    pub(super) grace: Duration,
    pub(super) shards: BTreeMap<ShardId, LeasedShard>,
    /// When each worker that is alive is taken for dead.
    pub(super) workers: BTreeMap<Arc<str>, Instant>,
    /// Records of shards that are gone that nobody has read, until they are told.
    unread: u64,
    /// When shards are to be spread anew, if nothing happens that asks for it before: nobody's time is over until then.
    balance_at: Option<Instant>,
}

/// A shard of the stream.
#[derive(Debug, Clone)]
pub(super) struct LeasedShard {
    pub facts: ShardFacts,
    /// Everything before it is done.
    pub done: SequenceNumber,
    pub hold: Option<Hold>,
}

/// A lease, which may be over without anybody having taken the shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub worker: Arc<str>,
    pub until: Instant,
    /// The worker has been sent no record from here on.
    pub sent: SequenceNumber,
    /// It is sent no more, so that another worker can have the shard.
    pub is_leaving: bool,
}

impl LeasedShard {
    /// Whether no record of it will ever have to be read.
    pub fn is_finished(&self) -> bool {
        self.facts.end.is_some_and(|end| self.done >= end)
    }

    /// Whether its worker is to hand it over, and has nothing of it that is not done.
    pub fn is_handed_over(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.is_leaving && hold.sent <= self.done)
    }
}

/// A shard that a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub shard: ShardId,
    /// Everything before it is done.
    pub done: SequenceNumber,
    /// Under this lease the worker has been sent no record from here on that is not done.
    pub sent: SequenceNumber,
    /// Whether the worker is to be sent no more of it.
    pub is_leaving: bool,
}

/// Consecutive records of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The shard.
    pub shard: ShardId,
    /// The first of them.
    pub from: SequenceNumber,
    /// Behind the last of them.
    pub next: SequenceNumber,
}

/// What is to be seen of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardState {
    /// Its id.
    pub shard: ShardId,
    /// Everything before it is done.
    pub done: SequenceNumber,
    /// Who has it, until when, and whether it is to hand it over.
    pub held: Option<(Arc<str>, Instant, bool)>,
}

/// What becomes of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Shards that it moves forward, and where to.
    pub forward: Vec<(ShardId, SequenceNumber)>,
    /// Shards that it would move forward, but that the worker does not have, or has not been sent as far.
    pub lost: Vec<ShardId>,
}

/// There are [`CURSOR_WORKERS_MAX`] workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWorkers;

impl Leases {
    /// Nobody has anything; everything before `position` is done.
    pub fn new<'a>(
        length: Duration,
        shards: impl IntoIterator<Item = &'a ShardFacts>,
        position: impl Fn(ShardId) -> Option<SequenceNumber>,
    ) -> Self {
        let shard = |facts: &ShardFacts| {
            let done = position(facts.id).unwrap_or(facts.first);
            (facts.id, LeasedShard { facts: *facts, done, hold: None })
        };
        let shards = shards.into_iter().map(shard).collect();
        let (workers, grace) = (BTreeMap::new(), Duration::ZERO);
        Self { length, grace, shards, workers, unread: 0, balance_at: None }
    }

    /// What was kept, after a restart: whoever had shards has them for one lease from now on. `ends` tells the number
    /// behind the last record of a shard.
    pub fn restore<'a>(
        kept: &Kept,
        shards: impl IntoIterator<Item = &'a ShardFacts>,
        ends: impl Fn(ShardId) -> Option<SequenceNumber>,
        now: Instant,
    ) -> Self {
        // A log without fsync may have lost its end with the power: numbers from there on are given again.
        let end = |id| ends(id).unwrap_or(SequenceNumber(u64::MAX));
        let done = |id| Some(kept.next.position(id)?.min(end(id)));
        let mut leases = Self::new(kept.lease, shards, done);
        let until = now + kept.lease;
        for (worker, held) in &kept.held {
            leases.workers.insert(Arc::clone(worker), until);
            for id in held {
                let Some(shard) = leases.shards.get_mut(id) else { continue };
                // What it was sent before is not known: it cannot have been more than there is.
                let (worker, sent) = (Arc::clone(worker), end(*id));
                shard.hold = Some(Hold { worker, until, sent, is_leaving: false });
            }
        }
        leases
    }

    /// What is to be kept, once `forward` has moved.
    pub fn kept(&self, forward: &[(ShardId, SequenceNumber)]) -> Kept {
        let mut next = self.done();
        for &(shard, position) in forward {
            next.move_to(shard, position.max(next.position(shard).unwrap_or_default()));
        }
        let mut held: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, shard) in &self.shards {
            if let Some(hold) = &shard.hold {
                held.entry(Arc::clone(&hold.worker)).or_default().push(*id);
            }
        }
        Kept { lease: self.length, next, held }
    }

    /// The checkpoint.
    pub fn done(&self) -> Cursor {
        Cursor { positions: self.shards.iter().map(|(id, shard)| (*id, shard.done)).collect() }
    }

    /// How long a worker keeps its shards without a sign of life.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The same, from the next sign of life on.
    pub fn set_length(&mut self, length: Duration) {
        self.length = length;
    }

    /// Takes the shards of a layout in place of its own. Those that are gone cannot be read any more.
    pub fn follow<'a>(&mut self, shards: impl IntoIterator<Item = &'a ShardFacts>) {
        let mut before = std::mem::take(&mut self.shards);
        for facts in shards {
            let shard = match before.remove(&facts.id) {
                Some(shard) => LeasedShard { facts: *facts, ..shard },
                None => LeasedShard { facts: *facts, done: facts.first, hold: None },
            };
            self.shards.insert(facts.id, shard);
        }
        self.balance_at = None;
        let unread = |gone: &LeasedShard| Some(gone.facts.end?.0.saturating_sub(gone.done.0));
        self.unread += before.values().filter_map(unread).sum::<u64>();
    }

    /// Records that were gone before anybody could read them; they are told once.
    pub fn take_unread(&mut self) -> u64 {
        std::mem::take(&mut self.unread)
    }

    /// A worker asks for records: it takes part, and keeps what it has.
    ///
    /// # Errors
    /// If there are too many.
    pub fn join(&mut self, worker: &Arc<str>, now: Instant) -> Result<Changes, TooManyWorkers> {
        if !self.workers.contains_key(worker) && self.workers.len() >= CURSOR_WORKERS_MAX {
            self.workers.retain(|_, until| *until > now);
            if self.workers.len() >= CURSOR_WORKERS_MAX {
                return Err(TooManyWorkers);
            }
        }
        self.renew(worker, now);
        Ok(self.settle(now))
    }

    /// Spreads the shards anew, unless nothing has happened that could change who has which.
    fn settle(&mut self, now: Instant) -> Changes {
        if !self.is_unsettled(now) {
            return Changes::default();
        }
        let changes = balance(self, now);
        let holds = self.shards.values().filter_map(|shard| shard.hold.as_ref()).map(|hold| hold.until);
        // A lease that is over and that nobody wants is nothing to look at again: who comes for it is a new worker, or
        // is given something else back.
        let ends = holds.filter(|until| *until > now).chain(self.workers.values().copied());
        self.balance_at = ends.min();
        changes
    }

    /// Whether a worker that asks makes shards be spread anew: because one is new or has left, a shard is new, is done
    /// or was handed over, or somebody's time is over.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        self.balance_at.is_none_or(|at| at <= now)
    }

    /// A worker that has shards, or takes part, gives a sign of life.
    pub fn live_on(&mut self, worker: &Arc<str>, now: Instant) -> Changes {
        let has_some = || self.shards.values().any(|shard| shard.is_held_by(worker));
        if self.workers.contains_key(worker) || has_some() {
            self.renew(worker, now);
        }
        self.settle(now)
    }

    fn renew(&mut self, worker: &Arc<str>, now: Instant) {
        let until = now + self.length + self.grace;
        let is_known = self.workers.insert(Arc::clone(worker), until).is_some();
        // Leases may have become shorter.
        self.balance_at = self.balance_at.filter(|_| is_known).map(|at| at.min(until));
        for hold in self.shards.values_mut().filter_map(|shard| shard.hold.as_mut()) {
            // What it is to hand over it has until then at the longest.
            if hold.worker == *worker && !hold.is_leaving {
                hold.until = until;
            }
        }
    }

    /// A worker gives everything back. True if it had anything.
    pub fn leave(&mut self, worker: &str, now: Instant) -> (bool, Changes) {
        if self.workers.remove(worker).is_some() {
            self.balance_at = None;
        }
        let mut had_some = false;
        for shard in self.shards.values_mut().filter(|shard| shard.is_held_by(worker)) {
            shard.hold = None;
            (had_some, self.balance_at) = (true, None);
        }
        (had_some, self.settle(now))
    }

    /// What a worker has.
    pub fn held(&self, worker: &str) -> Vec<Held> {
        let held = self.shards.iter().filter_map(|(&id, shard)| {
            let hold = shard.hold.as_ref().filter(|hold| *hold.worker == *worker)?;
            let (done, is_leaving) = (shard.done, hold.is_leaving);
            Some(Held { shard: id, done, sent: hold.sent.max(done), is_leaving })
        });
        held.collect()
    }

    /// Whether a worker may be sent `records`; notes then that it was. To be asked before they go out, because the shards
    /// may have changed hands while they were read: then it may have all of a shard's only from the checkpoint on, so
    /// that its word that they are done passes over nothing.
    pub fn grant(&mut self, worker: &str, records: &[Stretch]) -> bool {
        let may_have = |records: &Stretch| {
            let shard = self.shards.get(&records.shard);
            let hold = shard.and_then(|shard| Some((shard.done, shard.hold.as_ref()?)));
            hold.is_some_and(|(done, hold)| {
                *hold.worker == *worker && !hold.is_leaving && records.from <= hold.sent.max(done)
            })
        };
        if !records.iter().all(may_have) {
            return false;
        }
        for records in records {
            let shard = self.shards.get_mut(&records.shard);
            if let Some(hold) = shard.and_then(|shard| shard.hold.as_mut()) {
                hold.sent = hold.sent.max(records.next);
            }
        }
        true
    }

    /// What becomes of a worker's word that everything before `next` is done. Shards that are gone are done.
    pub fn check(&self, worker: &str, next: &Cursor) -> Checked {
        let mut checked = Checked::default();
        for &(id, position) in &next.positions {
            let Some(shard) = self.shards.get(&id).filter(|shard| shard.done < position) else { continue };
            let hold = shard.hold.as_ref().filter(|hold| *hold.worker == *worker && position <= hold.sent);
            match hold {
                Some(_) => checked.forward.push((id, position)),
                None => checked.lost.push(id),
            }
        }
        checked
    }

    /// Moves on to what [`Leases::check`] has allowed.
    pub fn apply(&mut self, forward: &[(ShardId, SequenceNumber)]) {
        for (id, position) in forward {
            let Some(shard) = self.shards.get_mut(id) else { continue };
            shard.done = shard.done.max(*position);
            if shard.is_finished() || shard.is_handed_over() {
                self.balance_at = None;
            }
        }
    }

    /// Goes on at other positions, forward or back. Everybody's leases are over; workers get shards when one asks, so
    /// that nobody is kept to have been sent anything since.
    pub fn reset(&mut self, position: impl Fn(ShardId) -> Option<SequenceNumber>) {
        self.balance_at = None;
        for (id, shard) in &mut self.shards {
            shard.done = position(*id).unwrap_or(shard.done);
            shard.hold = None;
        }
    }

    /// Whether some worker's lease is not over.
    pub fn is_leased(&self, now: Instant) -> bool {
        self.shards.values().any(|shard| shard.hold.as_ref().is_some_and(|hold| hold.until > now))
    }

    /// When the next lease is over, so that whoever waits for shards may look again.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let holds = self.shards.values().filter_map(|shard| shard.hold.as_ref()).map(|hold| hold.until);
        holds.filter(|until| *until > now).min()
    }

    /// Every shard.
    pub fn states(&self, now: Instant) -> Vec<ShardState> {
        let held = |hold: &Hold| (Arc::clone(&hold.worker), hold.until, hold.is_leaving);
        let state = |(&id, shard): (&ShardId, &LeasedShard)| ShardState {
            shard: id,
            done: shard.done,
            held: shard.hold.as_ref().filter(|hold| hold.until > now).map(held),
        };
        self.shards.iter().map(state).collect()
    }

    /// Up to where every shard is done, and whether some worker has it.
    pub fn positions(&self, now: Instant) -> impl Iterator<Item = (ShardId, SequenceNumber, bool)> {
        let is_leased = move |shard: &LeasedShard| shard.hold.as_ref().is_some_and(|hold| hold.until > now);
        self.shards.iter().map(move |(id, shard)| (*id, shard.done, is_leased(shard)))
    }

    /// Workers that are alive, and until when they are without another sign of life.
    pub fn alive(&self, now: Instant) -> impl Iterator<Item = (&Arc<str>, Instant)> {
        let alive = self.workers.iter().filter(move |(_, until)| **until > now);
        alive.map(|(worker, until)| (worker, *until))
    }

    /// The same.
    pub fn workers(&self, now: Instant) -> Vec<(Arc<str>, Instant)> {
        self.alive(now).map(|(worker, until)| (Arc::clone(worker), until)).collect()
    }
}

impl LeasedShard {
    pub fn is_held_by(&self, worker: &str) -> bool {
        self.hold.as_ref().is_some_and(|hold| *hold.worker == *worker)
    }
}
