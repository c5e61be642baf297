//! Splitting and merging shards, planned: which shards are closed, and which ones follow them.
//!
//! Nothing is copied. A closed shard keeps its records where they are; its children begin empty.

mod closing;

use std::collections::HashSet;

use thiserror::Error;

use super::hash::{HashKey, HashRange};
use super::layout::{Layout, Shard, ShardFacts};
use crate::config::limits::{CLOSED_SHARDS_MAX, SHARDS_MAX};
use crate::record::{SequenceNumber, ShardId};

pub use closing::{Replacement, Resharding, ResizeError};

/// One step of a reshard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A shard becomes two.
    Split {
        /// The shard.
        shard: ShardId,
        /// The first hash of the second child.
        at: HashKey,
    },
    /// Two shards become one.
    Merge {
        /// One of them.
        shard: ShardId,
        /// The other one, whose range lies directly before or behind that of the first.
        adjacent: ShardId,
    },
}

/// Why shards cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReshardError {
    /// There is no such shard.
    #[error("{shard} does not exist")]
    NoShard {
        /// The shard.
        shard: ShardId,
    },
    /// It was split or merged already.
    #[error("{shard} is closed: it was split or merged before")]
    Closed {
        /// The shard.
        shard: ShardId,
    },
    /// It is named by two changes at once.
    #[error("{shard} is named twice")]
    Twice {
        /// The shard.
        shard: ShardId,
    },
    /// The hash does not cut the range in two.
    #[error(
        "hash key {at} does not split {shard}, which has {} to {}: name one from {} to {}",
        range.first, range.last, range.first.saturating_add(1), range.last
    )]
    Outside {
        /// The shard.
        shard: ShardId,
        /// What was named.
        at: u128,
        /// The shard's range.
        range: HashRange,
    },
    /// There is something between the two.
    #[error("{shard} and {adjacent} are not adjacent")]
    NotAdjacent {
        /// One.
        shard: ShardId,
        /// The other one.
        adjacent: ShardId,
    },
    /// No more ids.
    #[error("the stream has given away all of its shard ids")]
    NoIds,
    /// There would be more open ones than a stream may have.
    #[error("the stream would have {open} open shards: {SHARDS_MAX} is the most")]
    TooMany {
        /// How many.
        open: usize,
    },
    /// There would be more closed ones than a stream may have.
    #[error(
        "the stream would have {closed} closed shards, and {CLOSED_SHARDS_MAX} is the most: they go when the retention of \
         their records is over"
    )]
    TooManyClosed {
        /// How many.
        closed: usize,
    },
}

/// What a reshard does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Shards that are closed.
    pub closed: Vec<ShardId>,
    /// Shards that follow them, in the order of their ids.
    pub children: Vec<Child>,
}

/// A shard that is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its id.
    pub id: ShardId,
    /// Its range.
    pub hash_keys: HashRange,
    /// Its parents.
    pub parents: [Option<ShardId>; 2],
}

impl Plan {
    /// Checks `changes`, which are made at once, so that none may name a shard of another.
    ///
    /// # Errors
    /// The first that cannot be made.
    pub fn new(layout: &Layout, changes: &[Change]) -> Result<Self, ReshardError> {
        let mut planner = Planner { layout, named: HashSet::new(), next_id: layout.next_id() };
        let mut plan = Self { closed: Vec::new(), children: Vec::new() };
        for change in changes {
            match *change {
                Change::Split { shard, at } => planner.split(shard, at, &mut plan)?,
                Change::Merge { shard, adjacent } => planner.merge(shard, adjacent, &mut plan)?,
            }
        }
        let before = layout.open().len();
        let open = before + plan.children.len() - plan.closed.len();
        if open > before.max(SHARDS_MAX as usize) {
            return Err(ReshardError::TooMany { open });
        }
        let closed = layout.shards().len() - before + plan.closed.len();
        if closed > CLOSED_SHARDS_MAX {
            return Err(ReshardError::TooManyClosed { closed });
        }
        Ok(plan)
    }

    /// The facts of the children, which are made at `now` (microseconds since 1970) behind the closed shards of `layout`.
    pub fn facts(&self, layout: &Layout, now: u64) -> Vec<ShardFacts> {
        let closed = || self.closed.iter().filter_map(|id| layout.get(*id));
        let oldest = closed().map(|shard| shard.facts.created + 1).max().unwrap_or_default();
        let behind = closed().map(|shard| shard.log_ref().bounds().next.0).max().unwrap_or_default();
        let (created, first) = ((now / 1_000_000).max(oldest), SequenceNumber(now.max(behind)));
        let facts = |&Child { id, hash_keys, parents }: &Child| ShardFacts {
            id,
            hash_keys,
            parents,
            created,
            first,
            end: None,
        };
        self.children.iter().map(facts).collect()
    }
}

struct Planner<'a> {
    layout: &'a Layout,
    named: HashSet<ShardId>,
    next_id: ShardId,
}

impl Planner<'_> {
    fn open(&mut self, id: ShardId) -> Result<&Shard, ReshardError> {
        let shard = self.layout.get(id).ok_or(ReshardError::NoShard { shard: id })?;
        if !shard.facts.is_open() {
            return Err(ReshardError::Closed { shard: id });
        }
        if !self.named.insert(id) {
            return Err(ReshardError::Twice { shard: id });
        }
        Ok(shard)
    }

    fn id(&mut self) -> Result<ShardId, ReshardError> {
        let id = self.next_id;
        self.next_id = ShardId(id.0.checked_add(1).ok_or(ReshardError::NoIds)?);
        Ok(id)
    }

    fn split(&mut self, id: ShardId, at: HashKey, plan: &mut Plan) -> Result<(), ReshardError> {
        let range = self.open(id)?.facts.hash_keys;
        if !range.contains(at) || at.0 == range.first {
            return Err(ReshardError::Outside { shard: id, at: at.0, range });
        }
        plan.closed.push(id);
        let halves =
            [HashRange { first: range.first, last: at.0 - 1 }, HashRange { first: at.0, last: range.last }];
        for hash_keys in halves {
            plan.children.push(Child { id: self.id()?, hash_keys, parents: [Some(id), None] });
        }
        Ok(())
    }

    fn merge(&mut self, id: ShardId, adjacent: ShardId, plan: &mut Plan) -> Result<(), ReshardError> {
        let one = self.open(id)?.facts.hash_keys;
        let other = self.open(adjacent)?.facts.hash_keys;
        let (low, high) = if one.first < other.first { (one, other) } else { (other, one) };
        if low.last.checked_add(1) != Some(high.first) {
            return Err(ReshardError::NotAdjacent { shard: id, adjacent });
        }
        plan.closed.extend([id, adjacent]);
        let hash_keys = HashRange { first: low.first, last: high.last };
        plan.children.push(Child { id: self.id()?, hash_keys, parents: [Some(id), Some(adjacent)] });
        Ok(())
    }
}

/// The next step on the way to `count` open shards of even ranges: changes that can be made at once. Empty when the
/// goal is reached. First every boundary that is wanted is cut, then every one that is not is mended; a boundary that
/// stays is not touched.
pub fn towards(layout: &Layout, count: u32) -> Vec<Change> {
    let wanted: Vec<u128> = HashRange::even(count).map(|range| range.first).collect();
    let splits: Vec<_> = layout.open().filter_map(|shard| cut(&shard.facts, &wanted)).collect();
    if !splits.is_empty() {
        return splits;
    }
    let mut merges = Vec::new();
    let mut open = layout.open().map(|shard| &shard.facts).peekable();
    while let Some(shard) = open.next() {
        let is_unwanted = |next: &&ShardFacts| wanted.binary_search(&next.hash_keys.first).is_err();
        if let Some(next) = open.next_if(is_unwanted) {
            merges.push(Change::Merge { shard: shard.id, adjacent: next.id });
        }
    }
    merges
}

/// The split of a shard at the middle one of the `wanted` boundaries within it.
fn cut(shard: &ShardFacts, wanted: &[u128]) -> Option<Change> {
    let HashRange { first, last } = shard.hash_keys;
    let from = wanted.partition_point(|&start| start <= first);
    let to = wanted.partition_point(|&start| start <= last);
    let at = *wanted.get(from..to)?.get((to - from) / 2)?;
    Some(Change::Split { shard: shard.id, at: HashKey(at) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::stream::layout::ShardStore;
    use crate::stream::memory::{MemoryLog, Retention};

    fn shard(facts: ShardFacts) -> Shard {
        let retention = Retention { age: Duration::from_secs(1), bytes: None };
        Shard::new(facts, ShardStore::Memory(Arc::new(MemoryLog::new(facts.first, retention, 0))))
    }

    fn layout(count: u32) -> Layout {
        Layout::new(ShardFacts::even(count, 1, SequenceNumber(1)).map(shard).collect(), ShardId(count))
    }

    fn apply(layout: &Layout, changes: &[Change]) -> Layout {
        let plan = Plan::new(layout, changes).unwrap();
        let children = plan.facts(layout, 0);
        let mut shards = layout.shards().to_vec();
        for shard in shards.iter_mut().filter(|shard| plan.closed.contains(&shard.facts.id)) {
            shard.facts.end = Some(SequenceNumber(1));
        }
        let next = layout.next_id().0 + children.len() as u32;
        shards.extend(children.into_iter().map(shard));
        let facts: Vec<_> = shards.iter().map(|shard| shard.facts).collect();
        Layout::check(&facts).unwrap();
        Layout::new(shards, ShardId(next))
    }

    fn split(shard: u32, at: u128) -> Change {
        Change::Split { shard: ShardId(shard), at: HashKey(at) }
    }

    fn merge(shard: u32, adjacent: u32) -> Change {
        Change::Merge { shard: ShardId(shard), adjacent: ShardId(adjacent) }
    }

    #[test]
    fn a_split_cuts_the_range_and_a_merge_joins_two() {
        let parted = apply(&layout(1), &[split(0, 100)]);
        let ranges: Vec<_> = parted.open().map(|shard| (shard.facts.id.0, shard.facts.hash_keys)).collect();
        assert_eq!(
            ranges,
            [(1, HashRange { first: 0, last: 99 }), (2, HashRange { first: 100, last: u128::MAX })]
        );
        let joined = apply(&parted, &[merge(2, 1)]);
        let one = joined.get(ShardId(3)).unwrap();
        assert_eq!(one.facts.hash_keys, HashRange { first: 0, last: u128::MAX });
        assert_eq!(one.facts.parents, [Some(ShardId(2)), Some(ShardId(1))]);
        assert!(one.facts.created > parted.get(ShardId(2)).unwrap().facts.created);
        assert_eq!(joined.children(ShardId(0)).count(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        let layout = apply(&layout(4), &[merge(0, 1)]);
        let refused = |changes: &[Change]| Plan::new(&layout, changes).unwrap_err();
        assert_eq!(refused(&[split(9, 5)]), ReshardError::NoShard { shard: ShardId(9) });
        assert_eq!(refused(&[split(0, 5)]), ReshardError::Closed { shard: ShardId(0) });
        assert_eq!(
            refused(&[merge(4, 3)]),
            ReshardError::NotAdjacent { shard: ShardId(4), adjacent: ShardId(3) }
        );
        assert_eq!(refused(&[merge(2, 2)]), ReshardError::Twice { shard: ShardId(2) });
        let range = layout.get(ShardId(2)).unwrap().facts.hash_keys;
        for at in [range.first, range.last.wrapping_add(1), 0] {
            assert_eq!(refused(&[split(2, at)]), ReshardError::Outside { shard: ShardId(2), at, range });
        }
    }

    #[test]
    fn a_reader_takes_children_only_behind_their_parents() {
        let layout = apply(&layout(2), &[merge(0, 1)]);
        let child = layout.get(ShardId(2)).unwrap().facts;
        let at = |positions: [Option<u64>; 2]| {
            layout.may_read(&child, |id| positions[id.0 as usize].map(SequenceNumber))
        };
        assert!(!at([Some(0), Some(1)]));
        assert!(!at([Some(1), Some(0)]));
        assert!(at([Some(1), Some(1)]));
        assert!(at([None, Some(1)]), "a shard that the reader does not follow holds nothing up");
        // The parent in between has had no records.
        let deeper = apply(&layout, &[split(2, 7)]);
        let grandchild = deeper.get(ShardId(3)).unwrap().facts;
        let at = |position: u64| {
            deeper.may_read(&grandchild, |id| Some(SequenceNumber(if id.0 < 2 { position } else { 1 })))
        };
        assert!(!at(0) && at(1));
        let orphaned = layout.without(|shard| shard.facts.id != ShardId(2));
        assert!(orphaned.may_read(&child, |_| Some(SequenceNumber(0))));
    }

    proptest! {
        #[test]
        fn any_count_is_reached_and_every_hash_has_one_shard_at_each_step(
            from in 1..40_u32,
            to in 1..40_u32,
            hashes in prop::collection::vec(any::<u128>(), 8),
        ) {
            let mut layout = layout(from);
            let mut steps = 0;
            loop {
                for &hash in &hashes {
                    let of = layout.open_shard_of(HashKey(hash));
                    prop_assert!(layout.get(of).unwrap().facts.hash_keys.contains(HashKey(hash)));
                }
                let changes = towards(&layout, to);
                if changes.is_empty() {
                    break;
                }
                layout = apply(&layout, &changes);
                steps += 1;
                prop_assert!(steps < 20);
            }
            let ranges: Vec<_> = layout.open().map(|shard| shard.facts.hash_keys).collect();
            prop_assert_eq!(ranges, HashRange::even(to).collect::<Vec<_>>());
        }
    }
}
