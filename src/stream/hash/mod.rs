//! Which shard a partition key belongs to: MD5 of the key as a 128-bit number, as in Kinesis.

mod lanes;

use md5::{Digest, Md5};

/// As few keys cost less alone: eight lanes take the time of two and a half keys (`benches/limits/stages.rs`).
const TOGETHER_MIN: usize = 3;

/// A place in the hash space of partition keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The hash of a partition key: its MD5, most significant byte first.
    pub fn of(partition_key: &[u8]) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key).into()))
    }

    /// The hashes of many keys, `count_max` of them at most, in their order. Faster than one by one where keys are short,
    /// as nearly all are.
    pub fn of_all<'a>(partition_keys: impl IntoIterator<Item = &'a [u8]>, count_max: usize) -> Vec<Self> {
        let mut keys = partition_keys.into_iter();
        let mut hashes = Vec::with_capacity(count_max);
        let mut together: [&[u8]; lanes::LANES] = [&[]; lanes::LANES];
        loop {
            let mut count = 0;
            let mut is_long = false;
            for key in keys.by_ref().take(lanes::LANES) {
                together[count] = key;
                count += 1;
                is_long |= key.len() > lanes::KEY_BYTES_MAX;
            }
            let together = &together[..count];
            if is_long || count < TOGETHER_MIN {
                hashes.extend(together.iter().map(|key| Self::of(key)));
            } else {
                let digests = lanes::md5(together).into_iter().take(count);
                hashes.extend(digests.map(|digest| Self(u128::from_be_bytes(digest))));
            }
            if count < lanes::LANES {
                return hashes;
            }
        }
    }
}

/// A contiguous part of the hash space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    /// Its first hash.
    pub first: u128,
    /// Its last hash.
    pub last: u128,
}

impl HashRange {
    /// The hash space as `count` ranges of equal size; the last takes the remainder.
    pub fn even(count: u32) -> impl Iterator<Item = Self> {
        let count = u128::from(count.max(1));
        // 2^128 / count without a 129-bit number: exact for powers of two (and 0 for one range, which begins at 0), else
        // rounded down.
        let size = (u128::MAX / count).wrapping_add(u128::from(count.is_power_of_two()));
        (0..count).map(move |index| {
            let is_last = index + 1 == count;
            let last = if is_last { u128::MAX } else { size.wrapping_mul(index + 1) - 1 };
            Self { first: size.wrapping_mul(index), last }
        })
    }

    /// Whether `hash` lies in it.
    pub fn contains(&self, hash: HashKey) -> bool {
        (self.first..=self.last).contains(&hash.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_keys_hash_as_each_of_them(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..40),
        ) {
            let alone: Vec<_> = keys.iter().map(|key| HashKey::of(key)).collect();
            prop_assert_eq!(HashKey::of_all(keys.iter().map(Vec::as_slice), keys.len()), alone);
        }
    }

    #[test]
    fn keys_of_every_length_that_fits_a_block_hash_together() {
        let text = [b'k'; 80];
        for first in 0..=48 {
            let keys = (first..first + 8).map(|length| &text[..length]);
            let alone: Vec<_> = keys.clone().map(HashKey::of).collect();
            assert_eq!(HashKey::of_all(keys, 8), alone, "{first} and seven more");
        }
    }

    #[test]
    fn even_ranges_cover_the_hash_space_without_gap_or_overlap() {
        for count in [1, 2, 3, 4, 7, 1000] {
            let mut expected_first = 0;
            let ranges: Vec<_> = HashRange::even(count).collect();
            assert_eq!(ranges.len(), count as usize);
            for range in ranges {
                assert_eq!(range.first, expected_first);
                assert!(range.last > range.first);
                assert!(range.contains(HashKey(range.first)) && range.contains(HashKey(range.last)));
                expected_first = range.last.wrapping_add(1);
            }
            assert_eq!(expected_first, 0, "the last range ends at 2^128 - 1");
        }
    }

    #[test]
    fn a_key_hashes_as_md5_says() {
        // `printf a | md5sum`
        assert_eq!(HashKey::of(b"a").0, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }
}
