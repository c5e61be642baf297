//! What a WebSocket's client sends, and what it is told about it.
//!
//! With `messages=envelope`, which is the default, a message is an object:
//!
//! | member | meaning |
//! | --- | --- |
//! | `records` | an array of records, or one that is an object |
//! | `id` | a number or a string that the ack repeats; the message's number, from 1, where it is missing |
//! | `key` | the partition key of all records, as `X-Partition-Key` |
//! | `idempotency_key` | as the header `Idempotency-Key` |
//! | `commit` | in the place of `records`, by a worker that shares a named cursor: everything before this `next` is done |
//!
//! With `messages=body` a message is what the body of a `POST` would be: one JSON object, an array, or a record a line.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::limits::CURSOR_BODY_BYTES_MAX;
use crate::edge::append::Done;
use crate::edge::cursors::next_of;
use crate::edge::decode::Framing;
use crate::edge::ingest::{checked_idempotency_key, checked_partition_key};
use crate::edge::problem::Problem;
use crate::tap::cursor::Cursor;
use crate::tap::query::Messages;

/// Bytes of an id, as written in JSON.
const ID_BYTES_MAX: usize = 128;

/// A message, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// How records stand in it.
    pub framing: Framing,
    /// The records.
    pub records: &'a [u8],
    /// The partition key of all of them.
    pub key: Option<String>,
    /// The key with which the client may send the same again.
    pub idempotency_key: Option<String>,
}

/// What a message is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Records for the stream.
    Records(Message<'a>),
    /// A worker's checkpoint.
    Commit(Cursor),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    records: Option<&'a RawValue>,
    commit: Option<String>,
    key: Option<String>,
    idempotency_key: Option<String>,
}

/// Reads the message of that number. The first of the result is the id that its ack has.
pub fn read(messages: Messages, content: &Bytes, number: u64) -> (String, Result<Content<'_>, Problem>) {
    if messages == Messages::Body {
        let message =
            Message { framing: Framing::Detect, records: content, key: None, idempotency_key: None };
        return (number.to_string(), Ok(Content::Records(message)));
    }
    let envelope = match serde_json::from_slice::<Envelope<'_>>(content) {
        Ok(envelope) => envelope,
        Err(error) => {
            let problem = Problem::NotJson(format!("a message is an object with id and records: {error}"));
            return (number.to_string(), Err(problem));
        }
    };
    match envelope.id.map(|id| id.get()) {
        None => (number.to_string(), envelope.into_content()),
        Some(id) if is_id(id) => (id.to_owned(), envelope.into_content()),
        Some(_) => {
            let detail = format!("a number or a string of at most {ID_BYTES_MAX} bytes");
            (number.to_string(), Err(Problem::BadParameter { name: "id", detail }))
        }
    }
}

fn is_id(id: &str) -> bool {
    id.len() <= ID_BYTES_MAX
        && id.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

impl<'a> Envelope<'a> {
    fn into_content(self) -> Result<Content<'a>, Problem> {
        let records = match self {
            Envelope { records: None, commit: Some(next), key: None, idempotency_key: None, .. } => {
                if next.len() > CURSOR_BODY_BYTES_MAX {
                    return Err(Problem::BodyTooLarge { limit: CURSOR_BODY_BYTES_MAX as u64 });
                }
                return Ok(Content::Commit(next_of(&next)?));
            }
            Envelope { records: Some(records), commit: None, .. } => records,
            _ => {
                let detail = "a message is an object with records, or with commit and nothing else but id";
                return Err(Problem::NotJson(detail.to_owned()));
            }
        };
        let Envelope { key, idempotency_key, .. } = self;
        if let Some(key) = &idempotency_key {
            checked_idempotency_key(key.as_bytes())?;
        }
        let (key, records) = (key.map(checked_partition_key).transpose()?, records.get().as_bytes());
        Ok(Content::Records(Message { framing: Framing::Json, records, key, idempotency_key }))
    }
}

/// What a worker is told about its checkpoint.
pub fn ack_of_commit(id: &str, done: &Result<Cursor, Problem>) -> String {
    match done {
        Ok(next) => format!("{{\"ack\":{id},\"committed\":\"{next}\"}}"),
        Err(problem) => refusal(id, &problem.document(None)),
    }
}

/// What the client is told about the message with that id.
pub fn ack(id: &str, done: &Result<Done, Problem>) -> String {
    let (body, is_refusal) = match done {
        Ok(Done::Fresh { body, all_refused }) => (body.as_slice(), *all_refused),
        Ok(Done::Kept(body) | Done::Replayed(body)) => (&**body, false),
        Err(problem) => return refusal(id, &problem.document(None)),
    };
    if is_refusal {
        return refusal(id, body);
    }
    let replayed = if matches!(done, Ok(Done::Replayed(_))) { "\"replayed\":true," } else { "" };
    // The body is an object with members.
    let members = String::from_utf8_lossy(body.get(1..).unwrap_or_default());
    format!("{{\"ack\":{id},{replayed}{members}")
}

fn refusal(id: &str, document: &[u8]) -> String {
    format!("{{\"ack\":{id},\"error\":{}}}", String::from_utf8_lossy(document))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read_envelope(text: &str) -> (String, Result<String, Problem>) {
        let content = Bytes::from(text.to_owned());
        let (id, message) = read(Messages::Envelope, &content, 7);
        let text = |content| match content {
            Content::Records(message) => String::from_utf8_lossy(message.records).into_owned(),
            Content::Commit(next) => format!("commit {next}"),
        };
        (id, message.map(text))
    }

    #[test]
    fn an_envelope_tells_its_id_and_its_records() {
        for (text, id, records) in [
            ("{\"id\":1,\"records\":[{\"a\":1}]}", "1", "[{\"a\":1}]"),
            (
                "{\"records\":{\"a\": [1,\\n2]},\"id\":\"x y\"}".replace("\\n", "\n").as_str(),
                "\"x y\"",
                "{\"a\": [1,\n2]}",
            ),
            ("{\"records\":[]}", "7", "[]"),
            ("{\"commit\":\"0-5_1-7\",\"id\":2}", "2", "commit 0-5_1-7"),
        ] {
            assert_eq!(read_envelope(text), (id.to_owned(), Ok(records.to_owned())), "{text}");
        }
        for text in [
            "",
            "[]",
            "{}",
            "{\"id\":1}",
            "{\"id\":[1],\"records\":[]}",
            "{\"records\":[],\"recrods\":[]}",
            "{\"records\":[]}{",
            "{\"records\":[],\"idempotency_key\":\"\"}",
            "{\"records\":[],\"commit\":\"0-1\"}",
            "{\"commit\":\"x\"}",
        ] {
            assert!(read_envelope(text).1.is_err(), "{text}");
        }
        let mut long: String = (0..100_000).map(|shard| format!("{shard}-12345_")).collect();
        long.pop();
        let long = read_envelope(&format!("{{\"commit\":\"{long}\"}}"));
        assert_eq!(long.1, Err(Problem::BodyTooLarge { limit: CURSOR_BODY_BYTES_MAX as u64 }));
        let long = format!("{{\"id\":\"{}\",\"records\":[]}}", "x".repeat(ID_BYTES_MAX));
        assert!(read_envelope(&long).1.is_err());
    }

    #[test]
    fn an_ack_repeats_the_id_and_says_what_a_reply_says() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let done = Ok(Done::Fresh { body: br#"{"accepted":1}"#.to_vec(), all_refused: false });
        assert_eq!(parse(&ack("\"a\"", &done)), json!({"ack": "a", "accepted": 1}));
        let done = Ok(Done::Replayed(Bytes::from_static(br#"{"accepted":1}"#)));
        assert_eq!(parse(&ack("2", &done)), json!({"ack": 2, "replayed": true, "accepted": 1}));
        let done = Ok(Done::Fresh { body: br#"{"accepted":0}"#.to_vec(), all_refused: true });
        assert_eq!(parse(&ack("2", &done)), json!({"ack": 2, "error": {"accepted": 0}}));
        assert_eq!(parse(&ack("2", &Err(Problem::Empty)))["error"]["code"], "empty");
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_its_ack_is_json(content in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60).boxed(),
            "\\{\"id\":[0-9a\"{\\[.-]{0,4},\"records\":[0-9\\[\\]{}\",]{0,6}\\}".prop_map(String::into_bytes).boxed(),
        ]) {
            let content = Bytes::from(content);
            let (id, message) = read(Messages::Envelope, &content, 3);
            let done = message.map(|_| Done::Kept(Bytes::from_static(b"{\"accepted\":1}")));
            prop_assert!(serde_json::from_str::<Value>(&ack(&id, &done)).is_ok(), "{}", id);
        }
    }
}
