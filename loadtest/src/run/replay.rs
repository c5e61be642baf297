//! `--file`: objects that were recorded elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use forebay::testkit::generators::envelope;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::file_part::FilePart;

/// Bytes of text that a replay keeps in memory.
pub const REPLAY_BYTES_MAX: u64 = 1 << 30;

/// The objects of a file, ready to get an envelope.
#[derive(Debug)]
pub(super) struct ReplayFile {
    text: String,
    /// Where the members of each object lie in `text`: what stands between its braces.
    members: Vec<(u32, u32)>,
}

/// Why a file cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file system refused, or it is not UTF-8, or no gzip.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not fit in memory.
    #[error("{0} holds more than {REPLAY_BYTES_MAX} bytes of text: split it")]
    TooLarge(PathBuf),
    /// It has no objects.
    #[error("{0} holds no records: give NDJSON with one object a line")]
    Empty(PathBuf),
    /// A part of it has no objects.
    #[error("part {part} of {path} holds no records, because the file has only {records}: give fewer parts")]
    EmptyPart {
        /// The file.
        path: PathBuf,
        /// Which part.
        part: FilePart,
        /// Of the whole file.
        records: u64,
    },
    /// A line is no JSON object.
    #[error("{path}, line {line}: {source}: give NDJSON with one object a line")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A line has a member of the envelope's.
    #[error("{path}, line {line} has a member {member:?}, which replaying adds itself: rename it")]
    Member {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The member's name.
        member: &'static str,
    },
}

impl ReplayFile {
    /// Reads and checks all of the file, and keeps `part`. Envelopes of an earlier run are taken off.
    pub(super) fn read(path: &Path, part: FilePart) -> Result<Self, ReplayError> {
        let mut text = read_text(path)?;
        let mut members = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let object = line.trim_ascii();
            if !object.is_empty() {
                let found = members_of(object, path, index + 1)?;
                let start = found.as_ptr() as usize - text.as_ptr() as usize;
                members.push((start as u32, found.len() as u32));
            }
        }
        if members.is_empty() {
            return Err(ReplayError::Empty(path.into()));
        }
        let records = members.len() as u64;
        let (first, end) = part.range(records);
        if first == end {
            return Err(ReplayError::EmptyPart { path: path.into(), part, records });
        }
        members.truncate(end as usize);
        members.drain(..first as usize);
        // What other parts replay needs no memory here.
        let start = members.first().map_or(0, |(start, _)| *start);
        let end = members.last().map_or(0, |(start, length)| start + length);
        text.truncate(end as usize);
        text.drain(..start as usize);
        text.shrink_to_fit();
        members.iter_mut().for_each(|(at, _)| *at -= start);
        Ok(Self { text, members })
    }

    /// How many objects there are; never 0.
    pub(super) fn len(&self) -> u64 {
        self.members.len() as u64
    }

    /// The members of object `index`, counted round and round.
    pub(super) fn members(&self, index: u64) -> &str {
        let (start, len) = self.members[(index % self.len()) as usize];
        &self.text[start as usize..][..len as usize]
    }
}

fn read_text(path: &Path) -> Result<String, ReplayError> {
    let failed = |source| ReplayError::Io { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    let source: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    source.take(REPLAY_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > REPLAY_BYTES_MAX {
        return Err(ReplayError::TooLarge(path.into()));
    }
    Ok(text)
}

fn members_of<'a>(object: &'a str, path: &Path, line: usize) -> Result<&'a str, ReplayError> {
    let members: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_str(object)
        .map_err(|source| ReplayError::Line { path: path.into(), line, source })?;
    if let Some((_, members)) = envelope::split(object) {
        return Ok(members);
    }
    for member in ["producer", "sequence", "hash"] {
        if members.contains_key(member) {
            return Err(ReplayError::Member { path: path.into(), line, member });
        }
    }
    // It parsed as an object without white space around it, so the first and last bytes are the braces.
    Ok(object[1..object.len() - 1].trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<ReplayFile, ReplayError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        ReplayFile::read(&path, FilePart::WHOLE)
    }

    #[test]
    fn each_part_has_its_own_objects_and_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        let lines: Vec<_> = (0..5).map(|number| format!("{{ \"n\" : {number} }}\n\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let part = |index, count| ReplayFile::read(&path, FilePart { index, count });
        let all: Vec<_> = (0..3).map(|index| part(index, 3).unwrap()).collect();
        assert_eq!(all.iter().map(ReplayFile::len).collect::<Vec<_>>(), [1, 2, 2]);
        // Round and round among its own.
        let seen: Vec<_> = (0..4).map(|index| all[1].members(index)).collect();
        assert_eq!(seen, ["\"n\" : 1", "\"n\" : 2", "\"n\" : 1", "\"n\" : 2"]);
        assert!(all[2].text.len() < lines.concat().len() / 2);
        assert!(matches!(part(0, 6), Err(ReplayError::EmptyPart { records: 5, .. })));
    }

    #[test]
    fn objects_keep_their_bytes_and_empty_lines_count_for_nothing() {
        let file = read("a.ndjson", b"{ \"a\" : 1.0 }\r\n\n  {}\n{\"b\":[{}]}").unwrap();
        let members: Vec<_> = (0..4).map(|index| file.members(index)).collect();
        assert_eq!(members, ["\"a\" : 1.0", "", "\"b\":[{}]", "\"a\" : 1.0"]);
    }

    #[test]
    fn gzip_with_several_members_is_read_whole() {
        let mut content = Vec::new();
        for part in ["{\"a\":1}\n{\"a\"", ":2}\n"] {
            let mut encoder = GzEncoder::new(content, Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            content = encoder.finish().unwrap();
        }
        let file = read("a.ndjson.gz", &content).unwrap();
        assert_eq!((file.len(), file.members(1)), (2, "\"a\":2"));
    }

    #[test]
    fn the_envelope_of_an_earlier_run_is_taken_off() {
        let mut record = Vec::new();
        envelope::wrap(&mut record, "replay/x/0", 3, "\"a\":1");
        assert_eq!(read("a.ndjson", &record).unwrap().members(0), "\"a\":1");
    }

    #[test]
    fn what_cannot_be_replayed_is_named() {
        assert!(matches!(read("a", b"\n\n"), Err(ReplayError::Empty(_))));
        assert!(matches!(read("a", b"{}\n[1]\n"), Err(ReplayError::Line { line: 2, .. })));
        assert!(matches!(read("a", b"{}\n{\"a\":"), Err(ReplayError::Line { line: 2, .. })));
        assert!(matches!(read("a", b"{\"hash\":1}"), Err(ReplayError::Member { member: "hash", .. })));
        assert!(matches!(read("a.gz", b"{}"), Err(ReplayError::Io { .. })));
        assert!(matches!(read("a", b"{\"a\":\"\xff\"}"), Err(ReplayError::Io { .. })));
    }
}
