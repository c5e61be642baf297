//! An object, piece by piece.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::error::{FolderError, SinkError, SinkErrorClass};
use crate::config::limits::OBJECT_PIECE_BYTES;
use crate::runtime::disk::DiskFile;

/// Reads an object from its start. At most one piece of [`OBJECT_PIECE_BYTES`] is in memory.
#[derive(Debug)]
pub struct ObjectReader {
    source: Source,
    bytes: u64,
    next: u64,
}

#[derive(Debug)]
pub(super) enum Source {
    File {
        path: std::path::PathBuf,
        file: Arc<dyn DiskFile>,
    },
    Remote {
        store: Arc<dyn ObjectStore>,
        path: Path,
        /// Pieces of two objects must not be taken for one.
        etag: Option<String>,
    },
}

impl ObjectReader {
    pub(super) fn new(source: Source, bytes: u64) -> Self {
        Self { source, bytes, next: 0 }
    }

    /// Size of the object in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Goes on reading at byte `offset`.
    pub fn skip_to(&mut self, offset: u64) {
        self.next = offset.min(self.bytes);
    }

    /// The next piece; `None` at the end. After an error the same piece can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SinkError> {
        let range = self.next..self.bytes.min(self.next + OBJECT_PIECE_BYTES);
        if range.is_empty() {
            return Ok(None);
        }
        let wanted = range.end - range.start;
        let piece = match &self.source {
            Source::File { path, file } => {
                let (path, file) = (path.clone(), Arc::clone(file));
                let read = move || {
                    let mut piece = BytesMut::zeroed(wanted as usize);
                    match file.read_exact_at(&mut piece, range.start) {
                        Ok(()) => Ok(piece.freeze()),
                        Err(source) => Err(FolderError { step: "read", path, source }),
                    }
                };
                tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|error| SinkError::new(SinkErrorClass::Transient, error))??
            }
            Source::Remote { store, path, etag } => {
                let range = Some(GetRange::Bounded(range));
                let options = GetOptions { range, if_match: etag.clone(), ..GetOptions::default() };
                store.get_opts(path, options).await?.bytes().await?
            }
        };
        if piece.len() as u64 != wanted {
            let message = format!("asked for {wanted} bytes of an object and got {}", piece.len());
            return Err(SinkError::new(SinkErrorClass::Transient, message));
        }
        self.next += wanted;
        Ok(Some(piece))
    }
}
