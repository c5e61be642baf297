//! Proof that a delivery has lost nothing and doubled nothing, from what is on the disk and in the store.
//!
//! ```text
//! ledger ──▶ files, and which records each of them has ──┬──▶ are the objects there? are they whole?
//! log ─────▶ records, each with its partition ───────────┴──▶ is each record in exactly one file?
//! ```
//! The ledger and the log are read without a change; the server must not run meanwhile. Four questions:
//!
//! - **ledger**: can each entry follow those before it, over all files of its history? Do ranges of a partition
//!   overlap?
//! - **objects**: is each stored one there, with the size and the ETag that the store has confirmed, and with as many
//!   rows as it was closed with?
//! - **records**: is each record that the log has in one stored file, in one closed file that waits, or pending? And
//!   below the cursor, where the log may have let go of them: do the numbers balance?
//! - **lines**: where the log has all records of a file of JSON lines, are they its lines, in order? Are they the bytes
//!   of a raw file? For dead letters, are they of these records?

mod contents;
mod files;
mod lines;
mod objects;
mod records;
mod report;
mod sorter;
mod stored_log;
mod stretches;
pub mod unpack;
mod walk;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub use contents::Contents;
pub use report::{DeliveryReport, Finding, Kind};
pub use sorter::Sorter;
pub use stored_log::StoredLog;
pub use walk::{Held, Place, RecordSource};

use self::files::{File, Files};
use self::objects::{Look, Object};
use self::records::Seen;
use self::walk::{Span, Walk};
use super::backup::{self, RAW};
use super::classify::Record;
use super::encode::lines::Line;
use super::encode::{Payload, Row};
use super::files::Position;
use super::ledger::{Epoch, History, Seal};
use super::sink::ObjectSink;
use crate::config::limits::VERIFY_PASS_RECORDS;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::disk::Disk;
use crate::stream::CapturePlan;

/// What the text of an epoch means. Errors say in words what cannot be understood.
pub trait Epochs {
    /// The fields that records of an epoch are sorted by.
    fn captures(&mut self, epoch: &Epoch) -> Result<Arc<CapturePlan>, String>;

    /// Makes `key` the partition of a record. [`Epochs::captures`] was asked about its epoch, and the record's batch
    /// has those fields.
    fn home(&mut self, epoch: u32, place: Place<'_>, key: &mut Vec<u8>);

    /// What the object of a file of an epoch is inside.
    ///
    /// # Errors
    /// If the text of the epoch cannot be understood.
    fn contents(&mut self, epoch: &Epoch, seal: &Seal) -> Result<Contents, String>;

    /// Where the files of an epoch are.
    fn sink(&mut self, epoch: &Epoch) -> Result<ObjectSink, String>;
}

/// Is told how far it is.
pub trait Progress {
    /// Begins something that has `total` steps.
    fn begin(&self, what: &str, total: u64);
    /// Some of them are done.
    fn passed(&self, steps: u64);
}

/// What a delivery is verified with.
pub struct Evidence<'a> {
    /// Where the ledger is.
    pub disk: &'a dyn Disk,
    /// Its folder.
    pub ledger: &'a Path,
    /// The stream's log; `None` if it cannot be read, which somebody else has told.
    pub log: Option<&'a dyn RecordSource>,
    /// What epochs mean.
    pub epochs: &'a mut dyn Epochs,
    /// Whether objects are only looked up, and records only counted from the cursor on.
    pub quick: bool,
    /// Is told how far it is.
    pub progress: &'a dyn Progress,
}

/// Verifies delivery `delivery` of stream `stream`.
pub async fn verify(stream: &str, delivery: &str, evidence: Evidence<'_>) -> DeliveryReport {
    let mut report = DeliveryReport {
        stream: stream.to_owned(),
        delivery: delivery.to_owned(),
        ..DeliveryReport::default()
    };
    let Evidence { disk, ledger, log, epochs, quick, progress } = evidence;
    let files = History::open(disk, ledger)
        .and_then(|history| history.map(|history| Files::read(disk, &history, &mut report)).transpose());
    let mut files = match files {
        Ok(Some(files)) => files,
        Ok(None) => {
            begin_nowhere(log, &mut report);
            return report;
        }
        Err(error) => {
            report.find(Finding::new(Kind::Ledger, error.to_string()));
            return report;
        }
    };
    if !files.complete {
        report.objects_forgotten = files.begin.next_seal.saturating_sub(files.begin.open.len() as u64);
    }
    report.delivered = files.state.committed_records;
    report.dead_lettered = files.state.dead_records;
    report.passed_over = files.state.passed_records;
    let seen = match log {
        Some(log) => {
            let numbers = log.shards().iter().map(|held| held.next.0 - held.first.0).sum();
            progress.begin("sorting the records of the log", numbers);
            let mut walk = Walk { log, epochs, passed: &|numbers| progress.passed(numbers) };
            records::count(&mut files, &mut walk, quick, &mut report)
        }
        None => Seen::default(),
    };
    let mut inspection = Inspection { log, epochs, progress, quick };
    inspection.look_at_all(&mut files, &seen, &mut report).await;
    report
}

/// A delivery without a ledger has stored nothing.
fn begin_nowhere(log: Option<&dyn RecordSource>, report: &mut DeliveryReport) {
    let held = log.map(RecordSource::shards).unwrap_or_default();
    report.accepted = held.iter().map(|held| held.next.0 - held.first.0).sum();
    report.pending = report.accepted;
}

/// Looking at objects.
struct Inspection<'a> {
    log: Option<&'a dyn RecordSource>,
    epochs: &'a mut dyn Epochs,
    progress: &'a dyn Progress,
    quick: bool,
}

type Looks = HashMap<usize, Look>;

impl Inspection<'_> {
    async fn look_at_all(&mut self, files: &mut Files, seen: &Seen, report: &mut DeliveryReport) {
        let stored = |file: &File| file.commit.is_some() && file.has_object();
        let (compared, others) = if self.quick {
            (Vec::new(), (0..files.all.len()).collect())
        } else {
            self.comparable(files, seen)
        };
        let total = files.all.iter().filter(|file| stored(file)).count();
        self.progress.begin("looking at objects", total as u64);
        let look = if self.quick { || Look::Head } else { || Look::Count };
        self.look_at(files, others.into_iter().map(|file| (file, look())), report).await;
        let mut rest = compared.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(pass_of(files, rest));
            rest = later;
            let mut looks = match self.looks(files, now) {
                Ok(looks) => looks,
                Err(finding) => {
                    report.find(*finding);
                    Looks::new()
                }
            };
            let looks = now.iter().map(|file| (*file, looks.remove(file).unwrap_or(Look::Count)));
            self.look_at(files, looks, report).await;
        }
    }

    async fn look_at(
        &mut self,
        files: &Files,
        looks: impl Iterator<Item = (usize, Look)>,
        report: &mut DeliveryReport,
    ) {
        let mut sinks: HashMap<u32, Result<ObjectSink, String>> = HashMap::new();
        let mut unknown = Vec::new();
        let objects = looks.filter_map(|(file, look)| {
            let file = files.all.get(file).filter(|file| file.has_object())?;
            let (seal, records, commit) = (&file.seal, file.records(), file.commit.clone()?);
            let sink = sinks.entry(seal.epoch).or_insert_with(|| {
                let epoch = files.epoch(seal.epoch).ok_or_else(|| "its epoch is not known".to_owned())?;
                self.epochs.sink(epoch)
            });
            let known = match sink {
                Ok(sink) => contents_of(self.epochs, files, seal).map(|contents| (sink.clone(), contents)),
                Err(what) => Err(what.clone()),
            };
            match known {
                Ok((sink, contents)) => {
                    Some(Object { seal: seal.clone(), records, commit, sink, contents, look })
                }
                Err(what) => {
                    let finding =
                        Finding::new(Kind::Epoch, format!("the object cannot be looked at: {what}"));
                    unknown.push(finding.of_key(&seal.key));
                    None
                }
            }
        });
        objects::look_at(objects, &|objects| self.progress.passed(objects), report).await;
        unknown.into_iter().for_each(|finding| report.find(finding));
    }

    /// What the records of some files make in them, in order.
    fn looks(&mut self, files: &mut Files, wanted: &[usize]) -> Result<Looks, Box<Finding>> {
        let Some(log) = self.log else { return Ok(Looks::new()) };
        let (mut looks, mut lines) = (Looks::new(), HashMap::new());
        for &index in wanted {
            let Some(seal) = files.all.get(index).map(|file| &file.seal) else { continue };
            let contents = contents_of(self.epochs, files, seal);
            let contents = contents.map_err(|what| Box::new(Finding::new(Kind::Epoch, what)))?;
            let Contents::Lines { line, .. } = contents else { continue };
            lines.insert(index, line);
            looks.insert(
                index,
                match line {
                    Line::Json { .. } => Look::Compare(Vec::new()),
                    Line::Raw(_) => Look::Match(Vec::new()),
                },
            );
        }
        let mut walk = Walk { log, epochs: &mut *self.epochs, passed: &|_| {} };
        let (mut scratch, mut wrapped) = (Vec::new(), String::new());
        for span in spans(files, wanted) {
            walk.visit(files, span, &mut |files, (epoch, partition), place| {
                let at = (place.shard, place.number);
                let Some(file) = files.covering(epoch, partition, at).map(|covered| covered.file) else {
                    return;
                };
                let (Some(&line), Some(look)) = (lines.get(&file), looks.get_mut(&file)) else { return };
                if files.all.get(file).is_some_and(|file| file.seal.dead.is_some()) {
                    look.add_mark(place.shard, lines::mark_of_place(place.shard, place.number));
                } else if let Some(row) = row_of(place, partition, line, &mut wrapped) {
                    look.add_row(&row, line, &mut scratch);
                }
            })?;
        }
        Ok(looks)
    }

    /// Stored files whose lines can be compared with the log, and those where that cannot be done.
    fn comparable(&mut self, files: &Files, seen: &Seen) -> (Vec<usize>, Vec<usize>) {
        let has_lines = |file: &File| {
            let contents = contents_of(&mut *self.epochs, files, &file.seal);
            file.has_object() && matches!(contents, Ok(Contents::Lines { .. }))
        };
        let stored = files.all.iter().map(|file| file.commit.is_some());
        let mut fits: Vec<bool> = stored.zip(files.all.iter().map(has_lines)).map(|(a, b)| a && b).collect();
        for (_, covered) in files.ranges() {
            if (covered.met != covered.range.records || !seen.covers(&covered.range))
                && let Some(fits) = fits.get_mut(covered.file)
            {
                *fits = false;
            }
        }
        (0..files.all.len()).partition(|&file| fits.get(file).is_some_and(|fits| *fits))
    }
}

/// What an object is inside.
fn contents_of(epochs: &mut dyn Epochs, files: &Files, seal: &Seal) -> Result<Contents, String> {
    let epoch = files.epoch(seal.epoch).ok_or_else(|| "its epoch is not known".to_owned())?;
    epochs.contents(epoch, seal)
}

/// What the encoder was given of a record of a partition; `wrapped` is made where it is the line of a backup.
fn row_of<'a>(place: Place<'a>, partition: &[u8], line: Line, wrapped: &'a mut String) -> Option<Row<'a>> {
    let Place { batch, index, shard, number } = place;
    let position = Position { shard, number, arrival: batch.source.arrival };
    let record = Record { batch, index, position };
    Some(record.row(match line {
        Line::Raw(_) => Payload::Bytes(place.payload()),
        Line::Json { .. } if partition.first() == Some(&RAW) => backup::content(record).line(wrapped),
        // What is no text is among the dead letters.
        Line::Json { .. } => Payload::Text(std::str::from_utf8(place.payload()).ok()?),
    }))
}

/// How many of the next files fit into one pass over the log: at least one.
fn pass_of(files: &Files, next: &[usize]) -> usize {
    let mut records = 0;
    let fits = next.iter().take_while(|&&file| {
        records += files.all.get(file).map_or(0, |file| file.seal.records);
        records <= VERIFY_PASS_RECORDS
    });
    fits.count().max(1)
}

/// The parts of the log that have the records of some files.
fn spans(files: &Files, wanted: &[usize]) -> Vec<Span> {
    let mut spans: HashMap<ShardId, Span> = HashMap::new();
    let ranges = wanted.iter().filter_map(|&file| files.all.get(file)).flat_map(|file| &file.seal.ranges);
    for range in ranges {
        let to = SequenceNumber(range.last.0 + 1);
        let span = spans.entry(range.shard).or_insert(Span { shard: range.shard, from: range.first, to });
        span.from = span.from.min(range.first);
        span.to = span.to.max(to);
    }
    let mut spans: Vec<Span> = spans.into_values().collect();
    spans.sort_unstable_by_key(|span| span.shard);
    spans
}

#[cfg(test)]
mod tests;
