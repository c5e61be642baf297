//! JSON lines: the payloads as they came, one a line, alone or in an envelope; plain or in blocks of a codec.

mod blocks;
mod envelope;

use bytes::Bytes;

use self::blocks::BLOCK_BYTES;
use super::pieces::Pieces;
use super::{EncodeError, Encoder, PushError, Row};
use crate::config::checked::{JsonCompression, JsonFormat};

/// Compressed size over input before the first block is there to tell. JSON events are compressed to a fourth or
/// less; too high a guess only seals a small file early.
const RATIO_GUESS: f64 = 0.25;

/// A file that goes on behind a block has room for this part of what it has had.
const ROOM_PART: u64 = 4;

/// Room for the line that fills up a block.
const LAST_LINE_BYTES: usize = 16 << 10;

/// An open file of JSON lines.
#[derive(Debug)]
pub struct JsonLinesEncoder {
    format: JsonFormat,
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

impl JsonLinesEncoder {
    /// A file without records.
    pub fn new(format: JsonFormat) -> Self {
        Self {
            format,
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
        let bytes = row.payload.len() + 1 + if self.format.envelope { envelope::bytes_about(row) } else { 0 };
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

/// Appends the line of a record to `lines`.
pub fn write_line(row: &Row<'_>, in_envelope: bool, lines: &mut Vec<u8>) {
    if in_envelope {
        envelope::write_begin(lines, row);
    }
    let start = lines.len();
    lines.extend_from_slice(row.payload.as_bytes());
    // Line breaks can only be white space between tokens: inside strings JSON has them escaped.
    if memchr::memchr2(b'\n', b'\r', row.payload.as_bytes()).is_some() {
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

impl Encoder for JsonLinesEncoder {
    fn push(&mut self, row: Row<'_>) -> Result<u64, PushError> {
        let before = self.staged.len();
        let in_envelope = self.format.envelope;
        write_line(&row, in_envelope, self.room(&row));
        let taken = self.staged.len() - before;
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
