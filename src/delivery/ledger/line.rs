//! Entries ⇄ lines of text. The format is described in [`super`].

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::entry::Entry;

/// Hex digits of the checksum, and the space behind them.
const CHECKSUM: usize = 16;

/// What a line has besides its entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Offset in the file at which the write began that brought this line. A write is synced before the next one
    /// begins: a line of a later write proves that everything before that write was whole once.
    pub write: u64,
    /// Lines of the same append that follow. An append counts once its last line is there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
    /// The fact.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The same, to be written.
#[derive(Serialize)]
struct LineRef<'a> {
    write: u64,
    #[serde(skip_serializing_if = "is_zero")]
    more: u32,
    #[serde(flatten)]
    entry: &'a Entry,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Appends the lines of one append to `out`, which will be written at offset `write`.
pub(super) fn encode(entries: &[Entry], write: u64, out: &mut Vec<u8>) -> serde_json::Result<()> {
    for (index, entry) in entries.iter().enumerate() {
        let more = (entries.len() - 1 - index) as u32;
        frame(&serde_json::to_vec(&LineRef { write, more, entry })?, out);
    }
    Ok(())
}

/// Appends a line of this JSON.
pub(super) fn frame(json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:016x} ", xxh3_64(json)).as_bytes());
    out.extend_from_slice(json);
    out.push(b'\n');
}

/// The JSON of a line without its line feed, if it is whole.
pub(super) fn unframe(line: &[u8]) -> Option<&[u8]> {
    let (checksum, json) = line.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    (checksum == format!("{:016x}", xxh3_64(json)).as_bytes()).then_some(json)
}

/// The line without its line feed, if it is whole.
fn decode(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(unframe(line)?).ok()
}

/// What was found in a file.
#[derive(Debug, PartialEq)]
pub(super) struct Scan {
    /// The entries of whole appends, with the number of the line of each.
    pub entries: Vec<(u64, Entry)>,
    /// Bytes that those take.
    pub end: u64,
    /// Whether something other than zeros follows: the end of a write that was cut short.
    pub torn: bool,
    /// The first line that is not whole although a later write has followed it.
    pub damaged: Option<u64>,
}

/// Reads the content of a file up to its end, or to the first line that is not whole.
pub(super) fn scan(content: &[u8]) -> Scan {
    let mut scan = Scan { entries: Vec::new(), end: 0, torn: false, damaged: None };
    let (mut at, mut append, mut number) = (0, Vec::new(), 1);
    while let Some(range) = line_at(content, at) {
        let Some(line) = decode(&content[range.clone()]) else { break };
        append.push((number, line.entry));
        number += 1;
        at = range.end + 1;
        if line.more == 0 {
            scan.entries.append(&mut append);
            scan.end = at as u64;
        }
    }
    scan.torn = content.get(scan.end as usize..).unwrap_or_default().iter().any(|&byte| byte != 0);
    if later_write(content, at) {
        scan.damaged = Some(number);
    }
    scan
}

/// Where the line that begins at `at` ends, if it does.
fn line_at(content: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = content.get(at..)?;
    Some(at..at + memchr::memchr(b'\n', rest)?)
}

/// Whether a whole line behind `bad` came with a write that began behind `bad`.
fn later_write(content: &[u8], bad: usize) -> bool {
    let mut at = bad;
    while let Some(range) = line_at(content, at) {
        // The part of a write that did not reach the disk has left zeros.
        let text = &content[range.clone()];
        let begin = memchr::memrchr(0, text).map_or(0, |zero| zero + 1);
        if decode(&text[begin..]).is_some_and(|line| line.write > bad as u64) {
            return true;
        }
        at = range.end + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Commit, Cursor};
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn commit(number: u64) -> Entry {
        Entry::Commit(Commit { number, etag: Some("\"a\nb\"".into()), bytes: 3 })
    }

    /// Three writes: one entry, an append of two entries and one of one, and one entry.
    fn three_writes() -> (Vec<u8>, [usize; 3]) {
        let mut content = Vec::new();
        encode(&[commit(1)], 0, &mut content).unwrap();
        let second = content.len();
        encode(&[commit(2), commit(3)], second as u64, &mut content).unwrap();
        encode(&[commit(4)], second as u64, &mut content).unwrap();
        let third = content.len();
        encode(&[commit(5)], third as u64, &mut content).unwrap();
        let end = content.len();
        content.resize(end + 100, 0);
        (content, [second, third, end])
    }

    fn numbers(scan: &Scan) -> Vec<u64> {
        let number = |entry: &Entry| if let Entry::Commit(commit) = entry { commit.number } else { 0 };
        scan.entries.iter().map(|(_, entry)| number(entry)).collect()
    }

    #[test]
    fn a_line_is_a_checksum_and_json_for_people() {
        let mut line = Vec::new();
        let entry = Entry::Cursor(Cursor { positions: vec![(ShardId(0), SequenceNumber(7))] });
        encode(&[entry], 12, &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        let (checksum, json) = line.split_once(' ').unwrap();
        assert_eq!(json, "{\"write\":12,\"cursor\":{\"positions\":[[0,7]]}}\n");
        assert_eq!(checksum, format!("{:016x}", xxh3_64(json.trim_end().as_bytes())));
    }

    #[test]
    fn whole_appends_are_read_up_to_the_zeros() {
        let (content, [.., end]) = three_writes();
        let scan = scan(&content);
        assert_eq!((numbers(&scan), scan.end, scan.torn), (vec![1, 2, 3, 4, 5], end as u64, false));
        assert_eq!(scan.damaged, None);
    }

    #[test]
    fn an_append_that_ends_early_does_not_count_at_all() {
        let (content, [second, third, end]) = three_writes();
        for cut in second..end {
            let scan = scan(&content[..cut]);
            let whole = numbers(&scan);
            assert!([&[1][..], &[1, 2, 3], &[1, 2, 3, 4]].contains(&&whole[..]), "{cut}: {whole:?}");
            assert_eq!(scan.torn, ![second, third].contains(&cut) && scan.end != cut as u64, "{cut}");
            assert_eq!(scan.damaged, None, "{cut}");
        }
    }

    #[test]
    fn a_hole_in_the_last_write_is_a_torn_tail_and_one_before_it_is_damage() {
        let (content, [second, third, _]) = three_writes();
        for hole in second..third {
            let mut content = content.clone();
            content[hole] = 0;
            let line = scan(&content).damaged;
            assert!((2..=4).contains(&line.unwrap()), "{hole}: {line:?}");
            // Without the third write the second may have come in parts.
            content.truncate(third);
            assert_eq!(scan(&content).damaged, None, "{hole}");
        }
    }
}
