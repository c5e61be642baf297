use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::edge::aws::protocol::values::{Blob, Time};
use crate::runtime::clock::UnixMicros;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    stream_name: Option<String>,
    limit: Option<i64>,
    timestamp: Option<Time>,
    tags: Option<std::collections::BTreeMap<String, String>>,
    names: Vec<String>,
    flag: bool,
}

fn sample() -> Sample {
    Sample {
        stream_name: Some("clicks".into()),
        limit: Some(-3),
        timestamp: Some(Time(UnixMicros(1_700_000_000_123_000))),
        tags: Some([("a".to_owned(), "b".to_owned())].into()),
        names: vec!["x".into(), String::new()],
        flag: true,
    }
}

#[test]
fn what_is_written_reads_back() {
    let bytes = to_vec(&sample()).unwrap();
    assert_eq!(from_slice::<Sample>(&bytes).unwrap(), sample());
}

#[test]
fn a_time_is_tagged_milliseconds_and_a_blob_is_bytes() {
    let bytes = to_vec(&Time(UnixMicros(1_700_000_000_123_999))).unwrap();
    let mut decoder = Decoder::new(&bytes);
    assert_eq!((decoder.tag().unwrap(), decoder.u64().unwrap()), (Tag::new(1), 1_700_000_000_123));
    assert_eq!(to_vec(&Blob(&[1, 2])).unwrap(), [0x42, 1, 2]);
}

#[test]
fn maps_and_texts_without_a_length_are_read_as_jackson_writes_them() {
    // {_ "StreamName": (_ "cl", "icks"), "Names": [_ "x"], "Flag": true, "Unknown": {_ "a": [1, {}]}}
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.begin_map().unwrap();
    encoder.str("StreamName").unwrap().begin_str().unwrap();
    encoder.str("cl").unwrap().str("icks").unwrap().end().unwrap();
    encoder.str("Names").unwrap().begin_array().unwrap().str("x").unwrap().end().unwrap();
    encoder.str("Flag").unwrap().bool(true).unwrap();
    encoder.str("Unknown").unwrap().begin_map().unwrap().str("a").unwrap();
    encoder.array(2).unwrap().u8(1).unwrap().map(0).unwrap().end().unwrap();
    encoder.end().unwrap();
    let read: Sample = from_slice(&encoder.into_writer()).unwrap();
    assert_eq!((read.stream_name.as_deref(), read.flag), (Some("clicks"), true));
    assert_eq!(read.names, ["x"]);
}

#[test]
fn a_few_bytes_cannot_ask_for_gigabytes_or_for_the_stack() {
    let deep = [vec![0x81; 100_000], vec![0x00]].concat();
    let deep_tags = [vec![0xc2; 100_000], vec![0x00]].concat();
    for nested in [&deep, &deep_tags] {
        assert!(Reader::new(nested).skip().unwrap_err().to_string().contains("deeper"));
        assert!(from_slice::<serde_json::Value>(nested).is_err());
    }
    // An array, a map, bytes and a text that claim 2^62 items.
    for head in [0x9b_u8, 0xbb, 0x5b, 0x7b] {
        let mut bomb = vec![head];
        bomb.extend_from_slice(&(1_u64 << 62).to_be_bytes());
        assert!(from_slice::<serde_json::Value>(&bomb).is_err());
        assert!(Reader::new(&bomb).skip().is_err());
    }
    // Such an array inside of a known member.
    let mut bomb = vec![0xa1, 0x65];
    bomb.extend_from_slice(b"Names\x9b\x40\0\0\0\0\0\0\0");
    assert!(from_slice::<Sample>(&bomb).is_err());
}

#[test]
fn arrays_of_known_length_are_arrays() {
    assert_eq!(to_vec(&[[1_u8], [2]]).unwrap(), [0x82, 0x81, 1, 0x81, 2]);
    assert_eq!(to_vec(&("a", true)).unwrap(), [0x82, 0x61, b'a', 0xf5]);
}

#[test]
fn what_stands_behind_the_value_is_refused() {
    let mut bytes = to_vec(&sample()).unwrap();
    bytes.push(0);
    assert!(from_slice::<Sample>(&bytes).is_err());
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_slice::<Sample>(&bytes);
        let _ = from_slice::<serde_json::Value>(&bytes);
        let _ = Reader::new(&bytes).skip();
    }

    #[test]
    fn no_damage_brings_the_reader_down(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = to_vec(&sample()).unwrap();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        let _ = from_slice::<Sample>(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(from_slice::<Sample>(&bytes).is_err());
    }
}
