//! A temporary file that is written while its content is being made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::PartId;

use super::super::growing::{Beginning, Begun, GrowError};
use super::super::{SinkError, Stored};
use super::{Folder, FolderError, Turn, at};
use crate::runtime::disk::DiskFile;

/// See the module.
#[derive(Debug)]
pub struct GrowingFile {
    file: Arc<Written>,
}

#[derive(Debug)]
struct Written {
    folder: Arc<Folder>,
    temporary: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    _turn: Turn,
}

impl Folder {
    /// See [`super::super::ObjectSink::begin`]. A file that has the name may not be durable, so it is made once more.
    pub async fn begin(self: &Arc<Self>, beginning: &Beginning<'_>) -> Result<Begun, SinkError> {
        let (folder, path) = (Arc::clone(self), self.path(beginning.key)?);
        let file = self
            .writing(move || {
                let (temporary, turn) = folder.turn(&path)?;
                let parent = path.parent().unwrap_or(&folder.root).to_owned();
                folder.make_durable_folder(&parent)?;
                let file = folder.make_temporary(&temporary)?;
                Ok(Written { folder, temporary, path, file, _turn: turn })
            })
            .await?;
        Ok(Begun::Growing(GrowingFile { file: Arc::new(file) }.into()))
    }

    /// Removes what a process that was killed has written of an object.
    pub async fn forget(self: &Arc<Self>, key: &str) -> Result<(), SinkError> {
        let (folder, path) = (Arc::clone(self), self.path(key)?);
        self.writing(move || {
            let (temporary, _turn) = folder.turn(&path)?;
            if folder.generation.is_some() {
                folder.remove_others(&path)?;
            }
            Ok(folder.remove_temporary(&temporary)?)
        })
        .await
    }
}

impl GrowingFile {
    pub async fn write(&self, offset: u64, chunks: &[Bytes]) -> Result<PartId, GrowError> {
        let (this, chunks) = (Arc::clone(&self.file), chunks.to_vec());
        self.file
            .folder
            .writing(move || {
                let mut offset = offset;
                for chunk in &chunks {
                    at("write", &this.temporary, this.file.write_all_at(chunk, offset))?;
                    offset += chunk.len() as u64;
                }
                Ok(())
            })
            .await?;
        Ok(PartId { content_id: String::new() })
    }

    /// After a sync of its content that has failed nobody knows what the disk has, and a second one would not tell. A
    /// name is another matter: a file system that cannot write its journal takes no more changes, so that a sync of the
    /// folder that succeeds later on covers the name as well.
    pub async fn complete(&self, bytes: u64) -> Result<Stored, GrowError> {
        let this = Arc::clone(&self.file);
        // What went wrong is an answer, not the end of the thread.
        self.file.folder.writing(move || Ok(this.complete(bytes))).await??;
        Ok(Stored { bytes, etag: None })
    }

    pub async fn abort(&self) -> Result<(), SinkError> {
        let this = Arc::clone(&self.file);
        self.file.folder.writing(move || Ok(this.folder.remove_temporary(&this.temporary)?)).await
    }
}

impl Written {
    /// May be done again, also after the file has got its name.
    fn complete(&self, bytes: u64) -> Result<(), GrowError> {
        let Self { folder, temporary, path, file, .. } = self;
        let disk = folder.disk.as_ref();
        let gone = |error: FolderError| GrowError::Gone(error.into());
        at("sync", temporary, file.sync_data()).map_err(gone)?;
        crate::crash_point!("stream.rename");
        let renamed = at("rename the finished file to", path, disk.rename(temporary, path));
        if let Err(error) = renamed {
            let is_missing = error.source.kind() == io::ErrorKind::NotFound;
            if !is_missing {
                return Err(GrowError::Failed(error.into()));
            }
            if !self.has_its_name(bytes)? {
                return Err(gone(error));
            }
        }
        let parent = path.parent().unwrap_or(&folder.root);
        Ok(at("sync the folder", parent, disk.sync_folder(parent))?)
    }

    /// Whether there is a file of its name and size: it was renamed by an earlier try. A name stands for the records in
    /// the file, and nothing gets it that was not synced.
    fn has_its_name(&self, bytes: u64) -> Result<bool, FolderError> {
        let file = match self.folder.disk.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => at("open", &self.path, other)?,
        };
        Ok(at("read the size of", &self.path, file.len())? == bytes)
    }
}
