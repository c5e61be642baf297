//! ORC: the columns that are needed, a stripe at a time. Shares no code with what has written them, but for the end of
//! the file and the codecs (specification: orc.apache.org/specification/ORCv1).

mod column;
mod message;
mod runs;

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use forebay::delivery::encode::orc::reading::{NotOrc, Postscript, TAIL_BYTES};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use thiserror::Error;

use self::column::Column;
use self::message::{fields, number, repeated};
use super::key::KeyRule;
use super::object::ObjectFile;
use super::rows::{self, Rows};
use super::sighting::{Reporter, Unheard};

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, Error)]
enum NotRead {
    #[error("{0}")]
    End(#[from] NotOrc),
    #[error("a part of the file ends too early")]
    Short,
    #[error("{0} is not what it should be")]
    Malformed(&'static str),
    #[error("{0}")]
    Object(#[from] ParquetError),
    #[error("{0}")]
    Column(#[from] ArrowError),
}

/// Reads all records of an object.
pub(super) fn read(file: &ObjectFile, key: &KeyRule, to: &mut Reporter) -> Result<(), Unheard> {
    let orc = match OrcFile::open(file, &rows::wanted(key)) {
        Ok(orc) => orc,
        Err(error) => {
            to.unreadable(1, error.to_string());
            return Ok(());
        }
    };
    let mut row = 0;
    for stripe in &orc.stripes {
        match orc.batch(file, stripe) {
            Ok(Some(batch)) => Rows::new(&batch, key).inspect(row, to),
            // None of its columns has anything to do with us.
            Ok(None) => (0..stripe.rows).for_each(|_| to.foreign()),
            Err(error) => {
                to.unreadable(row + 1, error.to_string());
                return Ok(());
            }
        }
        row += stripe.rows as u64;
        to.flush_if_full()?;
    }
    Ok(())
}

/// What the end of a file says.
struct OrcFile {
    postscript: Postscript,
    stripes: Vec<Stripe>,
    columns: Vec<Column>,
}

struct Stripe {
    start: u64,
    /// Of its index and its data together.
    content_bytes: u64,
    footer_bytes: u64,
    rows: usize,
}

impl OrcFile {
    fn open(file: &ObjectFile, wanted: &BTreeSet<&str>) -> Result<Self, NotRead> {
        let bytes = file.len();
        let tail_bytes = bytes.min(TAIL_BYTES);
        let postscript = Postscript::read(&get(file, bytes - tail_bytes, tail_bytes)?)?;
        let end = bytes.checked_sub(postscript.bytes_behind_footer).ok_or(NotRead::Short)?;
        let start = end.checked_sub(postscript.footer_bytes).ok_or(NotRead::Short)?;
        let footer = postscript.unpack(&get(file, start, postscript.footer_bytes)?)?;
        let footer = fields(&footer)?;
        let stripes = repeated(&footer, 3).map(Stripe::read).collect::<Result<Vec<_>, _>>()?;
        let rows: u64 = stripes.iter().map(|stripe| stripe.rows as u64).sum();
        if rows != number(&footer, 6) {
            return Err(NotRead::Malformed("the number of rows"));
        }
        let types = repeated(&footer, 4).collect::<Vec<_>>();
        Ok(Self { postscript, stripes, columns: Column::below_root(&types, wanted)? })
    }

    /// The columns of a stripe; none if there are none that are read.
    fn batch(&self, file: &ObjectFile, stripe: &Stripe) -> Result<Option<RecordBatch>, NotRead> {
        if self.columns.is_empty() {
            return Ok(None);
        }
        let footer_at = stripe.start.checked_add(stripe.content_bytes).ok_or(NotRead::Short)?;
        let footer = self.postscript.unpack(&get(file, footer_at, stripe.footer_bytes)?)?;
        let footer = fields(&footer)?;
        let mut streams = Vec::new();
        let mut start = stripe.start;
        for stream in repeated(&footer, 1) {
            let stream = fields(stream)?;
            let [kind, column, length] = [1, 2, 3].map(|field| number(&stream, field));
            streams.push(Stream { kind, column, start, length });
            start = start.checked_add(length).ok_or(NotRead::Short)?;
        }
        let encoding = |message| fields(message).map(|encoding| (number(&encoding, 1), number(&encoding, 2)));
        let encodings = repeated(&footer, 2).map(encoding).collect::<Result<Vec<_>, _>>()?;
        let parts = Parts { orc: self, file, streams, encodings };
        let arrays = self.columns.iter().map(|column| parts.array(column, stripe.rows));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let names = self.columns.iter().map(|column| column.name.as_str());
        let columns = names.zip(arrays).map(|(name, array)| (name, array, true));
        Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
    }
}

impl Stripe {
    fn read(message: &[u8]) -> Result<Self, NotRead> {
        let message = fields(message)?;
        let [start, index, data, footer_bytes, rows] = [1, 2, 3, 4, 5].map(|field| number(&message, field));
        // No writer has stripes of more; a damaged number must not keep us busy for years.
        let rows = u32::try_from(rows).map_err(|_| NotRead::Malformed("a stripe's number of rows"))?;
        let content_bytes = index.checked_add(data).ok_or(NotRead::Short)?;
        Ok(Self { start, content_bytes, footer_bytes, rows: rows as usize })
    }
}

/// A stream, by the format's number for what it holds.
struct Stream {
    kind: u64,
    column: u64,
    start: u64,
    length: u64,
}

/// What a stripe has.
struct Parts<'a> {
    orc: &'a OrcFile,
    file: &'a ObjectFile,
    streams: Vec<Stream>,
    /// Of each column, with the number of texts in its dictionary.
    encodings: Vec<(u64, u64)>,
}

impl Parts<'_> {
    /// The content of a stream; none if there is no such stream.
    fn stream(&self, column: usize, kind: u64) -> Result<Option<Vec<u8>>, NotRead> {
        let is_it = |stream: &&Stream| stream.kind == kind && stream.column == column as u64;
        let Some(stream) = self.streams.iter().find(is_it) else { return Ok(None) };
        Ok(Some(self.orc.postscript.unpack(&get(self.file, stream.start, stream.length)?)?))
    }
}

fn get(file: &ObjectFile, start: u64, length: u64) -> Result<Bytes, NotRead> {
    Ok(file.get_bytes(start, usize::try_from(length).map_err(|_| NotRead::Short)?)?)
}
