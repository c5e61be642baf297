//! One file of a ledger: begun whole, then appended to in place, in space that was zeroed before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, Snapshot};
use super::line;
use super::{Bounds, LedgerError};
use crate::crash_point;
use crate::runtime::disk::{Disk, DiskFile};

/// Zeros are written in pieces of this size.
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// A file that is appended to.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Bytes that are durable and count.
    used: u64,
    /// Bytes that are on the disk, zeros after `used`.
    zeroed: u64,
    /// When `used` reaches this, it is time for another file.
    full_at: u64,
    step: u64,
    /// Whether the disk may have something else than what was written.
    poisoned: bool,
}

/// Why a file could not be begun.
#[derive(Debug)]
pub(super) struct NotBegun {
    pub error: LedgerError,
    /// Whether the file may be there under its name all the same, now or after a crash.
    pub named: bool,
}

impl LedgerFile {
    /// Makes file `number`, whose first line is `snapshot`. Once it returns, the file is there whatever happens, and is
    /// the one that counts; before that moment, the one before it is.
    pub fn begin(
        disk: &dyn Disk,
        folder: &Path,
        number: u64,
        snapshot: Snapshot,
        bounds: Bounds,
    ) -> Result<Self, NotBegun> {
        let path = folder.join(file_name(number));
        let temporary = path.with_extension(TEMPORARY);
        let mut file = match Self::fill(disk, &temporary, snapshot, bounds) {
            Ok(file) => file,
            Err(error) => {
                // It takes space that is perhaps what is missing. If it stays, the next start removes it.
                let _ = disk.remove(&temporary);
                return Err(NotBegun { error, named: false });
            }
        };
        crash_point!("ledger.snapshot.rename");
        disk.rename(&temporary, &path)
            .and_then(|()| disk.sync_folder(folder))
            .map_err(|error| NotBegun { error: LedgerError::io("name", &path, error), named: true })?;
        file.path = path;
        Ok(file)
    }

    fn fill(disk: &dyn Disk, path: &Path, snapshot: Snapshot, bounds: Bounds) -> Result<Self, LedgerError> {
        let mut content = Vec::new();
        line::encode(&[Entry::Snapshot(Box::new(snapshot))], 0, &mut content)?;
        // Of a try that has failed.
        let _ = disk.remove(path);
        let file = disk.create(path).map_err(|error| LedgerError::io("create", path, error))?;
        file.write_all_at(&content, 0).map_err(|error| LedgerError::io("write", path, error))?;
        let used = content.len() as u64;
        let (path, step) = (path.to_path_buf(), bounds.step);
        let mut file = Self {
            path,
            file,
            used,
            zeroed: used,
            full_at: used + used.max(bounds.file),
            step,
            poisoned: false,
        };
        file.zero_up_to(used + 1)?;
        Ok(file)
    }

    /// Bytes that are durable and count.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Whether it is time for another file.
    pub fn is_full(&self) -> bool {
        self.used >= self.full_at
    }

    /// Goes on with this file for another while, because no other can be begun.
    pub fn put_off(&mut self) {
        self.full_at = self.used + self.step;
    }

    /// Whether it must not be used any more, because a write or a sync has failed: what the disk has of it is not known,
    /// and a later sync that succeeds would not tell.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Makes sure that `bytes` more can be written without asking the disk for space. A disk that is full leaves the
    /// file as it was.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), LedgerError> {
        let end = self.used + bytes;
        if end > self.zeroed { self.zero_up_to(end) } else { Ok(()) }
    }

    /// Zeros to the next full step at or behind `end`, and makes everything durable.
    fn zero_up_to(&mut self, end: u64) -> Result<(), LedgerError> {
        let target = end.div_ceil(self.step) * self.step;
        let mut at = self.zeroed;
        while at < target {
            let piece = (target - at).min(ZEROS.len() as u64);
            if let Err(error) = self.file.write_all_at(&ZEROS[..piece as usize], at) {
                let error = LedgerError::io("extend", &self.path, error);
                self.poisoned = !error.is_disk_full();
                return Err(error);
            }
            at += piece;
        }
        self.sync()?;
        self.zeroed = target;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LedgerError> {
        self.file.sync_data().map_err(|error| {
            self.poisoned = true;
            LedgerError::io("sync", &self.path, error)
        })
    }

    /// Writes lines that space was reserved for, and makes them durable.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), LedgerError> {
        if let Err(error) = self.file.write_all_at(lines, self.used) {
            self.poisoned = true;
            return Err(LedgerError::io("write to", &self.path, error));
        }
        self.sync()?;
        self.used += lines.len() as u64;
        Ok(())
    }

    /// Gives back the space that was zeroed and not used.
    pub fn trim(self) {
        trim(&*self.file, &self.path, self.used);
    }
}

/// Cuts the zeros off a file that is not written to any more. Not made durable: they do no harm.
fn trim(file: &dyn DiskFile, path: &Path, used: u64) {
    if let Err(error) = file.set_len(used) {
        tracing::debug!(path = %path.display(), %error, "cannot trim an old ledger file");
    }
}

/// Ending of a file's name.
const ENDING: &str = "ledger";
/// Ending of the name of a file that is being begun.
const TEMPORARY: &str = "tmp";

/// `{number:08}.ledger`.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:08}.{ENDING}")
}

/// What a name in a ledger's folder stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A file, by number.
    File(u64),
    /// One that was being begun when the process ended.
    Temporary,
    /// None of ours.
    Other,
}

impl Named {
    pub fn of(path: &Path) -> Self {
        let number = || path.file_stem()?.to_str()?.parse().ok();
        match (path.extension().and_then(|ending| ending.to_str()), number()) {
            (Some(ENDING), Some(number)) => Named::File(number),
            (Some(TEMPORARY), Some(_)) => Named::Temporary,
            _ => Named::Other,
        }
    }
}

/// The whole content of a file. It has its first line, as much again or [`Bounds::file`], and one append.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, LedgerError> {
    let whole = || {
        let file = disk.open(path)?;
        let mut content = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    };
    whole().map_err(|error| LedgerError::io("read", path, error))
}

/// Writes again what counts of a file, and zeros behind it, in place: takes no space, and makes durable what could be
/// read although an earlier sync of it has failed. Then cuts the zeros off.
pub(super) fn write_again(disk: &dyn Disk, path: &Path, counts: u64) -> Result<(), LedgerError> {
    let mut content = read(disk, path)?;
    if let Some(rest) = content.get_mut(counts as usize..) {
        rest.fill(0);
    }
    let written = disk.open(path).and_then(|file| {
        file.write_all_at(&content, 0)?;
        file.sync_data()?;
        Ok(file)
    });
    let file = written.map_err(|error| LedgerError::io("write", path, error))?;
    trim(&*file, path, counts);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_ledger_are_taken_for_its_files() {
        let named = |name: &str| Named::of(&Path::new("/ledger/s/d").join(name));
        assert_eq!(named(&file_name(12)), Named::File(12));
        assert_eq!(named("123456789.ledger"), Named::File(123_456_789));
        assert_eq!(named("00000012.tmp"), Named::Temporary);
        for other in ["notes", "notes.tmp", "a.ledger", "00000001.ledger.bak", ".ledger"] {
            assert_eq!(named(other), Named::Other, "{other}");
        }
    }
}
