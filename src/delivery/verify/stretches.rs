//! Records of any bytes one behind the other, with nothing between them that tells where one ends.
//!
//! The log knows the records of each shard and their order; how the shards mix is the delivery's business. So the bytes
//! are read as a merge of the shards' records: at each place the next record of some shard must stand. Where it could be
//! that of more than one, because the one begins with the other, all of these ways are followed until the bytes decide.

use std::collections::BTreeSet;
use std::io::{self, Write};

use xxhash_rust::xxh3::xxh3_64;

use super::lines::Mark;
use crate::record::ShardId;

/// Ways that are followed at a time. Only records that begin with one another make more than one way, and those that are
/// the same have any number of right ones.
const WAYS_MAX: usize = 1_024;

/// What a record makes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its hash.
    pub mark: Mark,
    /// Its length.
    pub bytes: u32,
}

impl Stretch {
    /// What stands for `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        // Records have 32 MiB at most.
        Self { mark: xxh3_64(bytes), bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }
}

/// How bytes differ from the records that they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// Bytes up to which they are the records.
    pub at: u64,
    /// Bytes of all records.
    pub expected: u64,
    /// Bytes that there are.
    pub found: u64,
}

/// How far one way is: the place, and how many records of each shard stand before it.
type Way = (u64, Box<[u32]>);

/// Takes bytes in pieces.
pub struct Merge<'a> {
    shards: Vec<&'a [Stretch]>,
    ways: BTreeSet<Way>,
    /// Whether there were more ways than are followed.
    is_pruned: bool,
    /// Whether a way has come to the end of all records.
    is_complete: bool,
    /// How far the one that came farthest is.
    farthest: u64,
    /// Bytes that a way has still to go through; they begin at `begin`.
    window: Vec<u8>,
    begin: u64,
}

impl<'a> Merge<'a> {
    /// Of the records of some shards, in order.
    pub fn new(shards: &'a [(ShardId, Vec<Stretch>)]) -> Self {
        let shards: Vec<_> = shards.iter().map(|(_, stretches)| stretches.as_slice()).collect();
        let start = (0, vec![0; shards.len()].into_boxed_slice());
        Self {
            shards,
            ways: BTreeSet::from([start]),
            is_pruned: false,
            is_complete: false,
            farthest: 0,
            window: Vec::new(),
            begin: 0,
        }
    }

    /// Follows all ways as far as there are bytes for any record; to their end, if there will be no more.
    fn follow(&mut self, is_end: bool) {
        while let Some((at, taken)) = self.ways.pop_first() {
            // The window begins at the way that is least far, or before it.
            let rest = usize::try_from(at - self.begin).ok().and_then(|at| self.window.get(at..));
            let rest = rest.unwrap_or_default();
            let next = |shard: usize| self.shards.get(shard)?.get(*taken.get(shard)? as usize).copied();
            let longest = (0..self.shards.len()).filter_map(next).map(|stretch| stretch.bytes).max();
            let Some(longest) = longest else {
                self.is_complete = true;
                self.farthest = at;
                continue;
            };
            if !is_end && (rest.len() as u64) < u64::from(longest) {
                self.ways.insert((at, taken));
                break;
            }
            self.farthest = self.farthest.max(at);
            let mut on = Vec::new();
            for shard in 0..self.shards.len() {
                let Some(stretch) = next(shard) else { continue };
                let bytes = rest.get(..stretch.bytes as usize);
                if bytes.is_some_and(|bytes| xxh3_64(bytes) == stretch.mark) {
                    let mut taken = taken.clone();
                    if let Some(count) = taken.get_mut(shard) {
                        *count += 1;
                    }
                    on.push((at + u64::from(stretch.bytes), taken));
                }
            }
            self.ways.extend(on);
            while self.ways.len() > WAYS_MAX {
                self.is_pruned = true;
                self.ways.pop_last();
            }
        }
        let needed = self.ways.first().map_or(self.begin + self.window.len() as u64, |(at, _)| *at);
        let passed = usize::try_from(needed - self.begin).unwrap_or_default().min(self.window.len());
        self.window.drain(..passed);
        self.begin += passed as u64;
    }

    /// There are no more bytes: how they differ, if they do. Where there were too many ways, the length alone tells.
    pub fn finish(mut self) -> Option<Deviation> {
        let found = self.begin + self.window.len() as u64;
        self.follow(true);
        let records = self.shards.iter().copied().flatten();
        let expected = records.map(|stretch| u64::from(stretch.bytes)).sum();
        let is_same = found == expected && (self.is_complete || self.is_pruned);
        (!is_same).then_some(Deviation { at: self.farthest, expected, found })
    }
}

impl Write for Merge<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.window.extend_from_slice(bytes);
        self.follow(false);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretches(shards: &[Vec<Vec<u8>>]) -> Vec<(ShardId, Vec<Stretch>)> {
        let of = |records: &Vec<Vec<u8>>| records.iter().map(|record| Stretch::of(record)).collect();
        (0..).map(ShardId).zip(shards.iter().map(of)).collect()
    }

    fn differs(bytes: &[u8], piece: usize, shards: &[Vec<Vec<u8>>]) -> Option<Deviation> {
        let stretches = stretches(shards);
        let mut merge = Merge::new(&stretches);
        bytes.chunks(piece).for_each(|piece| merge.write_all(piece).unwrap());
        merge.finish()
    }

    /// The shards' records, mixed as `order` says.
    fn mixed(shards: &[Vec<Vec<u8>>], order: &[usize]) -> Vec<u8> {
        let mut rest: Vec<_> = shards.iter().map(|records| records.iter()).collect();
        let mut bytes = Vec::new();
        for shard in order.iter().copied().chain((0..shards.len()).flat_map(|shard| [shard; 40])) {
            let record = rest.get_mut(shard % shards.len()).and_then(Iterator::next);
            bytes.extend_from_slice(record.map_or(&[], Vec::as_slice));
        }
        bytes
    }

    /// Records that begin with one another more often than not.
    fn shards() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let record = prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..4);
        prop::collection::vec(prop::collection::vec(record, 0..20), 1..4)
    }

    proptest! {
        #[test]
        fn shards_may_mix_in_any_way(
            shards in shards(),
            order in prop::collection::vec(0_usize..3, 0..60),
            piece in 1_usize..9,
        ) {
            prop_assert_eq!(differs(&mixed(&shards, &order), piece, &shards), None);
        }

        #[test]
        fn a_byte_that_is_another_is_noticed(
            shards in shards(),
            order in prop::collection::vec(0_usize..3, 0..60),
            at: prop::sample::Index,
        ) {
            let mut bytes = mixed(&shards, &order);
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] = b'c';
            let deviation = differs(&bytes, 5, &shards).unwrap();
            prop_assert!(deviation.at <= at as u64, "{:?}", deviation);
        }

        #[test]
        fn what_is_missing_or_too_much_is_noticed(shards in shards(), piece in 1_usize..9) {
            let bytes = mixed(&shards, &[]);
            let longer = [bytes.as_slice(), b"a"].concat();
            prop_assert!(differs(&longer, piece, &shards).is_some());
            if let Some((_, shorter)) = bytes.split_last() {
                prop_assert!(differs(shorter, piece, &shards).is_some());
            }
        }
    }

    #[test]
    fn records_of_a_shard_keep_their_order() {
        let shards = [vec![b"one".to_vec(), b"two".to_vec()], vec![b"three".to_vec()]];
        assert_eq!(differs(b"onethreetwo", 4, &shards), None);
        let deviation = differs(b"twothreeone", 4, &shards);
        assert_eq!(deviation, Some(Deviation { at: 0, expected: 11, found: 11 }));
        assert_eq!(differs(b"onetwothre3", 4, &shards).map(|deviation| deviation.at), Some(6));
    }

    #[test]
    fn records_that_are_all_the_same_do_not_make_ways_without_end() {
        let shards = vec![vec![b"same".to_vec(); 300]; 6];
        assert_eq!(differs(&b"same".repeat(1_800), 1_000, &shards), None);
        assert!(differs(&b"same".repeat(1_799), 1_000, &shards).is_some());
    }
}
