//! What earlier processes have settled beyond the cursor: read again, but not delivered again.

use std::collections::{BTreeMap, HashMap};

use super::ledger::{Seal, SealedRange, State};
use crate::record::{SequenceNumber, ShardId};

/// What the ledger says of records at or above the cursor when the process starts.
#[derive(Debug)]
pub struct Settled {
    state: State,
    upto: BTreeMap<ShardId, SequenceNumber>,
    /// What was sealed and not committed, and is stored again by this process: epoch → partition → ranges.
    redone: HashMap<u32, HashMap<Vec<u8>, Vec<SealedRange>>>,
}

/// What has become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Pending,
    /// An earlier process has delivered it.
    Before,
    /// It is in a file that an earlier process has closed and this one stores.
    Redone,
}

impl Settled {
    /// What `state` tells.
    pub fn new(state: State) -> Self {
        let mut redone: HashMap<u32, HashMap<Vec<u8>, Vec<SealedRange>>> = HashMap::new();
        for Seal { epoch, partition, ranges, .. } in state.open.values().map(|open| &open.seal) {
            redone.entry(*epoch).or_default().entry(partition.clone()).or_default().extend(ranges);
        }
        let upto = state.sealed_up_to();
        Self { state, upto, redone }
    }

    /// Whether a record may have been settled; if not, there is no need to look for its partition.
    #[inline]
    pub fn may_have(&self, shard: ShardId, number: SequenceNumber) -> bool {
        self.upto.get(&shard).is_some_and(|&last| number <= last)
    }

    /// What has become of the record of a partition.
    pub fn fate(&self, epoch: u32, partition: &[u8], shard: ShardId, number: SequenceNumber) -> Fate {
        let ranges = self.redone.get(&epoch).and_then(|partitions| partitions.get(partition));
        // Ranges of one partition do not overlap, so that the one that covers a record is the one that has it.
        let covers =
            |range: &SealedRange| range.shard == shard && (range.first..=range.last).contains(&number);
        if ranges.is_some_and(|ranges| ranges.iter().any(covers)) {
            Fate::Redone
        } else if self.state.is_settled(epoch, partition, shard, number) {
            Fate::Before
        } else {
            Fate::Pending
        }
    }

    /// Whether nothing from these positions on was settled, so that it may be forgotten.
    pub fn is_passed(&self, mut positions: impl Iterator<Item = (ShardId, SequenceNumber)>) -> bool {
        !positions.any(|(shard, number)| self.may_have(shard, number))
    }
}
