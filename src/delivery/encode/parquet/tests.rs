mod layout;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::Compression;
use ::parquet::file::metadata::ParquetMetaData;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;

use super::*;
use crate::delivery::encode::columnar::{BATCH_BYTES_MAX, BATCH_CELLS_MAX};
use crate::delivery::encode::columns::RecordColumns;
use crate::delivery::encode::{Encoder, PushError, Row};
use crate::schema::columns::{ColumnDeclaration, Columns};

fn columns(declarations: &[(&str, &str)]) -> Arc<Columns> {
    let declaration = |(name, type_text): &(&str, &str)| ColumnDeclaration::new(*name, *type_text, true);
    Arc::new(Columns::declared(&declarations.iter().map(declaration).collect::<Vec<_>>()).unwrap())
}

fn encoder(columns: &Arc<Columns>, compression: ParquetCompression) -> Box<ParquetEncoder> {
    Box::new(ParquetWriter::encoder(ParquetFormat::new(compression, Arc::clone(columns))))
}

fn read(chunks: &[Bytes]) -> (ParquetMetaData, Vec<RecordBatch>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(chunks.concat())).unwrap();
    let metadata = ParquetMetaData::clone(reader.metadata());
    (metadata, reader.build().unwrap().map(Result::unwrap).collect())
}

fn size(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

const ROW_GROUP_BYTES: u64 = ParquetFormat::ROW_GROUP_BYTES_DEFAULT;

/// Numbers that look like noise.
fn noise(index: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn event_columns() -> Arc<Columns> {
    columns(&[
        ("id", "int64"),
        ("at", "timestamp_micros"),
        ("path", "string"),
        ("agent", "string"),
        ("status", "int32"),
        ("took", "float64"),
        ("tags", "list<string>"),
    ])
}

fn event(index: u64) -> String {
    let noise = noise(index);
    format!(
        concat!(
            r#"{{"id":{},"at":{},"path":"/item/{}/{:x}","agent":"Mozilla/5.0 (X11; Linux x86_64; rv:{}.0)","#,
            r#""status":{},"took":0.{},"tags":["a","{}"]}}"#
        ),
        index,
        1_700_000_000_000_000 + index * 1_234 + noise % 1_000,
        noise % 50,
        noise >> 20,
        100 + noise % 20,
        200 + noise % 5,
        noise % 100_000,
        noise % 9,
    )
}

#[test]
fn a_file_is_read_back_as_it_was_written() {
    let columns = columns(&[
        ("id", "int64"),
        ("price", "decimal(12, 2)"),
        ("at", "timestamp_nanos"),
        ("tags", "list<struct<name: string, weight: float32>>"),
        ("attrs", "map<string, list<uint64>>"),
        ("raw", "json"),
    ]);
    for compression in [ParquetCompression::None, ParquetCompression::Snappy] {
        let mut encoder = encoder(&columns, compression);
        let mut expected = RecordColumns::new(&columns);
        // More than two batches and more than one page.
        for index in 0..25_000_i64 {
            let record = match index % 4 {
                0 => format!(r#"{{"id":{index},"price":{index}.25,"at":"1969-12-31T23:59:59.{index:09}Z"}}"#),
                1 => format!(
                    r#"{{"tags":[{{"name":"größe {index}","weight":1.5}},null],"attrs":{{"a":[{index},null],"b":null}}}}"#
                ),
                2 => format!(r#"{{"id":-{index},"tags":[],"attrs":{{}},"raw":{{"x":[{index}]}}}}"#),
                _ => "{}".to_owned(),
            };
            encoder.push(Row::of_payload(&record)).unwrap();
            expected.push(&record).unwrap();
        }
        let (metadata, batches) = read(&encoder.finish(&[]).unwrap());
        assert_eq!(metadata.file_metadata().num_rows(), 25_000);
        let found = concat_batches(&batches[0].schema(), &batches).unwrap();
        let expected = expected.take_batch().unwrap();
        assert_eq!(found.schema().fields().len(), expected.num_columns());
        for (found, expected) in found.columns().iter().zip(expected.columns()) {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_file_says_who_wrote_it_and_what_it_was_given() {
    let mut encoder = encoder(&event_columns(), ParquetCompression::Snappy);
    encoder.push(Row::of_payload(&event(1))).unwrap();
    let (metadata, _) =
        read(&encoder.finish(&[("forebay.stream".to_owned(), "clickstream".to_owned())]).unwrap());
    let file = metadata.file_metadata();
    assert!(file.created_by().unwrap().starts_with("forebay version "));
    let pairs = file.key_value_metadata().unwrap();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].key, "forebay.stream");
    assert_eq!(pairs[0].value.as_deref(), Some("clickstream"));
    let chunk = metadata.row_group(0).column(0);
    assert_eq!(chunk.compression(), Compression::SNAPPY);
    assert!(chunk.statistics().is_some());
}

#[test]
fn a_file_without_records_is_a_file_without_rows() {
    let (metadata, batches) =
        read(&encoder(&event_columns(), ParquetCompression::Snappy).finish(&[]).unwrap());
    assert_eq!((metadata.file_metadata().num_rows(), batches.len()), (0, 0));
    assert_eq!(metadata.file_metadata().schema_descr().num_columns(), 7);
}

#[test]
fn a_record_that_does_not_fit_leaves_its_neighbours_alone() {
    let columns = columns(&[("id", "int64"), ("tags", "list<string>")]);
    let mut encoder = encoder(&columns, ParquetCompression::Snappy);
    for index in 0..20_000 {
        let fits = index % 100 != 7;
        let record = format!(r#"{{"id":{index},"tags":["a",{}]}}"#, if fits { "\"b\"" } else { "1" });
        match encoder.push(Row::of_payload(&record)) {
            Ok(_) => assert!(fits, "{record}"),
            Err(PushError::Misfit(misfit)) => assert_eq!((fits, misfit.pointer.as_str()), (false, "/tags/1")),
            Err(PushError::Encode(error)) => panic!("{error}"),
        }
    }
    let (_, batches) = read(&encoder.finish(&[]).unwrap());
    let ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(ids, (0..20_000).filter(|index| index % 100 != 7).collect::<Vec<_>>());
}

/// Stored size over what was told when a file reached `bound`.
fn stored_over_told(compression: ParquetCompression, bound: u64) -> f64 {
    let mut encoder = encoder(&event_columns(), compression);
    let mut index = 0;
    while encoder.stored_bytes() < bound {
        encoder.push(Row::of_payload(&event(index))).unwrap();
        index += 1;
    }
    let told = encoder.stored_bytes();
    size(&encoder.finish(&[]).unwrap()) as f64 / told as f64
}

#[test]
fn the_stored_size_is_told_within_a_tenth_from_4_mib_on() {
    for bound in [4 << 20, 20 << 20] {
        let share = stored_over_told(ParquetCompression::Snappy, bound);
        assert!((0.9..1.1).contains(&share), "{share:.2} of what was told for {bound} bytes");
    }
}

#[test]
fn the_stored_size_is_told_within_a_tenth_whatever_the_codec() {
    for compression in [
        ParquetCompression::None,
        ParquetCompression::Lz4,
        ParquetCompression::Gzip { level: 6 },
        ParquetCompression::Zstd { level: 1 },
        ParquetCompression::Zstd { level: 9 },
    ] {
        let share = stored_over_told(compression, 4 << 20);
        assert!((0.9..1.1).contains(&share), "{share:.2} of what was told with {compression:?}");
    }
}

#[test]
fn a_small_file_is_told_too_large_rather_than_too_small() {
    for bound in [128 << 10, 512 << 10, 1 << 20, 2 << 20] {
        let share = stored_over_told(ParquetCompression::Snappy, bound);
        assert!((0.4..1.1).contains(&share), "{share:.2} of what was told for {bound} bytes");
    }
}

#[test]
fn memory_and_row_groups_stay_within_their_bounds() {
    let mut encoder = encoder(&event_columns(), ParquetCompression::None);
    let mut open = 0;
    for index in 0..600_000 {
        encoder.push(Row::of_payload(&event(index))).unwrap();
        if index % 1_024 == 0 {
            let finished = encoder.writer().writer.as_ref().map_or(0, |writer| writer.bytes_written() as u64);
            open = open.max(encoder.memory_bytes().saturating_sub(finished));
        }
    }
    let bound = 2 * ROW_GROUP_BYTES + 8 * BATCH_BYTES_MAX as u64;
    assert!(open < bound, "{open} of {bound}");
    let chunks = encoder.finish(&[]).unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
    let (metadata, _) = read(&chunks);
    assert!(metadata.num_row_groups() >= 2, "{} row groups", metadata.num_row_groups());
    for group in metadata.row_groups() {
        assert!(group.compressed_size() < (ROW_GROUP_BYTES as usize + 2 * BATCH_BYTES_MAX) as i64);
    }
}

#[test]
fn tiny_records_of_many_columns_do_not_pile_up() {
    let names: Vec<_> = (0..2_000).map(|index| format!("c{index}")).collect();
    let declared: Vec<_> = names.iter().map(|name| (name.as_str(), "int64")).collect();
    let mut encoder = encoder(&columns(&declared), ParquetCompression::Snappy);
    for _ in 0..2_000 {
        encoder.push(Row::of_payload("{}")).unwrap();
    }
    let (rows, cells) = encoder.rows_and_cells();
    assert!(cells < BATCH_CELLS_MAX && rows < 2_000);
    assert_eq!(read(&encoder.finish(&[]).unwrap()).0.file_metadata().num_rows(), 2_000);
}

#[test]
fn an_open_file_with_one_record_holds_little_memory() {
    let mut encoder = encoder(&event_columns(), ParquetCompression::Snappy);
    encoder.push(Row::of_payload(&event(1))).unwrap();
    assert!(encoder.memory_bytes() < 4_096, "{}", encoder.memory_bytes());
    assert!(encoder.stored_bytes() > 0);
}
