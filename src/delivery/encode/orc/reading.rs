//! Reading a file's end, as far as it takes to count its rows: what `forebay verify` asks of an object. And undoing the
//! compression, for those who read on.

use thiserror::Error;

use super::compress::{BLOCK_BYTES, HEADER_BYTES};
use super::tail::MAGIC;

/// Bytes at the end of a file that surely hold its postscript and the byte with the postscript's length.
pub const TAIL_BYTES: u64 = 256;

/// Why bytes are not the end of an ORC file of ours.
#[derive(Debug, Error)]
pub enum NotOrc {
    /// The bytes end before what they should hold.
    #[error("the file is too short")]
    Short,
    /// Something else stands where a number, a length or the three letters should be.
    #[error("{0}")]
    Malformed(&'static str),
}

/// The postscript of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postscript {
    codec: u64,
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
        let bytes_behind_footer = u64::from(*length) + 1;
        Ok(Self { codec: number(2)?.unwrap_or_default(), footer_bytes, bytes_behind_footer })
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
        decompress(self.codec, stored)
    }
}

/// The content of chunks that were compressed with the codec of that number.
fn decompress(codec: u64, mut chunks: &[u8]) -> Result<Vec<u8>, NotOrc> {
    if codec == 0 {
        return Ok(chunks.to_vec());
    }
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
        content.extend(
            decompress_chunk(codec, chunk).ok_or(NotOrc::Malformed("a part of it cannot be decompressed"))?,
        );
    }
    Ok(content)
}

fn decompress_chunk(codec: u64, chunk: &[u8]) -> Option<Vec<u8>> {
    match codec {
        1 => {
            let mut block = vec![0; BLOCK_BYTES];
            let length = libdeflater::Decompressor::new().deflate_decompress(chunk, &mut block).ok()?;
            block.truncate(length);
            Some(block)
        }
        2 => {
            // The length that the chunk claims comes from the file, so it is bounded before it is believed.
            let length = snap::raw::decompress_len(chunk).ok().filter(|length| *length <= BLOCK_BYTES)?;
            let mut block = vec![0; length];
            snap::raw::Decoder::new().decompress(chunk, &mut block).ok()?;
            Some(block)
        }
        4 => lz4_flex::block::decompress(chunk, BLOCK_BYTES).ok(),
        5 => zstd::bulk::decompress(chunk, BLOCK_BYTES).ok(),
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
