//! A small, fast and repeatable source of bits. Not for secrets.

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): every
/// bit of the input changes about half of the output.
#[inline]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The golden ratio as a 64-bit fraction, made odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        value
    }

    /// Below `bound`, evenly up to a bias of `bound` / 2⁶⁴.
    #[inline]
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        scale(self.next(), bound)
    }

    /// True in `percent` of 100 cases.
    #[inline]
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    #[inline]
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        pick(self.next(), from)
    }
}

#[inline]
fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// The element that `bits` stand for. `from` is one of the constant, not empty, lists of this module's siblings.
#[inline]
pub(super) fn pick<T: Copy>(bits: u64, from: &[T]) -> T {
    from[scale(bits, from.len() as u64) as usize]
}
