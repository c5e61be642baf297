//! An object that is sent while it is made, because all of it is more than memory may hold.
//!
//! ```text
//! begin ──▶ part, part, … ──▶ complete      nobody sees anything of it before it is complete
//!              └──▶ abort
//! ```
//! A part that was confirmed is not kept here. So there is an end that [`super::ObjectSink::store`] does not have: the
//! store has thrown away what it was sent ([`GrowError::Gone`]), and only who can make the object again can help.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::PartId;

use super::error::SinkError;
use super::folder::GrowingFile;
use super::remote::GrowingRemote;
use super::{Stored, UploadNotes};

/// Which objects are sent while they are made, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// Those with more finished bytes than these.
    pub above: u64,
    /// In parts of so many bytes, but for the last.
    pub part_bytes: u64,
}

/// The object that is to be begun.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// See [`super::Object::key`].
    pub key: &'a str,
    /// See [`super::Object::identity`].
    pub identity: &'a str,
    /// Whether it was closed before, so that the store may have it already.
    pub is_again: bool,
    /// Told of the upload before its first part is sent.
    pub notes: &'a dyn UploadNotes,
}

/// What has become of a begin.
#[derive(Debug)]
pub enum Begun {
    /// Parts may be sent.
    Growing(Growing),
    /// An earlier process has stored the object.
    Found(Stored),
}

/// Why a step was not done.
#[derive(Debug)]
pub enum GrowError {
    /// What was sent is not there any more.
    Gone(SinkError),
    /// It may be tried again.
    Failed(SinkError),
}

impl<E: Into<SinkError>> From<E> for GrowError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An object that has begun. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Growing {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    File(Arc<GrowingFile>),
    Remote(Arc<GrowingRemote>),
}

impl From<GrowingFile> for Growing {
    fn from(file: GrowingFile) -> Self {
        Self { kind: Kind::File(Arc::new(file)) }
    }
}

impl From<GrowingRemote> for Growing {
    fn from(object: GrowingRemote) -> Self {
        Self { kind: Kind::Remote(Arc::new(object)) }
    }
}

impl Growing {
    /// Sends the part at `place`, from 0, whose first byte is the object's at `offset`. May be done again for the same
    /// place with the same bytes.
    pub async fn put_part(&self, place: usize, offset: u64, chunks: &[Bytes]) -> Result<PartId, GrowError> {
        match &self.kind {
            Kind::File(file) => file.write(offset, chunks).await,
            Kind::Remote(object) => object.put_part(place, chunks).await,
        }
    }

    /// Makes the object of its parts, in their order, `bytes` in all. May be done again.
    pub async fn complete(&self, parts: Vec<PartId>, bytes: u64) -> Result<Stored, GrowError> {
        match &self.kind {
            Kind::File(file) => file.complete(bytes).await,
            Kind::Remote(object) => object.complete(parts, bytes).await,
        }
    }

    /// Throws away what was sent. No part may be under way.
    pub async fn abort(&self) -> Result<(), SinkError> {
        match &self.kind {
            Kind::File(file) => file.abort().await,
            Kind::Remote(object) => object.abort().await,
        }
    }
}
