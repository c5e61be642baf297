//! Objects in an S3-compatible store, in Google's or Azure's, or files below a folder: one face for all of them.

use std::sync::Arc;

use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::path::Path;

use super::error::SinkError;
use super::folder::Folder;
use super::growing::{Beginning, Begun, PartSizes};
use super::reader::ObjectReader;
use super::remote::{Manners, Remote, Uploads};
use super::store::{self, invalid};
use super::unfinished::{Bucket, Unfinished};
use super::{Head, Object, Stored, UploadNotes};
use crate::config::checked;
use crate::config::limits::MULTIPART_PART_BYTES;
use crate::runtime::disk::{Disk, RealDisk};

/// A folder of an object store, or of the file system.
#[derive(Debug, Clone)]
pub struct ObjectSink {
    place: Place,
    sizes: Option<PartSizes>,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(Arc<Folder>),
    Remote(Arc<Remote>),
}

impl ObjectSink {
    /// Connects to nothing yet: a store that is away must not keep the process from starting. A folder is made.
    pub fn open(config: &checked::ObjectSink) -> Result<Self, SinkError> {
        Self::open_on(config, Arc::new(RealDisk))
    }

    /// Opens a sink whose folder, if it is one, is on `disk`.
    pub fn open_on(config: &checked::ObjectSink, disk: Arc<dyn Disk>) -> Result<Self, SinkError> {
        let url = &config.url;
        let folder = || Path::from_url_path(url.path()).map_err(object_store::Error::from);
        let parts_above = config.multipart_bytes;
        let remote = match url.scheme() {
            "file" => return Self::open_folder(config, disk),
            "s3" | "s3a" => {
                let manners = Manners {
                    metadata_key: "forebay-seal",
                    // Amazon's own keeps to the conditions of a write; of what others make of them nothing is known.
                    keeps_conditions: !config.options.contains_key("aws_endpoint"),
                };
                let builder = store::s3(config)?;
                let store = Arc::new(builder.clone().build()?);
                let client = ReqwestConnector::default().connect(&store::s3_client(config))?;
                let name = url.host_str().unwrap_or_default();
                let bucket = Bucket::of(name, &builder, client, Arc::clone(store.credentials()));
                let unfinished = Some(Unfinished::of(bucket));
                let uploads = Uploads { store: store.clone(), unfinished };
                Remote::new(store, Some(uploads), folder()?, manners, parts_above)
            }
            "gs" => {
                let manners = Manners { metadata_key: "forebay-seal", keeps_conditions: true };
                let store = Arc::new(store::google(config)?.build()?);
                // Its list of unfinished uploads wants another kind of signature than S3's.
                let uploads = Uploads { store: store.clone(), unfinished: None };
                Remote::new(store, Some(uploads), folder()?, manners, parts_above)
            }
            "az" | "azure" | "abfs" | "abfss" => {
                // Names of metadata must be identifiers there. Parts have no upload that could be named or taken
                // back: those of an unfinished object vanish after a week.
                let manners = Manners { metadata_key: "forebay_seal", keeps_conditions: true };
                let store = Arc::new(store::azure(config)?.build()?);
                Remote::new(store, None, folder()?, manners, parts_above)
            }
            _ => return Err(invalid(url, "no store is known for this scheme")),
        };
        let sizes = remote.can_grow().then(|| part_sizes(parts_above));
        Ok(Self { place: Place::Remote(Arc::new(remote)), sizes })
    }

    fn open_folder(config: &checked::ObjectSink, disk: Arc<dyn Disk>) -> Result<Self, SinkError> {
        let url = &config.url;
        let root = url.to_file_path().map_err(|()| invalid(url, "not a path of a local file"))?;
        let sizes = Some(part_sizes(config.multipart_bytes));
        Ok(Self { place: Place::Folder(Arc::new(Folder::open(root, disk)?)), sizes })
    }

    /// The same sink for one of several processes that may believe at the same time that it is theirs: those with other
    /// numbers. In a folder, none of them touches what another one has half written.
    pub fn written_by(&self, generation: u64) -> Self {
        match &self.place {
            Place::Folder(folder) => {
                let place = Place::Folder(Arc::new(folder.written_by(generation)));
                Self { place, sizes: self.sizes }
            }
            Place::Remote(_) => self.clone(),
        }
    }

    /// Which objects can be sent while they are made; `None` if all of one must be there before.
    pub fn part_sizes(&self) -> Option<PartSizes> {
        self.sizes
    }

    /// Begins an object that is sent while it is made. An object of somebody else under its key is left alone
    /// ([`SinkErrorClass::Foreign`]). May be done again after an error.
    pub async fn begin(&self, beginning: &Beginning<'_>) -> Result<Begun, SinkError> {
        match &self.place {
            Place::Folder(folder) => folder.begin(beginning).await,
            Place::Remote(remote) => remote.begin(beginning).await,
        }
    }

    /// Stores an object below the folder. Doing it again with the same object changes nothing and confirms it: so a
    /// failed call, whose object may or may not be there, is followed by the same call. An object of somebody else is
    /// left alone ([`SinkErrorClass::Foreign`]).
    pub async fn store(&self, object: &Object<'_>, notes: &dyn UploadNotes) -> Result<Stored, SinkError> {
        match &self.place {
            Place::Folder(folder) => folder.store(object).await,
            Place::Remote(remote) => remote.store(object, notes).await,
        }
    }

    /// Takes back what an upload in parts, whose process is gone, has left in the store. `upload` is what
    /// [`UploadNotes::multipart_begun`] was told. It may have ended long ago.
    pub async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), SinkError> {
        match &self.place {
            Place::Folder(_) => Ok(()),
            Place::Remote(remote) => remote.abort_multipart(key, upload).await,
        }
    }

    /// Takes back whatever earlier processes have begun in parts under this key and not ended, also uploads that
    /// [`UploadNotes::multipart_begun`] was not told of. Nothing of this key may be under way.
    ///
    /// # Errors
    /// If the store is away, slow or overloaded. A store that cannot list unfinished uploads, or does not permit it,
    /// is no error: they stay where they are.
    pub async fn abort_unfinished(&self, key: &str) -> Result<(), SinkError> {
        match &self.place {
            Place::Folder(folder) => folder.forget(key).await,
            Place::Remote(remote) => remote.abort_unfinished(key).await,
        }
    }

    /// Returns when nothing is written here any more by calls whose callers have stopped waiting. A request to a store
    /// ends with its caller.
    pub async fn settled(&self) {
        match &self.place {
            Place::Folder(folder) => folder.settled().await,
            Place::Remote(_) => {}
        }
    }

    /// What is under a key; `None` if nothing is.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, SinkError> {
        match &self.place {
            Place::Folder(folder) => folder.head(key).await,
            Place::Remote(remote) => remote.head(key).await,
        }
    }

    /// The object that `identity` has stored under a key; `None` if nothing is there, or an object of somebody else. A
    /// folder cannot tell, and has nobody else's under such a name.
    pub async fn find(&self, key: &str, identity: &str) -> Result<Option<Stored>, SinkError> {
        let Some(Head { bytes, etag, identity: owner }) = self.head(key).await? else { return Ok(None) };
        let is_ours = match &self.place {
            Place::Folder(_) => true,
            Place::Remote(_) => owner.is_some_and(|owner| owner == identity),
        };
        Ok(is_ours.then_some(Stored { bytes, etag }))
    }

    /// Reads an object in pieces. [`SinkErrorClass::NotFound`] if there is none.
    pub async fn get(&self, key: &str) -> Result<ObjectReader, SinkError> {
        match &self.place {
            Place::Folder(folder) => folder.get(key).await,
            Place::Remote(remote) => remote.get(key).await,
        }
    }

    /// Keys of everything below `folder`, which is empty or ends with `/`, and the bytes of each. In no order.
    ///
    /// # Errors
    /// If the store fails, or has more than `objects_max` there.
    pub async fn list(&self, folder: &str, objects_max: usize) -> Result<Vec<(String, u64)>, SinkError> {
        match &self.place {
            Place::Folder(below) => below.list(folder, objects_max).await,
            Place::Remote(remote) => remote.list(folder, objects_max).await,
        }
    }

    #[cfg(test)]
    pub(super) fn over(remote: Remote) -> Self {
        Self { place: Place::Remote(Arc::new(remote)), sizes: None }
    }
}

fn part_sizes(above: u64) -> PartSizes {
    PartSizes { above, part_bytes: above.min(MULTIPART_PART_BYTES as u64) }
}

#[cfg(test)]
mod tests;
