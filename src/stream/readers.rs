//! The deliveries that read a stream. They come and go while it takes records; what one has not released, its shards keep.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::layout::Shard;
use super::log::ReaderId;
use super::{Layout, Stream};
use crate::record::{SequenceNumber, ShardId};

/// Which numbers of readers are in use.
#[derive(Debug)]
pub(super) struct Readers {
    in_use: Mutex<Vec<bool>>,
}

impl Readers {
    /// The numbers below `count` are.
    pub fn new(count: usize) -> Self {
        Self { in_use: Mutex::new(vec![true; count]) }
    }

    fn in_use(&self) -> MutexGuard<'_, Vec<bool>> {
        // Nothing panics while it is changed.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a new shard keep records for nobody who has left.
    pub fn begin_shard(&self, shard: &Shard) {
        for (reader, _) in self.in_use().iter().enumerate().filter(|(_, in_use)| !**in_use) {
            shard.log_ref().leave(reader);
        }
    }
}

/// A stream at one moment, while nothing was appended.
#[derive(Debug, Clone)]
pub struct Census {
    /// Records accepted since the start.
    pub accepted: u64,
    /// The number behind the last record of each shard, durable or not.
    pub ends: Vec<(ShardId, SequenceNumber)>,
}

impl Stream {
    /// Takes on another delivery: nothing of what the stream has at the moment goes before that has released it. Not
    /// to be called while shards are being split or merged.
    pub fn add_reader(&self) -> ReaderId {
        let mut in_use = self.readers.in_use();
        let reader = in_use.iter().position(|in_use| !in_use).unwrap_or(in_use.len());
        match in_use.get_mut(reader) {
            Some(in_use) => *in_use = true,
            None => in_use.push(true),
        }
        for shard in self.layout().shards() {
            shard.log_ref().hold(reader);
        }
        reader
    }

    /// Keeps nothing for a delivery any more, which has ended. Not to be called while shards are being split or merged.
    pub fn remove_reader(&self, reader: ReaderId) {
        let mut in_use = self.readers.in_use();
        in_use.get_mut(reader).into_iter().for_each(|in_use| *in_use = false);
        for shard in self.layout().shards() {
            shard.log_ref().leave(reader);
        }
    }

    /// How many numbers have been given to deliveries, some of which may have left.
    pub fn readers(&self) -> usize {
        self.readers.in_use().len()
    }

    /// What was accepted, and where the shards ended just then.
    pub fn census(&self) -> Census {
        // Whoever appends does so under the other lock of the gate.
        let gate = self.gate.write();
        let ends = |layout: &Layout| {
            layout.shards().iter().map(|shard| (shard.facts.id, shard.log_ref().end())).collect()
        };
        loop {
            let accepted = self.accepted();
            let census = Census { accepted, ends: ends(&gate.layout) };
            // A topic is appended to by others: what they have brought meanwhile is in an end and not in the count.
            if self.accepted() == accepted {
                return census;
            }
        }
    }
}
