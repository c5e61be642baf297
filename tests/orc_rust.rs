//! ORC files read by a library that shares no code with ours or with ORC's own: orc-rust. It uses another version of
//! Arrow, so values are compared as Arrow prints them.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_59::array::{AsArray as _, RecordBatch as FoundBatch};
use arrow_59::datatypes::TimestampNanosecondType as FoundNanoseconds;
use arrow_59::util::display::{ArrayFormatter as FoundFormatter, FormatOptions as FoundOptions};
use bytes::Bytes;
use forebay::config::checked::{Format, OrcCompression, OrcFormat};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::delivery::encode::{self, Row};
use forebay::schema::columns::{ColumnDeclaration, Columns};
use orc_rust::ArrowReaderBuilder;

/// A column and its value in a row, as JSON. Unsigned columns are not here: ORC has none, so they are read as others.
type Kind = (&'static str, &'static str, fn(u64) -> String);

const KINDS: [Kind; 18] = [
    ("flag", "bool", |n| (n % 3 == 0).to_string()),
    ("i8", "int8", |n| (n as i8).to_string()),
    ("i16", "int16", |n| (n as i16 >> (n % 16)).to_string()),
    ("i32", "int32", |n| (n as i32 >> (n % 32)).to_string()),
    ("i64", "int64", |n| (n as i64 >> (n % 64)).to_string()),
    ("counter", "int64", |n| (n % 5).to_string()),
    ("f32", "float32", |n| format!("{}.5", n as i16)),
    ("f64", "float64", |n| format!("{}e-3", n as i32)),
    ("dec9", "decimal(9, 2)", |n| format!("{}.{:02}", n as i16, n % 100)),
    ("dec38", "decimal(38, 10)", |n| format!("{}{:012}.{}", n as i64 >> 10, n >> 25, n % 1_000)),
    ("text", "string", |n| format!("\"größe {}\"", n % 5_000_011)),
    ("word", "string", |n| format!("\"word{}\"", n % 37)),
    ("bytes", "binary", |n| format!("\"{:08x}\"", n as u32)),
    ("day", "date", |n| format!("\"{:04}-{:02}-{:02}\"", 1 + n % 9_999, 1 + n % 12, 1 + n % 28)),
    ("at", "timestamp_nanos", |n| ((n % 4_000_000_000_000_000_000) as i64).to_string()),
    ("tags", "list<string>", |n| match n % 4 {
        0 => "[]".to_owned(),
        1 => "[null]".to_owned(),
        _ => format!("[\"a{}\",null,\"b\"]", n % 99),
    }),
    ("attrs", "map<string, int64>", |n| match n % 4 {
        0 => "{}".to_owned(),
        _ => format!("{{\"k{}\":{},\"none\":null}}", n % 3, n as i32),
    }),
    ("place", "struct<lat: float64, on: date, inner: struct<x: int8, flag: bool>>", |n| match n % 3 {
        0 => "{}".to_owned(),
        1 => format!("{{\"on\":\"2024-02-29\",\"inner\":{{\"flag\":{}}}}}", n % 7 == 0),
        _ => format!("{{\"lat\":{}.25,\"inner\":{{\"x\":{},\"flag\":null}}}}", n as i32, n as i8),
    }),
];

/// How many rows of ten have a value in the columns of each kind.
const PATTERNS: [(&str, u64); 4] = [("all", 10), ("most", 7), ("few", 1), ("none", 0)];

const CODECS: [OrcCompression; 5] = [
    OrcCompression::None,
    OrcCompression::Zlib { level: 6 },
    OrcCompression::Snappy,
    OrcCompression::Lz4,
    OrcCompression::Zstd { level: 3 },
];

fn noise(index: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn columns() -> Arc<Columns> {
    let of_kind = |(name, type_text, _): &Kind| {
        PATTERNS.map(|(pattern, _)| ColumnDeclaration::new(format!("{name}_{pattern}"), *type_text, true))
    };
    let declared: Vec<_> = KINDS.iter().flat_map(of_kind).collect();
    Arc::new(Columns::declared(&declared).unwrap())
}

fn record(row: u64) -> String {
    let mut record = format!(r#"{{"row":{row}"#);
    for (place, (name, _, value)) in KINDS.iter().enumerate() {
        for (pattern, of_ten) in PATTERNS {
            let number = noise(row * 31 + place as u64);
            if noise(number) % 10 < of_ten {
                write!(record, r#","{name}_{pattern}":{}"#, value(number)).unwrap();
            }
        }
    }
    record + "}"
}

/// The values of each column, one behind the other.
fn printed(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("null");
    let width = batches.first().map_or(0, RecordBatch::num_columns);
    let column = |index: usize| {
        let of_batch = |batch: &RecordBatch| {
            // Without the names of zones, which Arrow's printing does not know.
            let array = match batch.column(index).as_primitive_opt::<TimestampNanosecondType>() {
                Some(times) => Arc::new(times.clone().with_timezone_opt(None::<&str>)),
                None => Arc::clone(batch.column(index)),
            };
            let shown = ArrayFormatter::try_new(&array, &options).unwrap();
            (0..batch.num_rows()).map(|row| shown.value(row).to_string()).collect::<Vec<_>>()
        };
        batches.iter().flat_map(of_batch).collect()
    };
    (0..width).map(column).collect()
}

fn printed_as_found(batches: &[FoundBatch]) -> Vec<Vec<String>> {
    let options = FoundOptions::new().with_null("null");
    let width = batches.first().map_or(0, FoundBatch::num_columns);
    let column = |index: usize| {
        let of_batch = |batch: &FoundBatch| {
            let array = match batch.column(index).as_primitive_opt::<FoundNanoseconds>() {
                Some(times) => Arc::new(times.clone().with_timezone_opt(None::<&str>)),
                None => Arc::clone(batch.column(index)),
            };
            let shown = FoundFormatter::try_new(&array, &options).unwrap();
            (0..batch.num_rows()).map(|row| shown.value(row).to_string()).collect::<Vec<_>>()
        };
        batches.iter().flat_map(of_batch).collect()
    };
    (0..width).map(column).collect()
}

/// Writes `rows` records, several stripes of them where there are many, and reads them back.
fn check(compression: OrcCompression, rows: u64) {
    let columns = columns();
    let format = OrcFormat {
        stripe_bytes: 1 << 20,
        row_index_stride: 1_000,
        ..OrcFormat::new(compression, Arc::clone(&columns))
    };
    let (mut encoder, mut expected) = (encode::open(&Format::Orc(format)), RecordColumns::new(&columns));
    for row in 0..rows {
        let record = record(row);
        encoder.push(Row::of_payload(&record)).unwrap();
        expected.push(&record).unwrap();
    }
    let expected = expected.take_batch().unwrap();
    let file = Bytes::from(encoder.finish(&[]).unwrap().concat());
    let reader = ArrowReaderBuilder::try_new(file).unwrap().build();
    let found: Vec<FoundBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|batch| batch.num_rows() as u64).sum::<u64>(), rows);
    if rows == 0 {
        return;
    }
    let (wanted, found) = (printed(std::slice::from_ref(&expected)), printed_as_found(&found));
    assert_eq!(found.len(), wanted.len());
    for ((column, wanted), found) in columns.as_slice().iter().zip(&wanted).zip(&found) {
        let differs = wanted.iter().zip(found).position(|(wanted, found)| wanted != found);
        if let Some(row) = differs {
            panic!("{compression:?}, {}, row {row}: {}, expected {}", column.name, found[row], wanted[row]);
        }
    }
}

#[test]
fn orc_rust_reads_every_value_of_every_codec() {
    for compression in CODECS {
        check(compression, 3_001);
    }
}

#[test]
fn orc_rust_reads_files_of_many_stripes_and_files_of_no_record() {
    check(OrcCompression::Snappy, 15_000);
    check(OrcCompression::Zstd { level: 1 }, 0);
    check(OrcCompression::None, 1);
}
