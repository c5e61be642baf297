//! Records on their way to the shards of a stream.

use super::hash::HashKey;
use crate::record::{Batch, ShardId};

/// The records of a request, a batch a shard, and where those lie that a client has put at a place of the hash space
/// itself. The hashes are wanted by the heat of the shards alone, so they go no further than to the append: the log keeps
/// batches.
#[derive(Debug, Default)]
pub struct Routed {
    /// A batch each for some of the shards.
    pub batches: Vec<(ShardId, Batch)>,
    /// For each batch; nothing at all (and nothing allocated) where no record of the request has a hash of its own.
    pub hashes: Vec<ExplicitHashes>,
}

impl From<Vec<(ShardId, Batch)>> for Routed {
    /// Records that are where their keys belong.
    fn from(batches: Vec<(ShardId, Batch)>) -> Self {
        Self { batches, hashes: Vec::new() }
    }
}

impl Routed {
    /// All records in one batch of one shard, with the hashes of some of them by their index, which ascends.
    pub fn whole(shard: ShardId, batch: Batch, hashes: Vec<(usize, HashKey)>) -> Self {
        let batches = vec![(shard, batch)];
        if hashes.is_empty() {
            Self::from(batches)
        } else {
            Self { batches, hashes: vec![ExplicitHashes::new(hashes)] }
        }
    }

    /// The batches, with the hashes of their records.
    pub fn observed(&self) -> impl Iterator<Item = (ShardId, &Batch, &ExplicitHashes)> {
        static NONE: ExplicitHashes = ExplicitHashes(Vec::new());
        let hashes = self.hashes.iter().chain(std::iter::repeat(&NONE));
        self.batches.iter().zip(hashes).map(|((id, batch), hashes)| (*id, batch, hashes))
    }
}

/// The hashes that records of a batch came with, which stand in for those of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplicitHashes(Vec<(usize, HashKey)>);

impl ExplicitHashes {
    /// Of records by their index in the batch, which ascends.
    pub fn new(hashes: Vec<(usize, HashKey)>) -> Self {
        debug_assert!(hashes.is_sorted_by_key(|(index, _)| *index), "they are searched by bisection");
        Self(hashes)
    }

    /// Adds that of a record behind those that have one.
    pub fn push(&mut self, index: usize, hash: HashKey) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < index), "they are searched by bisection");
        self.0.push((index, hash));
    }

    /// Whether no record has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That of a record; of an aggregate, by its first record.
    pub fn of(&self, index: usize) -> Option<HashKey> {
        let at = self.0.binary_search_by_key(&index, |(of, _)| *of).ok()?;
        self.0.get(at).map(|(_, hash)| *hash)
    }
}
