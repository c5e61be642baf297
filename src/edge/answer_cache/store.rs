//! Answers in memory, of no more bytes than there may be.
//!
//! Two generations: what is kept comes into the young one, and so does what is asked for again. When the young one is
//! half of all that there may be, it becomes the old one, and what was not asked for since the last time goes. Each
//! answer has paid for its bytes, and they come back when its last holder is gone: clients that ask and do not read
//! cannot hold more than there may be either, they only have less kept.

#![expect(
    clippy::mutable_key_type,
    reason = "a key looks at nothing of a principal that changes: neither its buckets nor its quotas"
)]

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;

use super::key::Key;
use crate::config::limits::{ANSWER_CACHE_DIVISOR, ANSWER_CACHE_ENTRY_BYTES};
use crate::edge::tagged;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::{Budget, Permit};
use crate::stream::{Layout, Stream};

/// See the module. One lock for all of it: it is held for a search by a hash, never while a text is written or freed.
#[derive(Debug)]
pub struct Store {
    budget: Arc<Budget>,
    generations: Mutex<Generations>,
}

type Answers = HashMap<Arc<Key>, Arc<Kept>, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Generations {
    /// How often all was forgotten. What was begun before is not kept behind it.
    epoch: u64,
    young: Answers,
    /// Of those in `young`.
    young_bytes: u64,
    old: Answers,
}

/// An answer that was just made.
#[derive(Debug)]
pub struct Made {
    /// Its text, JSON.
    pub text: Bytes,
    /// Records in it, if they count as given to whoever gets it.
    pub records: Option<u64>,
    /// Whether new records change nothing of it.
    pub is_full: bool,
    /// The oldest record of each shard that is in it.
    pub oldest: Vec<(ShardId, SequenceNumber)>,
}

/// An answer that is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its text.
    pub text: Bytes,
    /// Its `ETag`.
    pub tag: HeaderValue,
    /// For how long it is given.
    pub ttl: Duration,
    /// See [`Made`].
    pub records: Option<u64>,
    /// When it was made.
    made: Instant,
    layout: Option<Weak<Layout>>,
    oldest: Box<[(ShardId, SequenceNumber)]>,
    bytes: u64,
}

impl Made {
    /// An answer that is a picture of the moment.
    pub fn of_moment(text: Vec<u8>) -> Self {
        Self { text: text.into(), records: None, is_full: false, oldest: Vec::new() }
    }

    fn bytes(&self, key: &Key) -> u64 {
        let counted = self.text.len() + self.oldest.len() * size_of::<(ShardId, SequenceNumber)>();
        ANSWER_CACHE_ENTRY_BYTES + key.bytes() + counted as u64
    }
}

impl Kept {
    /// Time since it was made.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }

    /// Whether it may be given: its time is not over, the stream has the same shards, and has all of its records still.
    /// `stream` is the one that it is about, if it is about one.
    pub fn holds(&self, stream: Option<&Stream>, now: Instant) -> bool {
        let is_of = |layout: &Arc<Layout>, known: &Weak<Layout>| {
            // The known one keeps its place in memory for as long as it is known.
            std::ptr::eq(known.as_ptr(), Arc::as_ptr(layout))
        };
        let has_records = |layout: &Layout| {
            self.oldest.iter().all(|(shard, number)| {
                layout.get(*shard).is_some_and(|shard| shard.log_ref().bounds().first <= *number)
            })
        };
        self.age(now) < self.ttl
            && match (stream.map(Stream::layout), &self.layout) {
                (Some(layout), Some(known)) => is_of(&layout, known) && has_records(&layout),
                (None, None) => true,
                _ => false,
            }
    }
}

impl Generations {
    /// The young become old; returns what goes.
    fn turn(&mut self) -> Answers {
        self.young_bytes = 0;
        mem::replace(&mut self.old, mem::take(&mut self.young))
    }

    fn insert(&mut self, key: Arc<Key>, kept: Arc<Kept>) {
        self.young_bytes += kept.bytes;
        if let Some(before) = self.young.insert(key, kept) {
            self.young_bytes -= before.bytes;
        }
    }
}

impl Store {
    /// Of `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self { budget: Budget::new(bytes_max), generations: Mutex::default() }
    }

    /// The answer that is kept by `key`, whether or not it still holds, and the epoch for [`Store::keep`].
    pub fn find(&self, key: &Key) -> (Option<Arc<Kept>>, u64) {
        let mut generations = self.lock();
        let epoch = generations.epoch;
        if let Some(kept) = generations.young.get(key) {
            return (Some(Arc::clone(kept)), epoch);
        }
        let Some((key, kept)) = generations.old.remove_entry(key) else { return (None, epoch) };
        generations.insert(key, Arc::clone(&kept));
        (Some(kept), epoch)
    }

    /// Keeps an answer of a stream with this layout, if it is about one, for `ttl`. `None` if it is not kept: it has
    /// too many bytes, clients hold too many that went already, or all was forgotten since `epoch`. Returns as well how
    /// many others had to go.
    pub fn keep(
        &self,
        (key, epoch): (&Arc<Key>, u64),
        (made, layout): (&Made, Option<&Arc<Layout>>),
        (now, ttl): (Instant, Duration),
    ) -> (Option<Arc<Kept>>, usize) {
        let bytes = made.bytes(key);
        let (permit, mut gone) = self.pay(bytes);
        let Some(permit) = permit else { return (None, gone) };
        let Some(tag) = tagged::tag_of(&made.text) else { return (None, gone) };
        let kept = Arc::new(Kept {
            text: permit.cover(made.text.to_vec()),
            tag,
            ttl,
            records: made.records,
            made: now,
            layout: layout.map(Arc::downgrade),
            oldest: made.oldest.as_slice().into(),
            bytes,
        });
        let turned = {
            let mut generations = self.lock();
            if generations.epoch != epoch {
                return (None, gone);
            }
            let is_half = generations.young_bytes + bytes > self.budget.capacity() / 2;
            let turned = is_half.then(|| generations.turn());
            // One that holds no more may be there yet.
            generations.old.remove(&**key);
            generations.insert(Arc::clone(key), Arc::clone(&kept));
            turned
        };
        gone += turned.map_or(0, |turned| turned.len());
        (Some(kept), gone)
    }

    /// Pays for an answer. What has not been asked for of late goes where there is no room, and how many these were is
    /// told.
    fn pay(&self, bytes: u64) -> (Option<Permit>, usize) {
        let mut gone = 0;
        if bytes > self.budget.capacity() / ANSWER_CACHE_DIVISOR {
            return (None, gone);
        }
        // First the old ones go, and then those that were young.
        for _ in 0..2 {
            if let Some(permit) = self.budget.try_take(bytes) {
                return (Some(permit), gone);
            }
            let turned = self.lock().turn();
            gone += turned.len();
        }
        (self.budget.try_take(bytes), gone)
    }

    /// Forgets all; returns how many answers there were, and their bytes.
    pub fn forget(&self) -> (usize, u64) {
        let (young, old) = {
            let mut generations = self.lock();
            generations.epoch += 1;
            (generations.turn(), generations.turn())
        };
        let bytes = young.values().chain(old.values()).map(|kept| kept.bytes).sum();
        (young.len() + old.len(), bytes)
    }

    /// How many answers there are, and the bytes of those and of all that somebody is still being sent.
    pub fn size(&self) -> (usize, u64) {
        let generations = self.lock();
        (generations.young.len() + generations.old.len(), self.budget.used())
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Nothing panics while it is held.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
