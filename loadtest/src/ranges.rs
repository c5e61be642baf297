//! Sets of sequences, kept as ranges.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Ascending, disjoint ranges that do not touch; both ends belong to a range. In JSON `[[0,99],[200,200]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

/// Ranges in a file that are not ascending and disjoint.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("range {0} to {1} is not behind the one before it: ranges must be ascending and disjoint")]
pub struct DisorderedRange(u64, u64);

impl RangeSet {
    /// Adds `first` to `last`, both included. Does nothing if `last` is before `first`.
    pub fn insert(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        // Nearly always a range continues the last one.
        if let Some(end) = self.ranges.last_mut()
            && end.1 < u64::MAX
            && first == end.1 + 1
        {
            end.1 = last;
            return;
        }
        let from = self.ranges.partition_point(|range| range.1.saturating_add(1) < first);
        let to = self.ranges.partition_point(|range| range.0 <= last.saturating_add(1));
        let (mut low, mut high) = (first, last);
        for range in &self.ranges[from..to] {
            low = low.min(range.0);
            high = high.max(range.1);
        }
        self.ranges.splice(from..to, [(low, high)]);
    }

    /// Whether `sequence` is in it.
    pub fn contains(&self, sequence: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < sequence);
        self.ranges.get(at).is_some_and(|range| range.0 <= sequence)
    }

    /// How many sequences it holds.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    /// How many ranges it takes to write it down.
    pub fn fragments(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl From<RangeSet> for Vec<(u64, u64)> {
    fn from(set: RangeSet) -> Self {
        set.ranges
    }
}

impl TryFrom<Vec<(u64, u64)>> for RangeSet {
    type Error = DisorderedRange;

    fn try_from(ranges: Vec<(u64, u64)>) -> Result<Self, DisorderedRange> {
        let mut end = None;
        for &(first, last) in &ranges {
            if last < first || end.is_some_and(|end| first <= end) {
                return Err(DisorderedRange(first, last));
            }
            end = Some(last);
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::default();
        for &(first, last) in ranges {
            set.insert(first, last);
        }
        set
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        for order in [[(0, 4), (5, 9), (3, 7)], [(5, 9), (3, 7), (0, 4)], [(3, 7), (0, 4), (5, 9)]] {
            assert_eq!(Vec::from(set(&order)), [(0, 9)]);
        }
        assert_eq!(Vec::from(set(&[(10, 12), (0, 2), (5, 6)])), [(0, 2), (5, 6), (10, 12)]);
        assert_eq!(Vec::from(set(&[(u64::MAX, u64::MAX), (0, u64::MAX)])), [(0, u64::MAX)]);
        assert!(set(&[(5, 4)]).is_empty());
    }

    #[test]
    fn it_holds_exactly_what_was_put_in() {
        let mut state = 1_u64;
        let mut next = || {
            state = forebay::testkit::generators::mix(state);
            state % 200
        };
        let mut expected = [false; 220];
        let mut set = RangeSet::default();
        for _ in 0..100 {
            let (first, length) = (next(), next() % 12);
            set.insert(first, first + length);
            expected[first as usize..=(first + length) as usize].fill(true);
            for (sequence, &present) in expected.iter().enumerate() {
                assert_eq!(set.contains(sequence as u64), present);
            }
            assert_eq!(set.count(), expected.iter().filter(|&&present| present).count() as u64);
            assert_eq!(RangeSet::try_from(Vec::from(set.clone())).as_ref(), Ok(&set));
        }
    }

    #[test]
    fn disordered_ranges_are_refused() {
        for text in ["[[3,2]]", "[[0,4],[4,5]]", "[[8,9],[0,1]]"] {
            assert!(serde_json::from_str::<RangeSet>(text).is_err(), "{text}");
        }
    }
}
