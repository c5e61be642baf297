//! Keeping in step with the shards of the stream, which are split and merged while it is read.
//!
//! A shard that comes into being belongs to the configuration of today, and the ledger names it before any file has
//! records of it. Its records are read once those of its parents are.

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
        for place in self.places.iter().filter(|place| gone(place)) {
            self.status.forget_position(place.shard);
        }
        self.places.retain(|place| !gone(place));
        for &(shard, first) in &new {
            self.status.set_position(shard, first);
            self.places.push(Place::new(shard, first, first));
            // A configuration that was left behind takes nothing of what is new.
            let before = self.stages.len().saturating_sub(1);
            self.stages.iter_mut().take(before).for_each(|stage| stage.leave(shard, first));
        }
        if let Some(book) = self.book.as_mut().filter(|_| !new.is_empty()) {
            book.add_shards(new);
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
