//! An object → its dead letters, one after the other.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use memchr::memchr;
use thiserror::Error;

use super::letter::{Letter, LetterError};
use super::patience::Patience;
use crate::config::limits::{DEAD_LETTER_LINE_BYTES_MAX, DEAD_LETTER_LINE_COPIES};
use crate::delivery::sink::{ObjectReader, ObjectSink, SinkError, SinkErrorClass};
use crate::runtime::budget::Permit;

/// Bytes of text that are decoded at a time.
const TEXT_BYTES: usize = 64 << 10;

/// Why a letter cannot be read.
#[derive(Debug, Error)]
pub enum ReadLetterError {
    /// The store does not give the object.
    #[error("the object cannot be read: {0}")]
    Store(#[from] SinkError),
    /// Nothing from this line on can be read: the object is damaged, or the store has failed.
    #[error("line {row}: the object cannot be read on ({source})")]
    Rest {
        /// The line, from 1.
        row: u64,
        /// What the decoder or the store has said.
        source: io::Error,
    },
    /// This line is no letter; those behind it may be.
    #[error("line {row}: {source}")]
    Line {
        /// The line, from 1.
        row: u64,
        /// What is wrong with it.
        source: LetterError,
    },
    /// The line does not fit into memory at the moment.
    #[error("line {row}: there is no memory for it at the moment")]
    NoMemory {
        /// The line, from 1.
        row: u64,
    },
}

impl ReadLetterError {
    /// Whether the object may be read another time, or there is no telling.
    pub fn is_passing(&self) -> bool {
        match self {
            ReadLetterError::Store(_) | ReadLetterError::NoMemory { .. } => true,
            ReadLetterError::Rest { source, .. } => {
                source.get_ref().is_some_and(|inner| inner.is::<SinkError>())
            }
            ReadLetterError::Line { .. } => false,
        }
    }
}

/// Reads the letters of an object. In memory are one piece of the object
/// ([`OBJECT_PIECE_BYTES`](crate::config::limits::OBJECT_PIECE_BYTES)) and one line ([`DEAD_LETTER_LINE_BYTES_MAX`]).
pub struct LetterReader {
    text: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    row: u64,
    /// Pays for the line, if somebody does.
    paid: Option<Permit>,
}

impl LetterReader {
    /// Opens the object `key`; `None` if there is none. Blocks the thread.
    ///
    /// # Errors
    /// If the store refuses, or `patience` is over.
    pub fn open(sink: &ObjectSink, key: &str, patience: &Patience) -> Result<Option<Self>, ReadLetterError> {
        let reader = match patience.ask(async || sink.get(key).await) {
            Ok(reader) => reader,
            Err(error) if error.class == SinkErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stored = Pieces { reader, patience: patience.clone(), piece: Bytes::new() };
        let text: Box<dyn Read> = match key.ends_with(".gz") {
            true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(TEXT_BYTES, stored))),
            false => Box::new(stored),
        };
        let text = BufReader::with_capacity(TEXT_BYTES, text);
        Ok(Some(Self { text, line: Vec::new(), row: 0, paid: None }))
    }

    /// Has lines and their letters paid for: by what `permit` grows to.
    #[must_use]
    pub fn paid_by(self, permit: Permit) -> Self {
        Self { paid: Some(permit), ..self }
    }

    /// The next letter, and its line, from 0; `None` at the end. Blocks the thread.
    ///
    /// # Errors
    /// Behind [`ReadLetterError::Line`] it goes on with the next line, behind any other there is nothing more.
    pub fn read_letter(&mut self) -> Result<Option<(u64, Letter)>, ReadLetterError> {
        self.line.clear();
        let rest = |source| ReadLetterError::Rest { row: self.row + 1, source };
        loop {
            let found = match self.text.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                found => found.map_err(rest)?,
            };
            let left = (DEAD_LETTER_LINE_BYTES_MAX as usize).saturating_sub(self.line.len());
            let found = &found[..found.len().min(left)];
            let count = memchr(b'\n', found).map_or(found.len(), |end| end + 1);
            let bytes = (self.line.len() + count) as u64 * DEAD_LETTER_LINE_COPIES;
            if let Some(paid) = &mut self.paid
                && !paid.try_grow(bytes.saturating_sub(paid.bytes()))
            {
                return Err(ReadLetterError::NoMemory { row: self.row + 1 });
            }
            self.line.extend_from_slice(&found[..count]);
            self.text.consume(count);
            if count == 0 || self.line.ends_with(b"\n") {
                break;
            }
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        if !self.line.ends_with(b"\n") {
            let what = match self.line.len() as u64 {
                DEAD_LETTER_LINE_BYTES_MAX => format!("it is longer than {DEAD_LETTER_LINE_BYTES_MAX} bytes"),
                _ => "it ends in the middle of a line".to_owned(),
            };
            return Err(rest(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        self.row += 1;
        match Letter::parse(&self.line) {
            Ok(letter) => Ok(Some((self.row - 1, letter))),
            Err(source) => Err(ReadLetterError::Line { row: self.row, source }),
        }
    }
}

/// The pieces of an object as bytes one behind the other.
struct Pieces {
    reader: ObjectReader,
    patience: Patience,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.piece.has_remaining() {
            let Self { reader, patience, .. } = self;
            let piece = patience.ask(async || reader.next().await);
            self.piece = piece.map_err(io::Error::other)?.unwrap_or_default();
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use url::Url;

    use super::*;
    use crate::config::checked;
    use crate::delivery::encode::dead_letter::{DeadLetter, Envelope};
    use crate::record::{SequenceNumber, ShardId};
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;

    fn sink(folder: &Path) -> ObjectSink {
        let url = Url::from_directory_path(folder).unwrap();
        ObjectSink::open(&checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 })
            .unwrap()
    }

    fn line(number: u64, envelope: Envelope) -> String {
        let mut line = String::new();
        let letter = DeadLetter {
            reason: "columns",
            message: "m",
            attempts: 1,
            first_failed_at: UnixMicros(0),
            failed_at: UnixMicros(0),
            arrival_time: UnixMicros(0),
            stream: "s",
            delivery: "d",
            shard: ShardId(0),
            sequence_number: SequenceNumber(number),
            partition_key: "",
            raw: b"{}",
        };
        letter.write_to(envelope, &mut line);
        line
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn patience(runtime: &tokio::runtime::Runtime) -> Patience {
        Patience::without_end(runtime.handle())
    }

    /// Numbers of the letters of an object, and what was said in between.
    fn read(content: &[u8]) -> Vec<Result<u64, String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json.gz"), content).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut reader =
            LetterReader::open(&sink(folder.path()), "a.json.gz", &patience(&runtime)).unwrap().unwrap();
        let mut found = Vec::new();
        loop {
            match reader.read_letter() {
                Ok(Some((_, letter))) => found.push(Ok(letter.number.0)),
                Ok(None) => return found,
                Err(error) => {
                    found.push(Err(error.to_string()));
                    if !matches!(error, ReadLetterError::Line { .. }) {
                        return found;
                    }
                }
            }
        }
    }

    #[test]
    fn letters_of_both_envelopes_are_read_over_all_members_of_a_file() {
        let members = [
            gzip(&format!("{}\n{}\n", line(1, Envelope::Forebay), line(2, Envelope::Firehose))),
            gzip(&format!("{}\n", line(3, Envelope::Forebay))),
        ];
        assert_eq!(read(&members.concat()), [Ok(1), Ok(2), Ok(3)]);
    }

    #[test]
    fn a_line_that_is_no_letter_is_told_and_the_others_are_read() {
        let text = format!("{}\nno letter\n{}\n", line(1, Envelope::Forebay), line(3, Envelope::Forebay));
        let found = read(&gzip(&text));
        assert_eq!((&found[0], &found[2], found.len()), (&Ok(1), &Ok(3), 3));
        assert!(found[1].as_ref().unwrap_err().starts_with("line 2: it is no dead letter"), "{found:?}");
    }

    #[test]
    fn damage_is_told_and_ends_the_object() {
        let whole = gzip(&format!("{}\n{}\n", line(1, Envelope::Forebay), line(2, Envelope::Forebay)));
        let cut = read(&whole[..whole.len() - 9]);
        assert!(cut.last().unwrap().as_ref().unwrap_err().contains("cannot be read on"), "{cut:?}");
        assert!(read(b"no gzip at all")[0].as_ref().unwrap_err().contains("line 1"));
        let half = read(&gzip(&format!("{}\n{{\"reason\":", line(1, Envelope::Forebay))));
        assert_eq!(half[0], Ok(1));
        assert!(half[1].as_ref().unwrap_err().contains("middle of a line"), "{half:?}");
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        assert!(
            LetterReader::open(&sink(folder.path()), "a.json.gz", &patience(&runtime)).unwrap().is_none()
        );
    }

    #[test]
    fn a_line_that_memory_has_no_room_for_is_not_read_and_its_bytes_go_back() {
        let folder = tempfile::tempdir().unwrap();
        let line = line(1, Envelope::Forebay);
        std::fs::write(folder.path().join("a.json"), format!("{line}\n")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let needed = (line.len() as u64 + 1) * DEAD_LETTER_LINE_COPIES;
        for (capacity, is_enough) in [(needed, true), (needed - 1, false)] {
            let budget = Budget::new(capacity);
            let reader = LetterReader::open(&sink(folder.path()), "a.json", &patience(&runtime)).unwrap();
            let mut reader = reader.unwrap().paid_by(budget.take_anyway(0));
            let found = reader.read_letter();
            assert_eq!(found.is_ok(), is_enough, "{found:?}");
            assert_eq!(budget.used(), if is_enough { needed } else { 0 });
            drop(reader);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn a_store_is_not_asked_when_nobody_wants_to_know() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ended = tokio_util::sync::CancellationToken::new();
        let far = crate::runtime::clock::monotonic() + std::time::Duration::from_secs(3_600);
        let patience = Patience::until(runtime.handle(), far, ended.clone());
        assert!(!patience.is_over() && patience.ask(async || Ok(1)).is_ok());
        ended.cancel();
        assert!(patience.is_over() && patience.ask(async || Ok(1)).is_err());
    }
}
