//! Random deliveries on random disks: what was promised is there, and nothing comes in halves.

use std::path::PathBuf;

use proptest::prelude::*;

use super::model::Model;
use super::*;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

const FOLDER: &str = "/ledger/s/d";
const SHARDS: u32 = 3;
const SMALL: Bounds = Bounds { step: 256, file: 1024, history: 8 << 10 };

#[derive(Debug, Clone)]
enum Step {
    /// Some appends at a time, each with some entries.
    Append(Vec<Vec<Wish>>),
    /// The process ends and comes back; the disk knows what it was told. The start fails if there is a fault.
    Restart(Option<Fault>),
    /// The power goes.
    LosePower,
    /// The power goes in the middle of something.
    LosePowerAfter(u64),
    /// The disk fails soon.
    Fail(Fault),
    /// There is space for so much more.
    Leave(u64),
}

/// What kind of entry, and numbers that it is made of.
#[derive(Debug, Clone, Copy)]
struct Wish {
    kind: u8,
    a: u8,
    b: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wish = (0_u8..16, any::<u8>(), any::<u8>()).prop_map(|(kind, a, b)| Wish { kind, a, b });
    let append = prop::collection::vec(wish, 1..4);
    let step = prop_oneof![
        12 => prop::collection::vec(append, 1..4).prop_map(Step::Append),
        1 => prop::option::of(fault()).prop_map(Step::Restart),
        1 => Just(Step::LosePower),
        1 => (0_u64..12).prop_map(Step::LosePowerAfter),
        3 => fault().prop_map(Step::Fail),
        1 => (0_u64..2000).prop_map(Step::Leave),
        1 => Just(Step::Leave(1 << 30)),
    ];
    prop::collection::vec(step, 1..60)
}

fn fault() -> impl Strategy<Value = Fault> {
    let operation = prop_oneof![
        Just(Operation::Write),
        Just(Operation::Sync),
        Just(Operation::Create),
        Just(Operation::Rename),
        Just(Operation::Remove),
        Just(Operation::SyncFolder),
        Just(Operation::SetLen),
    ];
    let failure =
        prop_oneof![Just(Failure::Io), Just(Failure::Full), (0_usize..600).prop_map(Failure::Short)];
    let fault = |(operation, failure, skipped)| Fault::new(operation, failure).after(skipped);
    (operation, failure, 0_u64..4).prop_map(fault)
}

/// An entry that can follow, or now and then one that cannot.
fn entry(state: &State, wish: Wish) -> Entry {
    let Wish { kind, a, b } = wish;
    // What is not known any more has gone, and its id is not given again.
    let is_there = |shard: ShardId| state.epochs.is_empty() || state.knows(shard);
    let there: Vec<ShardId> = (0..SHARDS).map(ShardId).filter(|&shard| is_there(shard)).collect();
    let shard = there[usize::from(a) % there.len()];
    let end = |shard| {
        let sealed = state.sealed_up_to().get(&shard).map(|last| last.0 + 1);
        sealed.max(state.cursor.get(&shard).map(|cursor| cursor.0)).unwrap_or(100)
    };
    let open = state.open.keys().copied().nth(usize::from(b) % state.open.len().max(1)).unwrap_or(7);
    match kind {
        0 => {
            let number = state.epochs.last().map_or(1, |epoch| epoch.number + 1);
            let from = there.iter().map(|&shard| (shard, at(end(shard) + u64::from(b % 5))));
            Entry::Epoch(Epoch { number, config: serde_json::json!(number), from: from.collect() })
        }
        1..=5 => Entry::Seal(random_seal(state, a, b)),
        6 => {
            let number = begun_of(state, b).filter(|_| a % 2 == 0).map_or(open, |begun| begun.number);
            Entry::Multipart(Multipart { number, upload: format!("upload {a} {b}") })
        }
        7 | 8 => Entry::Commit(Commit { number: open, etag: None, bytes: a.into() }),
        9 | 10 => {
            let ranges = state.open.values().flat_map(|open| &open.seal.ranges);
            let first = ranges.filter(|range| range.shard == shard).map(|range| range.first.0).min();
            let to = first.unwrap_or_else(|| end(shard)).saturating_sub(u64::from(b % 3));
            Entry::Cursor(Cursor { positions: vec![(shard, at(to))] })
        }
        11 => {
            let ranges = state.open.get(&open).map(|open| open.seal.ranges.as_slice()).unwrap_or_default();
            let lost = |range: &SealedRange| (range.shard, u64::from(a) % (range.records + 1));
            Entry::Lost(Lost { number: open, shards: ranges.iter().map(lost).collect() })
        }
        12 => {
            let epoch = state.epochs.get(usize::from(a >> 4) % state.epochs.len().max(1));
            let number = state.next_seal + u64::from(b % 3) - u64::from(state.next_seal > 0 && b % 7 == 0);
            let epoch = epoch.map_or(1, |epoch| epoch.number);
            Entry::Begun(Begun { number, epoch, key: format!("key-{number}") })
        }
        13 => {
            let numbers = begun_of(state, b).map_or(u64::from(b), |begun| begun.number);
            Entry::Dropped(Dropped { numbers: vec![numbers] })
        }
        // At least one stays.
        15 if there.len() > 1 && !state.epochs.is_empty() => {
            Entry::Shards(Shards { from: Vec::new(), gone: vec![shard] })
        }
        _ => {
            // Two of them are the same or have no number in common.
            let first = 1_000_000 + 10_000 * u64::from(a) + 10 * u64::from(b);
            Entry::Gap(Gap { shard, first: at(first), last: at(first + 9), lost: u64::from(b % 10) })
        }
    }
}

fn begun_of(state: &State, pick: u8) -> Option<&Begun> {
    let open = state.begun.values().nth(usize::from(pick) % state.begun.len().max(1))?;
    Some(&open.begun)
}

fn random_seal(state: &State, a: u8, b: u8) -> Seal {
    // Some of a file that was begun.
    let begun = begun_of(state, b).filter(|_| a.is_multiple_of(3));
    let epoch = state.epochs.get(usize::from(a >> 4) % state.epochs.len().max(1)).or(state.epochs.last());
    let epoch =
        begun.and_then(|begun| state.epochs.iter().find(|epoch| epoch.number == begun.epoch)).or(epoch);
    let number = epoch.map_or(1, |epoch| epoch.number);
    let partition = vec![a % 4];
    let mut ranges = Vec::new();
    let is_there = |id: u32| state.epochs.is_empty() || state.knows(ShardId(id));
    for id in (0..SHARDS).filter(|&id| b & (1 << id) != 0 && is_there(id)) {
        let shard = ShardId(id);
        let from = epoch.and_then(|epoch| epoch.from.iter().find(|&&(named, _)| named == shard));
        let mut first =
            from.map_or(100, |&(_, from)| from.0).max(state.cursor.get(&shard).map_or(0, |at| at.0));
        while state.is_settled(number, &partition, shard, at(first)) {
            first += 1;
        }
        first += u64::from(b % 3);
        let last = first + u64::from(a % 7);
        ranges.push(SealedRange {
            shard,
            first: at(first),
            last: at(last),
            records: 1 + u64::from(a % 7) / 2,
        });
    }
    Seal {
        number: begun.map_or(state.next_seal + u64::from(a % 2), |begun| begun.number),
        key: begun.map_or("key".to_owned(), |begun| begun.key.clone()),
        epoch: number,
        partition,
        records: ranges.iter().map(|range| range.records).sum(),
        ranges,
        guard: None,
        dead: b.is_multiple_of(11).then(|| "schema".into()),
        passed: b % 11 == 7,
        ..seal(0, 1, 1)
    }
}

/// A ledger on a disk, and what must be in it.
struct Run {
    disk: SimulatedDisk,
    ledger: Ledger,
    /// With everything that was promised.
    promised: Model,
    /// What may be there instead, after appends that have failed.
    possible: Vec<Model>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let ledger = open_on(&disk).unwrap().0;
        Self { disk, ledger, promised: Model::default(), possible: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(appends) => self.append(appends),
            Step::Restart(fault) => {
                self.disk = if self.disk.is_off() { self.disk.crash() } else { self.disk.kill() };
                fault.iter().cloned().for_each(|fault| self.disk.inject(fault));
                self.reopen();
            }
            Step::LosePower => {
                self.disk = self.disk.crash();
                self.reopen();
            }
            Step::LosePowerAfter(changes) => self.disk.cut_power_after(*changes),
            Step::Fail(fault) => self.disk.inject(fault.clone()),
            Step::Leave(bytes) => self.disk.set_capacity(Some(self.disk.used() + bytes)),
        }
        let differs = self.promised.differs(&self.ledger.state());
        assert_eq!(differs, None);
    }

    /// What the files tell of the past leads to the present.
    fn check_history(&self) {
        let history = History::open(&self.disk, Path::new(FOLDER)).unwrap().unwrap();
        let (mut told, mut state) = (Model::default(), history.begin().clone());
        let end = history
            .read(&self.disk, &mut |entry| {
                told.take(&entry);
                state.apply(&entry).unwrap();
            })
            .unwrap();
        assert_eq!((&end, &state), (&self.ledger.state(), &end));
        if history.is_complete() {
            assert_eq!(told.differs(&end), None);
        }
    }

    fn append(&mut self, appends: &[Vec<Wish>]) {
        let mut ahead = self.ledger.state();
        let mut group = Vec::new();
        for wishes in appends {
            let mut entries = Vec::new();
            for &wish in wishes {
                let entry = entry(&ahead, wish);
                // One in many is refused, and its append with it; but for a shard that has gone, which those behind it
                // would name once more where the ledger has it otherwise.
                if ahead.apply(&entry).is_ok() || wish.b.is_multiple_of(16) && wish.kind != 15 {
                    entries.push(entry);
                }
            }
            group.push(entries);
        }
        let group: Vec<&[Entry]> = group.iter().map(Vec::as_slice).collect();
        let mut possible = self.promised.clone();
        for (entries, result) in group.iter().zip(self.ledger.shared.write(&group)) {
            if matches!(result, Err(LedgerError::Refused(_))) {
                continue;
            }
            entries.iter().for_each(|entry| possible.take(entry));
            match result {
                Ok(()) if entries.is_empty() => {}
                Ok(()) => {
                    self.promised = possible.clone();
                    self.possible.clear();
                }
                Err(_) => self.possible.push(possible.clone()),
            }
        }
    }

    fn reopen(&mut self) {
        let (ledger, state) = match open_on(&self.disk) {
            Ok(opened) => opened,
            Err(error) => {
                // The fault that was waiting, or no space to write anything again.
                assert!(matches!(error, LedgerError::Io { .. } | LedgerError::DiskFull { .. }), "{error}");
                self.disk.set_capacity(None);
                self.disk.heal();
                open_on(&self.disk).unwrap()
            }
        };
        self.ledger = ledger;
        if let Some(differs) = self.promised.differs(&state) {
            let found = self.possible.iter().find(|model| model.differs(&state).is_none());
            self.promised =
                found.unwrap_or_else(|| panic!("neither promised nor possible: {differs}")).clone();
        }
        self.possible.clear();
        self.check_history();
    }
}

fn open_on(disk: &SimulatedDisk) -> Result<(Ledger, State), LedgerError> {
    Ledger::open_bounded(Arc::new(disk.clone()), PathBuf::from(FOLDER), SMALL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_promised_is_there_and_nothing_comes_in_halves(seed: u64, steps in steps()) {
        let mut run = Run::new(seed);
        for step in &steps {
            run.step(step);
        }
        run.disk.set_capacity(None);
        run.step(&Step::LosePower);
    }
}
