//! The file system, as everything that must survive a crash sees it.
//!
//! Log, ledger and node folder reach their files through [`Disk`] alone, so that tests can put a disk in its place that
//! fails, writes short, runs full, or forgets what was not synced ([`crate::testkit`]). [`RealDisk`] is the one that
//! the process runs on. It calls the C library, not the kernel directly, so that faults can be injected there as well.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders and names.
pub trait Disk: Send + Sync + Debug {
    /// Makes a folder and those above it, and makes their names durable.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Paths of everything in a folder, in the order of their names.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes an empty file, which must not be there yet. Its name is durable after [`Disk::sync_folder`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// [`Disk::create`] for a file that only the process's user may read and write. A disk without permissions makes one
    /// like any other.
    fn create_private(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.create(path)
    }
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same folder, in the place of whatever has it. Durable after
    /// [`Disk::sync_folder`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away. Durable after [`Disk::sync_folder`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder that is empty. A disk of which nobody looks at the folders may leave it.
    fn remove_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// An error if this process may not change names in a folder. A disk without permissions allows it.
    fn check_writable(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
    /// An error of kind `StorageFull` if there is no room for `bytes` more bytes in a folder, so that this need not be
    /// found out by filling what there is, which others may need. No error is no promise.
    fn check_room(&self, _folder: &Path, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a file. Positions are byte offsets from its start.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads some bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some bytes, perhaps not all.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the content durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Bytes in it.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it, or lengthens it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// The file itself, for whoever has a faster way to write to it; `None` where there is none.
    fn file(&self) -> Option<&File>;

    /// These bytes will be read soon: the system may begin to fetch them, all at once. Does not wait for that.
    fn will_read(&self, offset: u64, bytes: u64) {
        #[cfg(target_os = "linux")]
        if let (Some(file), Some(bytes)) = (self.file(), NonZeroU64::new(bytes)) {
            // Where it is not heard, reading takes longer.
            let _ = rustix::fs::fadvise(file, offset, Some(bytes), rustix::fs::Advice::WillNeed);
        }
    }

    /// Fills `buffer`; an error of kind `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, in as many steps as it takes.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_folder(parent)?;
        }
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            other => other?,
        }
        self.sync_folder(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort_unstable();
        Ok(paths)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn create_private(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::remove_dir(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn check_writable(&self, folder: &Path) -> io::Result<()> {
        use rustix::fs::{Access, access};
        Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    fn check_room(&self, folder: &Path, bytes: u64) -> io::Result<()> {
        let system = rustix::fs::statvfs(folder)?;
        // Some file systems do not tell, and have no blocks.
        let left = system.f_bavail.saturating_mul(system.f_frsize);
        if system.f_blocks > 0 && left < bytes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn file(&self) -> Option<&File> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_room_for_a_byte_and_none_for_more_than_there_is() {
        let folder = tempfile::tempdir().unwrap();
        RealDisk.check_room(folder.path(), 1).unwrap();
        let error = RealDisk.check_room(folder.path(), u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(RealDisk.check_room(&folder.path().join("nowhere"), 1).is_err());
    }
}
