//! Prefix templates: which folder of the sink a record belongs to.
//!
//! `dt={event_time:%Y-%m-%d}/tenant={/tenant/id}/` names, for every record, the folder that its file lies in. Records
//! of one folder share an open file. The folder is asked for with every record, its text only once per file, so there
//! are two forms: a few key bytes ([`PrefixTemplate::partition_key`]) and the path ([`PrefixTemplate::render`]).
//!
//! | field | stands for |
//! | --- | --- |
//! | `{arrival_time:FORMAT}` | when the record came in, with a strftime format of chrono's |
//! | `{event_time:FORMAT}` | the time in the record itself |
//! | `{/a/b}` | the scalar at a JSON pointer; `{"/a|b"}` where the pointer has a `|` or `}` in it |
//! | `{/a/b|lower|default(none)}` | the same after functions, see [`mod@function`] |
//! | `{stream}` `{shard}` `{delivery}` | names |
//! | `{reason}` | the code of a dead letter's reason |
//! | `{{` `}}` | a brace |
//! | `!{namespace:value}` | an expression of Amazon Data Firehose, see [`mod@firehose`] |
//!
//! Times are those of the delivery's time zone. Values are percent-encoded as Hive does, so that none can leave its
//! segment.

mod firehose;
mod function;
mod parse;
mod segment;
mod time;
mod zone;

use std::collections::BTreeMap;

use chrono::format::Item;
use thiserror::Error;

use crate::json::Pointer;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;

pub use firehose::FirehoseError;
pub use function::FunctionError;
pub use parse::TemplateError;
pub use zone::{UnknownZone, Zone};

use function::Function;
use time::TimeUnit;

/// What the templates of a delivery have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The zone that times are shown in.
    pub time_zone: Zone,
    /// What `!{partitionKeyFromQuery:NAME}` stands for, by name: what could stand in braces instead.
    pub partition_keys: BTreeMap<String, String>,
}

/// A parsed template such as `dt={event_time:%Y-%m-%d}/`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixTemplate {
    text: String,
    parts: Vec<Part>,
    /// The parts that tell paths apart, each once.
    key_parts: Vec<KeyPart>,
    pointers: Vec<Pointer>,
    values: Vec<Value>,
    time_zone: Zone,
    /// Bytes of one rendered value, so that neither a segment nor the path gets too long.
    value_bytes_max: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Time { clock: Clock, items: Vec<Item<'static>> },
    Value(usize),
    Stream,
    Shard,
    Delivery,
    Reason,
    ErrorOutputType,
    RandomString,
}

/// A field of the record, and what is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    /// Index of its pointer.
    pointer: usize,
    functions: Vec<Function>,
}

/// Which of a record's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Arrival,
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPart {
    /// The finest unit that the template shows of this time.
    Time(Clock, TimeUnit),
    /// What the zone's clocks are ahead of UTC.
    Offset(Clock),
    Value(usize),
    Stream,
    Shard,
    Delivery,
    Reason,
}

/// What a template may ask about a record.
#[derive(Clone, Copy)]
pub struct RecordFacts<'a> {
    /// Name of its stream.
    pub stream: &'a str,
    /// Name of the delivery.
    pub delivery: &'a str,
    /// Its shard.
    pub shard: ShardId,
    /// Its number there.
    pub number: SequenceNumber,
    /// When it came in.
    pub arrival: UnixMicros,
    /// The time in the record, if there is one.
    pub event_time: Option<UnixMicros>,
    /// The raw JSON text of the value at `pointers()[i]`, if there is one. Already known to be valid JSON.
    pub pointer_values: &'a dyn Fn(usize) -> Option<&'a str>,
    /// Code of the reason why it is a dead letter; empty if it is none.
    pub reason: &'a str,
}

/// Why a record has no folder. It goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartitionError {
    /// The value is not there, or null.
    #[error("{pointer}: missing or null, but the prefix needs it")]
    Missing {
        /// The field.
        pointer: String,
    },
    /// The value is an object or an array.
    #[error("{pointer}: an object or an array cannot be part of a path")]
    NotScalar {
        /// The field.
        pointer: String,
    },
    /// The value is too long.
    #[error("{pointer}: too long for a path, which has room for {bytes_max} bytes of it")]
    TooLong {
        /// The field.
        pointer: String,
        /// Bytes that there is room for, encoded.
        bytes_max: usize,
    },
    /// The record has no event time.
    #[error("no event time, but the prefix needs it")]
    NoEventTime,
    /// The time cannot be written with four digits for the year.
    #[error("the time lies outside the years 0 to 9999")]
    TimeOutOfRange,
}

impl PartitionError {
    /// The reason code of the dead letter.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::NotScalar { .. } | Self::TooLong { .. } => "partition",
            Self::NoEventTime | Self::TimeOutOfRange => "event_time",
        }
    }
}

impl PrefixTemplate {
    /// Parses a template. What it renders is empty or ends with `/`, whether the template does or not; it never
    /// begins with `/` and has no segment that is empty, `.` or `..`.
    ///
    /// # Errors
    /// The first reason why it is none.
    pub fn parse(text: &str, terms: &Terms) -> Result<Self, TemplateError> {
        Self::check(text, terms)
            .map_err(|problems| problems.into_iter().next().unwrap_or(TemplateError::EmptySegment))
    }

    /// The same.
    ///
    /// # Errors
    /// Every reason why it is none; at least one.
    pub fn check(text: &str, terms: &Terms) -> Result<Self, Vec<TemplateError>> {
        parse::parse(text, terms)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The fields that a record must supply, each once, in the order of their first use.
    pub fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }

    /// Whether it has `{event_time}`.
    pub fn uses_event_time(&self) -> bool {
        self.key_parts.iter().any(|part| matches!(part, KeyPart::Time(Clock::Event, _)))
    }

    /// Whether it has `{reason}`, or Firehose's form of it.
    pub fn uses_reason(&self) -> bool {
        self.key_parts.contains(&KeyPart::Reason)
    }

    /// Appends bytes to `key` that tell the record's folder from others of this template: two records with equal
    /// bytes have equal paths, but for a random string, which is each file's own. Two with different bytes have
    /// different paths as well, unless the template hides what sets them apart, such as the day of `{event_time:%H}`
    /// alone; then a folder has more than one open file.
    ///
    /// Nothing is appended if there is an error.
    pub fn partition_key(&self, facts: &RecordFacts<'_>, key: &mut Vec<u8>) -> Result<(), PartitionError> {
        let start = key.len();
        let appended = self.append_key(facts, key);
        if appended.is_err() {
            key.truncate(start);
        }
        appended
    }

    fn append_key(&self, facts: &RecordFacts<'_>, key: &mut Vec<u8>) -> Result<(), PartitionError> {
        for part in &self.key_parts {
            match *part {
                KeyPart::Time(clock, unit) => {
                    let local = self.time_zone.local_micros(facts.time(clock)?);
                    let count = local.and_then(|local| unit.count(local));
                    let count = count.ok_or(PartitionError::TimeOutOfRange)?;
                    key.extend_from_slice(&count.to_le_bytes());
                }
                KeyPart::Offset(clock) => self.time_zone.append_offset(facts.time(clock)?, key),
                // A zero byte ends what has no fixed length: neither names nor encoded values have one in them.
                KeyPart::Value(index) => {
                    self.append_value(facts, index, key)?;
                    key.push(0);
                }
                KeyPart::Stream => append_text(facts.stream, key),
                KeyPart::Delivery => append_text(facts.delivery, key),
                KeyPart::Shard => key.extend_from_slice(&facts.shard.0.to_le_bytes()),
                KeyPart::Reason => {
                    segment::encode(facts.reason, key);
                    key.push(0);
                }
            }
        }
        Ok(())
    }

    /// The folder's path below the sink: empty, or with a `/` at the end. Its segments are already encoded, and must
    /// not be once more.
    pub fn render(&self, facts: &RecordFacts<'_>) -> Result<String, PartitionError> {
        let mut path = Vec::with_capacity(128);
        for part in &self.parts {
            match part {
                Part::Literal(text) => path.extend_from_slice(text.as_bytes()),
                Part::Time { clock, items } => {
                    let local = self.time_zone.local(facts.time(*clock)?);
                    let local = local.ok_or(PartitionError::TimeOutOfRange)?;
                    path.extend_from_slice(time::print(&local, items).as_bytes());
                }
                Part::Value(index) => self.append_value(facts, *index, &mut path)?,
                Part::Stream => path.extend_from_slice(facts.stream.as_bytes()),
                Part::Delivery => path.extend_from_slice(facts.delivery.as_bytes()),
                Part::Shard => path.extend_from_slice(facts.shard.to_string().as_bytes()),
                Part::Reason => segment::encode(facts.reason, &mut path),
                Part::ErrorOutputType => {
                    path.extend_from_slice(firehose::error_output_type(facts.reason).as_bytes());
                }
                Part::RandomString => firehose::push_random_string(facts, &mut path),
            }
        }
        if path.last().is_some_and(|&last| last != b'/') {
            path.push(b'/');
        }
        // Every part is text, so nothing is ever lost here.
        Ok(String::from_utf8_lossy(&path).into_owned())
    }

    fn append_value(
        &self,
        facts: &RecordFacts<'_>,
        index: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PartitionError> {
        let start = out.len();
        let Some(Value { pointer: field, functions }) = self.values.get(index) else { return Ok(()) };
        let pointer =
            || self.pointers.get(*field).map(|pointer| pointer.as_str().to_owned()).unwrap_or_default();
        let raw = (facts.pointer_values)(*field).unwrap_or_default();
        match segment::append_json(raw, functions, out) {
            Ok(()) if out.len() - start <= self.value_bytes_max => Ok(()),
            Ok(()) => Err(PartitionError::TooLong { pointer: pointer(), bytes_max: self.value_bytes_max }),
            Err(segment::NoText::Null) => Err(PartitionError::Missing { pointer: pointer() }),
            Err(segment::NoText::Container) => Err(PartitionError::NotScalar { pointer: pointer() }),
        }
    }
}

impl RecordFacts<'_> {
    fn time(&self, clock: Clock) -> Result<UnixMicros, PartitionError> {
        match clock {
            Clock::Arrival => Ok(self.arrival),
            Clock::Event => self.event_time.ok_or(PartitionError::NoEventTime),
        }
    }
}

fn append_text(text: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
}

impl std::fmt::Display for PrefixTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
