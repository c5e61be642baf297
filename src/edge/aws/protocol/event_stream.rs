//! `application/vnd.amazon.eventstream`: messages one after the other in the body of an answer.
//!
//! ```text
//! bytes of the message (4)  bytes of its headers (4)  CRC-32 of these eight (4)  headers  payload  CRC-32 of all (4)
//! header: bytes of the name (1)  name  7, for a text (1)  bytes of the value (2)  value
//! ```
//!
//! Numbers are big-endian; the CRC is that of gzip.

use super::Encoding;
use super::failure::Failure;

/// The media type of such a body.
pub const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type of a header that is a text.
const TEXT: u8 = 7;

/// The first event: an answer of no members.
pub fn initial_response(encoding: Encoding) -> Vec<u8> {
    let nothing: &[u8] = match encoding {
        Encoding::Json => b"{}",
        // A map of no pairs.
        Encoding::Cbor => b"\xa0",
    };
    event("initial-response", encoding, nothing)
}

/// An event of type `kind`.
pub fn event(kind: &str, encoding: Encoding, payload: &[u8]) -> Vec<u8> {
    let headers =
        [(":event-type", kind), (":content-type", encoding.media_type()), (":message-type", "event")];
    message(&headers, payload)
}

/// What ends a stream of events before its time.
pub fn exception(failure: &Failure, encoding: Encoding) -> Vec<u8> {
    let headers = [
        (":exception-type", failure.kind.name()),
        (":content-type", encoding.media_type()),
        (":message-type", "exception"),
    ];
    let document = serde_json::json!({ "message": failure.message });
    // A map of texts always serialises.
    message(&headers, &encoding.write(&document).unwrap_or_default())
}

/// Names and values of headers are ours and short: below 256 and 65,536 bytes.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let headers_bytes: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let total = PRELUDE_BYTES + headers_bytes + payload.len() + CRC_BYTES;
    let mut message = Vec::with_capacity(total);
    message.extend_from_slice(&(total as u32).to_be_bytes());
    message.extend_from_slice(&(headers_bytes as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    for (name, value) in headers {
        message.push(name.len() as u8);
        message.extend_from_slice(name.as_bytes());
        message.push(TEXT);
        message.extend_from_slice(&(value.len() as u16).to_be_bytes());
        message.extend_from_slice(value.as_bytes());
    }
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_the_specification_of_the_format_shows_it() {
        // The vector "payload_one_str_header" of the public test suite of the format.
        let message = message(&[("content-type", "application/json")], b"{'foo':'bar'}");
        let expected = "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e\
                        7b27666f6f273a27626172277d8d9c08b1";
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn an_event_names_its_type_and_its_encoding() {
        for (encoding, media_type, nothing) in [
            (Encoding::Json, "application/x-amz-json-1.1", &b"{}"[..]),
            (Encoding::Cbor, "application/x-amz-cbor-1.1", b"\xa0"),
        ] {
            let event = initial_response(encoding);
            assert_eq!(event.len(), u32::from_be_bytes(event[..4].try_into().unwrap()) as usize);
            let text = String::from_utf8_lossy(&event);
            assert!(text.contains("initial-response") && text.contains(media_type), "{text}");
            assert!(event[..event.len() - CRC_BYTES].ends_with(nothing));
        }
    }
}
