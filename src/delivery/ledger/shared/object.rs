//! One object ⇄ its text. The format is described in [`super`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::delivery::ledger::entry::{Entry, Generation, Snapshot};
use crate::delivery::ledger::{FORMAT, LedgerError, line};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub format: u32,
    pub number: u64,
    pub generation: u64,
    pub writer: String,
    pub previous: u64,
    pub snapshot: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub annuls: bool,
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub head: Head,
    pub snapshot: Option<Box<Snapshot>>,
    pub entries: Vec<Entry>,
    /// Of all of its bytes, as the next one has it.
    pub checksum: u64,
    pub bytes: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
}

/// The checksum of an object.
pub(super) fn checksum(content: &[u8]) -> u64 {
    xxh3_64(content)
}

/// The text of an object. `snapshot` is a line that [`snapshot_line`] has made, or empty.
pub(super) fn encode(head: &Head, snapshot: &[u8], appends: &[&[Entry]]) -> Result<Bytes, LedgerError> {
    let mut text = Vec::with_capacity(512 + snapshot.len());
    line::frame(&serde_json::to_vec(head)?, &mut text);
    text.extend_from_slice(snapshot);
    for entries in appends {
        line::encode(entries, 0, &mut text)?;
    }
    Ok(text.into())
}

/// A snapshot as it stands in an object.
pub(super) fn snapshot_line(snapshot: Snapshot) -> Result<Vec<u8>, LedgerError> {
    let mut text = Vec::new();
    line::encode(&[Entry::Snapshot(Box::new(snapshot))], 0, &mut text)?;
    Ok(text)
}

impl Object {
    /// Reads the object of a number. All of it must be whole.
    pub fn decode(key: &str, number: u64, content: &[u8]) -> Result<Self, LedgerError> {
        let damaged = |line, what: &str| LedgerError::damaged_text(key, line, what);
        let end = memchr::memchr(b'\n', content).ok_or_else(|| damaged(1, "it has no whole line"))?;
        let (first, rest) = content.split_at(end + 1);
        let head = line::unframe(first.get(..end).unwrap_or_default());
        let head: Option<Head> = head.and_then(|json| serde_json::from_slice(json).ok());
        let head = head.ok_or_else(|| damaged(1, "its checksum does not fit"))?;
        if head.format != FORMAT {
            let (path, found) = (key.to_owned(), head.format);
            return Err(LedgerError::Format { path, found, known: FORMAT });
        }
        if head.number != number {
            return Err(damaged(1, &format!("it is object {} under another name", head.number)));
        }
        let scan = line::scan(rest);
        if scan.damaged.is_some() || scan.end != rest.len() as u64 {
            let line = scan.damaged.unwrap_or(scan.entries.len() as u64 + 1);
            return Err(damaged(line + 1, "it is not whole"));
        }
        let mut entries: Vec<Entry> = scan.entries.into_iter().map(|(_, entry)| entry).collect();
        let (mut snapshot, mut snapshot_bytes) = (None, 0);
        if matches!(entries.first(), Some(Entry::Snapshot(_)))
            && let Entry::Snapshot(found) = entries.remove(0)
        {
            snapshot = Some(found);
            snapshot_bytes = memchr::memchr(b'\n', rest).map_or(0, |end| end as u64 + 1);
        }
        if snapshot.is_some() != (head.snapshot == number) {
            return Err(damaged(1, "its head and its snapshot do not fit"));
        }
        let bytes = content.len() as u64;
        Ok(Self { head, snapshot, entries, checksum: checksum(content), bytes, snapshot_bytes })
    }

    /// Who takes over by it, if that is what it does.
    pub fn taken_over_by(&self) -> Option<&Generation> {
        match self.entries.as_slice() {
            [Entry::Generation(generation)] => Some(generation),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ledger::entry::{Commit, Cursor};
    use crate::record::{SequenceNumber, ShardId};

    fn head(number: u64) -> Head {
        let writer = "00000000000000ab".to_owned();
        Head { format: FORMAT, number, generation: 2, writer, previous: 7, snapshot: 3, annuls: false }
    }

    fn commit(number: u64) -> Entry {
        Entry::Commit(Commit { number, etag: None, bytes: 3 })
    }

    #[test]
    fn an_object_is_its_head_its_snapshot_and_its_entries() {
        let snapshot = Snapshot { format: FORMAT, next_seal: 9, ..Snapshot::default() };
        let line = snapshot_line(snapshot.clone()).unwrap();
        let head = Head { snapshot: 5, annuls: true, ..head(5) };
        let appends: [&[Entry]; 2] = [&[commit(1), commit(2)], &[commit(3)]];
        let content = encode(&head, &line, &appends).unwrap();
        let read = Object::decode("k", 5, &content).unwrap();
        assert_eq!((&read.head, read.snapshot.as_deref()), (&head, Some(&snapshot)));
        assert_eq!(read.entries, [commit(1), commit(2), commit(3)]);
        assert_eq!((read.bytes, read.snapshot_bytes), (content.len() as u64, line.len() as u64));
        let json = content.split(|&byte| byte == b'\n').next().and_then(line::unframe).unwrap();
        let expected = "{\"format\":1,\"number\":5,\"generation\":2,\"writer\":\"00000000000000ab\",\"previous\":7,\
                        \"snapshot\":5,\"annuls\":true}";
        assert_eq!(std::str::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn whatever_is_not_whole_is_damage_and_names_the_object() {
        let positions = vec![(ShardId(0), SequenceNumber(7))];
        let cursor = [Entry::Cursor(Cursor { positions })];
        let content = encode(&head(5), &[], &[&[commit(1), commit(2)], &cursor]).unwrap();
        for cut in 0..content.len() {
            let read = Object::decode("k", 5, &content[..cut]);
            // At the end of an append nothing is missing that could be missed; a store shows no part of an object.
            let is_append = content[..cut].ends_with(b"\n") && read.is_ok();
            assert!(is_append || matches!(read, Err(LedgerError::Damaged { .. })), "{cut}: {read:?}");
        }
        for at in 0..content.len() {
            let mut flipped = content.to_vec();
            flipped[at] ^= 4;
            let error = Object::decode("k", 5, &flipped).unwrap_err();
            assert!(error.to_string().starts_with("k is damaged at line "), "{at}: {error}");
        }
        assert!(Object::decode("k", 6, &content).unwrap_err().to_string().contains("under another name"));
        let other = encode(&Head { format: 9, ..head(5) }, &[], &[]).unwrap();
        let error = Object::decode("k", 5, &other).unwrap_err();
        assert!(matches!(error, LedgerError::Format { found: 9, known: 1, .. }), "{error}");
        let claims = encode(&Head { snapshot: 5, ..head(5) }, &[], &[&cursor]).unwrap();
        assert!(matches!(Object::decode("k", 5, &claims), Err(LedgerError::Damaged { .. })));
    }
}
