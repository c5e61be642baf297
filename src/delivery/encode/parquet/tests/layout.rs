//! What readers skip rows by: order, filters, statistics, page index.

use ::parquet::data_type::AsBytes;
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use ::parquet::file::page_index::column_index::ColumnIndexMetaData;
use ::parquet::file::properties::ReaderProperties;
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use ::parquet::file::statistics::Statistics;
use arrow::array::Array;
use arrow::datatypes::TimestampMicrosecondType;

use super::*;
use crate::config::checked::SortColumn;

fn format(columns: &Arc<Columns>) -> ParquetFormat {
    ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(columns))
}

fn written(format: ParquetFormat, records: impl IntoIterator<Item = String>) -> Bytes {
    let mut encoder = Box::new(ParquetWriter::encoder(format));
    for record in records {
        encoder.push(Row::of_payload(&record)).unwrap();
    }
    Bytes::from(encoder.finish(&[]).unwrap().concat())
}

fn sort_by(texts: &[&str]) -> Vec<SortColumn> {
    texts.iter().map(|text| SortColumn::parse(text)).collect()
}

#[test]
fn each_codec_is_the_one_that_the_file_tells_and_all_hold_the_same() {
    let codecs = [
        (ParquetCompression::None, Compression::UNCOMPRESSED),
        (ParquetCompression::Snappy, Compression::SNAPPY),
        (ParquetCompression::Lz4, Compression::LZ4_RAW),
        (ParquetCompression::Gzip { level: 1 }, Compression::GZIP(Default::default())),
        (ParquetCompression::Gzip { level: 9 }, Compression::GZIP(Default::default())),
        (ParquetCompression::Zstd { level: 1 }, Compression::ZSTD(Default::default())),
        (ParquetCompression::Zstd { level: 22 }, Compression::ZSTD(Default::default())),
    ];
    let mut expected = None;
    for (compression, name) in codecs {
        let format = ParquetFormat { compression, ..format(&event_columns()) };
        let file = written(format, (0..3_000).map(event));
        let (metadata, batches) = read(&[file]);
        let chunk = metadata.row_group(0).column(2);
        assert_eq!(std::mem::discriminant(&chunk.compression()), std::mem::discriminant(&name));
        let found = concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(expected.get_or_insert_with(|| found.clone()), &found, "{compression:?}");
    }
}

#[test]
fn rows_are_sorted_within_each_row_group_and_the_file_says_so() {
    let columns = columns(&[
        ("tags", "list<string>"),
        ("pos", "struct<x: int8, y: int8>"),
        ("name", "string"),
        ("at", "timestamp_micros"),
        ("id", "int64"),
    ]);
    let records = (0..40_000).map(|index| {
        let noise = noise(index);
        let name = if noise.is_multiple_of(11) { "null".to_owned() } else { format!("\"n{}\"", noise % 97) };
        format!(
            r#"{{"id":{index},"name":{name},"at":{},"tags":["{:x}"],"pos":{{"x":1}}}}"#,
            noise % 50,
            noise >> 3
        )
    });
    let format = ParquetFormat {
        sort_by: sort_by(&["-name", "gone", "at"]),
        row_group_bytes: 256 << 10,
        ..format(&columns)
    };
    let (metadata, batches) = read(&[written(format, records)]);
    assert!(metadata.num_row_groups() > 1, "{} row groups", metadata.num_row_groups());
    for group in metadata.row_groups() {
        let sorting = group.sorting_columns().unwrap();
        let sorting: Vec<_> =
            sorting.iter().map(|by| (by.column_idx, by.descending, by.nulls_first)).collect();
        assert_eq!(sorting, [(3, true, false), (4, false, false)], "places among scalar columns");
    }
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(all.num_rows(), 40_000);
    let (names, ids) = (all.column(2).as_string::<i32>(), all.column(4).as_primitive::<Int64Type>());
    let times = all.column(3).as_primitive::<TimestampMicrosecondType>();
    let mut begin = 0;
    for group in metadata.row_groups() {
        let end = begin + group.num_rows() as usize;
        // Nulls come last, and what is equal keeps the order of the stream.
        let key = |row: usize| {
            let name = names.is_valid(row).then(|| names.value(row));
            (name.is_none(), std::cmp::Reverse(name), times.value(row), ids.value(row))
        };
        assert!((begin..end).is_sorted_by_key(key), "rows {begin} to {end}");
        begin = end;
    }
    let mut ids = ids.values().to_vec();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..40_000), "each row is there once");
}

#[test]
fn rows_that_wait_to_be_sorted_have_a_bound_and_are_told() {
    let format =
        ParquetFormat { sort_by: sort_by(&["status"]), row_group_bytes: 1 << 20, ..format(&event_columns()) };
    let mut encoder = Box::new(ParquetWriter::encoder(format));
    let mut held = 0;
    for index in 0..60_000 {
        encoder.push(Row::of_payload(&event(index))).unwrap();
        held = held.max(encoder.memory_bytes());
        drop(encoder.take_finished());
    }
    assert!(held > 3 << 20, "{held}");
    assert!(held < (4 << 20) + 4 * BATCH_BYTES_MAX as u64, "{held}");
}

#[test]
fn the_stored_size_of_sorted_rows_is_told_within_a_fifth() {
    for bound in [1 << 20, 6 << 20] {
        let format = ParquetFormat {
            sort_by: sort_by(&["status", "at"]),
            row_group_bytes: 2 << 20,
            ..format(&event_columns())
        };
        let mut encoder = Box::new(ParquetWriter::encoder(format));
        let mut index = 0;
        while encoder.stored_bytes() < bound {
            encoder.push(Row::of_payload(&event(index))).unwrap();
            index += 1;
        }
        let told = encoder.stored_bytes() as f64;
        let share = size(&encoder.finish(&[]).unwrap()) as f64 / told;
        assert!((0.8..1.2).contains(&share), "{share:.2} of what was told for {bound} bytes");
    }
}

#[test]
fn a_sorted_file_without_records_is_a_file_without_rows() {
    let format = ParquetFormat { sort_by: sort_by(&["id"]), ..format(&event_columns()) };
    let (metadata, _) = read(&[written(format, [])]);
    assert_eq!(metadata.file_metadata().num_rows(), 0);
    assert_eq!(metadata.file_metadata().schema_descr().num_columns(), 7);
}

#[test]
fn a_bloom_filter_knows_its_values_and_hardly_any_other() {
    let columns = columns(&[
        ("id", "int64"),
        ("pos", "struct<lat: float64, zone: string>"),
        ("tags", "list<string>"),
        ("ip", "string"),
    ]);
    let record = |index: u64| {
        format!(
            r#"{{"id":{index},"pos":{{"zone":"z{}"}},"tags":["a{index}","b{index}"],"ip":"ip-{index}"}}"#,
            index % 100
        )
    };
    // Of one batch, and of many.
    for rows in [50, 30_000] {
        let format = ParquetFormat {
            bloom_filters: ["ip", "pos.lat", "pos.zone", "tags", "gone"].map(ToOwned::to_owned).to_vec(),
            ..format(&columns)
        };
        let file = written(format, (0..rows).map(record));
        let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
        let reader = SerializedFileReader::new_with_options(file, options).unwrap();
        let group = reader.get_row_group(0).unwrap();
        let filtered: Vec<_> = (0..5).map(|column| group.get_column_bloom_filter(column).is_some()).collect();
        // A number that is 0.0 would not be found under -0.0, which is equal.
        assert_eq!(filtered, [false, false, true, true, true], "id, pos.lat, pos.zone, tags, ip");
        let (ips, tags) =
            (group.get_column_bloom_filter(4).unwrap(), group.get_column_bloom_filter(3).unwrap());
        assert!((0..rows).all(|index| ips.check(&format!("ip-{index}").as_str())));
        assert!((0..rows).all(|index| tags.check(&format!("b{index}").as_str())));
        let wrong = (0..1_000).filter(|index| ips.check(&format!("no-{index}").as_str())).count();
        assert!(wrong < 60, "{wrong} of 1000 unknown values are taken for known");
        let bytes = group.metadata().column(4).bloom_filter_length().unwrap();
        assert!(i64::from(bytes) < 64 + 4 * rows as i64, "{bytes} bytes for {rows} values");
    }
}

#[test]
fn pages_have_an_index_with_short_bounds() {
    let columns = columns(&[("text", "string"), ("id", "int64")]);
    let record = |index: u64| format!(r#"{{"text":"{}{index}","id":{index}}}"#, "é".repeat(300));
    let file = written(format(&columns), (0..50_000).map(record));
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .unwrap();
    let index = metadata.page_index_for_row_group(0);
    let Some(ColumnIndexMetaData::INT64(ids)) = index.column_index(1) else { panic!("no index of ids") };
    let bounds: Vec<_> = ids.min_values_iter().zip(ids.max_values_iter()).collect();
    assert!(bounds.len() > 2, "{} pages", bounds.len());
    assert_eq!((bounds[0].0, bounds.last().unwrap().1), (Some(&0), Some(&49_999)));
    let Some(ColumnIndexMetaData::BYTE_ARRAY(texts)) = index.column_index(0) else {
        panic!("no index of texts")
    };
    for bound in texts.min_values_iter().chain(texts.max_values_iter()) {
        assert!(bound.unwrap().as_bytes().len() <= 64);
    }
    let Some(Statistics::ByteArray(chunk)) = metadata.row_group(0).column(0).statistics() else {
        panic!("no statistics")
    };
    assert!(chunk.max_opt().unwrap().len() <= 64 && !chunk.max_is_exact());
    assert_eq!(index.page_locations(1).unwrap().len(), bounds.len());
}

#[test]
fn a_learned_column_that_has_no_order_does_not_sort_and_fails_nothing() {
    for type_text in ["map<string, int64>", "struct<x: int64>", "list<int64>"] {
        let columns = columns(&[("attrs", type_text), ("id", "int64")]);
        let value = if type_text.starts_with("list") { "[1]" } else { r#"{"x":1}"# };
        let records = (0..100).map(|id| format!(r#"{{"attrs":{value},"id":{id}}}"#));
        let format = ParquetFormat { sort_by: sort_by(&["attrs", "-id"]), ..format(&columns) };
        let (metadata, batches) = read(&[written(format, records)]);
        let sorting = metadata.row_group(0).sorting_columns().unwrap();
        assert_eq!((sorting.len(), sorting[0].descending), (1, true), "{type_text}");
        let ids = batches[0].column(1).as_primitive::<Int64Type>().values().to_vec();
        assert!(ids.into_iter().eq((0..100).rev()), "{type_text}");
    }
}
