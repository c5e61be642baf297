//! Letters of a file → requests: those of one partition key and one attempt go together, in their order.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::rows::Rows;
use crate::config::limits::{PARTITION_KEY_BYTES_MAX, REPLAY_REQUEST_BYTES, REPLAY_REQUEST_RECORDS};
use crate::delivery::dead_letters::Letter;
use crate::json;
use crate::record::Content;

/// What the records of a request have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Together {
    /// `None` lets the stream choose, as it did.
    key: Option<String>,
    attempt: u32,
    /// The line of a payload that can only stand alone.
    alone: Option<u64>,
}

/// What is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Lines of the file, in the order of the records.
    pub rows: Rows,
    /// The value of `X-Partition-Key`, if the records had a key.
    pub key: Option<String>,
    /// Which replay of these records this is.
    pub attempt: u32,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The records.
    pub body: Vec<u8>,
}

/// Letters that are gathered for some requests. Bounded by [`REPLAY_REQUEST_RECORDS`] and [`REPLAY_REQUEST_BYTES`].
#[derive(Debug)]
pub struct Window {
    content: Content,
    requests: Vec<Gathering>,
    places: HashMap<Together, usize>,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Gathering {
    together: Together,
    rows: Vec<u64>,
    body: Vec<u8>,
}

impl Window {
    /// For a stream that takes `content`.
    pub fn new(content: Content) -> Self {
        Self { content, requests: Vec::new(), places: HashMap::new(), records: 0, bytes: 0 }
    }

    /// Adds a letter. Lines come in order.
    pub fn add(&mut self, row: u64, letter: Letter, attempt: u32) {
        let mut payload = letter.raw;
        let alone = match self.content {
            Content::Json => !is_line(&mut payload),
            Content::Any => !is_exactly_a_line(&payload),
        };
        let key = Some(letter.key).filter(|key| is_header(key));
        let together = Together { key, attempt, alone: alone.then_some(row) };
        let index = *self.places.entry(together.clone()).or_insert(self.requests.len());
        if index == self.requests.len() {
            self.requests.push(Gathering { together, rows: Vec::new(), body: Vec::new() });
        }
        self.records += 1;
        self.bytes += payload.len();
        if let Some(request) = self.requests.get_mut(index) {
            request.rows.push(row);
            request.body.extend_from_slice(&payload);
            if !alone {
                request.body.push(b'\n');
            }
        }
    }

    /// Whether it is time to send.
    pub fn is_full(&self) -> bool {
        self.records >= REPLAY_REQUEST_RECORDS || self.bytes >= REPLAY_REQUEST_BYTES
    }

    /// The requests; the window is empty then.
    pub fn take(&mut self) -> Vec<Request> {
        let alone_type = match self.content {
            Content::Json => "application/json",
            // The whole body is one record, whatever it is.
            Content::Any => "application/octet-stream",
        };
        let requests = std::mem::replace(self, Self::new(self.content)).requests.into_iter();
        requests
            .map(|Gathering { together: Together { key, attempt, alone }, rows, body }| Request {
                rows: Rows::of(rows),
                key,
                attempt,
                content_type: if alone.is_some() { alone_type } else { "application/x-ndjson" },
                body,
            })
            .collect()
    }
}

/// Whether a payload can be a line among others. Line breaks of a JSON document are white space, and become spaces as
/// in a file of JSON lines.
fn is_line(payload: &mut [u8]) -> bool {
    if memchr::memchr2(b'\n', b'\r', payload).is_none() {
        return !payload.trim_ascii().is_empty();
    }
    if serde_json::from_slice::<IgnoredAny>(payload).is_err() {
        return false;
    }
    for byte in payload.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    true
}

/// Whether a payload is JSON that comes back byte for byte from a line among others.
fn is_exactly_a_line(payload: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', payload).is_none()
        && payload.trim_ascii().len() == payload.len()
        && json::document(payload).is_ok()
}

/// Whether a header can carry a key unchanged: the edge takes visible ASCII, and white space at the ends gets lost.
/// A record with any other key gets the one that the stream's own setting gives it.
fn is_header(key: &str) -> bool {
    let is_visible = |byte: u8| (b' '..=b'~').contains(&byte);
    !key.is_empty()
        && key.len() <= PARTITION_KEY_BYTES_MAX
        && key.trim() == key
        && key.bytes().all(is_visible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};
    use crate::runtime::clock::UnixMicros;

    fn letter(key: &str, raw: &str) -> Letter {
        Letter {
            reason: "schema".to_owned(),
            message: String::new(),
            attempts: 1,
            arrival: UnixMicros(0),
            failed_at: UnixMicros(0),
            stream: "s".to_owned(),
            delivery: "d".to_owned(),
            shard: ShardId(0),
            number: SequenceNumber(1),
            key: key.to_owned(),
            raw: raw.as_bytes().to_vec(),
        }
    }

    fn requests(letters: &[(&str, &str, u32)]) -> Vec<(Vec<u64>, Option<String>, u32, String)> {
        let mut window = Window::new(Content::Json);
        for (row, &(key, raw, attempt)) in letters.iter().enumerate() {
            window.add(row as u64, letter(key, raw), attempt);
        }
        let text = |body| String::from_utf8(body).unwrap();
        let shown = |request: Request| {
            (request.rows.iter().collect(), request.key, request.attempt, text(request.body))
        };
        window.take().into_iter().map(shown).collect()
    }

    #[test]
    fn records_of_a_key_go_together_in_their_order() {
        let found = requests(&[("a", "1", 1), ("b", "2", 1), ("a", "3", 1), ("a", "4", 2), ("", "5", 1)]);
        let key = |key: &str| Some(key.to_owned());
        let expected = [
            (vec![0, 2], key("a"), 1, "1\n3\n".to_owned()),
            (vec![1], key("b"), 1, "2\n".to_owned()),
            (vec![3], key("a"), 2, "4\n".to_owned()),
            (vec![4], None, 1, "5\n".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_line_goes_alone() {
        let found = requests(&[("", "{\"a\":\r\n1}", 1), ("", "{\"a\"\n", 1), ("", " ", 1), ("", "2", 1)]);
        let bodies: Vec<&str> = found.iter().map(|(.., body)| body.as_str()).collect();
        assert_eq!(bodies, ["{\"a\":  1}\n2\n", "{\"a\"\n", " "]);
    }

    #[test]
    fn for_a_stream_of_any_bytes_what_a_line_would_change_is_a_body_of_its_own() {
        let mut window = Window::new(Content::Any);
        let payloads: [&[u8]; 6] =
            [b"{\"a\":1}", b"{\"a\":\n1}", b"no JSON", b" 2", b"\xff\n\xfe", b"{\"a\":1,\"a\":2}"];
        for (row, payload) in payloads.iter().enumerate() {
            let letter = Letter { raw: payload.to_vec(), ..letter("", "") };
            window.add(row as u64, letter, 1);
        }
        let sent: Vec<_> = window.take().into_iter().map(|sent| (sent.content_type, sent.body)).collect();
        let bytes = |payload: &[u8]| ("application/octet-stream", payload.to_vec());
        let mut expected = vec![("application/x-ndjson", b"{\"a\":1}\n".to_vec())];
        expected.extend(payloads[1..].iter().map(|payload| bytes(payload)));
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_left_to_the_stream() {
        for key in ["é", " a", "a\tb", "a\n", ""] {
            assert!(!is_header(key), "{key:?}");
        }
        assert!(is_header("10.0.0.1") && is_header("a b"));
    }

    #[test]
    fn a_window_is_full_by_records_and_by_bytes() {
        let mut window = Window::new(Content::Json);
        window.add(0, letter("", &"x".repeat(REPLAY_REQUEST_BYTES - 1)), 1);
        assert!(!window.is_full());
        window.add(1, letter("", "x"), 1);
        assert!(window.is_full());
        assert_eq!(window.take().len(), 1);
        for row in 0..REPLAY_REQUEST_RECORDS as u64 {
            assert!(!window.is_full());
            window.add(row, letter("", "1"), 1);
        }
        assert!(window.is_full());
    }
}
