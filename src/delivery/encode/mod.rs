//! Records → the bytes of a file.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

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
    Parquet(#[from] parquet::errors::ParquetError),
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

/// stub
#[allow(missing_docs)]
pub mod dead_letter { pub struct DeadLetter<'a>{pub reason:&'a str,pub message:&'a str,pub attempts:u32,pub first_failed_at:&'a str,pub failed_at:&'a str,pub arrival_time:&'a str,pub stream:&'a str,pub delivery:&'a str,pub shard:crate::record::ShardId,pub sequence_number:crate::record::SequenceNumber,pub partition_key:&'a [u8],pub raw:&'a [u8]}
impl DeadLetter<'_>{pub fn write(&self,_:&mut Vec<u8>){}} }
/// stub
pub fn open(_:&crate::config::checked::Format,_:Vec<(String,String)>)->Box<dyn Encoder>{todo!()}
