//! An object → its dead letters, one after the other.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use thiserror::Error;
use tokio::runtime::Handle;

use super::letter::{Letter, LetterError};
use crate::config::limits::DEAD_LETTER_LINE_BYTES_MAX;
use crate::delivery::sink::{ObjectReader, ObjectSink, SinkError, SinkErrorClass};

/// How often a store is asked that does not answer well.
const TRIES_MAX: u32 = 4;
/// Pause after the first try; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
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
}

/// Reads the letters of an object. In memory are one piece of the object
/// ([`OBJECT_PIECE_BYTES`](crate::config::limits::OBJECT_PIECE_BYTES)) and one line ([`DEAD_LETTER_LINE_BYTES_MAX`]).
pub struct LetterReader {
    text: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    row: u64,
}

impl LetterReader {
    /// Opens the object `key`; `None` if there is none. Blocks the thread, which must be none of `runtime`.
    ///
    /// # Errors
    /// If the store refuses, or does not answer several times in a row.
    pub fn open(sink: &ObjectSink, key: &str, runtime: &Handle) -> Result<Option<Self>, ReadLetterError> {
        let reader = match patiently(runtime, async || sink.get(key).await) {
            Ok(reader) => reader,
            Err(error) if error.class == SinkErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stored = Pieces { reader, runtime: runtime.clone(), piece: Bytes::new() };
        let text: Box<dyn Read> = match key.ends_with(".gz") {
            true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(TEXT_BYTES, stored))),
            false => Box::new(stored),
        };
        let text = BufReader::with_capacity(TEXT_BYTES, text);
        Ok(Some(Self { text, line: Vec::new(), row: 0 }))
    }

    /// The next letter, and its line, from 0; `None` at the end. Blocks the thread.
    ///
    /// # Errors
    /// Behind [`ReadLetterError::Line`] it goes on with the next line, behind any other there is nothing more.
    pub fn read_letter(&mut self) -> Result<Option<(u64, Letter)>, ReadLetterError> {
        self.line.clear();
        let rest = |source| ReadLetterError::Rest { row: self.row + 1, source };
        let mut line = (&mut self.text).take(DEAD_LETTER_LINE_BYTES_MAX);
        if line.read_until(b'\n', &mut self.line).map_err(rest)? == 0 {
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
    runtime: Handle,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.piece.has_remaining() {
            let Self { reader, runtime, .. } = self;
            let mut pause = PAUSE;
            let mut tries = 1;
            let piece = loop {
                match runtime.block_on(reader.next()) {
                    Err(error) if error.class == SinkErrorClass::Transient && tries < TRIES_MAX => {
                        std::thread::sleep(pause);
                        (pause, tries) = (pause * 2, tries + 1);
                    }
                    other => break other,
                }
            };
            self.piece = piece.map_err(io::Error::other)?.unwrap_or_default();
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Asks again while the store is away.
fn patiently<T>(runtime: &Handle, ask: impl AsyncFn() -> Result<T, SinkError>) -> Result<T, SinkError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES_MAX {
        match runtime.block_on(ask()) {
            Err(error) if error.class == SinkErrorClass::Transient => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
    runtime.block_on(ask())
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

    /// Numbers of the letters of an object, and what was said in between.
    fn read(content: &[u8]) -> Vec<Result<u64, String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json.gz"), content).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut reader =
            LetterReader::open(&sink(folder.path()), "a.json.gz", runtime.handle()).unwrap().unwrap();
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
        assert!(LetterReader::open(&sink(folder.path()), "a.json.gz", runtime.handle()).unwrap().is_none());
    }
}
