//! Columns that are learned from records: `[ingest] schema = "infer"`.
//!
//! ```text
//! record ──observe──▶ shape ──merge into──▶ columns as they are known ──▶ wider columns, or a conflict
//! ```
//!
//! Columns only grow: a field gets a column when its first value comes, always nullable, and a column's type is only
//! replaced by one that holds everything that the old one held. So whatever has fitted once still fits, and producers
//! of old and new records can send side by side.
//!
//! | seen in a field | column |
//! | --- | --- |
//! | only `null`, `[]`, `{}` or what holds nothing else | none yet |
//! | `true`, `false` | `bool` |
//! | integral numbers of 64 bits | `int64`; with a fraction among them `float64` |
//! | integers beyond 64 bits that a double does not hold exactly | `json`, which keeps their digits |
//! | strings that are all RFC 3339 dates; with date-times among them; others | `date`; `timestamp_micros`; `string` |
//! | arrays | `list<T>` of what their elements are together |
//! | objects | `struct<…>`; beyond [`STRUCT_FIELDS_MAX`] keys `map<string, T>`, or `json` where the values are of many kinds |
//! | what is nested deeper than [`INFERRED_DEPTH_MAX`] levels | `json` |
//!
//! Everything else is a conflict, of which [`OnConflict`] decides: an integer that is not exact as a double in a column
//! of doubles, text in a column of times, a string where numbers were, a struct that gets too many fields. Only text is
//! free to become any other text as long as no file has the column: a name that looks like a date is found out soon.
//!
//! Nothing here reads a clock or a disk. `json` values are told from others by the delivery's own reading of columns
//! ([`Coercion::Learned`](super::columns::Coercion::Learned)), which takes exactly what [`Learner::take`] has made room
//! for.

mod difference;
mod journal;
mod json_schema;
mod learner;
mod merge;
mod names;
mod node;
mod shape;

#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

pub use difference::{Change, difference};
pub use json_schema::json_schema;
pub use learner::Learner;
pub use shape::{Shape, holds_nothing, is_exact_as_double, observe};

use crate::json::SyntaxError;

/// Keys of one object that become fields of a `struct`. Objects that have more are mostly dictionaries, whose keys are
/// data; each of them would cost a column.
pub const STRUCT_FIELDS_MAX: usize = 64;

/// Levels of objects and arrays below the record that become nested types. Real records have fewer than ten.
pub const INFERRED_DEPTH_MAX: usize = 16;

/// Bytes of a key that can become a column: with 4,096 columns all keys have 1 MiB at most.
pub const KEY_BYTES_MAX: usize = 256;

/// Second columns of one field under [`OnConflict::Suffix`]: there are not more kinds of values.
const ALTERNATIVES_MAX: usize = 10;

/// What becomes of a value that does not fit its column, and cannot be made to fit by widening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Its record is refused at the edge as soon as the columns are known there; what comes through before that is
    /// a dead letter.
    Reject,
    /// Its record is a dead letter.
    DeadLetter,
    /// The column becomes `json`, and keeps the text of its values; a column of times becomes `string`.
    #[default]
    Widen,
    /// A second column of the same field takes it, called after the field and the type.
    Suffix,
    /// The column becomes `string`, which takes the text of any value.
    String,
}

impl OnConflict {
    /// Every one with its word.
    pub const WORDS: [(&'static str, OnConflict); 5] = [
        ("reject", OnConflict::Reject),
        ("dead_letter", OnConflict::DeadLetter),
        ("widen", OnConflict::Widen),
        ("suffix", OnConflict::Suffix),
        ("string", OnConflict::String),
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, policy)| *policy == self).map_or("widen", |(word, _)| word)
    }
}

/// How columns are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What becomes of conflicts.
    pub on_conflict: OnConflict,
    /// Scalar columns, those inside nested types included.
    pub columns_max: usize,
}

/// Why no columns hold a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A value of another kind than its column.
    #[error("{pointer}: expected {expected}, got {found}")]
    Conflict {
        /// JSON pointer to the value.
        pointer: String,
        /// The column's type.
        expected: String,
        /// What was found.
        found: String,
    },
    /// There would be too many columns.
    #[error(
        "its fields would make more than {max} columns: raise max_columns in [schema], or have the producer send \
         changing names as values"
    )]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// A key that makes no column.
    #[error("{pointer}: a key of {bytes} bytes makes no column, {KEY_BYTES_MAX} are the most")]
    LongKey {
        /// JSON pointer to the object that has it.
        pointer: String,
        /// Its length.
        bytes: usize,
    },
    /// It is no JSON object.
    #[error("expected an object, got {0}")]
    NoObject(&'static str),
    /// It is no JSON.
    #[error("{0}")]
    Syntax(SyntaxError),
}

impl From<SyntaxError> for Refusal {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl fmt::Display for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
