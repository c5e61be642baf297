//! The files that one pass over the log makes again.

use std::collections::{BTreeSet, HashMap};

use crate::delivery::classify::COLUMNS;
use crate::delivery::files::{OpenFile, Position};
use crate::delivery::intake::{Opener, Targets};
use crate::delivery::ledger::{OpenSeal, SealedRange};
use crate::record::{SequenceNumber, ShardId};

/// See the module.
pub struct Again {
    opener: Opener,
    /// `None` once it is complete, or put back.
    targets: Vec<Option<Target>>,
    /// Which of them are of a partition.
    by_partition: HashMap<Vec<u8>, Vec<usize>>,
    have_misfits: bool,
    put_back: Vec<OpenSeal>,
}

/// A file that is made again.
pub struct Target {
    /// What the ledger knows of it.
    pub open: OpenSeal,
    /// The file, once it has a record.
    pub file: Option<OpenFile>,
    /// Whether the log had let go of records in its ranges.
    pub met_gap: bool,
}

impl Target {
    fn covers(&self, position: Position) -> bool {
        self.open.seal.ranges.iter().any(|range| {
            range.shard == position.shard && (range.first..=range.last).contains(&position.number)
        })
    }

    /// Whether it has every record. Where some are lost, that can only be told at the end.
    fn is_complete(&self) -> bool {
        self.open.lost.is_empty() && self.records() == self.open.seal.records
    }

    /// Records that it has.
    pub fn records(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.records)
    }

    /// Those that it does not have, as the ledger wants them.
    pub fn lost(&self) -> Vec<(ShardId, u64)> {
        let found = self.file.as_ref().map(|file| file.ranges.as_slice()).unwrap_or_default();
        let found: HashMap<ShardId, u64> = found.iter().map(|range| (range.shard, range.records)).collect();
        let lost = |range: &SealedRange| {
            let found = found.get(&range.shard).copied().unwrap_or_default();
            (range.shard, range.records.saturating_sub(found))
        };
        self.open.seal.ranges.iter().map(lost).filter(|&(_, lost)| lost > 0).collect()
    }
}

impl Again {
    /// Nothing of them is made yet.
    pub fn new(seals: Vec<OpenSeal>, opener: Opener) -> Self {
        let mut by_partition: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut have_misfits = false;
        for (index, open) in seals.iter().enumerate() {
            by_partition.entry(open.seal.partition.clone()).or_default().push(index);
            have_misfits |= open.seal.dead.as_deref() == Some(COLUMNS);
        }
        let target = |open| Some(Target { open, file: None, met_gap: false });
        let targets = seals.into_iter().map(target).collect();
        Self { opener, targets, by_partition, have_misfits, put_back: Vec::new() }
    }

    /// The shards that have records of them.
    pub fn shards(&self) -> BTreeSet<ShardId> {
        let ranges = self.targets.iter().flatten().flat_map(|target| &target.open.seal.ranges);
        ranges.map(|range| range.shard).collect()
    }

    /// From where a shard has to be read on, if anything is needed of it at `position` or behind.
    pub fn next_needed(&self, shard: ShardId, position: SequenceNumber) -> Option<SequenceNumber> {
        let ranges = self.targets.iter().flatten().flat_map(|target| &target.open.seal.ranges);
        let ranges = ranges.filter(|range| range.shard == shard && range.last >= position);
        ranges.map(|range| range.first.max(position)).min()
    }

    /// Notes that the log has nothing from `from` up to before `to`.
    pub fn note_gap(&mut self, shard: ShardId, from: SequenceNumber, to: SequenceNumber) {
        for target in self.targets.iter_mut().flatten() {
            let touches = target
                .open
                .seal
                .ranges
                .iter()
                .any(|range| range.shard == shard && range.first < to && range.last >= from);
            target.met_gap |= touches;
        }
    }

    /// Takes out those that have all of their records.
    pub fn take_complete(&mut self) -> Vec<Target> {
        let is_complete = |slot: &&mut Option<Target>| slot.as_ref().is_some_and(Target::is_complete);
        self.targets.iter_mut().filter(is_complete).filter_map(Option::take).collect()
    }

    /// Takes out those that are left when everything is read.
    pub fn take_incomplete(&mut self) -> Vec<Target> {
        self.targets.iter_mut().filter_map(Option::take).collect()
    }

    /// Those that have finished parts to send.
    pub fn with_parts(&mut self) -> impl Iterator<Item = (&OpenSeal, &mut OpenFile)> {
        self.targets.iter_mut().flatten().filter_map(|target| {
            let file = target.file.as_mut().filter(|file| file.has_part())?;
            Some((&target.open, file))
        })
    }

    /// Gives up the file that holds most memory, for a later pass, and tells its number; nothing if it is the only one,
    /// which must go on.
    pub fn put_back_largest(&mut self) -> Option<u64> {
        let held = |slot: &Option<Target>| {
            let file = slot.as_ref().and_then(|target| target.file.as_ref());
            file.map(OpenFile::memory_bytes)
        };
        let open = self.targets.iter().filter(|slot| held(slot).is_some()).count();
        let largest =
            self.targets.iter_mut().filter(|slot| held(slot).is_some()).max_by_key(|slot| held(slot));
        let target = largest.filter(|_| open > 1).and_then(Option::take)?;
        let number = target.open.seal.number;
        self.put_back.push(target.open);
        Some(number)
    }

    /// Takes out what was given up.
    pub fn take_put_back(&mut self) -> Vec<OpenSeal> {
        std::mem::take(&mut self.put_back)
    }
}

impl Targets for Again {
    fn file(&mut self, partition: &[u8], position: Position) -> Option<&mut OpenFile> {
        let Self { targets, by_partition, opener, .. } = self;
        let covers = |index: &&usize| {
            let target = targets.get(**index).and_then(Option::as_ref);
            target.is_some_and(|target| target.covers(position))
        };
        let others = targets.len() - 1;
        let index = *by_partition.get(partition)?.iter().find(covers)?;
        let Target { open, file, .. } = targets.get_mut(index)?.as_mut()?;
        Some(file.get_or_insert_with(|| opener.open_again(others, &open.seal)))
    }

    fn have_misfits(&self) -> bool {
        self.have_misfits
    }
}
