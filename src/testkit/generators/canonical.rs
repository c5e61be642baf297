//! The text that a record's hash covers. It can be written from JSON and from typed columns alike, however those
//! print numbers and times.
//!
//! The form of a record is, in this order and without anything in between,
//! 1. the producer, [`SEPARATOR`], the sequence in decimal, [`SEPARATOR`];
//! 2. each member of [`super::Profile::fields`], in that order, whatever its place in the file:
//!    - null or absent, of any form: [`NULL`], [`SEPARATOR`];
//!    - [`Form::Text`]: its UTF-8 bytes (escapes resolved), [`SEPARATOR`];
//!    - [`Form::Integer`]: decimal, [`SEPARATOR`];
//!    - [`Form::Decimal`] of scale *s*: the value × 10^*s*, rounded to the nearest integer, as an integer;
//!    - [`Form::Instant`]: microseconds since 1970-01-01 UTC, as an integer (an RFC 3339 text, an integer of
//!      milliseconds or a typed timestamp is the same instant);
//!    - [`Form::Struct`]: its members by the same rules;
//!    - [`Form::List`]: the number of elements as an integer, then each element;
//!    - [`Form::Map`]: the number of entries as an integer, then key and value, both as texts, by ascending key.
//!
//! Scales and ranges of the profiles are such that a 32-bit float still rounds to the right integer.

use chrono::DateTime;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// Stands behind every part (ASCII unit separator).
pub const SEPARATOR: u8 = 0x1f;

/// Stands for a missing value.
pub const NULL: u8 = 0x00;

/// How a member is put into canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number with so many decimal places.
    Decimal(u8),
    /// A time.
    Instant,
    /// An object with known members.
    Struct(&'static [Field]),
    /// An array of one form.
    List(&'static Form),
    /// An object with any members, all of them texts.
    Map,
}

/// A member and its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The member's name.
    pub name: &'static str,
    /// How it is read.
    pub form: Form,
}

/// Writes what the form begins with.
pub fn begin(out: &mut Vec<u8>, producer: &str, sequence: u64) {
    text(out, producer.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
    out.push(SEPARATOR);
}

/// Writes a text.
#[inline]
pub fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value);
    out.push(SEPARATOR);
}

/// Writes an integer, or whatever is written as one.
#[inline]
pub fn integer(out: &mut Vec<u8>, value: i64) {
    text(out, itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a missing value.
#[inline]
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&[NULL, SEPARATOR]);
}

/// Writes a number of `scale` decimal places that was kept as a float.
pub fn decimal(out: &mut Vec<u8>, value: f64, scale: u8) {
    integer(out, (value * 10f64.powi(i32::from(scale))).round() as i64);
}

/// Writes the members of `object`; false if one of them is not of its form.
#[must_use]
pub fn object(out: &mut Vec<u8>, fields: &[Field], object: &serde_json::Map<String, Value>) -> bool {
    fields.iter().all(|field| value(out, field.form, object.get(field.name).unwrap_or(&Value::Null)))
}

/// Writes a value of `form`; false if it is not of that form.
#[must_use]
pub fn value(out: &mut Vec<u8>, form: Form, value: &Value) -> bool {
    match (form, value) {
        (_, Value::Null) => null(out),
        (Form::Text, Value::String(string)) => text(out, string.as_bytes()),
        (Form::Integer, Value::Number(number)) => match number.as_i64() {
            Some(number) => integer(out, number),
            None => return false,
        },
        (Form::Decimal(scale), Value::Number(number)) => match number.as_f64() {
            Some(number) => decimal(out, number, scale),
            None => return false,
        },
        (Form::Instant, Value::Number(millis)) => {
            match millis.as_i64().and_then(|ms| ms.checked_mul(1_000)) {
                Some(micros) => integer(out, micros),
                None => return false,
            }
        }
        (Form::Instant, Value::String(string)) => match micros_of_rfc3339(string) {
            Some(micros) => integer(out, micros),
            None => return false,
        },
        (Form::Struct(fields), Value::Object(members)) => return object(out, fields, members),
        (Form::List(element), Value::Array(elements)) => {
            integer(out, elements.len() as i64);
            return elements.iter().all(|one| self::value(out, *element, one));
        }
        (Form::Map, Value::Object(members)) => return map(out, members),
        _ => return false,
    }
    true
}

fn map(out: &mut Vec<u8>, members: &serde_json::Map<String, Value>) -> bool {
    let mut entries = Vec::with_capacity(members.len());
    for (key, value) in members {
        match value {
            Value::String(value) => entries.push((key.as_str(), Some(value.as_str()))),
            Value::Null => entries.push((key.as_str(), None)),
            _ => return false,
        }
    }
    self::entries(out, &mut entries);
    true
}

/// Writes the entries of a map, in whatever order they come.
pub fn entries(out: &mut Vec<u8>, entries: &mut [(&str, Option<&str>)]) {
    entries.sort_unstable();
    integer(out, entries.len() as i64);
    for (key, value) in entries {
        text(out, key.as_bytes());
        match value {
            Some(value) => text(out, value.as_bytes()),
            None => null(out),
        }
    }
}

/// The instant that an RFC 3339 text names.
pub fn micros_of_rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// The hash of a parsed record of a profile; nothing if a member is not of its form.
pub fn hash_of_object(
    fields: &[Field],
    (producer, sequence): (&str, u64),
    record: &serde_json::Map<String, Value>,
) -> Option<u64> {
    let mut out = Vec::with_capacity(1_024);
    begin(&mut out, producer, sequence);
    object(&mut out, fields, record).then(|| xxh3_64(&out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(form: Form, of: Value) -> Option<String> {
        let mut out = Vec::new();
        value(&mut out, form, &of).then(|| String::from_utf8(out).expect("text").replace('\u{1f}', "|"))
    }

    #[test]
    fn one_value_has_one_form_however_it_is_printed() {
        assert_eq!(form(Form::Decimal(2), json!(1.5)).as_deref(), Some("150|"));
        assert_eq!(form(Form::Decimal(2), json!(-1.50)).as_deref(), Some("-150|"));
        assert_eq!(form(Form::Decimal(3), json!(2)).as_deref(), Some("2000|"));
        assert_eq!(form(Form::Decimal(2), json!(1.1f32)).as_deref(), Some("110|"));
        let micros = Some("1767225600123000|");
        assert_eq!(form(Form::Instant, json!("2026-01-01T00:00:00.123Z")).as_deref(), micros);
        assert_eq!(form(Form::Instant, json!("2026-01-01T01:00:00.123000+01:00")).as_deref(), micros);
        assert_eq!(form(Form::Instant, json!(1_767_225_600_123_i64)).as_deref(), micros);
    }

    #[test]
    fn null_is_no_empty_text() {
        assert_ne!(form(Form::Text, json!(null)), form(Form::Text, json!("")));
    }

    #[test]
    fn neighbours_cannot_run_into_each_other() {
        const PAIR: Form = Form::List(&Form::Text);
        assert_ne!(form(PAIR, json!(["ab", "c"])), form(PAIR, json!(["a", "bc"])));
        assert_ne!(form(PAIR, json!(["a", ""])), form(PAIR, json!(["a"])));
    }

    #[test]
    fn the_order_of_members_does_not_count() {
        assert_eq!(form(Form::Map, json!({"b": "2", "a": "1"})).as_deref(), Some("2|a|1|b|2|"));
        const PAIR: Form = Form::Struct(&[
            Field { name: "w", form: Form::Integer },
            Field { name: "h", form: Form::Integer },
        ]);
        assert_eq!(form(PAIR, json!({"h": 2, "x": 9, "w": 1})).as_deref(), Some("1|2|"));
    }

    #[test]
    fn a_value_of_another_form_has_none() {
        for (of, value) in [
            (Form::Text, json!(1)),
            (Form::Integer, json!("1")),
            (Form::Integer, json!(1.5)),
            (Form::Instant, json!("yesterday")),
            (Form::Map, json!({"a": 1})),
            (Form::List(&Form::Text), json!({})),
        ] {
            assert_eq!(form(of, value.clone()), None, "{value}");
        }
    }
}
