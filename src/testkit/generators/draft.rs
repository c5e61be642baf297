//! Writes a record twice in one go: as JSON, and in the canonical form that its hash covers.

use chrono::{DateTime, Datelike, Timelike};

use super::canonical::{self, SEPARATOR};
use super::envelope;
use crate::runtime::clock::UnixMicros;

/// A text that needs escapes in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phrase {
    /// As it stands between the quotes.
    pub(super) json: &'static str,
    /// What it means.
    pub(super) plain: &'static str,
}

impl Phrase {
    /// A phrase without anything to escape.
    pub(super) const fn plain(text: &'static str) -> Self {
        Self { json: text, plain: text }
    }
}

pub(super) struct Draft<'a> {
    json: &'a mut Vec<u8>,
    canonical: &'a mut Vec<u8>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(json: &'a mut Vec<u8>, canonical: &'a mut Vec<u8>) -> Self {
        Self { json, canonical }
    }

    /// Punctuation and names of members: no part of the canonical form.
    #[inline]
    pub(super) fn raw(&mut self, json: &str) {
        self.json.extend_from_slice(json.as_bytes());
    }

    /// How many elements or entries follow.
    #[inline]
    pub(super) fn count(&mut self, count: usize) {
        canonical::integer(self.canonical, count as i64);
    }

    #[inline]
    pub(super) fn null(&mut self) {
        self.raw("null");
        canonical::null(self.canonical);
    }

    /// The name of a map's entry; the caller keeps them in ascending order.
    #[inline]
    pub(super) fn entry(&mut self, key: &str) {
        self.text(key);
        self.json.push(b':');
    }

    /// A text without anything to escape.
    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.json.push(b'"');
        self.json.extend_from_slice(text.as_bytes());
        self.json.push(b'"');
        canonical::text(self.canonical, text.as_bytes());
    }

    /// A text that `write` writes, without anything to escape.
    #[inline]
    pub(super) fn built(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.json.push(b'"');
        let start = self.json.len();
        write(self.json);
        self.canonical.extend_from_slice(&self.json[start..]);
        self.canonical.push(SEPARATOR);
        self.json.push(b'"');
    }

    /// A phrase and whatever `write` adds to it, without anything to escape in that.
    #[inline]
    pub(super) fn phrase(&mut self, phrase: Phrase, write: impl FnOnce(&mut Vec<u8>)) {
        self.json.push(b'"');
        self.json.extend_from_slice(phrase.json.as_bytes());
        let start = self.json.len();
        write(self.json);
        self.canonical.extend_from_slice(phrase.plain.as_bytes());
        self.canonical.extend_from_slice(&self.json[start..]);
        self.canonical.push(SEPARATOR);
        self.json.push(b'"');
    }

    #[inline]
    pub(super) fn integer(&mut self, value: i64) {
        self.json.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        canonical::integer(self.canonical, value);
    }

    /// `value` / 10^`places`, always with all places.
    #[inline]
    pub(super) fn decimal(&mut self, value: i64, places: u8) {
        let unit = 10_u64.pow(u32::from(places));
        let magnitude = value.unsigned_abs();
        if value < 0 {
            self.json.push(b'-');
        }
        self.json.extend_from_slice(itoa::Buffer::new().format(magnitude / unit).as_bytes());
        self.json.push(b'.');
        padded(self.json, magnitude % unit, usize::from(places));
        canonical::integer(self.canonical, value);
    }

    /// RFC 3339 in UTC with 3 or 6 places; what is finer is not written.
    #[inline]
    pub(super) fn rfc3339(&mut self, at: UnixMicros, places: u8) {
        let unit = 10_i64.pow(6 - u32::from(places));
        let at = at.0.div_euclid(unit) * unit;
        self.json.push(b'"');
        timestamp(self.json, at, places);
        self.json.push(b'"');
        canonical::integer(self.canonical, at);
    }

    /// Whole milliseconds since 1970.
    #[inline]
    pub(super) fn epoch_millis(&mut self, at: UnixMicros) {
        let millis = at.as_millis();
        self.json.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
        canonical::integer(self.canonical, millis * 1_000);
    }
}

/// Writes `value` with leading zeros.
#[inline]
pub(super) fn padded(out: &mut Vec<u8>, value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Writes so many hex digits of `value`.
#[inline]
pub(super) fn hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    envelope::hex(value, &mut out[start..]);
}

fn timestamp(out: &mut Vec<u8>, micros: i64, places: u8) {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    // Years of four digits: a clock beyond them is not one that a test or a machine has.
    padded(out, time.year().unsigned_abs().into(), 4);
    out.push(b'-');
    padded(out, time.month().into(), 2);
    out.push(b'-');
    padded(out, time.day().into(), 2);
    out.push(b'T');
    padded(out, time.hour().into(), 2);
    out.push(b':');
    padded(out, time.minute().into(), 2);
    out.push(b':');
    padded(out, time.second().into(), 2);
    out.push(b'.');
    let fraction = micros.rem_euclid(1_000_000) as u64 / 10_u64.pow(6 - u32::from(places));
    padded(out, fraction, usize::from(places));
    out.push(b'Z');
}
