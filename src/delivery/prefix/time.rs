//! Times in templates: what a strftime format shows, and the number that stands for it in a key.

use chrono::format::{DelayedFormat, Fixed, Item, Numeric};
use chrono::{DateTime, Datelike, NaiveDateTime};

use super::zone::Local;

/// 0000-01-01 00:00:00 and 9999-12-31 23:59:59.999999 UTC: what RFC 3339 can write.
pub(super) const FIRST_MICROS: i64 = -62_167_219_200_000_000;
pub(super) const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// How finely a format shows a time. The order is from fine to coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimeUnit {
    Micros,
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

impl TimeUnit {
    /// The finest unit that a format shows; `None` if it shows nothing of the time.
    pub fn of(items: &[Item<'_>]) -> Option<Self> {
        items.iter().filter_map(Self::of_item).min()
    }

    fn of_item(item: &Item<'_>) -> Option<Self> {
        match item {
            Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) | Item::Error => {
                None
            }
            Item::Numeric(numeric, _) => Some(match numeric {
                Numeric::Year | Numeric::YearDiv100 | Numeric::YearMod100 => Self::Year,
                Numeric::Quarter | Numeric::Month => Self::Month,
                // The year of ISO 8601 changes in the middle of a week.
                Numeric::IsoYear
                | Numeric::IsoYearDiv100
                | Numeric::IsoYearMod100
                | Numeric::Day
                | Numeric::WeekFromSun
                | Numeric::WeekFromMon
                | Numeric::IsoWeek
                | Numeric::NumDaysFromSun
                | Numeric::WeekdayFromMon
                | Numeric::Ordinal => Self::Day,
                Numeric::Hour | Numeric::Hour12 => Self::Hour,
                Numeric::Minute => Self::Minute,
                Numeric::Second | Numeric::Timestamp => Self::Second,
                _ => Self::Micros,
            }),
            Item::Fixed(fixed) => match fixed {
                Fixed::ShortMonthName | Fixed::LongMonthName => Some(Self::Month),
                Fixed::ShortWeekdayName | Fixed::LongWeekdayName => Some(Self::Day),
                Fixed::LowerAmPm | Fixed::UpperAmPm => Some(Self::Hour),
                // See `shows_offset`.
                Fixed::TimezoneName
                | Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ => None,
                Fixed::RFC2822 => Some(Self::Second),
                _ => Some(Self::Micros),
            },
        }
    }

    /// Which of these units a time on the clocks of its zone lies in, counted from some fixed one.
    pub fn count(self, local_micros: i64) -> Option<i64> {
        let micros = match self {
            Self::Micros => 1,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
            Self::Month => {
                return civil(local_micros)
                    .map(|date| i64::from(date.year()) * 12 + i64::from(date.month0()));
            }
            Self::Year => return civil(local_micros).map(|date| i64::from(date.year())),
        };
        Some(local_micros.div_euclid(micros))
    }
}

/// Whether a format shows more than the clocks of a zone do: two times that read the same there, as in the hour that
/// comes twice when summer ends, differ in it.
pub(super) fn shows_offset(items: &[Item<'_>]) -> bool {
    items.iter().any(|item| match item {
        Item::Numeric(Numeric::Timestamp, _) => true,
        Item::Fixed(fixed) => matches!(
            fixed,
            Fixed::TimezoneName
                | Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
                | Fixed::RFC2822
                | Fixed::RFC3339
        ),
        _ => false,
    })
}

fn civil(local_micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(local_micros).map(|time| time.naive_utc())
}

/// The time in a format whose items were checked.
pub(super) fn print(local: &Local<'_>, items: &[Item<'static>]) -> String {
    let (date, time) = (local.date_time.date(), local.date_time.time());
    DelayedFormat::new_with_offset(Some(date), Some(time), &local.offset, items.iter()).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::format::StrftimeItems;

    use super::*;

    #[test]
    fn a_format_shows_its_finest_unit() {
        for (format, unit) in [
            ("%Y", Some(TimeUnit::Year)),
            ("%Y-%m", Some(TimeUnit::Month)),
            ("%b %y", Some(TimeUnit::Month)),
            ("%Y/%m/%d", Some(TimeUnit::Day)),
            ("%G-W%V", Some(TimeUnit::Day)),
            ("%F", Some(TimeUnit::Day)),
            ("%H", Some(TimeUnit::Hour)),
            ("%I %p", Some(TimeUnit::Hour)),
            ("%H:%M", Some(TimeUnit::Minute)),
            ("%T", Some(TimeUnit::Second)),
            ("%s", Some(TimeUnit::Second)),
            ("%.3f", Some(TimeUnit::Micros)),
            ("%+", Some(TimeUnit::Micros)),
            ("text %Z", None),
        ] {
            let items = StrftimeItems::new(format).parse_to_owned().expect(format);
            assert_eq!(TimeUnit::of(&items), unit, "{format}");
        }
    }

    #[test]
    fn the_bounds_are_the_first_and_the_last_microsecond_of_four_digit_years() {
        let print = |micros| civil(micros).map(|time| time.to_string());
        assert_eq!(print(FIRST_MICROS).as_deref(), Some("0000-01-01 00:00:00"));
        assert_eq!(print(LAST_MICROS).as_deref(), Some("9999-12-31 23:59:59.999999"));
        assert_eq!(TimeUnit::Day.count(-1), Some(-1));
    }

    #[test]
    fn formats_that_tell_the_offset_are_known() {
        for (format, shows) in [
            ("%Y-%m-%d %H:%M", false),
            ("%F %T%.6f", false),
            ("%z", true),
            ("%Z", true),
            ("%s", true),
            ("%+", true),
        ] {
            let items = StrftimeItems::new(format).parse_to_owned().expect(format);
            assert_eq!(shows_offset(&items), shows, "{format}");
        }
    }
}
