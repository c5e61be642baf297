//! JSON values as parts of a path's segment.
//!
//! The bytes that are percent-encoded are those that Hive and Spark escape in the values of partitions, and those that
//! object stores advise against; readers of partitioned data undo it. A value of nothing but points is encoded too,
//! so that no segment becomes `.` or `..`. The empty string is what Hive makes of it.

use super::function::{self, Function};
use crate::json::Scanner;

/// Stands for an empty value.
const EMPTY: &str = "__HIVE_DEFAULT_PARTITION__";

/// Bytes that are encoded besides control characters.
const SPECIAL: &[u8] = b"\"#%'*/:=?\\{}[]^`<>|~";

const ENCODED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[0x7f] = true;
    let mut index = 0;
    while index < SPECIAL.len() {
        table[SPECIAL[index] as usize] = true;
        index += 1;
    }
    table
};

/// Why a JSON value has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoText {
    /// It is null or missing.
    Null,
    /// It is an object or an array.
    Container,
}

/// Appends what stands for a JSON value, given as its raw text, after `functions`: a string's content, a number or a
/// boolean as written. An empty raw text is none at all.
pub(super) fn append_json(raw: &str, functions: &[Function], out: &mut Vec<u8>) -> Result<(), NoText> {
    let text = match raw.as_bytes().first() {
        Some(b'"') => Some(Scanner::new(raw).string().map_err(|_| NoText::Null)?.decode()),
        Some(b'{' | b'[') => return Err(NoText::Container),
        None | Some(b'n') => None,
        Some(_) => Some(raw.into()),
    };
    if functions.is_empty() {
        encode(&text.ok_or(NoText::Null)?, out);
        return Ok(());
    }
    let start = out.len();
    out.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
    if !function::apply(functions, out, start, text.is_some()) {
        out.truncate(start);
        return Err(NoText::Null);
    }
    encode_tail(out, start);
    Ok(())
}

/// Encodes the text at the end of `out` that begins at `start`.
fn encode_tail(out: &mut Vec<u8>, start: usize) {
    let tail = &out[start..];
    if tail.iter().all(|&byte| byte != b'.' && !ENCODED[byte as usize]) && !tail.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(tail).into_owned();
    out.truncate(start);
    encode(&text, out);
}

/// Appends `text` so that it stays within one segment.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.extend_from_slice(EMPTY.as_bytes());
    } else if text.bytes().all(|byte| byte == b'.') {
        text.bytes().for_each(|byte| push_encoded(byte, out));
    } else if text.bytes().any(|byte| ENCODED[byte as usize]) {
        for byte in text.bytes() {
            if ENCODED[byte as usize] { push_encoded(byte, out) } else { out.push(byte) }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_json(raw: &str) -> Result<String, NoText> {
        let mut out = Vec::new();
        append_json(raw, &[], &mut out).map(|()| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn scalars_are_written_as_they_are_and_encoded_where_a_path_would_suffer() {
        for (raw, text) in [
            (r#""acme""#, "acme"),
            (r#""Zürich 1""#, "Zürich 1"),
            (r#""a\/b""#, "a%2Fb"),
            (r#""a=b:c""#, "a%3Db%3Ac"),
            (r#""100%""#, "100%25"),
            (r#""\u0000\n\u007f""#, "%00%0A%7F"),
            (r#"".""#, "%2E"),
            (r#""..""#, "%2E%2E"),
            (r#""a..b""#, "a..b"),
            (r#""""#, "__HIVE_DEFAULT_PARTITION__"),
            ("17", "17"),
            ("-1.50e+3", "-1.50e+3"),
            ("true", "true"),
        ] {
            assert_eq!(of_json(raw).as_deref(), Ok(text), "{raw}");
        }
        for (raw, why) in [
            ("", NoText::Null),
            ("null", NoText::Null),
            ("{}", NoText::Container),
            ("[1]", NoText::Container),
        ] {
            assert_eq!(of_json(raw), Err(why), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_in_its_segment_and_can_be_read_back(text in r#"([./%\\"={}\x00-\x20]|\PC){1,20}"#) {
            let mut out = Vec::new();
            encode(&text, &mut out);
            let encoded = String::from_utf8(out).expect("text");
            prop_assert!(!encoded.contains(['/', '\\', '\0', '\n']));
            prop_assert!(encoded != "." && encoded != "..");
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().expect("text");
            prop_assert_eq!(decoded.as_ref(), text.as_str());
        }
    }
}
