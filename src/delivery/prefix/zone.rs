//! Time zones of the IANA database, which is part of the program: what a path says must not depend on the machine.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::time::{FIRST_MICROS, LAST_MICROS};
use crate::config::nearest;
use crate::runtime::clock::UnixMicros;

/// The name of the default zone, which needs no database.
const UTC: &str = "UTC";

/// Changes of a zone's offset that go into its fingerprint: two a year for the years 1900 to 2100, and as many again
/// for zones that have changed their minds.
const TRANSITIONS_MAX: usize = 800;

/// 1900-01-01 and 2101-01-01 00:00:00 UTC: changes between them are in a zone's fingerprint.
const RULES_FROM_SECONDS: i64 = -2_208_988_800;
const RULES_TO_SECONDS: i64 = 4_133_980_800;

/// A zone that times are shown in.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    /// None for UTC.
    rules: Option<TimeZone>,
}

/// There is no such zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{name:?} is no time zone of the IANA database{}",
    match suggestion {
        Some(near) => format!(": did you mean {near:?}?"),
        None => ": write a name such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
    }
)]
pub struct UnknownZone {
    /// What was asked for.
    pub name: String,
    /// What it was most likely meant to be.
    pub suggestion: Option<String>,
}

/// A point in time as the clocks of a zone show it.
pub(super) struct Local<'a> {
    pub date_time: NaiveDateTime,
    pub offset: LocalOffset<'a>,
}

/// What a zone's clocks are ahead of UTC, and what that is called there.
#[derive(Debug, Clone)]
pub(super) struct LocalOffset<'a> {
    fixed: FixedOffset,
    name: std::borrow::Cow<'a, str>,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: UTC.to_owned(), rules: None }
    }

    /// The zone of a name such as `Europe/Berlin`, in any case.
    ///
    /// # Errors
    /// If the database has none.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        if name.eq_ignore_ascii_case(UTC) {
            return Ok(Self::utc());
        }
        let zones = TimeZoneDatabase::bundled();
        match zones.get(name) {
            Ok(rules) => {
                let name = rules.iana_name().unwrap_or(name).to_owned();
                Ok(Self { name, rules: Some(rules) })
            }
            Err(_) => {
                let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
                let suggestion = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                Err(UnknownZone { name: name.chars().take(64).collect(), suggestion })
            }
        }
    }

    /// Its name in the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is UTC, the default.
    pub fn is_utc(&self) -> bool {
        self.rules.is_none()
    }

    /// 16 hexadecimal digits that change when the database tells anything else of this zone than it did: its offsets
    /// and their names from 1900 to 2100.
    pub fn fingerprint(&self) -> String {
        let mut hash = Xxh3::new();
        let (from, to) =
            (Timestamp::from_second(RULES_FROM_SECONDS), Timestamp::from_second(RULES_TO_SECONDS));
        if let (Some(rules), Ok(from), Ok(to)) = (&self.rules, from, to) {
            let mut add = |at: i64, offset: i32, name: &str| {
                hash.update(&at.to_be_bytes());
                hash.update(&offset.to_be_bytes());
                hash.update(name.as_bytes());
            };
            let first = rules.to_offset_info(from);
            add(RULES_FROM_SECONDS, first.offset().seconds(), first.abbreviation());
            let changes = rules.following(from).take_while(|change| change.timestamp() < to);
            for change in changes.take(TRANSITIONS_MAX) {
                add(change.timestamp().as_second(), change.offset().seconds(), change.abbreviation());
            }
        }
        format!("{:016x}", hash.digest())
    }

    /// The time on its clocks; `None` outside the years 0 to 9999 there or in UTC, and but for UTC in the last two days
    /// of 9999, which the database's reader leaves out.
    pub(super) fn local(&self, time: UnixMicros) -> Option<Local<'_>> {
        let utc = within_years(time.0)?;
        let (shifted, fixed, name) = match &self.rules {
            None => (utc, 0, UTC.into()),
            Some(rules) => {
                let info = rules.to_offset_info(Timestamp::from_microsecond(utc).ok()?);
                let seconds = info.offset().seconds();
                let name = info.abbreviation().to_owned().into();
                (within_years(utc + i64::from(seconds) * 1_000_000)?, seconds, name)
            }
        };
        let date_time = DateTime::from_timestamp_micros(shifted)?.naive_utc();
        Some(Local { date_time, offset: LocalOffset { fixed: FixedOffset::east_opt(fixed)?, name } })
    }

    /// Microseconds from 1970-01-01 00:00:00 to what its clocks show; `None` as for [`Zone::local`].
    pub(super) fn local_micros(&self, time: UnixMicros) -> Option<i64> {
        let utc = within_years(time.0)?;
        match &self.rules {
            None => Some(utc),
            Some(rules) => {
                let offset = rules.to_offset(Timestamp::from_microsecond(utc).ok()?);
                within_years(utc + i64::from(offset.seconds()) * 1_000_000)
            }
        }
    }

    /// Appends bytes that tell the offset at a time and its name from others.
    pub(super) fn append_offset(&self, time: UnixMicros, key: &mut Vec<u8>) {
        let Some(rules) = &self.rules else { return };
        let Ok(time) = Timestamp::from_microsecond(time.0) else { return };
        let info = rules.to_offset_info(time);
        key.extend_from_slice(&info.offset().seconds().to_le_bytes());
        key.extend_from_slice(info.abbreviation().as_bytes());
        key.push(0);
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Offset for LocalOffset<'_> {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Display for LocalOffset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn within_years(micros: i64) -> Option<i64> {
    (FIRST_MICROS..=LAST_MICROS).contains(&micros).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-29T00:59:59Z and a second later: clocks in Berlin go from 01:59:59 to 03:00:00.
    const BEFORE_SUMMER: i64 = 1_774_745_999_000_000;

    fn shown(zone: &str, micros: i64) -> Option<String> {
        let zone = Zone::parse(zone).expect(zone);
        let local = zone.local(UnixMicros(micros))?;
        assert_eq!(Some(local.date_time.and_utc().timestamp_micros()), zone.local_micros(UnixMicros(micros)));
        Some(format!("{} {} {}", local.date_time, local.offset.fix(), local.offset))
    }

    #[test]
    fn clocks_of_a_zone_go_by_its_rules() {
        for (zone, micros, text) in [
            ("UTC", BEFORE_SUMMER, "2026-03-29 00:59:59 +00:00 UTC"),
            ("Europe/Berlin", BEFORE_SUMMER, "2026-03-29 01:59:59 +01:00 CET"),
            ("Europe/Berlin", BEFORE_SUMMER + 1_000_000, "2026-03-29 03:00:00 +02:00 CEST"),
            ("asia/kathmandu", BEFORE_SUMMER, "2026-03-29 06:44:59 +05:45 +0545"),
            ("Australia/Lord_Howe", BEFORE_SUMMER, "2026-03-29 11:59:59 +11:00 +11"),
            ("America/St_Johns", BEFORE_SUMMER, "2026-03-28 22:29:59 -02:30 NDT"),
            ("Etc/UTC", BEFORE_SUMMER, "2026-03-29 00:59:59 +00:00 UTC"),
        ] {
            assert_eq!(shown(zone, micros).as_deref(), Some(text));
        }
    }

    #[test]
    fn years_without_four_digits_are_out_of_range_on_the_clocks_of_the_zone() {
        assert!(shown("Europe/Berlin", LAST_MICROS).is_none());
        assert!(shown("America/New_York", LAST_MICROS - 2 * 86_400_000_000).is_some());
        assert!(shown("UTC", LAST_MICROS).is_some());
        assert!(shown("America/New_York", FIRST_MICROS).is_none());
        assert!(shown("Europe/Berlin", FIRST_MICROS).is_some());
        assert!(shown("Europe/Berlin", i64::MAX).is_none() && shown("UTC", i64::MIN).is_none());
    }

    #[test]
    fn an_unknown_zone_is_refused_with_what_it_may_have_been_meant_to_be() {
        let message = |name: &str| Zone::parse(name).expect_err(name).to_string();
        assert_eq!(
            message("Europe/Berln"),
            "\"Europe/Berln\" is no time zone of the IANA database: did you mean \"Europe/Berlin\"?"
        );
        assert_eq!(
            message("+01:00"),
            "\"+01:00\" is no time zone of the IANA database: write a name such as \"Europe/Berlin\" or \"UTC\""
        );
        assert!(message("").contains("is no time zone"));
    }

    #[test]
    fn fingerprints_tell_zones_with_other_rules_apart() {
        let of = |name: &str| Zone::parse(name).expect(name).fingerprint();
        assert_eq!(of("Europe/Berlin"), of("europe/berlin"));
        let zones = ["UTC", "Europe/Berlin", "Europe/Paris", "Asia/Tokyo", "Australia/Lord_Howe"].map(of);
        for (index, one) in zones.iter().enumerate() {
            assert!(!zones[index + 1..].contains(one), "{zones:?}");
        }
    }
}
