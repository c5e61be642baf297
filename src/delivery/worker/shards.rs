//! Keeping in step with the shards of the stream, which are split and merged while it is read.
//!
//! A shard that comes into being belongs to the configuration of today, and the ledger names it before any file has
//! records of it. Its records are read once those of its parents are. When it goes with its last records the ledger
//! forgets it, and with it the configurations that it needed.

use std::sync::Arc;

use super::Worker;
use super::read::Place;
use crate::record::ShardId;

impl Worker {
    /// Takes up shards that are new, and leaves those that are gone.
    pub(super) fn follow_shards(&mut self) {
        let layout = self.stream.layout();
        if Arc::ptr_eq(&layout, &self.layout) {
            return;
        }
        let facts = layout.shards().iter().map(|shard| shard.facts);
        let is_new = |id: ShardId| !self.places.iter().any(|place| place.shard == id);
        let new: Vec<_> =
            facts.filter(|facts| is_new(facts.id)).map(|facts| (facts.id, facts.first)).collect();
        let gone = |place: &Place| layout.get(place.shard).is_none();
        let lost: Vec<ShardId> =
            self.places.iter().filter(|place| gone(place)).map(|place| place.shard).collect();
        lost.iter().for_each(|&shard| self.status.forget_position(shard));
        self.places.retain(|place| !gone(place));
        for &(shard, first) in &new {
            self.status.set_position(shard, first);
            self.places.push(Place::new(shard, first, first));
            // A configuration that was left behind takes nothing of what is new.
            let before = self.stages.len().saturating_sub(1);
            self.stages.iter_mut().take(before).for_each(|stage| stage.leave(shard, first));
        }
        if let Some(book) = &mut self.book {
            if !new.is_empty() {
                book.add_shards(new);
            }
            book.lose_shards(lost);
        }
        self.turn = 0;
        self.layout = layout;
    }

    /// Whether the parents of a shard are read to their end.
    pub(super) fn may_read(&self, id: ShardId) -> bool {
        let Some(shard) = self.layout.get(id).map(|shard| &shard.facts) else { return false };
        let position = |id| self.places.iter().find(|place| place.shard == id).map(|place| place.next);
        self.layout.may_read(shard, position)
    }
}
