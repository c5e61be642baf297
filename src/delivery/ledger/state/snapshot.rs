//! The state as a line, and back.

use std::collections::BTreeMap;

use super::{Partitions, State, in_order};
use crate::delivery::ledger::FORMAT;
use crate::delivery::ledger::entry::{Previous, SettledPartition, Snapshot};
use crate::record::ShardId;

impl State {
    /// As the first line of a file has it.
    pub(in crate::delivery::ledger) fn to_snapshot(&self, previous: Option<Previous>) -> Snapshot {
        let mut settled = Vec::new();
        for (&epoch, partitions) in &self.settled {
            settled.extend(partitions.iter().map(|(partition, shards)| SettledPartition {
                epoch,
                partition: partition.clone(),
                upto: pairs(shards),
            }));
        }
        Snapshot {
            format: FORMAT,
            previous,
            generation: self.generation.clone(),
            next_seal: self.next_seal,
            committed_records: self.committed_records,
            dead_records: self.dead_records,
            passed_records: self.passed_records,
            epochs: self.epochs.clone(),
            cursor: pairs(&self.cursor),
            shards: pairs(&self.shards),
            open: self.open.values().cloned().collect(),
            begun: self.begun.values().cloned().collect(),
            settled,
        }
    }

    /// The other way round.
    pub(in crate::delivery::ledger) fn from_snapshot(snapshot: Snapshot) -> Self {
        let mut settled: BTreeMap<u32, Partitions> = BTreeMap::new();
        let mut settled_len = 0;
        for SettledPartition { epoch, partition, upto } in snapshot.settled {
            settled_len += upto.len();
            settled.entry(epoch).or_default().insert(partition, upto.into_iter().collect());
        }
        Self {
            epochs: snapshot.epochs.into_iter().map(in_order).collect(),
            open: snapshot.open.into_iter().map(|open| (open.seal.number, open)).collect(),
            begun: snapshot.begun.into_iter().map(|open| (open.begun.number, open)).collect(),
            cursor: snapshot.cursor.into_iter().collect(),
            generation: snapshot.generation,
            next_seal: snapshot.next_seal,
            committed_records: snapshot.committed_records,
            dead_records: snapshot.dead_records,
            passed_records: snapshot.passed_records,
            shards: snapshot.shards.into_iter().collect(),
            settled,
            settled_len,
        }
    }
}

fn pairs<T: Copy>(map: &BTreeMap<ShardId, T>) -> Vec<(ShardId, T)> {
    map.iter().map(|(&shard, &value)| (shard, value)).collect()
}
