//! Records and the bytes that they live in.

pub mod aggregate;
mod prefetch;
mod puts;

pub use puts::{Aggregate, Put, Puts};

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::runtime::budget::{Budget, Permit};
use crate::runtime::clock::UnixMicros;

/// A place in a shard; strictly increasing within it, printed as a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub u64);

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard's number within its stream, printed as `shardId-000000000002`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u32);

impl ShardId {
    /// Reads the printed form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("shardId-").filter(|digits| digits.len() == 12)?;
        digits.parse().ok().map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

/// A slice of a [`Source`], as offset and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Stands for a field that the record does not have.
    pub const ABSENT: Span = Span { start: u32::MAX, len: 0 };

    /// The bytes from `start` to `end`. Offsets fit because a body is below
    /// [`crate::config::limits::BODY_BYTES_MAX`].
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end < u32::MAX as usize, "spans lie in a body of less than 4 GiB");
        Self { start: start as u32, len: (end - start) as u32 }
    }

    /// The same bytes, counted from `offset` bytes earlier on.
    #[inline]
    #[must_use]
    pub fn behind(self, offset: usize) -> Self {
        if self.is_present() {
            Self::new(offset + self.start(), offset + self.start() + self.len())
        } else {
            self
        }
    }

    /// Whether there is a field at all (it may be empty).
    #[inline]
    pub fn is_present(self) -> bool {
        self.start != u32::MAX
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether no byte lies in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Offset of the first byte.
    #[inline]
    pub fn start(self) -> usize {
        self.start as usize
    }
}

/// What is known of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// Each is a JSON value, or refused.
    #[default]
    Json,
    /// Nobody has looked at them: any bytes, which may be JSON.
    Any,
}

impl Content {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Content::Json => "json",
            Content::Any => "any",
        }
    }
}

/// The bytes that the records of one request are slices of, and the permit that pays for them. It is shared by all
/// batches that the request was split into; the permit goes back when the last of them is dropped.
#[derive(Debug)]
pub struct Source {
    /// The decoded request body. Always UTF-8 where a record of it is valid JSON.
    pub body: Bytes,
    /// What is known of the payloads.
    pub content: Content,
    /// What records need besides the body (a key from a header, an unescaped key, the reason of a refusal).
    /// Spans that begin at or behind the end of `body` lie here.
    pub side: Bytes,
    /// When the request was complete.
    pub arrival: UnixMicros,
    /// Pays for the body and for what is kept beside it.
    pub permit: Permit,
}

impl Source {
    /// The bytes of `span`; empty if it is absent.
    #[inline]
    pub fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start();
        let found = match start.checked_sub(self.body.len()) {
            None => self.body.get(start..start + span.len()),
            Some(start) => self.side.get(start..start + span.len()),
        };
        found.unwrap_or_default()
    }
}

/// Where one record's parts lie in its [`Source`].
#[derive(Debug, Clone, Copy)]
pub struct RecordSpans {
    /// The record itself: where [`Source::content`] says so and `refusal` is absent one JSON value, which may have white
    /// space around it; otherwise any bytes.
    pub payload: Span,
    /// The partition key, unescaped; empty where it is random.
    pub key: Span,
    /// Present where the record is invalid and goes to the dead letters (`on_invalid = "dead_letter"`): the reason
    /// code, a space, and the message.
    pub refusal: Span,
}

/// What one request brought to one shard. Cheap to share: taps, buffers and the log hold it by `Arc`.
#[derive(Debug)]
pub struct Batch {
    /// The bytes below it.
    pub source: Arc<Source>,
    /// In the order of the request.
    pub records: Box<[RecordSpans]>,
    /// For each record, the raw JSON values of the stream's captured fields, in slot order:
    /// `records.len() × slots` spans. See [`crate::stream::Captures`].
    pub captures: Box<[Span]>,
    /// Those of the records that came together in aggregates, in their order; nearly always empty.
    pub aggregates: Box<[Aggregate]>,
}

impl Batch {
    /// Whether each of its records has `slots` captured fields at least.
    pub fn has_slots(&self, slots: usize) -> bool {
        self.captures.len() >= self.records.len() * slots
    }

    /// No records, at `arrival`.
    pub fn empty(arrival: UnixMicros) -> Self {
        let permit = Budget::new(0).take_anyway(0);
        let content = Content::default();
        let source = Source { body: Bytes::new(), content, side: Bytes::new(), arrival, permit };
        let (records, captures, aggregates) = Default::default();
        Self { source: Arc::new(source), records, captures, aggregates }
    }

    /// Has the processor fetch the payload at `index`, if there is one, while others are worked on. Who reads records long
    /// after the edge has written them waits for memory otherwise.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        if let Some(record) = self.records.get(index) {
            prefetch::prefetch(self.source.bytes(record.payload));
        }
    }

    /// Payload bytes as the log keeps them: of all records, but of aggregates as they came.
    pub fn payload_bytes(&self) -> u64 {
        if self.aggregates.is_empty() {
            return self.records.iter().map(|record| record.payload.len() as u64).sum();
        }
        self.puts(0).map(|put| put.payload.len() as u64).sum()
    }

    /// The records as they were put, from the one at `index` on: an aggregate is one. Where `index` is within an
    /// aggregate, from the one behind that.
    pub fn puts(&self, index: usize) -> Puts<'_> {
        Puts::new(&self.records, &self.aggregates, index)
    }

    /// Captured spans of the record at `index`.
    #[inline]
    pub fn captures_of(&self, index: usize) -> &[Span] {
        let slots = self.captures.len() / self.records.len().max(1);
        &self.captures[index * slots..(index + 1) * slots]
    }
}
