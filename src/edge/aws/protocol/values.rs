//! Values that the two encodings write in different ways.

use base64::display::Base64Display;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::blobs::engine;
use crate::runtime::clock::UnixMicros;

/// Tells the CBOR writer that a number is a time.
pub(super) const TIME_NAME: &str = "$time";

/// A time: in JSON seconds since 1970 with a fraction, in CBOR milliseconds behind a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub UnixMicros);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        if serializer.is_human_readable() {
            // Exact to the millisecond for as long as there are fewer than 2^53 of them.
            serializer.serialize_f64(millis as f64 / 1_000.0)
        } else {
            serializer.serialize_newtype_struct(TIME_NAME, &millis)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Out of range is far in the past or the future all the same: `as` saturates.
        let millis = (seconds * 1_000.0).round() as i64;
        Ok(Self(UnixMicros(millis.saturating_mul(1_000))))
    }
}

/// Bytes: in JSON as Base64, in CBOR as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a>(pub &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Base64Display::new(self.0, engine()))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}
