//! Which files of dead letters a delivery has: by its ledger, or by what lies below its error prefix.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::filter::Filter;
use super::patience::Patience;
use crate::config::checked::Delivery;
use crate::delivery::ledger::{Entry, Epoch, History, LedgerError, Seal};
use crate::delivery::sink::{ObjectSink, SinkError};
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
    /// Its number in the ledger; `None` if a listing has found it.
    pub number: Option<u64>,
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
    /// In the order in which they were stored.
    pub files: Vec<DeadFile>,
    /// Whether there are others behind them.
    pub has_more: bool,
    /// Whether older ones are not in its history any more.
    pub has_forgotten: bool,
}

/// Which files of a ledger are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Those that may have letters that it means.
    pub filter: &'a Filter,
    /// Those that were stored behind the one of this number, or from it on.
    pub after: Option<(u64, From)>,
    /// So many of them.
    pub files_max: usize,
}

/// Whether a file itself is wanted, or what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// It has letters that were not looked at.
    It,
    /// It has none.
    Behind,
}

/// A stored file of dead letters.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What it was closed with.
    pub seal: Seal,
    /// Letters in it.
    pub records: u64,
    /// Bytes as stored.
    pub bytes: u64,
}

/// Takes the files that a ledger tells of, one by one, in the order in which they were stored.
trait Collect: Clone {
    fn take(&mut self, file: Committed);
}

/// What is gathered from a ledger: bounded by its history
/// ([`LEDGER_HISTORY_BYTES`](crate::config::limits::LEDGER_HISTORY_BYTES)), and by what is kept of it.
struct Gathered<C> {
    epochs: Vec<Epoch>,
    open: HashMap<u64, (Seal, u64)>,
    committed: C,
    complete: bool,
}

/// The files of a choice.
#[derive(Debug, Clone)]
struct Chosen<'a> {
    choice: Choice<'a>,
    files: Vec<Committed>,
    has_more: bool,
}

impl Collect for Chosen<'_> {
    fn take(&mut self, file: Committed) {
        let Choice { filter, after, files_max } = self.choice;
        match after {
            // What was stored before it has been looked at. Where it is forgotten, so is what was stored before.
            Some((number, from)) if number == file.seal.number => {
                (self.files, self.has_more) = (Vec::new(), false);
                if from == From::Behind {
                    return;
                }
            }
            _ => {}
        }
        let is_later = filter.until.is_some_and(|until| file.seal.oldest >= until);
        if is_later || !file.seal.dead.as_deref().is_none_or(|reason| filter.takes_reason(reason)) {
            return;
        }
        if self.files.len() < files_max {
            self.files.push(file);
        } else {
            self.has_more = true;
        }
    }
}

/// Tells each file to somebody who only counts.
#[derive(Clone)]
struct Counted<T, F> {
    counts: T,
    count: F,
}

impl<T: Clone, F: Fn(&mut T, Committed) + Clone> Collect for Counted<T, F> {
    fn take(&mut self, file: Committed) {
        (self.count)(&mut self.counts, file);
    }
}

impl LedgerFiles {
    /// Reads the ledger in `folder`, which the node may be writing to; `sink_of` tells where files of an epoch are, or in
    /// words why not. `None` if there is no ledger.
    ///
    /// # Errors
    /// If it is damaged, or tells of configurations that this version cannot read.
    pub fn read(
        disk: &dyn Disk,
        folder: &Path,
        (stream, delivery): (&str, &str),
        choice: Choice<'_>,
        sink_of: &mut dyn FnMut(&Epoch) -> Result<ObjectSink, String>,
    ) -> Result<Option<Self>, FilesError> {
        let chosen = Chosen { choice, files: Vec::new(), has_more: false };
        let Some(gathered) = gather_patiently(disk, folder, &chosen)? else { return Ok(None) };
        let mut sinks: HashMap<u32, ObjectSink> = HashMap::new();
        let Chosen { files: committed, has_more, .. } = gathered.committed;
        let mut files = Vec::with_capacity(committed.len());
        for Committed { seal, records, bytes } in committed {
            let sink = match sinks.get(&seal.epoch) {
                Some(sink) => sink.clone(),
                None => {
                    let epoch = gathered.epochs.iter().find(|epoch| epoch.number == seal.epoch);
                    let unknown =
                        || FilesError::Epoch(format!("the ledger does not tell epoch {}", seal.epoch));
                    let sink = sink_of(epoch.ok_or_else(unknown)?).map_err(FilesError::Epoch)?;
                    sinks.entry(seal.epoch).or_insert(sink).clone()
                }
            };
            files.push(DeadFile {
                stream: stream.to_owned(),
                delivery: delivery.to_owned(),
                key: seal.key,
                number: Some(seal.number),
                reason: seal.dead,
                records: Some(records),
                bytes,
                oldest: Some(seal.oldest),
                sink,
            });
        }
        Ok(Some(Self { files, has_more, has_forgotten: !gathered.complete }))
    }

    /// Has each file that the ledger in `folder` tells of counted, and keeps none. Returns the counts, and whether older
    /// ones are not in its history any more; `None` if there is no ledger.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn count<T: Clone>(
        disk: &dyn Disk,
        folder: &Path,
        none: &T,
        count: impl Fn(&mut T, Committed) + Clone,
    ) -> Result<Option<(T, bool)>, FilesError> {
        let counted = Counted { counts: none.clone(), count };
        let gathered = gather_patiently(disk, folder, &counted)?;
        Ok(gathered.map(|gathered| (gathered.committed.counts, !gathered.complete)))
    }
}

fn gather_patiently<C: Collect>(
    disk: &dyn Disk,
    folder: &Path,
    none: &C,
) -> Result<Option<Gathered<C>>, LedgerError> {
    for _ in 1..TRIES_MAX {
        match gather(disk, folder, none.clone()) {
            Err(_) => std::thread::sleep(PAUSE),
            well => return well,
        }
    }
    gather(disk, folder, none.clone())
}

fn gather<C: Collect>(
    disk: &dyn Disk,
    folder: &Path,
    committed: C,
) -> Result<Option<Gathered<C>>, LedgerError> {
    let Some(history) = History::open(disk, folder)? else { return Ok(None) };
    let begin = history.begin();
    let (epochs, complete) = (begin.epochs.clone(), history.is_complete());
    let mut gathered = Gathered { epochs, open: HashMap::new(), committed, complete };
    for open in begin.open.values().filter(|open| open.seal.dead.is_some()) {
        gathered.open.insert(open.seal.number, (open.seal.clone(), open.records()));
    }
    history.read(disk, &mut |entry| gathered.take(entry))?;
    Ok(Some(gathered))
}

impl<C: Collect> Gathered<C> {
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
                    self.committed.take(Committed { seal, records, bytes: commit.bytes });
                }
            }
            Entry::Seal(_)
            | Entry::Shards(_)
            | Entry::Begun(_)
            | Entry::Dropped(_)
            | Entry::Multipart(_)
            | Entry::Cursor(_)
            | Entry::Gap(_)
            | Entry::Generation(_)
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
    /// If the store does not list them, or has more than `objects_max`.
    pub fn read(
        sink: &ObjectSink,
        (stream, delivery): (&str, &Delivery),
        objects_max: usize,
        patience: &Patience,
    ) -> Result<Vec<DeadFile>, FilesError> {
        let begin = format!("{stream}-{}-", delivery.name);
        let folder = literal_folder(delivery.error_prefix.as_str());
        let listed = patience.ask(async || sink.list(folder, objects_max).await)?;
        let is_ours = |key: &str| {
            let name = key.rsplit('/').next().unwrap_or_default();
            name.starts_with(&begin) && name.ends_with(".json.gz")
        };
        let file = |(key, bytes): (String, u64)| DeadFile {
            stream: stream.to_owned(),
            delivery: delivery.name.clone(),
            key,
            number: None,
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

    fn stored(number: u64, reason: &str) -> Committed {
        let seal = Seal {
            number,
            epoch: 1,
            partition: Vec::new(),
            folder: String::new(),
            ranges: Vec::new(),
            records: 1,
            key: number.to_string(),
            guard: None,
            dead: Some(reason.to_owned()),
            passed: false,
            reason: "interval".to_owned(),
            oldest: UnixMicros(0),
        };
        Committed { seal, records: 1, bytes: 1 }
    }

    #[test]
    fn reading_goes_on_behind_a_file_in_the_order_of_storing_and_at_the_oldest_where_it_is_forgotten() {
        let files = [(3, "json"), (1, "schema"), (4, "schema"), (2, "schema")];
        let schema = Filter { reasons: vec!["schema".to_owned()], ..Filter::default() };
        let choose = |filter: &Filter, after, files_max| {
            let choice = Choice { filter, after, files_max };
            let mut chosen = Chosen { choice, files: Vec::new(), has_more: false };
            files.iter().for_each(|(number, reason)| chosen.take(stored(*number, reason)));
            let numbers: Vec<_> = chosen.files.iter().map(|file| file.seal.number).collect();
            (numbers, chosen.has_more)
        };
        let all = Filter::default();
        assert_eq!(choose(&all, None, 9), (vec![3, 1, 4, 2], false));
        assert_eq!(choose(&all, None, 3), (vec![3, 1, 4], true));
        assert_eq!(choose(&all, Some((1, From::Behind)), 1), (vec![4], true));
        assert_eq!(choose(&all, Some((1, From::It)), 9), (vec![1, 4, 2], false));
        assert_eq!(choose(&all, Some((2, From::Behind)), 1), (vec![], false));
        assert_eq!(choose(&all, Some((9, From::Behind)), 9), (vec![3, 1, 4, 2], false));
        assert_eq!(choose(&schema, Some((3, From::It)), 9), (vec![1, 4, 2], false));
        assert_eq!(choose(&schema, None, 2), (vec![1, 4], true));
    }
}
