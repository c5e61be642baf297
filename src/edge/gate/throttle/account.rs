//! The buckets of one principal, stream, route, address, or of everybody.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Counter;

use super::measure::{Cost, Flow, Level, Measure};
use super::refusal::{Reason, Refusal};
use super::usage::{Usage, Used};
use crate::config::checked::{Allowance, Limit, Quota, Rates};
use crate::runtime::bucket::Bucket;
use crate::runtime::clock::{self, UnixMicros};

/// When a request is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// What buckets fill by.
    pub now: Instant,
    /// What periods go by.
    pub wall: UnixMicros,
}

impl Moment {
    /// Now. `asks_wall`: somebody wants to know the time of the day.
    pub fn of_clock(asks_wall: bool) -> Self {
        let wall = if asks_wall { clock::wall() } else { UnixMicros::default() };
        Self { now: clock::monotonic(), wall }
    }
}

/// The buckets of one direction, by [`Measure`].
#[derive(Debug, Clone)]
struct Buckets([Option<Bucket>; Measure::ALL.len()]);

impl Buckets {
    fn full(rates: &Rates, now: Instant) -> Option<Box<Self>> {
        let bucket =
            |measure: Measure| measure.rate(rates).map(|rate| Bucket::full(rate.a_second, rate.burst, now));
        (!rates.is_empty()).then(|| Box::new(Self(Measure::ALL.map(bucket))))
    }

    fn each(&mut self) -> impl Iterator<Item = (Measure, &mut Bucket)> {
        let buckets = Measure::ALL.into_iter().zip(&mut self.0);
        buckets.filter_map(|(measure, bucket)| Some((measure, bucket.as_mut()?)))
    }
}

/// Buckets and usage at the moment.
#[derive(Debug)]
pub struct State {
    /// The latest time that anybody has looked at it: threads come by with times that are a little older.
    latest: Instant,
    ingest: Option<Box<Buckets>>,
    tap: Option<Box<Buckets>>,
    usage: Option<Box<Usage>>,
}

/// What is short, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// What.
    pub reason: Reason,
    /// How long the same would be refused if nothing else came.
    pub wait: Duration,
    /// What is there.
    pub left: u64,
}

impl Short {
    /// The one that lasts longer.
    pub fn longer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.wait > one.wait { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

impl State {
    /// Full buckets.
    pub fn full(limit: &Limit, quota: Option<(&Quota, UnixMicros)>, now: Instant) -> Self {
        Self {
            latest: now,
            ingest: Buckets::full(&limit.ingest, now),
            tap: Buckets::full(&limit.tap, now),
            usage: quota.map(|(quota, wall)| Box::new(Usage::new(*quota, wall))),
        }
    }

    fn forward(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn buckets(&mut self, flow: Flow) -> impl Iterator<Item = (Measure, &mut Bucket)> {
        let buckets = match flow {
            Flow::Ingest => &mut self.ingest,
            Flow::Tap => &mut self.tap,
        };
        buckets.as_deref_mut().into_iter().flat_map(Buckets::each)
    }

    /// What there is too little of for `cost`; of several the one that lasts longest.
    pub fn check(&mut self, flow: Flow, cost: Cost, at: Moment) -> Option<Short> {
        let now = self.forward(at.now);
        let short = |(measure, bucket): (Measure, &mut Bucket)| {
            let wait = bucket.check(measure.of(cost), now).err()?;
            Some(Short { reason: Reason::Rate(flow, measure), wait, left: bucket.left(now) })
        };
        let rate = self.buckets(flow).filter_map(short).max_by_key(|short| short.wait);
        let quota = self.usage(flow).and_then(|usage| usage.check(cost, at.wall));
        Short::longer(rate, quota)
    }

    /// Takes `cost`, whether it is there or not.
    pub fn spend(&mut self, flow: Flow, cost: Cost, at: Moment) {
        let now = self.forward(at.now);
        self.buckets(flow).for_each(|(measure, bucket)| bucket.spend(measure.of(cost), now));
        if let Some(usage) = self.usage(flow) {
            usage.add(cost.into(), at.wall);
        }
    }

    /// What keeps a request from costing what it turns out to cost: something is owed already, or the quota has not got
    /// it.
    pub fn check_actual(&mut self, flow: Flow, change: &Change, at: Moment) -> Option<Short> {
        let now = self.forward(at.now);
        let short = |(measure, bucket): (Measure, &mut Bucket)| {
            if measure.of(change.actual) <= measure.of(change.taken) {
                return None;
            }
            // What others owe: a request that has found a full bucket may have taken more than was in it.
            let mut without = bucket.clone();
            without.refund_after(measure.of(change.taken), now.saturating_duration_since(change.since));
            let wait = without.is_paid(now).err()?;
            Some(Short { reason: Reason::Rate(flow, measure), wait, left: 0 })
        };
        let rate = self.buckets(flow).filter_map(short).max_by_key(|short| short.wait);
        let quota =
            self.usage(flow).and_then(|usage| usage.check_instead(change.counted, change.kept, at.wall));
        Short::longer(rate, quota)
    }

    /// Takes what it costs more than was taken, and gives back what it costs less.
    pub fn replace(&mut self, flow: Flow, change: &Change, at: Moment) {
        let now = self.forward(at.now);
        for (measure, bucket) in self.buckets(flow) {
            let (taken, actual) = (measure.of(change.taken), measure.of(change.actual));
            if actual >= taken {
                bucket.spend(actual - taken, now);
            } else {
                bucket.refund_after(taken - actual, now.saturating_duration_since(change.since));
            }
        }
        if let Some(usage) = self.usage(flow) {
            usage.replace(change.counted, change.kept, at.wall);
        }
    }

    /// Gives back what a quota counts, and leaves the buckets as they are.
    pub fn release_usage(&mut self, used: Used, at: Moment) {
        if let Some(usage) = &mut self.usage {
            usage.replace(used, Used::default(), at.wall);
        }
    }

    /// How long something is owed for, if it is.
    pub fn owed_for(&mut self, flow: Flow, now: Instant) -> Option<Duration> {
        let now = self.forward(now);
        self.buckets(flow).filter_map(|(_, bucket)| bucket.is_paid(now).err()).max()
    }

    /// How long it takes until all of its buckets are full.
    pub fn full_in(&mut self, now: Instant) -> Duration {
        let now = self.forward(now);
        let of_flow = |buckets: &mut Option<Box<Buckets>>| {
            let buckets = buckets.as_deref_mut().into_iter().flat_map(Buckets::each);
            buckets.map(|(_, bucket)| bucket.full_in(now)).max().unwrap_or_default()
        };
        of_flow(&mut self.ingest).max(of_flow(&mut self.tap))
    }

    /// Makes all of its buckets such that are full in `time`.
    pub fn set_back(&mut self, time: Duration, now: Instant) {
        let now = self.forward(now);
        for buckets in [&mut self.ingest, &mut self.tap] {
            let buckets = buckets.as_deref_mut().into_iter().flat_map(Buckets::each);
            buckets.for_each(|(_, bucket)| bucket.set_back(time, now));
        }
    }

    /// What of a quota is used in its period at `wall`, if there is one.
    pub fn turned_usage(&mut self, wall: UnixMicros) -> Option<&Usage> {
        let usage = self.usage.as_deref_mut()?;
        usage.turn(wall);
        Some(usage)
    }

    /// How many parts of a million of a quota are used: of records or of bytes, whichever is more. Zero if none is.
    pub fn used_millionths(&mut self) -> u64 {
        if self.usage.is_none() {
            return 0;
        }
        let Some(usage) = self.turned_usage(clock::wall()) else { return 0 };
        let (used, quota) = (usage.used(), usage.quota());
        let part = |used: u64, quota: Option<u64>| {
            let parts = u128::from(used) * 1_000_000 / u128::from(quota.unwrap_or(u64::MAX).max(1));
            // Whoever has used something has used some of it.
            u64::try_from(parts).unwrap_or(u64::MAX).max(u64::from(used > 0))
        };
        part(used.records, quota.records).max(part(used.bytes, quota.bytes))
    }

    /// Goes on with what was used before, if there is a quota.
    pub fn restore_usage(&mut self, begins: UnixMicros, used: Used, wall: UnixMicros) {
        if let Some(usage) = &mut self.usage {
            **usage = Usage::restored(*usage.quota(), begins, used, wall);
        }
    }

    /// Only what is brought counts for a quota.
    fn usage(&mut self, flow: Flow) -> Option<&mut Usage> {
        self.usage.as_deref_mut().filter(|_| flow == Flow::Ingest)
    }
}

/// What a request turns out to cost.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// What it has taken.
    pub taken: Cost,
    /// What quotas have counted of that.
    pub counted: Used,
    /// When it was taken.
    pub since: Instant,
    /// What it costs.
    pub actual: Cost,
    /// How much of that counts for quotas.
    pub kept: Used,
}

/// See the module. A place where it is short is named by its level.
pub struct Account {
    level: Level,
    allowance: Allowance,
    state: Mutex<State>,
    /// Requests that were refused because of its buckets, and of its quota.
    refused: (Counter, Counter),
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Account {
    /// Full buckets, and an unused quota. `refused` counts requests that were refused because of its buckets, and
    /// because of its quota.
    pub fn new(level: Level, allowance: Allowance, refused: (Counter, Counter), at: Moment) -> Arc<Self> {
        let quota = allowance.quota.as_ref().map(|quota| (quota, at.wall));
        let state = Mutex::new(State::full(&allowance.limit, quota, at.now));
        Arc::new(Self { level, allowance, state, refused })
    }

    /// Whose it is.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// What it may take.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Whether nothing is ever short.
    pub fn is_unlimited(&self) -> bool {
        self.allowance.limit.is_empty() && self.allowance.quota.is_none()
    }

    /// Whether anything of it is counted of requests of this direction.
    pub fn counts(&self, flow: Flow) -> bool {
        let has_quota = flow == Flow::Ingest && self.allowance.quota.is_some();
        has_quota || !flow.rates(&self.allowance.limit).is_empty()
    }

    /// Why a request is refused because of it. Counts it.
    pub fn refusal(&self, short: Short) -> Refusal {
        let (by_rate, by_quota) = &self.refused;
        match short.reason {
            Reason::Rate(..) => by_rate.increment(1),
            Reason::Quota(_) => by_quota.increment(1),
        }
        Refusal::new(self.level.clone(), &self.allowance, short)
    }

    /// Its buckets, while nobody else changes them.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever panics under the lock leaves numbers that are right or a little off.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of its quota is used, if it has one.
    pub fn usage(&self, wall: UnixMicros) -> Option<Usage> {
        self.lock().turned_usage(wall).cloned()
    }

    /// Goes on with what was used before.
    pub fn restore(&self, begins: UnixMicros, used: Used, wall: UnixMicros) {
        self.lock().restore_usage(begins, used, wall);
    }
}
