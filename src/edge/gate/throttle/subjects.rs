//! Principals that have no table in the configuration: subjects of token issuers, and whomever an authorizer names. Each
//! may take what its issuer's, or the authorizer's, settings say.
//!
//! ```text
//! [[jwt_issuer]] ─▶ Source ─▶ Subject ─▶ buckets, quota: in one table of all sources, which is bounded
//!  [authorizer]               by name
//! ```
//!
//! Who is idle, so that their buckets are full and nothing of their quota is used, is forgotten when room is needed.
//! Where there is nobody like that, one who comes takes over what is left to the one of a few who had taken least: so no
//! more is given than if everybody was remembered, however many come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use metrics::Counter;
use xxhash_rust::xxh3::xxh3_64;

use super::account::{Short, State};
use super::addresses::ClientKey;
use super::charge::Held;
use super::fair::Competitor;
use super::measure::{Flow, Level};
use super::refusal::{Reason, Refusal};
use super::standing::{KeptUsage, Standing};
use super::table::{Locked, Remembered, Table};
use super::usage::Used;
use crate::config::checked::Allowance;
use crate::config::limits::SUBJECTS_MAX;
use crate::runtime::clock::{self, UnixMicros};

/// The kind of a subject, and its name.
pub type SubjectKey = (&'static str, Arc<str>);

/// An issuer, or the authorizer.
#[derive(Debug)]
pub struct Source {
    subjects: Arc<Subjects>,
    kind: &'static str,
    name: Arc<str>,
    allowance: Allowance,
    /// What is newer has the greater one.
    number: u64,
}

/// One whom a source names.
#[derive(Debug)]
pub struct Subject {
    source: Arc<Source>,
    key: SubjectKey,
}

/// What is remembered of a subject.
#[derive(Debug)]
pub struct Entry {
    source: Arc<Source>,
    state: State,
}

impl Entry {
    /// Buckets and usage.
    pub fn state(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Remembered for Entry {
    fn loss(&mut self, now: Instant) -> (u64, Duration) {
        (self.state.used_millionths(), self.state.full_in(now))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Subjects {
    table: Table<SubjectKey, Entry>,
    sources: Mutex<HashMap<SubjectKey, Weak<Source>>>,
    next: AtomicU64,
    /// Requests that were refused because of buckets, and of a quota.
    refused: (Counter, Counter),
}

impl Subjects {
    /// Nobody is known. `refused` counts requests that were refused because of buckets, and of a quota.
    pub fn new(refused: (Counter, Counter)) -> Self {
        Self::with_max(SUBJECTS_MAX, refused)
    }

    fn with_max(max: usize, refused: (Counter, Counter)) -> Self {
        Self { table: Table::new(max), sources: Mutex::default(), next: AtomicU64::new(1), refused }
    }

    /// An issuer or an authorizer, each of whose subjects may take so much.
    pub fn source(self: &Arc<Self>, kind: &'static str, name: &str, allowance: Allowance) -> Arc<Source> {
        let name: Arc<str> = Arc::from(name);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = (kind, Arc::clone(&name));
        let source = Arc::new(Source { subjects: Arc::clone(self), kind, name, allowance, number });
        self.sources().insert(key, Arc::downgrade(&source));
        source
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, HashMap<SubjectKey, Weak<Source>>> {
        // Nothing panics under the lock.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those whose source is not in the configuration any more: `stays` is asked by its kind and name.
    pub fn forget_others(&self, stays: impl Fn(&str, &str) -> bool) {
        self.sources().retain(|(kind, name), _| stays(kind, name));
        self.table.retain(|_, entry| stays(entry.source.kind, &entry.source.name));
    }

    /// Whether some source has a quota.
    pub fn have_quotas(&self) -> bool {
        self.sources().values().filter_map(Weak::upgrade).any(|source| source.allowance.quota.is_some())
    }

    /// What quotas have counted in their periods, of those of whom they have counted something.
    pub fn usages(&self, wall: UnixMicros) -> Vec<KeptUsage> {
        let mut usages = Vec::new();
        self.table.each(|(kind, name), entry| {
            let Some(usage) = entry.state.turned_usage(wall) else { return };
            let Used { records, bytes } = usage.used();
            if (records, bytes) != (0, 0) {
                let source = Some(entry.source.name.to_string());
                let (kind, name, begins) = ((*kind).to_owned(), name.to_string(), usage.begins());
                usages.push(KeptUsage { kind, name, source, begins, records, bytes });
            }
        });
        usages
    }

    /// Goes on with what an earlier process has kept of a subject, if its source is there still.
    pub fn restore(&self, kept: &KeptUsage, wall: UnixMicros) {
        let Some(name) = &kept.source else { return };
        let source = self.sources().iter().find_map(|((kind, known), source)| {
            let is_it = *kind == kept.kind && **known == **name;
            source.upgrade().filter(|_| is_it)
        });
        let Some(source) = source.filter(|source| source.allowance.quota.is_some()) else { return };
        let subject = Subject { key: (source.kind, Arc::from(kept.name.as_str())), source };
        let mut locked = subject.lock(clock::monotonic());
        if let Some(entry) = locked.get() {
            let used = Used { records: kept.records, bytes: kept.bytes };
            entry.state.restore_usage(kept.begins, used, wall);
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Source {
    /// What somebody may take whom it names so, and has.
    pub fn standing(self: &Arc<Self>, name: &Arc<str>) -> Standing {
        let Allowance { limit, quota, weight } = &self.allowance;
        let is_limited = !limit.is_empty() || quota.is_some();
        let key = (self.kind, Arc::clone(name));
        let account = is_limited.then(|| Held::Subject(Arc::new(Subject { source: Arc::clone(self), key })));
        let client = ClientKey::Name(xxh3_64(name.as_bytes()));
        Standing { account, competes: Some(Competitor::Client(client, *weight)) }
    }
}

impl Subject {
    /// What it may take.
    pub fn allowance(&self) -> &Allowance {
        &self.source.allowance
    }

    /// Whether anything of it is counted of requests of this direction.
    pub fn counts(&self, flow: Flow) -> bool {
        let Allowance { limit, quota, .. } = self.allowance();
        flow == Flow::Ingest && quota.is_some() || !flow.rates(limit).is_empty()
    }

    /// Why a request is refused because of it. Counts it.
    pub fn refusal(&self, short: Short) -> Refusal {
        let (by_rate, by_quota) = &self.source.subjects.refused;
        match short.reason {
            Reason::Rate(..) => by_rate.increment(1),
            Reason::Quota(_) => by_quota.increment(1),
        }
        Refusal::new(Level::Principal(Arc::clone(&self.key.1)), self.allowance(), short)
    }

    /// What is remembered of it.
    pub fn lock(&self, now: Instant) -> Locked<'_, SubjectKey, Entry> {
        let new = |before: Option<&mut Entry>| Entry {
            source: Arc::clone(&self.source),
            state: match before {
                None => self.full(now),
                Some(before) => self.taken_over(before, now),
            },
        };
        let mut locked = self.source.subjects.table.lock(&self.key, now, new);
        // One whose token was checked by older settings takes part in the newer ones.
        if let Some(entry) = locked.get().filter(|entry| entry.source.number < self.source.number) {
            if entry.source.allowance != self.source.allowance {
                let mut state = self.full(now);
                let wall = clock::wall();
                if let Some(usage) = entry.state.turned_usage(wall) {
                    state.restore_usage(usage.begins(), usage.used(), wall);
                }
                entry.state = state;
            }
            entry.source = Arc::clone(&self.source);
        }
        locked
    }

    fn full(&self, now: Instant) -> State {
        let Allowance { limit, quota, .. } = &self.source.allowance;
        State::full(limit, quota.as_ref().map(|quota| (quota, clock::wall())), now)
    }

    /// Buckets that are as far from full, and a quota of which as much is used.
    fn taken_over(&self, before: &mut Entry, now: Instant) -> State {
        let mut state = self.full(now);
        state.set_back(before.state.full_in(now), now);
        let wall = clock::wall();
        if let Some(usage) = before.state.turned_usage(wall) {
            state.restore_usage(usage.begins(), usage.used(), wall);
        }
        state
    }
}

#[cfg(test)]
mod tests;
