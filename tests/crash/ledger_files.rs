//! What a damaged disk makes of a ledger.
//!
//! A ledger is text, as `forebay::delivery::ledger` describes: lines of a checksum and a JSON object whose `write` says
//! at which byte the write of the line began. Damage in front of the last write is damage for sure.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::chance::{self, Chance};
use crate::trial::{Setup, Trial};

/// The newest ledger of each delivery, relative to `data`.
fn ledgers(data: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let is_ledger = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ledger");
    let deliveries = entries(&data.join("ledger")).into_iter().flat_map(|stream| entries(&stream));
    let newest = deliveries.filter_map(|delivery| entries(&delivery).into_iter().rfind(is_ledger));
    newest.map(|path| path.strip_prefix(data).unwrap().to_owned()).collect()
}

/// Where the last write of a ledger begins.
fn last_write(bytes: &[u8]) -> usize {
    let text = bytes.split(|&byte| byte == 0).next().unwrap();
    let line = text.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let json = line.splitn(2, |&byte| byte == b' ').nth(1).unwrap();
    serde_json::from_slice::<Value>(json).unwrap()["write"].as_u64().unwrap() as usize
}

#[test]
fn a_flipped_byte_in_a_ledger_stops_the_start_with_the_name_of_the_file() {
    let name = "bytes flipped in ledgers";
    let mut chance = Chance::of(name);
    let mut trial = Trial::begin(name, &Setup::default());
    trial.progress(3_000);
    let outcomes = trial.end_load();
    trial.kill();
    trial.node.set_aside();
    let kept = trial.node.path().join("kept");
    let mut refusals = 0;
    for ledger in ledgers(&kept) {
        let bytes = fs::read(kept.join(&ledger)).unwrap();
        let positions = chance.sample(0..last_write(&bytes), if chance::is_long() { 40 } else { 2 });
        assert!(!positions.is_empty(), "{} has one write alone", ledger.display());
        for at in positions {
            trial.node.restore();
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (chance.up_to(8) - 1);
            fs::write(trial.node.path().join("data").join(&ledger), changed).unwrap();
            let said = trial.node.refusal();
            let file = ledger.file_name().unwrap().to_str().unwrap();
            assert!(said.contains(file), "byte {at} of {}, seed {}: {said}", ledger.display(), chance.seed);
            refusals += 1;
        }
    }
    // And without damage everything is there.
    trial.node.restore();
    trial.node.start();
    trial.row.note = format!("{refusals} starts refused with the file, seed {}", chance.seed);
    trial.settle(&outcomes);
}
