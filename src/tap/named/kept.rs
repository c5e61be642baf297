//! A named cursor as it is kept: what has to outlive the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::ShardId;
use crate::tap::cursor::Cursor;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// How long a worker keeps its shards without a sign of life.
    pub lease: Duration,
    /// Everything before it is done.
    pub next: Cursor,
    /// The shards that each worker has.
    pub held: BTreeMap<Arc<str>, Vec<ShardId>>,
}

/// What tells a stream from an earlier one of its name, whose cursors are not its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeptOf {
    /// Its number in the catalog.
    Number(u32),
    /// The topic that is its log.
    Topic(String),
}

/// The content of `cursors/STREAM/CURSOR.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptText {
    /// The name of the cursor.
    pub cursor: String,
    /// Its stream: that of another stream of the same name is another one.
    pub stream: KeptOf,
    lease_ms: u64,
    next: String,
    held: BTreeMap<String, Vec<u32>>,
}

impl KeptText {
    /// The text of `kept`.
    pub fn of(cursor: &str, stream: KeptOf, kept: &Kept) -> Self {
        let ids = |shards: &Vec<ShardId>| shards.iter().map(|shard| shard.0).collect();
        Self {
            cursor: cursor.to_owned(),
            stream,
            lease_ms: u64::try_from(kept.lease.as_millis()).unwrap_or(u64::MAX),
            next: kept.next.to_string(),
            held: kept.held.iter().map(|(worker, shards)| (worker.to_string(), ids(shards))).collect(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Result<Kept, String> {
        let next =
            Cursor::parse_any(&self.next).ok_or_else(|| format!("next = {:?} is no position", self.next))?;
        let held = self.held.iter().map(|(worker, shards)| {
            (worker.as_str().into(), shards.iter().map(|shard| ShardId(*shard)).collect())
        });
        Ok(Kept { lease: Duration::from_millis(self.lease_ms), next, held: held.collect() })
    }
}
