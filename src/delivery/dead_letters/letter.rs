//! A line → a dead letter.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Deserialize;
use thiserror::Error;

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// A record that could not be delivered, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Stable code of the reason.
    pub reason: String,
    /// The reason in words.
    pub message: String,
    /// How often delivery was tried.
    pub attempts: u32,
    /// When the record came in; Firehose's envelope has whole milliseconds.
    pub arrival: UnixMicros,
    /// When the last try failed.
    pub failed_at: UnixMicros,
    /// The stream that it is in.
    pub stream: String,
    /// The delivery that gave it up.
    pub delivery: String,
    /// The shard that it is in.
    pub shard: ShardId,
    /// Its place there.
    pub number: SequenceNumber,
    /// Its partition key; empty where that was random.
    pub key: String,
    /// The payload, byte for byte.
    pub raw: Vec<u8>,
}

/// Why a line is no dead letter.
#[derive(Debug, Error)]
pub enum LetterError {
    /// No JSON object with the fields of a letter.
    #[error("it is no dead letter ({0})")]
    Fields(#[from] serde_json::Error),
    /// A time that is none.
    #[error("it is no dead letter (its field '{0}' is no time)")]
    Time(&'static str),
    /// A place that is none.
    #[error("it is no dead letter (shard or sequence number are none)")]
    Place,
    /// The payload cannot be decoded.
    #[error("its payload is no base64 ({0})")]
    Base64(#[from] base64::DecodeError),
}

/// Both envelopes: what differs is the names, and how times are written.
#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, alias = "errorCode", alias = "lastErrorCode")]
    reason: Cow<'a, str>,
    #[serde(borrow, alias = "errorMessage", alias = "lastErrorMessage")]
    message: Cow<'a, str>,
    #[serde(alias = "attemptsMade")]
    attempts: u32,
    #[serde(borrow, alias = "arrivalTimestamp")]
    arrival_time: Time<'a>,
    #[serde(borrow, alias = "attemptEndingTimestamp")]
    failed_at: Time<'a>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    delivery: Cow<'a, str>,
    #[serde(borrow)]
    shard: Cow<'a, str>,
    #[serde(borrow, alias = "sequenceNumber")]
    sequence_number: Cow<'a, str>,
    #[serde(borrow, default, alias = "partitionKey")]
    partition_key: Cow<'a, str>,
    #[serde(borrow, alias = "rawData")]
    raw: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Millis(i64),
    #[serde(borrow)]
    Rfc3339(Cow<'a, str>),
}

impl Time<'_> {
    fn micros(&self) -> Option<UnixMicros> {
        match self {
            Time::Millis(millis) => millis.checked_mul(1_000).map(UnixMicros),
            Time::Rfc3339(text) => {
                DateTime::parse_from_rfc3339(text).ok().map(|time| UnixMicros(time.timestamp_micros()))
            }
        }
    }
}

impl Letter {
    /// Reads a line, in either envelope.
    ///
    /// # Errors
    /// If it is no dead letter, with what is wrong.
    pub fn parse(line: &[u8]) -> Result<Self, LetterError> {
        let text: Text<'_> = serde_json::from_slice(line)?;
        let number = text.sequence_number.parse().map_err(|_| LetterError::Place)?;
        Ok(Self {
            arrival: text.arrival_time.micros().ok_or(LetterError::Time("arrival_time"))?,
            failed_at: text.failed_at.micros().ok_or(LetterError::Time("failed_at"))?,
            shard: ShardId::parse(&text.shard).ok_or(LetterError::Place)?,
            number: SequenceNumber(number),
            raw: STANDARD.decode(text.raw.as_bytes())?,
            reason: text.reason.into_owned(),
            message: text.message.into_owned(),
            attempts: text.attempts,
            stream: text.stream.into_owned(),
            delivery: text.delivery.into_owned(),
            key: text.partition_key.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::encode::dead_letter::{DeadLetter, Envelope};

    fn letter(envelope: Envelope, (reason, message, key): (&str, &str, &str), raw: &[u8]) -> String {
        let mut line = String::new();
        let letter = DeadLetter {
            reason,
            message,
            attempts: 2,
            first_failed_at: UnixMicros(1_700_000_000_000_000),
            failed_at: UnixMicros(1_700_000_001_500_000),
            arrival_time: UnixMicros(1_700_000_000_001_000),
            stream: "s",
            delivery: "d",
            shard: ShardId(7),
            sequence_number: SequenceNumber(u64::MAX),
            partition_key: key,
            raw,
        };
        letter.write_to(envelope, &mut line);
        line
    }

    proptest! {
        #[test]
        fn a_letter_comes_back_from_either_envelope_as_it_was(
            firehose in any::<bool>(),
            reason in prop_oneof![Just("columns"), Just("schema")],
            message in ".*",
            key in ".*",
            raw in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let envelope = if firehose { Envelope::Firehose } else { Envelope::Forebay };
            let line = letter(envelope, (reason, &message, &key), &raw);
            let expected = Letter {
                reason: reason.to_owned(),
                message,
                attempts: 2,
                arrival: UnixMicros(1_700_000_000_001_000),
                failed_at: UnixMicros(1_700_000_001_500_000),
                stream: "s".to_owned(),
                delivery: "d".to_owned(),
                shard: ShardId(7),
                number: SequenceNumber(u64::MAX),
                key,
                raw,
            };
            prop_assert_eq!(Letter::parse(line.as_bytes()).unwrap(), expected);
        }

        #[test]
        fn no_line_does_more_than_be_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Letter::parse(&line).is_err());
        }
    }

    #[test]
    fn a_line_that_is_no_letter_says_what_is_missing() {
        let line = letter(Envelope::Forebay, ("schema", "m", ""), b"x");
        let refused = |line: &str| Letter::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(refused("{\"id\":1}").contains("missing field `reason`"), "{}", refused("{\"id\":1}"));
        assert!(refused(&line.replace("eA==", "e===")).contains("no base64"));
        assert!(refused(&line.replace("2023-11-14T22:13:20.001000Z", "soon")).contains("arrival_time"));
        assert!(refused(&line.replace("shardId-", "shard")).contains("shard"));
    }
}
