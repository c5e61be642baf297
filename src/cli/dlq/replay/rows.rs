//! A set of lines of a file, as ranges.

use serde::{Deserialize, Serialize};

/// See the module. Ranges have first and last line, are in order, and do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows {
    ranges: Vec<(u64, u64)>,
}

impl Rows {
    /// Of lines in any order.
    pub fn of(rows: impl IntoIterator<Item = u64>) -> Self {
        let mut rows: Vec<u64> = rows.into_iter().collect();
        rows.sort_unstable();
        let mut set = Self::default();
        for row in rows {
            match set.ranges.last_mut().filter(|(_, last)| row <= last.saturating_add(1)) {
                Some((_, last)) => *last = row,
                None => set.ranges.push((row, row)),
            }
        }
        set
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a line is one of them.
    pub fn has(&self, row: u64) -> bool {
        let index = self.ranges.partition_point(|&(_, last)| last < row);
        self.ranges.get(index).is_some_and(|&(first, _)| first <= row)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().flat_map(|&(first, last)| first..=last)
    }

    /// Puts others to them.
    pub fn add(&mut self, others: &Rows) {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.extend_from_slice(&others.ranges);
        ranges.sort_unstable();
        for (first, last) in ranges {
            match self.ranges.last_mut().filter(|(_, end)| first <= end.saturating_add(1)) {
                Some((_, end)) => *end = last.max(*end),
                None => self.ranges.push((first, last)),
            }
        }
    }

    /// Takes others from them. These are few.
    pub fn remove(&mut self, others: &Rows) {
        if !others.is_empty() {
            *self = Self::of(self.iter().filter(|&row| !others.has(row)).collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_a_set(a in prop::collection::vec(0_u64..40, 0..30), b in prop::collection::vec(0_u64..40, 0..30)) {
            let (left, right): (BTreeSet<u64>, BTreeSet<u64>) = (a.iter().copied().collect(), b.iter().copied().collect());
            let listed = |rows: &Rows| rows.iter().collect::<BTreeSet<u64>>();
            let mut rows = Rows::of(a);
            let others = Rows::of(b);
            prop_assert_eq!(listed(&rows), left.clone());
            prop_assert_eq!(rows.len(), left.len() as u64);
            for row in 0..41 {
                prop_assert_eq!(rows.has(row), left.contains(&row));
            }
            let mut less = rows.clone();
            less.remove(&others);
            prop_assert_eq!(listed(&less), &left - &right);
            rows.add(&others);
            prop_assert_eq!(&rows, &Rows::of(&left | &right), "whatever the way, the ranges are the same");
        }
    }
}
