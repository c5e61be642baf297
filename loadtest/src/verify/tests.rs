//! Lakes made by hand, each with one thing wrong.

mod columns;
mod manifest;
mod orc;

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::config::checked::{Format as FileFormat, JsonCompression, JsonFormat};
use forebay::delivery::encode;
use forebay::runtime::clock::UnixMicros;
use forebay::testkit::generators::{Generator, KeyPicker, Profile, Settings, envelope};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use self::manifest::manifest;
use super::*;
use crate::manifest::{Account, MANIFEST_VERSION};
use crate::ranges::RangeSet;

const RECORDS: usize = 3_000;

fn records(profile: Profile) -> Vec<String> {
    first_records(profile, RECORDS)
}

fn first_records(profile: Profile, count: usize) -> Vec<String> {
    // One key, so that every record has its place in the order.
    let keys = Arc::new(KeyPicker::new(1, 0.0).unwrap());
    let settings = Settings { profile, seed: 3, keys, record_bytes: 0 };
    let mut generator = Generator::new(&settings, &format!("{}/t/0", profile.name())).unwrap();
    let mut one = |index: usize| {
        let mut out = Vec::new();
        generator.append(UnixMicros(1_767_225_600_123_456 + index as i64 * 1_000), &mut out);
        String::from_utf8(out).unwrap()
    };
    (0..count).map(&mut one).collect()
}

/// One file with as many gzip members as there are parts.
fn gzip(parts: &[&[String]]) -> Vec<u8> {
    let mut file = Vec::new();
    for part in parts {
        let mut encoder = GzEncoder::new(file, Compression::fast());
        part.iter().for_each(|record| writeln!(encoder, "{record}").unwrap());
        file = encoder.finish().unwrap();
    }
    file
}

fn put(lake: &TempDir, name: &str, content: &[u8]) {
    let path = lake.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn judge_with(lake: &Path, manifests: Vec<Manifest>, key: KeyRule) -> Verdict {
    let plan = Plan {
        lakes: vec![lake.to_str().unwrap().to_owned()],
        options: vec![],
        manifests,
        key,
        errors_folder: "errors".into(),
        jobs: 3,
    };
    verify(&plan, &mut |_| {}).unwrap().remove(0)
}

fn judge(lake: &TempDir) -> Verdict {
    judge_with(lake.path(), vec![], KeyRule::Profile)
}

/// Missing, duplicated, reordered, damaged.
fn counts(verdict: &Verdict) -> [u64; 4] {
    [verdict.missing, verdict.duplicated, verdict.reordered, verdict.damaged]
}

fn lake() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn column(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn structure(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(column("element", of)))
}

fn text_map() -> DataType {
    let entries = structure(vec![Field::new("key", DataType::Utf8, false), column("value", DataType::Utf8)]);
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// The columns that one would declare for a profile, with the narrowest types that hold its values.
fn columns(profile: Profile) -> Vec<Field> {
    use DataType::{Decimal128, Float32, Float64, Int16, Int32, Int64, UInt8, Utf8};
    let text = |name| column(name, Utf8);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let mut columns = vec![text("producer"), column("sequence", Int64), text("hash")];
    columns.extend(match profile {
        Profile::Clickstream => {
            let screen = structure(vec![column("width", Int32), column("height", Int16)]);
            let device = structure(vec![text("type"), text("os"), column("screen", screen)]);
            vec![
                text("event_id"),
                column("timestamp", millis),
                text("client_ip"),
                text("session_id"),
                column("user_id", Int64),
                text("event_type"),
                text("url"),
                text("referrer"),
                text("user_agent"),
                column("device", device),
                column("properties", list(structure(vec![text("name"), text("value")]))),
                column("price", Decimal128(12, 4)),
            ]
        }
        Profile::Iot => vec![
            text("device_id"),
            column("timestamp", Int64),
            text("site"),
            text("model"),
            column("temperature", Float32),
            column("humidity", Float64),
            column("battery", UInt8),
            column("location", structure(vec![column("lat", Float32), column("lon", Float32)])),
            text("status"),
            column("readings", list(Float32)),
            text("firmware"),
        ],
        Profile::Telemetry => {
            let http = structure(vec![text("method"), text("route"), column("status", Int32)]);
            vec![
                text("service"),
                text("host"),
                column("timestamp", micros),
                text("level"),
                text("trace_id"),
                text("span_id"),
                text("message"),
                column("duration_ms", Float64),
                column("http", http),
                column("labels", text_map()),
            ]
        }
    });
    columns
}

fn parquet(columns: Vec<Field>, records: &[String]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(columns));
    let text = records.join("\n");
    let reader = arrow_json::ReaderBuilder::new(Arc::clone(&schema)).build(Cursor::new(text)).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(ParquetCompression::SNAPPY)
        .set_max_row_group_row_count(Some(400))
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties)).unwrap();
    for batch in reader {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
    file
}

#[test]
fn a_whole_lake_of_gzip_with_several_members_is_ok() {
    for profile in Profile::ALL {
        let (lake, made) = (lake(), records(profile));
        put(&lake, "a/b/1.json.gz", &gzip(&[&made[..500], &made[500..700]]));
        put(&lake, "a/2.json", made[700..].join("\n").as_bytes());
        put(&lake, "a/_SUCCESS", b"");
        let verdict = judge(&lake);
        assert!(verdict.ok, "{verdict}");
        assert_eq!((verdict.records, verdict.expected, verdict.objects), (3_000, 3_000, 2));
        assert_eq!((verdict.ignored.count, verdict.hash_unchecked, verdict.order_unchecked), (1, 0, 0));
    }
}

#[test]
fn lines_of_every_codec_are_read_alone_and_in_envelopes() {
    let made = records(Profile::Clickstream);
    let codecs = [
        JsonCompression::None,
        JsonCompression::Gzip { level: 1 },
        JsonCompression::Zstd { level: 1 },
        JsonCompression::Snappy,
        JsonCompression::HadoopSnappy,
    ];
    for (compression, envelope) in codecs.into_iter().flat_map(|codec| [(codec, false), (codec, true)]) {
        let lake = lake();
        let format = FileFormat::Json(JsonFormat { compression, envelope });
        let mut encoder = encode::open(&format);
        for record in &made {
            encoder.push(encode::Row::of_payload(record)).unwrap();
        }
        put(&lake, &format!("1{}", format.extension()), &encoder.finish(&[]).unwrap().concat());
        let verdict = judge(&lake);
        assert!(verdict.ok, "{compression:?}: {verdict}");
        assert_eq!((verdict.records, verdict.expected), (3_000, 3_000));
    }
}

#[test]
fn a_record_that_is_not_there_is_missing() {
    for profile in Profile::ALL {
        let mut made = first_records(profile, 900);
        made.drain(800..810);
        made.remove(7);
        for (name, content) in
            [("1.json.gz", gzip(&[&made])), ("1.parquet", parquet(columns(profile), &made))]
        {
            let lake = lake();
            put(&lake, name, &content);
            let verdict = judge(&lake);
            assert_eq!(counts(&verdict), [11, 0, 0, 0], "{verdict}");
            let gaps: Vec<_> = verdict.findings.iter().filter_map(|finding| finding.sequences).collect();
            assert_eq!(gaps, [(7, 7), (800, 809)]);
        }
    }
}

#[test]
fn a_record_that_is_there_twice_is_a_duplicate_also_across_formats_and_dead_letters() {
    let (lake, made) = (lake(), records(Profile::Iot));
    put(&lake, "1.json.gz", &gzip(&[&made[..2_000], &made[1_999..2_000]]));
    put(&lake, "2.parquet", &parquet(columns(Profile::Iot), &made[1_990..]));
    let raw = STANDARD.encode(&made[0]);
    put(&lake, "errors/x/3.json.gz", &gzip(&[&[format!("{{\"reason\":\"schema\",\"raw\":\"{raw}\"}}")]]));
    let verdict = judge(&lake);
    assert_eq!(counts(&verdict), [0, 12, 0, 0], "{verdict}");
}

#[test]
fn a_record_behind_a_later_one_of_its_key_is_reordered() {
    let mut made = first_records(Profile::Telemetry, 900);
    made.swap(10, 11);
    let last = made.remove(20);
    made.push(last);
    for (name, content) in
        [("1.json.gz", gzip(&[&made])), ("1.parquet", parquet(columns(Profile::Telemetry), &made))]
    {
        let lake = lake();
        put(&lake, name, &content);
        assert_eq!(counts(&judge(&lake)), [0, 0, 2, 0]);
        // With keys that spread the records, there is no order to keep.
        let verdict = judge_with(lake.path(), vec![], KeyRule::parse("/span_id").unwrap());
        assert_eq!(counts(&verdict), [0; 4], "{verdict}");
        let verdict = judge_with(lake.path(), vec![], KeyRule::Nowhere);
        assert_eq!((counts(&verdict), verdict.order_unchecked), ([0; 4], 900));
    }
}

#[test]
fn files_are_not_compared_with_each_other() {
    let (lake, made) = (lake(), records(Profile::Iot));
    put(&lake, "1.json.gz", &gzip(&[&made[1_000..]]));
    put(&lake, "2.json.gz", &gzip(&[&made[..1_000]]));
    assert!(judge(&lake).ok);
}

#[test]
fn what_cannot_be_read_is_damaged_and_what_it_held_is_missing() {
    let made = records(Profile::Iot);
    let cut = |mut file: Vec<u8>| {
        file.truncate(file.len() / 2);
        file
    };
    for (name, content) in [
        ("2.json.gz", cut(gzip(&[&made[1_000..2_000]]))),
        ("2.parquet", cut(parquet(columns(Profile::Iot), &made[1_000..2_000]))),
        ("2.json", b"{\"producer\":".to_vec()),
        ("2.json", b"[1]\n".to_vec()),
    ] {
        let lake = lake();
        put(&lake, "1.json.gz", &gzip(&[&made[..1_000], &made[2_000..]]));
        put(&lake, name, &content);
        let verdict = judge(&lake);
        assert_eq!(verdict.damaged, 1, "{name}: {verdict}");
        assert!(verdict.missing > 0 && verdict.missing <= 1_000 && !verdict.ok);
    }
}

#[test]
fn dead_letters_count_as_there_and_those_of_others_as_foreign() {
    let (lake, made) = (lake(), records(Profile::Clickstream));
    put(&lake, "1.json.gz", &gzip(&[&made[..2_998]]));
    let letter = |raw: &str, reason: &str| {
        format!("{{\"reason\":\"{reason}\",\"attempts\":1,\"raw\":\"{}\"}}", STANDARD.encode(raw))
    };
    let firehose = |raw: &str, code: &str| {
        format!("{{\"attemptsMade\":1,\"{code}\":\"column\",\"rawData\":\"{}\"}}", STANDARD.encode(raw))
    };
    let letters = [
        firehose(&made[2_999], "lastErrorCode"),
        letter(&format!("{}\n", made[2_998]), "column"),
        letter("not json", "syntax"),
        letter("{\"user\":1}", "schema"),
    ];
    put(&lake, "errors/y=1/2.json.gz", &gzip(&[&letters]));
    let verdict = judge(&lake);
    assert!(verdict.ok, "{verdict}");
    assert_eq!((verdict.records, verdict.dead_lettered, verdict.foreign), (2_998, 2, 2));
    assert_eq!([verdict.dead_letter_reasons["schema"], verdict.dead_letter_reasons["column"]], [1, 2]);
    let damaged =
        [letter(&made[2_999].replacen("event_id\":\"", "event_id\":\"x", 1), "schema"), "{}".into()];
    put(&lake, "errors/y=1/3.json.gz", &gzip(&[&damaged]));
    assert_eq!(judge(&lake).damaged, 2);
}

#[test]
fn replayed_objects_are_checked_byte_by_byte_where_bytes_are_kept() {
    let wrap = |sequence: u64, members: &str| {
        let mut out = Vec::new();
        envelope::wrap(&mut out, "replay/t/0", sequence, members);
        String::from_utf8(out).unwrap()
    };
    let members = |sequence: u64| format!("\"n\": {sequence}.0, \"host\":\"h{}\"", sequence % 2);
    let made: Vec<_> = (0..10).map(|sequence| wrap(sequence, &members(sequence))).collect();
    let whole = lake();
    put(&whole, "1.json.gz", &gzip(&[&made]));
    assert!(judge(&whole).ok);
    let mut swapped = made.clone();
    swapped.swap(2, 4);
    swapped[9] = swapped[9].replace("9.0", "9");
    put(&whole, "1.json.gz", &gzip(&[&swapped]));
    let verdict = judge_with(whole.path(), vec![], KeyRule::parse("/host").unwrap());
    // The last one is damaged, and without a manifest nobody knows that there was one.
    assert_eq!(counts(&verdict), [0, 0, 1, 1], "{verdict}");

    let typed = lake();
    let kept = vec![
        column("producer", DataType::Utf8),
        column("sequence", DataType::Int64),
        column("hash", DataType::Utf8),
        column("host", DataType::Utf8),
    ];
    put(&typed, "1.parquet", &parquet(kept, &made));
    let verdict = judge(&typed);
    assert!(verdict.ok && verdict.hash_unchecked == 10, "{verdict}");
}

#[test]
fn an_empty_lake_proves_nothing_unless_nothing_has_to_be_there() {
    let lake = lake();
    assert!(!judge(&lake).ok);
    assert!(judge_with(lake.path(), vec![manifest(&[], &[], &[(0, 9)])], KeyRule::Profile).ok);
    let verdict = judge_with(lake.path(), vec![manifest(&[(0, 9)], &[], &[])], KeyRule::Profile);
    assert_eq!(counts(&verdict), [10, 0, 0, 0]);
}

#[test]
fn a_huge_sequence_costs_no_memory() {
    let lake = lake();
    let mut record = Vec::new();
    envelope::wrap(&mut record, "replay/t/0", 1 << 60, "");
    put(&lake, "1.json", &record);
    let verdict = judge_with(lake.path(), vec![manifest(&[], &[], &[])], KeyRule::Profile);
    assert!(verdict.ok, "{verdict}");
}

#[test]
fn each_lake_is_judged_alone() {
    let (one, other, made) = (lake(), lake(), records(Profile::Iot));
    put(&one, "1.json.gz", &gzip(&[&made]));
    put(&other, "1.parquet", &parquet(columns(Profile::Iot), &made[..2_000]));
    let place = |lake: &TempDir| lake.path().to_str().unwrap().to_owned();
    let plan = Plan {
        lakes: vec![place(&one), format!("file://{}", place(&other))],
        options: vec![],
        manifests: vec![manifest(&[(0, 2_999)], &[], &[])],
        key: KeyRule::Profile,
        errors_folder: "errors".into(),
        jobs: 1,
    };
    let verdicts = verify(&plan, &mut |_| {}).unwrap();
    assert_eq!(verdicts.iter().map(counts).collect::<Vec<_>>(), [[0; 4], [1_000, 0, 0, 0]]);
    let absent = Plan { lakes: vec!["/no/such/folder".into()], ..plan };
    assert!(matches!(verify(&absent, &mut |_| {}), Err(VerifyError::Lake(LakeError::Url { .. }))));
}
