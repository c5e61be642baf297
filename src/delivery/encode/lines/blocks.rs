//! Blocks of lines → compressed blocks. Behind one another they are a file of their codec: whole blocks compress
//! faster than a stream, each is finished and out of the way, and an open file holds no state of a compressor.
//!
//! | codec | a block is | by |
//! | --- | --- | --- |
//! | gzip | a member | RFC 1952 section 2.2 |
//! | zstd | a frame with its size and a checksum | RFC 8878 section 3.1 |
//! | snappy | chunks; the identifier stands before the first block only | Snappy's framing format |
//! | Hadoop's snappy | 4 bytes of length (big-endian), 4 bytes of compressed length, raw Snappy; as often as needed | Hadoop's `BlockCompressorStream` |

use std::cell::RefCell;
use std::io::Write;

use bytes::Bytes;

use super::super::EncodeError;
use super::super::pieces::Pieces;
use super::gzip::Gzip;
use crate::config::checked::JsonCompression;

/// Input of one block: what an open file holds uncompressed at most, besides the record that fills it up. As gzip
/// members blocks of this size cost 2 to 8 % in size against blocks of 1 MiB.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// The same for zstd, which finds repetitions farther away: 10 to 15 % smaller than with blocks of 256 KiB.
const ZSTD_BLOCK_BYTES: usize = 1 << 20;

/// What a file in Snappy's framing begins with.
const SNAPPY_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Input of a block of Hadoop's, well below the 256 KiB that its readers have room for. Snappy itself looks no farther
/// back than 64 KiB.
const HADOOP_BLOCK_BYTES: usize = 64 << 10;

/// How much input a block of `compression` has.
pub(super) fn input_bytes(compression: JsonCompression) -> usize {
    match compression {
        JsonCompression::Zstd { .. } => ZSTD_BLOCK_BYTES,
        _ => BLOCK_BYTES,
    }
}

/// `input` as a block of `compression`, the first of its file or a later one.
pub(super) fn compress(
    compression: JsonCompression,
    input: &Pieces,
    is_first: bool,
) -> Result<Bytes, EncodeError> {
    WORKSPACE.with_borrow_mut(|workspace| {
        let mut gathered = std::mem::take(&mut workspace.gathered);
        let block = workspace.compress(compression, input.as_slice(&mut gathered), is_first);
        gathered.clear();
        gathered.shrink_to(2 * ZSTD_BLOCK_BYTES);
        workspace.gathered = gathered;
        block
    })
}

/// What compressing needs besides input and output, kept once a thread, because open files are many and compress one
/// after the other. For gzip 200 KiB at the low levels and 9 MiB at the highest; for zstd, whose tables shrink with the
/// size of a block, 2 MiB at the low levels and 40 MiB at the highest; for Snappy 100 KiB.
#[derive(Default)]
struct Workspace {
    gzip: Gzip,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    hadoop_snappy: Option<snap::raw::Encoder>,
    /// Input that comes in pieces.
    gathered: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

impl Workspace {
    fn compress(
        &mut self,
        compression: JsonCompression,
        input: &[u8],
        is_first: bool,
    ) -> Result<Bytes, EncodeError> {
        let compressed = match compression {
            JsonCompression::None => input,
            JsonCompression::Gzip { level } => self.gzip(input, level)?,
            JsonCompression::Zstd { level } => self.zstd(input, level)?,
            JsonCompression::Snappy => self.snappy(input, is_first)?,
            JsonCompression::HadoopSnappy => self.hadoop_snappy(input)?,
        };
        let block = Bytes::copy_from_slice(compressed);
        self.output.clear();
        self.output.shrink_to(2 * ZSTD_BLOCK_BYTES);
        Ok(block)
    }

    fn gzip(&mut self, input: &[u8], level: u8) -> Result<&[u8], EncodeError> {
        let length = self.gzip.member(input, level, &mut self.output)?;
        Ok(&self.output[..length])
    }

    fn zstd(&mut self, input: &[u8], level: u8) -> Result<&[u8], EncodeError> {
        let failed = |_| EncodeError::Compress("zstd has failed");
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            None => {
                let mut compressor = zstd::bulk::Compressor::new(i32::from(level)).map_err(failed)?;
                compressor.include_checksum(true).map_err(failed)?;
                self.zstd.insert(compressor)
            }
        };
        compressor.set_compression_level(i32::from(level)).map_err(failed)?;
        self.output.resize(zstd::zstd_safe::compress_bound(input.len()), 0);
        let length = compressor.compress_to_buffer(input, &mut self.output[..]).map_err(failed)?;
        Ok(&self.output[..length])
    }

    fn snappy(&mut self, input: &[u8], is_first: bool) -> Result<&[u8], EncodeError> {
        let failed = || EncodeError::Compress("snappy has failed");
        let mut framed = snap::write::FrameEncoder::new(std::mem::take(&mut self.output));
        framed.write_all(input).map_err(|_| failed())?;
        self.output = framed.into_inner().map_err(|_| failed())?;
        if self.output.is_empty() {
            self.output.extend_from_slice(SNAPPY_IDENTIFIER);
        }
        let begin = if is_first { 0 } else { SNAPPY_IDENTIFIER.len() };
        Ok(&self.output[begin..])
    }

    fn hadoop_snappy(&mut self, input: &[u8]) -> Result<&[u8], EncodeError> {
        let failed = || EncodeError::Compress("snappy has failed");
        let Self { hadoop_snappy, output, .. } = self;
        let snappy = hadoop_snappy.get_or_insert_with(snap::raw::Encoder::new);
        let mut end = 0;
        for block in input.chunks(HADOOP_BLOCK_BYTES) {
            output.resize(end + 8 + snap::raw::max_compress_len(block.len()), 0);
            let length = snappy.compress(block, &mut output[end + 8..]).map_err(|_| failed())?;
            let as_u32 = |length: usize| u32::try_from(length).map_err(|_| failed());
            output[end..end + 4].copy_from_slice(&as_u32(block.len())?.to_be_bytes());
            output[end + 4..end + 8].copy_from_slice(&as_u32(length)?.to_be_bytes());
            end += 8 + length;
        }
        Ok(&output[..end])
    }
}
