//! Which records of each shard are in a file.

use std::collections::HashMap;

use super::ledger::SealedRange;
use crate::record::{SequenceNumber, ShardId};

/// So many ranges are looked through one by one; when there are more, a map finds them. Most files stay below it.
const SCANNED_MAX: usize = 8;

/// First and last record of each shard, in the order in which the shards came. Records of other files may lie between
/// them.
#[derive(Debug, Default)]
pub struct Ranges {
    list: Vec<SealedRange>,
    /// Index of the one that has grown last: slices come shard by shard, so that it is nearly always the next as well.
    last: usize,
    /// Index by shard of all of them; empty while there are few.
    by_shard: HashMap<ShardId, usize, foldhash::fast::RandomState>,
}

impl Ranges {
    /// Adds a record, which comes behind those of its shard that are there already.
    #[inline]
    pub fn add(&mut self, shard: ShardId, number: SequenceNumber) {
        if self.list.get(self.last).is_none_or(|range| range.shard != shard) {
            match self.find(shard) {
                Some(index) => self.last = index,
                None => return self.begin(shard, number),
            }
        }
        if let Some(range) = self.list.get_mut(self.last) {
            range.last = number;
            range.records += 1;
        }
    }

    fn find(&self, shard: ShardId) -> Option<usize> {
        if self.list.len() <= SCANNED_MAX {
            return self.list.iter().position(|range| range.shard == shard);
        }
        self.by_shard.get(&shard).copied()
    }

    fn begin(&mut self, shard: ShardId, number: SequenceNumber) {
        self.last = self.list.len();
        self.list.push(SealedRange { shard, first: number, last: number, records: 1 });
        match self.list.len() {
            ..=SCANNED_MAX => {}
            count if count == SCANNED_MAX + 1 => {
                self.by_shard =
                    self.list.iter().enumerate().map(|(index, range)| (range.shard, index)).collect();
            }
            _ => {
                self.by_shard.insert(shard, self.last);
            }
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[SealedRange] {
        &self.list
    }

    /// All of them, for a file that is closed.
    pub fn into_vec(self) -> Vec<SealedRange> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_those_of_a_search_through_all_of_them(shards in prop::collection::vec(0..20_u32, 0..200)) {
            let (mut ranges, mut expected) = (Ranges::default(), Vec::<SealedRange>::new());
            for (number, shard) in shards.into_iter().enumerate() {
                let (shard, number) = (ShardId(shard), SequenceNumber(number as u64));
                ranges.add(shard, number);
                match expected.iter_mut().find(|range| range.shard == shard) {
                    Some(range) => (range.last, range.records) = (number, range.records + 1),
                    None => expected.push(SealedRange { shard, first: number, last: number, records: 1 }),
                }
                prop_assert_eq!(ranges.as_slice(), &expected);
            }
            prop_assert_eq!(ranges.into_vec(), expected);
        }
    }

    #[test]
    fn a_shard_that_is_there_is_found_without_a_look_at_the_others() {
        let mut ranges = Ranges::default();
        for round in 0..3 {
            for shard in 0..4_096 {
                ranges.add(ShardId(shard), SequenceNumber(round));
                assert_eq!(ranges.last, shard as usize);
            }
        }
        assert_eq!((ranges.list.len(), ranges.by_shard.len()), (4_096, 4_096));
    }
}
