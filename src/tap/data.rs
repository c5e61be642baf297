//! A payload as a member of a record's object: `"data":{…}` where it is JSON, `"data_base64":"…"` where it is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json;
use crate::record::{Content, Source, Span};

/// Bytes that [`write`] appends, at most.
pub fn bytes_max(source: &Source, payload: Span) -> u64 {
    let (payload, name) = (payload.len() as u64, "\"data_base64\":\"\"".len() as u64);
    match source.content {
        Content::Json => name + payload,
        // Which form it takes is found out once, when it is written: the longer one is counted.
        Content::Any => name + payload.div_ceil(3) * 4,
    }
}

/// Appends the member for a payload that is not refused.
pub fn write(source: &Source, payload: Span, out: &mut Vec<u8>) {
    let bytes = source.bytes(payload);
    if source.content == Content::Any && json::document(bytes).is_err() {
        out.extend_from_slice(b"\"data_base64\":\"");
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
        // There is room for exactly what it writes.
        let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
        out.push(b'"');
        return;
    }
    out.extend_from_slice(b"\"data\":");
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;

    fn member(content: Content, payload: &[u8]) -> (String, u64) {
        let permit = Arc::clone(&Budget::new(0)).take_anyway(0);
        let (body, arrival) = (Bytes::copy_from_slice(payload), UnixMicros(0));
        let source = Source { body, content, side: Bytes::new(), arrival, permit };
        let (span, mut out) = (Span::new(0, payload.len()), Vec::new());
        write(&source, span, &mut out);
        (String::from_utf8(out).unwrap(), bytes_max(&source, span))
    }

    #[test]
    fn json_is_shown_as_it_is_and_anything_else_in_base64() {
        assert_eq!(member(Content::Json, b"{\"a\":1}").0, "\"data\":{\"a\":1}");
        assert_eq!(member(Content::Any, b"{\"a\":1}\n").0, "\"data\":{\"a\":1}\n");
        assert_eq!(member(Content::Any, b"{\"a\":1,\"a\":2}").0, "\"data_base64\":\"eyJhIjoxLCJhIjoyfQ==\"");
        assert_eq!(member(Content::Any, b"").0, "\"data_base64\":\"\"");
        assert_eq!(member(Content::Any, b"\xff\xfe\xfd").0, "\"data_base64\":\"//79\"");
    }

    proptest! {
        #[test]
        fn any_payload_comes_back_and_is_no_longer_than_told(payload in prop::collection::vec(any::<u8>(), 0..50)) {
            let (text, bytes_max) = member(Content::Any, &payload);
            prop_assert!(text.len() as u64 <= bytes_max);
            let value: serde_json::Value = serde_json::from_str(&format!("{{{text}}}")).unwrap();
            if let Some(base64) = value["data_base64"].as_str() {
                prop_assert_eq!(STANDARD.decode(base64).unwrap(), payload);
            }
        }
    }
}
