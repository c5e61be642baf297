//! Exact values of JSON numbers, from their digits and never through a float.

/// A number times a power of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaled {
    /// The product without its fraction (cut towards zero).
    pub value: i128,
    /// Whether there was no fraction.
    pub exact: bool,
}

/// Powers of ten that an `i128` holds: 10³⁸ < 2¹²⁷ ≈ 1.7 × 10³⁸.
const POWER_MAX: u64 = 38;

/// `text`, a JSON number, times 10 to the power of `scale`. None if it is beyond an `i128`, or no JSON number.
///
/// `scale("12.50", 2)` is 1250, exact; `scale("12.509", 2)` is 1250, not exact.
pub fn scale(text: &str, scale: i32) -> Option<Scaled> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text),
    };
    let (mantissa, exponent) = match magnitude.find(['e', 'E']) {
        Some(at) => (&magnitude[..at], exponent(&magnitude[at + 1..])?),
        None => (magnitude, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let shift = exponent.saturating_add(i64::from(scale)).saturating_sub_unsigned(fraction.len() as u64);
    let kept = if shift < 0 {
        (whole.len() + fraction.len())
            .saturating_sub(usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX))
    } else {
        usize::MAX
    };
    let mut value: i128 = 0;
    let mut exact = true;
    for (index, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if index < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else {
            exact &= digit == 0;
        }
    }
    if shift > 0 && value != 0 {
        value = value.checked_mul(power(shift.unsigned_abs())?)?;
    }
    Some(Scaled { value: if negative { -value } else { value }, exact })
}

/// 10 to the power of `exponent`, if an `i128` holds it.
pub fn power(exponent: u64) -> Option<i128> {
    (exponent <= POWER_MAX).then(|| 10_i128.pow(exponent as u32))
}

/// The value of an exponent with an optional sign. One beyond an `i64` is as good as infinite.
fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(value: i128) -> Option<Scaled> {
        Some(Scaled { value, exact: true })
    }

    #[test]
    fn values_do_not_depend_on_how_a_number_is_written() {
        for text in ["1250", "1250.0", "1.25e3", "12500E-1", "0.00125e+6", "1250.000e0"] {
            assert_eq!(scale(text, 0), exact(1250), "{text}");
        }
        assert_eq!(scale("-0", 5), exact(0));
        assert_eq!(scale("0e999999999999999999999", 2), exact(0));
        assert_eq!(scale("0.1", 1), exact(1));
    }

    #[test]
    fn what_is_cut_off_is_told() {
        assert_eq!(scale("-12.509", 2), Some(Scaled { value: -1250, exact: false }));
        assert_eq!(scale("9e-400", 2), Some(Scaled { value: 0, exact: false }));
        assert_eq!(scale("1e-99999999999999999999", 0), Some(Scaled { value: 0, exact: false }));
        assert_eq!(scale("12.500", 1), exact(125));
        assert_eq!(
            scale("1700000000123456789", -3),
            Some(Scaled { value: 1_700_000_000_123_456, exact: false })
        );
    }

    #[test]
    fn what_128_bits_do_not_hold_is_none() {
        assert_eq!(scale(&i128::MAX.to_string(), 0), exact(i128::MAX));
        assert_eq!(scale("170141183460469231731687303715884105728", 0), None);
        assert_eq!(scale("1e39", 0), None);
        assert_eq!(scale("1e9223372036854775807", 38), None);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "1e", "1e+", "--1", "1a", "e5", "+1", " 1"] {
            assert_eq!(scale(text, 0), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(value in any::<i64>(), places in 0_u32..30) {
            let text = format!("{value}e-{places}");
            prop_assert_eq!(scale(&text, places as i32), exact(i128::from(value)));
        }
    }
}
