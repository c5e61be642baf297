//! A disk in memory that forgets, fails and runs full on demand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::runtime::disk::{Disk, DiskFile};

/// What reaches a disk whole or not at all. Small, so that tests meet many of them.
const SECTOR: usize = 64;

type Inode = usize;

#[derive(Debug, Default, Clone)]
struct Content {
    /// As the process sees it.
    cached: Vec<u8>,
    /// As it is after the power has gone.
    stored: Vec<u8>,
    /// Sectors in which the two may differ. Those of a failed sync are not among them: nobody writes them any more.
    dirty: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Naming {
    Made(PathBuf, Inode),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, Inode>,
    stored_names: BTreeMap<PathBuf, Inode>,
    /// Changes of names since the last sync of the folder.
    renaming: Vec<Naming>,
    /// Bytes that all files together may have.
    capacity: usize,
    /// Writes, syncs and namings until one fails.
    fails_in: Option<u32>,
    syncs: usize,
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Handle {
    disk: FaultyDisk,
    inode: Inode,
}

/// Answers of a coin that falls the same way in each run.
pub struct Coin(pub u64);

impl Coin {
    pub fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 63 == 1
    }
}

impl FaultyDisk {
    pub fn new() -> Self {
        let disk = Self::default();
        disk.lock().capacity = usize::MAX;
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The power goes: of what was not synced, each sector is there or not, and the namings up to some point.
    pub fn lose_power(&self, coin: &mut Coin) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        for file in &mut inner.files {
            for sector in std::mem::take(&mut file.dirty) {
                if coin.toss() {
                    file.store(sector);
                }
            }
            file.cached.clone_from(&file.stored);
        }
        for naming in std::mem::take(&mut inner.renaming) {
            if !coin.toss() {
                break;
            }
            rename_in(&mut inner.stored_names, naming);
        }
        inner.names.clone_from(&inner.stored_names);
        inner.fails_in = None;
    }

    /// The write, sync or naming after the next `skipped` fails, once.
    pub fn fail_after(&self, skipped: u32) {
        self.lock().fails_in = Some(skipped);
    }

    /// Leaves space for `bytes` more.
    pub fn leave(&self, bytes: usize) {
        let mut inner = self.lock();
        let used = inner.used();
        inner.capacity = used.saturating_add(bytes);
    }

    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// The content of a file, as the process sees it.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let inner = self.lock();
        inner.files[inner.names[path]].cached.clone()
    }

    /// Puts `content` into a file, on the disk as well.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let mut inner = self.lock();
        inner.files.push(Content { cached: content.to_vec(), stored: content.to_vec(), dirty: Vec::new() });
        let inode = inner.files.len() - 1;
        inner.names.insert(path.to_path_buf(), inode);
        inner.stored_names.insert(path.to_path_buf(), inode);
    }
}

impl Inner {
    fn used(&self) -> usize {
        self.names.values().map(|&inode| self.files[inode].cached.len()).sum()
    }

    fn may_fail(&mut self) -> io::Result<()> {
        match self.fails_in.as_mut() {
            Some(0) => {
                self.fails_in = None;
                Err(io::Error::other("the disk is broken"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn name(&mut self, naming: Naming) {
        rename_in(&mut self.names, naming.clone());
        self.renaming.push(naming);
    }
}

fn rename_in(names: &mut BTreeMap<PathBuf, Inode>, naming: Naming) {
    match naming {
        Naming::Made(path, inode) => {
            names.insert(path, inode);
        }
        Naming::Renamed(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
        Naming::Removed(path) => {
            names.remove(&path);
        }
    }
}

impl Content {
    fn store(&mut self, sector: usize) {
        let end = self.cached.len().min((sector + 1) * SECTOR);
        let start = (sector * SECTOR).min(end);
        if self.stored.len() < end {
            self.stored.resize(end, 0);
        }
        self.stored[start..end].copy_from_slice(&self.cached[start..end]);
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.names().into_iter().filter(|path| path.parent() == Some(folder)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.may_fail()?;
        if inner.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.files.push(Content::default());
        let inode = inner.files.len() - 1;
        inner.name(Naming::Made(path.to_path_buf(), inode));
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.lock().names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.may_fail()?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.name(Naming::Renamed(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        if !inner.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.name(Naming::Removed(path.to_path_buf()));
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.may_fail()?;
        inner.renaming.clear();
        inner.stored_names = inner.names.clone();
        Ok(())
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.lock();
        let rest = inner.files[self.inode].cached.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    /// A broken or full disk takes some bytes before it says so.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        if let Err(error) = inner.may_fail() {
            inner.files[self.inode].write(&bytes[..bytes.len() / 2], offset as usize);
            return Err(error);
        }
        let more = (offset as usize + bytes.len()).saturating_sub(inner.files[self.inode].cached.len());
        let space = inner.capacity.saturating_sub(inner.used());
        let taken = bytes.len() - more.saturating_sub(space);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.files[self.inode].write(&bytes[..taken], offset as usize);
        Ok(taken)
    }

    /// One that fails leaves half of the sectors unwritten and forgets that they are.
    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.syncs += 1;
        let failed = inner.may_fail();
        let file = &mut inner.files[self.inode];
        let dirty = std::mem::take(&mut file.dirty);
        let reached = if failed.is_err() { dirty.len() / 2 } else { dirty.len() };
        for &sector in &dirty[..reached] {
            file.store(sector);
        }
        failed
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.inode].cached.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let file = &mut inner.files[self.inode];
        file.cached.resize(bytes as usize, 0);
        file.stored.resize((bytes as usize).min(file.stored.len()), 0);
        file.dirty.retain(|sector| sector * SECTOR < bytes as usize);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}
