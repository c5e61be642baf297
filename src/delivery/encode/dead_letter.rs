//! Dead letters: a record that could not be delivered, as one line of JSON. They are read by
//! [`crate::delivery::dead_letters`], whatever their envelope.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// The names that the fields of a dead letter have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Our own: times as RFC 3339, everything in every letter.
    #[default]
    Forebay,
    /// Those of Amazon Data Firehose's error records, so that what reads them reads these as well: times in
    /// milliseconds since 1970, the code under `errorCode`, or under `lastErrorCode` where a format conversion has
    /// failed. What Firehose does not have (stream, delivery, shard and key) is there as well.
    Firehose,
}

impl Envelope {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Envelope::Forebay => "forebay",
            Envelope::Firehose => "firehose",
        }
    }
}

/// Reason of a letter whose record did not fit the columns of a file: what Firehose calls a format conversion.
const FORMAT_CONVERSION: &str = "columns";

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
    /// Appends one JSON object, without a line break, to `line`. Times are RFC 3339 in UTC with microseconds, or
    /// whole milliseconds as Firehose has them; sequence numbers are strings (a JSON number is exact only to 2⁵³), and
    /// the payload is in base64, because it need not be text.
    pub fn write_to(&self, envelope: Envelope, line: &mut String) {
        line.reserve(512 + self.message.len() + self.raw.len().div_ceil(3) * 4);
        match envelope {
            Envelope::Forebay => self.write_own(line),
            Envelope::Firehose => self.write_firehose(line),
        }
    }

    fn write_own(&self, line: &mut String) {
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

    /// The fields and their order are those of the documentation ("Handling errors for data format conversion" and
    /// "Handle failure in data transformation" in Firehose's developer guide).
    fn write_firehose(&self, line: &mut String) {
        let converts = self.reason == FORMAT_CONVERSION;
        let (code, message) = match converts {
            true => (",\"lastErrorCode\":", ",\"lastErrorMessage\":"),
            false => (",\"errorCode\":", ",\"errorMessage\":"),
        };
        let _ = write!(line, "{{\"attemptsMade\":{}", self.attempts);
        let _ = write!(line, ",\"arrivalTimestamp\":{}", millis(self.arrival_time));
        text(line, code, self.reason);
        text(line, message, self.message);
        let _ = write!(line, ",\"attemptEndingTimestamp\":{}", millis(self.failed_at));
        line.push_str(",\"rawData\":\"");
        STANDARD.encode_string(self.raw, line);
        let _ = write!(line, "\",\"sequenceNumber\":\"{}\"", self.sequence_number);
        if converts {
            // Nothing is split into parts here, and no catalog has told the columns.
            line.push_str(",\"subSequenceNumber\":0,\"dataCatalogTable\":null");
        }
        text(line, ",\"stream\":", self.stream);
        text(line, ",\"delivery\":", self.delivery);
        let _ = write!(line, ",\"shard\":\"{}\"", self.shard);
        text(line, ",\"partitionKey\":", self.partition_key);
        line.push('}');
    }
}

fn millis(time: UnixMicros) -> i64 {
    time.0.div_euclid(1_000)
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

    use super::super::lines::LinesEncoder;
    use super::super::{Encoder, Misfit, Row};
    use super::*;
    use crate::config::checked::{JsonCompression, JsonFormat};

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
        letter(&message, "10.0.0.1", b"{\"status\":\"?\"}").write_to(Envelope::Forebay, &mut line);
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

    #[test]
    fn with_firehoses_envelope_the_fields_are_those_of_its_documentation() {
        let mut line = String::new();
        letter("no \"id\"", "k", b"x").write_to(Envelope::Firehose, &mut line);
        assert_eq!(
            line,
            concat!(
                r#"{"attemptsMade":3,"arrivalTimestamp":1700000000000,"errorCode":"schema","#,
                r#""errorMessage":"no \"id\"","attemptEndingTimestamp":1700000001500,"rawData":"eA==","#,
                r#""sequenceNumber":"18446744073709551615","stream":"clickstream","delivery":"lake","#,
                r#""shard":"shardId-000000000002","partitionKey":"k"}"#
            )
        );
        line.clear();
        let misfit = DeadLetter { reason: "columns", ..letter("m", "", b"") };
        misfit.write_to(Envelope::Firehose, &mut line);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["lastErrorCode"], &value["lastErrorMessage"]), (&"columns".into(), &"m".into()));
        assert_eq!((&value["subSequenceNumber"], value.get("errorCode")), (&0.into(), None));
        assert!(value["dataCatalogTable"].is_null() && value.get("dataCatalogTable").is_some());
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_survive(message in ".*", key in "\\PC*", raw in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut line = String::new();
            letter(&message, &key, &raw).write_to(Envelope::Forebay, &mut line);
            let mut file = Box::new(LinesEncoder::new(JsonFormat::from(JsonCompression::None)));
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
