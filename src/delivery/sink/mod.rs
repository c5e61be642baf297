//! Sinks: where files go.
//!
//! Storing an object is repeatable: however often [`ObjectSink::store`] is called for an object, by this process or
//! by the next one, and wherever a call before it was cut off, the store ends up with this object under this key and
//! nothing else. Three things make it so. The key is decided before the first try. The object says who wrote it
//! ([`Object::identity`]), so that a second try knows its own work from somebody else's. And a store shows an object
//! whole or not at all.

mod error;
mod folder;
mod growing;
mod listing;
mod multipart;
mod object;
mod reader;
mod remote;
mod store;
mod unfinished;

use std::pin::Pin;

use bytes::Bytes;

pub use error::{SinkError, SinkErrorClass};
pub use growing::{Beginning, Begun, GrowError, Growing, PartSizes};
pub use object::ObjectSink;
pub use object_store::multipart::PartId;
pub use reader::ObjectReader;
pub use store::open_store;

/// A future in a box, for traits that are called through `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Where, below the sink's folder. May hold `%` escapes and is used as it is.
    pub key: &'a str,
    /// Its content, one chunk behind the other.
    pub chunks: &'a [Bytes],
    /// Who writes it: the same text for every try to store this content, and never the same for another. Printable
    /// ASCII, at most 1 KiB. Kept in the object's metadata where the store has such.
    pub identity: &'a str,
}

impl Object<'_> {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

/// A confirmed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its ETag, if the store gives one.
    pub etag: Option<String>,
}

/// What a store tells about an object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its ETag, if the store gives one.
    pub etag: Option<String>,
    /// Who wrote it; `None` if it does not say, as in a folder.
    pub identity: Option<String>,
}

/// Keeps what is needed to clean up after a process that was killed.
pub trait UploadNotes: Send + Sync {
    /// An upload in parts has begun and has this id. Must be durable when it returns: the first part is sent after
    /// it. If it fails the upload is taken back, and storing fails with its error.
    fn multipart_begun<'a>(&'a self, upload: &'a str) -> BoxFuture<'a, Result<(), SinkError>>;
}

/// Keeps nothing: for streams that do not outlive their process, and so have no ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNotes;

impl UploadNotes for NoNotes {
    fn multipart_begun<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
