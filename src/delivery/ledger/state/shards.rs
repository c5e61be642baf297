//! Shards that come and go.

use super::{State, in_order, none_twice};
use crate::delivery::ledger::entry::Shards;
use crate::delivery::ledger::refusal::Refusal;
use crate::record::ShardId;

impl State {
    pub(super) fn change_shards(&mut self, shards: &Shards) -> Result<(), Refusal> {
        let Shards { from, gone } = shards;
        let named = from.iter().map(|&(shard, _)| shard);
        none_twice(named.chain(gone.iter().copied()))?;
        let sealed = self.sealed_up_to();
        for &(shard, _) in from {
            if self.knows(shard) || sealed.contains_key(&shard) || self.epochs.is_empty() {
                return Err(Refusal::ShardKnown { shard });
            }
        }
        let open = self.open_from();
        for &shard in gone {
            if !self.knows(shard) {
                return Err(Refusal::ShardUnknown { shard });
            }
            if let Some(&(_, number)) = open.get(&shard) {
                return Err(Refusal::ShardOpen { shard, number });
            }
        }
        for &(shard, first) in from {
            self.cursor.insert(shard, first);
            self.totals(shard, first);
        }
        if let Some(mut latest) = self.epochs.pop() {
            latest.from.extend(from);
            self.epochs.push(in_order(latest));
        }
        if !gone.is_empty() {
            self.forget_shards(gone);
        }
        Ok(())
    }

    /// Nothing of them will ever be asked for again. Epochs that were kept for them alone go as well.
    fn forget_shards(&mut self, gone: &[ShardId]) {
        for shard in gone {
            self.cursor.remove(shard);
            self.shards.remove(shard);
        }
        for epoch in &mut self.epochs {
            epoch.from.retain(|(shard, _)| !gone.contains(shard));
        }
        for settled in self.settled.values_mut().flat_map(|partitions| partitions.values_mut()) {
            settled.retain(|shard, _| !gone.contains(shard));
        }
        self.forget_settled();
        self.forget_epochs();
    }
}
