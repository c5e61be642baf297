//! Which sequences of a producer were seen.

use std::collections::HashMap;

/// Sequences of a page: 8 KiB.
const PAGE_BITS: u64 = 1 << 16;
const PAGE_WORDS: usize = (PAGE_BITS / 64) as usize;

/// Bytes of a page, for whoever bounds them.
pub(crate) const PAGE_BYTES: u64 = PAGE_BITS / 8;

/// A set of sequences that needs memory only around those that are in it: one that was damaged into a huge number
/// costs a page, not all the pages before it.
#[derive(Debug, Default)]
pub(crate) struct Bitmap {
    pages: HashMap<u64, Box<[u64; PAGE_WORDS]>>,
}

/// What [`Bitmap::insert`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// It was not in the set.
    pub(crate) is_new: bool,
    /// A page was made for it.
    pub(crate) has_grown: bool,
}

impl Bitmap {
    pub(crate) fn insert(&mut self, sequence: u64) -> Inserted {
        let mut has_grown = false;
        let page = self.pages.entry(sequence / PAGE_BITS).or_insert_with(|| {
            has_grown = true;
            Box::new([0; PAGE_WORDS])
        });
        let (word, bit) = place(sequence);
        let is_new = page[word] & bit == 0;
        page[word] |= bit;
        Inserted { is_new, has_grown }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.pages.get(&(sequence / PAGE_BITS)).is_some_and(|page| page[word] & bit != 0)
    }

    /// How many of `first` to `last`, both included, are in the set.
    pub(crate) fn count(&self, first: u64, last: u64) -> u64 {
        let mut count = 0;
        let mut from = first;
        while from <= last {
            let page_end = (from / PAGE_BITS + 1).checked_mul(PAGE_BITS).map_or(u64::MAX, |end| end - 1);
            let to = page_end.min(last);
            if let Some(page) = self.pages.get(&(from / PAGE_BITS)) {
                count += count_in_page(page, from % PAGE_BITS, to % PAGE_BITS);
            }
            if to == u64::MAX {
                break;
            }
            from = to + 1;
        }
        count
    }
}

fn place(sequence: u64) -> (usize, u64) {
    ((sequence % PAGE_BITS / 64) as usize, 1 << (sequence % 64))
}

fn count_in_page(page: &[u64; PAGE_WORDS], first: u64, last: u64) -> u64 {
    let (first_word, last_word) = ((first / 64) as usize, (last / 64) as usize);
    let ones = |(index, word): (usize, &u64)| {
        let at = first_word + index;
        let low = if at == first_word { u64::MAX << (first % 64) } else { u64::MAX };
        let high = if at == last_word { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        u64::from((word & low & high).count_ones())
    };
    page[first_word..=last_word].iter().enumerate().map(ones).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_new_once() {
        let mut seen = Bitmap::default();
        assert_eq!(seen.insert(7), Inserted { is_new: true, has_grown: true });
        assert_eq!(seen.insert(8), Inserted { is_new: true, has_grown: false });
        assert_eq!(seen.insert(7), Inserted { is_new: false, has_grown: false });
        assert!(seen.contains(8) && !seen.contains(9) && !seen.contains(u64::MAX));
    }

    #[test]
    fn ranges_are_counted_exactly_also_across_pages() {
        let mut seen = Bitmap::default();
        let sequences: Vec<u64> = (0..300_000).filter(|sequence| sequence % 7 == 3).collect();
        sequences.iter().for_each(|&sequence| assert!(seen.insert(sequence).is_new));
        let edges = [0, 1, 3, 63, 64, 65, 65_535, 65_536, 131_072, 200_001, 299_999];
        for first in edges {
            for last in edges {
                let expected =
                    sequences.iter().filter(|&&sequence| (first..=last).contains(&sequence)).count();
                assert_eq!(seen.count(first, last), expected as u64, "{first} to {last}");
            }
        }
        seen.insert(u64::MAX);
        assert_eq!(seen.count(u64::MAX - 1, u64::MAX), 1);
    }
}
