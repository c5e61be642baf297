//! What can be wrong with columns.

use thiserror::Error;

use super::{COLUMN_LEAVES_MAX, TYPE_DEPTH_MAX};

/// What is wrong with a column, and what to write instead. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ColumnError {
    /// A word that is no type.
    #[error("unknown type '{word}' at character {position}: {advice}")]
    UnknownType {
        /// The word.
        word: String,
        /// Where it begins.
        position: usize,
        /// What to write.
        advice: String,
    },
    /// The text is no type from some place on.
    #[error("at character {position} of the type: expected {expected}, found {found}")]
    Malformed {
        /// Where.
        position: usize,
        /// What to write there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A decimal that 128 bits do not hold.
    #[error("at character {position} of the type: decimal(p, s) needs 1 <= p <= 38 and 0 <= s <= p")]
    DecimalRange {
        /// Where the numbers begin.
        position: usize,
    },
    /// The same name twice on one level.
    #[error("the name '{0}' is used twice: rename or remove one of them")]
    DuplicateName(String),
    /// The same key twice on one level.
    #[error("the key '{0}' is read into two columns: remove one of them")]
    DuplicateKey(String),
    /// A name that differs from one before it in its case only.
    #[error(
        "the names '{first}' and '{second}' differ only in upper and lower case, which Hive and Spark take for one \
         name"
    )]
    SameButForCase {
        /// The first of the two.
        first: String,
        /// The other.
        second: String,
        /// Whether they are fields of a struct.
        nested: bool,
    },
    /// A name with a character of [`super::NAME_CHARACTERS_REFUSED`].
    #[error("the name {name:?} has {character:?} in it, which Hive and Spark do not take")]
    AwkwardName {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
        /// Whether it is a field of a struct.
        nested: bool,
    },
    /// `epoch` for a column that has no timestamp in it.
    #[error(
        "epoch is the unit of a timestamp's numbers, and there is no timestamp in this type: leave it out"
    )]
    EpochWithoutTimestamp,
    /// An empty name.
    #[error("a column needs a name that is not empty")]
    NoName,
    /// A struct without fields, which Parquet cannot store.
    #[error("'{0}' is a struct without fields: name its fields, or write json")]
    EmptyStruct(String),
    /// More than [`TYPE_DEPTH_MAX`] levels.
    #[error("nested deeper than {TYPE_DEPTH_MAX} levels: write json for the inner part")]
    TooDeep,
    /// More than [`COLUMN_LEAVES_MAX`] scalar columns.
    #[error("more than {COLUMN_LEAVES_MAX} scalar columns: write json for a part that is rarely read")]
    TooMany,
    /// No column at all.
    #[error("no columns: a columnar file needs at least one")]
    Empty,
    /// A JSON Schema that does not say what an object's properties are.
    #[error(
        "columns cannot be derived: the JSON Schema does not describe an object with properties; \
         declare them in [schema] columns"
    )]
    NoProperties,
}
