//! Appends, several at a time, to the newest file; and newer files when it is full or cannot be trusted.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::ahead::TwoStates;
use super::entry::{Entry, Previous};
use super::file::{self, LedgerFile};
use super::line;
use super::replay::{self, Found};
use super::state::State;
use super::{Bounds, LedgerError};
use crate::runtime::disk::Disk;

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    bounds: Bounds,
    state: TwoStates,
    /// `None` when the last one cannot be trusted any more.
    file: Option<LedgerFile>,
    /// Number of the current file, or of the last one.
    newest: u64,
    /// The file that the next one goes on from, unless there is a current one.
    previous: Option<Previous>,
    /// Older files and their bytes, oldest first.
    history: VecDeque<(u64, u64)>,
}

impl Writer {
    /// Reads what is in `folder`, and begins a new file: the old one may have lines that can be read and are not
    /// durable, because the process ended before it had synced them.
    pub fn open(disk: Arc<dyn Disk>, folder: PathBuf, bounds: Bounds) -> Result<Self, LedgerError> {
        disk.create_folder(&folder).map_err(|error| LedgerError::io("create", &folder, error))?;
        let found = Found::in_folder(&*disk, &folder)?;
        let replayed = replay::replay(&*disk, &found.files)?;
        for path in &found.temporary {
            disk.remove(path).map_err(|error| LedgerError::io("remove", path, error))?;
        }
        let mut writer = Self {
            state: TwoStates::new(replayed.state),
            file: None,
            newest: found.files.last().map_or(0, |&(number, _)| number),
            previous: replayed.from,
            history: VecDeque::new(),
            disk,
            folder,
            bounds,
        };
        // What can be read of the old file need not be on the disk, if a sync has failed. It is needed as history, and
        // as the ledger itself while there is no space for another one.
        if let Some(Previous { file, bytes }) = writer.previous {
            file::write_again(&*writer.disk, &writer.folder.join(file::file_name(file)), bytes)?;
        }
        for (number, path) in &found.files {
            writer.history.push_back((*number, writer.size_of(path)?));
        }
        match writer.begin_file() {
            Err(error) if error.is_disk_full() => {
                tracing::warn!(folder = %writer.folder.display(), %error, "cannot begin a new ledger file yet");
            }
            other => other?,
        }
        Ok(writer)
    }

    fn size_of(&self, path: &Path) -> Result<u64, LedgerError> {
        let length = self.disk.open(path).and_then(|file| file.len());
        length.map_err(|error| LedgerError::io("read", path, error))
    }

    /// The durable state, shared.
    pub fn durable(&self) -> Arc<Mutex<State>> {
        self.state.durable()
    }

    /// Makes some appends durable with one write and one sync. The results are theirs, in order. An append that is
    /// refused does not touch the others.
    pub fn write(&mut self, appends: &[&[Entry]]) -> Vec<Result<(), LedgerError>> {
        let (accepted, mut results) = self.state.accept(appends);
        if let Err(error) = self.write_accepted(&accepted) {
            self.state.take_back(&mut results, &error);
        }
        results
    }

    fn write_accepted(&mut self, accepted: &[&[Entry]]) -> Result<(), LedgerError> {
        if accepted.iter().all(|entries| entries.is_empty()) {
            return Ok(());
        }
        let file = self.trusted_file()?;
        let mut lines = Vec::new();
        for entries in accepted {
            line::encode(entries, file.used(), &mut lines)?;
        }
        let written = file.reserve(lines.len() as u64).and_then(|()| file.append(&lines));
        if file.is_poisoned() {
            self.retire();
        }
        written?;
        self.state.written(accepted)
    }

    /// The file to append to: the current one, or a new one if there is none or it is full.
    fn trusted_file(&mut self) -> Result<&mut LedgerFile, LedgerError> {
        if self.file.as_ref().is_none_or(LedgerFile::is_full) {
            self.begin_file()?;
        }
        self.file.as_mut().ok_or(LedgerError::Stopped)
    }

    /// Begins a new file with the durable state. If that fails and the current one can still be trusted, it goes on for
    /// a while.
    fn begin_file(&mut self) -> Result<(), LedgerError> {
        let current = self.file.as_ref().map(|file| Previous { file: self.newest, bytes: file.used() });
        let number = self.newest + 1;
        let previous = current.or(self.previous);
        let snapshot = self.state.to_snapshot(previous);
        match LedgerFile::begin(&*self.disk, &self.folder, number, snapshot, self.bounds) {
            Ok(file) => {
                if let Some(old) = self.retire() {
                    old.trim();
                }
                self.newest = number;
                self.file = Some(file);
                self.forget_history();
                Ok(())
            }
            Err(failed) if failed.named => {
                // After a crash the new file may be the one that counts, so nothing may go into the old one. The next
                // try takes the same name: whichever file has it then, or none, the state is the same.
                self.retire();
                Err(failed.error)
            }
            Err(failed) => match &mut self.file {
                Some(file) => {
                    tracing::warn!(error = %failed.error, "cannot begin a new ledger file, going on with the old one");
                    file.put_off();
                    Ok(())
                }
                None => Err(failed.error),
            },
        }
    }

    /// Takes the current file out of use.
    fn retire(&mut self) -> Option<LedgerFile> {
        let file = self.file.take()?;
        self.previous = Some(Previous { file: self.newest, bytes: file.used() });
        self.history.push_back((self.newest, file.used()));
        Some(file)
    }

    /// Removes the oldest files while the old ones take more than they may.
    fn forget_history(&mut self) {
        let mut bytes: u64 = self.history.iter().map(|&(_, bytes)| bytes).sum();
        while bytes > self.bounds.history {
            let Some((number, freed)) = self.history.pop_front() else { return };
            bytes -= freed;
            if let Err(error) = self.disk.remove(&self.folder.join(file::file_name(number))) {
                tracing::warn!(folder = %self.folder.display(), number, %error, "cannot remove an old ledger file");
            }
        }
    }
}
