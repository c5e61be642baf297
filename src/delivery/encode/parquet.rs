//! Parquet: batches → pages → row groups.
//!
//! Rows are collected in builders, handed to the Parquet writer in batches, and closed into row groups. Each of the
//! three steps has a bound, so an open file holds a known amount however large it grows. Where rows are to be sorted,
//! batches wait until they make a row group.

mod encodings;
mod properties;
mod sorted;

use std::io;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::metadata::KeyValue;
use arrow::array::RecordBatch;
use bytes::Bytes;

use self::sorted::{Key, Staged};
use super::EncodeError;
use super::columnar::{BatchWriter, ColumnarEncoder};
use crate::config::checked::{ParquetCompression, ParquetFormat};

/// Size of the pieces that the finished part of a file is kept in.
const CHUNK_BYTES: usize = 1 << 20;

/// Stored size over memory of rows that wait, before any were written.
const RATIO_GUESS: f64 = 0.25;

/// An open Parquet file.
pub type ParquetEncoder = ColumnarEncoder<ParquetWriter>;

/// Batches → row groups.
#[derive(Debug)]
pub struct ParquetWriter {
    format: ParquetFormat,
    /// The order of the rows.
    keys: Vec<Key>,
    /// Rows that wait to be sorted; none if they are not.
    staged: Option<Staged>,
    /// The first batch, while it is not known whether it is the only one: filters are made for as many values as come.
    first: Option<RecordBatch>,
    /// Made with the first rows that are written, whose values tell how the columns are best encoded.
    writer: Option<ArrowWriter<Chunks>>,
    /// Stored size over the writer's own estimate, from the last row group that was closed.
    correction: f64,
    /// Stored size of rows that wait over their memory.
    ratio: f64,
    /// Estimated size of the file as the writer has it, and the memory that the writer needs for it.
    written_bytes: u64,
    writer_memory_bytes: u64,
}

impl ParquetWriter {
    /// A file without rows.
    pub fn new(format: ParquetFormat) -> Self {
        let keys = sorted::keys(&format.sort_by, &format.columns);
        let staged = (!keys.is_empty()).then(|| Staged::new(keys.clone(), format.row_group_bytes));
        Self {
            format,
            keys,
            staged,
            first: None,
            writer: None,
            correction: 1.0,
            ratio: RATIO_GUESS,
            written_bytes: 0,
            writer_memory_bytes: 0,
        }
    }

    /// A file without records.
    pub fn encoder(format: ParquetFormat) -> ParquetEncoder {
        let columns = Arc::clone(&format.columns);
        ColumnarEncoder::new(&columns, Self::new(format))
    }

    /// Makes the writer, if it is not there yet. `rows` is how many the file will have, if that is known.
    fn open(&mut self, sample: &RecordBatch, rows: Option<usize>) -> Result<(), EncodeError> {
        if self.writer.is_none() {
            let options = properties::options(&self.format, &self.keys, sample, rows)?;
            let writer = ArrowWriter::try_new_with_options(Chunks::default(), sample.schema(), options)?;
            self.writer = Some(writer);
        }
        Ok(())
    }

    /// Hands rows to the writer, which is there.
    fn append(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write(batch)?;
        if writer.in_progress_size() as u64 >= self.format.row_group_bytes {
            self.close_row_group()?;
        }
        self.measure();
        Ok(())
    }

    fn close_row_group(&mut self) -> Result<(), EncodeError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let (in_progress, before) = (writer.in_progress_size(), writer.bytes_written());
        writer.flush()?;
        if in_progress > 0 {
            self.correction = (writer.bytes_written() - before) as f64 / in_progress as f64;
        }
        Ok(())
    }

    /// Writes a row group, or more, of the rows that wait to be sorted. `is_end`: no others will come.
    fn write_sorted(&mut self, is_end: bool) -> Result<(), EncodeError> {
        let Some(mut staged) = self.staged.take() else { return Ok(()) };
        let Some(sample) = staged.first() else { return Ok(()) };
        self.open(sample, is_end.then(|| staged.rows()))?;
        let before = self.writer.as_ref().map_or(0, ArrowWriter::bytes_written);
        let bytes = staged.bytes();
        staged.drain(|run| self.append(run))?;
        self.close_row_group()?;
        self.measure();
        let after = self.writer.as_ref().map_or(0, ArrowWriter::bytes_written);
        if bytes > 0 {
            self.ratio = (after - before) as f64 / bytes as f64;
        }
        self.staged = Some(staged);
        Ok(())
    }

    fn measure(&mut self) {
        let Some(writer) = &self.writer else { return };
        let in_progress = writer.in_progress_size();
        self.written_bytes = writer.bytes_written() as u64 + (in_progress as f64 * self.correction) as u64;
        let codecs = codec_bytes(self.format.compression, in_progress) * self.format.columns.leaves();
        self.writer_memory_bytes = (writer.memory_size() + writer.inner().memory_bytes() + codecs) as u64;
    }

    /// Memory of rows that the writer does not have yet.
    fn waiting_bytes(&self) -> usize {
        let first = self.first.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        first + self.staged.as_ref().map_or(0, Staged::bytes)
    }
}

/// Rows in progress below which hardly a column has closed a page, which is when its compressor is made.
const PAGE_BYTES: usize = 1 << 20;

/// Memory of the compressor of one column, which stays from its first page to the end of the row group. Measured of
/// zstd with pages of 256 KiB; the other codecs keep nothing.
fn codec_bytes(compression: ParquetCompression, in_progress: usize) -> usize {
    match compression {
        ParquetCompression::Zstd { level } if in_progress >= PAGE_BYTES => match level {
            ..=2 => 640 << 10,
            3..=4 => 1 << 20,
            5..=8 => 3 << 20,
            9.. => 5 << 20,
        },
        _ => 0,
    }
}

impl BatchWriter for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        if let Some(staged) = &mut self.staged {
            if self.writer.is_none() && staged.bytes() == 0 {
                self.ratio = sample_ratio(&self.format, batch)?;
            }
            staged.push(batch.clone());
            return if staged.is_full() { self.write_sorted(false) } else { Ok(()) };
        }
        if self.writer.is_none() && !self.format.bloom_filters.is_empty() {
            match self.first.take() {
                Some(first) => {
                    self.open(&first, None)?;
                    self.append(&first)?;
                }
                None => {
                    self.first = Some(batch.clone());
                    return Ok(());
                }
            }
        }
        self.open(batch, None)?;
        self.append(batch)
    }

    /// The writer tells dictionaries and the pages that it has not closed as they are before compression. From
    /// 4 MiB on that hardly shows (4 %). Measured on web events, a file of 2 MiB is told up to 12 % too large, one of
    /// 1 MiB 22 %, and one of about a page (20,000 rows) up to 2.4 times its size. So small files are sealed early.
    /// Rows that wait to be sorted are told by those that were written before, or by the first batch.
    fn stored_bytes(&self) -> u64 {
        self.written_bytes + (self.waiting_bytes() as f64 * self.ratio) as u64
    }

    fn memory_bytes(&self) -> u64 {
        self.writer_memory_bytes + self.waiting_bytes() as u64
    }

    fn take_finished(&mut self) -> Vec<Bytes> {
        let Some(writer) = &mut self.writer else { return Vec::new() };
        let taken = writer.inner_mut().take_full();
        // Asked after some records, with nothing to take mostly, and each column has to be looked at.
        if !taken.is_empty() {
            self.measure();
        }
        taken
    }

    fn finish(mut self: Box<Self>, metadata: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError> {
        if let Some(first) = self.first.take() {
            self.open(&first, Some(first.num_rows()))?;
            self.append(&first)?;
        }
        self.write_sorted(true)?;
        let Some(mut writer) = self.writer.take() else { return Ok(Vec::new()) };
        for (key, value) in metadata {
            writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        Ok(writer.into_inner()?.finish())
    }
}

/// Stored size of a batch over its memory, by writing it into a file of its own.
fn sample_ratio(format: &ParquetFormat, batch: &RecordBatch) -> Result<f64, EncodeError> {
    if batch.num_rows() == 0 {
        return Ok(RATIO_GUESS);
    }
    let options = properties::options(format, &[], batch, Some(batch.num_rows()))?;
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.len() as f64 / batch.get_array_memory_size() as f64)
}

/// The finished part of a file, in pieces: growing never copies what is there.
#[derive(Debug, Default)]
struct Chunks {
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Chunks {
    fn memory_bytes(&self) -> usize {
        self.full.len() * CHUNK_BYTES + self.open.capacity()
    }

    fn take_full(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.full)
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.full.push(Bytes::from(self.open));
        }
        self.full
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.open.len());
        self.open.extend_from_slice(&bytes[..taken]);
        if self.open.len() == CHUNK_BYTES {
            self.full.push(Bytes::from(std::mem::take(&mut self.open)));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
