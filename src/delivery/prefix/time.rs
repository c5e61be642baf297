//! Times in templates: what a strftime format shows, and the number that stands for it in a key.

use chrono::format::{Fixed, Item, Numeric};
use chrono::{DateTime, Datelike, Utc};

use crate::runtime::clock::UnixMicros;

/// 0000-01-01 00:00:00 and 9999-12-31 23:59:59.999999 UTC: what RFC 3339 can write.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

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
                // Always UTC.
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

    /// Which of these units the time lies in, counted from some fixed one; `None` outside the years 0 to 9999.
    pub fn count(self, time: UnixMicros) -> Option<i64> {
        if !(FIRST_MICROS..=LAST_MICROS).contains(&time.0) {
            return None;
        }
        let micros = match self {
            Self::Micros => 1,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
            Self::Month => {
                return civil(time).map(|date| i64::from(date.year()) * 12 + i64::from(date.month0()));
            }
            Self::Year => return civil(time).map(|date| i64::from(date.year())),
        };
        Some(time.0.div_euclid(micros))
    }
}

/// The time as a date; `None` outside the years 0 to 9999.
pub(super) fn civil(time: UnixMicros) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(time.0).filter(|_| (FIRST_MICROS..=LAST_MICROS).contains(&time.0))
}

/// The time in a format whose items were checked.
pub(super) fn print(time: DateTime<Utc>, items: &[Item<'static>]) -> String {
    time.format_with_items(items.iter()).to_string()
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
        let print = |micros| civil(UnixMicros(micros)).map(|time| time.to_rfc3339());
        assert_eq!(print(FIRST_MICROS).as_deref(), Some("0000-01-01T00:00:00+00:00"));
        assert_eq!(print(LAST_MICROS).as_deref(), Some("9999-12-31T23:59:59.999999+00:00"));
        assert_eq!(print(FIRST_MICROS - 1), None);
        assert_eq!(print(LAST_MICROS + 1), None);
        assert_eq!(TimeUnit::Day.count(UnixMicros(i64::MAX)), None);
        assert_eq!(TimeUnit::Day.count(UnixMicros(-1)), Some(-1));
    }
}
