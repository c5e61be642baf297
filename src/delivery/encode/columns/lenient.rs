//! Values of another kind than their column's that say the same: what `coerce = "lenient"` takes.
//!
//! `docs/configuration.md` has the table. White space around what a string says is left out, except in columns of
//! strings. All of this is off the path of values that are of the right kind.

use std::borrow::Cow;

use super::fault::Fault;
use super::numbers::{OUT_OF_RANGE, integer};
use crate::json::{Kind, RawNumber, Scanner, SyntaxErrorKind};
use crate::schema::columns::Coercion;
use crate::schema::timestamp::{self, Instant};

/// White space as JSON has it.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

const SECONDS_PER_DAY: i64 = 86_400;

/// Days of the years 0000 to 9999: what a date's text reaches. A number like 20260228 is not taken for days.
const DAYS: std::ops::RangeInclusive<i32> = -719_528..=2_932_896;

/// The number in a string.
#[cold]
pub(super) fn number<T>(
    coercion: Coercion,
    kind: Kind,
    scanner: &mut Scanner<'_>,
    convert: impl FnOnce(RawNumber<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if coercion != Coercion::Lenient || kind != Kind::String {
        return Err(Fault::kind(kind));
    }
    let text = scanner.string()?.decode();
    number_in(&text, convert).unwrap_or_else(|| Err(Fault::found("a string that is no number")))
}

/// None if there is no number in the text.
fn number_in<T>(
    text: &str,
    convert: impl FnOnce(RawNumber<'_>) -> Result<T, Fault>,
) -> Option<Result<T, Fault>> {
    let mut scanner = Scanner::new(text.trim_matches(SPACE));
    let number = match scanner.number() {
        Ok(number) => number,
        Err(error) if error.kind == SyntaxErrorKind::NumberOutOfRange => {
            return Some(Err(Fault::found(OUT_OF_RANGE)));
        }
        Err(_) => return None,
    };
    scanner.end().is_ok().then(|| convert(number))
}

/// True or false in a string or as a number.
#[cold]
pub(super) fn bool(coercion: Coercion, kind: Kind, scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
    let of_number = |number| match integer::<u8>(number) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        _ => Err(Fault::found("a number other than 0 and 1")),
    };
    match (coercion, kind) {
        (Coercion::Lenient, Kind::Number) => of_number(scanner.number()?),
        (Coercion::Lenient, Kind::String) => {
            let text = scanner.string()?.decode();
            let word = text.trim_matches(SPACE);
            if word.eq_ignore_ascii_case("true") || word == "1" {
                Ok(true)
            } else if word.eq_ignore_ascii_case("false") || word == "0" {
                Ok(false)
            } else {
                Err(Fault::found("a string that is neither true nor false"))
            }
        }
        _ => Err(Fault::kind(kind)),
    }
}

/// The text of a number or of true and false, as it is written; of any value where that was learned.
#[cold]
pub(super) fn text<'a>(coercion: Coercion, kind: Kind, scanner: &mut Scanner<'a>) -> Result<&'a str, Fault> {
    match (coercion, kind) {
        (Coercion::Lenient, Kind::Number) => Ok(scanner.number()?.text()),
        (Coercion::Lenient, Kind::Bool) => Ok(if scanner.bool()? { "true" } else { "false" }),
        (Coercion::LearnedText, _) => {
            let start = scanner.position();
            scanner.skip_value()?;
            Ok(&scanner.text()[start..scanner.position()])
        }
        _ => Err(Fault::kind(kind)),
    }
}

/// The day in UTC of a point in time, or a number of days since 1970.
#[cold]
pub(super) fn date(text: &str) -> Option<i32> {
    let text = text.trim_matches(SPACE);
    if let Some(days) = timestamp::parse_date(text) {
        return Some(days);
    }
    match instant(text) {
        Some(instant) => i32::try_from(instant.seconds.div_euclid(SECONDS_PER_DAY)).ok(),
        None => number_in(text, days)?.ok(),
    }
}

/// Days since 1970.
pub(super) fn days(number: RawNumber<'_>) -> Result<i32, Fault> {
    let days = integer(number)?;
    if DAYS.contains(&days) { Ok(days) } else { Err(Fault::found(OUT_OF_RANGE)) }
}

/// What a string says of a point in time.
pub(super) enum Time<T> {
    Instant(Instant),
    Number(T),
}

/// RFC 3339; the same without a zone, or a date alone, in UTC; or a number.
#[cold]
pub(super) fn time<T>(
    text: &str,
    convert: impl FnOnce(RawNumber<'_>) -> Result<T, Fault>,
) -> Option<Result<Time<T>, Fault>> {
    let text = text.trim_matches(SPACE);
    match instant(text) {
        Some(instant) => Some(Ok(Time::Instant(instant))),
        None => Some(number_in(text, convert)?.map(Time::Number)),
    }
}

fn instant(text: &str) -> Option<Instant> {
    let in_utc: Cow<'_, str> = match timestamp::parse_date(text) {
        Some(_) => format!("{text}T00:00:00Z").into(),
        None => text.into(),
    };
    timestamp::parse(&in_utc).or_else(|| timestamp::parse(&format!("{in_utc}Z")))
}
