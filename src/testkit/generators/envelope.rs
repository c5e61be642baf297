//! The three members that every record begins with:
//! `{"producer":"iot/20260101T000000/0","sequence":17,"hash":"0123456789abcdef",…`
//!
//! - `producer`: [`super::producer_name`];
//! - `sequence`: counted from 0 without gaps, for each producer;
//! - `hash`: xxh3-64 with seed 0, as 16 lower-case hex digits. For the profiles it covers the
//!   [`super::canonical`] form. For replayed objects (`replay/…`) it covers the bytes as they were read: the
//!   producer, [`SEPARATOR`], the sequence in decimal, [`SEPARATOR`], and the *members*, which are the text between
//!   the outer braces of the original object without white space around it. Such a hash can be checked where the
//!   payload's bytes are kept (JSON files, dead letters); in a columnar file only the envelope itself can be.

use xxhash_rust::xxh3::xxh3_64;

use super::canonical::SEPARATOR;

/// What producers of replayed objects are called, in the place of a profile.
pub const REPLAY: &str = "replay";

/// Length of a hash in hex digits.
const HASH_DIGITS: usize = 16;

/// The envelope of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Who made the record.
    pub producer: &'a str,
    /// Its number at the producer.
    pub sequence: u64,
    /// What the content hashes to.
    pub hash: u64,
}

/// Opens a record and leaves room for its hash. Returns where that is, for [`seal`].
pub(super) fn open(out: &mut Vec<u8>, producer: &str, sequence: u64) -> usize {
    out.extend_from_slice(b"{\"producer\":\"");
    out.extend_from_slice(producer.as_bytes());
    out.extend_from_slice(b"\",\"sequence\":");
    out.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
    out.extend_from_slice(b",\"hash\":\"");
    let at = out.len();
    out.extend_from_slice(&[b'0'; HASH_DIGITS]);
    out.push(b'"');
    at
}

/// Writes the hash into the room that [`open`] left.
pub(super) fn seal(out: &mut [u8], at: usize, hash: u64) {
    hex(hash, &mut out[at..at + HASH_DIGITS]);
}

/// Fills `digits` with the lowest bits of `value`.
#[inline]
pub(super) fn hex(value: u64, digits: &mut [u8]) {
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

/// Reads the 16 digits of a hash.
pub fn parse_hash(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != HASH_DIGITS || !digits.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Takes the envelope off a record whose bytes nobody has touched. Returns it with the members behind it (as in
/// [`wrap`]), or nothing if the text does not begin with exactly such an envelope.
pub fn split(record: &str) -> Option<(Envelope<'_>, &str)> {
    let rest = record.strip_prefix("{\"producer\":\"")?;
    let (producer, rest) = rest.split_once('"')?;
    let rest = rest.strip_prefix(",\"sequence\":")?;
    let (sequence, rest) = rest.split_once(',')?;
    let rest = rest.strip_prefix("\"hash\":\"")?;
    let (digits, rest) = rest.split_once('"')?;
    let members = rest.strip_suffix('}')?;
    let members = match members.strip_prefix(',') {
        Some(members) => members,
        None if members.is_empty() => members,
        None => return None,
    };
    let envelope = Envelope { producer, sequence: sequence.parse().ok()?, hash: parse_hash(digits)? };
    Some((envelope, members))
}

/// Writes a replayed object behind `out`: the envelope in front of its `members`.
pub fn wrap(out: &mut Vec<u8>, producer: &str, sequence: u64, members: &str) {
    let at = open(out, producer, sequence);
    if !members.is_empty() {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'}');
    seal(out, at, hash_of_members(producer, sequence, members));
}

/// The hash of a replayed object.
pub fn hash_of_members(producer: &str, sequence: u64, members: &str) -> u64 {
    let mut text = Vec::with_capacity(producer.len() + members.len() + 24);
    text.extend_from_slice(producer.as_bytes());
    text.push(SEPARATOR);
    text.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
    text.push(SEPARATOR);
    text.extend_from_slice(members.as_bytes());
    xxh3_64(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(members: &str) -> String {
        let mut out = Vec::new();
        wrap(&mut out, "replay/r/0", 42, members);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn a_wrapped_object_is_json_and_splits_into_what_it_was_made_of() {
        for members in ["", "\"a\": 1 , \"b\":{\"c\":[\"}\"]}"] {
            let record = wrapped(members);
            let value: serde_json::Value = serde_json::from_str(&record).expect("valid JSON");
            assert_eq!(value["sequence"], 42);
            let (envelope, rest) = split(&record).expect("an envelope");
            assert_eq!((envelope.producer, envelope.sequence, rest), ("replay/r/0", 42, members));
            assert_eq!(envelope.hash, hash_of_members("replay/r/0", 42, members));
        }
    }

    #[test]
    fn a_changed_byte_changes_the_hash() {
        let record = wrapped("\"a\":1").replace("\"a\":1", "\"a\":2");
        let (envelope, rest) = split(&record).expect("an envelope");
        assert_ne!(envelope.hash, hash_of_members(envelope.producer, envelope.sequence, rest));
    }

    #[test]
    fn what_has_no_exact_envelope_does_not_split() {
        let record = wrapped("\"a\":1");
        for other in [
            "{}",
            "{\"a\":1}",
            &record[1..],
            &record[..record.len() - 1],
            &record.replace("42", "x"),
            &record.replace("\",\"a", "\"\"a"),
            &record.replace("producer", "Producer"),
        ] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn only_sixteen_lower_case_digits_are_a_hash() {
        assert_eq!(parse_hash("00000000000000ff"), Some(255));
        for other in ["", "ff", "00000000000000fF", "+0000000000000ff", "000000000000000ff"] {
            assert_eq!(parse_hash(other), None, "{other}");
        }
    }
}
