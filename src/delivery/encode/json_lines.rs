//! JSON lines: the payloads as they came, one a line, plain or in gzip.
//!
//! A gzip file is a row of members (RFC 1952 section 2.2): whole blocks of input compress faster than a stream, and
//! each is finished and out of the way. Members of 256 KiB cost about 2 % in size.

use std::cell::RefCell;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};

use super::{EncodeError, Encoder, PushError, Row};
use crate::config::checked::JsonCompression;

/// Input of one gzip member, and the size of a plain chunk: what an open file holds uncompressed at most, besides
/// the record that fills it up.
const MEMBER_BYTES: usize = 256 << 10;

/// Compressed size over input before the first member is there to tell. JSON events are compressed to a fourth or
/// less; too high a guess only seals a small file early.
const RATIO_GUESS: f64 = 0.25;

/// The highest of libdeflate's levels.
const LEVEL_MAX: usize = 12;

/// An open file of JSON lines.
#[derive(Debug)]
pub struct JsonLinesEncoder {
    compression: JsonCompression,
    /// Lines that are not in `chunks` yet. Grows with what comes, so that a file with few records stays small.
    staged: Vec<u8>,
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
    pub fn new(compression: JsonCompression) -> Self {
        Self {
            compression,
            staged: Vec::new(),
            chunks: Vec::new(),
            held_bytes: 0,
            chunks_bytes: 0,
            input_bytes: 0,
        }
    }

    fn close_chunk(&mut self) -> Result<(), EncodeError> {
        self.input_bytes += self.staged.len() as u64;
        let chunk = match self.compression {
            JsonCompression::None => Bytes::from(std::mem::take(&mut self.staged)),
            JsonCompression::Gzip { level } => {
                let member = gzip(&self.staged, level)?;
                self.staged.clear();
                // A record far above the bound is no reason to keep room for the next one.
                self.staged.shrink_to(2 * MEMBER_BYTES);
                member
            }
            JsonCompression::Zstd { .. } | JsonCompression::Snappy | JsonCompression::HadoopSnappy => {
                return Err(EncodeError::Compress("this codec is not in this version"));
            }
        };
        self.held_bytes += chunk.len() as u64;
        self.chunks_bytes += chunk.len() as u64;
        self.chunks.push(chunk);
        Ok(())
    }
}

impl Encoder for JsonLinesEncoder {
    fn push(&mut self, row: Row<'_>) -> Result<(), PushError> {
        let record = row.payload;
        let start = self.staged.len();
        self.staged.extend_from_slice(record.as_bytes());
        // Line breaks can only be white space between tokens: inside strings JSON has them escaped.
        if memchr::memchr2(b'\n', b'\r', record.as_bytes()).is_some() {
            for byte in &mut self.staged[start..] {
                if matches!(*byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        self.staged.push(b'\n');
        if self.staged.len() >= MEMBER_BYTES {
            self.close_chunk()?;
        }
        Ok(())
    }

    fn stored_bytes(&self) -> u64 {
        let staged = self.staged.len() as u64;
        let ratio = match self.compression {
            JsonCompression::None => return self.chunks_bytes + staged,
            _ if self.input_bytes == 0 => RATIO_GUESS,
            _ => self.chunks_bytes as f64 / self.input_bytes as f64,
        };
        self.chunks_bytes + (staged as f64 * ratio) as u64
    }

    fn memory_bytes(&self) -> u64 {
        let list = self.chunks.capacity() * size_of::<Bytes>();
        self.held_bytes + (self.staged.capacity() + list) as u64
    }

    fn take_finished(&mut self) -> Vec<Bytes> {
        self.held_bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    fn finish(mut self: Box<Self>, _: &[(String, String)]) -> Result<Vec<Bytes>, EncodeError> {
        // Even without a record a gzip file has one member: no bytes at all are no gzip file.
        if !self.staged.is_empty() || (self.chunks_bytes == 0 && self.compression != JsonCompression::None) {
            self.close_chunk()?;
        }
        Ok(self.chunks)
    }
}

/// What compressing needs besides input and output: about 200 KiB at the low levels and 9 MiB at the highest. Kept
/// once a thread, because open files are many and compress one after the other.
#[derive(Default)]
struct Workspace {
    by_level: [Option<Compressor>; LEVEL_MAX + 1],
    output: Vec<u8>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// `input` as one gzip member.
fn gzip(input: &[u8], level: u8) -> Result<Bytes, EncodeError> {
    const BAD_LEVEL: EncodeError = EncodeError::Compress("a gzip level is 1 to 12");
    WORKSPACE.with_borrow_mut(|Workspace { by_level, output }| {
        let slot = by_level.get_mut(usize::from(level)).ok_or(BAD_LEVEL)?;
        let compressor = match slot {
            Some(compressor) => compressor,
            None => {
                let level = CompressionLvl::new(i32::from(level)).map_err(|_| BAD_LEVEL)?;
                slot.insert(Compressor::new(level))
            }
        };
        output.resize(compressor.gzip_compress_bound(input.len()), 0);
        let length = compressor
            .gzip_compress(input, output)
            .map_err(|_| EncodeError::Compress("gzip output is larger than its bound"))?;
        let member = Bytes::copy_from_slice(&output[..length]);
        output.clear();
        output.shrink_to(2 * MEMBER_BYTES);
        Ok(member)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::*;

    const GZIP: JsonCompression = JsonCompression::Gzip { level: 1 };

    fn encoder(compression: JsonCompression) -> Box<JsonLinesEncoder> {
        Box::new(JsonLinesEncoder::new(compression))
    }

    fn gunzip(chunks: &[Bytes]) -> String {
        let mut text = String::new();
        MultiGzDecoder::new(&*chunks.concat()).read_to_string(&mut text).unwrap();
        text
    }

    fn record(index: usize) -> String {
        let noise = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!(r#"{{"index":{index},"path":"/item/{noise:x}","agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#)
    }

    #[test]
    fn plain_lines_are_the_payloads_and_nothing_else() {
        let mut encoder = encoder(JsonCompression::None);
        let mut expected = String::new();
        for index in 0..10_000 {
            let record = record(index);
            encoder.push(Row::of_payload(&record)).unwrap();
            expected += &record;
            expected.push('\n');
            assert_eq!(encoder.stored_bytes(), expected.len() as u64);
        }
        let chunks = encoder.finish(&[]).unwrap();
        assert!(chunks.len() > 2, "more than one chunk");
        assert!(chunks.concat() == expected.as_bytes());
    }

    #[test]
    fn a_gzip_file_of_many_members_is_read_as_one() {
        for level in 1..=12 {
            let mut encoder = encoder(JsonCompression::Gzip { level });
            let records: Vec<_> = (0..7_000).map(record).collect();
            for record in &records {
                encoder.push(Row::of_payload(record)).unwrap();
            }
            let chunks = encoder.finish(&[]).unwrap();
            assert!(chunks.len() >= 2, "{} members", chunks.len());
            assert!(gunzip(&chunks) == records.join("\n") + "\n");
        }
    }

    #[test]
    fn a_payload_of_several_lines_becomes_one_line() {
        let pretty = "{\r\n  \"text\": \"a\\nb\",\n\t\"list\": [\n1,\r2]\n}";
        for compression in [JsonCompression::None, GZIP] {
            let mut encoder = encoder(compression);
            encoder.push(Row::of_payload("{}")).unwrap();
            encoder.push(Row::of_payload(pretty)).unwrap();
            encoder.push(Row::of_payload("{}")).unwrap();
            let chunks = encoder.finish(&[]).unwrap();
            let text = match compression {
                JsonCompression::None => String::from_utf8(chunks.concat()).unwrap(),
                _ => gunzip(&chunks),
            };
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 3, "{text:?}");
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(parse(lines[1]), parse(pretty));
        }
    }

    #[test]
    fn a_file_without_records_is_still_a_file_of_its_format() {
        assert_eq!(encoder(JsonCompression::None).finish(&[]).unwrap(), Vec::<Bytes>::new());
        assert_eq!(gunzip(&encoder(GZIP).finish(&[]).unwrap()), "");
    }

    #[test]
    fn a_file_with_few_records_holds_little_memory() {
        let mut encoder = encoder(GZIP);
        encoder.push(Row::of_payload(&record(1))).unwrap();
        assert!(encoder.memory_bytes() < 1_024, "{}", encoder.memory_bytes());
    }

    #[test]
    fn memory_is_bounded_by_what_is_stored_and_one_member() {
        let mut encoder = encoder(GZIP);
        for index in 0..50_000 {
            encoder.push(Row::of_payload(&record(index))).unwrap();
        }
        let bound = encoder.chunks_bytes + 3 * MEMBER_BYTES as u64;
        assert!(encoder.memory_bytes() <= bound, "{} of {bound}", encoder.memory_bytes());
        let huge = format!("\"{}\"", "x".repeat(20 * MEMBER_BYTES));
        encoder.push(Row::of_payload(&huge)).unwrap();
        assert!(encoder.staged.capacity() <= 2 * MEMBER_BYTES);
    }

    #[test]
    fn the_stored_size_is_told_within_a_tenth() {
        let mut encoder = encoder(GZIP);
        let mut index = 0;
        while encoder.stored_bytes() < 1 << 20 {
            encoder.push(Row::of_payload(&record(index))).unwrap();
            index += 1;
        }
        let told = encoder.stored_bytes() as f64;
        let stored = encoder.finish(&[]).unwrap().iter().map(Bytes::len).sum::<usize>() as f64;
        assert!((stored / told - 1.0).abs() < 0.1, "told {told}, stored {stored}");
    }

    #[test]
    fn a_level_that_does_not_exist_is_an_error() {
        for level in [0, 13, 255] {
            let mut encoder = encoder(JsonCompression::Gzip { level });
            encoder.push(Row::of_payload("{}")).unwrap();
            let finished = encoder.finish(&[]);
            // Level 0 is libdeflate's name for "stored".
            assert_eq!(finished.is_err(), level != 0, "{level}");
        }
    }
}
