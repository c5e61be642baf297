//! `catalog.json`: which durable streams the folder has, and the numbers that its log knows their shards by.
//!
//! ```json
//! { "format": 1, "next_stream": 1, "next_shard": 2, "streams": [
//!     { "name": "clicks", "number": 0, "durability": "fsync", "retention_seconds": 86400,
//!       "properties": { "origin": "pipeline", "created": 1763000000, "mode": "provisioned" }, "next_id": 2,
//!       "shards": [
//!         { "number": 0, "id": 0, "hash_keys": ["0", "1701…7"], "parents": [], "created": 1763000000,
//!           "first": "1763000000000000" },
//!         { "number": 1, "id": 1, … } ] } ],
//!   "checksum": … }
//! ```
//!
//! Numbers are given once: those of a stream that is gone do not come again, because the log may still have its
//! records. Sequence numbers and hash keys are strings, since they may be above 2⁵³. `first` is the number of the shard's
//! first record ever: the wall clock in microseconds when the shard was made. A shard that was split or merged has an
//! `end` besides, the number behind its last record; it stays until its records have gone.

mod file;
mod properties;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::{CATALOG, NodeError, NodeFolder, document};
use crate::config::checked::{self, Durability};
use crate::config::limits::NODE_SHARDS_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::stream::ShardFacts;
use crate::stream::reshard::Replacement;

use file::CatalogDocument;

pub use properties::{Consumer, StreamMode, StreamOrigin, StreamProperties};

/// Why the streams of the configuration are not those of the folder.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] NodeError),
    /// There is one of that name.
    #[error("stream '{stream}' is there already")]
    Exists {
        /// The stream.
        stream: String,
    },
    /// There is none of that name.
    #[error("there is no durable stream '{stream}'")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// A durable stream is to be one in memory.
    #[error(
        "stream '{stream}' has records of durability \"{known}\" in the node's folder, which durability \"memory\" would hide: write durability = \"{known}\", or give the stream another name"
    )]
    NoLongerDurable {
        /// The stream.
        stream: String,
        /// Its durability in the catalog.
        known: &'static str,
    },
    /// There are too many.
    #[error(
        "with stream '{stream}' the node's folder would have more than {NODE_SHARDS_MAX} shards, which is the most: write fewer shards"
    )]
    TooManyShards {
        /// The stream that does not fit.
        stream: String,
    },
}

/// A durable stream of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogStream {
    /// Its name.
    pub name: String,
    /// Its number in this folder.
    pub number: u32,
    /// What an ack of it means: which journal its records go to from now on. Older ones may be in the other.
    pub durability: Durability,
    /// How long its records are kept, also once no pipeline names it any more.
    pub retention: Duration,
    /// The number of shards that its pipeline file asked for last, or that it was made with. How many it has may have been
    /// changed since.
    pub declared_shards: u32,
    /// What else is known of it.
    pub properties: StreamProperties,
    /// The id that its next shard gets.
    pub next_id: ShardId,
    /// Its shards, by id.
    pub shards: Vec<CatalogShard>,
}

/// One of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogShard {
    /// Its number in this folder: what the log's frames carry.
    pub number: u32,
    /// What the stream knows of it.
    pub facts: ShardFacts,
}

/// What [`Catalog::reconcile`] has changed or noticed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Streams that were not there.
    pub added: Vec<String>,
    /// Streams of another durability than before.
    pub changed: Vec<DurabilityChange>,
    /// Streams that no pipeline names any more. They stay.
    pub unnamed: Vec<String>,
    /// Whether some stream has another retention than before.
    pub retention_changed: bool,
    /// Streams whose pipeline file asks for another number of shards than it did before: to be resharded, and then to be
    /// noted with [`CatalogStream::declared_shards`].
    pub resized: Vec<(String, u32)>,
}

/// A stream whose new records go to another journal.
#[derive(Debug, PartialEq, Eq)]
pub struct DurabilityChange {
    /// The stream.
    pub stream: String,
    /// Of the records so far.
    pub from: Durability,
    /// Of the records to come.
    pub to: Durability,
}

impl Changes {
    /// Whether the catalog is another one now, so that it must be saved before a record comes.
    pub fn must_be_saved(&self) -> bool {
        !self.added.is_empty() || !self.changed.is_empty() || self.retention_changed
    }
}

/// The durable streams of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    next_stream: u32,
    next_shard: u32,
    streams: BTreeMap<String, CatalogStream>,
}

impl Catalog {
    /// The catalog of a folder; an empty one where there is none yet.
    pub fn open(folder: &NodeFolder) -> Result<Self, NodeError> {
        match Self::read(&**folder.disk(), folder.path()) {
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            other => other,
        }
    }

    pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, NodeError> {
        let path = folder.join(CATALOG);
        let document: CatalogDocument = document::read(disk, &path)?;
        document.read().map_err(|what| NodeError::Damaged { path, what })
    }

    /// Puts it in the place of the folder's one. To be done before a record of a new stream is taken.
    pub fn save(&self, folder: &NodeFolder) -> Result<(), NodeError> {
        document::write(&**folder.disk(), folder.path(), CATALOG, &CatalogDocument::of(self))
    }

    /// A durable stream of the folder.
    pub fn stream(&self, name: &str) -> Option<&CatalogStream> {
        self.streams.get(name)
    }

    /// All of them, by name.
    pub fn streams(&self) -> impl Iterator<Item = &CatalogStream> {
        self.streams.values()
    }

    /// Brings the catalog in step with the streams of the configuration: new durable ones are added, their first
    /// records numbered from `now` on; the others must be what they were. Changes nothing where that is an error.
    pub fn reconcile<'a>(
        &mut self,
        streams: impl IntoIterator<Item = &'a checked::Stream>,
        now: UnixMicros,
    ) -> Result<Changes, CatalogError> {
        let mut next = self.clone();
        let mut changes = Changes::default();
        let mut named = HashSet::new();
        for config in streams {
            named.insert(config.name.as_str());
            match next.streams.get_mut(&config.name) {
                Some(known) => {
                    changes.retention_changed |= known.retention.as_secs() != config.retention.as_secs();
                    if known.declared_shards != config.shards {
                        changes.resized.push((config.name.clone(), config.shards));
                    }
                    changes.changed.extend(known.take_over(config)?);
                }
                None if config.durability.is_durable() => {
                    next.add(config, StreamOrigin::Pipeline, now)?;
                    changes.added.push(config.name.clone());
                }
                None => {}
            }
        }
        let unnamed = next.streams.values().filter(|stream| {
            stream.properties.origin == StreamOrigin::Pipeline && !named.contains(stream.name.as_str())
        });
        changes.unnamed = unnamed.map(|stream| stream.name.clone()).collect();
        *self = next;
        Ok(changes)
    }

    fn add(
        &mut self,
        config: &checked::Stream,
        origin: StreamOrigin,
        now: UnixMicros,
    ) -> Result<(), CatalogError> {
        let too_many = || CatalogError::TooManyShards { stream: config.name.clone() };
        let now = u64::try_from(now.0).unwrap_or_default();
        let created = now / 1_000_000;
        let facts = ShardFacts::even(config.shards, created, SequenceNumber(now));
        let shards = self.number(&config.name, facts)?;
        let stream = CatalogStream {
            name: config.name.clone(),
            number: self.next_stream,
            durability: config.durability,
            retention: config.retention,
            declared_shards: config.shards,
            properties: StreamProperties { origin, created, ..StreamProperties::default() },
            next_id: ShardId(config.shards),
            shards,
        };
        self.next_stream = self.next_stream.checked_add(1).ok_or_else(too_many)?;
        self.streams.insert(config.name.clone(), stream);
        Ok(())
    }

    /// Gives numbers to new shards of a stream.
    fn number(
        &mut self,
        stream: &str,
        new: impl IntoIterator<Item = ShardFacts>,
    ) -> Result<Vec<CatalogShard>, CatalogError> {
        let too_many = || CatalogError::TooManyShards { stream: stream.to_owned() };
        let mut count: usize = self.streams.values().map(|stream| stream.shards.len()).sum();
        let mut shards = Vec::new();
        for facts in new {
            count += 1;
            if count > NODE_SHARDS_MAX {
                return Err(too_many());
            }
            shards.push(CatalogShard { number: self.next_shard, facts });
            self.next_shard = self.next_shard.checked_add(1).ok_or_else(too_many)?;
        }
        Ok(shards)
    }

    /// Adds a durable stream that a client wants.
    ///
    /// # Errors
    /// If there is one of its name, or no room for its shards.
    pub fn create(
        &mut self,
        config: &checked::Stream,
        now: UnixMicros,
    ) -> Result<&CatalogStream, CatalogError> {
        if self.streams.contains_key(&config.name) {
            return Err(CatalogError::Exists { stream: config.name.clone() });
        }
        let mut next = self.clone();
        next.add(config, StreamOrigin::Client, now)?;
        *self = next;
        self.stream(&config.name).ok_or_else(|| CatalogError::NoStream { stream: config.name.clone() })
    }

    /// Takes a stream out.
    pub fn remove(&mut self, name: &str) -> Option<CatalogStream> {
        self.streams.remove(name)
    }

    /// A stream, to be changed.
    ///
    /// # Errors
    /// If it is not there.
    pub fn stream_mut(&mut self, name: &str) -> Result<&mut CatalogStream, CatalogError> {
        self.streams.get_mut(name).ok_or_else(|| CatalogError::NoStream { stream: name.to_owned() })
    }

    /// Closes shards of a stream and adds their children, which it gives numbers to.
    ///
    /// # Errors
    /// If there is no such stream, or no room for them.
    pub fn reshard(
        &mut self,
        name: &str,
        replacement: &Replacement,
    ) -> Result<Vec<CatalogShard>, CatalogError> {
        let children = self.number(name, replacement.children.iter().copied())?;
        let stream = self.stream_mut(name)?;
        for shard in &mut stream.shards {
            let end = replacement.closed.iter().find(|(id, _)| *id == shard.facts.id).map(|&(_, end)| end);
            shard.facts.end = shard.facts.end.or(end);
        }
        if let Some(last) = children.last() {
            stream.next_id = ShardId(last.facts.id.0.saturating_add(1));
        }
        stream.shards.extend(&children);
        Ok(children)
    }

    /// Takes shards out of a stream whose records have gone.
    ///
    /// # Errors
    /// If there is no such stream.
    pub fn forget_shards(&mut self, name: &str, gone: &[ShardId]) -> Result<(), CatalogError> {
        self.stream_mut(name)?.shards.retain(|shard| !gone.contains(&shard.facts.id));
        Ok(())
    }
}

impl CatalogStream {
    /// Takes a setting over that may change; an error where one that may not has changed.
    fn take_over(&mut self, config: &checked::Stream) -> Result<Option<DurabilityChange>, CatalogError> {
        let stream = config.name.clone();
        if !config.durability.is_durable() {
            return Err(CatalogError::NoLongerDurable { stream, known: self.durability.as_str() });
        }
        self.properties.origin = StreamOrigin::Pipeline;
        self.retention = config.retention;
        let from = std::mem::replace(&mut self.durability, config.durability);
        let change = DurabilityChange { stream, from, to: config.durability };
        Ok(Some(change).filter(|change| change.from != change.to))
    }
}

#[cfg(test)]
mod tests;
