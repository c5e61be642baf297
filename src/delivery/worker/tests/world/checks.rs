//! What must be true of the lake and of the ledger when everything is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::records::Kind;
use super::variants::folder_by_time;
use super::{World, ledger_folder};
use crate::delivery::ledger::{Ledger, State};
use crate::delivery::worker::tests::lake;
use crate::record::{SequenceNumber, ShardId};

impl World {
    /// What the ledger says, if no process has it open.
    pub fn ledger(&self) -> State {
        assert!(!self.is_running());
        Ledger::open(Arc::new(self.disk.clone()), ledger_folder()).unwrap().1
    }

    /// Compares everything that was sent with everything that is in the lake.
    pub fn check_lake(&self) {
        let files = lake::files(&self.disk);
        let mut seen = BTreeSet::new();
        for file in &files {
            for &n in &file.records {
                assert!(seen.insert(n), "record {n} is in two files or twice in one: {}", file.name);
            }
        }
        // Only the backup of what fails passes records over, and none of those that its delivery cannot take.
        let missing: Vec<_> = (0..self.sent.len() as u64).filter(|n| !seen.contains(n)).collect();
        let fails = |kind| matches!(kind, Kind::Text | Kind::Homeless | Kind::Refused);
        assert!(!missing.iter().any(|&n| fails(self.kinds[n as usize])), "missing: {missing:?}");
        let passed = if missing.is_empty() { 0 } else { self.ledger().passed_records };
        assert_eq!((missing.len() as u64, seen.len() + missing.len()), (passed, self.sent.len()));
        for file in files.iter().filter(|file| file.folder.contains("/v5/")) {
            for &n in &file.records {
                let (spec, arrival) = &self.specs[n as usize];
                let folder = folder_by_time(spec, *arrival);
                assert!(
                    folder.is_some_and(|folder| format!("{}/", file.folder).ends_with(&folder)),
                    "{}: {n}",
                    file.folder
                );
            }
        }
        // In the order of their numbers, the files of a folder go on where the one before ended, and have nothing of a
        // shard behind a record of its children.
        let layout = self.stream.layout();
        let mut passed: BTreeSet<(&str, ShardId)> = BTreeSet::new();
        let mut last: BTreeMap<(&str, ShardId), SequenceNumber> = BTreeMap::new();
        for file in &files {
            for &n in &file.records {
                let (shard, number) = self.sent[n as usize];
                let mut parents = vec![shard];
                while let Some(facts) = parents.pop().and_then(|id| layout.get(id)).map(|shard| shard.facts) {
                    for parent in facts.parents() {
                        passed.insert((&file.folder, parent));
                        parents.push(parent);
                    }
                }
                assert!(!passed.contains(&(&*file.folder, shard)), "{}: {shard} comes late", file.name);
                let before = last.insert((&file.folder, shard), number);
                assert!(before.is_none_or(|before| before < number), "{}: {shard} goes back", file.name);
            }
        }
    }

    /// Checks that the ledger accounts for everything that was sent.
    pub fn check_ledger(&self) {
        self.check_state(&self.ledger());
    }

    /// The same for what it says.
    pub fn check_state(&self, state: &State) {
        assert!(state.open.is_empty(), "{:?}", state.open);
        assert!(state.begun.is_empty(), "{:?}", state.begun);
        let all = state.committed_records + state.dead_records + state.passed_records;
        assert_eq!(all, self.sent.len() as u64);
        for id in self.stream.shard_ids() {
            let next = self.stream.shard(id).unwrap().bounds().next;
            assert_eq!(state.cursor.get(&id), Some(&next), "{id}");
        }
        assert_eq!(state.settled_len(), 0);
    }
}
