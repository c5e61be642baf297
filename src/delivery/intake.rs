//! Records → open files, each record into the file of its partition or of its reason to be dead.

mod closing;
mod learned;
mod opener;

use std::ops::Range;
use std::sync::Arc;

pub(super) use self::opener::DEAD_LETTER_FORMAT;
pub use self::opener::Opener;
use super::backup::Content;
use super::classify::{COLUMNS, Classifier, Dead, Record};
use super::encode::dead_letter::DeadLetter;
use super::encode::{Payload, PushError};
use super::files::{Files, OpenFile, Position};
use super::judge::Judge;
use super::seal::{Origin, SealReason, Sealed, Series};
use super::settled::{Fate, Settled};
use super::sink::ObjectSink;
use super::status::Status;
use crate::config::checked;
use crate::config::limits::DEAD_FILES_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::stream::Slice;

/// Records whose files are looked for before the first of them is added to its own: enough that waiting for memory does
/// not show, and few enough that what was read is still in the innermost cache (at some 20 lines of 64 bytes a file).
const AHEAD_RECORDS: usize = 32;

/// How many records ahead payloads are fetched from memory.
const PREFETCH_RECORDS: usize = 4;

/// The part of a delivery that looks at records, under one configuration.
pub struct Intake {
    class: Classifier,
    config: Arc<checked::Delivery>,
    origin: Origin,
    sink: ObjectSink,
    opener: Opener,
    status: Arc<Status>,
    key: Vec<u8>,
    /// Keys of the records that are about to be taken.
    keys: Vec<u8>,
    line: String,
    broken: Option<String>,
    /// Of learned columns that may still grow.
    judge: Option<Judge>,
    /// Numbers of files whose encoders have failed.
    dropped: Vec<u64>,
}

/// What an [`Intake`] is made of.
pub struct Setting {
    /// The configuration.
    pub config: Arc<checked::Delivery>,
    /// Finds partitions by it.
    pub class: Classifier,
    /// Names its files.
    pub origin: Origin,
    /// Takes its files.
    pub sink: ObjectSink,
    /// Pays for them.
    pub budget: Arc<Budget>,
    /// Counts them.
    pub status: Arc<Status>,
}

/// What came of some records.
#[derive(Debug, Default)]
pub struct Taken {
    /// Files that were closed on the way.
    pub sealed: Vec<Sealed>,
    /// Records that an earlier process has delivered.
    pub known: u64,
    /// The record that does not fit learned columns, counted from the first, if other columns have room for it. Neither
    /// it nor anything behind it was taken.
    pub stopped_at: Option<usize>,
}

/// A record that is about to be taken.
struct Home<'a> {
    /// Counted from the first that is taken with it.
    index: usize,
    at: Record<'a>,
    /// Where its partition lies in [`Intake::keys`].
    key: Range<usize>,
    content: Result<Content<'a>, Dead>,
}

impl Intake {
    /// Nothing taken yet.
    pub fn new(setting: Setting) -> Self {
        let Setting { config, class, origin, sink, budget, status } = setting;
        let opener = Opener {
            format: config.format.clone(),
            extension: match &config.extension {
                Some(extension) => Arc::clone(extension),
                None => config.format.extension().into(),
            },
            sizes: sink.part_sizes(),
            interval: config.buffer.interval,
            dead_interval: config.dead_letters.buffer.interval,
            budget,
        };
        Self {
            class,
            config,
            origin,
            sink,
            opener,
            status,
            key: Vec::new(),
            keys: Vec::new(),
            line: String::new(),
            broken: None,
            judge: None,
            dropped: Vec::new(),
        }
    }

    /// Puts some records of `slice` into files: those at `part`, counted from the slice's first; but none that is
    /// `settled`.
    pub fn take(
        &mut self,
        shard: ShardId,
        slice: &Slice,
        part: Range<usize>,
        (files, settled): (&mut Files, Option<&Settled>),
    ) -> Taken {
        let mut taken = Taken::default();
        let mut coming = records(shard, slice, part).enumerate();
        let mut homes = Vec::with_capacity(AHEAD_RECORDS);
        while self.broken.is_none() && taken.stopped_at.is_none() {
            self.keys.clear();
            homes.extend(coming.by_ref().take(AHEAD_RECORDS).map(|(index, at)| self.find_home(index, at)));
            if homes.is_empty() {
                break;
            }
            files.look_ahead(homes.iter().filter_map(|home| self.keys.get(home.key.clone())));
            for home in homes.drain(..) {
                self.take_home(home, (files, settled), &mut taken);
                if self.broken.is_some() || taken.stopped_at.is_some() {
                    break;
                }
            }
        }
        taken
    }

    /// Puts a record into its file, unless it is settled.
    fn take_home(
        &mut self,
        home: Home<'_>,
        (files, settled): (&mut Files, Option<&Settled>),
        taken: &mut Taken,
    ) {
        let (index, at) = (home.index, home.at);
        if let Some(settled) =
            settled.filter(|settled| settled.may_have(at.position.shard, at.position.number))
        {
            match self.fate(at, settled) {
                Fate::Pending => {}
                Fate::Redone => return,
                Fate::Before => {
                    taken.known += 1;
                    return;
                }
            }
        }
        if let Err(mut dead) = self.take_record(home, files, &mut taken.sealed) {
            if self.judge.is_some() && dead.reason == COLUMNS && self.wants_columns(at, &mut dead) {
                taken.stopped_at = Some(index);
                return;
            }
            self.bury(at, &dead, files, &mut taken.sealed);
        }
    }

    /// Finds out where a record belongs, as far as that does not depend on columns.
    fn find_home<'a>(&mut self, index: usize, at: Record<'a>) -> Home<'a> {
        at.batch.prefetch(at.index + PREFETCH_RECORDS);
        let content = self.class.partition(at, &mut self.key);
        let begin = self.keys.len();
        self.keys.extend_from_slice(&self.key);
        Home { index, at, key: begin..self.keys.len(), content }
    }

    fn fate(&mut self, at: Record<'_>, settled: &Settled) -> Fate {
        self.class.home(at, &mut self.key);
        settled.fate(self.origin.series.epoch(), &self.key, at.position.shard, at.position.number)
    }

    fn take_record(
        &mut self,
        Home { at, key, content, .. }: Home<'_>,
        files: &mut Files,
        sealed: &mut Vec<Sealed>,
    ) -> Result<(), Dead> {
        let content = content?;
        self.key.clear();
        self.key.extend_from_slice(self.keys.get(key).unwrap_or_default());
        if !files.has(&self.key) {
            let file = match content {
                Content::Nothing => self.opener.open_passed(),
                Content::Text(_) | Content::Bytes(_) | Content::Wrapped(_) => {
                    let folder = self.class.folder(at);
                    self.make_room(files, sealed);
                    self.opener.open(files.len(), folder, None)
                }
            };
            files.insert(&self.key, file);
        }
        let payload = content.line(&mut self.line);
        match files.push(&self.key, at.row(payload), self.config.buffer.size_bytes) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.seal_full(files, sealed);
                Ok(())
            }
            Err(PushError::Misfit(misfit)) => Err(Dead { reason: COLUMNS, message: misfit.to_string() }),
            Err(PushError::Encode(error)) => {
                // The encoder is broken, not the record: what it held cannot be delivered any more, and says so.
                self.give_up(files, &error.to_string());
                if self.keeps_ledger() {
                    return Ok(());
                }
                Err(Dead { reason: "encoder", message: error.to_string() })
            }
        }
    }

    /// Closes the file of `self.key`, which has reached its size.
    fn seal_full(&mut self, files: &mut Files, sealed: &mut Vec<Sealed>) {
        let key = std::mem::take(&mut self.key);
        sealed.extend(self.seal(files, &key, SealReason::Size));
        self.key = key;
    }

    /// Closes the least recently used file if there are as many as there may be.
    fn make_room(&mut self, files: &mut Files, sealed: &mut Vec<Sealed>) {
        while files.len() - files.dead() >= self.config.open_partitions_max {
            let Some(key) = files.least_recently_used(false) else { return };
            sealed.extend(self.seal(files, &key, SealReason::Partitions));
        }
    }

    /// Opens files as this one does.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Puts a record into the dead letters of its reason.
    fn bury(&mut self, at: Record<'_>, dead: &Dead, files: &mut Files, sealed: &mut Vec<Sealed>) {
        self.class.dead_partition(dead.reason, at.position, &mut self.key);
        if !files.has(&self.key) {
            while files.dead() >= DEAD_FILES_MAX {
                let Some(key) = files.least_recently_used(true) else { break };
                sealed.extend(self.seal(files, &key, SealReason::Partitions));
            }
            let folder = self.class.dead_folder(dead.reason, at.position);
            let file = self.opener.open(files.len(), folder, Some(dead.reason.to_owned()));
            files.insert(&self.key, file);
        }
        self.write_letter(at, dead);
        match files.push(
            &self.key,
            at.row(Payload::Text(&self.line)),
            self.config.dead_letters.buffer.size_bytes,
        ) {
            Ok(false) => {}
            Ok(true) => self.seal_full(files, sealed),
            Err(error) => self.give_up(files, &error.to_string()),
        }
    }

    /// Makes `self.line` the dead letter of a record.
    fn write_letter(&mut self, at: Record<'_>, dead: &Dead) {
        let now = clock::wall();
        self.line.clear();
        DeadLetter {
            reason: dead.reason,
            message: &dead.message,
            attempts: 1,
            first_failed_at: now,
            failed_at: now,
            arrival_time: at.position.arrival,
            stream: &self.origin.stream,
            delivery: &self.origin.delivery,
            shard: at.position.shard,
            sequence_number: at.position.number,
            partition_key: &String::from_utf8_lossy(at.key()),
            raw: at.payload(),
        }
        .write_to(self.config.dead_letters.envelope, &mut self.line);
    }

    /// Puts a record into whichever of the files of `targets` has it by the ledger; it may be in none.
    pub fn redo(&mut self, at: Record<'_>, targets: &mut impl Targets) -> Result<(), PushError> {
        let have_misfits = targets.have_misfits();
        let dead = match self.class.partition(at, &mut self.key) {
            Err(dead) => dead,
            Ok(content) => match targets.file(&self.key, at.position) {
                Some(file) => match file.push(at.row(content.line(&mut self.line))) {
                    Err(PushError::Misfit(misfit)) => Dead { reason: COLUMNS, message: misfit.to_string() },
                    Err(error) => return Err(error),
                    Ok(()) => {
                        file.is_full(u64::MAX);
                        return Ok(());
                    }
                },
                None => match content {
                    Content::Text(payload) if have_misfits => match self.class.misfit(payload) {
                        Some(dead) => dead,
                        None => return Ok(()),
                    },
                    _ => return Ok(()),
                },
            },
        };
        self.class.dead_partition(dead.reason, at.position, &mut self.key);
        self.write_letter(at, &dead);
        if let Some(file) = targets.file(&self.key, at.position) {
            file.push(at.row(Payload::Text(&self.line)))?;
            file.is_full(u64::MAX);
        }
        Ok(())
    }

    /// Drops a file whose encoder has failed. Its records stay pending, which the balance shows. With a ledger nothing
    /// more may be taken, so that they are read again after the next start.
    fn give_up(&mut self, files: &mut Files, error: &str) {
        if let Some(file) = files.remove(&self.key) {
            self.dropped.extend(file.begun.map(|begun| begun.number));
            self.lost_encoder(file.records, error);
        }
    }

    fn lost_encoder(&mut self, records: u64, error: &str) {
        tracing::error!(
            stream = %self.origin.stream, delivery = %self.origin.delivery, records, error,
            "an encoder failed; the records of its file are not delivered"
        );
        if self.keeps_ledger() {
            self.broken = Some(error.to_owned());
        }
    }

    fn keeps_ledger(&self) -> bool {
        matches!(self.origin.series, Series::Epoch(_))
    }

    /// Why nothing more may be taken, if so.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Where its files go.
    pub fn sink(&self) -> &ObjectSink {
        &self.sink
    }

    /// Takes out the numbers of files that were dropped because their encoders have failed.
    pub fn take_dropped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dropped)
    }

    /// Number of the epoch that it takes records under.
    pub fn epoch(&self) -> u32 {
        self.origin.series.epoch()
    }
}

/// Files that are made once more.
pub trait Targets {
    /// The file that has the record at `position` of a partition.
    fn file(&mut self, partition: &[u8], position: Position) -> Option<&mut OpenFile>;

    /// Whether any takes dead letters that do not fit the columns.
    fn have_misfits(&self) -> bool;
}

/// The records of a slice at `part`, counted from its first.
pub fn records(shard: ShardId, slice: &Slice, part: Range<usize>) -> impl Iterator<Item = Record<'_>> {
    let batch = &*slice.batch;
    let arrival = batch.source.arrival;
    let end = part.end.min(slice.len());
    (part.start..end).map(move |offset| {
        let number = SequenceNumber(slice.first.0 + offset as u64);
        Record { batch, index: slice.skip + offset, position: Position { shard, number, arrival } }
    })
}
