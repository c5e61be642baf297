//! `catalog.json`: which durable streams the folder has, and the numbers that its log knows their shards by.
//!
//! ```json
//! { "format": 1, "next_stream": 1, "next_shard": 2, "streams": [
//!     { "name": "clicks", "number": 0, "durability": "fsync", "shards": [
//!         { "number": 0, "id": 0, "first": "1763000000000000" },
//!         { "number": 1, "id": 1, "first": "1763000000000000" } ] } ],
//!   "checksum": … }
//! ```
//!
//! Numbers are given once: those of a stream that is gone do not come again, because the log may still have its
//! records. A sequence number is a string, since it may be above 2⁵³. `first` is the number of the shard's first
//! record ever: the wall clock in microseconds when the shard was made.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CATALOG, NodeError, NodeFolder, document};
use crate::config::checked::{self, Durability};
use crate::config::limits::NODE_SHARDS_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;

/// Why the streams of the configuration are not those of the folder.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] NodeError),
    /// A stream has another number of shards.
    #[error(
        "stream '{stream}' has {} in the node's folder and {} in its pipeline file: this version does not change it, so write shards = {known}, or give the stream another name",
        counted(*.known), counted(*.configured)
    )]
    ShardsChanged {
        /// The stream.
        stream: String,
        /// In the catalog.
        known: usize,
        /// In the configuration.
        configured: usize,
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

fn counted(count: usize) -> String {
    format!("{count} shard{}", if count == 1 { "" } else { "s" })
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
    /// Its shards, by id.
    pub shards: Vec<CatalogShard>,
}

/// One of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogShard {
    /// Its number in this folder: what the log's frames carry.
    pub number: u32,
    /// Its id in the stream.
    pub id: ShardId,
    /// The number of its first record ever.
    pub first: SequenceNumber,
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
        Self::of(document).map_err(|what| NodeError::Damaged { path, what })
    }

    /// Puts it in the place of the folder's one. To be done before a record of a new stream is taken.
    pub fn save(&self, folder: &NodeFolder) -> Result<(), NodeError> {
        let streams = self.streams.values().map(|stream| StreamDocument {
            name: stream.name.clone(),
            number: stream.number,
            durability: stream.durability.as_str().to_owned(),
            retention_seconds: stream.retention.as_secs(),
            shards: stream.shards.iter().map(ShardDocument::of).collect(),
        });
        let content = CatalogDocument {
            next_stream: self.next_stream,
            next_shard: self.next_shard,
            streams: streams.collect(),
        };
        document::write(&**folder.disk(), folder.path(), CATALOG, &content)
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
                    changes.changed.extend(known.take_over(config)?);
                }
                None if config.durability.is_durable() => {
                    next.add(config, now)?;
                    changes.added.push(config.name.clone());
                }
                None => {}
            }
        }
        let unnamed = next.streams.keys().filter(|name| !named.contains(name.as_str()));
        changes.unnamed = unnamed.cloned().collect();
        *self = next;
        Ok(changes)
    }

    fn add(&mut self, config: &checked::Stream, now: UnixMicros) -> Result<(), CatalogError> {
        let too_many = || CatalogError::TooManyShards { stream: config.name.clone() };
        let after = self.next_shard.checked_add(config.shards).ok_or_else(too_many)?;
        let shards: usize = self.streams.values().map(|stream| stream.shards.len()).sum();
        if shards + config.shards as usize > NODE_SHARDS_MAX {
            return Err(too_many());
        }
        let first = SequenceNumber(u64::try_from(now.0).unwrap_or_default());
        let shard = |id| CatalogShard { number: self.next_shard + id, id: ShardId(id), first };
        let stream = CatalogStream {
            name: config.name.clone(),
            number: self.next_stream,
            durability: config.durability,
            retention: config.retention,
            shards: (0..config.shards).map(shard).collect(),
        };
        self.next_stream = self.next_stream.checked_add(1).ok_or_else(too_many)?;
        self.next_shard = after;
        self.streams.insert(config.name.clone(), stream);
        Ok(())
    }

    fn of(document: CatalogDocument) -> Result<Self, String> {
        let CatalogDocument { next_stream, next_shard, streams } = document;
        let mut catalog = Self { next_stream, next_shard, streams: BTreeMap::new() };
        let (mut stream_numbers, mut shard_numbers) = (HashSet::new(), HashSet::new());
        for document in streams {
            let stream = CatalogStream::of(document)?;
            let name = stream.name.clone();
            let numbers_are_new = stream.number < next_stream
                && stream_numbers.insert(stream.number)
                && stream
                    .shards
                    .iter()
                    .all(|shard| shard.number < next_shard && shard_numbers.insert(shard.number));
            if !numbers_are_new {
                return Err(format!("a number of stream '{name}' is given twice, or not yet"));
            }
            if catalog.streams.insert(name.clone(), stream).is_some() {
                return Err(format!("stream '{name}' is there twice"));
            }
        }
        Ok(catalog)
    }
}

impl CatalogStream {
    /// Takes a setting over that may change; an error where one that may not has changed.
    fn take_over(&mut self, config: &checked::Stream) -> Result<Option<DurabilityChange>, CatalogError> {
        let stream = config.name.clone();
        if !config.durability.is_durable() {
            return Err(CatalogError::NoLongerDurable { stream, known: self.durability.as_str() });
        }
        if self.shards.len() != config.shards as usize {
            let (known, configured) = (self.shards.len(), config.shards as usize);
            return Err(CatalogError::ShardsChanged { stream, known, configured });
        }
        self.retention = config.retention;
        let from = std::mem::replace(&mut self.durability, config.durability);
        let change = DurabilityChange { stream, from, to: config.durability };
        Ok(Some(change).filter(|change| change.from != change.to))
    }

    fn of(document: StreamDocument) -> Result<Self, String> {
        let StreamDocument { name, number, durability, retention_seconds, shards } = document;
        let retention = Duration::from_secs(retention_seconds);
        let durability = [Durability::Fsync, Durability::Os]
            .into_iter()
            .find(|known| known.as_str() == durability)
            .ok_or_else(|| format!("stream '{name}' has durability {durability:?}"))?;
        let shards = shards
            .into_iter()
            .enumerate()
            .map(|(index, document)| {
                let shard = document.read().filter(|shard| shard.id.0 as usize == index);
                shard.ok_or_else(|| format!("shard {index} of stream '{name}' is not as it was written"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if shards.is_empty() {
            return Err(format!("stream '{name}' has no shard"));
        }
        Ok(Self { name, number, durability, retention, shards })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogDocument {
    next_stream: u32,
    next_shard: u32,
    streams: Vec<StreamDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamDocument {
    name: String,
    number: u32,
    durability: String,
    retention_seconds: u64,
    shards: Vec<ShardDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardDocument {
    number: u32,
    id: u32,
    first: String,
}

impl ShardDocument {
    fn of(shard: &CatalogShard) -> Self {
        Self { number: shard.number, id: shard.id.0, first: shard.first.to_string() }
    }

    fn read(&self) -> Option<CatalogShard> {
        let first = SequenceNumber(self.first.parse().ok()?);
        Some(CatalogShard { number: self.number, id: ShardId(self.id), first })
    }
}

#[cfg(test)]
mod tests;
