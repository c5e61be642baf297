//! Records → the bytes of a file.

pub mod columns;
pub mod dead_letter;
pub mod json_lines;
pub mod parquet;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use self::json_lines::JsonLinesEncoder;
use self::parquet::{ParquetEncoder, ParquetOptions};
use crate::config::checked::Format;

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
    /// Arrow refused to build a batch.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
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
    /// Adds one record: a JSON object without white space around it, already known to be valid JSON.
    fn push(&mut self, record: &str) -> Result<(), PushError>;

    /// How large the file would be if it were finished now, in bytes as stored. An estimate where the codec does
    /// not tell, within about 10 % at the sizes at which files are sealed.
    fn stored_bytes(&self) -> u64;

    /// Bytes of memory that the open file holds at the moment.
    fn memory_bytes(&self) -> u64;

    /// Closes the file. The chunks, one behind the other, are the file.
    fn finish(self: Box<Self>) -> Result<Vec<Bytes>, EncodeError>;
}

/// Opens a file of `format`. `metadata` are names and values for the file's own header, where the format has one.
pub fn open(format: &Format, metadata: Vec<(String, String)>) -> Box<dyn Encoder> {
    match format {
        Format::Json { compression } => Box::new(JsonLinesEncoder::new(*compression)),
        Format::Parquet { compression, columns } => {
            let options = ParquetOptions { compression: *compression, metadata };
            Box::new(ParquetEncoder::new(Arc::clone(columns), options))
        }
    }
}
