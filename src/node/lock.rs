//! One process at a time.

use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::NodeError;
use crate::runtime::disk::{Disk, DiskFile};

const LOCK: &str = "lock";

/// The lock of a folder. Gone when it is dropped, and with the process in any case: the kernel keeps it, the file is
/// only what it hangs on.
#[derive(Debug)]
pub(super) struct Lock {
    file: Arc<dyn DiskFile>,
}

impl Lock {
    /// Takes the lock of `folder`, whose lock file is made if there is none.
    pub(super) fn take_or_make(disk: &dyn Disk, folder: &Path) -> Result<Self, NodeError> {
        if let Some(lock) = Self::take(disk, folder)? {
            return Ok(lock);
        }
        match disk.create(&folder.join(LOCK)) {
            Ok(file) => Self::of(file, folder),
            // Somebody else has been faster, and has it by now, or will not have it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::take(disk, folder)?
                .ok_or_else(|| NodeError::InUse { path: folder.to_owned(), process: None }),
            Err(source) => Err(NodeError::io(folder, source)),
        }
    }

    /// Takes the lock if there is a lock file.
    pub(super) fn take(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, NodeError> {
        let path = folder.join(LOCK);
        match disk.open(&path) {
            Ok(file) => Self::of(file, folder).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(NodeError::io(&path, source)),
        }
    }

    fn of(file: Arc<dyn DiskFile>, folder: &Path) -> Result<Self, NodeError> {
        // A disk that is simulated has no other process.
        match file.file().map_or(Ok(()), std::fs::File::try_lock) {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(NodeError::InUse { path: folder.to_owned(), process: signature(&*file) })
            }
            Err(TryLockError::Error(source)) => Err(NodeError::io(&folder.join(LOCK), source)),
        }
    }

    /// Writes the number of this process into the lock file, for whoever finds it taken.
    pub(super) fn sign(&self) -> io::Result<()> {
        let line = format!("{}\n", std::process::id());
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.file.set_len(line.len() as u64)
    }
}

/// The process that has signed a lock file, if that can be read.
fn signature(file: &dyn DiskFile) -> Option<u32> {
    // Ten digits and a line break at most.
    let mut bytes = [0; 16];
    let count = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..count]).ok()?.trim_end().parse().ok()
}
