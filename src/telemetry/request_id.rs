//! The name of one request, in its answer, in logs, and in what its client reports.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::limits::REQUEST_ID_BYTES_MAX;

/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The same header as clients of AWS services know it.
pub const AWS_HEADER: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Bytes of a UUID as text.
const UUID_BYTES: usize = 36;

/// The id of a request. Always printable ASCII without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new one: a random UUID (RFC 9562, version 4). Not a secret, and no lock, as its randomness is the thread's own.
    pub fn new() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = fastrand::u128(..).to_be_bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = [b'-'; UUID_BYTES];
        let mut at = 0;
        for byte in bytes {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0x0f)];
            at += 2;
        }
        // Digits and hyphens always are a value.
        Self(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// What a client has sent, if it has sent one of a form that is taken: 1 to 128 letters, digits and `-_.:+/=@`.
    pub fn sent(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        let is_taken =
            (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(is_plain);
        is_taken.then(|| Self(value.clone()))
    }

    /// For an answer.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// For logs.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(values: &[&[u8]]) -> Option<RequestId> {
        let values = values.iter().map(|value| (HEADER, HeaderValue::from_bytes(value).unwrap()));
        RequestId::sent(&values.collect())
    }

    #[test]
    fn a_new_id_is_a_random_uuid() {
        let (one, other) = (RequestId::new(), RequestId::new());
        assert_ne!(one, other);
        for id in [one, other] {
            let text = id.as_str();
            let groups: Vec<_> = text.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{text}");
            assert!(text.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
            assert_eq!(&text[14..15], "4", "{text}");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }

    #[test]
    fn an_id_of_a_client_has_a_plain_form_or_is_not_taken() {
        let long = "a".repeat(REQUEST_ID_BYTES_MAX);
        for taken in ["a", "Root=1-67891233-abcdef012345678912345678", "7f:9/x_y.z+1@h", &long] {
            assert_eq!(sent(&[taken.as_bytes()]).unwrap().as_str(), taken);
        }
        let longer = long.clone() + "a";
        for refused in ["", "a b", "a\"b", "a,b", "<script>", "a\\b", "{}", "\u{e9}", &longer] {
            assert_eq!(sent(&[refused.as_bytes()]), None, "{refused}");
        }
        assert_eq!(sent(&[]), None);
        assert_eq!(sent(&[b"a", b"a"]), None, "who sends two does not know which counts");
    }

    proptest! {
        #[test]
        fn whatever_is_taken_needs_no_escape_in_json(value in prop::collection::vec(32_u8..=255, 0..200)) {
            if let Ok(header) = HeaderValue::from_bytes(&value)
                && let Some(id) = RequestId::sent(&[(HEADER, header)].into_iter().collect())
            {
                prop_assert_eq!(serde_json::to_string(id.as_str()).unwrap(), format!("\"{}\"", id.as_str()));
            }
        }
    }
}
