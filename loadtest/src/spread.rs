//! How times are spread: counts by value, small enough to be kept for each second and exact to merge.
//!
//! A [`Counter`] has a bucket for each value up to 127 and 64 for each power of two above, so that a value is told at
//! most 1.6 % too high. A [`Spread`] is what such a counter, or a finer one, has seen: pairs of value and count.

use serde::{Deserialize, Serialize};

/// Values below this have a bucket each.
const EXACT: u64 = 128;

/// Buckets of a power of two above.
const PER_POWER: usize = 64;

/// Values are counted as at most this: one hour in microseconds.
const VALUE_MAX: u64 = 3_600_000_000;

/// 32 bits hold [`VALUE_MAX`]; the first 7 are exact.
const BUCKETS: usize = EXACT as usize + 25 * PER_POWER;

/// Counts while they grow: 13.5 KB.
#[derive(Debug, Clone)]
pub struct Counter {
    counts: Box<[u64]>,
}

impl Default for Counter {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into() }
    }
}

fn bucket(value: u64) -> usize {
    let value = value.min(VALUE_MAX);
    if value < EXACT {
        return value as usize;
    }
    let power = value.ilog2() - 6;
    EXACT as usize + (power as usize - 1) * PER_POWER + ((value >> power) as usize - PER_POWER)
}

/// The highest value of a bucket.
fn value(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
    let power = above / PER_POWER + 1;
    (((above % PER_POWER + PER_POWER + 1) as u64) << power) - 1
}

impl Counter {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
    }

    /// What was counted since the last time.
    pub fn take(&mut self) -> Spread {
        let mut counts = Vec::new();
        for (bucket, count) in self.counts.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            counts.push((value(bucket), *count));
            *count = 0;
        }
        Spread { counts }
    }
}

/// Pairs of value and count, ascending by value. In JSON `[[120,3],[131,1]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spread {
    counts: Vec<(u64, u64)>,
}

impl FromIterator<(u64, u64)> for Spread {
    /// From pairs in any order.
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(pairs: I) -> Self {
        let mut counts: Vec<_> = pairs.into_iter().filter(|(_, count)| *count > 0).collect();
        counts.sort_unstable();
        counts.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        Self { counts }
    }
}

impl Spread {
    /// Values that were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The pairs.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().copied()
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &Spread) {
        if !other.is_empty() {
            *self = self.iter().chain(other.iter()).collect();
        }
    }

    /// The least value that a share of `quantile` of all is not above; 0 if there are none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((self.count() as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        reached.or(self.counts.last()).map_or(0, |(value, _)| *value)
    }

    /// The mean; 0 if there are none.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.counts.iter().map(|(value, count)| *value as f64 * *count as f64).sum();
        sum / (self.count() as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_at_most_a_sixtieth_too_high() {
        let mut state = 1;
        for _ in 0..10_000 {
            state = forebay::testkit::generators::mix(state);
            let exact = (state >> (state % 64)).min(VALUE_MAX);
            let told = value(bucket(exact));
            assert!(told >= exact && told as f64 <= exact as f64 * 1.016, "{exact} {told}");
        }
        let inside = (0..BUCKETS).take_while(|at| value(*at) <= VALUE_MAX);
        assert!(inside.clone().all(|at| bucket(value(at)) == at && value(at) < value(at + 1)));
        assert!(inside.count() > EXACT as usize + 24 * PER_POWER);
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn parts_merge_into_what_one_counter_would_have_seen() {
        let (mut whole, mut one, mut two) = (Counter::default(), Counter::default(), Counter::default());
        for number in 0..1_000_u64 {
            let value = number * number;
            whole.record(value);
            if number % 3 == 0 { one.record(value) } else { two.record(value) }
        }
        let mut merged = one.take();
        merged.merge(&two.take());
        assert_eq!(merged, whole.take());
        assert_eq!(merged.count(), 1_000);
        assert!(whole.take().is_empty() && Spread::default().quantile(0.5) == 0);
    }

    #[test]
    fn quantiles_are_of_the_values() {
        let spread: Spread = (1..=100).map(|value| (value, 1)).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|q| spread.quantile(q)), [1, 50, 99, 100]);
        assert_eq!(spread.mean(), 50.5);
        let pairs: Spread = [(7, 1), (3, 2), (7, 4), (9, 0)].into_iter().collect();
        assert_eq!(serde_json::to_string(&pairs).unwrap(), "[[3,2],[7,5]]");
    }
}
