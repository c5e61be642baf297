//! Reading a file's end, as far as it takes to count its rows: what `forebay verify` asks of an object. And undoing the
//! compression, for those who read on.

use thiserror::Error;

use super::compress::{BLOCK_BYTES, HEADER_BYTES};
use super::tail::MAGIC;
use crate::config::limits::VERIFY_FOOTER_BYTES_MAX;

/// The largest block that a chunk can hold as it was: its header has 23 bits for the length.
const BLOCK_BYTES_MAX: u64 = 1 << 23;

/// Bytes at the end of a file that surely hold its postscript and the byte with the postscript's length.
pub const TAIL_BYTES: u64 = 256;

/// Why bytes are not the end of an ORC file of ours.
#[derive(Debug, Error)]
pub enum NotOrc {
    /// The bytes end before what they should hold.
    #[error("the file is too short")]
    Short,
    /// Its blocks or its footer are larger than any that is looked at.
    #[error(
        "{what} of {bytes} bytes, where at most {bytes_max} are read: it is damaged, or written by another program"
    )]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// What the file says.
        bytes: u64,
        /// The most that is read.
        bytes_max: u64,
    },
    /// Something else stands where a number, a length or the three letters should be.
    #[error("{0}")]
    Malformed(&'static str),
}

/// The postscript of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postscript {
    codec: u64,
    /// Bytes of a block before compression, at most.
    block_bytes: usize,
    /// Bytes of the footer.
    pub footer_bytes: u64,
    /// Bytes between the footer and the end of the file.
    pub bytes_behind_footer: u64,
}

impl Postscript {
    /// Reads the postscript in `tail`, the last [`TAIL_BYTES`] of a file or all of a shorter one.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(tail: &[u8]) -> Result<Self, NotOrc> {
        let (length, rest) = tail.split_last().ok_or(NotOrc::Short)?;
        let start = rest.len().checked_sub(usize::from(*length)).ok_or(NotOrc::Short)?;
        let postscript = &rest[start..];
        if !postscript.ends_with(MAGIC) {
            return Err(NotOrc::Malformed("it does not end like an ORC file"));
        }
        let number = |field| find_number(postscript, field);
        let footer_bytes =
            number(1)?.ok_or(NotOrc::Malformed("it does not tell the length of its footer"))?;
        at_most("a footer", footer_bytes, VERIFY_FOOTER_BYTES_MAX)?;
        // What a file does not tell is the format's own default.
        let block_bytes = number(3)?.unwrap_or(BLOCK_BYTES as u64);
        let block_bytes = at_most("blocks", block_bytes, BLOCK_BYTES_MAX)? as usize;
        let (codec, bytes_behind_footer) = (number(2)?.unwrap_or_default(), u64::from(*length) + 1);
        Ok(Self { codec, block_bytes, footer_bytes, bytes_behind_footer })
    }

    /// How many rows the file has, as its footer says.
    ///
    /// # Errors
    /// If `footer` is not the footer.
    pub fn rows(&self, footer: &[u8]) -> Result<u64, NotOrc> {
        let footer = self.unpack(footer)?;
        Ok(find_number(&footer, 6)?.unwrap_or_default())
    }

    /// The content of a footer or a stream as it is stored.
    ///
    /// # Errors
    /// If it is not what the file's codec writes.
    pub fn unpack(&self, stored: &[u8]) -> Result<Vec<u8>, NotOrc> {
        if self.codec == 0 {
            return Ok(stored.to_vec());
        }
        self.decompress(stored)
    }

    fn decompress(&self, mut chunks: &[u8]) -> Result<Vec<u8>, NotOrc> {
        let mut content = Vec::new();
        while !chunks.is_empty() {
            let (header, rest) = chunks.split_at_checked(HEADER_BYTES).ok_or(NotOrc::Short)?;
            let header = header.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
            let (chunk, rest) = rest.split_at_checked(header >> 1).ok_or(NotOrc::Short)?;
            chunks = rest;
            if header & 1 == 1 {
                content.extend_from_slice(chunk);
                continue;
            }
            const DAMAGED: NotOrc = NotOrc::Malformed("a part of it cannot be decompressed");
            content.extend(decompress_chunk(self.codec, chunk, self.block_bytes).ok_or(DAMAGED)?);
            at_most("a decompressed footer", content.len() as u64, VERIFY_FOOTER_BYTES_MAX)?;
        }
        Ok(content)
    }
}

fn at_most(what: &'static str, bytes: u64, bytes_max: u64) -> Result<u64, NotOrc> {
    if bytes > bytes_max { Err(NotOrc::TooLarge { what, bytes, bytes_max }) } else { Ok(bytes) }
}

fn decompress_chunk(codec: u64, chunk: &[u8], block_bytes: usize) -> Option<Vec<u8>> {
    match codec {
        1 => {
            let mut block = vec![0; block_bytes];
            let length = libdeflater::Decompressor::new().deflate_decompress(chunk, &mut block).ok()?;
            block.truncate(length);
            Some(block)
        }
        2 => {
            // The length that the chunk claims comes from the file, so it is bounded before it is believed.
            let length = snap::raw::decompress_len(chunk).ok().filter(|length| *length <= block_bytes)?;
            let mut block = vec![0; length];
            snap::raw::Decoder::new().decompress(chunk, &mut block).ok()?;
            Some(block)
        }
        4 => lz4_flex::block::decompress(chunk, block_bytes).ok(),
        5 => zstd::bulk::decompress(chunk, block_bytes).ok(),
        _ => None,
    }
}

/// The number in field `wanted` of a message, the last where there are several.
fn find_number(message: &[u8], wanted: u64) -> Result<Option<u64>, NotOrc> {
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        let skipped = match tag & 7 {
            0 => {
                let number = take_varint(&mut rest)?;
                if tag >> 3 == wanted {
                    found = Some(number);
                }
                0
            }
            1 => 8,
            2 => take_varint(&mut rest)?,
            5 => 4,
            _ => return Err(NotOrc::Malformed("its footer is not what it should be")),
        };
        let skipped = usize::try_from(skipped).map_err(|_| NotOrc::Short)?;
        rest = rest.get(skipped..).ok_or(NotOrc::Short)?;
    }
    Ok(found)
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, NotOrc> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().ok_or(NotOrc::Short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
        if shift > 63 {
            return Err(NotOrc::Malformed("a number in its footer is too long"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::Codec;
    use super::super::protobuf::Message;
    use super::*;

    /// The end of a file with these numbers in its postscript.
    fn tail(footer_bytes: u64, codec: Codec, block_bytes: Option<u64>) -> Vec<u8> {
        let mut postscript = Message::default();
        postscript.uint(1, footer_bytes).uint(2, codec.kind());
        if let Some(bytes) = block_bytes {
            postscript.uint(3, bytes);
        }
        postscript.bytes(8_000, MAGIC);
        let mut tail = postscript.as_slice().to_vec();
        tail.push(tail.len() as u8);
        tail
    }

    #[test]
    fn blocks_are_read_up_to_the_size_that_the_file_tells_and_not_beyond() {
        const LARGE: usize = 1 << 20;
        let content = vec![7; LARGE];
        let chunk = |compressed: Vec<u8>| {
            let header = (compressed.len() as u32) << 1;
            [&header.to_le_bytes()[..HEADER_BYTES], &compressed].concat()
        };
        let mut deflated = vec![0; LARGE];
        let length = libdeflater::Compressor::new(libdeflater::CompressionLvl::default())
            .deflate_compress(&content, &mut deflated)
            .unwrap();
        deflated.truncate(length);
        let chunks = [
            (Codec::Zlib { level: 6 }, chunk(deflated)),
            (Codec::Snappy, chunk(snap::raw::Encoder::new().compress_vec(&content).unwrap())),
            (Codec::Lz4, chunk(lz4_flex::block::compress(&content))),
            (Codec::Zstd { level: 1 }, chunk(zstd::bulk::compress(&content, 1).unwrap())),
        ];
        for (codec, chunk) in chunks {
            let unpack = |block_bytes| Postscript::read(&tail(9, codec, block_bytes)).unwrap().unpack(&chunk);
            assert!(unpack(Some(LARGE as u64)).unwrap() == content, "{codec:?}");
            assert!(unpack(Some(BLOCK_BYTES as u64)).is_err(), "{codec:?}");
            assert!(unpack(None).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn sizes_that_only_a_damaged_file_tells_are_refused_before_anything_is_read() {
        let refusal = |footer_bytes, block_bytes| {
            let tail = tail(footer_bytes, Codec::Snappy, Some(block_bytes));
            Postscript::read(&tail).unwrap_err().to_string()
        };
        assert!(refusal(9, (8 << 20) + 1).contains("blocks of 8388609 bytes"));
        assert!(Postscript::read(&tail(VERIFY_FOOTER_BYTES_MAX, Codec::Snappy, Some(8 << 20))).is_ok());
        assert!(refusal(VERIFY_FOOTER_BYTES_MAX + 1, 1).contains("a footer of"));
    }
}
