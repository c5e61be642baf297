//! Which key a record gets: all keys alike, or a few of them most of the time.

use thiserror::Error;

/// Keys that a picker may have. A skewed one holds 8 bytes for each: 4 Mi × 8 = 32 MiB, once a run.
pub const KEYS_MAX: u32 = 1 << 22;

/// Draws key numbers by Zipf's law: key `k`, counted from 0, has the weight `1 / (k + 1)^exponent`.
///
/// Vose's alias method (IEEE Transactions on Software Engineering 17(9), 1991): one table look-up a draw, whatever
/// the number of keys. Exponent 0 needs no table.
#[derive(Debug)]
pub struct KeyPicker {
    keys: u32,
    slots: Box<[Slot]>,
}

/// Below `threshold` (a 32-bit fraction) the slot stands for itself, else for `alias`.
#[derive(Debug, Clone, Copy)]
struct Slot {
    threshold: u32,
    alias: u32,
}

/// Why there is no such picker.
#[derive(Debug, Error, PartialEq)]
pub enum KeyPickerError {
    /// None, or more than the table may hold.
    #[error("{0} keys cannot be used: give 1 to {KEYS_MAX}")]
    Keys(u32),
    /// Negative or not finite.
    #[error("zipf exponent {0} cannot be used: give 0 (all keys alike) or more, such as 1")]
    Exponent(f64),
}

impl KeyPicker {
    /// A picker among `keys` keys.
    pub fn new(keys: u32, exponent: f64) -> Result<Self, KeyPickerError> {
        if keys == 0 || keys > KEYS_MAX {
            return Err(KeyPickerError::Keys(keys));
        }
        if !(0.0..=100.0).contains(&exponent) {
            return Err(KeyPickerError::Exponent(exponent));
        }
        let slots = if exponent == 0.0 { Box::default() } else { alias_table(keys, exponent) };
        Ok(Self { keys, slots })
    }

    /// How many keys there are.
    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// The key that 64 random bits stand for.
    #[inline]
    pub fn pick(&self, bits: u64) -> u32 {
        let slot = (((bits >> 32) * u64::from(self.keys)) >> 32) as u32;
        match self.slots.get(slot as usize) {
            Some(entry) if (bits as u32) >= entry.threshold => entry.alias,
            _ => slot,
        }
    }
}

fn alias_table(keys: u32, exponent: f64) -> Box<[Slot]> {
    let weight = |key: u32| f64::from(key + 1).powf(-exponent);
    let total: f64 = (0..keys).map(weight).sum();
    // Each slot has room for the weight 1; the light ones are filled up from the heavy ones.
    let mut shares: Vec<f64> = (0..keys).map(|key| weight(key) * f64::from(keys) / total).collect();
    let mut slots: Vec<Slot> = (0..keys).map(|key| Slot { threshold: u32::MAX, alias: key }).collect();
    let (mut light, mut heavy): (Vec<u32>, Vec<u32>) = (0..keys).partition(|&key| shares[key as usize] < 1.0);
    while let (Some(small), Some(&large)) = (light.pop(), heavy.last()) {
        let share = shares[small as usize];
        slots[small as usize] = Slot { threshold: (share * 4_294_967_296.0) as u32, alias: large };
        shares[large as usize] -= 1.0 - share;
        if shares[large as usize] < 1.0 {
            heavy.pop();
            light.push(large);
        }
    }
    slots.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::generators::random::Random;

    fn counts(keys: u32, exponent: f64, draws: usize) -> Vec<u32> {
        let picker = KeyPicker::new(keys, exponent).expect("a valid picker");
        let mut random = Random::new(7);
        let mut counts = vec![0; keys as usize];
        for _ in 0..draws {
            counts[picker.pick(random.next()) as usize] += 1;
        }
        counts
    }

    #[test]
    fn exponent_zero_uses_all_keys_alike() {
        assert!(counts(10, 0.0, 100_000).iter().all(|count| (9_500..=10_500).contains(count)));
    }

    #[test]
    fn the_share_of_each_key_follows_the_law() {
        let draws = 400_000;
        let counts = counts(50, 1.2, draws);
        let total: f64 = (1..=50).map(|rank| f64::from(rank).powf(-1.2)).sum();
        for (key, &count) in counts.iter().enumerate() {
            let expected = draws as f64 * ((key + 1) as f64).powf(-1.2) / total;
            let off = (f64::from(count) - expected).abs();
            assert!(off < 6.0 * expected.sqrt(), "key {key}: {count} draws where {expected:.0} are due");
        }
    }

    #[test]
    fn one_key_is_always_picked() {
        assert_eq!(counts(1, 1.0, 1_000), [1_000]);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert_eq!(KeyPicker::new(0, 0.0).err(), Some(KeyPickerError::Keys(0)));
        assert_eq!(KeyPicker::new(KEYS_MAX + 1, 0.0).err(), Some(KeyPickerError::Keys(KEYS_MAX + 1)));
        assert_eq!(KeyPicker::new(5, -1.0).err(), Some(KeyPickerError::Exponent(-1.0)));
        assert!(KeyPicker::new(5, f64::NAN).is_err());
    }
}
