//! Which files of dead letters a delivery has: by its ledger, or by what lies below its error prefix.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;

use crate::config::checked::Delivery;
use crate::delivery::ledger::{Entry, Epoch, History, LedgerError, Seal};
use crate::delivery::sink::{ObjectSink, SinkError};
use crate::delivery::verify::Epochs;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;

/// How often a ledger is read that does not fit together: the node may be writing, or taking old files away.
const TRIES_MAX: u32 = 5;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A file of dead letters.
#[derive(Debug, Clone)]
pub struct DeadFile {
    /// Its stream.
    pub stream: String,
    /// Its delivery.
    pub delivery: String,
    /// Object key below the sink.
    pub key: String,
    /// The reason of all of its letters; `None` where only they can tell.
    pub reason: Option<String>,
    /// Letters in it; `None` where only they can tell.
    pub records: Option<u64>,
    /// Bytes as stored.
    pub bytes: u64,
    /// Arrival of its oldest record; `None` where only its letters can tell.
    pub oldest: Option<UnixMicros>,
    /// Where it is.
    pub sink: ObjectSink,
}

/// Why it is not known which files there are.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The configuration of that time cannot be understood, or its sink not opened.
    #[error("{0}")]
    Epoch(String),
    /// The store does not list them.
    #[error("the store cannot be listed: {0}")]
    Store(#[from] SinkError),
}

/// What a ledger tells of.
#[derive(Debug, Default)]
pub struct LedgerFiles {
    /// In the order in which they were closed.
    pub files: Vec<DeadFile>,
    /// Whether older ones are not in its history any more.
    pub has_forgotten: bool,
}

/// A committed file of dead letters.
struct Committed {
    seal: Seal,
    records: u64,
    bytes: u64,
}

/// What is gathered from a ledger: bounded by its history
/// ([`LEDGER_HISTORY_BYTES`](crate::config::limits::LEDGER_HISTORY_BYTES)).
#[derive(Default)]
struct Gathered {
    epochs: Vec<Epoch>,
    open: HashMap<u64, (Seal, u64)>,
    committed: Vec<Committed>,
    complete: bool,
}

impl LedgerFiles {
    /// Reads the ledger in `folder`, which the node may be writing to. `None` if there is none.
    ///
    /// # Errors
    /// If it is damaged, or tells of configurations that this version cannot read.
    pub fn read(
        disk: &dyn Disk,
        folder: &Path,
        (stream, delivery): (&str, &str),
        epochs: &mut dyn Epochs,
    ) -> Result<Option<Self>, FilesError> {
        let Some(gathered) = gather_patiently(disk, folder)? else { return Ok(None) };
        let mut sinks: HashMap<u32, ObjectSink> = HashMap::new();
        let mut files = Vec::with_capacity(gathered.committed.len());
        for Committed { seal, records, bytes } in gathered.committed {
            let sink = match sinks.get(&seal.epoch) {
                Some(sink) => sink.clone(),
                None => {
                    let epoch = gathered.epochs.iter().find(|epoch| epoch.number == seal.epoch);
                    let unknown =
                        || FilesError::Epoch(format!("the ledger does not tell epoch {}", seal.epoch));
                    let sink = epochs.sink(epoch.ok_or_else(unknown)?).map_err(FilesError::Epoch)?;
                    sinks.entry(seal.epoch).or_insert(sink).clone()
                }
            };
            files.push(DeadFile {
                stream: stream.to_owned(),
                delivery: delivery.to_owned(),
                key: seal.key,
                reason: seal.dead,
                records: Some(records),
                bytes,
                oldest: Some(seal.oldest),
                sink,
            });
        }
        Ok(Some(Self { files, has_forgotten: !gathered.complete }))
    }
}

fn gather_patiently(disk: &dyn Disk, folder: &Path) -> Result<Option<Gathered>, LedgerError> {
    for _ in 1..TRIES_MAX {
        match gather(disk, folder) {
            Err(_) => std::thread::sleep(PAUSE),
            well => return well,
        }
    }
    gather(disk, folder)
}

fn gather(disk: &dyn Disk, folder: &Path) -> Result<Option<Gathered>, LedgerError> {
    let Some(history) = History::open(disk, folder)? else { return Ok(None) };
    let begin = history.begin();
    let mut gathered =
        Gathered { epochs: begin.epochs.clone(), complete: history.is_complete(), ..Gathered::default() };
    for open in begin.open.values().filter(|open| open.seal.dead.is_some()) {
        gathered.open.insert(open.seal.number, (open.seal.clone(), open.records()));
    }
    history.read(disk, &mut |entry| gathered.take(entry))?;
    Ok(Some(gathered))
}

impl Gathered {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Epoch(epoch) => self.epochs.push(epoch),
            Entry::Seal(seal) if seal.dead.is_some() => {
                let records = seal.records;
                self.open.insert(seal.number, (seal, records));
            }
            Entry::Lost(lost) => {
                if let Some((seal, records)) = self.open.get_mut(&lost.number) {
                    let lost = lost.shards.iter().map(|(_, lost)| lost).sum();
                    *records = seal.records.saturating_sub(lost);
                }
            }
            Entry::Commit(commit) => {
                let file = self.open.remove(&commit.number);
                // One without a record is no object.
                if let Some((seal, records)) = file.filter(|(_, records)| *records > 0) {
                    self.committed.push(Committed { seal, records, bytes: commit.bytes });
                }
            }
            Entry::Seal(_)
            | Entry::Shards(_)
            | Entry::Begun(_)
            | Entry::Dropped(_)
            | Entry::Multipart(_)
            | Entry::Cursor(_)
            | Entry::Gap(_)
            | Entry::Snapshot(_) => {}
        }
    }
}

/// What lies below an error prefix.
#[derive(Debug, Default)]
pub struct Listing;

impl Listing {
    /// Files that look like dead letters of a delivery, in the order of their keys: for streams without a ledger, and
    /// for files that a ledger has forgotten. Where the error prefix begins with a field, files of records may be among
    /// them, whose lines are no letters.
    ///
    /// # Errors
    /// If the store does not list them, or has more than
    /// [`LISTED_OBJECTS_MAX`](crate::config::limits::LISTED_OBJECTS_MAX).
    pub fn read(
        sink: &ObjectSink,
        (stream, delivery): (&str, &Delivery),
        runtime: &Handle,
    ) -> Result<Vec<DeadFile>, FilesError> {
        let begin = format!("{stream}-{}-", delivery.name);
        let listed = runtime.block_on(sink.list(literal_folder(delivery.error_prefix.as_str())))?;
        let is_ours = |key: &str| {
            let name = key.rsplit('/').next().unwrap_or_default();
            name.starts_with(&begin) && name.ends_with(".json.gz")
        };
        let file = |(key, bytes): (String, u64)| DeadFile {
            stream: stream.to_owned(),
            delivery: delivery.name.clone(),
            key,
            reason: None,
            records: None,
            bytes,
            oldest: None,
            sink: sink.clone(),
        };
        let mut files: Vec<DeadFile> = listed.into_iter().filter(|(key, _)| is_ours(key)).map(file).collect();
        files.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(files)
    }
}

/// The folders that a template begins with before any field: `errors/` of `errors/{reason}/`.
fn literal_folder(template: &str) -> &str {
    let literal = template.split('{').next().unwrap_or_default();
    literal.rsplit_once('/').map_or("", |(folder, _)| &literal[..=folder.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_before_the_first_field_is_looked_into() {
        for (template, folder) in [
            ("errors/{reason}/", "errors/"),
            ("a/b/dt={arrival_time:%Y}/{reason}/", "a/b/"),
            ("{reason}/", ""),
            ("errors/!{firehose:error-output-type}/", "errors/"),
            ("letters/", "letters/"),
            ("", ""),
        ] {
            assert_eq!(literal_folder(template), folder, "{template}");
        }
    }
}
