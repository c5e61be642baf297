//! Records → open files, each record into the file of its partition or of its reason to be dead.

mod learned;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::backup::Content;
use super::classify::{COLUMNS, Classifier, Dead, Record};
use super::encode::dead_letter::DeadLetter;
use super::encode::passed::PassedOver;
use super::encode::{self, PushError};
use super::files::{BegunFile, Files, OpenFile, Opening, Position};
use super::judge::Judge;
use super::ledger::{Seal, SealedRange};
use super::seal::{self, Origin, SealReason, Sealed, Series};
use super::settled::{Fate, Settled};
use super::sink::{ObjectSink, PartSizes};
use super::status::Status;
use crate::config::checked::{self, Format, JsonCompression, JsonFormat};
use crate::config::limits::DEAD_FILES_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::stream::Slice;

/// Dead letters are few and read by people: the fastest level will do.
const DEAD_LETTER_FORMAT: Format =
    Format::Json(JsonFormat { compression: JsonCompression::Gzip { level: 1 }, envelope: false });

/// The part of a delivery that looks at records, under one configuration.
pub struct Intake {
    class: Classifier,
    config: Arc<checked::Delivery>,
    origin: Origin,
    sink: ObjectSink,
    opener: Opener,
    status: Arc<Status>,
    key: Vec<u8>,
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

/// Opens files of one configuration.
#[derive(Debug, Clone)]
pub struct Opener {
    format: Format,
    sizes: Option<PartSizes>,
    /// How old a file gets.
    interval: Duration,
    /// How old a file of dead letters gets.
    dead_interval: Duration,
    budget: Arc<Budget>,
}

impl Opener {
    /// An empty file for what is passed over, which becomes no object.
    fn open_passed(&self) -> OpenFile {
        let opened = clock::monotonic();
        OpenFile::new(Opening {
            folder: String::new(),
            extension: "",
            dead: None,
            passed: true,
            encoder: Box::new(PassedOver),
            permit: self.budget.take_anyway(0),
            opened,
            sizes: None,
            due: opened + self.interval,
        })
    }

    /// The file of a seal once more, empty.
    pub fn open_again(&self, seal: &Seal) -> OpenFile {
        match seal.passed {
            true => self.open_passed(),
            false => self.open(seal.folder.clone(), seal.dead.clone()),
        }
    }

    /// An empty file; `dead` is the reason if it is for dead letters.
    pub fn open(&self, folder: String, dead: Option<String>) -> OpenFile {
        let (format, interval) = match dead {
            Some(_) => (&DEAD_LETTER_FORMAT, self.dead_interval),
            None => (&self.format, self.interval),
        };
        let opened = clock::monotonic();
        OpenFile::new(Opening {
            folder,
            extension: format.extension(),
            dead,
            passed: false,
            encoder: encode::open(format),
            permit: self.budget.take_anyway(0),
            sizes: self.sizes,
            opened,
            due: opened + interval,
        })
    }
}

/// What came of some records.
#[derive(Debug, Default)]
pub struct Taken {
    /// Files that were closed on the way.
    pub sealed: Vec<Sealed>,
    /// Records that an earlier process has delivered.
    pub known: u64,
    /// The record that does not fit learned columns, counted from the first, if other columns have room for it. Neither it
    /// nor anything behind it was taken.
    pub stopped_at: Option<usize>,
}

impl Intake {
    /// Nothing taken yet.
    pub fn new(setting: Setting) -> Self {
        let Setting { config, class, origin, sink, budget, status } = setting;
        let opener = Opener {
            format: config.format.clone(),
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
        for (index, at) in records(shard, slice, part).enumerate() {
            if let Some(settled) = settled.filter(|settled| settled.may_have(shard, at.position.number)) {
                match self.fate(at, settled) {
                    Fate::Pending => {}
                    Fate::Redone => continue,
                    Fate::Before => {
                        taken.known += 1;
                        continue;
                    }
                }
            }
            if let Err(mut dead) = self.take_record(at, files, &mut taken.sealed) {
                if self.judge.is_some() && dead.reason == COLUMNS && self.wants_columns(at, &mut dead) {
                    taken.stopped_at = Some(index);
                    break;
                }
                self.bury(at, &dead, files, &mut taken.sealed);
            }
            if self.broken.is_some() {
                break;
            }
        }
        taken
    }

    fn fate(&mut self, at: Record<'_>, settled: &Settled) -> Fate {
        self.class.home(at, &mut self.key);
        settled.fate(self.origin.series.epoch(), &self.key, at.position.shard, at.position.number)
    }

    fn take_record(
        &mut self,
        at: Record<'_>,
        files: &mut Files,
        sealed: &mut Vec<Sealed>,
    ) -> Result<(), Dead> {
        let content = self.class.partition(at, &mut self.key)?;
        if !files.has(&self.key) {
            let file = match content {
                Content::Nothing => self.opener.open_passed(),
                Content::Text(_) | Content::Wrapped(_) => {
                    let folder = self.class.folder(at);
                    self.make_room(files, sealed);
                    self.opener.open(folder, None)
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
            let file = self.opener.open(folder, Some(dead.reason.to_owned()));
            files.insert(&self.key, file);
        }
        self.write_letter(at, dead);
        match files.push(&self.key, at.row(&self.line), self.config.dead_letters.buffer.size_bytes) {
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
            file.push(at.row(&self.line))?;
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

    /// Who has stored the object of a seal: see [`Origin::identity`].
    pub fn identity(&self, seal: &Seal) -> String {
        let guard = seal.guard.unwrap_or_else(|| seal::guard(&seal.ranges));
        self.origin.identity(seal.number, guard)
    }

    /// How a file with this number is called that is not closed yet, and who will have stored its object.
    pub fn begin(&self, number: u64, file: &OpenFile) -> (BegunFile, String) {
        let guard = seal::guard_so_far(file.ranges.as_slice(), clock::wall());
        let key = self.origin.key(number, guard, &file.folder, file.extension);
        (BegunFile { number, key, guard }, self.origin.identity(number, guard))
    }

    /// Takes out the numbers of files that were dropped because their encoders have failed.
    pub fn take_dropped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dropped)
    }

    /// Number of the epoch that it takes records under.
    pub fn epoch(&self) -> u32 {
        self.origin.series.epoch()
    }

    /// Closes the file of `key`: `None` if there is none, or if nothing is in it because no record has fitted yet.
    pub fn seal(&mut self, files: &mut Files, key: &[u8], reason: SealReason) -> Option<Sealed> {
        let mut file = files.remove(key).filter(|file| file.records > 0)?;
        let ranges = std::mem::take(&mut file.ranges).into_vec();
        let begun = file.begun.take();
        let guard = begun.as_ref().map(|begun| begun.guard);
        let passed = file.passed;
        let (number, key_of_object) = match begun {
            Some(BegunFile { number, key, .. }) => (number, key),
            None if passed => (files.next_number(), String::new()),
            None => {
                let number = files.next_number();
                let guard = seal::guard(&ranges);
                (number, self.origin.key(number, guard, &file.folder, file.extension))
            }
        };
        let seal = Seal {
            number,
            epoch: self.origin.series.epoch(),
            partition: key.to_vec(),
            folder: file.folder.clone(),
            records: file.records,
            key: key_of_object,
            guard,
            ranges,
            dead: file.dead.clone(),
            passed,
            reason: reason.as_str().to_owned(),
            oldest: file.oldest,
        };
        let sealed = self.finish(seal, file, None)?;
        if !passed {
            self.status.sealed(reason);
        }
        let Seal { key, records, reason, .. } = &sealed.seal;
        tracing::debug!(stream = %self.origin.stream, delivery = %self.origin.delivery, key, records, reason, "sealed");
        Some(sealed)
    }

    /// What a file tells of itself: all of it follows from what is in it, so that a file that is made once more is the
    /// same.
    fn metadata(&self, seal: &Seal) -> Vec<(String, String)> {
        let Origin { stream, delivery, .. } = &self.origin;
        let mut metadata = vec![
            ("forebay.stream".to_owned(), stream.to_string()),
            ("forebay.delivery".to_owned(), delivery.to_string()),
            ("forebay.ranges".to_owned(), ranges_text(&seal.ranges)),
            ("forebay.writer".to_owned(), concat!("forebay ", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let version = self.config.format.columns().and_then(|columns| columns.version());
        metadata.extend(version.map(|version| ("forebay.schema_version".to_owned(), version.to_string())));
        metadata
    }

    /// Closes a file as `seal`. `leftovers` are uploads in parts that an earlier process has noted for it; `None` if
    /// none has closed it.
    pub fn finish(&mut self, seal: Seal, file: OpenFile, leftovers: Option<Vec<String>>) -> Option<Sealed> {
        match file.finish(&self.metadata(&seal)) {
            Ok((chunks, permit)) => {
                let identity = self.identity(&seal);
                let sink = self.sink.clone();
                Some(Sealed { seal, identity, chunks, sink, leftovers, permit })
            }
            Err(error) => {
                self.dropped.push(seal.number);
                self.lost_encoder(seal.records, &error.to_string());
                None
            }
        }
    }
}

/// `[{"shard":"shardId-000000000000","first":"1","last":"9","records":9}]`. Sequence numbers are strings, because a JSON
/// number is exact only to 2⁵³.
fn ranges_text(ranges: &[SealedRange]) -> String {
    let range = |range: &SealedRange| {
        let SealedRange { shard, first, last, records } = range;
        format!("{{\"shard\":\"{shard}\",\"first\":\"{first}\",\"last\":\"{last}\",\"records\":{records}}}")
    };
    format!("[{}]", ranges.iter().map(range).collect::<Vec<_>>().join(","))
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
