//! A record → its message: key, headers, and what becomes of one that cannot be sent.

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use super::Slots;
use crate::config::checked::{FanOut, MessageHeader, MessageKey};
use crate::config::limits::FAN_OUT_REASON_BYTES;
use crate::delivery::classify::{Dead, Record};
use crate::json::Scanner;
use crate::record::ShardId;

/// What the headers of all messages of a shard have in common.
#[derive(Debug)]
pub struct Writer {
    stream: String,
    delivery: String,
    headers: Vec<MessageHeader>,
    key: MessageKey,
    /// The shard whose name is in `shard_text`.
    shard: Option<ShardId>,
    shard_text: String,
}

/// Text of a JSON value: the content of a string, anything else as it is written. `None` for null.
fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => Some(Scanner::new(raw).string().ok()?.decode()),
        b'n' => None,
        _ => Some(raw.into()),
    }
}

impl Writer {
    /// For messages of `config`.
    pub fn new(stream: &str, config: &FanOut) -> Self {
        Self {
            stream: stream.to_owned(),
            delivery: config.name.clone(),
            headers: config.sink.headers.clone(),
            key: config.sink.key.clone(),
            shard: None,
            shard_text: String::new(),
        }
    }

    /// The key of a record's message.
    pub fn key<'a>(&self, at: &Record<'a>, slots: &Slots) -> Option<Cow<'a, [u8]>> {
        match &self.key {
            MessageKey::None => None,
            MessageKey::PartitionKey => Some(at.key()).filter(|key| !key.is_empty()).map(Cow::Borrowed),
            MessageKey::Field(_) => match text_of(at.captured(slots.key?)?)? {
                Cow::Borrowed(text) => Some(Cow::Borrowed(text.as_bytes())),
                Cow::Owned(text) => Some(Cow::Owned(text.into_bytes())),
            },
        }
    }

    /// The name of a shard, which is made once for all of its records that come one after the other.
    fn shard(&mut self, shard: ShardId) -> &str {
        if self.shard != Some(shard) {
            self.shard = Some(shard);
            self.shard_text = shard.to_string();
        }
        &self.shard_text
    }

    /// The headers of a record's message.
    pub fn headers(&mut self, at: &Record<'_>, slots: &Slots) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        self.shard(at.position.shard);
        let mut digits = itoa::Buffer::new();
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for header in &self.headers {
            headers = match header {
                MessageHeader::Stream => text(headers, "forebay.stream", &self.stream),
                MessageHeader::Shard => text(headers, "forebay.shard", &self.shard_text),
                MessageHeader::SequenceNumber => {
                    text(headers, "forebay.sequence_number", digits.format(at.position.number.0))
                }
                MessageHeader::ArrivalTime => {
                    text(headers, "forebay.arrival_time", digits.format(at.position.arrival.0))
                }
                MessageHeader::Principal(_) => {
                    let principal = slots.principal.and_then(|slot| text_of(at.captured(slot)?));
                    match principal {
                        Some(principal) => text(headers, "forebay.principal", &principal),
                        None => headers,
                    }
                }
            };
        }
        Some(headers)
    }

    /// The headers of a part of a dead letter.
    pub fn letter_headers(
        &mut self,
        at: &Record<'_>,
        dead: &Dead,
        (part, parts): (usize, usize),
    ) -> OwnedHeaders {
        self.shard(at.position.shard);
        let mut digits = itoa::Buffer::new();
        let mut headers = OwnedHeaders::new_with_capacity(9);
        headers = text(headers, "forebay.reason", dead.reason);
        headers = text(headers, "forebay.message", cut(&dead.message, FAN_OUT_REASON_BYTES));
        headers = text(headers, "forebay.stream", &self.stream);
        headers = text(headers, "forebay.delivery", &self.delivery);
        headers = text(headers, "forebay.shard", &self.shard_text);
        headers = text(headers, "forebay.sequence_number", digits.format(at.position.number.0));
        headers = text(headers, "forebay.arrival_time", digits.format(at.position.arrival.0));
        headers = text(headers, "forebay.part", digits.format(part + 1));
        text(headers, "forebay.parts", digits.format(parts))
    }

    /// The key of a dead letter: that of the record, so that all parts go to the same partition, or else its place.
    pub fn letter_key<'a>(&mut self, at: &Record<'a>, slots: &Slots) -> Cow<'a, [u8]> {
        if let Some(key) = self.key(at, slots) {
            return key;
        }
        let number = at.position.number;
        format!("{}/{number}", self.shard(at.position.shard)).into_bytes().into()
    }
}

fn text(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// The beginning of a text.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use rdkafka::message::Headers as _;

    use super::*;
    use crate::config::checked::{MessageHeader as H, Pipeline};
    use crate::config::{node_for_tests, pipeline_of_text};
    use crate::delivery::files::Position;
    use crate::record::{Batch, Content, RecordSpans, SequenceNumber, Source, Span};
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;
    use crate::stream::Captures;

    /// One record with a payload and a partition key.
    fn batch(payload: &str, key: &str, captures: &Captures) -> Batch {
        let body = Bytes::from(format!("{payload}{key}"));
        let arrival = UnixMicros(1_700_000_000_123_456);
        let permit = Budget::new(1).take_anyway(0);
        let side = Bytes::new();
        let source = Source { body: body.clone(), content: Content::Json, side, arrival, permit };
        let records = vec![RecordSpans {
            payload: Span::new(0, payload.len()),
            key: Span::new(payload.len(), payload.len() + key.len()),
            refusal: Span::ABSENT,
        }];
        let mut found = Vec::new();
        captures.plan().unwrap().capture(&body, &records, &mut found);
        let (records, captures) = (records.into(), found.into_boxed_slice());
        Batch { source: Arc::new(source), records, captures, aggregates: Box::default() }
    }

    fn fan_out(sink: &str) -> FanOut {
        let text = format!(
            "[stream]\nname = \"s\"\n[ingest.add]\nfield = \"/request\"\nfacts = [\"principal\"]\n\
             [[delivery]]\nname = \"bus\"\nsink = {{ kafka = \"h:9092\", topic = \"t\"{sink} }}\n"
        );
        let made: Result<Pipeline, _> = pipeline_of_text(&text, &node_for_tests(""));
        made.unwrap_or_else(|problems| panic!("{problems}")).fan_outs.remove(0)
    }

    fn at(batch: &Batch) -> Record<'_> {
        let (shard, number) = (ShardId(2), SequenceNumber(77));
        Record { batch, index: 0, position: Position { shard, number, arrival: batch.source.arrival } }
    }

    fn printed(headers: &OwnedHeaders) -> Vec<String> {
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        headers.iter().map(|header| format!("{}={}", header.key, text(header.value))).collect()
    }

    #[test]
    fn headers_tell_where_a_record_comes_from() {
        let all = ", headers = [\"stream\", \"shard\", \"sequence_number\", \"arrival_time\", \"principal\"]";
        let config = fan_out(all);
        assert!(matches!(config.sink.headers[4], H::Principal(_)));
        let mut captures = Captures::default();
        let slots = Slots::of(&config, &mut captures);
        let batch = batch(r#"{"request":{"principal":"till-\u0031"}}"#, "k", &captures);
        let mut writer = Writer::new("s", &config);
        let headers = writer.headers(&at(&batch), &slots).unwrap();
        let expected = [
            "forebay.stream=s",
            "forebay.shard=shardId-000000000002",
            "forebay.sequence_number=77",
            "forebay.arrival_time=1700000000123456",
            "forebay.principal=till-1",
        ];
        assert_eq!(printed(&headers), expected);
        let none = fan_out(", headers = []");
        assert!(Writer::new("s", &none).headers(&at(&batch), &slots).is_none());
    }

    #[test]
    fn the_key_is_that_of_the_record_a_field_or_none() {
        let key = |sink: &str, payload: &str, key: &str| {
            let config = fan_out(sink);
            let mut captures = Captures::default();
            let slots = Slots::of(&config, &mut captures);
            let batch = batch(payload, key, &captures);
            let writer = Writer::new("s", &config);
            writer.key(&at(&batch), &slots).map(|key| String::from_utf8(key.into_owned()).unwrap())
        };
        assert_eq!(key("", "{}", "k").as_deref(), Some("k"));
        assert_eq!(key("", "{}", ""), None, "a random key is none");
        assert_eq!(key(", key = \"none\"", "{}", "k"), None);
        let field = ", key = \"/id\"";
        assert_eq!(key(field, r#"{"id":"a\nb"}"#, "k").as_deref(), Some("a\nb"));
        assert_eq!(key(field, r#"{"id":17}"#, "k").as_deref(), Some("17"));
        assert_eq!(key(field, r#"{"id":[1]}"#, "k").as_deref(), Some("[1]"));
        assert_eq!(key(field, r#"{"id":null}"#, "k"), None);
        assert_eq!(key(field, "{}", "k"), None);
    }

    #[test]
    fn a_letter_says_why_and_how_many_parts_it_has() {
        let config = fan_out("");
        let captures = Captures::default();
        let slots = Slots::of(&config, &mut Captures::default());
        let batch = batch("{}", "", &captures);
        let mut writer = Writer::new("s", &config);
        let dead = Dead { reason: "too_large", message: "ü".repeat(FAN_OUT_REASON_BYTES) };
        let headers = printed(&writer.letter_headers(&at(&batch), &dead, (0, 3)));
        assert_eq!(headers[0], "forebay.reason=too_large");
        assert_eq!(headers[1].len(), "forebay.message=".len() + FAN_OUT_REASON_BYTES);
        assert_eq!(headers[7..], ["forebay.part=1", "forebay.parts=3"]);
        assert_eq!(&*writer.letter_key(&at(&batch), &slots), b"shardId-000000000002/77");
    }
}
