//! Usage plans: what of a quota is used in a day or a month.
//!
//! The calendar is that of UTC. A period ends when the wall clock says so, and never begins again: a clock that steps
//! back a little leaves the period as it is, so that nothing is given twice. One that was further ahead than a whole
//! period has been put right: then the period is that of the clock, and what was used stays used.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::account::Short;
use super::measure::{Cost, Measure};
use super::refusal::Reason;
use crate::config::checked::{Period, Quota};
use crate::runtime::clock::UnixMicros;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// What counts for a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Records.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl From<Cost> for Used {
    fn from(cost: Cost) -> Self {
        Self { records: cost.records, bytes: cost.bytes }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    quota: Quota,
    begins: UnixMicros,
    ends: UnixMicros,
    used: Used,
}

impl Usage {
    /// Nothing is used of the period at `wall`.
    pub fn new(quota: Quota, wall: UnixMicros) -> Self {
        let (begins, ends) = bounds(quota.period, wall);
        Self { quota, begins, ends, used: Used::default() }
    }

    /// So much was used of the period that has begun at `begins`.
    pub fn restored(quota: Quota, begins: UnixMicros, used: Used, wall: UnixMicros) -> Self {
        let (begins, ends) = bounds(quota.period, begins);
        let mut usage = Self { quota, begins, ends, used };
        usage.turn(wall);
        usage
    }

    /// The quota.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// When the period has begun.
    pub fn begins(&self) -> UnixMicros {
        self.begins
    }

    /// What is used.
    pub fn used(&self) -> Used {
        self.used
    }

    /// Opens a period if its time has come.
    pub fn turn(&mut self, wall: UnixMicros) {
        if wall >= self.ends {
            (self.begins, self.ends) = bounds(self.quota.period, wall);
            self.used = Used::default();
        } else if wall.0 < self.begins.0 - (self.ends.0 - self.begins.0) {
            (self.begins, self.ends) = bounds(self.quota.period, wall);
        }
    }

    /// What the quota has too little of for `cost`.
    pub fn check(&mut self, cost: Cost, wall: UnixMicros) -> Option<Short> {
        self.check_instead(Used::default(), cost.into(), wall)
    }

    /// What it has too little of, if `taken` turns out to be `actual`.
    pub fn check_instead(&mut self, taken: Used, actual: Used, wall: UnixMicros) -> Option<Short> {
        self.turn(wall);
        let Quota { records, bytes, .. } = self.quota;
        let short = |measure, quota: Option<u64>, used: u64, taken: u64, actual: u64| {
            let (quota, others) = (quota?, used.saturating_sub(taken));
            let left = quota.saturating_sub(others);
            // Of what is used up to the last one, nothing is left for a request that costs nothing of it, either.
            (actual.max(1) > left).then(|| Short {
                reason: Reason::Quota(measure),
                wait: self.ends_in(wall),
                left,
            })
        };
        let by_records = short(Measure::Records, records, self.used.records, taken.records, actual.records);
        by_records.or_else(|| short(Measure::Bytes, bytes, self.used.bytes, taken.bytes, actual.bytes))
    }

    /// Counts.
    pub fn add(&mut self, used: Used, wall: UnixMicros) {
        self.replace(Used::default(), used, wall);
    }

    /// Counts `actual` in place of `taken`. What was taken in a period that has ended is not given back to this one.
    pub fn replace(&mut self, taken: Used, actual: Used, wall: UnixMicros) {
        self.turn(wall);
        let instead = |used: u64, taken: u64, actual: u64| used.saturating_sub(taken).saturating_add(actual);
        self.used.records = instead(self.used.records, taken.records, actual.records);
        self.used.bytes = instead(self.used.bytes, taken.bytes, actual.bytes);
    }

    fn ends_in(&self, wall: UnixMicros) -> Duration {
        Duration::from_micros(u64::try_from(self.ends.0 - wall.0).unwrap_or(0))
    }
}

/// Begin and end of the period that has `time` in it.
fn bounds(period: Period, time: UnixMicros) -> (UnixMicros, UnixMicros) {
    let day = time.0.div_euclid(DAY_MICROS) * DAY_MICROS;
    let of_day = (UnixMicros(day), UnixMicros(day.saturating_add(DAY_MICROS)));
    match period {
        Period::Day => of_day,
        // The calendar ends in the year 9999: nobody's month does.
        Period::Month => month(time).unwrap_or(of_day),
    }
}

fn month(time: UnixMicros) -> Option<(UnixMicros, UnixMicros)> {
    let date = Offset::UTC.to_datetime(Timestamp::from_microsecond(time.0).ok()?).date();
    let first = date.first_of_month();
    let next = first.checked_add(1.month()).ok()?;
    Some((midnight(first)?, midnight(next)?))
}

fn midnight(date: Date) -> Option<UnixMicros> {
    let timestamp = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(UnixMicros(timestamp.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMicros {
        UnixMicros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn plan(period: Period) -> Quota {
        Quota { records: Some(10), bytes: Some(1_000), period }
    }

    const TEN: Used = Used { records: 10, bytes: 100 };
    const ONE: Cost = Cost { requests: 1, records: 1, bytes: 10 };

    #[test]
    fn periods_are_those_of_the_calendar() {
        for (period, time, begin, end) in [
            (Period::Day, "2026-11-22T05:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Period::Day, "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Period::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Period::Month, "1969-12-31T23:00:00Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(bounds(period, at(time)), (at(begin), at(end)), "{time}");
        }
    }

    #[test]
    fn a_used_up_quota_waits_for_the_end_of_its_period() {
        let noon = at("2026-11-30T12:00:00Z");
        let mut usage = Usage::new(plan(Period::Month), noon);
        assert_eq!(usage.check(ONE, noon), None);
        usage.add(TEN, noon);
        let short = usage.check(ONE, noon).unwrap();
        assert_eq!((short.reason, short.left), (Reason::Quota(Measure::Records), 0));
        assert_eq!(short.wait, Duration::from_secs(12 * 60 * 60));
        let midnight = UnixMicros(noon.0 + short.wait.as_micros() as i64);
        assert!(usage.check(ONE, UnixMicros(midnight.0 - 1)).is_some());
        assert_eq!(usage.check(ONE, midnight), None);
        assert_eq!(usage.used(), Used::default());
    }

    #[test]
    fn it_is_never_exceeded() {
        let noon = at("2026-11-22T12:00:00Z");
        let mut usage = Usage::new(plan(Period::Day), noon);
        usage.add(Used { records: 4, bytes: 0 }, noon);
        let six = Used { records: 6, bytes: 999 };
        let one = Used { records: 1, bytes: 0 };
        assert_eq!(usage.check_instead(one, Used { records: 7, ..six }, noon), None);
        assert!(usage.check_instead(one, Used { records: 8, ..six }, noon).is_some());
        let short = usage.check_instead(one, Used { bytes: 1_001, ..six }, noon).unwrap();
        assert_eq!((short.reason, short.left), (Reason::Quota(Measure::Bytes), 1_000));
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_period_twice() {
        let before = at("2026-11-22T23:59:59Z");
        let mut usage = Usage::new(plan(Period::Day), before);
        usage.add(TEN, before);
        let behind = at("2026-11-23T00:00:01Z");
        assert_eq!(usage.check(ONE, behind), None);
        usage.add(TEN, behind);
        for time in [before, behind, before, behind] {
            assert!(usage.check(ONE, time).is_some());
        }
        let short = usage.check(ONE, before).unwrap();
        assert_eq!(short.wait, Duration::from_secs(24 * 60 * 60 + 1));
    }

    #[test]
    fn a_clock_that_was_far_ahead_and_is_put_right_gives_nothing_and_stops_nothing_for_years() {
        let wrong = at("2099-01-01T00:00:00Z");
        let mut usage = Usage::new(plan(Period::Day), wrong);
        usage.add(TEN, wrong);
        let right = at("2026-11-22T12:00:00Z");
        let short = usage.check(ONE, right).unwrap();
        assert_eq!(short.wait, Duration::from_secs(12 * 60 * 60));
        assert_eq!(usage.check(ONE, at("2026-11-23T00:00:00Z")), None);
    }

    #[test]
    fn what_is_read_back_goes_on_or_has_ended() {
        let begins = at("2026-11-22T00:00:00Z");
        let of = |period, wall: &str| Usage::restored(plan(period), begins, TEN, at(wall)).used();
        assert_eq!(of(Period::Day, "2026-11-22T20:00:00Z"), TEN);
        assert_eq!(of(Period::Day, "2026-11-23T00:00:00Z"), Used::default());
        // The plan was one of days, and is one of months now.
        assert_eq!(of(Period::Month, "2026-11-30T20:00:00Z"), TEN);
        assert_eq!(of(Period::Month, "2026-12-01T00:00:00Z"), Used::default());
    }
}
