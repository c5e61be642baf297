//! Which letters are meant.

use chrono::{DateTime, NaiveDate, NaiveTime};
use regex::bytes::Regex;

use super::files::DeadFile;
use super::letter::Letter;
use crate::config::parse_duration;
use crate::runtime::clock::UnixMicros;

/// What a letter has to be like; by default any is meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this stream.
    pub stream: Option<String>,
    /// Of this delivery.
    pub delivery: Option<String>,
    /// With one of these reasons, if any is named.
    pub reasons: Vec<String>,
    /// Its record arrived then or later.
    pub since: Option<UnixMicros>,
    /// Its record arrived before.
    pub until: Option<UnixMicros>,
    /// Its payload or message is like this.
    pub grep: Option<Regex>,
}

impl Filter {
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

    /// Whether letters with a reason are meant.
    pub fn takes_reason(&self, reason: &str) -> bool {
        self.reasons.is_empty() || self.reasons.iter().any(|wanted| wanted == reason)
    }
}

/// Reads a point in time: RFC 3339, a date, or a duration before `now` such as `2h`.
pub fn parse_time(text: &str, now: UnixMicros) -> Option<UnixMicros> {
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
