//! How each column is encoded, told from the first rows of the file.
//!
//! A dictionary is small and fast where values come again and a loss where they do not: every value is hashed, put
//! into the dictionary and, once that is full, written again. Files of one stream are alike, but not their columns;
//! so the choice is made for each column, and anew for each file.

use std::hash::BuildHasher;

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::basic::{Encoding, Type as PhysicalType};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterPropertiesBuilder;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Values of a column that are looked at: 2,048 hashes are sorted in about 50 µs.
const SAMPLE_MAX: usize = 2_048;

/// Fewer values tell nothing; the dictionary stays, as it costs next to nothing then.
const SAMPLE_MIN: usize = 256;

/// Sets the encoding of each column of `first`, the first rows of the file.
pub(super) fn choose(
    mut properties: WriterPropertiesBuilder,
    first: &RecordBatch,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let leaves = leaves(first);
    let schema = ArrowSchemaConverter::new().convert(&first.schema())?;
    for (leaf, array) in schema.columns().iter().zip(&leaves) {
        let Some(sample) = Sample::of(array) else { continue };
        let is_time = matches!(array.data_type(), DataType::Timestamp(..));
        if !sample.repeats_less_than(if is_time { 8 } else { 2 }) {
            continue;
        }
        properties = properties.set_column_dictionary_enabled(leaf.path().clone(), false);
        if matches!(leaf.physical_type(), PhysicalType::INT32 | PhysicalType::INT64) {
            properties = properties.set_column_encoding(leaf.path().clone(), Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties)
}

/// The scalar columns of a batch, in Parquet's order: depth first.
pub(super) fn leaves(batch: &RecordBatch) -> Vec<ArrayRef> {
    let mut leaves = Vec::new();
    for column in batch.columns() {
        collect_leaves(column, &mut leaves);
    }
    leaves
}

/// The scalar columns below `array`, in Parquet's order: depth first.
fn collect_leaves(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|column| collect_leaves(column, leaves));
        }
        DataType::List(_) => collect_leaves(array.as_list::<i32>().values(), leaves),
        DataType::Map(..) => {
            let entries = array.as_map().entries();
            entries.columns().iter().for_each(|column| collect_leaves(column, leaves));
        }
        _ => leaves.push(array.clone()),
    }
}

struct Sample {
    values: usize,
    distinct: usize,
}

impl Sample {
    /// None if there are too few values, or values that no dictionary is made for.
    fn of(array: &ArrayRef) -> Option<Self> {
        let hasher = foldhash::fast::FixedState::default();
        let rows = (0..array.len()).filter(|row| array.is_valid(*row)).take(SAMPLE_MAX);
        let mut hashes: Vec<u64> = match array.data_type() {
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                rows.map(|row| hasher.hash_one(array.value(row))).collect()
            }
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                rows.map(|row| hasher.hash_one(array.value(row))).collect()
            }
            other => {
                let width = other.primitive_width()?;
                let data = array.to_data();
                let bytes = data.buffers().first()?.as_slice();
                let value = |row: usize| bytes.get(row * width..(row + 1) * width);
                rows.map(|row| hasher.hash_one(value(row))).collect()
            }
        };
        let values = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        (values >= SAMPLE_MIN).then_some(Self { values, distinct: hashes.len() })
    }

    /// Whether a value comes, on average, fewer than `times` times.
    fn repeats_less_than(&self, times: usize) -> bool {
        self.distinct * times > self.values
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::file::properties::WriterProperties;
    use arrow::array::{BooleanArray, Int64Array, StringArray};

    use super::*;

    fn dictionary_of(array: ArrayRef) -> (bool, Option<Encoding>) {
        let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
        let properties = choose(WriterProperties::builder(), &batch).unwrap().build();
        let path = "a".into();
        (properties.dictionary_enabled(&path), properties.encoding(&path))
    }

    #[test]
    fn values_that_come_again_get_a_dictionary() {
        let words = (0..1_000).map(|row| format!("word {}", row % 20));
        assert_eq!(dictionary_of(Arc::new(StringArray::from_iter_values(words))), (true, None));
        let codes = (0..1_000).map(|row| row % 7);
        assert_eq!(dictionary_of(Arc::new(Int64Array::from_iter_values(codes))), (true, None));
    }

    #[test]
    fn values_that_are_all_different_get_none() {
        let words = (0..1_000).map(|row| format!("word {row}"));
        assert_eq!(dictionary_of(Arc::new(StringArray::from_iter_values(words))), (false, None));
        let ids = Int64Array::from_iter_values(0..1_000);
        assert_eq!(dictionary_of(Arc::new(ids)), (false, Some(Encoding::DELTA_BINARY_PACKED)));
    }

    #[test]
    fn too_few_values_tell_nothing() {
        let mut values = vec![None; 5_000];
        values.extend((0..SAMPLE_MIN as i64 - 1).map(Some));
        assert_eq!(dictionary_of(Arc::new(Int64Array::from(values))), (true, None));
        assert_eq!(dictionary_of(Arc::new(BooleanArray::from(vec![true; 1_000]))), (true, None));
    }
}
