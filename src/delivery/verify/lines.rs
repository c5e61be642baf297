//! The lines of an object, and whether they are those of its records.

use std::io::{self, Write};

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::unpack::{Packing, Unpacker};
use crate::delivery::encode::Row;
use crate::delivery::encode::lines::Line;
use crate::record::{SequenceNumber, ShardId};

/// What stands for a line that a record makes: its hash.
pub type Mark = u64;

/// The mark of a record in a file of JSON lines: the bytes that the encoder writes for it, without the line's end.
pub fn mark_of_record(row: &Row<'_>, envelope: bool, scratch: &mut Vec<u8>) -> Mark {
    let payload = row.payload.as_bytes();
    if !envelope && memchr::memchr2(b'\n', b'\r', payload).is_none() {
        return xxh3_64(payload);
    }
    scratch.clear();
    Line::Json { envelope }.write(row, scratch);
    xxh3_64(scratch.strip_suffix(b"\n").unwrap_or(scratch))
}

/// The mark of a record in a file of dead letters: where it was. The rest of such a line tells when it failed.
pub fn mark_of_place(shard: ShardId, number: SequenceNumber) -> Mark {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&shard.0.to_be_bytes());
    bytes[4..].copy_from_slice(&number.0.to_be_bytes());
    xxh3_64(&bytes)
}

/// What of a dead letter tells where its record was.
#[derive(Deserialize)]
struct DeadLetterPlace<'a> {
    #[serde(borrow)]
    shard: &'a str,
    #[serde(borrow, alias = "sequenceNumber")]
    sequence_number: &'a str,
}

/// The mark of a line of dead letters; `None` if it is none.
fn mark_of_dead_letter(line: &[u8]) -> Option<Mark> {
    let place: DeadLetterPlace<'_> = serde_json::from_slice(line).ok()?;
    let number = place.sequence_number.parse().ok()?;
    Some(mark_of_place(ShardId::parse(place.shard)?, SequenceNumber(number)))
}

/// Takes the bytes of an object in pieces.
pub struct Lines {
    unpacker: Unpacker<Counter>,
}

/// What an object has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines in it.
    pub lines: u64,
    /// Their marks, if those were wanted. 0 for one that is not what it should be.
    pub marks: Vec<Mark>,
    /// Whether it ends in the middle of a line.
    pub is_cut: bool,
}

/// How an object's lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How it is compressed.
    pub packing: Packing,
    /// Whether its lines are dead letters.
    pub dead: bool,
    /// Whether marks are wanted.
    pub marks: bool,
}

impl Lines {
    /// No bytes yet.
    ///
    /// # Errors
    /// See [`Unpacker::new`].
    pub fn new(reading: Reading) -> io::Result<Self> {
        let counter = Counter { reading, found: Found::default(), line: Vec::new() };
        Ok(Self { unpacker: Unpacker::new(reading.packing, counter)? })
    }

    /// Takes a piece. An error is one of the compression.
    pub fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.unpacker.take(piece)
    }

    /// What there was.
    pub fn finish(self) -> io::Result<Found> {
        let counter = self.unpacker.finish()?;
        Ok(Found { is_cut: !counter.line.is_empty(), ..counter.found })
    }
}

/// Counts lines, and marks them.
struct Counter {
    reading: Reading,
    found: Found,
    /// The beginning of a line whose end has not come: as long as a record at most.
    line: Vec<u8>,
}

impl Counter {
    fn end_line(&mut self, rest: &[u8]) {
        self.found.lines += 1;
        if self.reading.marks {
            let line = if self.line.is_empty() {
                rest
            } else {
                self.line.extend_from_slice(rest);
                &self.line
            };
            let mark = if self.reading.dead { mark_of_dead_letter(line) } else { Some(xxh3_64(line)) };
            self.found.marks.push(mark.unwrap_or_default());
        }
        self.line.clear();
    }
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.end_line(&bytes[begin..end]);
            begin = end + 1;
        }
        let rest = &bytes[begin..];
        // Without marks only whether there is one is of interest.
        self.line.extend_from_slice(if self.reading.marks { rest } else { &rest[..rest.len().min(1)] });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How an object's lines differ from those that its records make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Some are missing, some are too many.
    Content {
        /// Lines that must be there and are not.
        missing: u64,
        /// Lines that are there and must not be.
        surplus: u64,
    },
    /// The lines of a shard are in another order than its records.
    Order {
        /// The shard.
        shard: ShardId,
    },
}

/// Compares the marks of an object with those of its records. Records of one shard keep their order; how those of
/// several shards mix is the delivery's business.
pub fn compare(found: &[Mark], expected: &[(ShardId, Vec<Mark>)]) -> Option<Difference> {
    let mut all: Vec<Mark> = expected.iter().flat_map(|(_, marks)| marks).copied().collect();
    let mut there = found.to_vec();
    all.sort_unstable();
    there.sort_unstable();
    if all != there {
        let common = common(&all, &there);
        let (missing, surplus) = (all.len() as u64 - common, there.len() as u64 - common);
        return Some(Difference::Content { missing, surplus });
    }
    let is_in_order = |marks: &[Mark]| {
        let mut rest = found.iter();
        marks.iter().all(|mark| rest.any(|other| other == mark))
    };
    let disordered = expected.iter().find(|(_, marks)| !is_in_order(marks));
    disordered.map(|&(shard, _)| Difference::Order { shard })
}

/// How many marks two sorted lists have in common.
fn common(left: &[Mark], right: &[Mark]) -> u64 {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut common = 0;
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => drop(left.next()),
            std::cmp::Ordering::Greater => drop(right.next()),
            std::cmp::Ordering::Equal => {
                common += 1;
                left.next();
                right.next();
            }
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::{JsonCompression, JsonFormat};
    use crate::delivery::encode::Encoder;
    use crate::delivery::encode::dead_letter::{DeadLetter, Envelope};
    use crate::delivery::encode::lines::LinesEncoder;
    use crate::runtime::clock::UnixMicros;

    const RECORDS: [&str; 4] = ["{\"a\":1}", "{ \"a\":\r\n2}", "3", "{\"a\":1}"];

    fn encoded(lines: &[&str], compression: JsonCompression) -> Vec<u8> {
        let mut encoder: Box<dyn Encoder> = Box::new(LinesEncoder::new(JsonFormat::from(compression)));
        lines.iter().for_each(|line| {
            encoder.push(Row::of_payload(line)).unwrap();
        });
        encoder.finish(&[]).unwrap().concat()
    }

    fn read(content: &[u8], piece: usize, reading: Reading) -> io::Result<Found> {
        let mut lines = Lines::new(reading)?;
        content.chunks(piece).try_for_each(|piece| lines.take(piece))?;
        lines.finish()
    }

    const MARKED: Reading = Reading { packing: Packing::Gzip, dead: false, marks: true };

    #[test]
    fn lines_have_the_marks_of_their_records_however_they_come() {
        let marks: Vec<Mark> =
            RECORDS.map(|record| mark_of_record(&Row::of_payload(record), false, &mut Vec::new())).to_vec();
        let gzip = encoded(&RECORDS, JsonCompression::Gzip { level: 1 });
        let plain = encoded(&RECORDS, JsonCompression::None);
        for piece in [1, 3, 1000] {
            let expected = Found { lines: 4, marks: marks.clone(), is_cut: false };
            assert_eq!(read(&gzip, piece, MARKED).unwrap(), expected);
            assert_eq!(read(&plain, piece, Reading { packing: Packing::Plain, ..MARKED }).unwrap(), expected);
            let counted = read(&gzip, piece, Reading { marks: false, ..MARKED }).unwrap();
            assert_eq!(counted, Found { lines: 4, ..Found::default() });
        }
    }

    #[test]
    fn lines_in_envelopes_have_the_marks_of_their_records_and_places() {
        let format = JsonFormat { compression: JsonCompression::Zstd { level: 1 }, envelope: true };
        let row = |at: u64| Row {
            key: b"\xff\"key",
            sequence_number: SequenceNumber(at),
            ..Row::of_payload(RECORDS[at as usize])
        };
        let mut encoder: Box<dyn Encoder> = Box::new(LinesEncoder::new(format));
        (0..4).for_each(|at| {
            encoder.push(row(at)).unwrap();
        });
        let content = encoder.finish(&[]).unwrap().concat();
        let found = read(&content, 10, Reading { packing: Packing::Zstd, ..MARKED }).unwrap();
        let marks = [0, 1, 2, 3].map(|at| mark_of_record(&row(at), true, &mut Vec::new()));
        assert_eq!(found.marks, marks);
        assert_ne!(marks[0], marks[3], "the same record at another place");
    }

    #[test]
    fn what_is_cut_or_no_gzip_is_noticed() {
        let gzip = encoded(&RECORDS, JsonCompression::Gzip { level: 1 });
        assert!(read(&gzip[..gzip.len() - 3], 7, MARKED).is_err());
        assert!(read(b"no gzip\n", 7, MARKED).is_err());
        let plain = encoded(&RECORDS, JsonCompression::None);
        for marks in [false, true] {
            let reading = Reading { packing: Packing::Plain, dead: false, marks };
            let found = read(&plain[..plain.len() - 1], 7, reading).unwrap();
            assert_eq!((found.lines, found.is_cut), (3, true));
        }
    }

    #[test]
    fn dead_letters_have_the_marks_of_their_places() {
        let letter = DeadLetter {
            reason: "schema",
            message: "a \"quoted\"\nmessage",
            attempts: 1,
            first_failed_at: UnixMicros(1),
            failed_at: UnixMicros(1),
            arrival_time: UnixMicros(1),
            stream: "s",
            delivery: "d",
            shard: ShardId(3),
            sequence_number: SequenceNumber(u64::MAX),
            partition_key: "é",
            raw: b"\xff",
        };
        let mut line = String::new();
        letter.write_to(Envelope::Forebay, &mut line);
        let mut other = String::new();
        letter.write_to(Envelope::Firehose, &mut other);
        let lines = [line.as_str(), &other, "{\"shard\":\"shardId-000000000003\"}"];
        let gzip = encoded(&lines, JsonCompression::Gzip { level: 1 });
        let found = read(&gzip, 100, Reading { dead: true, ..MARKED }).unwrap();
        let place = mark_of_place(ShardId(3), SequenceNumber(u64::MAX));
        assert_eq!(found.marks, [place, place, 0]);
    }

    #[test]
    fn shards_may_mix_and_records_of_a_shard_may_not() {
        let expected = [(ShardId(0), vec![1, 2, 1]), (ShardId(1), vec![7, 8])];
        for good in [[1, 2, 1, 7, 8], [7, 1, 8, 2, 1], [1, 7, 2, 8, 1]] {
            assert_eq!(compare(&good, &expected), None);
        }
        let order = |shard| Some(Difference::Order { shard: ShardId(shard) });
        assert_eq!(compare(&[1, 1, 2, 7, 8], &expected), order(0));
        assert_eq!(compare(&[1, 2, 8, 7, 1], &expected), order(1));
        let content = |missing, surplus| Some(Difference::Content { missing, surplus });
        assert_eq!(compare(&[1, 2, 7, 8], &expected), content(1, 0));
        assert_eq!(compare(&[1, 2, 1, 1, 7, 8], &expected), content(0, 1));
        assert_eq!(compare(&[1, 2, 2, 7, 9], &expected), content(2, 2));
    }
}
