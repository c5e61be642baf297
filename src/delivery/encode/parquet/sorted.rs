//! Rows that wait until there are enough of them to be sorted into a row group.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::row::{RowConverter, SortField};

use super::EncodeError;
use crate::config::checked::SortColumn;
use crate::schema::columns::{Column, Columns};

/// Memory of waiting rows over the stored size of a row group. Columns in memory are three to six times as large as
/// stored; where they are more, row groups become smaller.
const STAGED_OVER_STORED: u64 = 4;

/// Memory of the rows that are put in order at a time: what is there twice while a row group is written.
const RUN_BYTES: usize = 2 << 20;

/// Rows of a run.
const RUN_ROWS_MAX: usize = 8_192;

/// A column of the order, by its place in the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Index of the column.
    pub column: usize,
    /// Whether the largest value comes first.
    pub descending: bool,
}

/// The keys of `sort_by`. A column that is not there, because columns have changed since, is left out; and so is a
/// learned one that turned out to be nested, which has no order that the file could tell.
pub(super) fn keys(sort_by: &[SortColumn], columns: &Columns) -> Vec<Key> {
    let key = |by: &SortColumn| {
        let is_it = |column: &Column| column.name == by.column && !column.column_type.is_nested();
        let column = columns.as_slice().iter().position(is_it)?;
        Some(Key { column, descending: by.descending })
    };
    sort_by.iter().filter_map(key).collect()
}

/// See the module. Rows without a value come last, whichever direction the others are in, and rows that are equal in
/// all keys keep the order of the stream.
#[derive(Debug)]
pub(super) struct Staged {
    keys: Vec<Key>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    bytes_max: usize,
}

impl Staged {
    /// No rows, to be sorted by `keys` into row groups of `row_group_bytes`.
    pub(super) fn new(keys: Vec<Key>, row_group_bytes: u64) -> Self {
        let bytes_max = usize::try_from(row_group_bytes * STAGED_OVER_STORED).unwrap_or(usize::MAX);
        Self { keys, batches: Vec::new(), bytes: 0, bytes_max }
    }

    /// Adds rows.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
    }

    /// The rows that came first, as they came.
    pub(super) fn first(&self) -> Option<&RecordBatch> {
        self.batches.first()
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether it is time for a row group.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Memory of the rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes all rows: hands them to `write` in order, some at a time.
    pub(super) fn drain(
        &mut self,
        mut write: impl FnMut(&RecordBatch) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let batches = std::mem::take(&mut self.batches);
        let bytes = std::mem::take(&mut self.bytes);
        let places = self.order(&batches)?;
        if places.is_empty() {
            // A file without rows still has columns.
            return batches.first().map_or(Ok(()), write);
        }
        let run_rows = (places.len() * RUN_BYTES / bytes.max(1)).clamp(1, RUN_ROWS_MAX);
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for run in places.chunks(run_rows) {
            write(&interleave_record_batch(&batches, run)?)?;
        }
        Ok(())
    }

    /// Batch and row of each row, in order.
    fn order(&self, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, EncodeError> {
        let Some(first) = batches.first() else { return Ok(Vec::new()) };
        let field = |key: &Key| {
            let options = SortOptions { descending: key.descending, nulls_first: false };
            SortField::new_with_options(first.column(key.column).data_type().clone(), options)
        };
        let converter = RowConverter::new(self.keys.iter().map(field).collect())?;
        let mut rows = converter.empty_rows(0, 0);
        let mut places = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let columns: Vec<ArrayRef> =
                self.keys.iter().map(|key| ArrayRef::clone(batch.column(key.column))).collect();
            converter.append(&mut rows, &columns)?;
            places.extend((0..batch.num_rows()).map(|row| (number, row)));
        }
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_unstable_by(|one, other| rows.row(*one).cmp(&rows.row(*other)).then(one.cmp(other)));
        Ok(order.into_iter().filter_map(|at| places.get(at).copied()).collect())
    }
}
