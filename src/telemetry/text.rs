//! Texts of clients and times, as logs and traces have them.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat};
use http::Version;

use crate::runtime::clock::UnixMicros;

/// The beginning of a text, cut between characters.
pub fn shortened(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// The beginning of bytes that are a text most of the time.
pub fn shown(bytes: &[u8], bytes_max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..bytes_max).unwrap_or(bytes))
}

/// A version of HTTP as the conventions of OpenTelemetry have it.
pub fn http_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// A time as RFC 3339 has it, with microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub UnixMicros);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_micros(self.0.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}
