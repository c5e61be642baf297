//! A folder of files → the state that they stand for.

use std::path::{Path, PathBuf};

use super::entry::{Entry, Previous, Snapshot};
use super::file::{self, Named};
use super::line::{self, Scan};
use super::state::State;
use super::{FORMAT, LedgerError};
use crate::runtime::disk::Disk;

/// What a folder has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its ledger files, oldest first.
    pub files: Vec<(u64, PathBuf)>,
    /// What a crash has left of files that were being begun.
    pub temporary: Vec<PathBuf>,
}

impl Found {
    /// Looks into `folder`, which must be there.
    pub fn in_folder(disk: &dyn Disk, folder: &Path) -> Result<Self, LedgerError> {
        let mut found = Self::default();
        for path in disk.list(folder).map_err(|error| LedgerError::io("list", folder, error))? {
            match Named::of(&path) {
                Named::File(number) => found.files.push((number, path)),
                Named::Temporary => found.temporary.push(path),
                Named::Other => {}
            }
        }
        found.files.sort_unstable();
        Ok(found)
    }
}

/// What the files come to.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The state.
    pub state: State,
    /// The file that it was read from, and how much of that counts.
    pub from: Option<Previous>,
}

/// Reads the newest file that has its first line. One that was begun and has nothing else stands for no more than the
/// file before it; if anything follows a first line that is not whole, that is damage.
pub(super) fn replay(disk: &dyn Disk, files: &[(u64, PathBuf)]) -> Result<Replayed, LedgerError> {
    let mut empty = None;
    for (number, path) in files.iter().rev() {
        let scan = line::scan(&file::read(disk, path)?);
        if let Some(line) = scan.damaged {
            return Err(LedgerError::damaged(path, line, "its checksum does not fit"));
        }
        if scan.entries.is_empty() {
            tracing::warn!(path = %path.display(), "a ledger file without content is left behind by a crash");
            empty = empty.or(Some(path));
            continue;
        }
        if scan.torn {
            tracing::info!(path = %path.display(), at = scan.end, "cut the end of a write that a crash has cut short");
        }
        let from = Some(Previous { file: *number, bytes: scan.end });
        return Ok(Replayed { state: state_of(path, scan)?, from });
    }
    match empty {
        Some(path) => {
            Err(LedgerError::damaged(path, 1, "neither this file nor one before it has its first line"))
        }
        None => Ok(Replayed::default()),
    }
}

fn state_of(path: &Path, scan: Scan) -> Result<State, LedgerError> {
    let mut entries = scan.entries.into_iter();
    let mut state = State::from_snapshot(snapshot_of(path, entries.next())?);
    for (line, entry) in entries {
        state.apply(&entry).map_err(|error| LedgerError::damaged(path, line, error.to_string()))?;
    }
    Ok(state)
}

/// What the first line of a file says.
pub(super) fn snapshot_of(path: &Path, first: Option<(u64, Entry)>) -> Result<Snapshot, LedgerError> {
    let Some((_, Entry::Snapshot(snapshot))) = first else {
        return Err(LedgerError::damaged(path, 1, "it does not begin with the state"));
    };
    if snapshot.format != FORMAT {
        let path = path.display().to_string();
        return Err(LedgerError::Format { path, found: snapshot.format, known: FORMAT });
    }
    Ok(*snapshot)
}
