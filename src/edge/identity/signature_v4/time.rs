//! The times of signed requests, in whole seconds since 1970 (UTC).

use std::time::Duration;

use chrono::{DateTime, NaiveDate};

use super::error::IdentityError;
use crate::runtime::clock::UnixMicros;

/// ISO 8601's basic form, the only one that Signature Version 4 knows.
const BASIC: &str = "%Y%m%dT%H%M%SZ";

/// Seconds of `20130524T000000Z`.
pub(super) fn parse_basic(text: &str) -> Option<i64> {
    let &[y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, i1, i2, s1, s2, b'Z'] = text.as_bytes() else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
    let time = date.and_hms_opt(number(&[h1, h2])?, number(&[i1, i2])?, number(&[s1, s2])?)?;
    Some(time.and_utc().timestamp())
}

/// Seconds of an HTTP date.
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    let seconds = DateTime::parse_from_rfc2822(text).ok()?.timestamp();
    // Years that do not have four digits have no basic form.
    (0..=253_402_300_799).contains(&seconds).then_some(seconds)
}

/// `20130524T000000Z`.
pub(super) fn print_basic(seconds: i64) -> String {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => time.format(BASIC).to_string(),
        None => seconds.to_string(),
    }
}

/// Whether a request that was signed at `signed` is for now: neither older than `clock_skew`, or than `lifetime`
/// seconds if it is a presigned one, nor from further ahead than `clock_skew`.
pub(super) fn check(
    signed: i64,
    lifetime: Option<i64>,
    clock_skew: Duration,
    now: UnixMicros,
) -> Result<(), IdentityError> {
    let now = now.0.div_euclid(1_000_000);
    let skew = i64::try_from(clock_skew.as_secs()).unwrap_or(i64::MAX);
    let age_max = lifetime.unwrap_or(skew);
    let span = |seconds: i64| match seconds % 60 {
        0 => format!("{} min.", seconds / 60),
        _ => format!("{seconds} s"),
    };
    let earliest = now.saturating_sub(age_max);
    if signed < earliest {
        let (signed, earliest, now) = (print_basic(signed), print_basic(earliest), print_basic(now));
        let age_max = span(age_max);
        return Err(IdentityError::Invalid(format!(
            "Signature expired: {signed} is now earlier than {earliest} ({now} - {age_max})"
        )));
    }
    let latest = now.saturating_add(skew);
    if signed > latest {
        let (signed, latest, now) = (print_basic(signed), print_basic(latest), print_basic(now));
        let skew = span(skew);
        return Err(IdentityError::Invalid(format!(
            "Signature not yet current: {signed} is still later than {latest} ({now} + {skew})"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z.
    const SIGNED: i64 = 1_440_938_160;
    const SKEW: Duration = Duration::from_secs(15 * 60);

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros(seconds * 1_000_000)
    }

    #[test]
    fn times_are_read_in_their_exact_form_only() {
        assert_eq!(parse_basic("20150830T123600Z"), Some(SIGNED));
        for text in [
            "",
            "20150830",
            "20150830T123600",
            "20150830T123600z",
            "2015-08-30T12:36:00Z",
            "20150230T123600Z",
            "20150830T246000Z",
            "20150830T123660Z",
            "20150030T123600Z",
            "+2150830T123600Z",
            "20150830T12360 Z",
            "20150830 123600Z",
            "20150830T1236é",
        ] {
            assert_eq!(parse_basic(text), None, "{text}");
        }
        assert_eq!(print_basic(SIGNED), "20150830T123600Z");
    }

    #[test]
    fn an_http_date_has_any_zone() {
        for text in ["Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000"] {
            assert_eq!(parse_http_date(text), Some(SIGNED), "{text}");
        }
        assert_eq!(parse_http_date("yesterday"), None);
        assert_eq!(parse_http_date("Sun, 30 Aug 1915 12:36:00 GMT"), None);
    }

    #[test]
    fn a_request_is_for_the_time_around_its_signature_to_the_second() {
        for (now, taken) in
            [(SIGNED - 901, false), (SIGNED - 900, true), (SIGNED + 900, true), (SIGNED + 901, false)]
        {
            assert_eq!(check(SIGNED, None, SKEW, at(now)).is_ok(), taken, "{}", now - SIGNED);
        }
        for (now, taken) in [(SIGNED - 901, false), (SIGNED + 60, true), (SIGNED + 61, false)] {
            assert_eq!(check(SIGNED, Some(60), SKEW, at(now)).is_ok(), taken, "{}", now - SIGNED);
        }
    }

    #[test]
    fn refusals_have_the_words_that_sdks_correct_their_clocks_by() {
        let said = |now| check(SIGNED, None, SKEW, at(now)).expect_err("too far").to_string();
        assert_eq!(
            said(SIGNED + 3_600),
            "Signature expired: 20150830T123600Z is now earlier than 20150830T132100Z (20150830T133600Z - 15 min.)"
        );
        assert_eq!(
            said(SIGNED - 3_600),
            "Signature not yet current: 20150830T123600Z is still later than 20150830T115100Z (20150830T113600Z + 15 min.)"
        );
    }

    #[test]
    fn clocks_at_the_ends_of_time_do_not_overflow() {
        for now in [i64::MIN, 0, i64::MAX] {
            assert!(check(SIGNED, None, SKEW, UnixMicros(now)).is_err());
        }
    }
}
