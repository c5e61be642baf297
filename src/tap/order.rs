//! Which shards a reader may read: a child only once all its parents are read to their end, so that the records of a
//! key keep their order over a split or a merge.

use crate::record::{SequenceNumber, ShardId};

/// Where a shard comes from and whether it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The shards that it took over from.
    pub parents: [Option<ShardId>; 2],
    /// The number behind its last record, once it is closed.
    pub end: Option<SequenceNumber>,
}

/// Whether a reader may read a shard with these `parents`. `lineage` knows the shards that are still there, `position`
/// where the reader stands in those that it reads.
///
/// A parent that is not there any more has nothing left to read, and one that the reader has not asked for is none of
/// its concern.
pub fn may_read(
    parents: [Option<ShardId>; 2],
    lineage: impl Fn(ShardId) -> Option<Lineage>,
    position: impl Fn(ShardId) -> Option<SequenceNumber>,
) -> bool {
    parents.into_iter().flatten().all(|parent| match (lineage(parent), position(parent)) {
        (Some(Lineage { end, .. }), Some(position)) => end.is_some_and(|end| position >= end),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 was split into 1 and 2; 2 was merged with 3 into 4.
    const FAMILY: [([Option<u32>; 2], Option<u64>); 5] = [
        ([None, None], Some(10)),
        ([Some(0), None], None),
        ([Some(0), None], Some(20)),
        ([None, None], Some(30)),
        ([Some(2), Some(3)], None),
    ];

    fn lineage(shard: ShardId) -> Option<Lineage> {
        let (parents, end) = FAMILY.get(shard.0 as usize)?;
        Some(Lineage { parents: parents.map(|id| id.map(ShardId)), end: end.map(SequenceNumber) })
    }

    /// Which of the family may be read from these positions.
    fn readable(positions: &[(u32, u64)]) -> Vec<u32> {
        let position = |shard: ShardId| {
            positions.iter().find(|(id, _)| *id == shard.0).map(|&(_, position)| SequenceNumber(position))
        };
        let may = |id: &u32| may_read(lineage(ShardId(*id)).unwrap().parents, lineage, position);
        positions.iter().map(|(id, _)| *id).filter(may).collect()
    }

    #[test]
    fn a_child_waits_until_its_parents_are_read_to_their_end() {
        assert_eq!(readable(&[(0, 9), (1, 0), (2, 0), (3, 0), (4, 0)]), [0, 3]);
        assert_eq!(readable(&[(0, 10), (1, 0), (2, 0), (3, 30), (4, 0)]), [0, 1, 2, 3]);
        assert_eq!(readable(&[(0, 10), (1, 0), (2, 19), (3, 30), (4, 0)]), [0, 1, 2, 3]);
        assert_eq!(readable(&[(0, 10), (1, 0), (2, 20), (3, 30), (4, 0)]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_reader_of_a_child_alone_does_not_wait_for_what_it_does_not_read() {
        assert_eq!(readable(&[(4, 0)]), [4]);
        assert_eq!(readable(&[(3, 0), (4, 0)]), [3]);
    }

    #[test]
    fn a_parent_that_is_gone_has_been_read() {
        let position = |_| Some(SequenceNumber(0));
        assert!(may_read([Some(ShardId(7)), None], |_| None, position));
        let open = |_| Some(Lineage::default());
        assert!(!may_read([Some(ShardId(7)), None], open, position), "a parent that still goes on");
    }
}
