//! How far the records of a source have gone, and whether the last results are in the target.

use std::collections::BTreeMap;
use std::ops::Add;

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
    /// What became of all records before that.
    pub passed: Passed,
    /// Records whose results are being appended.
    pub under_way: Option<UnderWay>,
}

/// What became of records, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passed {
    /// The function has made something of them, which is in the target.
    pub ok: u64,
    /// It has dropped them.
    pub dropped: u64,
    /// It could not do anything with them, or could not be called: they are in the target as they came.
    pub failed: u64,
    /// They were gone from the log before.
    pub lost: u64,
}

impl Passed {
    /// All of them.
    pub fn all(self) -> u64 {
        self.ok + self.dropped + self.failed + self.lost
    }

    /// How many records the target has of them.
    pub fn in_target(self) -> u64 {
        self.ok + self.failed
    }
}

impl Add for Passed {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            ok: self.ok + more.ok,
            dropped: self.dropped + more.dropped,
            failed: self.failed + more.failed,
            lost: self.lost + more.lost,
        }
    }
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
    /// What became of them.
    pub passed: Passed,
}

impl Progress {
    /// Where each shard of the source is read on, and what became of the records before, if the target ends at `end`.
    /// Results are appended together, so one of them there means that all of them are.
    pub fn at(&self, end: SequenceNumber) -> (BTreeMap<ShardId, SequenceNumber>, Passed) {
        let mut positions: BTreeMap<_, _> =
            self.next.iter().map(|&Next { shard, number }| (shard, number)).collect();
        let under_way = self.under_way.filter(|under_way| end > under_way.behind);
        let Some(UnderWay { shard, to, passed, .. }) = under_way else { return (positions, self.passed) };
        positions.insert(shard, to);
        (positions, self.passed + passed)
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
            passed: Passed { ok: 10, dropped: 20, failed: 0, lost: 0 },
            under_way,
        };
        let passed = Passed { ok: 1, dropped: 1, failed: 2, lost: 1 };
        let (to, behind) = (SequenceNumber(25), SequenceNumber(7));
        let under_way = UnderWay { shard: ShardId(1), to, behind, passed };
        for (under_way, end, second, all) in [
            (None, 9, 20, 30),
            (Some(under_way), 7, 20, 30),
            (Some(under_way), 8, 25, 35),
            (Some(under_way), 6, 20, 30),
        ] {
            let (positions, passed) = progress(under_way).at(SequenceNumber(end));
            assert_eq!(passed.all(), all);
            let found: Vec<_> = positions.into_iter().map(|(shard, number)| (shard.0, number.0)).collect();
            assert_eq!(found, [(0, 10), (1, second)], "{under_way:?} {end}");
        }
    }
}
