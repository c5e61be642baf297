//! Records → open files, each record into the file of its partition or of its reason to be dead.

use std::ops::Range;
use std::sync::Arc;

use super::encode::dead_letter::DeadLetter;
use super::encode::{self, PushError};
use super::files::{Files, OpenFile, Opening, Position};
use super::prefix::{PartitionError, RecordFacts};
use super::seal::{SealId, SealReason, Sealed};
use super::status::Status;
use super::{Parts, Slots};
use crate::config::checked::{self, Format, JsonCompression};
use crate::config::limits::DEAD_FILES_MAX;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::{self, UnixMicros};
use crate::schema::timestamp;
use crate::stream::Slice;

/// Dead letters are few and read by people: the fastest level will do.
const DEAD_LETTER_FORMAT: Format = Format::Json { compression: JsonCompression::Gzip { level: 1 } };

/// First byte of the key of a file that takes dead letters; a record's partition begins with [`RECORDS`].
const DEAD: u8 = 1;
const RECORDS: u8 = 0;

/// The part of a delivery that looks at records.
pub struct Intake {
    config: checked::Delivery,
    stream: Arc<str>,
    slots: Slots,
    budget: Arc<Budget>,
    status: Arc<Status>,
    epoch: u64,
    seals: u64,
    key: Vec<u8>,
    line: String,
}

/// A record and where it stands.
#[derive(Clone, Copy)]
struct Record<'a> {
    batch: &'a Batch,
    /// In the batch.
    index: usize,
    position: Position,
}

/// Why a record cannot go into a file.
struct Dead {
    reason: &'static str,
    message: String,
}

type SealedFiles = Vec<(u64, Sealed)>;

impl Intake {
    /// Nothing taken yet.
    pub fn new(parts: &Parts) -> Self {
        Self {
            config: parts.config.clone(),
            stream: Arc::clone(parts.stream.name()),
            slots: parts.slots.clone(),
            budget: Arc::clone(&parts.budget),
            status: Arc::clone(&parts.status),
            epoch: parts.epoch,
            seals: 0,
            key: Vec::new(),
            line: String::new(),
        }
    }

    /// Puts some records of `slice` into files: those at `part`, counted from the slice's first. Returns the files
    /// that were closed on the way.
    pub fn take(
        &mut self,
        shard: ShardId,
        slice: &Slice,
        part: Range<usize>,
        files: &mut Files,
    ) -> SealedFiles {
        let mut sealed = Vec::new();
        let batch = &*slice.batch;
        for offset in part {
            let number = SequenceNumber(slice.first.0 + offset as u64);
            let position = Position { shard, number, arrival: batch.source.arrival };
            let Some(record) = batch.records.get(slice.skip + offset) else { break };
            let at = Record { batch, index: slice.skip + offset, position };
            let result = if record.refusal.is_present() {
                Err(refused_at_the_edge(batch.source.bytes(record.refusal)))
            } else {
                self.take_record(at, files, &mut sealed)
            };
            if let Err(dead) = result {
                self.bury(at, &dead, files, &mut sealed);
            }
        }
        sealed
    }

    fn take_record(
        &mut self,
        at: Record<'_>,
        files: &mut Files,
        sealed: &mut SealedFiles,
    ) -> Result<(), Dead> {
        let Record { batch, index, position } = at;
        let not_text = |_| Dead { reason: "json", message: "the record is not UTF-8".to_owned() };
        let payload =
            std::str::from_utf8(batch.source.bytes(batch.records[index].payload)).map_err(not_text)?;
        let event_time = self.event_time(batch, index)?;
        self.key.clear();
        self.key.push(RECORDS);
        self.with_facts(at, event_time, |config, facts, key| config.prefix.partition_key(facts, key))?;
        if files.get(&self.key).is_none() {
            let folder = self.with_facts(at, event_time, |config, facts, _| config.prefix.render(facts))?;
            self.make_room(files, sealed);
            let file = self.open(folder, None);
            files.insert(&self.key, file);
        }
        let Some(file) = files.get(&self.key) else { return Ok(()) };
        match file.push(payload, position) {
            Ok(()) => {
                if file.is_full(self.config.buffer.size_bytes) {
                    self.seal_full(files, sealed);
                }
                Ok(())
            }
            Err(PushError::Misfit(misfit)) => Err(Dead { reason: "columns", message: misfit.to_string() }),
            Err(PushError::Encode(error)) => {
                // The encoder is broken, not the record: what it held cannot be delivered any more, and says so.
                self.give_up(files, &error.to_string());
                Err(Dead { reason: "encoder", message: error.to_string() })
            }
        }
    }

    /// Closes the file of `self.key`, which has reached its size.
    fn seal_full(&mut self, files: &mut Files, sealed: &mut SealedFiles) {
        let key = std::mem::take(&mut self.key);
        sealed.extend(self.seal(files, &key, SealReason::Size));
        self.key = key;
    }

    /// Closes the least recently used file if there are as many as there may be.
    fn make_room(&mut self, files: &mut Files, sealed: &mut SealedFiles) {
        while files.len() - files.dead() >= self.config.open_partitions_max {
            let Some(key) = files.least_recently_used(false) else { return };
            sealed.extend(self.seal(files, &key, SealReason::Partitions));
        }
    }

    fn event_time(&self, batch: &Batch, index: usize) -> Result<Option<UnixMicros>, Dead> {
        let Some(slot) = self.slots.event_time else { return Ok(None) };
        let raw = captured(batch, index, slot);
        match raw.and_then(timestamp::event_time) {
            Some(time) => Ok(Some(time)),
            None => {
                let field = self.config.event_time.as_ref().map(ToString::to_string).unwrap_or_default();
                let found = raw.map_or_else(|| "nothing".to_owned(), |raw| raw.chars().take(60).collect());
                let message = format!("{field}: expected an RFC 3339 time or an epoch number, got {found}");
                Err(Dead { reason: "event_time", message })
            }
        }
    }

    /// Calls `ask` with what the prefix may use of the record.
    fn with_facts<T>(
        &mut self,
        at: Record<'_>,
        event_time: Option<UnixMicros>,
        ask: impl FnOnce(&checked::Delivery, &RecordFacts<'_>, &mut Vec<u8>) -> Result<T, PartitionError>,
    ) -> Result<T, Dead> {
        let Record { batch, index, position } = at;
        let prefix = &self.slots.prefix;
        let pointer_values = |field: usize| prefix.get(field).and_then(|&slot| captured(batch, index, slot));
        let facts = RecordFacts {
            stream: &self.stream,
            delivery: &self.config.name,
            shard: position.shard,
            arrival: position.arrival,
            event_time,
            pointer_values: &pointer_values,
            reason: "",
        };
        ask(&self.config, &facts, &mut self.key)
            .map_err(|error| Dead { reason: error.code(), message: error.to_string() })
    }

    fn open(&self, folder: String, dead: Option<String>) -> OpenFile {
        let format = if dead.is_some() { &DEAD_LETTER_FORMAT } else { &self.config.format };
        let metadata = vec![
            ("forebay.stream".to_owned(), self.stream.to_string()),
            ("forebay.delivery".to_owned(), self.config.name.clone()),
        ];
        OpenFile::new(Opening {
            folder,
            extension: extension(format),
            dead,
            encoder: encode::open(format, metadata),
            permit: self.budget.take_anyway(0),
            opened: clock::monotonic(),
        })
    }

    /// Puts a record into the dead letters of its reason.
    fn bury(&mut self, at: Record<'_>, dead: &Dead, files: &mut Files, sealed: &mut SealedFiles) {
        let Record { batch, index, position } = at;
        let record = &batch.records[index];
        let now = clock::wall();
        self.line.clear();
        DeadLetter {
            reason: dead.reason,
            message: &dead.message,
            attempts: 1,
            first_failed_at: now,
            failed_at: now,
            arrival_time: position.arrival,
            stream: &self.stream,
            delivery: &self.config.name,
            shard: position.shard,
            sequence_number: position.number,
            partition_key: &String::from_utf8_lossy(batch.source.bytes(record.key)),
            raw: batch.source.bytes(record.payload),
        }
        .write_to(&mut self.line);
        let folder = self.dead_partition(dead.reason, position);
        if files.get(&self.key).is_none() {
            while files.dead() >= DEAD_FILES_MAX {
                let Some(key) = files.least_recently_used(true) else { break };
                sealed.extend(self.seal(files, &key, SealReason::Partitions));
            }
            let file = self.open(folder, Some(dead.reason.to_owned()));
            files.insert(&self.key, file);
        }
        let Some(file) = files.get(&self.key) else { return };
        if let Err(error) = file.push(&self.line, position) {
            self.give_up(files, &error.to_string());
            return;
        }
        if file.is_full(self.config.buffer.size_bytes) {
            self.seal_full(files, sealed);
        }
    }

    /// Makes `self.key` that of the dead letters that the record belongs to, and returns their folder. The error prefix
    /// may use the reason and the arrival, but no field of a record, which may lack it.
    fn dead_partition(&mut self, reason: &str, position: Position) -> String {
        let facts = RecordFacts {
            stream: &self.stream,
            delivery: &self.config.name,
            shard: position.shard,
            arrival: position.arrival,
            event_time: None,
            pointer_values: &|_| None,
            reason,
        };
        self.key.clear();
        self.key.push(DEAD);
        self.key.extend_from_slice(reason.as_bytes());
        self.key.push(0);
        let prefix = &self.config.error_prefix;
        let folder = prefix.partition_key(&facts, &mut self.key).and_then(|()| prefix.render(&facts));
        // Only a clock outside the years 0 to 9999 leads here.
        folder.unwrap_or_else(|_| format!("errors/{reason}/"))
    }

    /// Drops a file whose encoder has failed. Its records stay pending for ever, which the balance shows.
    fn give_up(&self, files: &mut Files, error: &str) {
        if let Some(file) = files.remove(&self.key) {
            tracing::error!(
                stream = %self.stream, delivery = self.config.name, records = file.records, error,
                "an encoder failed; the records of its file are not delivered"
            );
        }
    }

    /// Closes the file of `key`: `None` if there is none, or if nothing is in it because no record has fitted yet.
    pub fn seal(&mut self, files: &mut Files, key: &[u8], reason: SealReason) -> Option<(u64, Sealed)> {
        let file = files.remove(key).filter(|file| file.records > 0)?;
        let number = self.seals;
        self.seals += 1;
        let (stream, delivery) = (&*self.stream, self.config.name.as_str());
        let id = SealId { stream, delivery, epoch: self.epoch, number, ranges: &file.ranges };
        let key = id.key(&file.folder, file.extension);
        let (records, oldest, dead) = (file.records, file.oldest, file.dead.clone());
        match file.finish() {
            Ok((chunks, permit)) => {
                self.status.sealed(reason);
                tracing::debug!(stream, delivery, key, records, reason = reason.as_str(), "sealed");
                Some((number, Sealed { key, chunks, records, oldest, dead, permit }))
            }
            Err(error) => {
                tracing::error!(stream, delivery, records, %error, "an encoder failed; the records of its file are not delivered");
                None
            }
        }
    }
}

fn captured(batch: &Batch, index: usize, slot: usize) -> Option<&str> {
    let span = *batch.captures_of(index).get(slot)?;
    if !span.is_present() {
        return None;
    }
    std::str::from_utf8(batch.source.bytes(span)).ok()
}

/// The edge has noted `code message`.
fn refused_at_the_edge(refusal: &[u8]) -> Dead {
    let text = String::from_utf8_lossy(refusal);
    let (code, message) = text.split_once(' ').unwrap_or((&text, ""));
    let reason = if code == "json" { "json" } else { "schema" };
    Dead { reason, message: message.to_owned() }
}

fn extension(format: &Format) -> &'static str {
    match format {
        Format::Json { compression: JsonCompression::None } => ".json",
        Format::Json { compression: JsonCompression::Gzip { .. } } => ".json.gz",
        Format::Parquet { .. } => ".parquet",
    }
}
