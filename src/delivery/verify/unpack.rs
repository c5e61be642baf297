//! Compressed lines → text, in whatever pieces they come. Shares no code with what has written them, but for the
//! codecs themselves.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{Decoder as ZstdDecoder, Operation};

use crate::config::checked::JsonCompression;

/// How lines are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// Members of gzip.
    Gzip,
    /// Frames of zstd.
    Zstd,
    /// Snappy's framing.
    Snappy,
    /// Snappy in Hadoop's blocks.
    HadoopSnappy,
}

impl Packing {
    /// For whoever has nothing but the name of an object of JSON lines, which has the ending of its format; `None` if it
    /// has another one.
    pub fn of_key(key: &str) -> Option<Self> {
        let endings = [
            (".json", Packing::Plain),
            (".json.gz", Packing::Gzip),
            (".json.zst", Packing::Zstd),
            (".json.sz", Packing::Snappy),
            (".json.snappy", Packing::HadoopSnappy),
        ];
        endings.into_iter().find(|(ending, _)| key.ends_with(ending)).map(|(_, packing)| packing)
    }
}

impl From<JsonCompression> for Packing {
    fn from(compression: JsonCompression) -> Self {
        match compression {
            JsonCompression::None => Packing::Plain,
            JsonCompression::Gzip { .. } => Packing::Gzip,
            JsonCompression::Zstd { .. } => Packing::Zstd,
            JsonCompression::Snappy => Packing::Snappy,
            JsonCompression::HadoopSnappy => Packing::HadoopSnappy,
        }
    }
}

/// Takes the pieces of an object and writes the text to `W`.
pub struct Unpacker<W: Write> {
    text: Text<W>,
}

enum Text<W: Write> {
    Plain(W),
    Gzip(Box<MultiGzDecoder<W>>),
    Zstd(Box<Zstd<W>>),
    Snappy(Snappy<W>),
    HadoopSnappy(HadoopSnappy<W>),
}

impl<W: Write> Unpacker<W> {
    /// No bytes yet.
    ///
    /// # Errors
    /// If there is no memory for the codec.
    pub fn new(packing: Packing, text: W) -> io::Result<Self> {
        let text = match packing {
            Packing::Plain => Text::Plain(text),
            Packing::Gzip => Text::Gzip(Box::new(MultiGzDecoder::new(text))),
            Packing::Zstd => Text::Zstd(Box::new(Zstd::new(text)?)),
            Packing::Snappy => Text::Snappy(Snappy { text, held: Vec::new() }),
            Packing::HadoopSnappy => {
                Text::HadoopSnappy(HadoopSnappy { text, held: Vec::new(), missing: 0, output: Vec::new() })
            }
        };
        Ok(Self { text })
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// If this is not what the codec writes, and what `W` says.
    pub fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.text {
            Text::Plain(text) => text.write_all(piece),
            Text::Gzip(decoder) => decoder.write_all(piece),
            Text::Zstd(decoder) => decoder.take(piece),
            Text::Snappy(decoder) => decoder.take(piece),
            Text::HadoopSnappy(decoder) => decoder.take(piece),
        }
    }

    /// Where the text goes.
    pub fn text(&mut self) -> &mut W {
        match &mut self.text {
            Text::Plain(text) => text,
            Text::Gzip(decoder) => decoder.get_mut(),
            Text::Zstd(decoder) => &mut decoder.text,
            Text::Snappy(decoder) => &mut decoder.text,
            Text::HadoopSnappy(decoder) => &mut decoder.text,
        }
    }

    /// There are no more pieces.
    ///
    /// # Errors
    /// If there should be more.
    pub fn finish(self) -> io::Result<W> {
        match self.text {
            Text::Plain(text) => Ok(text),
            Text::Gzip(decoder) => decoder.finish(),
            Text::Zstd(decoder) if decoder.is_inside => Err(cut("zstd")),
            Text::Zstd(decoder) => Ok(decoder.text),
            Text::Snappy(decoder) if !decoder.held.is_empty() => Err(cut("snappy")),
            Text::Snappy(decoder) => Ok(decoder.text),
            Text::HadoopSnappy(decoder) if !decoder.held.is_empty() || decoder.missing > 0 => {
                Err(cut("Hadoop's snappy"))
            }
            Text::HadoopSnappy(decoder) => Ok(decoder.text),
        }
    }
}

fn cut(codec: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends in the middle of a block of {codec}"))
}

fn damaged(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Text that zstd hands over at a time.
const ZSTD_OUTPUT_BYTES: usize = 128 << 10;

struct Zstd<W> {
    text: W,
    decoder: ZstdDecoder<'static>,
    output: Vec<u8>,
    /// Whether a frame has begun and not ended.
    is_inside: bool,
}

impl<W: Write> Zstd<W> {
    fn new(text: W) -> io::Result<Self> {
        let output = vec![0; ZSTD_OUTPUT_BYTES];
        Ok(Self { text, decoder: ZstdDecoder::new()?, output, is_inside: false })
    }

    fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        // What does not fit into the output waits inside of the decoder: then it is to be asked again.
        let mut is_full = false;
        while !piece.is_empty() || is_full {
            let status = self.decoder.run_on_buffers(piece, &mut self.output)?;
            piece = &piece[status.bytes_read..];
            self.text.write_all(&self.output[..status.bytes_written])?;
            self.is_inside = status.remaining > 0;
            is_full = self.is_inside && status.bytes_written == self.output.len();
        }
        Ok(())
    }
}

/// Adds `piece` to `held` until it has `length` bytes; whether it has.
fn fill(held: &mut Vec<u8>, piece: &mut &[u8], length: usize) -> bool {
    let (taken, rest) = piece.split_at(piece.len().min(length.saturating_sub(held.len())));
    held.extend_from_slice(taken);
    *piece = rest;
    held.len() >= length
}

/// Chunks of one byte of type, three of length (little-endian), and that many more.
struct Snappy<W> {
    text: W,
    /// The beginning of a chunk, as long as a chunk at most: 16 MiB.
    held: Vec<u8>,
}

/// What a file begins with; [`snap::read::FrameDecoder`] asks for it before each chunk that it is to read alone.
const SNAPPY_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

impl<W: Write> Snappy<W> {
    fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        loop {
            if !fill(&mut self.held, &mut piece, 4) {
                return Ok(());
            }
            let &[_, low, middle, high, ..] = self.held.as_slice() else { return Ok(()) };
            let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
            if !fill(&mut self.held, &mut piece, 4 + length) {
                return Ok(());
            }
            let alone = io::Read::chain(SNAPPY_IDENTIFIER, self.held.as_slice());
            io::copy(&mut snap::read::FrameDecoder::new(alone), &mut self.text)?;
            self.held.clear();
        }
    }
}

/// Blocks of one length (4 bytes, big-endian), and chunks of it until that is reached: a length, and that many bytes.
struct HadoopSnappy<W> {
    text: W,
    /// The beginning of a chunk.
    held: Vec<u8>,
    /// Text that is missing of the block.
    missing: usize,
    output: Vec<u8>,
}

/// The longest chunk that is taken, compressed or not: Hadoop's own have 256 KiB at most.
const HADOOP_CHUNK_BYTES_MAX: usize = 4 << 20;

impl<W: Write> HadoopSnappy<W> {
    fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        loop {
            if !fill(&mut self.held, &mut piece, 4) {
                return Ok(());
            }
            let &[a, b, c, d, ..] = self.held.as_slice() else { return Ok(()) };
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if self.missing == 0 {
                self.missing = length;
                self.held.clear();
                continue;
            }
            if length > HADOOP_CHUNK_BYTES_MAX {
                return Err(damaged(format!("a chunk of {length} bytes")));
            }
            if !fill(&mut self.held, &mut piece, 4 + length) {
                return Ok(());
            }
            self.unpack()?;
        }
    }

    /// The chunk in `held`.
    fn unpack(&mut self) -> io::Result<()> {
        let chunk = self.held.get(4..).unwrap_or_default();
        let length = snap::raw::decompress_len(chunk).map_err(damaged)?;
        if length > self.missing.min(HADOOP_CHUNK_BYTES_MAX) {
            return Err(damaged(format!(
                "a chunk of {length} bytes in a block that misses {}",
                self.missing
            )));
        }
        self.output.resize(length, 0);
        let length = snap::raw::Decoder::new().decompress(chunk, &mut self.output).map_err(damaged)?;
        self.text.write_all(&self.output[..length])?;
        self.missing -= length;
        self.held.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{Format, JsonFormat};
    use crate::delivery::encode::{self, Row};

    const CODECS: [(JsonCompression, Packing); 5] = [
        (JsonCompression::None, Packing::Plain),
        (JsonCompression::Gzip { level: 1 }, Packing::Gzip),
        (JsonCompression::Zstd { level: 1 }, Packing::Zstd),
        (JsonCompression::Snappy, Packing::Snappy),
        (JsonCompression::HadoopSnappy, Packing::HadoopSnappy),
    ];

    fn packed(compression: JsonCompression, records: usize) -> (Vec<u8>, String) {
        let format = Format::Json(JsonFormat { compression, envelope: false });
        let mut encoder = encode::open(&format);
        let mut text = String::new();
        for index in 0..records {
            let record = format!("{{\"index\":{index},\"noise\":\"{:x}\"}}", index.wrapping_mul(0x9e37_79b9));
            encoder.push(Row::of_payload(&record)).unwrap();
            text += &record;
            text.push('\n');
        }
        (encoder.finish(&[]).unwrap().concat(), text)
    }

    fn unpacked(packing: Packing, bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(packing, Vec::new())?;
        bytes.chunks(piece).try_for_each(|piece| unpacker.take(piece))?;
        unpacker.finish()
    }

    #[test]
    fn text_comes_out_as_it_went_in_whatever_the_pieces() {
        for (compression, packing) in CODECS {
            for (records, piece) in [(0, 1), (1, 1), (60_000, 777), (60_000, 3 << 20)] {
                let (bytes, text) = packed(compression, records);
                let found = unpacked(packing, &bytes, piece).unwrap();
                assert!(found == text.as_bytes(), "{packing:?}, {records} records in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_of_another_codec_is_noticed() {
        for (compression, packing) in CODECS.into_iter().skip(1) {
            let (bytes, text) = packed(compression, 10_000);
            for end in [1, 3, bytes.len() / 2, bytes.len() - 1] {
                assert!(unpacked(packing, &bytes[..end], 100).is_err(), "{packing:?} cut at {end}");
            }
            assert!(unpacked(packing, text.as_bytes(), 100).is_err(), "{packing:?} given plain text");
        }
    }

    #[test]
    fn damage_is_noticed_by_every_codec_with_checksums() {
        for (compression, packing) in CODECS.into_iter().skip(1) {
            let (mut bytes, _) = packed(compression, 10_000);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            let found = unpacked(packing, &bytes, 1_000);
            // Hadoop's blocks have none.
            assert!(found.is_err() || packing == Packing::HadoopSnappy, "{packing:?}");
        }
    }
}
