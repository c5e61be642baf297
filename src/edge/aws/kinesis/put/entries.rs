//! The members of a request that brings records, as slices of its body.

use std::borrow::Cow;

use crate::config::limits::{KINESIS_BYTES_MAX, KINESIS_PUT_RECORDS_MAX};
use crate::edge::aws::kinesis::stream::StreamRef;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::json::RawString;

/// Characters of a partition key.
const KEY_CHARS_MAX: usize = 256;

/// How records stand in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The members of one record among the others: PutRecord.
    Record,
    /// A list: PutRecords.
    Records,
}

/// The data of a record.
#[derive(Debug, Clone)]
pub enum Data<'a> {
    /// Base64 between two quotes.
    Base64(RawString<'a>),
    /// As it is.
    Plain(Cow<'a, [u8]>),
}

impl Data<'_> {
    /// Bytes of it, if it is what it should be.
    fn bytes(&self) -> usize {
        let decoded = |text: &str| {
            let padding = text.bytes().rev().take(2).filter(|&letter| letter == b'=').count();
            (text.len() / 4 * 3).saturating_sub(padding)
        };
        match self {
            // Some writers put a backslash before each slash.
            Data::Base64(text) if text.is_escaped() => decoded(&text.decode()),
            Data::Base64(text) => decoded(text.raw()),
            Data::Plain(bytes) => bytes.len(),
        }
    }

    /// Bytes of it, at most: exact for what stands there plainly.
    pub fn bytes_max(&self) -> usize {
        match self {
            Data::Base64(text) => text.raw().len() / 4 * 3 + 3,
            Data::Plain(bytes) => bytes.len(),
        }
    }
}

/// A record as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Entry<'a> {
    /// `Data`.
    pub data: Option<Data<'a>>,
    /// `PartitionKey`.
    pub key: Option<Cow<'a, str>>,
    /// `ExplicitHashKey`.
    pub hash: Option<Cow<'a, str>>,
}

/// A whole request.
#[derive(Debug, Default)]
pub struct Put<'a> {
    /// The stream.
    pub stream: StreamRef,
    /// The records: none beyond [`KINESIS_PUT_RECORDS_MAX`].
    pub entries: Vec<Entry<'a>>,
    /// How many there were.
    pub count: usize,
    /// Whether there was a list at all.
    pub has_list: bool,
    /// `SequenceNumberForOrdering`. Records of a shard are in the order of their acks anyway.
    pub after: Option<Cow<'a, str>>,
    /// `DryRun`.
    pub dry_run: Option<bool>,
}

impl<'a> Put<'a> {
    /// Takes a record of the list; one beyond the bound is only counted.
    pub fn push(&mut self, entry: Entry<'a>) {
        self.count += 1;
        if self.count <= KINESIS_PUT_RECORDS_MAX {
            self.entries.push(entry);
        }
    }

    /// Checks the constraints of the model.
    ///
    /// # Errors
    /// `ValidationException`, or `InvalidArgumentException` if it is too large in all.
    pub fn check(&self, form: Form) -> Result<(), Failure> {
        let mut violations = Violations::default();
        self.stream.check(&mut violations);
        match form {
            Form::Record => {
                for entry in &self.entries {
                    entry.check("", &mut violations);
                }
                let after = self.after.as_deref();
                violations.text("sequenceNumberForOrdering", after, 0, usize::MAX, Some(Pattern::SEQUENCE));
            }
            Form::Records if !self.has_list => violations.required::<()>("records", &None),
            Form::Records => {
                violations.count("records", self.count, 1, KINESIS_PUT_RECORDS_MAX);
                for (index, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !entry.is_plain()) {
                    entry.check(&format!("records.{}.member.", index + 1), &mut violations);
                }
            }
        }
        violations.finish()?;
        let bytes: usize = self.entries.iter().map(Entry::bytes).sum();
        if bytes as u64 > KINESIS_BYTES_MAX {
            let text = format!("Records size exceeds {} MiB limit", KINESIS_BYTES_MAX >> 20);
            return Err(Failure::invalid(text));
        }
        Ok(())
    }

    /// Bytes of the block that the records are laid out in, at most.
    pub fn laid_out_bytes(&self) -> u64 {
        let of = |entry: &Entry<'_>| {
            entry.data.as_ref().map_or(0, Data::bytes_max) + entry.key.as_deref().map_or(0, str::len)
        };
        self.entries.iter().map(|entry| of(entry) as u64).sum()
    }
}

impl Entry<'_> {
    /// Whether it breaks no constraint, told fast.
    fn is_plain(&self) -> bool {
        let key = self.key.as_deref().unwrap_or_default();
        self.data.is_some() && (1..=KEY_CHARS_MAX).contains(&key.len()) && self.hash.is_none()
    }

    /// Bytes of data and key.
    fn bytes(&self) -> usize {
        self.data.as_ref().map_or(0, Data::bytes) + self.key.as_deref().map_or(0, str::len)
    }

    fn check(&self, path: &str, violations: &mut Violations) {
        violations.required(&format!("{path}data"), &self.data);
        violations.required(&format!("{path}partitionKey"), &self.key);
        violations.text(&format!("{path}partitionKey"), self.key.as_deref(), 1, KEY_CHARS_MAX, None);
        let hash = self.hash.as_deref();
        violations.text(&format!("{path}explicitHashKey"), hash, 0, usize::MAX, Some(Pattern::HASH_KEY));
    }
}

/// What a body is refused with that cannot be read.
pub fn unreadable(what: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Serialization, what.to_string())
}
