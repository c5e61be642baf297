//! Which letters are meant.

use chrono::{DateTime, NaiveDate, NaiveTime};
use regex::bytes::Regex;
use thiserror::Error;

use super::Selection;
use crate::config::parse_duration;
use crate::delivery::dead_letters::{DeadFile, Letter};
use crate::runtime::clock::{self, UnixMicros};

/// Why a filter cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// A time that is none.
    #[error(
        "--{option} {text}: write a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or a duration ago such as 2h"
    )]
    Time {
        /// The option.
        option: &'static str,
        /// What was written.
        text: String,
    },
    /// An expression that is none.
    #[error("--grep: {0}")]
    Grep(#[from] regex::Error),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Filter {
    stream: Option<String>,
    delivery: Option<String>,
    reasons: Vec<String>,
    since: Option<UnixMicros>,
    until: Option<UnixMicros>,
    grep: Option<Regex>,
}

impl Filter {
    /// What the arguments say.
    pub fn of(selection: &Selection) -> Result<Self, FilterError> {
        let now = clock::wall();
        let time = |option, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match parse_time(text, now) {
                Some(time) => Ok(Some(time)),
                None => Err(FilterError::Time { option, text: text.clone() }),
            },
        };
        Ok(Self {
            stream: selection.stream.clone(),
            delivery: selection.delivery.clone(),
            reasons: selection.reason.clone(),
            since: time("since", &selection.since)?,
            until: time("until", &selection.until)?,
            grep: selection.grep.as_deref().map(Regex::new).transpose()?,
        })
    }

    /// The stream that is meant, if one is.
    pub fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The delivery that is meant, if one is.
    pub fn delivery(&self) -> Option<&str> {
        self.delivery.as_deref()
    }

    /// Whether a delivery is meant.
    pub fn takes_delivery(&self, stream: &str, delivery: &str) -> bool {
        self.stream.as_deref().is_none_or(|wanted| wanted == stream)
            && self.delivery.as_deref().is_none_or(|wanted| wanted == delivery)
    }

    /// Whether letters of a file may be meant, by what is known without reading it.
    pub fn takes_file(&self, file: &DeadFile) -> bool {
        let by_reason = file.reason.as_ref().is_none_or(|reason| self.takes_reason(reason));
        let is_later = |oldest: UnixMicros| self.until.is_some_and(|until| oldest >= until);
        self.takes_delivery(&file.stream, &file.delivery) && by_reason && !file.oldest.is_some_and(is_later)
    }

    /// Whether a letter is meant.
    pub fn takes(&self, letter: &Letter) -> bool {
        self.takes_reason(&letter.reason)
            && self.since.is_none_or(|since| letter.arrival >= since)
            && self.until.is_none_or(|until| letter.arrival < until)
            && self
                .grep
                .as_ref()
                .is_none_or(|grep| grep.is_match(&letter.raw) || grep.is_match(letter.message.as_bytes()))
    }

    fn takes_reason(&self, reason: &str) -> bool {
        self.reasons.is_empty() || self.reasons.iter().any(|wanted| wanted == reason)
    }
}

fn parse_time(text: &str, now: UnixMicros) -> Option<UnixMicros> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(UnixMicros(time.timestamp_micros()));
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(UnixMicros(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()));
    }
    let ago = i64::try_from(parse_duration(text).ok()?.as_micros()).ok()?;
    now.0.checked_sub(ago).map(UnixMicros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn letter(reason: &str, arrival: i64, raw: &str) -> Letter {
        Letter {
            reason: reason.to_owned(),
            message: "no /id".to_owned(),
            attempts: 1,
            arrival: UnixMicros(arrival),
            failed_at: UnixMicros(arrival),
            stream: "s".to_owned(),
            delivery: "d".to_owned(),
            shard: ShardId(0),
            number: SequenceNumber(1),
            key: String::new(),
            raw: raw.as_bytes().to_vec(),
        }
    }

    #[test]
    fn times_are_points_dates_and_durations_ago() {
        let now = UnixMicros(1_700_000_000_000_000);
        let micros = |text| parse_time(text, now).map(|time| time.0);
        assert_eq!(micros("2023-11-14T22:13:20Z"), Some(now.0));
        assert_eq!(micros("2023-11-14T23:13:20+01:00"), Some(now.0));
        assert_eq!(micros("2023-11-14"), Some(1_699_920_000_000_000));
        assert_eq!(micros("2h"), Some(now.0 - 7_200_000_000));
        assert_eq!((micros("yesterday"), micros("2")), (None, None));
    }

    #[test]
    fn a_letter_must_pass_every_filter() {
        let filter = Filter {
            reasons: vec!["schema".to_owned(), "columns".to_owned()],
            since: Some(UnixMicros(10)),
            until: Some(UnixMicros(20)),
            grep: Some(Regex::new("id|x+").unwrap()),
            ..Filter::default()
        };
        assert!(filter.takes(&letter("schema", 10, "")));
        assert!(filter.takes(&letter("columns", 19, "")));
        assert!(!filter.takes(&letter("json", 10, "")));
        assert!(!filter.takes(&letter("schema", 9, "")) && !filter.takes(&letter("schema", 20, "")));
        let filter = Filter { grep: Some(Regex::new("^x+$").unwrap()), ..Filter::default() };
        assert!(filter.takes(&letter("json", 0, "xx")) && !filter.takes(&letter("json", 0, "y")));
    }
}
