//! Records as they came, one a line: what a backup keeps.
//!
//! A record that is JSON is its own line, with line breaks as spaces, as in any file of JSON lines. One that is not
//! stands in base64 in an object of its own:
//! ```json
//! {"forebay.raw":"eyJicm9rZW4i"}
//! ```
//! So does a JSON record that begins with the same bytes, so that whoever reads knows: a line that begins with
//! `{"forebay.raw":"` is in base64, and no other is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a line begins with that is in base64.
const BEGIN: &str = "{\"forebay.raw\":\"";

/// A payload that is its own line; `None` if it must be wrapped.
pub fn plain(payload: &[u8], is_json: bool) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok().filter(|_| is_json)?;
    (!text.starts_with(BEGIN)).then_some(text)
}

/// Makes `line` that of a payload that is none itself.
pub fn wrap(payload: &[u8], line: &mut String) {
    line.clear();
    line.push_str(BEGIN);
    STANDARD.encode_string(payload, line);
    line.push_str("\"}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line_of(payload: &[u8], is_json: bool) -> String {
        let mut line = String::new();
        match plain(payload, is_json) {
            Some(text) => line.push_str(text),
            None => wrap(payload, &mut line),
        }
        line
    }

    /// As the documentation tells it.
    fn read(line: &str) -> Vec<u8> {
        match line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix("\"}")) {
            Some(base64) => STANDARD.decode(base64).unwrap(),
            None => line.as_bytes().to_vec(),
        }
    }

    proptest! {
        #[test]
        fn every_payload_comes_back(payload in prop::collection::vec(any::<u8>(), 0..60), is_json in any::<bool>()) {
            prop_assert_eq!(read(&line_of(&payload, is_json)), payload);
        }
    }

    #[test]
    fn what_is_no_json_is_a_line_of_json_all_the_same() {
        for payload in [&b"{\"broken\""[..], b"", b"a\nb", b"\xff\xfe"] {
            let line = line_of(payload, false);
            assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().is_object(), "{line}");
        }
        assert_eq!(line_of(b"{\"a\":1}", true), "{\"a\":1}");
    }

    #[test]
    fn a_record_that_pretends_to_be_wrapped_is_wrapped() {
        let forged = "{\"forebay.raw\":\"eA==\"}";
        assert_ne!(line_of(forged.as_bytes(), true), forged);
        assert_eq!(read(&line_of(forged.as_bytes(), true)), forged.as_bytes());
    }
}
