//! Exact comparison and division of numbers as written.

use std::cmp::Ordering;
use std::fmt;

use crate::json::RawNumber;

/// A number's value: exact where it is written as an integer of up to 64 bits, the nearest double otherwise. That is
/// what `serde_json` keeps of a number too, so both forms of a schema see the same values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Double(f64),
}

/// 2¹²⁶: doubles below it convert to `i128` without loss of their integral part.
const I128_SAFE: f64 = 85_070_591_730_234_615_865_843_651_857_942_052_864.0;

impl Number {
    #[inline]
    pub fn of_raw(raw: RawNumber<'_>) -> Self {
        if let Some(integer) = raw.as_i64() {
            Number::Integer(integer.into())
        } else if let Some(integer) = raw.as_u64() {
            Number::Integer(integer.into())
        } else {
            Number::Double(raw.as_f64())
        }
    }

    /// The same for a number of a schema.
    pub fn of_json(number: &serde_json::Number) -> Option<Self> {
        if let Some(integer) = number.as_i128() {
            Some(Number::Integer(integer))
        } else {
            number.as_f64().filter(|double| double.is_finite()).map(Number::Double)
        }
    }

    /// The order of the values, whatever they are written as.
    #[inline]
    pub fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Integer(left), Number::Integer(right)) => left.cmp(&right),
            (Number::Double(left), Number::Double(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Number::Integer(left), Number::Double(right)) => compare_mixed(left, right),
            (Number::Double(left), Number::Integer(right)) => compare_mixed(right, left).reverse(),
        }
    }

    /// The value in one form: equal numbers have equal forms.
    pub fn canonical(self) -> (bool, i128) {
        match self {
            Number::Integer(integer) => (true, integer),
            Number::Double(double) if double.fract() == 0.0 && double.abs() < I128_SAFE => {
                (true, double as i128)
            }
            Number::Double(double) => (false, double.to_bits().into()),
        }
    }
}

fn compare_mixed(integer: i128, double: f64) -> Ordering {
    // Integers of a JSON text have at most 65 bits here, so a double beyond the safe range decides by its sign.
    if double.abs() >= I128_SAFE {
        return if double < 0.0 { Ordering::Greater } else { Ordering::Less };
    }
    let whole = integer.cmp(&(double as i128));
    whole.then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal))
}

/// Which side of a limit is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// `minimum`, `maximum` and their exclusive forms.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub side: Side,
    pub limit: Number,
    /// The limit as the schema writes it.
    pub text: Box<str>,
}

impl Bound {
    #[inline]
    pub fn allows(&self, number: Number) -> bool {
        let order = number.compare(self.limit);
        match self.side {
            Side::AtLeast => order != Ordering::Less,
            Side::Above => order == Ordering::Greater,
            Side::AtMost => order != Ordering::Greater,
            Side::Below => order == Ordering::Less,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.side {
            Side::AtLeast => ">=",
            Side::Above => ">",
            Side::AtMost => "<=",
            Side::Below => "<",
        };
        write!(f, "a number {sign} {}", self.text)
    }
}

/// `multipleOf`, as mantissa × 10^exponent with a mantissa that does not end in zero.
#[derive(Debug, Clone)]
pub(super) struct Divisor {
    mantissa: u64,
    exponent: i64,
    pub text: Box<str>,
}

impl Divisor {
    /// Reads a positive decimal; `None` if its digits do not fit 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let decimal = Decimal::parse(text);
        let mut mantissa = 0u64;
        for digit in decimal.significant() {
            mantissa = mantissa.checked_mul(10)?.checked_add(digit.into())?;
        }
        (mantissa != 0).then(|| Self { mantissa, exponent: decimal.exponent, text: text.into() })
    }

    /// Whether the decimal `text` is a multiple, exactly as both are written, whatever their size.
    pub fn divides(&self, text: &str) -> bool {
        let decimal = Decimal::parse(text);
        let modulus = u128::from(self.mantissa);
        let mut zero = true;
        let mut remainder = 0u128;
        for digit in decimal.significant() {
            zero &= digit == 0;
            remainder = (remainder * 10 + u128::from(digit)) % modulus;
        }
        if zero {
            return true;
        }
        // The digits do not end in zero, so no power of ten divides them.
        let Ok(shift) = u64::try_from(decimal.exponent.saturating_sub(self.exponent)) else { return false };
        (remainder * power_of_ten(shift, modulus)).is_multiple_of(modulus)
    }
}

/// 10^exponent modulo a 64-bit number.
fn power_of_ten(mut exponent: u64, modulus: u128) -> u128 {
    let mut power = 1 % modulus;
    let mut base = 10 % modulus;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    power
}

/// A decimal as written: digits with at most one point among them, and the exponent of the last digit that counts.
struct Decimal<'a> {
    digits: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Self {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            // An exponent beyond 64 bits is negative, or belongs to a zero: the scanner takes no infinite number.
            Some((digits, exponent)) => (digits, exponent.parse().unwrap_or(i64::MIN)),
            None => (text, 0i64),
        };
        let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let kept = digits.trim_end_matches(['0', '.']);
        let trimmed = digits[kept.len()..].bytes().filter(|&byte| byte == b'0').count();
        Self {
            digits: kept,
            exponent: exponent.saturating_sub(fraction as i64).saturating_add(trimmed as i64),
        }
    }

    fn significant(&self) -> impl Iterator<Item = u8> {
        self.digits.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divides(divisor: &str, number: &str) -> bool {
        Divisor::parse(divisor).unwrap().divides(number)
    }

    #[test]
    fn multiples_are_exact_decimals() {
        for (divisor, number) in [
            ("0.01", "4.02"),
            ("0.0001", "0.0075"),
            ("1e-8", "12391239123"),
            ("0.1", "0.3"),
            ("3", "-9"),
            ("2", "0"),
            ("2", "0.0"),
            ("5", "1e300"),
            ("1e2", "1200"),
            ("1.5", "4.50"),
            ("7", "700000000000000000000000000"),
            ("0.5", "1e308"),
            ("10", "100.0"),
            ("1e-300", "1"),
            ("3", "0e99999999999999999999"),
        ] {
            assert!(divides(divisor, number), "{number} is a multiple of {divisor}");
        }
        for (divisor, number) in [
            ("0.01", "0.0075"),
            ("2", "3"),
            ("2", "1e-5"),
            ("0.123456789", "1e308"),
            ("3", "10000000000000000000000"),
            ("10", "5"),
            ("1e3", "100"),
            ("4", "2.0"),
            ("7", "1e-300"),
            ("1", "1e-99999999999999999999"),
        ] {
            assert!(!divides(divisor, number), "{number} is no multiple of {divisor}");
        }
    }

    #[test]
    fn a_divisor_of_more_than_64_bits_is_not_claimed() {
        assert!(Divisor::parse("123456789012345678901").is_none());
        assert!(Divisor::parse("0").is_none());
    }

    #[test]
    fn integers_and_doubles_compare_exactly() {
        let double = Number::Double;
        let integer = Number::Integer;
        assert_eq!(
            integer(9_007_199_254_740_993).compare(double(9_007_199_254_740_992.0)),
            Ordering::Greater
        );
        assert_eq!(
            integer(i128::from(u64::MAX)).compare(double(18_446_744_073_709_551_616.0)),
            Ordering::Less
        );
        assert_eq!(integer(-1).compare(double(-0.5)), Ordering::Less);
        assert_eq!(integer(0).compare(double(-0.0)), Ordering::Equal);
        assert_eq!(integer(0).compare(double(-0.5)), Ordering::Greater);
        assert_eq!(integer(1).compare(double(1e300)), Ordering::Less);
        assert_eq!(double(-1e300).compare(integer(1)), Ordering::Less);
        assert_eq!(double(2.0).compare(integer(2)), Ordering::Equal);
    }

    #[test]
    fn equal_numbers_have_one_canonical_form() {
        assert_eq!(Number::Integer(100).canonical(), Number::Double(1e2).canonical());
        assert_eq!(Number::Integer(0).canonical(), Number::Double(-0.0).canonical());
        assert_ne!(Number::Integer(0).canonical(), Number::Double(0.5).canonical());
    }
}
