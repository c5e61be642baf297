//! A letter for programs, as `forebay dlq show --json` prints it and the edge answers it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::files::DeadFile;
use super::letter::Letter;
use crate::runtime::clock::UnixMicros;

/// A letter: its payload is text where it is UTF-8, base64 otherwise.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    stream: &'a str,
    delivery: &'a str,
    reason: &'a str,
    message: &'a str,
    attempts: u32,
    arrival_time: String,
    failed_at: String,
    shard: String,
    sequence_number: String,
    partition_key: &'a str,
    file: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

impl<'a> Shown<'a> {
    /// That of a letter, which stands in line `row` (from 0) of a file.
    pub fn of(file: &'a DeadFile, row: u64, letter: &'a Letter) -> Self {
        let payload = std::str::from_utf8(&letter.raw).ok();
        Self {
            payload,
            raw: payload.is_none().then(|| STANDARD.encode(&letter.raw)),
            ..Self::without_payload(file, row, letter)
        }
    }

    /// The same without the payload.
    pub fn without_payload(file: &'a DeadFile, row: u64, letter: &'a Letter) -> Self {
        Self {
            stream: &letter.stream,
            delivery: &letter.delivery,
            reason: &letter.reason,
            message: &letter.message,
            attempts: letter.attempts,
            arrival_time: rfc3339(letter.arrival),
            failed_at: rfc3339(letter.failed_at),
            shard: letter.shard.to_string(),
            sequence_number: letter.number.to_string(),
            partition_key: &letter.key,
            file: &file.key,
            line: row + 1,
            payload: None,
            raw: None,
        }
    }
}

/// A time as people and programs read it: RFC 3339 in UTC, with microseconds.
pub fn rfc3339(time: UnixMicros) -> String {
    let time = DateTime::from_timestamp_micros(time.0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The same for serde.
pub fn as_time<S: serde::Serializer>(time: &UnixMicros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}
