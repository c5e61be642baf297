//! What is in the lake so far: files are read as they come, each once, since none ever changes.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use forebay_load::manifest::Manifest;
use serde::Deserialize;

use crate::load;

/// See the module.
#[derive(Default)]
pub struct Arrived {
    files: HashSet<OsString>,
    /// By producer.
    records: HashMap<String, HashSet<u64>>,
}

/// What a record of the load generator is told by. Others have neither.
#[derive(Deserialize)]
struct Record {
    producer: Option<String>,
    sequence: Option<u64>,
}

impl Arrived {
    /// Reads the files of a folder that were not there the last time.
    pub fn look(&mut self, lake: &Path) {
        for entry in std::fs::read_dir(lake).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            // Hidden ones are being written.
            if name.as_encoded_bytes().starts_with(b".") || self.files.contains(&name) {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for line in text.lines() {
                let record: Record = serde_json::from_str(line).unwrap();
                if let (Some(producer), Some(sequence)) = (record.producer, record.sequence) {
                    self.records.entry(producer).or_default().insert(sequence);
                }
            }
            self.files.insert(name);
        }
    }

    /// How many of the acked records of a run were not seen.
    pub fn misses(&self, manifest: &Manifest) -> u64 {
        load::missing(manifest, |producer, sequence| {
            self.records.get(producer).is_some_and(|there| there.contains(&sequence))
        })
    }
}
