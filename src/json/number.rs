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
