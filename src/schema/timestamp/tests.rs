use chrono::{DateTime, NaiveDate, TimeDelta};
use proptest::prelude::*;

use super::*;

fn reference(text: &str) -> Option<Instant> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Instant { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() })
}

#[test]
fn every_shape_of_rfc_3339_is_read() {
    let seconds = 1_772_323_199;
    for (text, nanos) in [
        ("2026-02-28T23:59:59Z", 0),
        ("2026-02-28t23:59:59z", 0),
        ("2026-02-28 23:59:59Z", 0),
        ("2026-03-01T00:59:59+01:00", 0),
        ("2026-02-28T20:29:59-03:30", 0),
        ("2026-02-28T23:59:59-00:00", 0),
        ("2026-02-28T23:59:59.5Z", 500_000_000),
        ("2026-02-28T23:59:59.123456789+00:00", 123_456_789),
        ("2026-02-28T23:59:59.1234567899999999999999Z", 123_456_789),
        ("2026-02-28T23:59:59.000000000Z", 0),
    ] {
        assert_eq!(parse(text), Some(Instant { seconds, nanos }), "{text}");
    }
}

#[test]
fn what_is_not_rfc_3339_is_refused() {
    for text in [
        "",
        "2026-02-28",
        "2026-02-28T23:59:59",
        "2026-02-28T23:59Z",
        "2026-02-28T23:59:59.Z",
        "2026-02-28T23:59:59,5Z",
        "2026-02-28T23:59:59+0100",
        "2026-02-28T23:59:59+24:00",
        "2026-02-28T23:59:59+01:60",
        "2026-02-28T23:59:59+01:00x",
        "2026-02-28T23:59:59Zx",
        "2026-02-28_23:59:59Z",
        "2026-02-28T24:00:00Z",
        "2026-02-28T23:60:00Z",
        "2026-02-28T23:59:61Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T00:00:0०Z",
        "2026-02-28T23:59:59.5",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

#[test]
fn a_leap_second_is_the_first_second_of_the_next_month() {
    let new_year = parse("2017-01-01T00:00:00Z").unwrap();
    assert_eq!(parse("2016-12-31T23:59:60Z"), Some(new_year));
    assert_eq!(parse("2016-12-31T15:59:60-08:00"), Some(new_year));
    assert_eq!(parse("2016-12-31T23:59:60.25Z"), Some(Instant { nanos: 250_000_000, ..new_year }));
    assert!(parse("2000-02-29T23:59:60Z").is_some());
    for text in
        ["2016-12-30T23:59:60Z", "2016-12-31T22:59:60Z", "2016-12-31T23:58:60Z", "2000-02-28T23:59:60Z"]
    {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn units_are_rounded_down_on_both_sides_of_1970() {
    let before = parse("1969-12-31T23:59:59.999999999Z").unwrap();
    assert_eq!(before.in_units(1_000_000_000), Some(-1));
    assert_eq!(before.in_units(1_000_000), Some(-1));
    assert_eq!(before.in_units(1), Some(-1));
    let least = parse("1677-09-21T00:12:43.145224192Z").unwrap();
    assert_eq!(least.in_units(1_000_000_000), Some(i64::MIN));
    assert_eq!(parse("1677-09-21T00:12:43.145224191Z").unwrap().in_units(1_000_000_000), None);
    let greatest = parse("2262-04-11T23:47:16.854775807Z").unwrap();
    assert_eq!(greatest.in_units(1_000_000_000), Some(i64::MAX));
    assert_eq!(parse("2262-04-11T23:47:16.854775808Z").unwrap().in_units(1_000_000_000), None);
}

#[test]
fn an_event_time_is_a_string_or_an_epoch_of_any_unit() {
    let expected = Some(UnixMicros(1_700_000_000_123_456));
    for raw in [
        r#""2023-11-14T22:13:20.123456Z""#,
        r#""2023-11-14T23:13:20.1234569+01:00""#,
        r#""2023-11-14\u005422:13:20.123456Z""#,
        "1700000000.123456",
        "1.700000000123456e9",
        "1700000000123.456",
        "1700000000123456",
        "1700000000123456.9",
        "1700000000123456789",
        " 1700000000123456\n",
    ] {
        assert_eq!(event_time(raw), expected, "{raw}");
    }
    assert_eq!(event_time("-0.5"), Some(UnixMicros(-500_000)));
    assert_eq!(event_time("-0.0000001"), Some(UnixMicros(-1)));
    assert_eq!(event_time("99999999999"), Some(UnixMicros(99_999_999_999_000_000)));
    assert_eq!(event_time("100000000000"), Some(UnixMicros(100_000_000_000_000)));
}

#[test]
fn what_is_no_time_is_no_event_time() {
    for raw in ["", "null", "true", "{}", "[1]", r#""""#, r#""soon""#, r#""1700000000""#, "1e300", r#""x"#] {
        assert_eq!(event_time(raw), None, "{raw}");
    }
}

#[test]
fn every_day_of_ten_thousand_years_is_counted_as_chrono_counts_it() {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    let mut date = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
    while date <= NaiveDate::from_ymd_opt(9999, 12, 31).unwrap() {
        let days = (date - epoch).num_days();
        assert_eq!(parse_date(&date.to_string()).map(i64::from), Some(days), "{date}");
        assert_eq!(begins_month(days * SECONDS_PER_DAY), date.to_string().ends_with("-01"), "{date}");
        date += TimeDelta::days(1);
    }
    for text in ["2026-2-28", "2026-02-28Z", "20260228", "2026/02/28", "2026-02-30", ""] {
        assert_eq!(parse_date(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn valid_times_are_read_as_chrono_reads_them(
        seconds in -62_167_219_200_i64..253_402_300_800,
        nanos in 0_u32..1_000_000_000,
        digits in 0_usize..=9,
        offset_minutes in -1_439_i32..=1_439,
    ) {
        let zone = chrono::FixedOffset::east_opt(offset_minutes * 60).unwrap();
        let time = DateTime::from_timestamp(seconds, nanos).unwrap().with_timezone(&zone);
        let fraction = format!("{nanos:09}");
        let fraction = if digits == 0 { String::new() } else { format!(".{}", &fraction[..digits]) };
        let text = format!("{}{fraction}{}", time.format("%Y-%m-%dT%H:%M:%S"), time.format("%:z"));
        // Only the local year has four digits for sure in what was generated.
        prop_assume!(text.len() == 25 + fraction.len() && !text.starts_with(['+', '-']));
        prop_assert_eq!(parse(&text), reference(&text), "{}", text);
    }

    #[test]
    fn texts_that_are_almost_times_are_judged_as_chrono_judges_them(
        text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{0,11})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])",
    ) {
        prop_assert_eq!(parse(&text), reference(&text), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,40}") {
        let _ = (parse(&text), parse_date(&text), event_time(&text));
    }
}
