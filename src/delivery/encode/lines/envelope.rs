//! Lines that tell where a record came from, beside the record itself.

use std::io::Write;

use chrono::{DateTime, SecondsFormat};

use super::super::Row;
use crate::runtime::clock::UnixMicros;

/// Appends `{"arrival_time":…,"partition_key":…,"shard":…,"sequence_number":…,"record":` to `line`: everything in front
/// of the record, in the forms that dead letters have. [`END`] goes behind it. A key that is not UTF-8 has U+FFFD for
/// what is none.
pub(super) fn write_begin(line: &mut Vec<u8>, row: &Row<'_>) {
    line.extend_from_slice(b"{\"arrival_time\":\"");
    write_time(line, row.arrival);
    line.extend_from_slice(b"\",\"partition_key\":");
    // Neither of the two can fail: a string is always JSON, and a Vec takes everything.
    let _ = serde_json::to_writer(&mut *line, &*String::from_utf8_lossy(row.key));
    let _ = write!(line, ",\"shard\":\"{}\",\"sequence_number\":\"", row.shard);
    line.extend_from_slice(itoa::Buffer::new().format(row.sequence_number.0).as_bytes());
    line.extend_from_slice(b"\",\"record\":");
}

/// Bytes of all that is around a record, about.
pub(super) fn bytes_about(row: &Row<'_>) -> usize {
    160 + row.key.len()
}

/// What stands behind the record.
pub(super) const END: &[u8] = b"}";

/// RFC 3339 in UTC with microseconds.
fn write_time(line: &mut Vec<u8>, time: UnixMicros) {
    match time.rfc3339() {
        Some(text) => line.extend_from_slice(&text),
        None => {
            let time = DateTime::from_timestamp_micros(time.0).unwrap_or_default();
            line.extend_from_slice(time.to_rfc3339_opts(SecondsFormat::Micros, true).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Payload;
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn line(row: &Row<'_>) -> String {
        let mut line = Vec::new();
        write_begin(&mut line, row);
        line.extend_from_slice(row.payload.as_bytes());
        line.extend_from_slice(END);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn an_envelope_is_written_as_documented() {
        let row = Row {
            payload: Payload::Text("{\"a\":1}"),
            key: "größe\n\"x\"\u{1}".as_bytes(),
            shard: ShardId(2),
            sequence_number: SequenceNumber(u64::MAX),
            arrival: UnixMicros(1_700_000_000_000_001),
        };
        assert_eq!(
            line(&row),
            concat!(
                r#"{"arrival_time":"2023-11-14T22:13:20.000001Z","partition_key":"größe\n\"x\"\u0001","#,
                r#""shard":"shardId-000000000002","sequence_number":"18446744073709551615","record":{"a":1}}"#
            )
        );
    }

    proptest! {
        #[test]
        fn any_key_and_any_time_survive(key in prop::collection::vec(any::<u8>(), 0..40), micros: i64) {
            let row = Row { key: &key, arrival: UnixMicros(micros), ..Row::of_payload("{}") };
            let value: serde_json::Value = serde_json::from_str(&line(&row)).unwrap();
            prop_assert_eq!(&value["partition_key"], &String::from_utf8_lossy(&key).into_owned());
            let expected = DateTime::from_timestamp_micros(micros).unwrap_or_default();
            prop_assert_eq!(&value["arrival_time"], &expected.to_rfc3339_opts(SecondsFormat::Micros, true));
        }

        #[test]
        fn times_of_today_are_as_chrono_writes_them(micros in 0_i64..4_000_000_000_000_000) {
            let mut found = Vec::new();
            write_time(&mut found, UnixMicros(micros));
            let expected = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(String::from_utf8(found).unwrap(), expected.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
    }
}
