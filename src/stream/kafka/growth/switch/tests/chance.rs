//! What is left to chance, by a seed.

use super::world::Millis;

pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// So often of a hundred times.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Mostly short, at times very long.
    pub fn delay(&mut self, is_calm: bool) -> Millis {
        match self.below(100) {
            0 if !is_calm => self.below(60_000),
            1..5 if !is_calm => self.below(8_000),
            _ => 1 + self.below(200),
        }
    }
}
