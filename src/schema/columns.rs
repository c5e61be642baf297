//! The columns of a columnar file: what a delivery keeps of each record, and as what.
//!
//! Columns are declared in the pipeline file ([`Columns::declared`], text forms in [`ColumnType`]) or derived from
//! the stream's JSON Schema ([`Columns::derive`]). Either way they are checked once, here: whoever holds a
//! [`Columns`] need not look for empty, doubled or endlessly nested ones.

mod arrow_schema;
mod derive;
mod paths;
mod type_text;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use arrow_schema::fields as arrow_fields;
pub use paths::{Leaf, PathError};
pub use arrow_schema::{LIST_ELEMENT, MAP_ENTRIES, MAP_KEY, MAP_VALUE};

/// Levels of `list`, `map` and `struct` in one type. Parquet's readers recurse over them; real records have fewer
/// than ten.
pub const TYPE_DEPTH_MAX: usize = 32;

/// Scalar columns of one file, those inside nested types included. An open Parquet file keeps about 10 KiB of
/// writer state for each, so 4,096 are 40 MiB: what one file may cost before its first record.
pub const COLUMN_LEAVES_MAX: usize = 4_096;

/// The columns of a columnar file, in order. Names are unique on each level. Only columns that are learned from records
/// and of which nothing is known yet are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    columns: Vec<Column>,
    version: Option<u32>,
}

/// One column, or one field of a `struct`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name in the file.
    pub name: String,
    /// The key in the JSON object where it is not the name: see [`Column::key`].
    pub other_key: Option<String>,
    /// What its values are.
    pub column_type: ColumnType,
    /// Whether a record may lack it or have `null` there.
    pub nullable: bool,
    /// How its values are read, and those of everything inside it: the reading of a struct's field is that of the
    /// column around it, and its own means nothing.
    pub reading: Reading,
}

impl Column {
    /// A column that is called as its key in the records, and reads values strictly.
    pub fn new(name: impl Into<String>, column_type: ColumnType, nullable: bool) -> Self {
        Self { name: name.into(), other_key: None, column_type, nullable, reading: Reading::default() }
    }

    /// The same column for values that stand under `key`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.other_key = (key != self.name).then_some(key);
        self
    }

    /// The same column with another way of reading its values.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// The key in the JSON object.
    pub fn key(&self) -> &str {
        self.other_key.as_deref().unwrap_or(&self.name)
    }
}

/// How the JSON values of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Which kinds of values are taken.
    pub coercion: Coercion,
    /// The unit of a timestamp's numbers where it is not the unit of its type.
    pub epoch: Option<TimeUnit>,
}

/// Which kinds of JSON values a column takes. `docs/configuration.md` has the table of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coercion {
    /// Only what [`ColumnType`] tells.
    #[default]
    Strict,
    /// Also values of another kind that say the same, such as a number in a string.
    Lenient,
    /// What the column was learned from: see [`crate::schema::inference`]. Keys without a column are no part of a record
    /// that fits, unless they hold nothing.
    Learned,
    /// The same, and a column of strings takes the text of every value.
    LearnedText,
}

impl Coercion {
    /// Whether it is [`Coercion::Strict`].
    pub fn is_strict(&self) -> bool {
        *self == Coercion::Strict
    }

    /// Whether the columns were learned from records.
    pub fn is_learned(self) -> bool {
        matches!(self, Coercion::Learned | Coercion::LearnedText)
    }
}

/// What a column's values are, and which JSON they are read from.
///
/// Its [`fmt::Display`] form is the one that pipeline files use, and [`str::parse`] reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `bool`: `true` or `false`.
    Bool,
    /// `int8`: an integral number in range, however it is written (`1`, `1.0`, `1e0`).
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint8`
    UInt8,
    /// `uint16`
    UInt16,
    /// `uint32`
    UInt32,
    /// `uint64`
    UInt64,
    /// `float32`: any number whose nearest value of this type is finite.
    Float32,
    /// `float64`: any number.
    Float64,
    /// `decimal(12, 2)`: a number that it holds exactly. `decimal(12)` has no fraction digits.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
    /// `string`: a string.
    String,
    /// `binary`: a string in base64 (RFC 4648 section 4; the padding may be missing).
    Binary,
    /// `date`: a string such as `2026-02-28`.
    Date,
    /// `timestamp_micros` and so on: an RFC 3339 string, of which finer digits than the unit's are cut off, or an
    /// integral number of units since 1970-01-01 00:00 UTC.
    Timestamp(TimeUnit),
    /// `list<T>`: an array. Elements may be `null`.
    List(Box<ColumnType>),
    /// `struct<name: T, …>`: an object; keys without a field are left out. Declared fields may be missing.
    Struct(Vec<Column>),
    /// `map<string, T>`: an object. Values may be `null`.
    Map(Box<ColumnType>),
    /// `json`: any value, kept as its text.
    Json,
}

/// The unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Stored as whole seconds in milliseconds: Parquet has no coarser unit.
    Seconds,
    /// 10⁻³ s
    Millis,
    /// 10⁻⁶ s
    Micros,
    /// 10⁻⁹ s: the years 1678 to 2262.
    Nanos,
}

impl TimeUnit {
    /// Units in a second.
    pub fn per_second(self) -> i64 {
        match self {
            TimeUnit::Seconds => 1,
            TimeUnit::Millis => 1_000,
            TimeUnit::Micros => 1_000_000,
            TimeUnit::Nanos => 1_000_000_000,
        }
    }
}

/// A column as a pipeline file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDeclaration {
    /// `name`
    pub name: String,
    /// `type`, such as `list<string>`.
    pub type_text: String,
    /// `nullable`
    pub nullable: bool,
    /// `key`, where it is not the name.
    pub key: Option<String>,
    /// `coerce` and `epoch`
    pub reading: Reading,
}

impl ColumnDeclaration {
    /// A declaration with nothing but what each has.
    pub fn new(name: impl Into<String>, type_text: impl Into<String>, nullable: bool) -> Self {
        Self {
            name: name.into(),
            type_text: type_text.into(),
            nullable,
            key: None,
            reading: Reading::default(),
        }
    }
}

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

impl Columns {
    /// Checks `columns` as a whole.
    ///
    /// # Errors
    /// The first problem found.
    pub fn new(columns: Vec<Column>) -> Result<Self, ColumnError> {
        if columns.is_empty() {
            return Err(ColumnError::Empty);
        }
        check_level(&columns, 0)?;
        if columns.iter().map(|column| column.column_type.leaves()).sum::<usize>() > COLUMN_LEAVES_MAX {
            return Err(ColumnError::TooMany);
        }
        Ok(Self { columns, version: None })
    }

    /// Columns that were learned from records; nothing is known before version 1.
    ///
    /// # Errors
    /// As [`Columns::new`], which those that inference gives do not have.
    pub fn learned(version: u32, columns: Vec<Column>) -> Result<Self, ColumnError> {
        if columns.is_empty() && version == 0 {
            return Ok(Self { columns, version: Some(version) });
        }
        Ok(Self { version: Some(version), ..Self::new(columns)? })
    }

    /// Columns that are to be learned from records.
    pub fn unlearned() -> Self {
        Self { columns: Vec::new(), version: Some(0) }
    }

    /// Which version they are, if they were learned from records.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// The columns that a pipeline file declares.
    ///
    /// # Errors
    /// Every problem, with the index of the declaration that has it (0 where it is the whole's).
    pub fn declared(declarations: &[ColumnDeclaration]) -> Result<Self, Vec<(usize, ColumnError)>> {
        let mut columns: Vec<Column> = Vec::with_capacity(declarations.len());
        let mut errors = Vec::new();
        for (index, declaration) in declarations.iter().enumerate() {
            let name = &declaration.name;
            if name.is_empty() {
                errors.push((index, ColumnError::NoName));
            } else if declarations[..index].iter().any(|earlier| earlier.name == *name) {
                errors.push((index, ColumnError::DuplicateName(name.clone())));
            }
            match declaration.type_text.parse() {
                Ok(column_type) => {
                    let key = declaration.key.as_ref().unwrap_or(name);
                    let column = Column::new(name, column_type, declaration.nullable).with_key(key);
                    columns.push(column.with_reading(declaration.reading));
                }
                Err(error) => errors.push((index, error)),
            }
        }
        if errors.is_empty() { Self::new(columns).map_err(|error| vec![(0, error)]) } else { Err(errors) }
    }

    /// The columns, in order.
    pub fn as_slice(&self) -> &[Column] {
        &self.columns
    }

    /// How many scalar columns there are, those inside nested types included.
    pub fn leaves(&self) -> usize {
        self.columns.iter().map(|column| column.column_type.leaves()).sum()
    }
}

impl ColumnType {
    /// How many scalar columns it is stored as.
    pub fn leaves(&self) -> usize {
        match self {
            ColumnType::Struct(fields) => fields.iter().map(|field| field.column_type.leaves()).sum(),
            ColumnType::List(element) => element.leaves(),
            ColumnType::Map(value) => 1 + value.leaves(),
            _ => 1,
        }
    }

    /// The type's name for messages: the text form, without what is inside of nested types.
    pub fn short_name(&self) -> String {
        match self {
            ColumnType::List(_) => "list".to_owned(),
            ColumnType::Struct(_) => "struct".to_owned(),
            ColumnType::Map(_) => "map".to_owned(),
            scalar => scalar.to_string(),
        }
    }
}

fn check_level(fields: &[Column], depth: usize) -> Result<(), ColumnError> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    if names.first() == Some(&"") {
        return Err(ColumnError::NoName);
    }
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ColumnError::DuplicateName(pair[0].to_owned()));
    }
    fields.iter().try_for_each(|field| check_type(&field.name, &field.column_type, depth))
}

fn check_type(name: &str, column_type: &ColumnType, depth: usize) -> Result<(), ColumnError> {
    match column_type {
        ColumnType::List(_) | ColumnType::Map(_) | ColumnType::Struct(_) if depth == TYPE_DEPTH_MAX => {
            Err(ColumnError::TooDeep)
        }
        ColumnType::List(inner) | ColumnType::Map(inner) => check_type(name, inner, depth + 1),
        ColumnType::Struct(fields) if fields.is_empty() => Err(ColumnError::EmptyStruct(name.to_owned())),
        ColumnType::Struct(fields) => check_level(fields, depth + 1),
        ColumnType::Decimal { precision, scale } if !type_text::decimal_fits(*precision, *scale) => {
            Err(ColumnError::DecimalRange { position: 1 })
        }
        _ => Ok(()),
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type_text::write(self, f)
    }
}

#[cfg(test)]
mod tests;
