//! Read by a library that shares no code with ours or with ORC's own: orc-rust. It uses another version of Arrow, so
//! values are compared as Arrow prints them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_59::array::{AsArray as _, RecordBatch as FoundBatch};
use arrow_59::datatypes::TimestampNanosecondType as FoundNanoseconds;
use arrow_59::util::display::{ArrayFormatter as FoundFormatter, FormatOptions as FoundOptions};
use bytes::Bytes;
use forebay::config::checked::{Format, OrcCompression, OrcFormat};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::delivery::encode::{self, Row};
use orc_rust::ArrowReaderBuilder;

use crate::records::{PATTERNS, columns, record};

/// Times inside of others keep the name of their zone, which Arrow does not print.
const WITH_TIMES_INSIDE: &str = "visits";

const CODECS: [OrcCompression; 5] = [
    OrcCompression::None,
    OrcCompression::Zlib { level: 6 },
    OrcCompression::Snappy,
    OrcCompression::Lz4,
    OrcCompression::Zstd { level: 3 },
];

fn without_zone(array: &ArrayRef) -> ArrayRef {
    macro_rules! times {
        ($of:ty) => {
            Arc::new(array.as_primitive::<$of>().clone().with_timezone_opt(None::<&str>))
        };
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => times!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => times!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => times!(TimestampNanosecondType),
        _ => Arc::clone(array),
    }
}

/// The values of each column, one behind the other.
fn printed(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("null");
    let width = batches.first().map_or(0, RecordBatch::num_columns);
    let column = |index: usize| {
        let of_batch = |batch: &RecordBatch| {
            let array = without_zone(batch.column(index));
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
    let columns = columns(&PATTERNS);
    let format = OrcFormat {
        stripe_bytes: 1 << 20,
        row_index_stride: 1_000,
        ..OrcFormat::new(compression, Arc::clone(&columns))
    };
    let (mut encoder, mut expected) = (encode::open(&Format::Orc(format)), RecordColumns::new(&columns));
    for row in 0..rows {
        let record = record(row, &PATTERNS);
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
    // Columns whose values can be printed, by their places.
    let is_printed = |place: &usize| !columns.as_slice()[*place].name.starts_with(WITH_TIMES_INSIDE);
    let places: Vec<_> = (0..columns.as_slice().len()).filter(is_printed).collect();
    let wanted = printed(&[expected.project(&places).unwrap()]);
    let found: Vec<_> = found.iter().map(|batch| batch.project(&places).unwrap()).collect();
    let found = printed_as_found(&found);
    assert_eq!(found.len(), wanted.len());
    let columns = places.iter().map(|place| &columns.as_slice()[*place]);
    for ((column, wanted), found) in columns.zip(&wanted).zip(&found) {
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
