//! Which file a record belongs to: a pure function of the record as it is stored, and of the epoch.
//!
//! A home is told by bytes: [`RECORDS`] and the key of the prefix, [`LATE`] and the key of the late prefix, or
//! [`DEAD`], the reason, a zero byte and the key of the error prefix. Whether a record is late, or too far ahead, is
//! told by its event time and its arrival as the log has it. Nothing in it comes from a clock of today, from other
//! records, or from what the delivery has done so far, so that a record that is read again after a crash finds the home
//! that it had.
//!
//! Whether a record fits the columns of a file is told by the encoder, which looks at every value anyway; for records
//! that may have been delivered before, [`Classifier::home`] asks without writing.

use std::sync::Arc;
use std::time::Duration;

use super::Slots;
use super::backup::{self, Backup, Content, PASSED, RAW};
use super::encode::columns::RecordColumns;
use super::encode::{Payload, Row};
use super::files::Position;
use super::prefix::{PartitionError, PrefixTemplate, RecordFacts};
use crate::config::checked::{Delivery, Format, Late, Placement};
use crate::config::print_duration;
use crate::json;
use crate::record::{self, Batch};
use crate::runtime::clock::UnixMicros;
use crate::schema::timestamp;

/// First byte of the home of a record that can be delivered.
const RECORDS: u8 = 0;
/// First byte of the home of a dead letter.
pub const DEAD: u8 = 1;
/// First byte of the home of a late record.
const LATE: u8 = 4;

/// Reason of a record that does not fit the columns.
pub const COLUMNS: &str = "columns";

/// Reason of a record that a function cannot do anything with, or cannot be called for.
pub const FUNCTION_FAILED: &str = "processing-failed";

/// Reason of a record whose time is missing, or too far ahead.
const EVENT_TIME: &str = "event_time";

/// A record and where it stands.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Its batch.
    pub batch: &'a Batch,
    /// Its index there.
    pub index: usize,
    /// Its place in the stream.
    pub position: Position,
}

impl<'a> Record<'a> {
    /// The payload's bytes.
    pub fn payload(&self) -> &'a [u8] {
        self.batch.records.get(self.index).map_or(&[], |record| self.batch.source.bytes(record.payload))
    }

    /// The partition key; empty where it was random.
    pub fn key(&self) -> &'a [u8] {
        self.batch.records.get(self.index).map_or(&[], |record| self.batch.source.bytes(record.key))
    }

    /// What an encoder takes: `payload`, or a line that tells of it.
    pub fn row<'b>(&self, payload: Payload<'b>) -> Row<'b>
    where
        'a: 'b,
    {
        let Position { shard, number, arrival } = self.position;
        Row { payload, key: self.key(), shard, sequence_number: number, arrival }
    }

    /// The payload, if it is JSON that the edge has not refused.
    pub fn valid_text(&self) -> Option<&'a str> {
        let record = self.batch.records.get(self.index)?;
        if record.refusal.is_present() { None } else { self.text().ok() }
    }

    /// Whether it is JSON.
    pub fn is_json(&self) -> bool {
        if self.batch.source.content == record::Content::Any {
            return json::document(self.payload()).is_ok();
        }
        let refusal = self.batch.records.get(self.index).map(|record| record.refusal);
        let refusal = refusal.filter(|refusal| refusal.is_present());
        refusal.is_none_or(|refusal| refused_at_the_edge(self.batch.source.bytes(refusal)).reason != "json")
    }

    /// Its text, which is JSON: where the edge has not looked, this does.
    fn text(&self) -> Result<&'a str, Dead> {
        let text = match self.batch.source.content {
            record::Content::Json => {
                std::str::from_utf8(self.payload()).map_err(|error| json::NotJson::Text(error.valid_up_to()))
            }
            record::Content::Any => json::document(self.payload()),
        };
        text.map_err(|error| Dead { reason: "json", message: error.to_string() })
    }

    /// Why the edge has refused it, if it has.
    pub fn refusal(&self) -> Option<Dead> {
        let refusal = self.batch.records.get(self.index)?.refusal;
        refusal.is_present().then(|| refused_at_the_edge(self.batch.source.bytes(refusal)))
    }

    /// The raw JSON value of a captured field.
    pub fn captured(&self, slot: usize) -> Option<&'a str> {
        let span = *self.batch.captures_of(self.index).get(slot)?;
        if !span.is_present() {
            return None;
        }
        std::str::from_utf8(self.batch.source.bytes(span)).ok()
    }
}

/// Why a record cannot go into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Stable code.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl From<PartitionError> for Dead {
    fn from(error: PartitionError) -> Self {
        Self { reason: error.code(), message: error.to_string() }
    }
}

/// See the module.
pub struct Classifier {
    stream: Arc<str>,
    config: Arc<Delivery>,
    slots: Slots,
    /// To ask whether a record fits; made when it is asked first.
    columns: Option<RecordColumns>,
    /// What it keeps, if it is a backup.
    backup: Option<Backup>,
}

impl Classifier {
    /// For records of `stream`, whose captured fields lie at `slots`.
    pub fn new(stream: Arc<str>, config: Arc<Delivery>, slots: Slots) -> Self {
        let backup = Backup::of(&stream, &config, &slots);
        Self { stream, config, slots, columns: None, backup }
    }

    /// The same under another configuration with the same prefixes.
    pub fn under(&self, config: Arc<Delivery>) -> Self {
        Self::new(Arc::clone(&self.stream), config, self.slots.clone())
    }

    /// Makes `key` the home of a record, as far as that does not depend on columns. Returns what goes into a file.
    ///
    /// # Errors
    /// If it is a dead letter; `key` is then its home among those.
    pub fn partition<'a>(&mut self, at: Record<'a>, key: &mut Vec<u8>) -> Result<Content<'a>, Dead> {
        let found = match self.backup.as_mut().map(|backup| backup.keeps(at, key)) {
            None => self.partition_of_fit(at, key),
            Some(true) => self.partition_of_raw(at, key),
            Some(false) => {
                key.clear();
                key.push(PASSED);
                return Ok(Content::Nothing);
            }
        };
        if let Err(dead) = &found {
            self.dead_partition(dead.reason, at.position, key);
        }
        found
    }

    fn partition_of_raw<'a>(&self, at: Record<'a>, key: &mut Vec<u8>) -> Result<Content<'a>, Dead> {
        let place = self.place(at)?;
        key.clear();
        key.push(RAW);
        self.with_facts(at, &place, |facts| place.prefix.partition_key(facts, key))?;
        Ok(match self.config.format {
            Format::Raw(_) => Content::Bytes(at.payload()),
            _ => backup::content(at),
        })
    }

    fn partition_of_fit<'a>(&self, at: Record<'a>, key: &mut Vec<u8>) -> Result<Content<'a>, Dead> {
        let refusal = at.batch.records.get(at.index).map(|record| record.refusal);
        if let Some(refusal) = refusal.filter(|refusal| refusal.is_present()) {
            return Err(refused_at_the_edge(at.batch.source.bytes(refusal)));
        }
        let content = match self.config.format {
            // Fields that are found in what is no JSON would be an accident.
            Format::Raw(_) if self.slots.has_fields() => at.text().map(|_| Content::Bytes(at.payload()))?,
            Format::Raw(_) => Content::Bytes(at.payload()),
            _ => Content::Text(at.text()?),
        };
        let place = self.place(at)?;
        key.clear();
        key.push(place.tag);
        self.with_facts(at, &place, |facts| place.prefix.partition_key(facts, key))?;
        Ok(content)
    }

    /// Folder of the records of a home, from one of them.
    pub fn folder(&self, at: Record<'_>) -> String {
        // A record that has a key has a folder as well.
        let folder = |place: Place<'_>| self.with_facts(at, &place, |facts| place.prefix.render(facts));
        self.place(at).and_then(folder).unwrap_or_default()
    }

    /// Makes `key` the home of dead letters of `reason`. The error prefix may use the reason and the arrival, but no
    /// field of a record, which may lack it.
    pub fn dead_partition(&self, reason: &str, position: Position, key: &mut Vec<u8>) {
        key.clear();
        key.push(DEAD);
        key.extend_from_slice(reason.as_bytes());
        key.push(0);
        // Only a clock outside the years 0 to 9999 has no key; see `dead_folder`.
        let _ = self.config.error_prefix.partition_key(&self.dead_facts(reason, position), key);
    }

    /// Folder of a home of dead letters.
    pub fn dead_folder(&self, reason: &str, position: Position) -> String {
        let folder = self.config.error_prefix.render(&self.dead_facts(reason, position));
        folder.unwrap_or_else(|_| format!("errors/{reason}/"))
    }

    fn dead_facts<'a>(&'a self, reason: &'a str, position: Position) -> RecordFacts<'a> {
        RecordFacts {
            stream: &self.stream,
            delivery: &self.config.name,
            shard: position.shard,
            number: position.number,
            arrival: position.arrival,
            event_time: None,
            pointer_values: &|_| None,
            reason,
        }
    }

    /// Makes `key` the home of a record, columns included.
    pub fn home(&mut self, at: Record<'_>, key: &mut Vec<u8>) {
        if let Ok(Content::Text(payload)) = self.partition(at, key)
            && self.misfit(payload).is_some()
        {
            self.dead_partition(COLUMNS, at.position, key);
        }
    }

    /// Why the payload of a record that has a partition does not fit the columns, without writing it anywhere.
    pub fn misfit(&mut self, payload: &str) -> Option<Dead> {
        let columns = self.config.format.columns()?;
        let is_orc = matches!(self.config.format, Format::Orc(_));
        let columns = self.columns.get_or_insert_with(|| match RecordColumns::new(columns) {
            columns if is_orc => columns.for_orc(),
            columns => columns,
        });
        let misfit = columns.check(payload).err()?;
        Some(Dead { reason: COLUMNS, message: misfit.to_string() })
    }

    /// Which kind of home a record has.
    fn place(&self, at: Record<'_>) -> Result<Place<'_>, Dead> {
        let event_time = self.event_time(at)?;
        let Placement { late, future_max, .. } = &self.config.placement;
        let behind = event_time.map(|time| at.position.arrival.0.saturating_sub(time.0));
        if let (Some(behind), Some(future_max)) = (behind, future_max)
            && behind.saturating_neg() > micros(*future_max)
        {
            return Err(self.too_far_ahead(behind.saturating_neg(), *future_max));
        }
        match (late, behind) {
            (Some(Late { allowed, prefix }), Some(behind)) if behind > micros(*allowed) => {
                Ok(Place { tag: LATE, prefix, slots: &self.slots.late, event_time })
            }
            _ => {
                Ok(Place { tag: RECORDS, prefix: &self.config.prefix, slots: &self.slots.prefix, event_time })
            }
        }
    }

    #[cold]
    fn too_far_ahead(&self, ahead_micros: i64, max: Duration) -> Dead {
        let field = self.config.event_time.as_ref().map(ToString::to_string).unwrap_or_default();
        let (ahead, max) = (ahead_micros / 1_000_000, print_duration(max));
        let message = format!("{field}: {ahead} s ahead of the arrival, where max_future is {max}");
        Dead { reason: EVENT_TIME, message }
    }

    fn with_facts<T>(
        &self,
        at: Record<'_>,
        place: &Place<'_>,
        ask: impl FnOnce(&RecordFacts<'_>) -> Result<T, PartitionError>,
    ) -> Result<T, Dead> {
        let pointer_values = |field: usize| place.slots.get(field).and_then(|&slot| at.captured(slot));
        let facts = RecordFacts {
            stream: &self.stream,
            delivery: &self.config.name,
            shard: at.position.shard,
            number: at.position.number,
            arrival: at.position.arrival,
            event_time: place.event_time,
            pointer_values: &pointer_values,
            reason: "",
        };
        Ok(ask(&facts)?)
    }

    fn event_time(&self, at: Record<'_>) -> Result<Option<UnixMicros>, Dead> {
        let Some(slot) = self.slots.event_time else { return Ok(None) };
        let raw = at.captured(slot);
        match raw.and_then(timestamp::event_time) {
            Some(time) => Ok(Some(time)),
            None => {
                let field = self.config.event_time.as_ref().map(ToString::to_string).unwrap_or_default();
                let found = raw.map_or_else(|| "nothing".to_owned(), |raw| raw.chars().take(60).collect());
                let message = format!("{field}: expected an RFC 3339 time or an epoch number, got {found}");
                Err(Dead { reason: EVENT_TIME, message })
            }
        }
    }
}

/// Where a record that is no dead letter belongs.
struct Place<'a> {
    tag: u8,
    prefix: &'a PrefixTemplate,
    /// Of the prefix's fields.
    slots: &'a [usize],
    event_time: Option<UnixMicros>,
}

/// The configuration has no durations above a year.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The edge has noted `code message`.
fn refused_at_the_edge(refusal: &[u8]) -> Dead {
    let text = String::from_utf8_lossy(refusal);
    let (code, message) = text.split_once(' ').unwrap_or((&text, ""));
    let reason = match code {
        "json" => "json",
        FUNCTION_FAILED => FUNCTION_FAILED,
        _ => "schema",
    };
    Dead { reason, message: message.to_owned() }
}
