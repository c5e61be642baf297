//! Points in time as JSON carries them: RFC 3339 strings, dates, and numbers since 1970.

use super::decimal;
use crate::json::Scanner;
use crate::runtime::clock::UnixMicros;

const SECONDS_PER_DAY: i64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Days in the 400 years after which the Gregorian calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// A point in time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Whole seconds since 1970-01-01 00:00:00 UTC, rounded down.
    pub seconds: i64,
    /// The rest, below 1,000,000,000.
    pub nanos: u32,
}

impl Instant {
    /// The beginning of a day in UTC, counted from 1970-01-01.
    pub fn at_midnight(days: i32) -> Self {
        Self { seconds: i64::from(days) * SECONDS_PER_DAY, nanos: 0 }
    }

    /// In units of which there are `per_second` (1 to 1,000,000,000) in a second, rounded down; None beyond 64 bits.
    #[inline]
    pub fn in_units(self, per_second: i64) -> Option<i64> {
        let fraction = i64::from(self.nanos) / (1_000_000_000 / per_second);
        // Before 1970 the seconds alone may be beyond 64 bits where the sum is not.
        if self.seconds < 0 {
            return (self.seconds + 1).checked_mul(per_second)?.checked_add(fraction - per_second);
        }
        self.seconds.checked_mul(per_second)?.checked_add(fraction)
    }
}

/// Parses an RFC 3339 date-time such as `2026-02-28T23:59:59.123+01:00`.
///
/// Everything that RFC 3339 allows is taken: lower-case `t` and `z`, a space instead of the `T`, any number of
/// fraction digits (those behind the ninth are cut off), `-00:00`, the years 0000 to 9999. A leap second is taken
/// where one can be, in the last minute of a month in UTC, and counted as the first second of the next month, as
/// POSIX does. Days that no calendar has are refused, and so is everything that only resembles RFC 3339 (no offset,
/// an offset without a colon, a comma before the fraction).
#[inline]
pub fn parse(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let fixed: &[u8; 19] = bytes.first_chunk()?;
    let separated = matches!(fixed[10], b'T' | b't' | b' ') && fixed[13] == b':' && fixed[16] == b':';
    let days = days(fixed.first_chunk()?)?;
    let (hour, minute) = (two_digits(fixed[11], fixed[12])?, two_digits(fixed[14], fixed[15])?);
    let second = two_digits(fixed[17], fixed[18])?;
    if !separated || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(&bytes[19..])?;
    let local = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    let seconds = local - offset(zone)?;
    if second == 60 && !begins_month(seconds) {
        return None;
    }
    Some(Instant { seconds, nanos })
}

/// Parses a date such as `2026-02-28`: days since 1970-01-01.
#[inline]
pub fn parse_date(text: &str) -> Option<i32> {
    days(text.as_bytes().try_into().ok()?)?.try_into().ok()
}

/// The time that a record's field stands for: `raw` is the JSON value as it was written.
///
/// A string is read as RFC 3339. A number is an epoch, whose unit is told by its magnitude:
///
/// | magnitude | unit | covers |
/// | --- | --- | --- |
/// | below 10¹¹ | seconds | to the year 5138 |
/// | below 10¹⁴ | milliseconds | 1973-03 to 5138 |
/// | below 10¹⁷ | microseconds | 1973-03 to 5138 |
/// | above | nanoseconds | from 1973-03 on |
///
/// Finer digits than microseconds are cut off (towards the past).
pub fn event_time(raw: &str) -> Option<UnixMicros> {
    let raw = raw.trim_matches([' ', '\n', '\r', '\t']);
    let micros = match raw.as_bytes().first()? {
        b'"' => {
            let mut scanner = Scanner::new(raw);
            let text = scanner.string().ok()?;
            scanner.end().ok()?;
            parse(&text.decode())?.in_units(1_000_000)?
        }
        _ => epoch_micros(raw)?,
    };
    Some(UnixMicros(micros))
}

fn epoch_micros(number: &str) -> Option<i64> {
    // Powers of ten are told apart by the count of digits.
    let whole = decimal::scale(number, 0)?.value.unsigned_abs();
    let scale = match whole.checked_ilog10().unwrap_or(0) + 1 {
        ..=11 => 6,
        12..=14 => 3,
        15..=17 => 0,
        _ => -3,
    };
    let micros = decimal::scale(number, scale)?;
    let cut_upwards = !micros.exact && number.starts_with('-');
    i64::try_from(micros.value - i128::from(cut_upwards)).ok()
}

#[inline]
fn digit(byte: u8) -> Option<i64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(i64::from(value))
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Days from 1970-01-01 to a date written as `YYYY-MM-DD`, if the calendar has it.
#[inline]
fn days(date: &[u8; 10]) -> Option<i64> {
    let year = two_digits(date[0], date[1])? * 100 + two_digits(date[2], date[3])?;
    let (month, day) = (two_digits(date[5], date[6])?, two_digits(date[8], date[9])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if date[4] != b'-' || date[7] != b'-' || day < 1 || day > last {
        return None;
    }
    // Years that begin in March have their leap day at their end, and months of 30.6 days on average.
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970)
}

/// Whether `seconds` is midnight of the first day of a month.
#[cold]
fn begins_month(seconds: i64) -> bool {
    let day_of_era = (seconds.div_euclid(SECONDS_PER_DAY) + DAYS_TO_1970).rem_euclid(DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (DAYS_PER_ERA - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5;
    seconds.rem_euclid(SECONDS_PER_DAY) == 0 && day == 0
}

/// The nanoseconds of an optional fraction, and what stands behind it.
#[inline]
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', digits @ ..] = rest else { return Some((0, rest)) };
    let count = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if count == 0 {
        return None;
    }
    let kept = &digits[..count.min(9)];
    let value = kept.iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    Some((value * 10_u32.pow(9 - kept.len() as u32), &digits[count..]))
}

/// Seconds that a zone is ahead of UTC.
#[inline]
fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
            let seconds = hours * 3_600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
