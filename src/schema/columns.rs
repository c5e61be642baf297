//! The columns of a columnar file: what a delivery keeps of each record, and as what.
//!
//! Columns are declared in the pipeline file ([`Columns::declared`], text forms in [`ColumnType`]) or derived from
//! the stream's JSON Schema ([`Columns::derive`]). Either way they are checked once, here: whoever holds a
//! [`Columns`] need not look for empty, doubled or endlessly nested ones.

mod arrow_schema;
mod column;
mod contradiction;
mod derive;
mod error;
mod names;
mod paths;
mod type_text;

use std::fmt;

pub(crate) use arrow_schema::fields as arrow_fields;
pub use arrow_schema::{LIST_ELEMENT, MAP_ENTRIES, MAP_KEY, MAP_VALUE};
pub use column::{Coercion, Column, ColumnDeclaration, Reading, TimeUnit};
pub use contradiction::Contradiction;
pub use error::ColumnError;
pub use names::{NAME_CHARACTERS_REFUSED, equal_ignoring_case, sanitized_name};
pub use paths::{Leaf, PathError};

/// Levels of `list`, `map` and `struct` in one type. Parquet's readers recurse over them; real records have fewer
/// than ten.
pub const TYPE_DEPTH_MAX: usize = 32;

/// Scalar columns of one file, those inside nested types included. An open Parquet file keeps about 10 KiB of
/// writer state for each, so 4,096 are 40 MiB: what one file may cost before its first record.
pub const COLUMN_LEAVES_MAX: usize = 4_096;

/// The columns of a columnar file, in order. Names are unique on each level, and keys unless the columns were learned
/// from records: then the first of several columns of a key that takes a value has it. Only learned columns of which
/// nothing is known yet are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    columns: Vec<Column>,
    version: Option<u32>,
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
    /// `struct<name: T, …>`: an object; keys without a field are left out. Declared fields may be missing. A field
    /// that is not called as its key is written `name = "key": T`.
    Struct(Vec<Column>),
    /// `map<string, T>`: an object. Values may be `null`.
    Map(Box<ColumnType>),
    /// `json`: any value, kept as its text.
    Json,
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
        check_keys(&columns)?;
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
            return Ok(Self::unlearned());
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
            match declaration.type_text.parse::<ColumnType>() {
                Ok(column_type) if declaration.reading.epoch.is_some() && !column_type.has_timestamp() => {
                    errors.push((index, ColumnError::EpochWithoutTimestamp));
                }
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

    /// Whether its values are made of others.
    pub fn is_nested(&self) -> bool {
        matches!(self, ColumnType::List(_) | ColumnType::Map(_) | ColumnType::Struct(_))
    }

    /// Whether there is a timestamp in it.
    pub fn has_timestamp(&self) -> bool {
        match self {
            ColumnType::Timestamp(_) => true,
            ColumnType::List(inner) | ColumnType::Map(inner) => inner.has_timestamp(),
            ColumnType::Struct(fields) => fields.iter().any(|field| field.column_type.has_timestamp()),
            _ => false,
        }
    }

    /// Whether it is, or has inside, a string. A map's keys are none.
    pub fn has_string(&self) -> bool {
        match self {
            ColumnType::String => true,
            ColumnType::List(inner) | ColumnType::Map(inner) => inner.has_string(),
            ColumnType::Struct(fields) => fields.iter().any(|field| field.column_type.has_string()),
            _ => false,
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

/// Declared columns have a key each; that the fields of their structs have is seen to where types are read.
fn check_keys(columns: &[Column]) -> Result<(), ColumnError> {
    let declared = columns.iter().filter(|column| !column.reading.coercion.is_learned());
    let mut keys: Vec<&str> = declared.map(Column::key).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ColumnError::DuplicateKey(pair[0].to_owned())),
        None => Ok(()),
    }
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
