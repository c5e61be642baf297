//! What one request has taken from the buckets of all levels.
//!
//! ```text
//! head ─▶ Charge::take ─▶ body, decode ─▶ settle ─▶ append ─┬─▶ kept
//!         what the head tells             what it costs     └─▶ refund, where the server has failed
//! ```
//!
//! Nothing is taken anywhere unless all levels have it: their locks are held together, in the order of the levels, for
//! as long as a few additions take. What a request turns out to cost beyond its head is owed, unless somebody else owes
//! already: so in any time `t` a level gives at most `rate × t + burst`, and what a single request costs beside.
//!
//! A request that ends without [`Charge::settle`], because it was wrong, leaves in the buckets what its head told; for
//! quotas it does not count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::{Account, Change, Moment, Short, State};
use super::addresses::{Addresses, ClientKey};
use super::measure::{Cost, Flow, Level};
use super::refusal::Refusal;
use super::subjects::{self, Subject, SubjectKey};
use super::table::Locked;
use super::usage::Used;
use crate::runtime::clock;

/// One level's buckets.
#[derive(Debug, Clone)]
pub enum Held {
    /// They have an owner with a name.
    Account(Arc<Account>),
    /// Those of an address.
    Address(Arc<Addresses>, ClientKey),
    /// They have an owner whom the configuration does not name.
    Subject(Arc<Subject>),
}

impl Held {
    fn lock(&self, now: Instant) -> Guard<'_> {
        match self {
            Held::Account(account) => Guard::Account(account.lock()),
            Held::Address(addresses, key) => Guard::Address(addresses.lock(*key, now)),
            Held::Subject(subject) => Guard::Subject(subject.lock(now)),
        }
    }

    /// Whether it has a quota.
    pub fn asks_wall(&self) -> bool {
        match self {
            Held::Account(account) => account.allowance().quota.is_some(),
            Held::Address(..) => false,
            Held::Subject(subject) => subject.allowance().quota.is_some(),
        }
    }

    /// Whether anything of it is counted of requests of this direction.
    pub fn counts(&self, flow: Flow) -> bool {
        match self {
            Held::Account(account) => account.counts(flow),
            Held::Address(addresses, _) => !flow.rates(&addresses.allowance().limit).is_empty(),
            Held::Subject(subject) => subject.counts(flow),
        }
    }

    /// The place of its level.
    fn index(&self) -> usize {
        match self {
            Held::Account(account) => account.level().index(),
            Held::Address(..) => Level::ClientAddress.index(),
            Held::Subject(_) => Level::PRINCIPAL_INDEX,
        }
    }

    fn refusal(&self, short: Short) -> Refusal {
        match self {
            Held::Account(account) => account.refusal(short),
            Held::Address(addresses, _) => addresses.refusal(short),
            Held::Subject(subject) => subject.refusal(short),
        }
    }
}

enum Guard<'a> {
    Account(std::sync::MutexGuard<'a, State>),
    Address(Locked<'a, ClientKey, State>),
    Subject(Locked<'a, SubjectKey, subjects::Entry>),
}

impl Guard<'_> {
    fn state(&mut self) -> Option<&mut State> {
        match self {
            Guard::Account(state) => Some(state),
            Guard::Address(locked) => locked.get(),
            Guard::Subject(locked) => locked.get().map(subjects::Entry::state),
        }
    }
}

/// By [`Level::index`].
pub type AllHeld = [Option<Held>; Level::WORDS.len()];

/// What has become of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Only what the head told is taken.
    Announced,
    /// What it costs is.
    Settled {
        /// What of it counts for quotas.
        kept: Used,
    },
    /// It has ended.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Charge {
    held: AllHeld,
    flow: Flow,
    taken: Cost,
    since: Instant,
    asks_wall: bool,
    stage: Stage,
}

impl Charge {
    /// Takes `cost` from all of `held`, or nothing.
    ///
    /// # Errors
    /// The level that is short of it for longest.
    pub fn take(held: AllHeld, flow: Flow, cost: Cost, at: Moment) -> Result<Self, Refusal> {
        let asks_wall = held.iter().flatten().any(Held::asks_wall);
        let mut guards = lock(&held, at.now);
        if let Some((place, short)) = longest(&mut guards, |state| state.check(flow, cost, at)) {
            drop(guards);
            return Err(refusal(&held, place, short));
        }
        each(&mut guards, |state| state.spend(flow, cost, at));
        drop(guards);
        Ok(Self { held, flow, taken: cost, since: at.now, asks_wall, stage: Stage::Announced })
    }

    /// Of something that nothing limits.
    pub fn free() -> Self {
        Self {
            held: AllHeld::default(),
            flow: Flow::Tap,
            taken: Cost::default(),
            since: clock::monotonic(),
            asks_wall: false,
            stage: Stage::Announced,
        }
    }

    /// Whether there is nothing to take from.
    pub fn is_free(&self) -> bool {
        self.held.iter().all(Option::is_none)
    }

    /// Takes from one more level what was taken from the others: that of a stream, or of a principal, that is not known
    /// before the body is.
    ///
    /// # Errors
    /// If it has not got it. Then everything is given back.
    pub fn join(&mut self, held: Option<Held>) -> Result<(), Refusal> {
        let Some(held) = held.filter(|held| held.counts(self.flow)) else { return Ok(()) };
        self.asks_wall |= held.asks_wall();
        let at = self.moment();
        let short = {
            let mut guard = held.lock(at.now);
            let Some(state) = guard.state() else { return Ok(()) };
            let short = state.check(self.flow, self.taken, at);
            if short.is_none() {
                state.spend(self.flow, self.taken, at);
            }
            short
        };
        if let Some(short) = short {
            self.refund();
            return Err(held.refusal(short));
        }
        if let Some(slot) = self.held.get_mut(held.index()) {
            *slot = Some(held);
        }
        Ok(())
    }

    /// Takes what the request costs in place of what its head told. `kept` is what counts for quotas.
    ///
    /// # Errors
    /// If a level owes something already for more of it, or a quota has not got it. Then everything is given back.
    pub fn settle(&mut self, actual: Cost, kept: Used) -> Result<(), Refusal> {
        if self.stage != Stage::Announced || self.is_free() {
            return Ok(());
        }
        let at = self.moment();
        self.settle_at(actual, kept, at)
    }

    /// The same for a request of so many bytes that has brought so many records, of which some are accepted. A limit
    /// counts what is sent, a quota what is kept.
    ///
    /// # Errors
    /// The same.
    pub fn settle_records(&mut self, records: u64, accepted: u64, bytes: usize) -> Result<(), Refusal> {
        let bytes = bytes as u64;
        let kept = Used { records: accepted, bytes: if accepted > 0 { bytes } else { 0 } };
        self.settle(Cost { requests: self.taken.requests, records, bytes }, kept)
    }

    /// What has to be remembered so that it can be given back later, if anything.
    pub fn kept_for_refund(self) -> Option<Box<Self>> {
        (!self.is_free()).then(|| Box::new(self))
    }

    fn settle_at(&mut self, actual: Cost, kept: Used, at: Moment) -> Result<(), Refusal> {
        let (taken, since, counted) = (self.taken, self.since, self.taken.into());
        let change = Change { taken, counted, since, actual, kept };
        let flow = self.flow;
        let mut guards = lock(&self.held, at.now);
        let short = longest(&mut guards, |state| state.check_actual(flow, &change, at));
        if let Some((place, short)) = short {
            let nothing = Change { actual: Cost::default(), kept: Used::default(), ..change };
            each(&mut guards, |state| state.replace(flow, &nothing, at));
            drop(guards);
            self.stage = Stage::Over;
            return Err(refusal(&self.held, place, short));
        }
        each(&mut guards, |state| state.replace(flow, &change, at));
        drop(guards);
        (self.taken, self.stage) = (actual, Stage::Settled { kept });
        Ok(())
    }

    /// Gives everything back: the request was right, and the server could not do it.
    pub fn refund(&mut self) {
        if self.stage != Stage::Over && !self.is_free() {
            let at = self.moment();
            self.refund_at(at);
        }
    }

    /// The same where it is so.
    pub fn give_back_if(&mut self, is_so: bool) {
        if is_so {
            self.refund();
        }
    }

    fn refund_at(&mut self, at: Moment) {
        let counted = match self.stage {
            Stage::Announced => Used::from(self.taken),
            Stage::Settled { kept } => kept,
            Stage::Over => return,
        };
        let (taken, since, flow) = (self.taken, self.since, self.flow);
        let change = Change { taken, counted, since, actual: Cost::default(), kept: Used::default() };
        each(&mut lock(&self.held, at.now), |state| state.replace(flow, &change, at));
        self.stage = Stage::Over;
    }

    /// Has all levels owe what a reader was given.
    pub fn owe(&mut self, records: u64, bytes: u64) {
        if !self.is_free() {
            let (at, flow) = (self.moment(), self.flow);
            let cost = Cost { requests: 0, records, bytes };
            each(&mut lock(&self.held, at.now), |state| state.spend(flow, cost, at));
        }
    }

    /// How long something is owed for, if it is: a reader that stays waits for that long.
    pub fn owed_for(&self) -> Option<Duration> {
        if self.is_free() {
            return None;
        }
        let (now, flow) = (self.moment().now, self.flow);
        let mut guards = lock(&self.held, now);
        guards.iter_mut().flatten().filter_map(|guard| guard.state()?.owed_for(flow, now)).max()
    }

    fn moment(&self) -> Moment {
        Moment::of_clock(self.asks_wall)
    }
}

impl Charge {
    /// It has ended without being settled, as a request that was wrong does.
    fn end_at(&mut self, at: Moment) {
        if self.stage == Stage::Announced && !self.is_free() {
            let taken = self.taken.into();
            each(&mut lock(&self.held, at.now), |state| state.release_usage(taken, at));
        }
        self.stage = Stage::Over;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Only quotas have something to be given back.
        if self.stage == Stage::Announced && self.asks_wall {
            self.end_at(self.moment());
        }
    }
}

fn lock(held: &AllHeld, now: Instant) -> [Option<Guard<'_>>; Level::WORDS.len()] {
    held.each_ref().map(|held| held.as_ref().map(|held| held.lock(now)))
}

fn each(guards: &mut [Option<Guard<'_>>], mut change: impl FnMut(&mut State)) {
    guards.iter_mut().flatten().filter_map(Guard::state).for_each(&mut change);
}

fn longest(
    guards: &mut [Option<Guard<'_>>],
    mut check: impl FnMut(&mut State) -> Option<Short>,
) -> Option<(usize, Short)> {
    let mut found: Option<(usize, Short)> = None;
    for (place, guard) in guards.iter_mut().enumerate() {
        let Some(short) = guard.as_mut().and_then(Guard::state).and_then(&mut check) else { continue };
        if found.is_none_or(|(_, known)| short.wait > known.wait) {
            found = Some((place, short));
        }
    }
    found
}

fn refusal(held: &AllHeld, place: usize, short: Short) -> Refusal {
    match held.get(place).and_then(Option::as_ref) {
        Some(held) => held.refusal(short),
        // A level that is short is there.
        None => Refusal::new(Level::Global, &Default::default(), short),
    }
}

#[cfg(test)]
mod tests;
