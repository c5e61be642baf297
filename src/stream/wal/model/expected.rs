//! The model: what the log has promised.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::node::ORIGIN;
use super::profile::Profile;
use crate::stream::Receipt;
use crate::stream::wal::samples::Parts;

/// One shard.
#[derive(Debug, Clone)]
pub struct Shard {
    /// What every number has that anybody could have seen, and its arrival. Stays when retention takes it: it may come
    /// back with a restart, but never as something else.
    pub records: BTreeMap<u64, Arc<Record>>,
    /// The oldest that can be read.
    pub first: u64,
    /// The number behind the last that is durable.
    pub next: u64,
    /// What each delivery has released.
    pub released: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    pub parts: Parts,
    /// Payload bytes that the log keeps for it.
    pub bytes: u64,
    pub arrival: i64,
}

/// One request that was taken.
#[derive(Debug)]
pub struct Request {
    pub stream: usize,
    /// Shard, number of the first record, records.
    pub batches: Vec<(usize, u64, Vec<Arc<Record>>)>,
    pub key: Option<Key>,
    pub receipt: Receipt,
    /// Taken although the disk was known to be full: there is room for it.
    pub has_room: bool,
}

/// What a request with an idempotency key is told.
#[derive(Debug, Clone)]
pub struct Key {
    pub key: u8,
    pub fingerprint: u64,
    pub arrival: i64,
    pub reply: Bytes,
    /// Shard and number behind the last record, of each batch.
    pub ends: Vec<(usize, u64)>,
}

pub struct Expected {
    /// By stream.
    pub shards: Vec<Vec<Shard>>,
    /// Taken and neither durable nor failed, oldest first.
    pub pending: VecDeque<Request>,
    /// Failed, and perhaps on the disk until a segment was found that can be written: after a crash, the first few of
    /// them may be there.
    pub limbo: VecDeque<Request>,
    /// Keys that were answered, by stream.
    pub keys: HashMap<(usize, u8), Key>,
}

impl Expected {
    pub fn new(profile: &Profile) -> Self {
        let shard = || Shard {
            records: BTreeMap::new(),
            first: ORIGIN,
            next: ORIGIN,
            released: vec![0; profile.readers],
        };
        let shards = profile.streams.iter().map(|count| (0..*count).map(|_| shard()).collect()).collect();
        Self { shards, pending: VecDeque::new(), limbo: VecDeque::new(), keys: HashMap::new() }
    }

    /// The number that the next record of a shard gets.
    pub fn next_number(&self, stream: usize, shard: usize) -> u64 {
        let pending = self.pending.iter().filter(|request| request.stream == stream);
        let batches = pending.flat_map(|request| &request.batches).filter(|(of, ..)| *of == shard);
        batches
            .map(|(_, first, records)| first + records.len() as u64)
            .max()
            .unwrap_or(self.shards[stream][shard].next)
    }

    /// A request is a fact.
    pub fn commit(&mut self, request: Request) {
        let Request { stream, batches, key, .. } = request;
        for (shard, first, records) in batches {
            let shard = &mut self.shards[stream][shard];
            assert_eq!(shard.next, first, "numbers go on without gaps");
            shard.next += records.len() as u64;
            shard.records.extend((first..).zip(records));
        }
        if let Some(key) = key {
            self.keys.insert((stream, key.key), key);
        }
    }

    /// Whether `next` (by stream and shard) has all records of a request that would come next, or none of them.
    fn is_there(&self, request: &Request, next: &[Vec<u64>]) -> bool {
        let ends = request
            .batches
            .iter()
            .map(|(shard, first, records)| next[request.stream][*shard] >= first + records.len() as u64);
        ends.min().unwrap_or(false)
    }

    /// After a crash: takes over what was perhaps there and is. The numbers behind the last records are `next`.
    pub fn settle(&mut self, next: &[Vec<u64>]) {
        let limbo = std::mem::take(&mut self.limbo);
        let pending = std::mem::take(&mut self.pending);
        assert!(limbo.is_empty() || pending.is_empty(), "nothing is taken while nothing can be written");
        for request in limbo.into_iter().chain(pending) {
            if !self.is_there(&request, next) {
                break;
            }
            self.commit(request);
        }
        for (stream, shards) in self.shards.iter().enumerate() {
            for (shard, expected) in shards.iter().enumerate() {
                let found = next[stream][shard];
                assert_eq!(
                    found, expected.next,
                    "stream {stream}, shard {shard}: what was acknowledged, and whole requests, are there and no more"
                );
            }
        }
    }
}
