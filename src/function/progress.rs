//! How far the records of a source have gone, and whether the last results are in the target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{SequenceNumber, ShardId};

/// What is kept. It is written before results are appended: they may be there, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Number of the source in the catalog.
    pub source: u32,
    /// Number of the target in the catalog.
    pub target: u32,
    /// Where each shard of the source is read on.
    pub next: Vec<Next>,
    /// Records whose results are being appended.
    pub under_way: Option<UnderWay>,
}

/// Where a shard is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Next {
    /// The shard.
    pub shard: ShardId,
    /// The first record that has not gone through.
    pub number: SequenceNumber,
}

/// Records whose results are being appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderWay {
    /// Their shard.
    pub shard: ShardId,
    /// The number behind the last of them.
    pub to: SequenceNumber,
    /// Where the target ended before.
    pub behind: SequenceNumber,
}

impl Progress {
    /// Where each shard of the source is read on, if the target ends at `end`. Results are appended together, so one of
    /// them there means that all of them are.
    pub fn positions(&self, end: SequenceNumber) -> BTreeMap<ShardId, SequenceNumber> {
        let mut positions: BTreeMap<_, _> =
            self.next.iter().map(|&Next { shard, number }| (shard, number)).collect();
        if let Some(UnderWay { shard, to, .. }) = self.under_way.filter(|under_way| end > under_way.behind) {
            positions.insert(shard, to);
        }
        positions
    }
}

/// What is kept of these positions.
pub fn next(positions: &BTreeMap<ShardId, SequenceNumber>) -> Vec<Next> {
    positions.iter().map(|(&shard, &number)| Next { shard, number }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_there_if_the_target_has_grown() {
        let progress = |under_way| Progress {
            source: 1,
            target: 2,
            next: vec![
                Next { shard: ShardId(0), number: SequenceNumber(10) },
                Next { shard: ShardId(1), number: SequenceNumber(20) },
            ],
            under_way,
        };
        let under_way = UnderWay { shard: ShardId(1), to: SequenceNumber(25), behind: SequenceNumber(7) };
        for (under_way, end, second) in
            [(None, 9, 20), (Some(under_way), 7, 20), (Some(under_way), 8, 25), (Some(under_way), 6, 20)]
        {
            let positions = progress(under_way).positions(SequenceNumber(end));
            let found: Vec<_> = positions.into_iter().map(|(shard, number)| (shard.0, number.0)).collect();
            assert_eq!(found, [(0, 10), (1, second)], "{under_way:?} {end}");
        }
    }
}
