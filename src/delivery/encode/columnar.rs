//! What Parquet and ORC have in common: records → batches of columns → a writer of the format.

mod waiting;

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use self::waiting::Waiting;
use super::{EncodeError, Encoder, PushError, Row};
use crate::schema::columns::Columns;

/// Rows of one batch: enough that what a batch costs in each column does not show.
const BATCH_ROWS_MAX: usize = 8_192;

/// Input of one batch, beyond which larger ones are no faster and only fall out of the cache.
pub(super) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Values of one batch, nulls included, of at most 16 bytes each beside their text: 8 MiB. Records that are much
/// smaller than their columns reach it first: 1,000 nullable columns close a batch of `{}` after 525 rows.
pub(super) const BATCH_CELLS_MAX: usize = 512 << 10;

/// Stored size over input before the first batch is there to tell. Too high a guess only seals a small file early.
const RATIO_GUESS: f64 = 0.25;

/// Writes batches into a file of a columnar format.
pub trait BatchWriter: Send {
    /// Whether the format is ORC, which does not hold every time.
    const IS_ORC: bool = false;

    /// Adds the rows of a batch, all of the columns that the file was opened with.
    ///
    /// # Errors
    /// If the format cannot hold them, or its codec fails. The file is of no use then.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError>;

    /// How large the file would be if it were finished now, in bytes: see [`Encoder::stored_bytes`].
    fn stored_bytes(&self) -> u64;

    /// Bytes of memory that it holds.
    fn memory_bytes(&self) -> u64;

    /// See [`Encoder::take_finished`].
    fn take_finished(&mut self) -> Vec<Bytes>;

    /// Closes the file. `metadata` are names and values for its footer. Returns what is not taken yet.
    ///
    /// # Errors
    /// As [`BatchWriter::write`].
    fn finish(self: Box<Self>, metadata: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError>;
}

/// An open file of a columnar format.
pub struct ColumnarEncoder<W> {
    waiting: Waiting,
    writer: W,
    /// Input of the rows that wait.
    staged_bytes: usize,
    /// Input of the rows in `writer`.
    input_bytes: u64,
}

impl<W: BatchWriter> ColumnarEncoder<W> {
    /// A file without records.
    pub fn new(columns: &Columns, writer: W) -> Self {
        Self::of(Waiting::in_builders(columns, W::IS_ORC), writer)
    }

    /// The same, for one of so many files that their builders would be in no cache. The file is the same as well.
    pub fn one_of_many(columns: Arc<Columns>, writer: W) -> Self {
        Self::of(Waiting::as_bytes(columns, W::IS_ORC), writer)
    }

    fn of(waiting: Waiting, writer: W) -> Self {
        Self { waiting, writer, staged_bytes: 0, input_bytes: 0 }
    }

    fn flush_batch(&mut self) -> Result<(), EncodeError> {
        let batch = self.waiting.take_batch()?;
        self.writer.write(&batch)?;
        self.input_bytes += std::mem::take(&mut self.staged_bytes) as u64;
        Ok(())
    }

    /// What has the rows of closed batches.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &W {
        &self.writer
    }

    /// Rows of the batch that is not closed yet, and their values.
    #[cfg(test)]
    pub(super) fn rows_and_cells(&self) -> (usize, usize) {
        (self.waiting.rows(), self.waiting.cells())
    }
}

impl<W: BatchWriter> Encoder for ColumnarEncoder<W> {
    fn push(&mut self, row: Row<'_>) -> Result<u64, PushError> {
        let before = self.waiting.taken_bytes();
        let payload = row.payload.json().map_err(PushError::Misfit)?;
        self.waiting.push(payload).map_err(PushError::Misfit)?;
        let mut taken = self.waiting.taken_bytes() - before;
        self.staged_bytes += payload.len();
        let full = self.waiting.rows() >= BATCH_ROWS_MAX
            || self.staged_bytes >= BATCH_BYTES_MAX
            || self.waiting.cells() >= BATCH_CELLS_MAX;
        if full {
            let before = self.writer.memory_bytes();
            self.flush_batch()?;
            // With its first batch a writer takes what it needs for each column.
            taken += self.writer.memory_bytes().saturating_sub(before);
        }
        Ok(taken)
    }

    fn stored_bytes(&self) -> u64 {
        let written = self.writer.stored_bytes();
        let ratio = match self.input_bytes {
            0 => RATIO_GUESS,
            input => written as f64 / input as f64,
        };
        written + (self.staged_bytes as f64 * ratio) as u64
    }

    fn memory_bytes(&self) -> u64 {
        self.waiting.memory_bytes() as u64 + self.writer.memory_bytes()
    }

    fn look_ahead(&self) -> u8 {
        self.waiting.look_ahead()
    }

    fn memory_ahead(&self, bytes: u64) -> u64 {
        self.waiting.memory_ahead(bytes)
    }

    fn take_finished(&mut self) -> Vec<Bytes> {
        self.writer.take_finished()
    }

    fn finish(mut self: Box<Self>, metadata: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError> {
        if self.waiting.rows() > 0 || self.input_bytes == 0 {
            self.flush_batch()?;
        }
        Box::new(self.writer).finish(metadata)
    }
}
