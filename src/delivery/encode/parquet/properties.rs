//! What a Parquet file is written with: codec, statistics, filters and order.

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{Compression, GzipLevel, Type, ZstdLevel};
use ::parquet::file::metadata::SortingColumn;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use arrow::array::RecordBatch;

use super::sorted::Key;
use super::{EncodeError, encodings};
use crate::config::checked::{ParquetCompression, ParquetFormat};

const CREATED_BY: &str = concat!("forebay version ", env!("CARGO_PKG_VERSION"));

/// Bytes of a smallest or largest value in statistics and in the page index, beyond which it is cut (and said to be).
const STATISTICS_BYTES_MAX: usize = 64;

/// How often a bloom filter says "maybe" of a value that is not there.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Distinct values that a bloom filter has room for, at most: 1 Mi × 10 bits × what blocks lose = 2 MiB for each of its
/// columns while a row group is open. It is folded to what its values need when the row group is closed.
const BLOOM_VALUES_MAX: u64 = 1 << 20;

/// How much input a byte of a row group may stand for, when the values of a row group are guessed from the first batch.
const INPUT_OVER_STORED: u64 = 8;

/// The options of a file whose rows are like those of `sample`. `rows` is how many it will have, if that is known.
pub(super) fn options(
    format: &ParquetFormat,
    keys: &[Key],
    sample: &RecordBatch,
    rows: Option<usize>,
) -> Result<ArrowWriterOptions, EncodeError> {
    let compression = match format.compression {
        ParquetCompression::None => Compression::UNCOMPRESSED,
        ParquetCompression::Snappy => Compression::SNAPPY,
        ParquetCompression::Gzip { level } => Compression::GZIP(GzipLevel::try_new(level.into())?),
        ParquetCompression::Zstd { level } => Compression::ZSTD(ZstdLevel::try_new(level.into())?),
        ParquetCompression::Lz4 => Compression::LZ4_RAW,
    };
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_sorting_columns(sorting_columns(format, keys));
    let properties = encodings::choose(properties, sample)?;
    let properties = set_bloom_filters(properties, format, sample, rows)?;
    // Parquet's own types say everything; a copy of the Arrow schema would only repeat it in each file.
    Ok(ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true))
}

/// The order, by the places of scalar columns.
fn sorting_columns(format: &ParquetFormat, keys: &[Key]) -> Option<Vec<SortingColumn>> {
    let columns = format.columns.as_slice();
    let sorting = |key: &Key| {
        let before = columns.get(..key.column).unwrap_or_default();
        let leaf: usize = before.iter().map(|column| column.column_type.leaves()).sum();
        let column_idx = i32::try_from(leaf).ok()?;
        Some(SortingColumn { column_idx, descending: key.descending, nulls_first: false })
    };
    (!keys.is_empty()).then(|| keys.iter().filter_map(sorting).collect())
}

fn set_bloom_filters(
    mut properties: WriterPropertiesBuilder,
    format: &ParquetFormat,
    sample: &RecordBatch,
    rows: Option<usize>,
) -> Result<WriterPropertiesBuilder, EncodeError> {
    if format.bloom_filters.is_empty() {
        return Ok(properties);
    }
    let schema = ArrowSchemaConverter::new().convert(&sample.schema())?;
    let rows = rows.map_or_else(|| rows_of_a_row_group(format, sample), |rows| rows as u64);
    let arrays = encodings::leaves(sample);
    // A column that is not there, because columns have changed since, is left out.
    for leaf in format.bloom_filters.iter().filter_map(|path| format.columns.leaf(path).ok()) {
        let (Some(column), Some(array)) = (schema.columns().get(leaf.index), arrays.get(leaf.index)) else {
            continue;
        };
        // The two zeros are equal but have hashes of their own, and the writer adds only the one that is there: a reader
        // that asks for the other one would pass over its rows.
        if matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE) {
            continue;
        }
        // Lists have more values than rows, or fewer.
        let values = rows.saturating_mul(array.len() as u64) / (sample.num_rows() as u64).max(1);
        properties = properties
            .set_column_bloom_filter_fpp(column.path().clone(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column.path().clone(), values.clamp(1, BLOOM_VALUES_MAX));
    }
    Ok(properties)
}

/// Rows of a row group, rather too many.
fn rows_of_a_row_group(format: &ParquetFormat, sample: &RecordBatch) -> u64 {
    let row_bytes = (sample.get_array_memory_size() / sample.num_rows().max(1)).max(1) as u64;
    format.row_group_bytes * INPUT_OVER_STORED / row_bytes
}
