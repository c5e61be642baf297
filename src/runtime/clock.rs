//! The only place that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Timelike};
use serde::{Deserialize, Serialize};

/// Bytes of [`UnixMicros::rfc3339`].
pub const RFC3339_BYTES: usize = 27;

/// Microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// RFC 3339 in UTC with microseconds, always as many digits; `None` outside the years 0 to 9999. Digit by digit,
    /// because formatting by a pattern takes longer than all the rest of a line.
    pub fn rfc3339(self) -> Option<[u8; RFC3339_BYTES]> {
        let time = DateTime::from_timestamp_micros(self.0)?.naive_utc();
        let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9_999)?;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let parts = [
            (0, 4, year),
            (5, 2, time.month()),
            (8, 2, time.day()),
            (11, 2, time.hour()),
            (14, 2, time.minute()),
            (17, 2, time.second()),
            (20, 6, time.nanosecond() / 1_000),
        ];
        for (begin, digits, mut value) in parts {
            for digit in text[begin..begin + digits].iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        }
        Some(text)
    }

    /// Whole milliseconds, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// The wall clock: what a record's arrival time is taken from.
#[inline]
pub fn wall() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The monotonic clock: what ages, time-outs and latencies are measured with. It is the runtime's, which tests can stop.
#[inline]
pub fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}
