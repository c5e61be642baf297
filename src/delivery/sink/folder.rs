//! Files below a folder of the file system.
//!
//! A file is written under a temporary name in the folder it is meant for, synced, and then given its name; last, the
//! folder is synced. So a name shows a whole file or none, whenever the machine loses power.
//!
//! A file that has the name already is replaced. That is right without a look at whose it is, which a file system has
//! no place to tell: a key is made of the node, the number of the file within it and a hash of what is inside, so that
//! only an earlier try to store the same records can have made a file of that name.
//!
//! The temporary name begins with a dot and ends with `.tmp`, so that readers that look for `*.parquet` or skip hidden
//! files do not see it. It follows from the name of the file alone: when a process was killed over a file, the next one
//! finds the leftover where it is about to write the same file again. Where two processes may write the same file at the
//! same time, because one does not know yet that the other has taken its place, the name has a number of the process as
//! well: neither gives its own name to what the other has half written. Leftovers of earlier processes are then removed
//! when a file is made again. If its process is still at work, that finds its temporary file gone, and begins anew.

mod growing;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path as Key;
use tokio_util::task::TaskTracker;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{FolderError, SinkError, SinkErrorClass};
use super::listing::{self, Listed};
use super::reader::{ObjectReader, Source};
use super::{Head, Object, Stored};
use crate::config::limits::DURABLE_FOLDERS_MAX;
use crate::runtime::disk::{Disk, DiskFile};
pub(super) use growing::GrowingFile;

/// A folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Number of the process, where several may write the same files.
    generation: Option<u64>,
    /// Temporary files that are being written. As many as there are uploads.
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    /// Whatever changes files, from when it is asked for until it has ended; closed, so that it can be waited for.
    writes: TaskTracker,
    /// Folders whose names, and those of the folders above them up to the root, were synced by this process.
    durable: Mutex<HashSet<PathBuf>>,
}

/// The right to write a temporary file, for one at a time: a write whose caller has stopped waiting goes on.
#[derive(Debug)]
struct Turn {
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    temporary: PathBuf,
}

impl Turn {
    fn take(busy: &Arc<Mutex<HashSet<PathBuf>>>, temporary: &Path) -> Option<Self> {
        let is_free = busy.lock().unwrap_or_else(PoisonError::into_inner).insert(temporary.to_owned());
        is_free.then(|| Self { busy: Arc::clone(busy), temporary: temporary.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.temporary);
    }
}

impl Folder {
    /// The folder `root`, which is made if it is not there.
    pub fn open(root: PathBuf, disk: Arc<dyn Disk>) -> Result<Self, SinkError> {
        make_folder(disk.as_ref(), &root)?;
        let writes = TaskTracker::new();
        writes.close();
        Ok(Self { root, disk, generation: None, busy: Arc::default(), writes, durable: Mutex::default() })
    }

    /// The same folder for one of several processes that may write the same files.
    pub fn written_by(&self, generation: u64) -> Self {
        let writes = TaskTracker::new();
        writes.close();
        let (root, disk) = (self.root.clone(), Arc::clone(&self.disk));
        let generation = Some(generation);
        Self { root, disk, generation, busy: Arc::default(), writes, durable: Mutex::default() }
    }

    /// See [`super::ObjectSink::settled`].
    pub async fn settled(&self) {
        self.writes.wait().await;
    }

    /// Does what changes files.
    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let under_way = self.writes.token();
        blocking(move || {
            let done = work();
            drop(under_way);
            done
        })
        .await
    }

    /// See [`super::ObjectSink::store`].
    pub async fn store(self: &Arc<Self>, object: &Object<'_>) -> Result<Stored, SinkError> {
        let (this, path, chunks) = (Arc::clone(self), self.path(object.key)?, object.chunks.to_vec());
        self.writing(move || this.write(&path, &chunks)).await?;
        Ok(Stored { bytes: object.bytes(), etag: None })
    }

    /// See [`super::ObjectSink::head`].
    pub async fn head(&self, key: &str) -> Result<Option<Head>, SinkError> {
        let opened = self.opened(key).await?;
        Ok(opened.map(|(_, _, bytes)| Head { bytes, etag: None, identity: None }))
    }

    /// See [`super::ObjectSink::get`].
    pub async fn get(&self, key: &str) -> Result<ObjectReader, SinkError> {
        match self.opened(key).await? {
            Some((path, file, bytes)) => Ok(ObjectReader::new(Source::File { path, file }, bytes)),
            None => Err(SinkError::new(SinkErrorClass::NotFound, format!("there is no file '{key}'"))),
        }
    }

    /// See [`super::ObjectSink::list`].
    pub async fn list(&self, folder: &str, objects_max: usize) -> Result<Listed, SinkError> {
        let (disk, root, folder) = (Arc::clone(&self.disk), self.root.clone(), folder.to_owned());
        blocking(move || listing::of_disk(disk.as_ref(), &root, &folder, objects_max)).await
    }

    async fn opened(&self, key: &str) -> Result<Option<(PathBuf, Arc<dyn DiskFile>, u64)>, SinkError> {
        let (disk, path) = (Arc::clone(&self.disk), self.path(key)?);
        blocking(move || {
            let file = match disk.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => at("open", &path, other)?,
            };
            let bytes = at("read the size of", &path, file.len())?;
            Ok(Some((path, file, bytes)))
        })
        .await
    }

    /// Where an object goes. A key cannot lead out of the folder.
    fn path(&self, key: &str) -> Result<PathBuf, SinkError> {
        let key = Key::parse(key).map_err(object_store::Error::from)?;
        Ok(self.root.join(key.as_ref()))
    }

    /// The temporary file of `path`, for the caller alone.
    fn turn(&self, path: &Path) -> Result<(PathBuf, Turn), SinkError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            let message = format!("'{}' is no name of a file", path.display());
            return Err(SinkError::new(SinkErrorClass::Other, message));
        };
        let temporary = folder.join(temporary_name(name.as_encoded_bytes(), self.generation));
        let Some(turn) = Turn::take(&self.busy, &temporary) else {
            let message = format!("an earlier write of '{}' has not ended yet", path.display());
            return Err(SinkError::new(SinkErrorClass::Transient, message));
        };
        Ok((temporary, turn))
    }

    fn write(&self, path: &Path, chunks: &[Bytes]) -> Result<(), SinkError> {
        let (temporary, _turn) = self.turn(path)?;
        let folder = path.parent().unwrap_or(&self.root);
        self.make_durable_folder(folder)?;
        let result = self.write_in(folder, &temporary, path, chunks);
        if result.is_err() {
            // It may never have been made, and what cannot be removed now is found by the next try.
            let _ = self.disk.remove(&temporary);
        }
        Ok(result?)
    }

    fn write_in(
        &self,
        folder: &Path,
        temporary: &Path,
        path: &Path,
        chunks: &[Bytes],
    ) -> Result<(), FolderError> {
        let disk = self.disk.as_ref();
        let file = self.make_temporary(temporary)?;
        let mut offset = 0;
        for chunk in chunks {
            at("write", temporary, file.write_all_at(chunk, offset))?;
            offset += chunk.len() as u64;
        }
        at("sync", temporary, file.sync_data())?;
        at("rename the finished file to", path, disk.rename(temporary, path))?;
        at("sync the folder", folder, disk.sync_folder(folder))
    }

    fn make_temporary(&self, temporary: &Path) -> Result<Arc<dyn DiskFile>, FolderError> {
        self.remove_temporary(temporary)?;
        at("make", temporary, self.disk.create(temporary))
    }

    /// Removes the temporary files that others have left of `path`.
    fn remove_others(&self, path: &Path) -> Result<(), FolderError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let begin = temporary_begin(name.as_encoded_bytes());
        let found = match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => at("list", folder, other)?,
        };
        let is_one = |found: &&PathBuf| {
            let name = found.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&begin) && name.ends_with(TEMPORARY)
        };
        found.iter().filter(is_one).try_for_each(|temporary| self.remove_temporary(temporary))
    }

    fn remove_temporary(&self, temporary: &Path) -> Result<(), FolderError> {
        match self.disk.remove(temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => at("remove the leftover", temporary, other),
        }
    }

    /// Makes the folder of a file. Its name could be one that a killed process has made and not synced, so that
    /// finding it there is not enough: the first time, all folders between it and the root are synced.
    fn make_durable_folder(&self, folder: &Path) -> Result<(), FolderError> {
        let is_durable = |durable: &HashSet<PathBuf>| durable.contains(folder);
        make_folder(self.disk.as_ref(), folder)?;
        if folder == self.root || is_durable(&self.durable.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        for above in folder.ancestors().skip(1) {
            at("sync the folder", above, self.disk.sync_folder(above))?;
            if above == self.root {
                break;
            }
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_FOLDERS_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }
}

/// A hidden name of at most 46 bytes: the file's own may have as many as a file system allows.
fn temporary_name(name: &[u8], generation: Option<u64>) -> String {
    let begin = temporary_begin(name);
    match generation {
        None => format!("{begin}{TEMPORARY}"),
        Some(generation) => format!("{begin}-{generation:x}{TEMPORARY}"),
    }
}

/// Ending of temporary names.
const TEMPORARY: &str = ".tmp";

/// What the temporary names of a file begin with, whoever writes it.
fn temporary_begin(name: &[u8]) -> String {
    format!(".forebay-{:016x}", xxh3_64(name))
}

fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), FolderError> {
    let made = disk.create_folder(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::new(io::ErrorKind::NotADirectory, "something else has its name")
        }
        _ => error,
    });
    at("make the folder", folder, made)
}

fn at<T>(step: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FolderError> {
    result.map_err(|source| FolderError { step, path: path.to_owned(), source })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    // Only a panic or the end of the runtime keeps it from answering.
    let stopped = |error| SinkError::new(SinkErrorClass::Transient, error);
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests;
