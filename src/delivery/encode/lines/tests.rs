use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use proptest::prelude::*;

use super::super::Payload;
use super::*;
use crate::delivery::verify::unpack::{Packing, Unpacker};

const GZIP: JsonCompression = JsonCompression::Gzip { level: 1 };

const CODECS: [JsonCompression; 5] = [
    JsonCompression::None,
    GZIP,
    JsonCompression::Zstd { level: 1 },
    JsonCompression::Snappy,
    JsonCompression::HadoopSnappy,
];

fn encoder(compression: JsonCompression) -> Box<LinesEncoder> {
    Box::new(LinesEncoder::new(JsonFormat::from(compression)))
}

fn gunzip(chunks: &[Bytes]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(&*chunks.concat()).read_to_string(&mut text).unwrap();
    text
}

fn record(index: usize) -> String {
    let noise = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(r#"{{"index":{index},"path":"/item/{noise:x}","agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#)
}

#[test]
fn plain_lines_are_the_payloads_and_nothing_else() {
    let mut encoder = encoder(JsonCompression::None);
    let mut expected = String::new();
    for index in 0..10_000 {
        let record = record(index);
        encoder.push(Row::of_payload(&record)).unwrap();
        expected += &record;
        expected.push('\n');
        assert_eq!(encoder.stored_bytes(), expected.len() as u64);
    }
    let chunks = encoder.finish(&[]).unwrap();
    assert!(chunks.len() > 2, "more than one chunk");
    assert!(chunks.concat() == expected.as_bytes());
}

#[test]
fn a_gzip_file_of_many_members_is_read_as_one() {
    for level in 1..=12 {
        let mut encoder = encoder(JsonCompression::Gzip { level });
        let records: Vec<_> = (0..7_000).map(record).collect();
        for record in &records {
            encoder.push(Row::of_payload(record)).unwrap();
        }
        let chunks = encoder.finish(&[]).unwrap();
        assert!(chunks.len() >= 2, "{} members", chunks.len());
        assert!(gunzip(&chunks) == records.join("\n") + "\n");
    }
}

/// Through the tools that verifying uses, which know nothing of the encoder.
fn unpack_bytes(compression: JsonCompression, chunks: &[Bytes]) -> Vec<u8> {
    let mut unpacker = Unpacker::new(Packing::from(compression), Vec::new()).unwrap();
    unpacker.take(&chunks.concat()).unwrap();
    unpacker.finish().unwrap()
}

fn unpack(compression: JsonCompression, chunks: &[Bytes]) -> String {
    String::from_utf8(unpack_bytes(compression, chunks)).unwrap()
}

#[test]
fn a_payload_of_several_lines_becomes_one_line() {
    let pretty = "{\r\n  \"text\": \"a\\nb\",\n\t\"list\": [\n1,\r2]\n}";
    for compression in CODECS {
        for envelope in [false, true] {
            let mut encoder = Box::new(LinesEncoder::new(JsonFormat { compression, envelope }));
            for record in ["{}", pretty, "{}"] {
                encoder.push(Row::of_payload(record)).unwrap();
            }
            let text = unpack(compression, &encoder.finish(&[]).unwrap());
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines.len(), text.ends_with('\n')), (3, true), "{text:?}");
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let mut found = parse(lines[1]);
            if envelope {
                found = found["record"].take();
            }
            assert_eq!(found, parse(pretty));
        }
    }
}

#[test]
fn a_file_without_records_is_still_a_file_of_its_format() {
    for compression in CODECS {
        assert_eq!(unpack(compression, &encoder(compression).finish(&[]).unwrap()), "", "{compression:?}");
    }
    let is_empty = |compression| encoder(compression).finish(&[]).unwrap().concat().is_empty();
    assert!(is_empty(JsonCompression::None) && is_empty(JsonCompression::HadoopSnappy));
    assert!(!is_empty(GZIP) && !is_empty(JsonCompression::Snappy));
}

#[test]
fn snappy_s_identifier_stands_at_the_begin_and_nowhere_else() {
    let mut encoder = encoder(JsonCompression::Snappy);
    for index in 0..20_000 {
        encoder.push(Row::of_payload(&record(index))).unwrap();
    }
    let chunks = encoder.finish(&[]).unwrap();
    assert!(chunks.len() > 3);
    let identified = |chunk: &Bytes| chunk.starts_with(b"\xff\x06\x00\x00sNaPpY");
    assert_eq!(chunks.iter().filter(|chunk| identified(chunk)).count(), 1);
    assert!(identified(&chunks[0]));
}

#[test]
fn a_file_with_few_records_holds_little_memory() {
    for compression in CODECS {
        let mut encoder = encoder(compression);
        encoder.push(Row::of_payload(&record(1))).unwrap();
        assert!(encoder.memory_bytes() < 1_024, "{}", encoder.memory_bytes());
    }
}

#[test]
fn memory_is_bounded_by_what_is_stored_and_one_block() {
    for compression in CODECS {
        let block = blocks::input_bytes(compression);
        let mut encoder = encoder(compression);
        for index in 0..50_000 {
            encoder.push(Row::of_payload(&record(index))).unwrap();
        }
        let bound = encoder.chunks_bytes + 3 * block as u64;
        assert!(encoder.memory_bytes() <= bound, "{} of {bound}", encoder.memory_bytes());
        let held = encoder.memory_bytes();
        assert!(encoder.take_finished().iter().map(|chunk| chunk.len() as u64).sum::<u64>() <= held);
        assert!(encoder.memory_bytes() <= 3 * block as u64);
        let huge = format!("\"{}\"", "x".repeat(20 * block));
        encoder.push(Row::of_payload(&huge)).unwrap();
        assert!(encoder.staged.memory_bytes() <= 2 * block, "{compression:?}");
    }
}

#[test]
fn the_stored_size_is_told_within_a_tenth() {
    for compression in CODECS {
        let mut encoder = encoder(compression);
        let mut index = 0;
        while encoder.stored_bytes() < 1 << 20 {
            encoder.push(Row::of_payload(&record(index))).unwrap();
            index += 1;
        }
        let told = encoder.stored_bytes() as f64;
        let stored = encoder.finish(&[]).unwrap().iter().map(Bytes::len).sum::<usize>() as f64;
        assert!((stored / told - 1.0).abs() < 0.1, "{compression:?}: told {told}, stored {stored}");
    }
}

#[test]
fn a_level_that_does_not_exist_is_an_error() {
    for level in [0, 13, 255] {
        let mut encoder = encoder(JsonCompression::Gzip { level });
        encoder.push(Row::of_payload("{}")).unwrap();
        let finished = encoder.finish(&[]);
        // Level 0 is libdeflate's name for "stored".
        assert_eq!(finished.is_err(), level != 0, "{level}");
    }
}

proptest! {
    #[test]
    fn raw_files_are_the_bytes_of_the_records_whatever_they_are(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40),
        newlines in prop::collection::vec(0_usize..40, 0..20),
        codec in 0..CODECS.len(),
        repeat in 1_usize..200,
    ) {
        let mut records = records;
        for at in newlines {
            if let Some(record) = records.get_mut(at) {
                record.extend_from_slice(b"\r\n");
            }
        }
        let compression = CODECS[codec];
        for (delimiter, behind) in [(Delimiter::Newline, &b"\n"[..]), (Delimiter::None, b"")] {
            let mut encoder = Box::new(LinesEncoder::new(RawFormat { compression, delimiter }));
            let (mut expected, mut chunks) = (Vec::new(), Vec::new());
            for record in records.iter().cycle().take(records.len() * repeat) {
                encoder.push(Row { payload: Payload::Bytes(record), ..Row::of_payload("") }).unwrap();
                expected.extend_from_slice(record);
                expected.extend_from_slice(behind);
                chunks.extend(encoder.take_finished());
            }
            chunks.extend(encoder.finish(&[]).unwrap());
            prop_assert!(unpack_bytes(compression, &chunks) == expected, "{compression:?} {delimiter:?}");
        }
    }
}
