//! The files that a ledger tells of, and which records each of them has.

use std::collections::{BTreeMap, HashMap};

use super::report::{DeliveryReport, Finding, Kind};
use crate::delivery::ledger::{
    Commit, Entry, Epoch, Gap, History, LedgerError, OpenSeal, Seal, SealedRange, State,
};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::disk::Disk;

/// A file, and whether the store has confirmed it.
#[derive(Debug)]
pub struct File {
    /// What is in it.
    pub seal: Seal,
    /// That it is stored.
    pub commit: Option<Commit>,
    /// Records of each shard that the log had lost before the file was stored.
    pub lost: Vec<(ShardId, u64)>,
}

impl File {
    /// Whether there must be an object: not of what was passed over, nor where the log had lost everything.
    pub fn has_object(&self) -> bool {
        !self.seal.passed && self.records() > 0
    }

    /// Records of the object, which is not there if it has none.
    pub fn records(&self) -> u64 {
        self.seal.records.saturating_sub(self.lost.iter().map(|(_, lost)| lost).sum())
    }

    /// Those of the records of a range that are not lost.
    pub fn left_of(&self, range: &SealedRange) -> u64 {
        let lost = self.lost.iter().find(|(shard, _)| *shard == range.shard).map_or(0, |(_, lost)| *lost);
        range.records.saturating_sub(lost)
    }
}

/// A range of a file.
#[derive(Debug, Clone, Copy)]
pub struct Covered {
    /// The range.
    pub range: SealedRange,
    /// Index of its file in [`Files::all`].
    pub file: usize,
    /// Records of it that were found in the log.
    pub met: u64,
}

type Ranges = HashMap<Vec<u8>, HashMap<ShardId, Vec<Covered>>>;

/// Everything that a ledger remembers.
#[derive(Debug)]
pub struct Files {
    /// In the order in which they were closed.
    pub all: Vec<File>,
    /// Index in it by number.
    by_number: HashMap<u64, usize>,
    /// By epoch, partition and shard; in order within a shard.
    ranges: BTreeMap<u32, Ranges>,
    /// Where all entries lead to.
    pub state: State,
    /// Where they begin. What it tells as settled is in files that are not remembered.
    pub begin: State,
    /// Whether nothing was forgotten.
    pub complete: bool,
    epochs: Vec<Epoch>,
    gaps: Vec<Gap>,
}

/// What a ledger tells about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the file of this index.
    InFile(usize),
    /// It is in a file that is not remembered.
    Before,
    /// It is in no file, and must be in one.
    Missing,
    /// It is in no file yet.
    Pending,
}

impl Files {
    /// Reads the history of a ledger. What does not fit together goes into the report.
    pub fn read(
        disk: &dyn Disk,
        history: &History,
        report: &mut DeliveryReport,
    ) -> Result<Self, LedgerError> {
        let begin = history.begin().clone();
        let mut files = Self {
            all: Vec::new(),
            by_number: HashMap::new(),
            ranges: BTreeMap::new(),
            state: State::default(),
            epochs: begin.epochs.clone(),
            complete: history.is_complete(),
            gaps: Vec::new(),
            begin,
        };
        let open: Vec<OpenSeal> = files.begin.open.values().cloned().collect();
        open.into_iter().for_each(|open| files.add(open.seal, open.lost));
        files.state = history.read(disk, &mut |entry| files.take(entry))?;
        files.check_overlaps(report);
        Ok(files)
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Seal(seal) => self.add(seal, Vec::new()),
            Entry::Commit(commit) => {
                if let Some(file) = self.of_number(commit.number) {
                    file.commit = Some(commit);
                }
            }
            Entry::Lost(lost) => {
                if let Some(file) = self.of_number(lost.number) {
                    file.lost = lost.shards;
                }
            }
            Entry::Epoch(epoch) => self.epochs.push(epoch),
            Entry::Shards(shards) => {
                self.epochs.last_mut().into_iter().for_each(|latest| latest.from.extend(&shards.from));
            }
            Entry::Gap(gap) => self.gaps.push(gap),
            // Nobody can see a file that is begun and not closed.
            Entry::Begun(_)
            | Entry::Dropped(_)
            | Entry::Multipart(_)
            | Entry::Cursor(_)
            | Entry::Generation(_)
            | Entry::Snapshot(_) => {}
        }
    }

    fn of_number(&mut self, number: u64) -> Option<&mut File> {
        self.by_number.get(&number).and_then(|&index| self.all.get_mut(index))
    }

    fn add(&mut self, seal: Seal, lost: Vec<(ShardId, u64)>) {
        let file = self.all.len();
        let partitions = self.ranges.entry(seal.epoch).or_default();
        let shards = partitions.entry(seal.partition.clone()).or_default();
        for &range in &seal.ranges {
            shards.entry(range.shard).or_default().push(Covered { range, file, met: 0 });
        }
        self.by_number.insert(seal.number, file);
        self.all.push(File { seal, commit: None, lost });
    }

    /// The ledger has refused ranges that overlap; what is found here it has not noticed.
    fn check_overlaps(&mut self, report: &mut DeliveryReport) {
        let Self { ranges, all, .. } = self;
        for (partition, shards) in ranges.values_mut().flatten() {
            for (&shard, covered) in shards {
                covered.sort_by_key(|covered| covered.range.first);
                for pair in covered.windows(2) {
                    let [before, after] = pair else { continue };
                    if after.range.first > before.range.last {
                        continue;
                    }
                    let last = after.range.last.min(before.range.last);
                    let keys = [before, after].map(|covered| all[covered.file].seal.key.as_str());
                    let what = format!("these records are in two files, '{}' and '{}'", keys[0], keys[1]);
                    let finding =
                        Finding::new(Kind::Duplicated, what).of_partition(partition).of_key(keys[1]);
                    report.find(finding.of_range(shard, after.range.first, last));
                }
            }
        }
    }

    /// An epoch by its number.
    pub fn epoch(&self, number: u32) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    /// The epoch of a position; `None` where the delivery had not begun yet. It is not known below the cursor of
    /// [`Files::begin`].
    pub fn epoch_at(&self, shard: ShardId, position: SequenceNumber) -> Option<&Epoch> {
        let begun =
            |epoch: &&Epoch| epoch.from.iter().any(|&(named, from)| named == shard && from <= position);
        self.epochs.iter().rfind(begun)
    }

    /// Whether the delivery has begun to read a shard.
    pub fn has_begun(&self, shard: ShardId) -> bool {
        self.epochs.iter().flat_map(|epoch| &epoch.from).any(|&(named, _)| named == shard)
    }

    /// The first position of a shard behind `position` where another epoch begins.
    pub fn next_epoch(&self, shard: ShardId, position: SequenceNumber) -> Option<SequenceNumber> {
        let begins = self.epochs.iter().flat_map(|epoch| &epoch.from);
        begins.filter(|&&(named, from)| named == shard && from > position).map(|&(_, from)| from).min()
    }

    /// Finds the file of a record of a partition, and counts the record there.
    pub fn meet(
        &mut self,
        epoch: u32,
        partition: &[u8],
        (shard, position): (ShardId, SequenceNumber),
    ) -> Fate {
        if let Some(covered) = self.covering(epoch, partition, (shard, position)) {
            covered.met += 1;
            return Fate::InFile(covered.file);
        }
        if self.begin.is_settled(epoch, partition, shard, position) {
            Fate::Before
        } else if self.state.is_settled(epoch, partition, shard, position) {
            Fate::Missing
        } else {
            Fate::Pending
        }
    }

    /// The range that a record of a partition is in.
    pub fn covering(
        &mut self,
        epoch: u32,
        partition: &[u8],
        (shard, position): (ShardId, SequenceNumber),
    ) -> Option<&mut Covered> {
        let covered = self.ranges.get_mut(&epoch)?.get_mut(partition)?.get_mut(&shard)?;
        let index = covered.partition_point(|covered| covered.range.last < position);
        covered.get_mut(index).filter(|covered| covered.range.first <= position)
    }

    /// All ranges, with their partitions.
    pub fn ranges(&self) -> impl Iterator<Item = (&[u8], &Covered)> {
        let partitions = self.ranges.values().flatten();
        partitions.flat_map(|(partition, shards)| {
            shards.values().flatten().map(|covered| (partition.as_slice(), covered))
        })
    }

    /// Numbers and records in the gaps of a shard that begin at `from` or later, as far as they are remembered.
    pub fn gaps_from(&self, shard: ShardId, from: SequenceNumber) -> (u64, u64) {
        let counted = self.gaps.iter().filter(|gap| gap.shard == shard && gap.first >= from);
        counted.fold((0, 0), |(numbers, lost), gap| (numbers + gap.last.0 - gap.first.0 + 1, lost + gap.lost))
    }
}
