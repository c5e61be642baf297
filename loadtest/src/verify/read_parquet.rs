//! Parquet: only the columns that are needed, a batch of rows at a time.

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::key::KeyRule;
use super::object::ObjectFile;
use super::rows::{self, Rows};
use super::sighting::{Reporter, Unheard};

/// Rows that are decoded at a time: with records of 1 KiB, 1 MiB of columns.
const BATCH_ROWS: usize = 1_024;

/// Reads all records of an object.
pub(super) fn read(file: &ObjectFile, key: &KeyRule, to: &mut Reporter) -> Result<(), Unheard> {
    let (reader, is_sorted) = match open(file, key) {
        Ok(opened) => opened,
        Err(error) => {
            to.unreadable(1, error.to_string());
            return Ok(());
        }
    };
    // Rows that were sorted by a column tell nothing of the order in which they came.
    let key = if is_sorted { &KeyRule::Nowhere } else { key };
    let mut row = 0;
    for batch in reader {
        match batch {
            Ok(batch) => {
                Rows::new(&batch, key).inspect(row, to);
                row += batch.num_rows() as u64;
            }
            Err(error) => {
                to.unreadable(row + 1, error.to_string());
                return Ok(());
            }
        }
        to.flush_if_full()?;
    }
    Ok(())
}

/// A reader, and whether rows are in an order of their own.
fn open(file: &ObjectFile, key: &KeyRule) -> Result<(ParquetRecordBatchReader, bool), ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())?;
    let is_sorted = builder.metadata().row_groups().iter().any(|group| group.sorting_columns().is_some());
    let wanted = rows::wanted(key);
    let roots = builder.parquet_schema().root_schema().get_fields();
    let there = roots.iter().enumerate().filter(|(_, root)| wanted.contains(root.name())).map(|(at, _)| at);
    let mask = ProjectionMask::roots(builder.parquet_schema(), there.collect::<Vec<_>>());
    Ok((builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?, is_sorted))
}
