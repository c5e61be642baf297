//! Bloom filters: which values are certainly not in a row group.
//!
//! A value has a hash of 64 bits: Thomas Wang's for numbers, 64 bits of Murmur3 for bytes. Its two halves make `k`
//! more, and the filter has one bit set for each, modulo its size. The filter is made when the row group is
//! complete, in the size that its distinct values need.

use super::protobuf::Message;

/// Share of the absent values that a filter does not exclude. The format's own default is 5 %; another 3 bits a
/// value make it 1 %.
const FALSE_POSITIVES: f64 = 0.01;

/// Distinct values of one row group that a filter is made for: 6.5 times those of a row group of scalars, 512 KiB
/// of hashes. Lists can hold more; their filter then excludes nothing.
const VALUES_MAX: usize = 64 << 10;

/// Collects the values of a column.
#[derive(Debug, Default)]
pub(super) struct BloomFilters {
    /// Hashes of the open row group; sorted and without doubles whenever [`VALUES_MAX`] is reached.
    hashes: Vec<u64>,
    is_overfull: bool,
    /// `BloomFilterIndex` of the stripe so far.
    index: Message,
}

impl BloomFilters {
    /// Adds an integer, or what is hashed like one.
    #[inline]
    pub fn add_integer(&mut self, value: i64) {
        self.add_hash(hash_integer(value).cast_unsigned());
    }

    /// Adds a floating point number.
    #[inline]
    pub fn add_float(&mut self, value: f64) {
        if value == 0.0 {
            // The two zeros are equal, but have hashes of their own, and a reader asks for one of them.
            self.add_integer(0.0_f64.to_bits().cast_signed());
            self.add_integer((-0.0_f64).to_bits().cast_signed());
            return;
        }
        // All NaNs are one value, as in Java's `doubleToLongBits`.
        let value = if value.is_nan() { f64::NAN } else { value };
        self.add_integer(value.to_bits().cast_signed());
    }

    /// Adds text, bytes, or the text of a decimal.
    #[inline]
    pub fn add_bytes(&mut self, value: &[u8]) {
        self.add_hash(hash_bytes(value));
    }

    fn add_hash(&mut self, hash: u64) {
        if self.hashes.len() == VALUES_MAX {
            self.hashes.sort_unstable();
            self.hashes.dedup();
            if self.hashes.len() > VALUES_MAX / 2 {
                self.is_overfull = true;
                self.hashes.clear();
            }
        }
        if !self.is_overfull {
            self.hashes.push(hash);
        }
    }

    /// Ends the row group.
    pub fn close_row_group(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let filter = if self.is_overfull {
            Filter { words: vec![u64::MAX], hashes: 1 }
        } else {
            Filter::of(&self.hashes)
        };
        let bytes: Vec<u8> = filter.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut message = Message::default();
        message.uint(1, u64::from(filter.hashes)).bytes(3, &bytes);
        self.index.message(1, &message);
        self.hashes = Vec::new();
        self.is_overfull = false;
    }

    /// The filters of the stripe. Begins the next one.
    pub fn take_index(&mut self) -> Message {
        std::mem::take(&mut self.index)
    }

    /// Memory that the filters hold, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>() + self.index.as_slice().len()
    }

    /// Bytes of the finished filters before compression.
    pub fn index_bytes(&self) -> usize {
        self.index.as_slice().len()
    }
}

struct Filter {
    words: Vec<u64>,
    hashes: u32,
}

impl Filter {
    fn of(hashes: &[u64]) -> Self {
        let values = hashes.len().max(1) as f64;
        let ln_2 = std::f64::consts::LN_2;
        let words = ((-values * FALSE_POSITIVES.ln() / (ln_2 * ln_2)) as usize / 64) + 1;
        let bits = words as u64 * 64;
        let mut filter = Self {
            words: vec![0; words],
            hashes: ((bits as f64 / values * ln_2).round() as u32).clamp(1, 16),
        };
        for hash in hashes {
            let (first, second) = (*hash as i32, (hash >> 32) as i32);
            for turn in 1..=filter.hashes.cast_signed() {
                let combined = first.wrapping_add(turn.wrapping_mul(second));
                let combined = if combined < 0 { !combined } else { combined };
                let bit = u64::from(combined.cast_unsigned()) % bits;
                filter.words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        filter
    }
}

/// Thomas Wang's hash of an integer, with shifts that keep the sign.
fn hash_integer(key: i64) -> i64 {
    let key = (!key).wrapping_add(key << 21);
    let key = key ^ key >> 24;
    let key = key.wrapping_add(key << 3).wrapping_add(key << 8);
    let key = key ^ key >> 14;
    let key = key.wrapping_add(key << 2).wrapping_add(key << 4);
    let key = key ^ key >> 28;
    key.wrapping_add(key << 31)
}

/// The format's variant of Murmur3: one lane of the 128-bit hash.
fn hash_bytes(bytes: &[u8]) -> u64 {
    const SEED: u64 = 104_729;
    let mix = |block: u64| {
        block.wrapping_mul(0x87c3_7b91_1142_53d5).rotate_left(31).wrapping_mul(0x4cf5_ad43_2745_937f)
    };
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut hash = SEED;
    for block in blocks {
        hash ^= mix(u64::from_le_bytes(*block));
        hash = hash.rotate_left(27).wrapping_mul(5).wrapping_add(0x52dc_e729);
    }
    if !rest.is_empty() {
        let mut block = [0; 8];
        block[..rest.len()].copy_from_slice(rest);
        hash ^= mix(u64::from_le_bytes(block));
    }
    // The length counts in 32 bits.
    hash ^= u64::from(bytes.len() as u32);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(filter: &Filter, hash: u64) -> bool {
        let single = Filter { words: vec![0; filter.words.len()], hashes: filter.hashes };
        let bits = single.words.len() as u64 * 64;
        (1..=filter.hashes as i32).all(|turn| {
            let combined = (hash as i32).wrapping_add(turn.wrapping_mul((hash >> 32) as i32));
            let bit = u64::from((if combined < 0 { !combined } else { combined }) as u32) % bits;
            filter.words[(bit / 64) as usize] >> (bit % 64) & 1 == 1
        })
    }

    #[test]
    fn what_was_added_is_found_and_most_else_is_not() {
        let hash = |index: usize| hash_bytes(format!("value {index}").as_bytes());
        let hashes: Vec<u64> = (0..10_000).map(hash).collect();
        let filter = Filter::of(&hashes);
        assert!(hashes.iter().all(|hash| contains(&filter, *hash)));
        let found = (10_000..110_000).filter(|index| contains(&filter, hash(*index))).count();
        assert!((500..1_500).contains(&found), "{found} of 100,000");
    }

    #[test]
    fn a_zero_is_found_whatever_its_sign() {
        for zero in [0.0, -0.0] {
            let mut filters = BloomFilters::default();
            filters.add_float(zero);
            filters.add_float(1.5);
            let filter = Filter::of(&filters.hashes);
            for asked in [0.0_f64, -0.0] {
                let hash = hash_integer(asked.to_bits().cast_signed()).cast_unsigned();
                assert!(contains(&filter, hash), "{asked} where {zero} is");
            }
        }
    }

    #[test]
    fn a_row_group_of_few_values_has_a_small_filter() {
        let mut filters = BloomFilters::default();
        for value in 0..1_000_000 {
            filters.add_integer(value % 100);
        }
        filters.close_row_group();
        assert!((100..200).contains(&filters.index_bytes()), "{}", filters.index_bytes());
    }

    #[test]
    fn too_many_values_exclude_nothing() {
        let mut filters = BloomFilters::default();
        (0..VALUES_MAX as i64 + 1).for_each(|value| filters.add_integer(value));
        filters.close_row_group();
        let mut expected = vec![10, 12, 8, 1, 0x1a, 8];
        expected.extend([0xff; 8]);
        assert_eq!(filters.take_index().as_slice(), expected);
        filters.close_row_group();
        assert_eq!(filters.index_bytes(), 2 + 2 + 2 + 8, "the next row group is not overfull");
    }
}
