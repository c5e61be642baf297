//! The shards that a topic has had: a generation of them for each number of partitions.
//!
//! ```text
//! partition   generation 1            generation 2
//!     0       shard 0: 0 up to E₀     shard 2: from E₀ on      parent 0
//!     1       shard 1: 0 up to E₁     shard 3: from E₁ on      parents 0 and 1
//!     2                               shard 4: from 0 on       parent 1
//! ```
//!
//! The ranges of hashes of every generation are even, so all of its shards are new ones. A child is narrower than each shard
//! of the generation before, since there are more of them, and so it overlaps with at most two, which are its parents.
//! That is so by more than the remainder of a division, by which the last range may be wider than the others:
//! 2¹²⁸/N − 2¹²⁸/M ≥ 2¹²⁸/(N·M) ≥ 2¹⁰⁴ for N < M ≤ [`SHARDS_MAX`] = 2¹².

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::super::CREATED;
use crate::config::limits::{CLOSED_SHARDS_MAX, SHARDS_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::stream::hash::HashRange;
use crate::stream::layout::ShardFacts;

/// The shards of one number of partitions. It is written once, by one node, and read by all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// From 1.
    pub number: u32,
    /// How many partitions it has, and shards.
    pub partitions: u32,
    /// When its shards were made, in seconds since 1970; later than those of the generation before.
    pub created: u64,
    /// For each partition of the generation before, the offset with which that ends in it, and this one begins. The first
    /// one has none.
    pub ends: Vec<u64>,
}

impl Generation {
    /// The first one.
    pub fn first(partitions: u32) -> Self {
        Self { number: 1, partitions, created: CREATED, ends: Vec::new() }
    }

    /// The offset with which it begins in a partition.
    pub fn begins_at(&self, partition: u32) -> u64 {
        self.ends.get(partition as usize).copied().unwrap_or_default()
    }
}

/// Why a generation cannot follow others.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenerationError {
    /// It is not the next one.
    #[error("generation {number} does not follow {after} others")]
    OutOfOrder {
        /// Its number.
        number: u32,
        /// How many there are.
        after: usize,
    },
    /// A topic never has fewer partitions than before, unless it is another one.
    #[error(
        "the topic has {partitions} partitions, and has had {before}: it was made again. Give the stream a topic of another \
         name"
    )]
    NotMore {
        /// Of the new one.
        partitions: u32,
        /// Of the one before.
        before: u32,
    },
    /// More than a stream may have.
    #[error("the topic has {partitions} partitions, and a stream has {SHARDS_MAX} shards at most")]
    TooMany {
        /// How many.
        partitions: u32,
    },
    /// More closed ones than a stream may have.
    #[error("the stream would have {closed} closed shards, and {CLOSED_SHARDS_MAX} is the most")]
    TooManyClosed {
        /// How many.
        closed: usize,
    },
    /// Some end is missing, or lies before the beginning.
    #[error("generation {number} does not say where each partition of the one before ends")]
    Ends {
        /// Its number.
        number: u32,
    },
    /// Shards would not be younger than their parents.
    #[error("generation {number} was made before the one that it follows")]
    Created {
        /// Its number.
        number: u32,
    },
}

/// A shard of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// What is known of it.
    pub facts: ShardFacts,
    /// The partition that its records are in, from `facts.first` on, up to `facts.end` if it is closed.
    pub partition: u32,
    /// Number of the generation that it is of.
    pub generation: u32,
}

/// All generations of a topic, from the first on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generations {
    known: Vec<Generation>,
}

impl Generations {
    /// All of them.
    pub fn known(&self) -> &[Generation] {
        &self.known
    }

    /// The one whose shards are open.
    pub fn newest(&self) -> Option<&Generation> {
        self.known.last()
    }

    /// The number of the one that comes next.
    pub fn next_number(&self) -> u32 {
        self.newest().map_or(1, |newest| newest.number + 1)
    }

    /// Adds the next one.
    ///
    /// # Errors
    /// If it does not follow the others. Nothing is changed then.
    pub fn push(&mut self, next: Generation) -> Result<(), GenerationError> {
        let Generation { number, partitions, .. } = next;
        if number != self.next_number() {
            return Err(GenerationError::OutOfOrder { number, after: self.known.len() });
        }
        self.may_follow(partitions)?;
        let begins = |partition| self.newest().map_or(0, |newest| newest.begins_at(partition));
        let expected = self.newest().map_or(0, |newest| newest.partitions as usize);
        let is_in_order = (0..).zip(&next.ends).all(|(partition, &end)| end >= begins(partition));
        if next.ends.len() != expected || !is_in_order {
            return Err(GenerationError::Ends { number });
        }
        if self.newest().is_some_and(|newest| next.created <= newest.created) {
            return Err(GenerationError::Created { number });
        }
        self.known.push(next);
        Ok(())
    }

    /// Whether one of so many partitions may come next.
    ///
    /// # Errors
    /// Why not.
    pub fn may_follow(&self, partitions: u32) -> Result<(), GenerationError> {
        let before = self.newest().map_or(0, |newest| newest.partitions);
        if partitions <= before {
            return Err(GenerationError::NotMore { partitions, before });
        }
        if partitions > SHARDS_MAX {
            return Err(GenerationError::TooMany { partitions });
        }
        let closed = self.known.iter().map(|generation| generation.partitions as usize).sum();
        if closed > CLOSED_SHARDS_MAX {
            return Err(GenerationError::TooManyClosed { closed });
        }
        Ok(())
    }

    /// The next one: the newest ends at `ends`, and it is `now`, in seconds since 1970.
    ///
    /// # Errors
    /// If it cannot follow.
    pub fn next(&self, partitions: u32, ends: Vec<u64>, now: u64) -> Result<Generation, GenerationError> {
        let created = self.newest().map_or(CREATED, |newest| now.max(newest.created + 1));
        let next = Generation { number: self.next_number(), partitions, created, ends };
        self.clone().push(next.clone())?;
        Ok(next)
    }

    /// The id of the first shard of the generation at `index`.
    fn first_id(&self, index: usize) -> u32 {
        self.known.iter().take(index).map(|generation| generation.partitions).sum()
    }

    /// The id that the first shard of the next generation gets.
    pub fn next_id(&self) -> ShardId {
        ShardId(self.first_id(self.known.len()))
    }

    /// The open shard of a partition.
    pub fn open_shard(&self, partition: u32) -> Option<ShardId> {
        let newest = self.newest().filter(|newest| partition < newest.partitions)?;
        Some(ShardId(self.first_id(self.known.len()) - newest.partitions + partition))
    }

    /// All shards, in the order of their ids. Whoever has the same generations has the same shards.
    pub fn shards(&self) -> Vec<Placed> {
        let mut shards: Vec<Placed> = Vec::new();
        for (index, generation) in self.known.iter().enumerate() {
            let before = index.checked_sub(1).map_or(0, |before| self.first_id(before)) as usize;
            let elders: Vec<ShardFacts> =
                shards.get(before..).unwrap_or_default().iter().map(|elder| elder.facts).collect();
            let id = self.first_id(index);
            let follower = self.known.get(index + 1);
            for (partition, hash_keys) in (0..).zip(HashRange::even(generation.partitions)) {
                let facts = ShardFacts {
                    id: ShardId(id + partition),
                    hash_keys,
                    parents: parents(&elders, hash_keys),
                    created: generation.created,
                    first: SequenceNumber(generation.begins_at(partition)),
                    end: follower.map(|follower| SequenceNumber(follower.begins_at(partition))),
                };
                shards.push(Placed { facts, partition, generation: generation.number });
            }
        }
        shards
    }
}

/// Those of the generation before, in the order of their hashes, whose ranges overlap with `range`: one or two.
fn parents(elders: &[ShardFacts], range: HashRange) -> [Option<ShardId>; 2] {
    let from = elders.partition_point(|elder| elder.hash_keys.last < range.first);
    let overlap = elders.iter().skip(from).take_while(|elder| elder.hash_keys.first <= range.last);
    let mut ids = overlap.map(|elder| elder.id);
    [ids.next(), ids.next()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::stream::layout::Layout;

    fn generations(given: &[(u32, &[u64])]) -> Generations {
        let mut generations = Generations::default();
        for &(partitions, ends) in given {
            let next = generations.next(partitions, ends.to_vec(), 1_000).unwrap();
            generations.push(next).unwrap();
        }
        generations
    }

    #[test]
    fn shards_of_a_topic_that_grows_follow_each_other_in_its_partitions() {
        let grown = generations(&[(2, &[]), (3, &[10, 0]), (4, &[12, 5, 6])]);
        let shown: Vec<_> = grown
            .shards()
            .iter()
            .map(|Placed { facts, partition, .. }| {
                let parents: Vec<_> = facts.parents().map(|parent| parent.0).collect();
                (facts.id.0, *partition, facts.first.0, facts.end.map(|end| end.0), parents)
            })
            .collect();
        let expected = [
            (0, 0, 0, Some(10), vec![]),
            (1, 1, 0, Some(0), vec![]),
            (2, 0, 10, Some(12), vec![0]),
            (3, 1, 0, Some(5), vec![0, 1]),
            (4, 2, 0, Some(6), vec![1]),
            (5, 0, 12, None, vec![2]),
            (6, 1, 5, None, vec![2, 3]),
            (7, 2, 6, None, vec![3, 4]),
            (8, 3, 0, None, vec![4]),
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            (grown.next_id(), grown.open_shard(3), grown.open_shard(4)),
            (ShardId(9), Some(ShardId(8)), None)
        );
        let created: Vec<_> = grown.known().iter().map(|generation| generation.created).collect();
        assert_eq!(created, [0, 1_000, 1_001]);
    }

    #[test]
    fn the_first_generation_has_the_shards_of_a_topic_that_never_grew() {
        let even: Vec<_> = ShardFacts::even(7, CREATED, SequenceNumber(0)).collect();
        let first: Vec<_> = generations(&[(7, &[])]).shards().iter().map(|placed| placed.facts).collect();
        assert_eq!(first, even);
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        let known = generations(&[(2, &[]), (3, &[10, 4])]);
        let refused = |next: Generation| known.clone().push(next).unwrap_err();
        let next = known.next(4, vec![10, 4, 0], 2_000).unwrap();
        assert_eq!(
            refused(Generation { number: 2, ..next.clone() }),
            GenerationError::OutOfOrder { number: 2, after: 2 }
        );
        assert_eq!(
            refused(Generation { partitions: 3, ..next.clone() }),
            GenerationError::NotMore { partitions: 3, before: 3 }
        );
        let many = SHARDS_MAX + 1;
        assert_eq!(
            refused(Generation { partitions: many, ..next.clone() }),
            GenerationError::TooMany { partitions: many }
        );
        for ends in [vec![10, 4], vec![10, 4, 0, 0], vec![9, 4, 0]] {
            assert_eq!(refused(Generation { ends, ..next.clone() }), GenerationError::Ends { number: 3 });
        }
        assert_eq!(refused(Generation { created: 1_000, ..next }), GenerationError::Created { number: 3 });
    }

    #[test]
    fn the_number_of_closed_shards_is_bounded() {
        let mut generations = Generations::default();
        let mut partitions = SHARDS_MAX - 10;
        let refused = loop {
            let ends = vec![0; generations.newest().map_or(0, |newest| newest.partitions as usize)];
            match generations.next(partitions, ends, 0) {
                Ok(next) => generations.push(next).unwrap(),
                Err(refused) => break refused,
            }
            partitions += 1;
        };
        assert!(matches!(refused, GenerationError::TooManyClosed { .. }), "{refused}");
    }

    proptest! {
        #[test]
        fn a_child_has_the_parents_that_it_overlaps_with_and_windows_fill_each_partition(
            counts in prop::collection::btree_set(1..=60_u32, 1..5),
            steps in prop::collection::vec(0..100_u64, 60),
        ) {
            let mut known = Generations::default();
            let mut ends: Vec<u64> = Vec::new();
            for &count in &counts {
                let next = known.next(count, ends.clone(), 50).unwrap();
                known.push(next).unwrap();
                ends.resize(count as usize, 0);
                ends.iter_mut().zip(&steps).for_each(|(end, step)| *end += step);
            }
            let shards = known.shards();
            let facts: Vec<_> = shards.iter().map(|placed| placed.facts).collect();
            prop_assert_eq!(Layout::check(&facts), Ok(()));
            for child in &shards {
                let is_elder = |elder: &&Placed| elder.facts.end.is_some() && is_before(&known, elder, child);
                let overlapping: BTreeSet<_> = shards
                    .iter()
                    .filter(is_elder)
                    .filter(|elder| {
                        let (a, b) = (elder.facts.hash_keys, child.facts.hash_keys);
                        a.first <= b.last && b.first <= a.last
                    })
                    .map(|elder| elder.facts.id)
                    .collect();
                prop_assert_eq!(child.facts.parents().collect::<BTreeSet<_>>(), overlapping);
                let same = shards.iter().filter(|other| other.partition == child.partition);
                let after = same.clone().find(|other| other.facts.id > child.facts.id);
                prop_assert_eq!(after.map(|after| after.facts.first), child.facts.end);
            }
        }

        #[test]
        fn no_count_up_to_the_most_has_a_child_of_three(before in 1..SHARDS_MAX, more in 1..SHARDS_MAX) {
            let after = (before + more).min(SHARDS_MAX);
            let elders: Vec<_> = ShardFacts::even(before, 0, SequenceNumber(0)).collect();
            for range in HashRange::even(after) {
                let [first, second] = parents(&elders, range);
                let first = first.unwrap();
                let last = elders[second.unwrap_or(first).0 as usize].hash_keys;
                prop_assert!(elders[first.0 as usize].hash_keys.first <= range.first && range.last <= last.last);
            }
        }
    }

    fn is_before(known: &Generations, elder: &Placed, child: &Placed) -> bool {
        let generation = |placed: &Placed| {
            (0..known.known().len()).rfind(|&index| known.first_id(index) <= placed.facts.id.0).unwrap()
        };
        generation(elder) + 1 == generation(child)
    }
}
