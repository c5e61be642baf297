//! An upload in parts that takes as long as its object is being made.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error, PutPayload};

use super::super::error::is_upload_lost;
use super::super::growing::{Beginning, Begun, GrowError};
use super::super::multipart::{self, NumberedStore};
use super::super::{SinkError, SinkErrorClass, Stored};
use super::{Remote, Uploads};

/// See the module.
#[derive(Debug)]
pub struct GrowingRemote {
    remote: Arc<Remote>,
    store: Arc<dyn NumberedStore>,
    path: Path,
    identity: String,
    id: String,
}

impl Remote {
    /// Whether its uploads in parts can wait for more.
    pub fn can_grow(&self) -> bool {
        self.uploads.is_some()
    }

    /// See [`super::super::ObjectSink::begin`].
    pub async fn begin(self: &Arc<Self>, beginning: &Beginning<'_>) -> Result<Begun, SinkError> {
        let Beginning { key, identity, is_again, notes } = *beginning;
        let Some(uploads) = &self.uploads else {
            return Err(SinkError::new(SinkErrorClass::Other, "this store has no uploads that can wait"));
        };
        let path = self.path(key)?;
        // The same identity means the same records, whatever its size.
        if let Some(stored) = self.ours(&path, identity).await?
            && is_again
        {
            return Ok(Begun::Found(stored));
        }
        let Uploads { store, .. } = uploads;
        let id = self.create(store, &path, identity, notes).await?;
        let (remote, store, identity) = (Arc::clone(self), Arc::clone(store), identity.to_owned());
        Ok(Begun::Growing(GrowingRemote { remote, store, path, identity, id }.into()))
    }
}

impl GrowingRemote {
    pub async fn put_part(&self, place: usize, chunks: &[Bytes]) -> Result<PartId, GrowError> {
        let payload = chunks.iter().cloned().collect::<PutPayload>();
        self.store.put_part(&self.path, &self.id, place, payload).await.map_err(lost_or_failed)
    }

    /// The object may be there: a reply can be lost, and then the upload is not there any more. If the store has lost a
    /// part of it, the rest of the upload stays until it is aborted.
    pub async fn complete(&self, parts: Vec<PartId>, bytes: u64) -> Result<Stored, GrowError> {
        if let Some(stored) = self.found(bytes).await? {
            return Ok(stored);
        }
        match self.store.complete_multipart(&self.path, &self.id, parts).await {
            Ok(result) => Ok(Stored { bytes, etag: result.e_tag }),
            Err(error) => match lost_or_failed(error) {
                GrowError::Gone(error) => self.found(bytes).await?.ok_or(GrowError::Gone(error)),
                failed => Err(failed),
            },
        }
    }

    async fn found(&self, bytes: u64) -> Result<Option<Stored>, SinkError> {
        let found = self.remote.ours(&self.path, &self.identity).await?;
        Ok(found.filter(|stored| stored.bytes == bytes))
    }

    pub async fn abort(&self) -> Result<(), SinkError> {
        Ok(multipart::forget(self.store.as_ref(), &self.path, &self.id).await?)
    }
}

fn lost_or_failed(error: Error) -> GrowError {
    let is_lost = is_upload_lost(&error);
    let error = SinkError::from(error);
    if is_lost { GrowError::Gone(error) } else { GrowError::Failed(error) }
}
