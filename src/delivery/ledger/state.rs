//! What all entries together mean, and which entry cannot follow.

mod shards;
mod snapshot;

use std::collections::BTreeMap;

use super::LedgerError;
use super::entry::{
    Begun, Commit, Cursor, Dropped, Entry, Epoch, Gap, Generation, Lost, Multipart, OpenBegun, OpenSeal,
    Seal, SealedRange, ShardTotals,
};
use super::refusal::Refusal;
use crate::config::limits::LEDGER_MULTIPARTS_MAX;
use crate::record::{SequenceNumber, ShardId};

/// Partition → shard → last sealed record.
type Partitions = BTreeMap<Vec<u8>, BTreeMap<ShardId, SequenceNumber>>;

/// Where a delivery stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The latest epoch, and those before it that a record above the cursor or an open file still needs; oldest first.
    pub epochs: Vec<Epoch>,
    /// Files that are sealed and not committed, by number: to be stored (again) under their keys.
    pub open: BTreeMap<u64, OpenSeal>,
    /// Files that are begun and neither sealed nor dropped, by number. At most as many as were open in one process: the
    /// next one drops them before it begins others.
    pub begun: BTreeMap<u64, OpenBegun>,
    /// The first position of each shard that may not be in a committed file. It begins at the first position of the
    /// first epoch that names the shard.
    pub cursor: BTreeMap<ShardId, SequenceNumber>,
    /// Who has it, if several processes can reach it.
    pub generation: Option<Generation>,
    /// The least number that the next seal may have.
    pub next_seal: u64,
    /// Records in committed files, dead letters not among them.
    pub committed_records: u64,
    /// Records in committed files of dead letters.
    pub dead_records: u64,
    /// Records that were passed over, and are in no file.
    pub passed_records: u64,
    /// The same by shard, and more.
    pub shards: BTreeMap<ShardId, ShardTotals>,
    /// By epoch. Only what is at or above the cursor.
    settled: BTreeMap<u32, Partitions>,
    /// Pairs of partition and shard in it.
    settled_len: usize,
}

impl State {
    /// Takes an entry in. One that cannot follow changes nothing.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        match entry {
            Entry::Epoch(epoch) => self.begin_epoch(epoch),
            Entry::Shards(shards) => self.change_shards(shards),
            Entry::Begun(begun) => self.begin_file(begun),
            Entry::Dropped(dropped) => self.drop_begun(dropped),
            Entry::Seal(seal) => self.seal(seal),
            Entry::Lost(lost) => self.lose(lost),
            Entry::Multipart(multipart) => self.begin_upload(multipart),
            Entry::Commit(commit) => self.commit(commit),
            Entry::Cursor(cursor) => self.move_cursor(cursor),
            Entry::Gap(gap) => self.skip(gap),
            Entry::Generation(generation) => self.begin_generation(generation),
            Entry::Snapshot(_) => Err(Refusal::Snapshot),
        }
        .map_err(LedgerError::Refused)
    }

    /// Whether a record is already in a sealed file of this partition (committed, or to be stored again), or below the
    /// cursor.
    pub fn is_settled(&self, epoch: u32, partition: &[u8], shard: ShardId, position: SequenceNumber) -> bool {
        self.cursor.get(&shard).is_some_and(|&cursor| position < cursor)
            || self.last_sealed(epoch, partition, shard).is_some_and(|last| position <= last)
    }

    fn last_sealed(&self, epoch: u32, partition: &[u8], shard: ShardId) -> Option<SequenceNumber> {
        self.settled.get(&epoch)?.get(partition)?.get(&shard).copied()
    }

    /// Highest position of each shard in any sealed file, where that is above the cursor: beyond it nothing needs
    /// [`State::is_settled`].
    pub fn sealed_up_to(&self) -> BTreeMap<ShardId, SequenceNumber> {
        let mut highest = BTreeMap::new();
        let partitions = self.settled.values().flat_map(BTreeMap::values);
        for (&shard, &last) in partitions.flatten() {
            let known = highest.entry(shard).or_insert(last);
            *known = last.max(*known);
        }
        highest
    }

    /// Pairs of partition and shard that are remembered because they are stored beyond the cursor; to be kept below
    /// [`LEDGER_SETTLED_MAX`](crate::config::limits::LEDGER_SETTLED_MAX) by moving the cursor.
    pub fn settled_len(&self) -> usize {
        self.settled_len
    }

    /// The epoch that a record at or above the cursor belongs to.
    pub fn epoch_at(&self, shard: ShardId, position: SequenceNumber) -> Option<&Epoch> {
        let begun = |epoch: &&Epoch| start_of(epoch, shard).is_some_and(|from| from <= position);
        self.epochs.iter().rev().find(begun)
    }

    fn begin_generation(&mut self, generation: &Generation) -> Result<(), Refusal> {
        let (number, latest) =
            (generation.number, self.generation.as_ref().map_or(0, |latest| latest.number));
        if number != latest + 1 {
            return Err(Refusal::Generation { number, latest });
        }
        self.generation = Some(generation.clone());
        Ok(())
    }

    fn begin_epoch(&mut self, epoch: &Epoch) -> Result<(), Refusal> {
        let latest = self.epochs.last().map(|latest| latest.number);
        if let Some(latest) = latest.filter(|&latest| epoch.number <= latest) {
            return Err(Refusal::EpochNumber { number: epoch.number, latest });
        }
        let sealed = self.sealed_up_to();
        none_twice(epoch.from.iter().map(|&(shard, _)| shard))?;
        for &(shard, from) in &epoch.from {
            let before = self.epochs.iter().filter_map(|known| start_of(known, shard)).max();
            let cursor = self.cursor.get(&shard).copied();
            let sealed = sealed.get(&shard).map(|last| SequenceNumber(last.0.saturating_add(1)));
            let needed = before.max(cursor).max(sealed).unwrap_or_default();
            if from < needed {
                return Err(Refusal::EpochStart { number: epoch.number, shard, from, needed });
            }
        }
        for &(shard, from) in &epoch.from {
            self.cursor.entry(shard).or_insert(from);
            self.totals(shard, from);
        }
        self.epochs.push(in_order(epoch.clone()));
        self.forget_epochs();
        Ok(())
    }

    /// Whether an epoch names a shard, or the cursor has passed records of it.
    pub fn knows(&self, shard: ShardId) -> bool {
        self.cursor.contains_key(&shard) || self.epochs.iter().any(|epoch| start_of(epoch, shard).is_some())
    }

    fn begin_file(&mut self, begun: &Begun) -> Result<(), Refusal> {
        let Begun { number, epoch, .. } = *begun;
        if number < self.next_seal {
            return Err(Refusal::SealNumber { number, latest: self.next_seal - 1 });
        }
        if !self.epochs.iter().any(|known| known.number == epoch) {
            return Err(Refusal::UnknownEpoch { number, epoch });
        }
        self.next_seal = number.saturating_add(1);
        self.begun.insert(number, OpenBegun { begun: begun.clone(), multiparts: Vec::new() });
        Ok(())
    }

    fn drop_begun(&mut self, dropped: &Dropped) -> Result<(), Refusal> {
        if let Some(&number) = dropped.numbers.iter().find(|number| !self.begun.contains_key(number)) {
            return Err(Refusal::UnknownSeal { number });
        }
        dropped.numbers.iter().for_each(|number| drop(self.begun.remove(number)));
        self.forget_epochs();
        Ok(())
    }

    fn check_number(&self, seal: &Seal) -> Result<(), Refusal> {
        let number = seal.number;
        match self.begun.get(&number) {
            Some(OpenBegun { begun, .. }) if begun.key != seal.key || begun.epoch != seal.epoch => {
                Err(Refusal::OtherThanBegun { number })
            }
            None if number < self.next_seal => {
                Err(Refusal::SealNumber { number, latest: self.next_seal - 1 })
            }
            _ => Ok(()),
        }
    }

    fn seal(&mut self, seal: &Seal) -> Result<(), Refusal> {
        let number = seal.number;
        self.check_number(seal)?;
        let counted = seal.ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.records));
        if counted != seal.records || counted == 0 {
            return Err(Refusal::Records { number, records: seal.records, counted });
        }
        none_twice(seal.ranges.iter().map(|range| range.shard))?;
        for range in &seal.ranges {
            self.check_range(seal, range)?;
        }
        let partitions = self.settled.entry(seal.epoch).or_default();
        let settled = partitions.entry(seal.partition.clone()).or_default();
        let before = settled.len();
        settled.extend(seal.ranges.iter().map(|range| (range.shard, range.last)));
        self.settled_len += settled.len() - before;
        self.next_seal = number.saturating_add(1).max(self.next_seal);
        let multiparts = self.begun.remove(&number).map(|begun| begun.multiparts).unwrap_or_default();
        self.open.insert(number, OpenSeal { seal: seal.clone(), multiparts, lost: Vec::new() });
        Ok(())
    }

    fn check_range(&self, seal: &Seal, range: &SealedRange) -> Result<(), Refusal> {
        let (number, epoch) = (seal.number, seal.epoch);
        let SealedRange { shard, first, last, records } = *range;
        let numbers = last.0.checked_sub(first.0).map(|more| more.saturating_add(1));
        if records == 0 || numbers.is_none_or(|numbers| records > numbers) {
            return Err(Refusal::Range { number, shard, first, last, records });
        }
        let Some(index) = self.epochs.iter().position(|known| known.number == epoch) else {
            return Err(Refusal::UnknownEpoch { number, epoch });
        };
        let (begun, later) = self.epochs.split_at(index + 1);
        let begins = begun.last().and_then(|known| start_of(known, shard)).unwrap_or_default();
        if first < begins {
            return Err(Refusal::OtherEpoch { number, shard, position: first, epoch });
        }
        let ends = later.iter().filter_map(|known| start_of(known, shard)).min();
        if ends.is_some_and(|ends| last >= ends) {
            return Err(Refusal::OtherEpoch { number, shard, position: last, epoch });
        }
        let cursor = self.cursor.get(&shard).copied().unwrap_or_default();
        let sealed = self.last_sealed(epoch, &seal.partition, shard);
        let sealed = sealed.map(|last| SequenceNumber(last.0.saturating_add(1))).unwrap_or_default();
        let settled = cursor.max(sealed);
        if first < settled {
            return Err(Refusal::Overlap { number, shard, first, settled });
        }
        Ok(())
    }

    fn lose(&mut self, lost: &Lost) -> Result<(), Refusal> {
        let number = lost.number;
        let open = self.open.get_mut(&number).ok_or(Refusal::UnknownSeal { number })?;
        none_twice(lost.shards.iter().map(|&(shard, _)| shard))?;
        let held: BTreeMap<_, _> =
            open.seal.ranges.iter().map(|range| (range.shard, range.records)).collect();
        for &(shard, lost) in &lost.shards {
            if held.get(&shard).is_none_or(|&held| lost > held) {
                return Err(Refusal::Lost { number, shard, lost });
            }
        }
        open.lost.clone_from(&lost.shards);
        Ok(())
    }

    fn begin_upload(&mut self, multipart: &Multipart) -> Result<(), Refusal> {
        let number = multipart.number;
        let sealed = self.open.get_mut(&number).map(|open| &mut open.multiparts);
        let begun = self.begun.get_mut(&number).map(|begun| &mut begun.multiparts);
        let multiparts = sealed.or(begun).ok_or(Refusal::UnknownSeal { number })?;
        if multiparts.len() >= LEDGER_MULTIPARTS_MAX {
            multiparts.remove(0);
        }
        multiparts.push(multipart.upload.clone());
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), Refusal> {
        let number = commit.number;
        let open = self.open.remove(&number).ok_or(Refusal::UnknownSeal { number })?;
        let records = open.records();
        let OpenSeal { seal, lost, .. } = open;
        let lost: BTreeMap<ShardId, u64> = lost.into_iter().collect();
        for range in &seal.ranges {
            let totals = self.totals(range.shard, range.first);
            let lost = lost.get(&range.shard).copied().unwrap_or_default();
            let total = match (seal.passed, &seal.dead) {
                (true, _) => &mut totals.passed,
                (false, Some(_)) => &mut totals.dead,
                (false, None) => &mut totals.delivered,
            };
            *total += range.records - lost;
        }
        *match (seal.passed, &seal.dead) {
            (true, _) => &mut self.passed_records,
            (false, Some(_)) => &mut self.dead_records,
            (false, None) => &mut self.committed_records,
        } += records;
        self.forget_epochs();
        Ok(())
    }

    fn move_cursor(&mut self, cursor: &Cursor) -> Result<(), Refusal> {
        none_twice(cursor.positions.iter().map(|&(shard, _)| shard))?;
        let open = self.open_from();
        for &(shard, to) in &cursor.positions {
            if let Some(&from) = self.cursor.get(&shard).filter(|&&from| to < from) {
                return Err(Refusal::CursorBack { shard, from, to });
            }
            if let Some(&(first, number)) = open.get(&shard).filter(|&&(first, _)| first < to) {
                return Err(Refusal::CursorOverOpen { shard, to, number, first });
            }
        }
        for &(shard, to) in &cursor.positions {
            self.cursor.insert(shard, to);
            self.totals(shard, to);
        }
        self.forget_settled();
        self.forget_epochs();
        Ok(())
    }

    /// The first record of each shard that is in an open file, and the number of that file.
    fn open_from(&self) -> BTreeMap<ShardId, (SequenceNumber, u64)> {
        let mut from = BTreeMap::new();
        for (&number, open) in &self.open {
            for range in &open.seal.ranges {
                let known = from.entry(range.shard).or_insert((range.first, number));
                *known = (range.first, number).min(*known);
            }
        }
        from
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), Refusal> {
        let Gap { shard, first, last, lost } = *gap;
        let numbers = last.0.checked_sub(first.0).map(|more| more.saturating_add(1));
        if numbers.is_none_or(|numbers| lost > numbers) {
            return Err(Refusal::Gap { shard, first, last, lost });
        }
        let totals = self.totals(shard, first);
        // Whoever reads again after a crash finds the same gap again.
        let new = first.max(totals.skipped_upto);
        if new <= last {
            let numbers = last.0 - new.0 + 1;
            totals.skipped += numbers;
            totals.lost += lost.min(numbers);
            totals.skipped_upto = SequenceNumber(last.0.saturating_add(1));
        }
        Ok(())
    }

    /// The totals of a shard; `first` is where they begin if there are none yet.
    fn totals(&mut self, shard: ShardId, first: SequenceNumber) -> &mut ShardTotals {
        self.shards.entry(shard).or_insert(ShardTotals { first, ..ShardTotals::default() })
    }

    /// Drops what lies below the cursor.
    fn forget_settled(&mut self) {
        let Self { settled, cursor, settled_len, .. } = self;
        *settled_len = 0;
        settled.retain(|_, partitions| {
            partitions.retain(|_, shards| {
                shards.retain(|shard, last| cursor.get(shard).is_none_or(|cursor| *last >= *cursor));
                *settled_len += shards.len();
                !shards.is_empty()
            });
            !partitions.is_empty()
        });
    }

    /// Drops the oldest epochs while no record above the cursor, no open file and no begun one is of them.
    fn forget_epochs(&mut self) {
        while let [oldest, next, ..] = self.epochs.as_slice() {
            let read_on = |&(shard, _): &(ShardId, SequenceNumber)| {
                let cursor = self.cursor.get(&shard);
                start_of(next, shard).is_none_or(|from| cursor.is_none_or(|&cursor| cursor < from))
            };
            let of_it = |open: &OpenSeal| open.seal.epoch == oldest.number;
            let begun = self.begun.values().any(|open| open.begun.epoch == oldest.number);
            if oldest.from.iter().any(read_on) || self.open.values().any(of_it) || begun {
                return;
            }
            self.epochs.remove(0);
        }
    }
}

/// Sorts the shards, as [`start_of`] wants them.
fn in_order(mut epoch: Epoch) -> Epoch {
    epoch.from.sort_unstable();
    epoch
}

/// Where an epoch begins in a shard.
fn start_of(epoch: &Epoch, shard: ShardId) -> Option<SequenceNumber> {
    let index = epoch.from.binary_search_by_key(&shard, |&(named, _)| named).ok()?;
    epoch.from.get(index).map(|&(_, from)| from)
}

fn none_twice(shards: impl Iterator<Item = ShardId>) -> Result<(), Refusal> {
    let mut shards: Vec<ShardId> = shards.collect();
    shards.sort_unstable();
    match shards.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Refusal::ShardTwice { shard: pair[0] }),
        None => Ok(()),
    }
}
