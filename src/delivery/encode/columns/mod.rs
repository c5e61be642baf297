//! JSON bytes → Arrow columns, without a tree in between.
//!
//! The scanner walks a record once and each value goes straight to the builder of its column. A builder owns plain
//! vectors (values, offsets, validity), which has two uses: a record that turns out not to fit is undone by cutting
//! them back to the row's start, and a finished batch takes them over without copying.

mod fault;
mod fields;
mod lenient;
mod nested;
mod numbers;
mod row_bytes;
mod row_size;
mod slot;
mod text;
mod times;
mod validity;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use self::fault::Fault;
use self::fields::Fields;
use self::row_bytes::RowBytes;
use self::slot::Cells;
use super::Misfit;
use crate::json::{Kind, Scanner};
use crate::schema::columns::Columns;

/// The rows that are not a batch yet.
#[derive(Debug)]
pub struct RecordColumns {
    schema: SchemaRef,
    fields: Fields,
    leaves: usize,
    cells: usize,
    row_bytes: u64,
    taken: u64,
    is_for_orc: bool,
}

impl RecordColumns {
    /// Builders for `columns`, with no row in them.
    pub fn new(columns: &Columns) -> Self {
        let schema = columns.arrow_schema();
        let (leaves, row_bytes) = (columns.leaves(), row_size::bytes(columns));
        let fields = Fields::of_record(columns.as_slice());
        Self { schema, fields, leaves, cells: 0, row_bytes, taken: 0, is_for_orc: false }
    }

    /// The same for ORC files: refuses the times that they cannot hold ([`super::orc::holds_time`]).
    pub fn for_orc(self) -> Self {
        Self { is_for_orc: true, ..self }
    }

    /// What the batches look like.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds one record: a JSON object. Keys without a column are left out.
    ///
    /// # Errors
    /// If it does not fit; nothing of it is kept then.
    pub fn push(&mut self, record: &str) -> Result<(), Misfit> {
        let rows = self.fields.rows();
        let mut cells = Cells::for_record(record.len(), self.is_for_orc);
        match self.fill(record, &mut cells) {
            Ok(()) => {
                self.cells += self.leaves + cells.taken();
                let nested = cells.taken() as u64 * row_size::NESTED_VALUE_BYTES;
                self.taken += self.row_bytes + nested + record.len() as u64;
                Ok(())
            }
            Err(fault) => {
                self.fields.truncate(rows);
                Err(fault.into_misfit())
            }
        }
    }

    /// Whether [`RecordColumns::push`] would take a record; nothing of it is kept.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn check(&mut self, record: &str) -> Result<(), Misfit> {
        let rows = self.fields.rows();
        let filled = self.fill(record, &mut Cells::for_record(record.len(), self.is_for_orc));
        self.fields.truncate(rows);
        filled.map_err(Fault::into_misfit)
    }

    fn fill(&mut self, record: &str, cells: &mut Cells) -> Result<(), Fault> {
        let mut scanner = Scanner::new(record);
        let kind = scanner.peek()?;
        if kind != Kind::Object {
            return Err(Fault::kind(kind).expecting("an object"));
        }
        if self.fields.is_empty() {
            return Err(
                Fault::found("a record of which no field has ever had a value").expecting("a known field")
            );
        }
        self.fields.push(&mut scanner, cells)?;
        Ok(scanner.end()?)
    }

    /// Moves the only row behind `rows`; returns how many values it has, nulls included.
    pub fn move_row(&mut self, row: &mut Vec<u8>) -> usize {
        self.fields.write(0, row);
        self.fields.truncate(0);
        std::mem::take(&mut self.cells)
    }

    /// Adds the rows that [`RecordColumns::move_row`] has written one behind the other. `None` if it has not.
    pub fn read_rows(&mut self, rows: &[u8]) -> Option<()> {
        let mut rows = RowBytes::new(rows);
        while !rows.is_empty() {
            self.fields.read(&mut rows)?;
        }
        Some(())
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.fields.rows()
    }

    /// Values since the last batch, nulls included: what a batch costs where records are much smaller than their
    /// columns. Each is at most 16 bytes beside its text.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Bytes that a record takes whatever is in it: see [`row_size::bytes`].
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Bytes that the records since the last batch have taken, about: what is known without a look at the builders.
    pub fn taken_bytes(&self) -> u64 {
        self.taken
    }

    /// Bytes that the builders hold.
    pub fn memory_bytes(&self) -> usize {
        self.fields.memory_bytes()
    }

    /// All rows since the last batch. The builders are empty afterwards.
    ///
    /// # Errors
    /// If Arrow refuses what was built, which would be a defect here.
    pub fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.cells, self.taken) = (0, 0);
        RecordBatch::try_new(self.schema.clone(), self.fields.finish()?)
    }
}

#[cfg(test)]
mod tests;
