//! A lake: where it is, and what lies there.

use std::path::Path as FilePath;
use std::sync::Arc;

use forebay::delivery::verify::unpack::Packing;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, parse_url_opts};
use serde::Serialize;
use thiserror::Error;
use url::Url;

/// Objects in a lake: 1 Mi × about 200 bytes = 200 MiB.
pub const OBJECTS_MAX: usize = 1 << 20;

/// Names of objects that are told when they are not read.
const IGNORED_NAMES_MAX: usize = 10;

/// Why a lake cannot be read at all. Nothing is said about its records then.
#[derive(Debug, Error)]
pub enum LakeError {
    /// Not a place that the program knows.
    #[error("{url}: {reason}: give s3://BUCKET/PREFIX/, file:///FOLDER/ or a folder")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The store refused, or is not there.
    #[error("{url}: {source}")]
    Store {
        /// Lake or object.
        url: String,
        /// Why.
        source: object_store::Error,
    },
    /// More objects than memory is planned for.
    #[error("{0} holds more than {OBJECTS_MAX} objects: verify its folders one by one")]
    TooManyObjects(String),
}

/// An open lake.
#[derive(Debug, Clone)]
pub(super) struct Lake {
    pub(super) url: String,
    pub(super) store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// How an object's records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json(Packing),
    Parquet,
    Orc,
}

/// An object with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) path: Path,
    pub(super) bytes: u64,
    pub(super) format: Format,
    pub(super) is_dead_letters: bool,
}

/// What lies in a lake.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// By name.
    pub(super) objects: Vec<Object>,
    pub(super) ignored: Ignored,
}

/// Objects that are not read, because their names do not say that they hold records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// How many.
    pub count: u64,
    /// Some of their names.
    pub names: Vec<String>,
}

impl Lake {
    /// Opens a URL, or a folder by its path. `options` are the store's own settings, such as `aws_endpoint`; those
    /// that it does not know are not for it.
    pub(super) fn open(place: &str, options: &[(String, String)]) -> Result<Self, LakeError> {
        let bad = |reason: String| LakeError::Url { url: place.to_owned(), reason };
        let url = match Url::parse(place) {
            Ok(url) => url,
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                let folder =
                    std::path::absolute(FilePath::new(place)).map_err(|error| bad(error.to_string()))?;
                Url::from_directory_path(folder).map_err(|()| bad("is no folder".into()))?
            }
            Err(error) => return Err(bad(error.to_string())),
        };
        if url.scheme() == "file" && url.to_file_path().is_ok_and(|folder| !folder.is_dir()) {
            return Err(bad("there is no such folder".into()));
        }
        let options = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (store, prefix) = parse_url_opts(&url, options).map_err(|error| bad(error.to_string()))?;
        Ok(Self { url: place.to_owned(), store: Arc::from(store), prefix })
    }

    /// All objects below the URL. Those in a folder of the name `errors_folder` are dead letters.
    pub(super) async fn list(&self, errors_folder: &str) -> Result<Listing, LakeError> {
        let failed = |source| LakeError::Store { url: self.url.clone(), source };
        let mut listing = Listing::default();
        let mut found = self.store.list(Some(&self.prefix));
        while let Some(meta) = found.try_next().await.map_err(failed)? {
            let Some(format) = Format::of(meta.location.as_ref()) else {
                listing.ignored.count += 1;
                if listing.ignored.names.len() < IGNORED_NAMES_MAX {
                    listing.ignored.names.push(meta.location.to_string());
                }
                continue;
            };
            if listing.objects.len() == OBJECTS_MAX {
                return Err(LakeError::TooManyObjects(self.url.clone()));
            }
            let below = meta.location.prefix_match(&self.prefix);
            let is_dead_letters =
                below.is_some_and(|mut parts| parts.any(|part| part.as_ref() == errors_folder));
            let object = Object { path: meta.location, bytes: meta.size, format, is_dead_letters };
            listing.objects.push(object);
        }
        listing.objects.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(listing)
    }
}

impl Format {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(".parquet") {
            return Some(Format::Parquet);
        }
        if name.ends_with(".orc") {
            return Some(Format::Orc);
        }
        Packing::of_key(name).map(Format::Json)
    }
}
