//! Which shard a partition key belongs to: MD5 of the key as a 128-bit number, as in Kinesis.

use md5::{Digest, Md5};

use crate::record::ShardId;

/// A place in the hash space of partition keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The hash of a partition key: its MD5, most significant byte first.
    pub fn of(partition_key: &[u8]) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key).into()))
    }
}

/// The hash space cut into one contiguous range a shard.
#[derive(Debug, Clone)]
pub struct HashRanges {
    /// First hash of each range, ascending; the first is zero.
    starts: Vec<u128>,
}

impl HashRanges {
    /// `shards` ranges of equal size; the last takes the remainder.
    pub fn even(shards: u32) -> Self {
        let shards = u128::from(shards.max(1));
        // 2^128 / shards without a 129-bit number: exact for powers of two (and 0 for one shard, whose only range
        // begins at 0), else rounded down.
        let size = (u128::MAX / shards).wrapping_add(u128::from(shards.is_power_of_two()));
        Self { starts: (0..shards).map(|index| size.wrapping_mul(index)).collect() }
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Never: there is always one range.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The shard that owns `hash`.
    #[inline]
    pub fn shard_of(&self, hash: HashKey) -> ShardId {
        let index = self.starts.partition_point(|&start| start <= hash.0);
        ShardId(index.saturating_sub(1) as u32)
    }

    /// First and last hash of a shard's range.
    pub fn range(&self, shard: ShardId) -> Option<(HashKey, HashKey)> {
        let index = shard.0 as usize;
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).map_or(u128::MAX, |next| next - 1);
        Some((HashKey(start), HashKey(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_hash_space_without_gap_or_overlap() {
        for shards in [1, 2, 3, 4, 7, 1000] {
            let ranges = HashRanges::even(shards);
            let mut expected_start = 0;
            for index in 0..shards {
                let (start, end) = ranges.range(ShardId(index)).unwrap();
                assert_eq!(start.0, expected_start);
                assert!(end > start);
                assert_eq!(ranges.shard_of(start), ShardId(index));
                assert_eq!(ranges.shard_of(end), ShardId(index));
                expected_start = end.0.wrapping_add(1);
            }
            assert_eq!(expected_start, 0, "the last range ends at 2^128 - 1");
        }
    }

    #[test]
    fn a_key_hashes_as_md5_says() {
        // `printf a | md5sum`
        assert_eq!(HashKey::of(b"a").0, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }
}
