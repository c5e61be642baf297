//! Objects in a store that is reached over the network.
//!
//! The first try to store an object asks the store to make it only if there is none (`If-None-Match: *`). If there is
//! one, its metadata tells whose: our own, when a reply was lost or a process was killed between the store's
//! confirmation and the note of it; or somebody else's, which is left alone. A store that may ignore the condition is
//! asked first what it has.
//!
//! A large object goes up in parts, either when all of it is there or while it is made ([`super::growing`]).
//! `object_store` cannot put the condition on the last step of that, so it is looked for what is there before the first
//! part. A failed upload is taken back; one whose process was killed is taken back by the next process, from the id
//! that [`UploadNotes`] has kept before the first part. One that was begun and not noted is found by asking the store
//! for what is unfinished under the key, where it can tell ([`super::unfinished`]). What may stay in the store, unseen
//! and paid for, are the parts of streams without a ledger, and empty uploads in stores that cannot tell, so that a
//! lifecycle rule of the bucket that removes incomplete multipart uploads after some days is advisable all the same.

mod growing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, GetResult, MultipartUpload, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload,
};

use super::error::{Conflict, SinkError, SinkErrorClass, is_not_implemented};
use super::listing::{self, Listed};
use super::multipart::{self, Numbered, NumberedStore};
use super::reader::{ObjectReader, Source};
use super::unfinished::Unfinished;
use super::{Head, Object, Stored, UploadNotes};
use crate::config::limits::MULTIPART_PART_BYTES;
use crate::crash_point;
pub(super) use growing::GrowingRemote;

/// In which ways stores differ.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Name of the metadata that tells who wrote an object.
    pub metadata_key: &'static str,
    /// Whether it is known to make no object where there is one, if asked so. Some do it although there is one.
    pub keeps_conditions: bool,
}

/// A store whose uploads in parts have ids.
#[derive(Debug)]
pub struct Uploads {
    /// The store.
    pub store: Arc<dyn NumberedStore>,
    /// Its list of those that were not ended, if it has one.
    pub unfinished: Option<Unfinished>,
}

/// A folder of a store.
#[derive(Debug)]
pub struct Remote {
    store: Arc<dyn ObjectStore>,
    /// The same store, if its uploads in parts have ids.
    uploads: Option<Uploads>,
    folder: Path,
    manners: Manners,
    /// The store has refused to know conditions.
    knows_no_conditions: AtomicBool,
    /// Larger objects go up in parts.
    parts_above: u64,
}

/// What is under the key of an object that is to be stored.
enum Found {
    Nothing,
    /// The object itself.
    Same(Stored),
    /// Written by us, of another size: by a version of the program that encodes otherwise.
    OurOther,
}

/// An object on its way.
struct Put<'a> {
    object: &'a Object<'a>,
    path: Path,
    bytes: u64,
}

impl Remote {
    /// The folder `folder` of `store`. `uploads` is the same store, if its uploads in parts have ids.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        uploads: Option<Uploads>,
        folder: Path,
        manners: Manners,
        parts_above: u64,
    ) -> Self {
        Self { store, uploads, folder, manners, knows_no_conditions: AtomicBool::new(false), parts_above }
    }

    /// See [`super::ObjectSink::store`].
    pub async fn store(&self, object: &Object<'_>, notes: &dyn UploadNotes) -> Result<Stored, SinkError> {
        let put = Put { object, path: self.path(object.key)?, bytes: object.bytes() };
        if put.bytes > self.parts_above {
            return match self.look(&put).await? {
                Found::Same(stored) => Ok(stored),
                Found::Nothing | Found::OurOther => self.put_in_parts(&put, notes).await,
            };
        }
        if !self.manners.keeps_conditions {
            match self.look(&put).await? {
                Found::Same(stored) => return Ok(stored),
                Found::OurOther => return Ok(self.put_whole(&put, PutMode::Overwrite).await?),
                Found::Nothing => {}
            }
        }
        if !self.knows_no_conditions.load(Ordering::Relaxed) {
            match self.put_whole(&put, PutMode::Create).await {
                Err(Error::AlreadyExists { .. }) => {
                    return match self.look(&put).await? {
                        Found::Same(stored) => Ok(stored),
                        Found::OurOther => Ok(self.put_whole(&put, PutMode::Overwrite).await?),
                        // It was removed in between, or another write to it is under way, which S3 answers alike.
                        Found::Nothing => Err(Conflict::Hidden { key: put.path.to_string() }.into()),
                    };
                }
                Err(error) if is_not_implemented(&error) => {
                    self.knows_no_conditions.store(true, Ordering::Relaxed);
                }
                other => return Ok(other?),
            }
        }
        match self.look(&put).await? {
            Found::Same(stored) => Ok(stored),
            Found::Nothing | Found::OurOther => Ok(self.put_whole(&put, PutMode::Overwrite).await?),
        }
    }

    /// See [`super::ObjectSink::abort_multipart`].
    pub async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), SinkError> {
        let path = self.path(key)?;
        match &self.uploads {
            Some(uploads) => Ok(multipart::forget(uploads.store.as_ref(), &path, upload).await?),
            None => Ok(()),
        }
    }

    /// See [`super::ObjectSink::abort_unfinished`].
    pub async fn abort_unfinished(&self, key: &str) -> Result<(), SinkError> {
        self.take_back_unfinished(&self.path(key)?).await
    }

    async fn take_back_unfinished(&self, path: &Path) -> Result<(), SinkError> {
        match &self.uploads {
            Some(Uploads { store, unfinished: Some(unfinished) }) => {
                unfinished.take_back(store.as_ref(), path).await
            }
            _ => Ok(()),
        }
    }

    /// See [`super::ObjectSink::head`].
    pub async fn head(&self, key: &str) -> Result<Option<Head>, SinkError> {
        self.head_of(&self.path(key)?).await
    }

    /// See [`super::ObjectSink::get`].
    pub async fn get(&self, key: &str) -> Result<ObjectReader, SinkError> {
        let path = self.path(key)?;
        let Some(Head { bytes, etag, .. }) = self.head_of(&path).await? else {
            let message = format!("there is no object '{path}'");
            return Err(SinkError::new(SinkErrorClass::NotFound, message));
        };
        let store = Arc::clone(&self.store);
        Ok(ObjectReader::new(Source::Remote { store, path, etag }, bytes))
    }

    /// See [`super::ObjectSink::list`].
    pub async fn list(&self, folder: &str, objects_max: usize) -> Result<Listed, SinkError> {
        listing::of_store(&self.store, &self.folder, folder, objects_max).await
    }

    async fn head_of(&self, path: &Path) -> Result<Option<Head>, SinkError> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        let result = match self.store.get_opts(path, head).await {
            Err(error) if SinkError::class_of(&error).needs_a_person() && !is_not_found(&error) => {
                // The answer to a HEAD has no body, so that the store's words are missing. With a byte of the content
                // the same question has them.
                let range = Some(GetRange::Bounded(0..1));
                self.store.get_opts(path, GetOptions { range, ..GetOptions::default() }).await
            }
            other => other,
        };
        match result {
            Ok(result) => Ok(Some(self.head_in(&result))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(source) => Err(Conflict::Unseen { key: path.to_string(), source }.into()),
        }
    }

    fn head_in(&self, result: &GetResult) -> Head {
        let identity = result.attributes.get(&Attribute::Metadata(self.manners.metadata_key.into()));
        Head {
            bytes: result.meta.size,
            etag: result.meta.e_tag.clone(),
            identity: identity.map(|identity| identity.as_ref().to_owned()),
        }
    }

    /// What is under the key of `put`; an error if it is not ours.
    async fn look(&self, put: &Put<'_>) -> Result<Found, SinkError> {
        Ok(match self.ours(&put.path, put.object.identity).await? {
            None => Found::Nothing,
            // The same identity means the same records, and a store shows no half objects: with the size it is the
            // same file. ETags are no checksums everywhere.
            Some(stored) if stored.bytes == put.bytes => Found::Same(stored),
            Some(_) => Found::OurOther,
        })
    }

    /// The object of `identity` at `path`; an error if one is there that is not ours.
    async fn ours(&self, path: &Path, identity: &str) -> Result<Option<Stored>, SinkError> {
        let Some(head) = self.head_of(path).await? else { return Ok(None) };
        match head.identity {
            Some(found) if found == identity => Ok(Some(Stored { bytes: head.bytes, etag: head.etag })),
            Some(owner) => Err(Conflict::Foreign { key: path.to_string(), owner }.into()),
            None => Err(Conflict::Unsigned { key: path.to_string() }.into()),
        }
    }

    async fn put_whole(&self, put: &Put<'_>, mode: PutMode) -> Result<Stored, Error> {
        let payload = put.object.chunks.iter().cloned().collect::<PutPayload>();
        let attributes = self.attributes(put.object.identity);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let result = self.store.put_opts(&put.path, payload, options).await?;
        Ok(Stored { bytes: put.bytes, etag: result.e_tag })
    }

    async fn put_in_parts(&self, put: &Put<'_>, notes: &dyn UploadNotes) -> Result<Stored, SinkError> {
        let upload: Box<dyn MultipartUpload> = match &self.uploads {
            None => self.store.put_multipart_opts(&put.path, self.options(put.object.identity)).await?,
            Some(Uploads { store: uploads, .. }) => {
                let id = self.create(uploads, &put.path, put.object.identity, notes).await?;
                Box::new(Numbered::new(Arc::clone(uploads), put.path.clone(), id))
            }
        };
        let result = multipart::send(upload, multipart::cut(put.object.chunks, MULTIPART_PART_BYTES)).await?;
        Ok(Stored { bytes: put.bytes, etag: result.e_tag })
    }

    /// Begins an upload in parts and has it noted. Nothing of the key may be under way.
    async fn create(
        &self,
        uploads: &Arc<dyn NumberedStore>,
        path: &Path,
        identity: &str,
        notes: &dyn UploadNotes,
    ) -> Result<String, SinkError> {
        self.take_back_unfinished(path).await?;
        let id = uploads.create_multipart_opts(path, self.options(identity)).await?;
        crash_point!("upload.multipart.created");
        if let Err(error) = notes.multipart_begun(&id).await {
            if let Err(error) = multipart::forget(uploads.as_ref(), path, &id).await {
                tracing::warn!(key = %path, %error, "an upload without parts stays in the store");
            }
            return Err(error);
        }
        Ok(id)
    }

    fn options(&self, identity: &str) -> PutMultipartOptions {
        PutMultipartOptions { attributes: self.attributes(identity), ..Default::default() }
    }

    fn attributes(&self, identity: &str) -> Attributes {
        let key = Attribute::Metadata(self.manners.metadata_key.into());
        Attributes::from_iter([(key, identity.to_owned())])
    }

    fn path(&self, key: &str) -> Result<Path, SinkError> {
        let text =
            if self.folder.as_ref().is_empty() { key.to_owned() } else { format!("{}/{key}", self.folder) };
        Ok(Path::parse(text).map_err(Error::from)?)
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
}

#[cfg(test)]
mod tests;
