//! What a ledger still remembers of its past, read without touching anything.

use std::path::{Path, PathBuf};

use super::LedgerError;
use super::entry::{Entry, Previous, Snapshot};
use super::file;
use super::line::{self, Scan};
use super::replay::{self, Found};
use super::state::State;
use crate::runtime::disk::Disk;

/// A row of files, each of which goes on from the one before.
#[derive(Debug)]
pub struct History {
    /// Oldest first, with the bytes that count; the last one counts as far as it is whole.
    files: Vec<(PathBuf, Option<u64>)>,
    /// The state that the oldest of them begins with.
    begin: State,
    /// Whether nothing was before it.
    complete: bool,
}

impl History {
    /// Looks at the ledger in `folder`. `None` if there is none.
    pub fn open(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, LedgerError> {
        let found = match Found::in_folder(disk, folder) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let Some(newest) = replay::replay(disk, &found.files)?.from else { return Ok(None) };
        let path_of = |number: u64| {
            let same = found.files.iter().find(|(other, _)| *other == number);
            same.map(|(_, path)| path.clone())
        };
        let mut files = Vec::new();
        let mut next = Some((newest.file, None));
        let mut begin = Snapshot::default();
        while let Some((number, counts)) = next {
            // The oldest ones are removed some time.
            let Some(path) = path_of(number) else { break };
            begin = first_line(&path, read_up_to(disk, &path, counts)?)?;
            next = begin.previous.map(|Previous { file, bytes }| (file, Some(bytes)));
            files.push((path, counts));
        }
        files.reverse();
        let complete = next.is_none();
        Ok(Some(Self { files, begin: State::from_snapshot(begin), complete }))
    }

    /// The state before the first entry that is still there.
    pub fn begin(&self) -> &State {
        &self.begin
    }

    /// Whether it reaches back to the first entry ever.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Tells every entry in order, and returns the state after the last one. Each entry must be able to follow those
    /// before it, and each file must begin with the state that the one before it ends with.
    pub fn read(&self, disk: &dyn Disk, tell: &mut dyn FnMut(Entry)) -> Result<State, LedgerError> {
        let mut state: Option<State> = None;
        for (path, counts) in &self.files {
            let mut entries = read_up_to(disk, path, *counts)?.entries.into_iter();
            let begin = State::from_snapshot(replay::snapshot_of(path, entries.next())?);
            if state.as_ref().is_some_and(|state| *state != begin) {
                return Err(LedgerError::damaged(path, 1, "it is not what the file before it ends with"));
            }
            let mut next = begin;
            for (line, entry) in entries {
                next.apply(&entry).map_err(|error| LedgerError::damaged(path, line, error.to_string()))?;
                tell(entry);
            }
            state = Some(next);
        }
        Ok(state.unwrap_or_default())
    }
}

fn first_line(path: &Path, scan: Scan) -> Result<Snapshot, LedgerError> {
    replay::snapshot_of(path, scan.entries.into_iter().next())
}

/// What counts of a file. All of that must be whole.
fn read_up_to(disk: &dyn Disk, path: &Path, counts: Option<u64>) -> Result<Scan, LedgerError> {
    let mut content = file::read(disk, path)?;
    if let Some(counts) = counts {
        content.truncate(counts as usize);
    }
    let scan = line::scan(&content);
    if let Some(line) = scan.damaged {
        return Err(LedgerError::damaged(path, line, "its checksum does not fit"));
    }
    if counts.is_some_and(|counts| counts != scan.end) {
        let line = scan.entries.last().map_or(1, |(line, _)| line + 1);
        return Err(LedgerError::damaged(path, line, "it is not whole, and the next file goes on behind it"));
    }
    Ok(scan)
}
