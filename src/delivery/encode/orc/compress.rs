//! Compression: a stream is cut into blocks, and each block is a chunk of its own.
//!
//! A chunk is a header of three bytes and the block, compressed if that makes it smaller. The header is a little-
//! endian number: twice the length that follows, plus one where the block is stored as it was. Files without
//! compression have no headers at all.

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor};

use super::super::EncodeError;

/// Bytes of a block before compression: what a reader needs in memory for each stream that it reads. The format's
/// own default.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Bytes of a chunk's header.
pub(super) const HEADER_BYTES: usize = 3;

/// The general compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Streams are stored as they are.
    None,
    /// Raw deflate (RFC 1951), at libdeflate's levels 1 to 12.
    Zlib {
        /// 1 is fastest, 12 smallest.
        level: i32,
    },
    /// Snappy's raw format.
    Snappy,
    /// An LZ4 block.
    Lz4,
    /// A Zstandard frame.
    Zstd {
        /// 1 to 22.
        level: i32,
    },
}

impl Codec {
    /// The format's number for it (`CompressionKind`).
    pub(super) fn kind(self) -> u64 {
        match self {
            Codec::None => 0,
            Codec::Zlib { .. } => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 4,
            Codec::Zstd { .. } => 5,
        }
    }

    /// Appends `bytes`, in as many chunks as they need, to `out`.
    pub(super) fn append(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self == Codec::None {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        bytes.chunks(BLOCK_BYTES).try_for_each(|block| self.append_chunk(block, out))
    }

    /// How many bytes `block` would be stored in.
    pub(super) fn stored_bytes(self, block: &[u8]) -> Result<usize, EncodeError> {
        if self == Codec::None {
            return Ok(block.len());
        }
        WORKSPACE.with_borrow_mut(|workspace| {
            let compressed = workspace.compress(self, block)?;
            Ok(HEADER_BYTES + compressed.min(block.len()))
        })
    }

    fn append_chunk(self, block: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        WORKSPACE.with_borrow_mut(|workspace| {
            let compressed = workspace.compress(self, block)?;
            let is_original = compressed >= block.len();
            let content = if is_original { block } else { &workspace.output[..compressed] };
            // A block has at most 2^18 bytes, so the number has at most 19 bits.
            let header = (content.len() as u32) << 1 | u32::from(is_original);
            out.extend_from_slice(&header.to_le_bytes()[..HEADER_BYTES]);
            out.extend_from_slice(content);
            Ok(())
        })
    }
}

/// What compressing needs besides its input: 200 KiB to 10 MiB, by codec and level. Kept once a thread, because open
/// files are many and compress one after the other.
#[derive(Default)]
struct Workspace {
    deflate: Option<(i32, Compressor)>,
    zstd: Option<(i32, zstd::bulk::Compressor<'static>)>,
    snappy: Option<snap::raw::Encoder>,
    output: Vec<u8>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

impl Workspace {
    /// Compresses `block` into `output`; returns how many bytes that took.
    fn compress(&mut self, codec: Codec, block: &[u8]) -> Result<usize, EncodeError> {
        match codec {
            Codec::None => Ok(block.len()),
            Codec::Zlib { level } => self.deflate(level, block),
            Codec::Snappy => {
                let output = room(&mut self.output, snap::raw::max_compress_len(block.len()));
                let encoder = self.snappy.get_or_insert_with(snap::raw::Encoder::new);
                encoder.compress(block, output).map_err(|_| EncodeError::Compress("snappy refused a block"))
            }
            Codec::Lz4 => {
                let output = room(&mut self.output, lz4_flex::block::get_maximum_output_size(block.len()));
                lz4_flex::block::compress_into(block, output)
                    .map_err(|_| EncodeError::Compress("lz4 output is larger than its bound"))
            }
            Codec::Zstd { level } => self.zstd(level, block),
        }
    }

    fn deflate(&mut self, level: i32, block: &[u8]) -> Result<usize, EncodeError> {
        let (_, compressor) = match &mut self.deflate {
            Some(kept) if kept.0 == level => kept,
            slot => {
                let checked = CompressionLvl::new(level)
                    .map_err(|_| EncodeError::Compress("a zlib level is 1 to 12"))?;
                slot.insert((level, Compressor::new(checked)))
            }
        };
        let output = room(&mut self.output, compressor.deflate_compress_bound(block.len()));
        compressor
            .deflate_compress(block, output)
            .map_err(|_| EncodeError::Compress("deflate output is larger than its bound"))
    }

    fn zstd(&mut self, level: i32, block: &[u8]) -> Result<usize, EncodeError> {
        const REFUSED: EncodeError = EncodeError::Compress("zstd refused a block or its level");
        let (_, compressor) = match &mut self.zstd {
            Some(kept) if kept.0 == level => kept,
            slot => slot.insert((level, zstd::bulk::Compressor::new(level).map_err(|_| REFUSED)?)),
        };
        let output = room(&mut self.output, zstd::zstd_safe::compress_bound(block.len()));
        compressor.compress_to_buffer(block, output).map_err(|_| REFUSED)
    }
}

/// The first `bytes` of `output`, which grows as needed and never shrinks: at most a block and what a codec adds.
fn room(output: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if output.len() < bytes {
        output.resize(bytes, 0);
    }
    &mut output[..bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 4] = [Codec::Zlib { level: 6 }, Codec::Snappy, Codec::Lz4, Codec::Zstd { level: 1 }];

    /// The blocks of `chunks`: the bytes of each, and whether it is stored as it was.
    fn split(mut chunks: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let mut blocks = Vec::new();
        while !chunks.is_empty() {
            let header = u32::from_le_bytes([chunks[0], chunks[1], chunks[2], 0]);
            let (content, rest) = chunks[HEADER_BYTES..].split_at((header >> 1) as usize);
            blocks.push((header & 1 == 1, content.to_vec()));
            chunks = rest;
        }
        blocks
    }

    fn decompress(codec: Codec, content: &[u8]) -> Vec<u8> {
        match codec {
            Codec::None => content.to_vec(),
            Codec::Zlib { .. } => {
                let mut output = vec![0; BLOCK_BYTES];
                let mut decompressor = libdeflater::Decompressor::new();
                let length = decompressor.deflate_decompress(content, &mut output).unwrap();
                output.truncate(length);
                output
            }
            Codec::Snappy => snap::raw::Decoder::new().decompress_vec(content).unwrap(),
            Codec::Lz4 => lz4_flex::block::decompress(content, BLOCK_BYTES).unwrap(),
            Codec::Zstd { .. } => zstd::bulk::decompress(content, BLOCK_BYTES).unwrap(),
        }
    }

    #[test]
    fn chunks_hold_the_bytes_in_blocks() {
        let text: Vec<u8> = (0..BLOCK_BYTES * 5 / 2).map(|index| (index / 100 % 251) as u8).collect();
        for codec in ALL {
            let mut out = Vec::new();
            codec.append(&text, &mut out).unwrap();
            let blocks = split(&out);
            assert_eq!(blocks.len(), 3);
            assert!(blocks.iter().all(|(is_original, _)| !is_original));
            let found: Vec<u8> = blocks.iter().flat_map(|(_, content)| decompress(codec, content)).collect();
            assert!(found == text, "{codec:?}");
        }
        let mut out = Vec::new();
        Codec::None.append(&text, &mut out).unwrap();
        assert!(out == text);
    }

    #[test]
    fn a_block_that_does_not_shrink_is_stored_as_it_was() {
        for codec in ALL {
            let mut out = Vec::new();
            codec.append(&[1, 2, 3, 4, 5], &mut out).unwrap();
            assert_eq!(out, [0x0b, 0, 0, 1, 2, 3, 4, 5], "{codec:?}");
            assert_eq!(codec.stored_bytes(&[1, 2, 3, 4, 5]).unwrap(), 8);
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        assert!(Codec::Zlib { level: 13 }.append(&[0; 100], &mut Vec::new()).is_err());
    }
}
