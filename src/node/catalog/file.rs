//! The catalog as it stands in its file.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogShard, CatalogStream, StreamProperties};
use crate::config::checked::Durability;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::{HashRange, Layout, ShardFacts};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogDocument {
    next_stream: u32,
    next_shard: u32,
    streams: Vec<StreamDocument>,
}

impl CatalogDocument {
    /// How `catalog` is written.
    pub fn of(catalog: &Catalog) -> Self {
        let streams = catalog.streams.values().map(StreamDocument::of);
        Self { next_stream: catalog.next_stream, next_shard: catalog.next_shard, streams: streams.collect() }
    }

    /// What it tells.
    ///
    /// # Errors
    /// What in it cannot be.
    pub fn read(self) -> Result<Catalog, String> {
        let CatalogDocument { next_stream, next_shard, streams } = self;
        let mut catalog = Catalog { next_stream, next_shard, streams: BTreeMap::new() };
        let (mut stream_numbers, mut shard_numbers) = (HashSet::new(), HashSet::new());
        for document in streams {
            let stream = document.read()?;
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

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamDocument {
    name: String,
    number: u32,
    durability: String,
    retention_seconds: u64,
    #[serde(default)]
    declared_shards: Option<u32>,
    #[serde(default)]
    properties: StreamProperties,
    #[serde(default)]
    next_id: Option<u32>,
    shards: Vec<ShardDocument>,
}

impl StreamDocument {
    fn of(stream: &CatalogStream) -> Self {
        Self {
            name: stream.name.clone(),
            number: stream.number,
            durability: stream.durability.as_str().to_owned(),
            retention_seconds: stream.retention.as_secs(),
            declared_shards: Some(stream.declared_shards),
            properties: stream.properties.clone(),
            next_id: Some(stream.next_id.0),
            shards: stream.shards.iter().map(ShardDocument::of).collect(),
        }
    }

    fn read(self) -> Result<CatalogStream, String> {
        let StreamDocument { name, number, durability, properties, next_id, shards, .. } = self;
        let retention = Duration::from_secs(self.retention_seconds);
        let durability = [Durability::Fsync, Durability::Os]
            .into_iter()
            .find(|known| known.as_str() == durability)
            .ok_or_else(|| format!("stream '{name}' has durability {durability:?}"))?;
        // A catalog of before shards could be split tells no ranges: there they are even.
        let even: Vec<_> = HashRange::even(shards.len() as u32).collect();
        let shards = shards
            .into_iter()
            .zip(even)
            .map(|(document, even)| {
                let id = document.id;
                let unreadable = || format!("shard {id} of stream '{name}' is not as it was written");
                document.read(even).ok_or_else(unreadable)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let facts: Vec<_> = shards.iter().map(|shard| shard.facts).collect();
        Layout::check(&facts).map_err(|what| format!("stream '{name}': {what}"))?;
        let behind = facts.last().map_or(0, |last| last.id.0.saturating_add(1));
        let next_id = ShardId(next_id.unwrap_or(behind));
        if next_id.0 < behind {
            return Err(format!("stream '{name}' would give an id twice"));
        }
        let open = facts.iter().filter(|shard| shard.is_open()).count();
        let declared_shards = self.declared_shards.unwrap_or(open as u32);
        Ok(CatalogStream {
            name,
            number,
            durability,
            retention,
            declared_shards,
            properties,
            next_id,
            shards,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardDocument {
    number: u32,
    id: u32,
    #[serde(default)]
    hash_keys: Option<(String, String)>,
    #[serde(default)]
    parents: Vec<u32>,
    #[serde(default)]
    created: Option<u64>,
    first: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl ShardDocument {
    fn of(shard: &CatalogShard) -> Self {
        let ShardFacts { id, hash_keys, created, first, end, .. } = shard.facts;
        Self {
            number: shard.number,
            id: id.0,
            hash_keys: Some((hash_keys.first.to_string(), hash_keys.last.to_string())),
            parents: shard.facts.parents().map(|parent| parent.0).collect(),
            created: Some(created),
            first: first.to_string(),
            end: end.map(|end| end.to_string()),
        }
    }

    fn read(&self, even: HashRange) -> Option<CatalogShard> {
        let first = SequenceNumber(self.first.parse().ok()?);
        let hash_keys = match &self.hash_keys {
            Some((first, last)) => HashRange { first: first.parse().ok()?, last: last.parse().ok()? },
            None => even,
        };
        let mut parents = self.parents.iter().map(|&parent| ShardId(parent));
        let facts = ShardFacts {
            id: ShardId(self.id),
            hash_keys,
            parents: [parents.next(), parents.next()],
            created: self.created.unwrap_or(first.0 / 1_000_000),
            first,
            end: match &self.end {
                Some(end) => Some(SequenceNumber(end.parse().ok()?)),
                None => None,
            },
        };
        parents.next().is_none().then_some(CatalogShard { number: self.number, facts })
    }
}
