//! Another disk's files, with changes that nobody else sees: for whoever must look and not touch.
//!
//! What is read is read from the disk below. New files are kept in memory; that an old one was cut, renamed or removed
//! is remembered. Old files cannot be written to, unless with what stands there. All of it is gone with the value.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

/// See the module.
#[derive(Debug)]
pub struct ScratchDisk {
    below: Arc<dyn Disk>,
    changes: Arc<Mutex<Changes>>,
}

#[derive(Debug, Default)]
struct Changes {
    new: BTreeMap<PathBuf, Arc<MemoryFile>>,
    /// New lengths of old files.
    cut: BTreeMap<PathBuf, u64>,
    removed: BTreeSet<PathBuf>,
}

/// A new file.
#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

/// An old one.
#[derive(Debug)]
struct OldFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    changes: Arc<Mutex<Changes>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_only() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}

impl ScratchDisk {
    /// No changes yet.
    pub fn over(below: Arc<dyn Disk>) -> Self {
        Self { below, changes: Arc::default() }
    }

    /// A disk in memory, with nothing below.
    pub fn empty() -> Self {
        Self::over(Arc::new(Nothing))
    }
}

/// A disk without files.
#[derive(Debug)]
struct Nothing;

impl Disk for Nothing {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(read_only())
    }

    fn open(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for ScratchDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        // Files that are made in it need none.
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let changes = lock(&self.changes);
        let is_in = |path: &&PathBuf| path.parent() == Some(folder);
        let new: Vec<PathBuf> = changes.new.keys().filter(is_in).cloned().collect();
        let mut paths = match self.below.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !new.is_empty() => Vec::new(),
            other => other?,
        };
        paths.retain(|path| !changes.removed.contains(path) && !changes.new.contains_key(path));
        paths.extend(new);
        paths.sort_unstable();
        Ok(paths)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.open(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::<MemoryFile>::default();
        let mut changes = lock(&self.changes);
        changes.removed.remove(path);
        changes.new.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        {
            let changes = lock(&self.changes);
            if let Some(file) = changes.new.get(path) {
                return Ok(Arc::<MemoryFile>::clone(file));
            }
            if changes.removed.contains(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        let file = self.below.open(path)?;
        Ok(Arc::new(OldFile { file, path: path.to_owned(), changes: Arc::clone(&self.changes) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut changes = lock(&self.changes);
        let file = changes.new.remove(from).ok_or_else(read_only)?;
        changes.cut.remove(to);
        changes.removed.remove(to);
        changes.new.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.open(path)?;
        let mut changes = lock(&self.changes);
        changes.new.remove(path);
        changes.cut.remove(path);
        changes.removed.insert(path.to_owned());
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = lock(&self.0);
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = offset + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        lock(&self.0).resize(bytes, 0);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

impl DiskFile for OldFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len()?.saturating_sub(offset).min(buffer.len() as u64) as usize;
        self.file.read_at(&mut buffer[..left], offset)
    }

    /// A start writes the last commit again as it stands there, to be sure of it: that changes nothing.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.read_exact_at(&mut there, offset)?;
        if there == bytes { Ok(bytes.len()) } else { Err(read_only()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        match lock(&self.changes).cut.get(&self.path) {
            Some(&bytes) => Ok(bytes),
            None => self.file.len(),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.len()? {
            return Err(read_only());
        }
        lock(&self.changes).cut.insert(self.path.clone(), bytes);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::disk::RealDisk;

    fn content(disk: &ScratchDisk, path: &Path) -> Vec<u8> {
        let file = disk.open(path).unwrap();
        let mut content = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn changes_are_seen_here_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let [old, gone, new, named] = ["old", "gone", "new", "named"].map(|name| folder.path().join(name));
        std::fs::write(&old, "0123456789").unwrap();
        std::fs::write(&gone, "gone").unwrap();
        let disk = ScratchDisk::over(Arc::new(RealDisk));
        disk.open(&old).unwrap().set_len(4).unwrap();
        disk.remove(&gone).unwrap();
        disk.create(&new).unwrap().write_all_at(b"news", 1).unwrap();
        disk.rename(&new, &named).unwrap();
        assert_eq!(disk.list(folder.path()).unwrap(), [named.clone(), old.clone()]);
        assert_eq!((content(&disk, &old), content(&disk, &named)), (b"0123".to_vec(), b"\0news".to_vec()));
        assert_eq!(disk.open(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
        let below: Vec<PathBuf> = RealDisk.list(folder.path()).unwrap();
        assert_eq!(below, [gone.clone(), old.clone()]);
        assert_eq!(std::fs::read(&old).unwrap(), b"0123456789");
        assert_eq!(std::fs::read(&gone).unwrap(), b"gone");
    }

    #[test]
    fn old_files_take_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old");
        std::fs::write(&old, "0123").unwrap();
        let disk = ScratchDisk::over(Arc::new(RealDisk));
        let file = disk.open(&old).unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(file.write_all_at(b"x", 0)), io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(kind(file.set_len(5)), io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(kind(disk.rename(&old, &folder.path().join("b"))), io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(disk.create(&old).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(content(&disk, &old), b"0123");
    }
}
