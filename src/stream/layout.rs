//! Which shards a stream has: a tree that grows where shards are split and merged.
//!
//! ```text
//! shardId-0 ─┬─ shardId-2            split: two children, each with one parent
//!            └─ shardId-3 ─┐
//! shardId-1 ───────────────┴─ shardId-4      merged: one child with two parents
//! ```
//!
//! An *open* shard takes records. A *closed* one has an end; its records stay until their retention is over and every
//! delivery has read them. The open shards cut the hash space into ranges without gap or overlap. Readers take the
//! records of a child only once its parents are read to their end: so the records of a key keep their order.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::hash::{HashKey, HashRange};
use super::heat::Heat;
use super::kafka::growth::window::Window;
use super::log::ShardLog;
use super::memory::MemoryLog;
use super::wal::shard::DurableLog;
use crate::record::{SequenceNumber, ShardId};

/// What is known of a shard beside its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardFacts {
    /// Its id, given once in a stream; larger than those of its parents.
    pub id: ShardId,
    /// The hashes of its records' keys.
    pub hash_keys: HashRange,
    /// What it was split off from, or merged of; none of the shards that the stream was made with.
    pub parents: [Option<ShardId>; 2],
    /// When it was made, in seconds since 1970-01-01 UTC. Later than its parents, so that sequence numbers in the form of
    /// Kinesis, which begin with it, rise from parent to child.
    pub created: u64,
    /// The number of its first record ever.
    pub first: SequenceNumber,
    /// If it is closed, the number behind its last record.
    pub end: Option<SequenceNumber>,
}

impl ShardFacts {
    /// The shards of a new stream: `count` of them, each with an equal part of the hash space.
    pub fn even(count: u32, created: u64, first: SequenceNumber) -> impl Iterator<Item = Self> {
        let ids = (0..).map(ShardId);
        let facts =
            move |(id, hash_keys)| Self { id, hash_keys, parents: [None; 2], created, first, end: None };
        ids.zip(HashRange::even(count)).map(facts)
    }

    /// Whether it takes records.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Its parents, perhaps gone already.
    pub fn parents(&self) -> impl Iterator<Item = ShardId> + use<> {
        self.parents.into_iter().flatten()
    }

    /// Whether a reader that stands at `position` of each shard may take records of this one: its parents are read to
    /// their end, and so are theirs, since a parent may have had no records at all. A shard that is not `known` is gone,
    /// and read; one that `position` does not know is none of the reader's.
    pub fn may_be_read<'a>(
        &self,
        known: impl Fn(ShardId) -> Option<&'a ShardFacts>,
        position: impl Fn(ShardId) -> Option<SequenceNumber>,
    ) -> bool {
        let is_read = |facts: &ShardFacts| {
            let at = facts.end.map(|end| (end, position(facts.id)));
            at.is_none_or(|(end, position)| position.is_none_or(|position| position >= end))
        };
        let (mut ancestors, mut seen): (Vec<_>, HashSet<_>) = (self.parents().collect(), HashSet::new());
        while let Some(id) = ancestors.pop() {
            let Some(ancestor) = known(id).filter(|_| seen.insert(id)) else { continue };
            if !is_read(ancestor) {
                return false;
            }
            ancestors.extend(ancestor.parents());
        }
        true
    }
}

/// One shard of a stream.
#[derive(Debug, Clone)]
pub struct Shard {
    /// What is known of it.
    pub facts: ShardFacts,
    /// How much comes to it.
    pub heat: Arc<Heat>,
    pub(super) store: ShardStore,
}

/// Where its records are.
#[derive(Debug, Clone)]
pub(super) enum ShardStore {
    /// In memory.
    Memory(Arc<MemoryLog>),
    /// In a journal.
    Durable(Arc<DurableLog>),
    /// In a partition of a topic, or a part of one.
    Kafka(Arc<Window>),
}

impl Shard {
    pub(super) fn new(facts: ShardFacts, store: ShardStore) -> Self {
        Self { facts, heat: Arc::default(), store }
    }

    /// Its records.
    pub fn log(&self) -> Arc<dyn ShardLog> {
        match &self.store {
            ShardStore::Memory(log) => Arc::clone(log) as Arc<dyn ShardLog>,
            ShardStore::Durable(log) => Arc::clone(log) as Arc<dyn ShardLog>,
            ShardStore::Kafka(log) => Arc::clone(log) as Arc<dyn ShardLog>,
        }
    }

    /// Its log, if it is in a journal.
    pub fn durable_log(&self) -> Option<&Arc<DurableLog>> {
        match &self.store {
            ShardStore::Memory(_) | ShardStore::Kafka(_) => None,
            ShardStore::Durable(log) => Some(log),
        }
    }

    /// The partition that it is in, if it is in a topic.
    pub fn partition(&self) -> Option<u32> {
        match &self.store {
            ShardStore::Memory(_) | ShardStore::Durable(_) => None,
            ShardStore::Kafka(window) => u32::try_from(window.log().partition()).ok(),
        }
    }

    /// The same, borrowed.
    pub fn log_ref(&self) -> &dyn ShardLog {
        match &self.store {
            ShardStore::Memory(log) => &**log,
            ShardStore::Durable(log) => &**log,
            ShardStore::Kafka(log) => &**log,
        }
    }
}

/// All shards that a stream has at a moment. It does not change: resharding puts another one in its place.
#[derive(Debug)]
pub struct Layout {
    /// In the order of their ids.
    shards: Vec<Shard>,
    /// For each open shard the first hash of its range and its place in `shards`; in the order of the hashes.
    open: Vec<(u128, usize)>,
    /// The id that the next shard gets.
    next_id: ShardId,
}

impl Layout {
    /// `shards` in the order of their ids. Ids below `next_id` do not come again.
    pub(super) fn new(shards: Vec<Shard>, next_id: ShardId) -> Self {
        let is_open = |(_, shard): &(usize, &Shard)| shard.facts.is_open();
        let mut open: Vec<_> = shards
            .iter()
            .enumerate()
            .filter(is_open)
            .map(|(index, shard)| (shard.facts.hash_keys.first, index))
            .collect();
        open.sort_unstable();
        Self { shards, open, next_id }
    }

    /// All of them, in the order of their ids.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Those that take records, in the order of their hashes.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Shard> {
        self.open.iter().map(|&(_, index)| &self.shards[index])
    }

    /// The id that the next shard gets.
    pub fn next_id(&self) -> ShardId {
        self.next_id
    }

    /// Where a shard stands in [`Layout::shards`].
    pub fn index(&self, id: ShardId) -> Option<usize> {
        // In a stream that was never resharded, and in the beginning of any other, the id is the place.
        match self.shards.get(id.0 as usize) {
            Some(shard) if shard.facts.id == id => Some(id.0 as usize),
            _ => self.shards.binary_search_by_key(&id, |shard| shard.facts.id).ok(),
        }
    }

    /// A shard.
    pub fn get(&self, id: ShardId) -> Option<&Shard> {
        self.shards.get(self.index(id)?)
    }

    /// The place in [`Layout::shards`] of the open shard that `hash` belongs to.
    #[inline]
    pub fn open_index_of(&self, hash: HashKey) -> usize {
        let behind = self.open.partition_point(|&(first, _)| first <= hash.0);
        self.open.get(behind.saturating_sub(1)).map_or(0, |&(_, index)| index)
    }

    /// The open shard that `hash` belongs to.
    pub fn open_shard_of(&self, hash: HashKey) -> ShardId {
        self.shards[self.open_index_of(hash)].facts.id
    }

    /// The shards that have this one as a parent.
    pub fn children(&self, id: ShardId) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| shard.facts.parents().any(|parent| parent == id))
    }

    /// [`ShardFacts::may_be_read`], among these shards.
    pub fn may_read(&self, shard: &ShardFacts, position: impl Fn(ShardId) -> Option<SequenceNumber>) -> bool {
        shard.may_be_read(|id| self.get(id).map(|shard| &shard.facts), position)
    }

    /// A clone without the shards that `goes` says so of.
    pub(super) fn without(&self, goes: impl Fn(&Shard) -> bool) -> Self {
        Self::new(self.shards.iter().filter(|shard| !goes(shard)).cloned().collect(), self.next_id)
    }

    /// Checks what every layout promises; for tests and for what is read from a disk.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(facts: &[ShardFacts]) -> Result<(), String> {
        if let Some(pair) = facts.windows(2).find(|pair| pair[0].id >= pair[1].id) {
            return Err(format!("{} does not come before {}", pair[0].id, pair[1].id));
        }
        let older = |shard: &&ShardFacts| shard.parents().any(|parent| parent >= shard.id);
        if let Some(shard) = facts.iter().find(older) {
            return Err(format!("{} has a parent that is younger", shard.id));
        }
        let mut open: Vec<_> =
            facts.iter().filter(|shard| shard.is_open()).map(|shard| shard.hash_keys).collect();
        open.sort_unstable_by_key(|range| range.first);
        let next = open.iter().try_fold(Some(0_u128), |next, range| match next {
            Some(next) if next == range.first && range.last >= range.first => {
                ControlFlow::Continue(range.last.checked_add(1))
            }
            _ => ControlFlow::Break(()),
        });
        match next {
            ControlFlow::Continue(None) => Ok(()),
            _ => Err("the open shards do not cover the hash space once".to_owned()),
        }
    }
}
