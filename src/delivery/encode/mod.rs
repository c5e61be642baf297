//! Records → the bytes of a file.

pub mod columnar;
pub mod columns;
pub mod dead_letter;
pub mod lines;
pub mod orc;
pub mod parquet;
pub mod passed;
mod pieces;
pub mod raw_line;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use self::columnar::ColumnarEncoder;
use self::lines::LinesEncoder;
use self::orc::{OrcError, OrcWriter};
use self::parquet::ParquetWriter;
use crate::config::checked::Format;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

/// So many open files have their builders in a cache of 1 MiB, at 2 KiB for each ten columns, and much beside.
pub const FEW_FILES: usize = 64;

/// What of a record goes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// JSON, already known to be valid.
    Text(&'a str),
    /// Any bytes, which only raw files take.
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// As bytes.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Payload::Text(text) => text.as_bytes(),
            Payload::Bytes(bytes) => bytes,
        }
    }

    /// The JSON that formats with columns take apart.
    fn json(self) -> Result<&'a str, Misfit> {
        match self {
            Payload::Text(text) => Ok(text),
            Payload::Bytes(bytes) => Err(Misfit {
                pointer: String::new(),
                expected: "JSON".to_owned(),
                found: format!("{} bytes", bytes.len()),
            }),
        }
    }
}

/// A record as encoders take it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What goes into the file.
    pub payload: Payload<'a>,
    /// The partition key; empty where it was random.
    pub key: &'a [u8],
    /// The shard that it is in.
    pub shard: ShardId,
    /// Its place there.
    pub sequence_number: SequenceNumber,
    /// When it came in.
    pub arrival: UnixMicros,
}

impl<'a> Row<'a> {
    /// A record of which only the payload is known or matters.
    pub fn of_payload(payload: &'a str) -> Self {
        Self {
            payload: Payload::Text(payload),
            key: &[],
            shard: ShardId(0),
            sequence_number: SequenceNumber(0),
            arrival: UnixMicros(0),
        }
    }
}

/// Why a record does not fit the columns of a file. It goes to the dead letters; its neighbours stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer to the field.
    pub pointer: String,
    /// The type that the column has.
    pub expected: String,
    /// What stood there (a short description, never the whole value).
    pub found: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.pointer, self.expected, self.found)
    }
}

/// The encoder itself failed: not the fault of a record.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The Parquet writer refused.
    #[error("parquet writer: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// A batch that ORC cannot hold.
    #[error("orc writer: {0}")]
    Orc(#[from] OrcError),
    /// Arrow refused to build a batch.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Rows that waited for their batch are not what was written: a defect here.
    #[error("the rows that waited for their batch cannot be read back")]
    Rows,
    /// The compressor refused.
    #[error("compressor: {0}")]
    Compress(&'static str),
}

/// Why [`Encoder::push`] did not take a record.
#[derive(Debug, Error)]
pub enum PushError {
    /// The record is at fault: nothing of it was kept.
    #[error("{0}")]
    Misfit(Misfit),
    /// The encoder is at fault and must not be used any more.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// One open file. Each partition of each delivery has its own.
pub trait Encoder: Send {
    /// Adds one record. Returns about how many bytes of memory that has taken: what records are counted by between two
    /// looks at [`Encoder::memory_bytes`]. It is of the order of what was taken, and no sum of it is what is held.
    fn push(&mut self, row: Row<'_>) -> Result<u64, PushError>;

    /// How large the file would be if it were finished now, in bytes as stored. An estimate where the codec does
    /// not tell, within about 10 % at the sizes at which files are sealed.
    fn stored_bytes(&self) -> u64;

    /// Bytes of memory that the open file holds at the moment.
    fn memory_bytes(&self) -> u64;

    /// Bytes that it will take at once, beside [`Encoder::memory_bytes`], while records of `bytes` in all, as counted by
    /// [`Encoder::push`], come in next: large vectors are about to grow.
    fn memory_ahead(&self, bytes: u64) -> u64;

    /// Reads what the next record will be put behind, and little else, so that it is in the cache when that comes. The
    /// value says nothing.
    fn look_ahead(&self) -> u8;

    /// Hands over what is finished of the file: it is stored in front of everything that comes later, and the file no
    /// longer holds it.
    fn take_finished(&mut self) -> Vec<Bytes>;

    /// Closes the file. `metadata` are names and values for its footer, where the format has one. The chunks, one
    /// behind the other and behind those that were taken before, are the file.
    fn finish(self: Box<Self>, metadata: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError>;
}

/// Opens a file of `format`.
pub fn open(format: &Format) -> Box<dyn Encoder> {
    match format {
        Format::Json(format) => Box::new(LinesEncoder::new(*format)),
        Format::Raw(format) => Box::new(LinesEncoder::new(*format)),
        Format::Parquet(format) => Box::new(ParquetWriter::encoder(format.clone())),
        Format::Orc(format) => Box::new(OrcWriter::encoder(format.clone())),
    }
}

/// Opens a file of `format` beside `others` that are open. The file will be the same as that of [`open`]: only its rows
/// wait in another way where there are many.
pub fn open_beside(others: usize, format: &Format) -> Box<dyn Encoder> {
    let columns = |format: &Format| format.columns().map(Arc::clone);
    match (format, columns(format)) {
        (Format::Parquet(format), Some(columns)) if others >= FEW_FILES => {
            Box::new(ColumnarEncoder::one_of_many(columns, ParquetWriter::new(format.clone())))
        }
        (Format::Orc(format), Some(columns)) if others >= FEW_FILES => {
            Box::new(ColumnarEncoder::one_of_many(columns, OrcWriter::new(format.clone())))
        }
        _ => open(format),
    }
}
