//! Lines: payloads one behind the other, plain or in blocks of a codec. JSON lines have one payload a line, alone or in
//! an envelope; raw files have the bytes of the payloads, whatever they are, with a line feed behind each or without.

mod blocks;
mod envelope;
mod gzip;

use bytes::Bytes;

use self::blocks::BLOCK_BYTES;
use super::pieces::Pieces;
use super::{EncodeError, Encoder, PushError, Row};
use crate::config::checked::{Delimiter, JsonCompression, JsonFormat, RawFormat};

/// Compressed size over input before the first block is there to tell. JSON events are compressed to a fourth or
/// less; too high a guess only seals a small file early.
const RATIO_GUESS: f64 = 0.25;

/// A file that goes on behind a block has room for this part of what it has had.
const ROOM_PART: u64 = 4;

/// Room for the line that fills up a block.
const LAST_LINE_BYTES: usize = 16 << 10;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A line of JSON.
    Json {
        /// See [`JsonFormat::envelope`].
        envelope: bool,
    },
    /// The payload's bytes.
    Raw(Delimiter),
}

/// What the lines of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinesFormat {
    /// Codec of the file.
    pub compression: JsonCompression,
    /// How a record is written.
    pub line: Line,
}

impl From<JsonFormat> for LinesFormat {
    fn from(JsonFormat { compression, envelope }: JsonFormat) -> Self {
        Self { compression, line: Line::Json { envelope } }
    }
}

impl From<RawFormat> for LinesFormat {
    fn from(RawFormat { compression, delimiter }: RawFormat) -> Self {
        Self { compression, line: Line::Raw(delimiter) }
    }
}

/// An open file of lines.
#[derive(Debug)]
pub struct LinesEncoder {
    format: LinesFormat,
    /// Lines that are not in `chunks` yet. Grows with what comes, so that a file with few records stays small.
    staged: Pieces,
    chunks: Vec<Bytes>,
    /// Bytes of `chunks`.
    held_bytes: u64,
    /// Bytes of `chunks` and of those that were taken.
    chunks_bytes: u64,
    /// Input that went into `chunks`.
    input_bytes: u64,
}

impl LinesEncoder {
    /// A file without records.
    pub fn new(format: impl Into<LinesFormat>) -> Self {
        Self {
            format: format.into(),
            staged: Pieces::default(),
            chunks: Vec::new(),
            held_bytes: 0,
            chunks_bytes: 0,
            input_bytes: 0,
        }
    }

    /// Room for a line. Once a file has had some blocks, the next one is in one piece; before that, room is no more than
    /// a part of what the file has had.
    #[inline]
    fn room(&mut self, row: &Row<'_>) -> &mut Vec<u8> {
        let around = if self.format.line.has_envelope() { envelope::bytes_about(row) } else { 0 };
        let bytes = row.payload.as_bytes().len() + 1 + around;
        if self.staged.len() == 0 && self.input_bytes > 0 {
            let block = blocks::input_bytes(self.format.compression) + LAST_LINE_BYTES;
            let room = usize::try_from(self.input_bytes / ROOM_PART).map_or(block, |room| room.min(block));
            if self.staged.memory_bytes() < room {
                self.staged.begin(room);
            }
        }
        self.staged.open(bytes)
    }

    fn close_chunk(&mut self) -> Result<(), EncodeError> {
        self.input_bytes += self.staged.len() as u64;
        match self.format.compression {
            JsonCompression::None => {
                for mut piece in self.staged.take() {
                    if piece.len() < piece.capacity() / 2 {
                        piece.shrink_to_fit();
                    }
                    self.keep(Bytes::from(piece));
                }
            }
            codec => {
                let block = blocks::compress(codec, &self.staged, self.chunks_bytes == 0)?;
                // A record far above the bound is no reason to keep room for the next one.
                self.staged.clear(blocks::input_bytes(codec) + BLOCK_BYTES);
                self.keep(block);
            }
        }
        Ok(())
    }

    fn keep(&mut self, chunk: Bytes) {
        self.held_bytes += chunk.len() as u64;
        self.chunks_bytes += chunk.len() as u64;
        self.chunks.push(chunk);
    }
}

impl Line {
    fn has_envelope(self) -> bool {
        self == Line::Json { envelope: true }
    }

    /// Appends what a record makes to `lines`.
    pub fn write(self, row: &Row<'_>, lines: &mut Vec<u8>) {
        match self {
            Line::Json { envelope } => write_json(row, envelope, lines),
            Line::Raw(delimiter) => {
                lines.extend_from_slice(row.payload.as_bytes());
                if delimiter == Delimiter::Newline {
                    lines.push(b'\n');
                }
            }
        }
    }
}

fn write_json(row: &Row<'_>, in_envelope: bool, lines: &mut Vec<u8>) {
    if in_envelope {
        envelope::write_begin(lines, row);
    }
    let (start, payload) = (lines.len(), row.payload.as_bytes());
    lines.extend_from_slice(payload);
    // Line breaks can only be white space between tokens: inside strings JSON has them escaped.
    if memchr::memchr2(b'\n', b'\r', payload).is_some() {
        for byte in &mut lines[start..] {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    if in_envelope {
        lines.extend_from_slice(envelope::END);
    }
    lines.push(b'\n');
}

impl Encoder for LinesEncoder {
    fn push(&mut self, row: Row<'_>) -> Result<u64, PushError> {
        let (before, room) = (self.staged.len(), self.staged.memory_bytes());
        let line = self.format.line;
        line.write(&row, self.room(&row));
        // Room that was made for what comes is held as well.
        let made = self.staged.memory_bytes().saturating_sub(room);
        let taken = (self.staged.len() - before).max(made);
        if self.staged.len() >= blocks::input_bytes(self.format.compression) {
            self.close_chunk()?;
        }
        Ok(taken as u64)
    }

    fn stored_bytes(&self) -> u64 {
        let staged = self.staged.len() as u64;
        let ratio = match self.format.compression {
            JsonCompression::None => return self.chunks_bytes + staged,
            _ if self.input_bytes == 0 => RATIO_GUESS,
            _ => self.chunks_bytes as f64 / self.input_bytes as f64,
        };
        self.chunks_bytes + (staged as f64 * ratio) as u64
    }

    fn memory_bytes(&self) -> u64 {
        let list = self.chunks.capacity() * size_of::<Bytes>();
        self.held_bytes + (self.staged.memory_bytes() + list) as u64
    }

    fn look_ahead(&self) -> u8 {
        self.staged.last()
    }

    /// Pieces grow by a part of what there is.
    fn memory_ahead(&self, _: u64) -> u64 {
        0
    }

    fn take_finished(&mut self) -> Vec<Bytes> {
        self.held_bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    fn finish(mut self: Box<Self>, _: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError> {
        // Even without a record a file of a codec has a block: no bytes at all are no gzip file.
        let is_plain = self.format.compression == JsonCompression::None;
        if self.staged.len() > 0 || (self.chunks_bytes == 0 && !is_plain) {
            self.close_chunk()?;
        }
        Ok(self.chunks)
    }
}

#[cfg(test)]
mod tests;
