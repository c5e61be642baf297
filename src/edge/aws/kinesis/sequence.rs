//! Sequence numbers as clients of Kinesis see them: decimal numbers of 56 digits that rise within a shard, and from a
//! shard to its children.
//!
//! In hexadecimal digits, the most significant first:
//!
//! ```text
//! 2  created  s  number            00 created  shard    2
//! 1     9     1  16                2     9       8      1      = 47 digits, 186 bits
//! ```
//!
//! `created` is when the shard was made, in seconds since 1970; `shard` its id and `s` the last digit of that; `number`
//! our own sequence number. A child is made in a later second than its parents, so its numbers are larger than theirs.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::record::{SequenceNumber, ShardId};
use crate::stream::ShardFacts;

/// Decimal digits of a number: from 2 × 16⁴⁶ = 4.9 × 10⁵⁵ to below 3 × 16⁴⁶ = 7.4 × 10⁵⁵.
pub const DIGITS: usize = 56;

/// The largest power of ten that 64 bits hold.
const CHUNK: u128 = 10_000_000_000_000_000_000;
/// Digits of a number below it.
const CHUNK_DIGITS: usize = 19;

/// Bits of `created`: until the year 4147.
const CREATED_BITS: u32 = 36;
/// Bits behind `number`.
const TAIL_BITS: u32 = 80;

/// The numbers of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    created: u64,
    shard: ShardId,
}

/// A number of a shard, printed. A text, so that it is compared as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Printed([u8; DIGITS]);

impl Printed {
    /// The number of no record.
    pub const ZERO: Self = Self([b'0'; DIGITS]);

    /// The digits.
    pub fn as_str(&self) -> &str {
        // They are all ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Numbering {
    /// Those of a shard.
    pub fn of(facts: &ShardFacts) -> Self {
        Self::new(facts.created, facts.id)
    }

    /// Those of the shard that was made in that second.
    pub fn new(created: u64, shard: ShardId) -> Self {
        Self { created: created & ((1 << CREATED_BITS) - 1), shard }
    }

    /// What stands before the number, and what stands behind it.
    fn frame(self) -> (u64, u128) {
        let head = 2 << 40 | self.created << 4 | u64::from(self.shard.0 & 0xf);
        let tail = u128::from(self.created) << 36 | u128::from(self.shard.0) << 4 | 2;
        (head, tail)
    }

    /// The number as clients see it.
    pub fn print(self, number: SequenceNumber) -> Printed {
        self.from(number).next_printed()
    }

    /// The numbers from `first` on: printing one after the other is cheaper than each alone.
    pub fn from(self, first: SequenceNumber) -> Rising {
        let (head, tail) = self.frame();
        // 64 bits each, the lowest first.
        let number = first.0;
        let limbs = [tail as u64, (tail >> 64) as u64 | number << 16, number >> 48 | head << 16];
        let (rest, low) = divide(limbs);
        let (rest, middle) = divide(rest);
        Rising { chunks: [low, middle, rest[0]] }
    }

    /// Our own number for one that [`Numbering::print`] has made of this shard; `None` for any other text.
    pub fn parse(self, text: &str) -> Option<SequenceNumber> {
        let limbs = parse_decimal(text)?;
        let number = limbs[1] >> 16 | limbs[2] << 48;
        let (head, tail) = self.frame();
        let is_own =
            limbs[2] >> 16 == head && limbs[0] == tail as u64 && limbs[1] & 0xffff == (tail >> 64) as u64;
        is_own.then_some(SequenceNumber(number))
    }
}

/// Divides by [`CHUNK`]; the quotient and the remainder.
fn divide(limbs: [u64; 3]) -> ([u64; 3], u64) {
    let mut quotient = [0; 3];
    let mut rest = 0_u128;
    for index in (0..3).rev() {
        let dividend = rest << 64 | u128::from(limbs[index]);
        quotient[index] = (dividend / CHUNK) as u64;
        rest = dividend % CHUNK;
    }
    (quotient, rest as u64)
}

/// The lowest 192 bits of a decimal number of [`DIGITS`] digits.
fn parse_decimal(text: &str) -> Option<[u64; 3]> {
    if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut limbs = [0_u64; 3];
    let (head, rest) = text.split_at_checked(DIGITS - 2 * CHUNK_DIGITS)?;
    let (middle, low) = rest.split_at_checked(CHUNK_DIGITS)?;
    for chunk in [head, middle, low] {
        let mut carry: u128 = chunk.parse::<u64>().ok()?.into();
        for limb in &mut limbs {
            let product = u128::from(*limb) * CHUNK + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
    }
    Some(limbs)
}

/// Numbers of a shard that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Rising {
    /// In the base of [`CHUNK`], the lowest first.
    chunks: [u64; 3],
}

impl Rising {
    /// One step of our own numbers, 2⁸⁰, in the base of [`CHUNK`].
    const STEP: [u64; 2] = [((1 << TAIL_BITS) % CHUNK) as u64, ((1 << TAIL_BITS) / CHUNK) as u64];

    /// The number, and on to the next.
    pub fn next_printed(&mut self) -> Printed {
        let mut digits = [b'0'; DIGITS];
        let mut buffer = itoa::Buffer::new();
        let mut end = DIGITS;
        for chunk in self.chunks {
            let text = buffer.format(chunk).as_bytes();
            let start = end.saturating_sub(text.len());
            if let Some(place) = digits.get_mut(start..end) {
                place.copy_from_slice(&text[text.len() - place.len()..]);
            }
            end = end.saturating_sub(CHUNK_DIGITS);
        }
        self.skip(1);
        Printed(digits)
    }

    /// Goes on by so many numbers, fewer than 2³².
    pub fn skip(&mut self, numbers: usize) {
        let mut carry = 0;
        for (chunk, step) in self.chunks.iter_mut().zip([Self::STEP[0], Self::STEP[1], 0]) {
            let sum = u128::from(*chunk) + u128::from(step) * numbers as u128 + carry;
            *chunk = (sum % CHUNK) as u64;
            carry = sum / CHUNK;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbering(created: u64, shard: u32) -> Numbering {
        Numbering::new(created, ShardId(shard))
    }

    #[test]
    fn a_number_has_the_digits_that_its_parts_say() {
        let printed = numbering(0x0_1234_5678, 0x2b).print(SequenceNumber(0xfedc_ba98_7654_3210));
        // int("2" "012345678" "b" "fedcba9876543210" "00" "012345678" "0000002b" "2", 16) in Python.
        let expected = "49148834768444076851789616283642993765266208472600412850";
        assert_eq!(printed.as_str().len(), DIGITS);
        assert_eq!(printed.as_str(), expected);
    }

    #[test]
    fn what_is_no_number_of_the_shard_is_refused() {
        let own = numbering(1_700_000_000, 3);
        let printed = own.print(SequenceNumber(42));
        for other in [numbering(1_700_000_001, 3), numbering(1_700_000_000, 4), numbering(1_700_000_000, 19)]
        {
            assert_eq!(other.parse(printed.as_str()), None);
        }
        let nines = "9".repeat(DIGITS);
        let signed = format!("+{}", &printed.as_str()[1..]);
        for text in [
            "",
            "0",
            "42",
            "-1",
            nines.as_str(),
            signed.as_str(),
            "4959033827149025660855969253836157109592157598913é658889",
        ] {
            assert_eq!(own.parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_reads_back_and_keeps_its_order(
            created in 0..1_u64 << 36, shard in any::<u32>(), first in any::<u64>(), second in any::<u64>(),
        ) {
            let own = numbering(created, shard);
            let (one, other) = (own.print(SequenceNumber(first)), own.print(SequenceNumber(second)));
            prop_assert_eq!(own.parse(one.as_str()), Some(SequenceNumber(first)));
            // Of the same length, so that texts compare as numbers do.
            prop_assert_eq!(one.cmp(&other), first.cmp(&second));
        }

        #[test]
        fn a_childs_numbers_are_larger_than_its_parents(
            created in 0..(1_u64 << 36) - 1, parent in any::<u32>(), child in any::<u32>(), number in any::<u64>(),
        ) {
            let largest = numbering(created, parent).print(SequenceNumber(u64::MAX));
            prop_assert!(largest < numbering(created + 1, child).print(SequenceNumber(number)));
        }

        #[test]
        fn counting_on_prints_what_printing_each_does(
            created in 0..1_u64 << 36, shard in any::<u32>(), first in 0..u64::MAX - 10,
        ) {
            let own = numbering(created, shard);
            let mut rising = own.from(SequenceNumber(first));
            for number in first..first + 10 {
                prop_assert_eq!(rising.next_printed(), own.print(SequenceNumber(number)));
            }
        }

        #[test]
        fn a_changed_digit_is_never_another_number_of_the_shard_by_accident(
            number in any::<u64>(), place in 0..DIGITS, digit in 0..10_u8,
        ) {
            let own = numbering(1_700_000_000, 3);
            let mut changed = own.print(SequenceNumber(number));
            changed.0[place] = b'0' + digit;
            // What reads at all prints as it was written.
            if let Some(read) = own.parse(changed.as_str()) {
                prop_assert_eq!(own.print(read), changed);
            }
        }
    }
}
