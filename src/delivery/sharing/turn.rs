//! Whose turn it is among the shards of a partition, of which there are several once the topic has got more partitions.
//!
//! They are worked on one after the other, in the order in which they lie in the partition. Each waits until its ancestors,
//! which may be in partitions of other nodes, are delivered to their ends: so the records of a key keep their order. All that
//! a shard waits for is older, so none waits for itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::opening::NotOpen;
use super::{Sharing, State, lock};
use crate::config::limits::OWNERSHIP_TURN_EVERY;
use crate::delivery::Status;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Layout, Shard};

impl Sharing {
    /// Waits for a shard of `partition` that can be worked on.
    ///
    /// # Errors
    /// If the ledger of one that is to come before cannot be read.
    pub(super) async fn turn(&self, partition: ShardId) -> Result<ShardId, NotOpen> {
        loop {
            if let Some(shard) = self.next_of(partition).await? {
                return Ok(shard);
            }
            tokio::time::sleep(OWNERSHIP_TURN_EVERY).await;
        }
    }

    /// The oldest one that is not finished; `None` if it has to wait, or if the group knows more partitions than have shards.
    async fn next_of(&self, partition: ShardId) -> Result<Option<ShardId>, NotOpen> {
        let layout = self.template.recipe.stream().layout();
        for shard in layout.shards().iter().filter(|shard| shard.partition() == Some(partition.0)) {
            if !self.is_finished(shard).await? {
                let is_next = self.has_finished_ancestors(&layout, shard).await?;
                return Ok(is_next.then_some(shard.facts.id));
            }
        }
        Ok(None)
    }

    async fn has_finished_ancestors(&self, layout: &Layout, shard: &Shard) -> Result<bool, NotOpen> {
        let (mut ancestors, mut seen): (Vec<_>, HashSet<_>) =
            (shard.facts.parents().collect(), HashSet::new());
        while let Some(id) = ancestors.pop() {
            let Some(ancestor) = layout.get(id).filter(|_| seen.insert(id)) else { continue };
            if !self.is_finished(ancestor).await? {
                return Ok(false);
            }
            // A parent may have had no records at all.
            ancestors.extend(ancestor.facts.parents());
        }
        Ok(true)
    }

    /// Whether everything of a closed shard is delivered.
    async fn is_finished(&self, shard: &Shard) -> Result<bool, NotOpen> {
        let (id, Some(end)) = (shard.facts.id, shard.facts.end) else { return Ok(false) };
        if lock(&self.finished).contains(&id) {
            return Ok(true);
        }
        let is_finished = match self.status_of(id) {
            Some(status) => has_come_to(&status, id, end),
            None => {
                let is_empty = shard.log_ref().bounds().first >= end;
                self.template.has_delivered(id, end, is_empty).await?
            }
        };
        if is_finished {
            lock(&self.finished).insert(id);
        }
        Ok(is_finished)
    }

    /// Returns once everything of a shard that this node works on is delivered, and no more will come to it.
    pub(super) async fn finished(&self, id: ShardId, status: &Status) {
        loop {
            let layout = self.template.recipe.stream().layout();
            let end = layout.get(id).and_then(|shard| shard.facts.end);
            if end.is_some_and(|end| has_come_to(status, id, end)) {
                lock(&self.finished).insert(id);
                return;
            }
            tokio::time::sleep(OWNERSHIP_TURN_EVERY).await;
        }
    }

    /// That of a shard that this node works on.
    fn status_of(&self, id: ShardId) -> Option<Arc<Status>> {
        self.shards().values().find_map(|owned| match &owned.state {
            State::Working { shard, status, .. } if *shard == id => Some(Arc::clone(status)),
            _ => None,
        })
    }
}

/// Whether it is written down that everything below `end` is settled.
fn has_come_to(status: &Status, shard: ShardId, end: SequenceNumber) -> bool {
    status.cursor(shard).is_some_and(|cursor| cursor >= end)
}
