//! The text of a compressed object, to be read.

use std::io::{self, Read};

use forebay::delivery::verify::unpack::{Packing, Unpacker};

/// Stored bytes that are unpacked at a time.
const PIECE_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct Unpacked<R> {
    stored: R,
    /// Nothing at the end.
    unpacker: Option<Unpacker<Vec<u8>>>,
    piece: Vec<u8>,
    text: Vec<u8>,
    /// How much of `text` was read.
    given: usize,
}

impl<R: Read> Unpacked<R> {
    /// What `stored` holds.
    pub(super) fn new(packing: Packing, stored: R) -> io::Result<Self> {
        let unpacker = Some(Unpacker::new(packing, Vec::new())?);
        Ok(Self { stored, unpacker, piece: vec![0; PIECE_BYTES], text: Vec::new(), given: 0 })
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            let Some(unpacker) = &mut self.unpacker else { return Ok(0) };
            (self.given, self.text) = match self.stored.read(&mut self.piece)? {
                0 => match self.unpacker.take() {
                    Some(unpacker) => (0, unpacker.finish()?),
                    None => return Ok(0),
                },
                count => {
                    self.text.clear();
                    std::mem::swap(unpacker.text(), &mut self.text);
                    unpacker.take(&self.piece[..count])?;
                    (0, std::mem::take(unpacker.text()))
                }
            };
        }
        let rest = &self.text[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
