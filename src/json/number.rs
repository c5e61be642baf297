//! Numbers: their grammar, and their exact values.

use super::scanner::{SyntaxError, SyntaxErrorKind};

/// The digits of a number as written. Already checked against the grammar of RFC 8259.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawNumber<'a> {
    text: &'a str,
    spelling: Spelling,
}

/// As wide as a register, for the reason that strings give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Spelling {
    Integer,
    Decimal,
}

/// The most digits before the point for which no exponent can be missing and the value must fit a double:
/// 10^308 is below `f64::MAX` (about 1.8 × 10^308).
const SURELY_FINITE_DIGITS: usize = 308;

impl<'a> RawNumber<'a> {
    #[inline]
    pub(super) fn new(text: &'a str, integer: bool) -> Self {
        Self { text, spelling: if integer { Spelling::Integer } else { Spelling::Decimal } }
    }

    /// The number as written.
    #[inline]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether it is written without a point and an exponent.
    #[inline]
    pub fn is_written_as_integer(&self) -> bool {
        self.spelling == Spelling::Integer
    }

    /// The value if it is written as an integer that fits.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        if self.is_written_as_integer() { self.text.parse().ok() } else { None }
    }

    /// The value if it is written as an integer that fits.
    #[inline]
    pub fn as_u64(&self) -> Option<u64> {
        if !self.is_written_as_integer() {
            return None;
        }
        // `-0` is the integer zero; the standard parser takes no sign here.
        if self.text == "-0" { Some(0) } else { self.text.parse().ok() }
    }

    /// The nearest double.
    #[inline]
    pub fn as_f64(&self) -> f64 {
        // The grammar of JSON numbers is a subset of what the standard parser takes.
        self.text.parse().unwrap_or(f64::NAN)
    }

    #[inline]
    pub(super) fn is_in_range(&self) -> bool {
        let short = self.text.len() <= SURELY_FINITE_DIGITS;
        (short && (self.is_written_as_integer() || !self.has_exponent())) || self.as_f64().is_finite()
    }

    fn has_exponent(&self) -> bool {
        self.text.bytes().any(|byte| byte | 0x20 == b'e')
    }
}

/// Digits of the largest integer that [`integer`] reads: 10^18 is below `i64::MAX` (about 9.2 × 10^18).
const SHORT_DIGITS_MAX: usize = 18;

/// Powers of ten for up to eight digits.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The value and the end of the number that starts at `start`, if it is written as an integer of at most
/// [`SHORT_DIGITS_MAX`] digits. None for every other number, and for what is none.
#[inline]
pub(super) fn integer(bytes: &[u8], start: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let (mut pos, mut value) = (first, 0_u64);
    while let Some(block) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<8>()) {
        let (digits, count) = leading_digits(u64::from_le_bytes(*block));
        value = value.wrapping_mul(POWERS[count]).wrapping_add(digits);
        pos += count;
        if count < 8 || pos - first > SHORT_DIGITS_MAX {
            break;
        }
    }
    while let Some(digit @ b'0'..=b'9') = bytes.get(pos) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        pos += 1;
    }
    let length = pos - first;
    let odd = length == 0 || length > SHORT_DIGITS_MAX || (bytes[first] == b'0' && length > 1);
    if odd || matches!(bytes.get(pos), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    // At most 10^18, so neither the cast nor the sign can wrap.
    let value = value.cast_signed();
    Some((if negative { -value } else { value }, pos))
}

/// The value of the digits at the start of eight bytes, and how many these are.
#[inline]
fn leading_digits(word: u64) -> (u64, usize) {
    const ONES: u64 = u64::MAX / 255;
    let values = word ^ (ONES * b'0' as u64);
    // A byte above 9 reaches its high bit, either by itself or by adding 118. What runs over from there only
    // disturbs bytes behind it.
    let others = (values | values.wrapping_add(ONES * (128 - 10))) & (ONES << 7);
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // Zeros come in before the digits, and what is behind them goes out.
    (eight_digits(values << (64 - 8 * count)), count)
}

/// The number whose eight digits are the bytes of `digits`, the first one lowest: neighbours are joined to pairs,
/// pairs to fours, and these to eight.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

pub(super) struct Found {
    pub end: usize,
    pub integer: bool,
}

/// Finds the end of the number that starts at `start`.
#[inline]
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Found, SyntaxError> {
    let bad = |offset: usize| SyntaxError {
        offset,
        kind: if offset < bytes.len() { SyntaxErrorKind::BadNumber } else { SyntaxErrorKind::UnexpectedEnd },
    };
    let mut pos = start + usize::from(bytes.get(start) == Some(&b'-'));
    let whole = digits(bytes, pos);
    if whole == pos || (bytes[pos] == b'0' && whole > pos + 1) {
        return Err(bad(whole.min(pos + 1)));
    }
    pos = whole;
    let mut integer = true;
    if bytes.get(pos) == Some(&b'.') {
        integer = false;
        let fraction = digits(bytes, pos + 1);
        if fraction == pos + 1 {
            return Err(bad(fraction));
        }
        pos = fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(pos) {
        integer = false;
        let sign = usize::from(matches!(bytes.get(pos + 1), Some(b'+' | b'-')));
        let exponent = digits(bytes, pos + 1 + sign);
        if exponent == pos + 1 + sign {
            return Err(bad(exponent));
        }
        pos = exponent;
    }
    Ok(Found { end: pos, integer })
}

#[inline]
fn digits(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(pos) {
        pos += 1;
    }
    pos
}
