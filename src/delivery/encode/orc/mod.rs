//! ORC: batches → streams → stripes, to the public specification (orc.apache.org/specification/ORCv1, with the
//! messages of `orc_proto.proto` in github.com/apache/orc-format).
//!
//! # A file
//!
//! ```text
//! "ORC"
//! stripe 1   row index     for each column: ROW_INDEX, perhaps BLOOM_FILTER_UTF8
//!            data          for each column: PRESENT, if it has nulls; then by its type
//!            footer        which stream is how long, how each column is encoded
//! stripe 2 …
//! metadata   statistics of each column in each stripe
//! footer     types, places of the stripes, statistics of the columns, user metadata, rows
//! postscript lengths of the two above, codec, version; not compressed
//! length of the postscript (1 byte)
//! ```
//!
//! Columns are a tree, numbered from the root (0, a struct of all others) as a walk meets them. Each has streams:
//!
//! | type | streams | encoding |
//! |---|---|---|
//! | `boolean` | DATA: bits as byte runs | DIRECT |
//! | `tinyint` | DATA: byte runs | DIRECT |
//! | `smallint` to `bigint`, `date` | DATA: integer runs | DIRECT_V2 |
//! | `float`, `double` | DATA: IEEE 754, lowest byte first | DIRECT |
//! | `string`, `binary` | DATA: bytes; LENGTH: integer runs | DIRECT_V2 |
//! | `string` that comes again | DATA: numbers; DICTIONARY_DATA, LENGTH: the sorted texts | DICTIONARY_V2 |
//! | `decimal` | DATA: varints; SECONDARY: scales, integer runs | DIRECT_V2 |
//! | instants | DATA: seconds since 2015; SECONDARY: nanoseconds; integer runs | DIRECT_V2 |
//! | `array`, `map` | LENGTH: integer runs; elements are columns of their own | DIRECT_V2 |
//! | `struct` | none; fields are columns of their own | DIRECT |
//!
//! A column that is null in a row has nothing there but a bit in PRESENT, and the columns below it nothing at all.
//!
//! Streams are compressed in blocks of 256 KiB ([`compress`]). Every 10,000 rows (`row_index_stride`) a row group
//! begins: the index names its place in each stream (block, byte in the block, and for runs the values to skip, which
//! are always none here, because runs end with their row group) and has its statistics, so that readers can skip it.
//!
//! # Memory
//!
//! The streams of the open stripe, at most `stripe_bytes` and what one batch adds, and of each finished stripe some
//! hundred bytes a column for the metadata. Finished stripes are handed over with
//! [`BatchWriter::take_finished`], so a file may be of any size.

mod bloom;
mod column;
mod compress;
mod output;
mod protobuf;
pub mod reading;
mod rle;
mod row_index;
mod statistics;
mod stream;
mod stripe;
mod tail;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use thiserror::Error;

use self::column::Column;
use self::compress::Codec;
use self::output::Output;
use self::stripe::StripeParts;
use self::tail::{EncodedTypes, MAGIC, Tail, TailFormat};
use self::types::OrcType;
use super::EncodeError;
use super::columnar::{BatchWriter, ColumnarEncoder};
use crate::config::checked::{OrcCompression, OrcFormat};

/// Rows that are written before the memory is looked at again where there is no row index.
const PIECE_ROWS_MAX: usize = 10_000;

/// Why a batch cannot be stored in ORC.
#[derive(Debug, Error)]
pub enum OrcError {
    /// A column of a type that we do not write.
    #[error("column {path}: ORC files do not hold {data_type} here")]
    Type {
        /// Names from the root to the column.
        path: String,
        /// Arrow's name of the type.
        data_type: String,
    },
    /// A batch with other columns than those before.
    #[error("a batch has other columns than the file was opened with")]
    OtherColumns,
    /// See [`holds_time`]; records with such a time are refused before they become a batch.
    #[error("a time in the last second of 1969, which ORC cannot hold")]
    LastSecondOf1969,
}

/// Whether ORC holds a time that is counted in units of `per_second` (1,000 or more) since 1970.
///
/// Readers take a second off times before 1970 that have a whole millisecond behind their second, so the format's
/// writers add it first. That moves the times from 1969-12-31T23:59:59.001Z to the end of that year into 1970, where no
/// reader takes anything off: to store them is to store other times. (ORC-763 in the format's tracker has the story.)
pub fn holds_time(value: i64, per_second: i64) -> bool {
    value >= 0 || value < per_second / 1_000 - per_second
}

/// An open ORC file that takes records.
pub type OrcEncoder = ColumnarEncoder<OrcWriter>;

/// Batches → stripes.
#[derive(Debug)]
pub struct OrcWriter {
    format: OrcFormat,
    codec: Codec,
    /// Made with the first batch.
    open: Option<OpenFile>,
    stored_bytes: u64,
    memory_bytes: u64,
}

#[derive(Debug)]
struct OpenFile {
    schema: SchemaRef,
    types: OrcType,
    encoded_types: EncodedTypes,
    root: Column,
    /// Memory that the columns need without a single row.
    empty_bytes: usize,
    rows_in_group: usize,
    rows_in_stripe: u64,
    tail: Tail,
    output: Output,
}

impl OrcWriter {
    /// A file without rows.
    pub fn new(format: OrcFormat) -> Self {
        let codec = match format.compression {
            OrcCompression::None => Codec::None,
            OrcCompression::Zlib { level } => Codec::Zlib { level: level.into() },
            OrcCompression::Snappy => Codec::Snappy,
            OrcCompression::Lz4 => Codec::Lz4,
            OrcCompression::Zstd { level } => Codec::Zstd { level: level.into() },
        };
        Self { format, codec, open: None, stored_bytes: 0, memory_bytes: 0 }
    }

    /// A file without records.
    pub fn encoder(format: OrcFormat) -> OrcEncoder {
        let columns = Arc::clone(&format.columns);
        ColumnarEncoder::new(&columns, Self::new(format))
    }

    /// Rows of a row group, and of a piece after which the memory is looked at.
    fn group_rows(&self) -> usize {
        match self.format.row_index_stride {
            0 => PIECE_ROWS_MAX,
            stride => stride as usize,
        }
    }

    fn measure(&mut self) {
        let Some(file) = &self.open else { return };
        let tail = file.tail.stored_bytes(&file.encoded_types, self.codec, file.rows_in_stripe > 0);
        self.stored_bytes = file.output.length() + file.root.stored_bytes() + tail;
        let memory = file.root.memory_bytes() + file.output.memory_bytes() + file.tail.bytes();
        self.memory_bytes = memory as u64;
    }
}

impl BatchWriter for OrcWriter {
    const IS_ORC: bool = true;

    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let (stripe_bytes, group_rows) = (self.format.stripe_bytes, self.group_rows());
        let has_row_index = self.format.row_index_stride > 0;
        let file = match &mut self.open {
            Some(file) => file,
            slot => slot.insert(OpenFile::new(batch.schema(), &self.format, self.codec)?),
        };
        if file.schema.fields() != batch.schema_ref().fields() {
            return Err(OrcError::OtherColumns.into());
        }
        let rows: ArrayRef = Arc::new(StructArray::from(batch.clone()));
        let mut start = 0;
        while start < rows.len() {
            start = file.write_piece(&rows, start, group_rows)?;
            if file.stripe_bytes() >= stripe_bytes {
                file.close_stripe(self.codec, has_row_index)?;
            }
        }
        self.measure();
        Ok(())
    }

    fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn take_finished(&mut self) -> Vec<Bytes> {
        let Some(file) = &mut self.open else { return Vec::new() };
        let taken = file.output.take_pieces();
        // Asked after each record, with nothing to take mostly.
        if !taken.is_empty() {
            self.measure();
        }
        taken
    }

    fn finish(mut self: Box<Self>, metadata: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError> {
        let Some(file) = &mut self.open else { return Ok(Vec::new()) };
        let row_index_stride = self.format.row_index_stride;
        file.close_stripe(self.codec, row_index_stride > 0)?;
        let mut statistics = Vec::new();
        file.root.file_statistics(&mut |of_column| statistics.push(of_column.encode()));
        let format = TailFormat { codec: self.codec, row_index_stride, metadata };
        file.tail.store(&file.types, &statistics, &format, &mut file.output)?;
        Ok(file.output.finish())
    }
}

impl OpenFile {
    fn new(schema: SchemaRef, format: &OrcFormat, codec: Codec) -> Result<Self, EncodeError> {
        let types = OrcType::root(schema.fields())?;
        let encoded_types = EncodedTypes::of(&types);
        let has_bloom =
            |column: &OrcType| column.can_have_bloom_filter() && format.bloom_filters.contains(&column.path);
        let root = Column::new(&types, &DataType::Struct(schema.fields().clone()), codec, &has_bloom);
        let mut output = Output::default();
        output.append(MAGIC.to_vec());
        let empty_bytes = root.memory_bytes();
        let (tail, rows_in_group, rows_in_stripe) = (Tail::default(), 0, 0);
        Ok(Self {
            schema,
            types,
            encoded_types,
            root,
            empty_bytes,
            rows_in_group,
            rows_in_stripe,
            tail,
            output,
        })
    }

    /// Memory of the open stripe.
    fn stripe_bytes(&self) -> u64 {
        self.root.memory_bytes().saturating_sub(self.empty_bytes) as u64
    }

    /// Writes the rows from `start` on that still belong to the open row group; returns where they end.
    fn write_piece(
        &mut self,
        rows: &ArrayRef,
        start: usize,
        group_rows: usize,
    ) -> Result<usize, EncodeError> {
        if self.rows_in_group == 0 {
            self.root.open_row_group();
        }
        let end = rows.len().min(start + group_rows - self.rows_in_group);
        self.root.write(rows, std::slice::from_ref(&(start..end)))?;
        self.rows_in_group += end - start;
        self.rows_in_stripe += (end - start) as u64;
        if self.rows_in_group == group_rows {
            self.close_row_group();
        }
        Ok(end)
    }

    fn close_row_group(&mut self) {
        if self.rows_in_group > 0 {
            self.root.close_row_group();
            self.rows_in_group = 0;
        }
    }

    fn close_stripe(&mut self, codec: Codec, has_row_index: bool) -> Result<(), EncodeError> {
        if self.rows_in_stripe == 0 {
            return Ok(());
        }
        self.close_row_group();
        let mut parts = StripeParts::new(codec, has_row_index);
        self.root.finish_stripe(&mut parts)?;
        let rows = std::mem::take(&mut self.rows_in_stripe);
        let stripe = parts.store(rows, &mut self.output)?;
        self.tail.add_stripe(rows, &stripe);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
