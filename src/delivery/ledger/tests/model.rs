//! A state that is simple instead of fast: it forgets nothing and looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[derive(Debug, Clone, Default)]
pub struct Model {
    epochs: Vec<Epoch>,
    seals: Vec<(Seal, bool)>,
    /// Neither sealed nor dropped.
    begun: BTreeMap<u64, Begun>,
    next: u64,
    uploads: Vec<Multipart>,
    /// The last word about each seal.
    lost: BTreeMap<u64, Vec<(ShardId, u64)>>,
    cursor: BTreeMap<ShardId, SequenceNumber>,
    first: BTreeMap<ShardId, SequenceNumber>,
    gaps: Vec<Gap>,
    /// Shards of which nothing is remembered but what they count for.
    gone: BTreeSet<ShardId>,
}

/// What becomes of the records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Records,
    Dead,
    Passed,
}

impl Kind {
    fn of(seal: &Seal) -> Self {
        match (seal.passed, &seal.dead) {
            (true, _) => Kind::Passed,
            (false, Some(_)) => Kind::Dead,
            (false, None) => Kind::Records,
        }
    }
}

impl Model {
    /// Takes in an entry that the state has accepted.
    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Epoch(epoch) => {
                self.epochs.push(epoch.clone());
                for &(shard, from) in &epoch.from {
                    self.cursor.entry(shard).or_insert(from);
                    self.first.entry(shard).or_insert(from);
                }
            }
            Entry::Shards(shards) => {
                if let Some(latest) = self.epochs.last_mut() {
                    latest.from.extend(&shards.from);
                    latest.from.sort_unstable();
                }
                for &(shard, from) in &shards.from {
                    self.cursor.entry(shard).or_insert(from);
                    self.first.entry(shard).or_insert(from);
                }
                for shard in &shards.gone {
                    self.gone.insert(*shard);
                    self.cursor.remove(shard);
                    self.first.remove(shard);
                    self.gaps.retain(|gap| gap.shard != *shard);
                    self.epochs.iter_mut().for_each(|epoch| epoch.from.retain(|(named, _)| named != shard));
                }
            }
            Entry::Begun(begun) => {
                self.next = self.next.max(begun.number + 1);
                self.begun.insert(begun.number, begun.clone());
            }
            Entry::Dropped(dropped) => self.begun.retain(|number, _| !dropped.numbers.contains(number)),
            Entry::Seal(seal) => {
                self.next = self.next.max(seal.number + 1);
                self.begun.remove(&seal.number);
                self.seals.push((seal.clone(), false));
            }
            Entry::Lost(lost) => {
                self.lost.insert(lost.number, lost.shards.clone());
            }
            Entry::Multipart(multipart) => self.uploads.push(multipart.clone()),
            Entry::Commit(commit) => {
                let found = self.seals.iter_mut().find(|(seal, _)| seal.number == commit.number);
                // Not there where the past is told from the middle on.
                found.into_iter().for_each(|(_, committed)| *committed = true);
            }
            Entry::Cursor(cursor) => {
                for &(shard, to) in &cursor.positions {
                    self.cursor.insert(shard, to);
                    self.first.entry(shard).or_insert(to);
                }
            }
            Entry::Gap(gap) => {
                self.first.entry(gap.shard).or_insert(gap.first);
                // Those that come again, and with them all that lie below another one, do not count.
                if self.gaps.iter().all(|known| known.shard != gap.shard || known.last < gap.first) {
                    self.gaps.push(*gap);
                }
            }
            Entry::Generation(_) | Entry::Snapshot(_) => unreachable!("none is appended"),
        }
    }

    fn ranges(&self) -> impl Iterator<Item = (&Seal, bool, &SealedRange)> {
        self.seals
            .iter()
            .flat_map(|(seal, committed)| seal.ranges.iter().map(move |range| (seal, *committed, range)))
    }

    fn is_settled(&self, seal: &Seal, shard: ShardId, position: SequenceNumber) -> bool {
        let same = |other: &Seal| other.epoch == seal.epoch && other.partition == seal.partition;
        self.cursor.get(&shard).is_some_and(|&cursor| position < cursor)
            || self
                .ranges()
                .any(|(other, _, range)| same(other) && range.shard == shard && position <= range.last)
    }

    fn epoch_at(&self, shard: ShardId, position: SequenceNumber) -> Option<&Epoch> {
        let begun =
            |epoch: &&Epoch| epoch.from.iter().any(|&(named, from)| named == shard && from <= position);
        self.epochs.iter().rfind(begun)
    }

    fn records(&self, kind: Kind, of: impl Fn(&SealedRange) -> bool) -> u64 {
        let counts = |&(seal, committed, range): &(&Seal, bool, &SealedRange)| {
            committed && Kind::of(seal) == kind && of(range)
        };
        let lost = |seal: &Seal, shard| {
            let shards = self.lost.get(&seal.number).into_iter().flatten();
            shards.filter(|&&(of, _)| of == shard).map(|(_, lost)| lost).sum::<u64>()
        };
        self.ranges().filter(counts).map(|(seal, _, range)| range.records - lost(seal, range.shard)).sum()
    }

    /// What differs between this and `state`, if anything does.
    pub fn differs(&self, state: &State) -> Option<String> {
        let mut open: Vec<_> =
            self.seals.iter().filter(|(_, committed)| !committed).map(|(seal, _)| seal).collect();
        open.sort_by_key(|seal| seal.number);
        if open != state.open.values().map(|open| &open.seal).collect::<Vec<_>>() {
            return Some(format!("open: {open:?}, found {:?}", state.open));
        }
        if !self.begun.values().eq(state.begun.values().map(|open| &open.begun)) {
            return Some(format!("begun: {:?}, found {:?}", self.begun, state.begun));
        }
        let sealed = state.open.iter().map(|(number, open)| (number, &open.multiparts));
        let begun = state.begun.iter().map(|(number, open)| (number, &open.multiparts));
        for (number, multiparts) in sealed.chain(begun) {
            let uploads = self.uploads.iter().filter(|upload| upload.number == *number);
            if !uploads.map(|upload| &upload.upload).eq(multiparts) {
                return Some(format!("uploads of {number}: {multiparts:?}"));
            }
        }
        for (number, open) in &state.open {
            if self.lost.get(number).cloned().unwrap_or_default() != open.lost {
                return Some(format!("lost of {number}: {:?}", open.lost));
            }
        }
        if self.cursor != state.cursor {
            return Some(format!("cursor: {:?}, found {:?}", self.cursor, state.cursor));
        }
        let sums = [Kind::Records, Kind::Dead, Kind::Passed].map(|kind| self.records(kind, |_| true));
        let found = [state.committed_records, state.dead_records, state.passed_records];
        if (sums, self.next) != (found, state.next_seal) {
            return Some(format!("sums: {sums:?}, found {state:?}"));
        }
        self.differs_by_shard(state).or_else(|| self.differs_by_record(state))
    }

    fn differs_by_shard(&self, state: &State) -> Option<String> {
        if !self.first.keys().eq(state.shards.keys()) {
            return Some(format!("shards: {:?}, found {:?}", self.first, state.shards));
        }
        for (&shard, &first) in &self.first {
            let of = |range: &SealedRange| range.shard == shard;
            let of_gap = |gap: &&Gap| gap.shard == shard;
            let totals = ShardTotals {
                first,
                delivered: self.records(Kind::Records, of),
                dead: self.records(Kind::Dead, of),
                passed: self.records(Kind::Passed, of),
                skipped: self.gaps.iter().filter(of_gap).map(|gap| gap.last.0 - gap.first.0 + 1).sum(),
                lost: self.gaps.iter().filter(of_gap).map(|gap| gap.lost).sum(),
                skipped_upto: state.shards[&shard].skipped_upto,
            };
            if state.shards.get(&shard) != Some(&totals) {
                return Some(format!("{shard}: {totals:?}, found {:?}", state.shards.get(&shard)));
            }
            let last = self.ranges().filter(|(_, _, range)| of(range)).map(|(_, _, range)| range.last).max();
            let last = last.filter(|last| self.cursor.get(&shard).is_none_or(|cursor| last >= cursor));
            if state.sealed_up_to().get(&shard) != last.as_ref() {
                return Some(format!("{shard} is sealed up to {last:?}, found {:?}", state.sealed_up_to()));
            }
        }
        None
    }

    /// Asks about each position around each range and each beginning.
    fn differs_by_record(&self, state: &State) -> Option<String> {
        for (seal, _, range) in self.ranges().filter(|(.., range)| !self.gone.contains(&range.shard)) {
            for near in [range.first.0 - 1, range.first.0, range.last.0, range.last.0 + 1] {
                let (shard, position) = (range.shard, SequenceNumber(near));
                let expected = self.is_settled(seal, shard, position);
                if state.is_settled(seal.epoch, &seal.partition, shard, position) != expected {
                    return Some(format!(
                        "settled at {shard} {position} of {:?}: not {expected}",
                        seal.partition
                    ));
                }
            }
        }
        if self.epochs.last() != state.epochs.last() {
            return Some(format!("the latest epoch: {:?}", state.epochs.last()));
        }
        for epoch in &self.epochs {
            for &(shard, from) in &epoch.from {
                let position = from.max(self.cursor[&shard]);
                let number = |epoch: &Epoch| (epoch.number, epoch.config.clone());
                if state.epoch_at(shard, position).map(number) != self.epoch_at(shard, position).map(number) {
                    return Some(format!(
                        "epoch at {shard} {position}: {:?}",
                        state.epoch_at(shard, position)
                    ));
                }
            }
        }
        None
    }
}
