//! Dead letters: a record that could not be delivered, as one line of JSON.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// A record, why it was not delivered, and where it had come from.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Stable code of the reason, such as `schema`.
    pub reason: &'a str,
    /// The reason in words.
    pub message: &'a str,
    /// How often delivery was tried.
    pub attempts: u32,
    /// When the first try failed.
    pub first_failed_at: UnixMicros,
    /// When the last try failed.
    pub failed_at: UnixMicros,
    /// When the record came in.
    pub arrival_time: UnixMicros,
    /// The stream that it is in.
    pub stream: &'a str,
    /// The delivery that gave it up.
    pub delivery: &'a str,
    /// The shard that it is in.
    pub shard: ShardId,
    /// Its place there.
    pub sequence_number: SequenceNumber,
    /// Its partition key; empty where that was random.
    pub partition_key: &'a str,
    /// The payload, byte for byte.
    pub raw: &'a [u8],
}

impl DeadLetter<'_> {
    /// Appends one JSON object, without a line break, to `line`. Times are RFC 3339 in UTC with microseconds,
    /// sequence numbers are strings (a JSON number is exact only to 2⁵³), and the payload is in base64, because it
    /// need not be text.
    pub fn write_to(&self, line: &mut String) {
        line.reserve(512 + self.message.len() + self.raw.len().div_ceil(3) * 4);
        text(line, "{\"reason\":", self.reason);
        text(line, ",\"message\":", self.message);
        // Writing to a String cannot fail.
        let _ = write!(line, ",\"attempts\":{}", self.attempts);
        text(line, ",\"first_failed_at\":", &rfc3339(self.first_failed_at));
        text(line, ",\"failed_at\":", &rfc3339(self.failed_at));
        text(line, ",\"arrival_time\":", &rfc3339(self.arrival_time));
        text(line, ",\"stream\":", self.stream);
        text(line, ",\"delivery\":", self.delivery);
        let _ =
            write!(line, ",\"shard\":\"{}\",\"sequence_number\":\"{}\"", self.shard, self.sequence_number);
        text(line, ",\"partition_key\":", self.partition_key);
        line.push_str(",\"raw\":\"");
        STANDARD.encode_string(self.raw, line);
        line.push_str("\"}");
    }
}

fn text(line: &mut String, name: &str, value: &str) {
    line.push_str(name);
    // `Value` writes a string with all its escapes.
    let _ = write!(line, "{}", serde_json::Value::from(value));
}

fn rfc3339(time: UnixMicros) -> String {
    let time = DateTime::from_timestamp_micros(time.0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json_lines::JsonLinesEncoder;
    use super::super::{Encoder, Misfit, Row};
    use super::*;
    use crate::config::checked::JsonCompression;

    fn letter<'a>(message: &'a str, partition_key: &'a str, raw: &'a [u8]) -> DeadLetter<'a> {
        DeadLetter {
            reason: "schema",
            message,
            attempts: 3,
            first_failed_at: UnixMicros(1_700_000_000_000_001),
            failed_at: UnixMicros(1_700_000_001_500_000),
            arrival_time: UnixMicros(1_700_000_000_000_000),
            stream: "clickstream",
            delivery: "lake",
            shard: ShardId(2),
            sequence_number: SequenceNumber(u64::MAX),
            partition_key,
            raw,
        }
    }

    #[test]
    fn a_dead_letter_is_written_as_documented() {
        let misfit = Misfit {
            pointer: "/status".to_owned(),
            expected: "int64".to_owned(),
            found: "string".to_owned(),
        };
        let message = misfit.to_string();
        let mut line = String::new();
        letter(&message, "10.0.0.1", b"{\"status\":\"?\"}").write_to(&mut line);
        assert_eq!(
            line,
            concat!(
                r#"{"reason":"schema","message":"/status: expected int64, got string","attempts":3,"#,
                r#""first_failed_at":"2023-11-14T22:13:20.000001Z","failed_at":"2023-11-14T22:13:21.500000Z","#,
                r#""arrival_time":"2023-11-14T22:13:20.000000Z","stream":"clickstream","delivery":"lake","#,
                r#""shard":"shardId-000000000002","sequence_number":"18446744073709551615","#,
                r#""partition_key":"10.0.0.1","raw":"eyJzdGF0dXMiOiI/In0="}"#
            )
        );
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_survive(message in ".*", key in "\\PC*", raw in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut line = String::new();
            letter(&message, &key, &raw).write_to(&mut line);
            let mut file = Box::new(JsonLinesEncoder::new(JsonCompression::None.into()));
            file.push(Row::of_payload(&line)).unwrap();
            let text = String::from_utf8(file.finish(&[]).unwrap().concat()).unwrap();
            prop_assert_eq!(text.lines().count(), 1);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&value["message"], &message);
            prop_assert_eq!(&value["partition_key"], &key);
            prop_assert_eq!(STANDARD.decode(value["raw"].as_str().unwrap()).unwrap(), raw);
        }
    }
}
