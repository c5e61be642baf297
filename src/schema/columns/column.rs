//! One column: its name, its key, and how its values are read.

use serde::{Deserialize, Serialize};

use super::ColumnType;

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
    /// What the column was learned from: see [`crate::schema::inference`]. Keys without a column are no part of a
    /// record that fits, unless they hold nothing.
    Learned,
    /// The same, and a column of strings takes the text of every value.
    LearnedText,
}

impl Coercion {
    /// Each with the word that pipeline files have for it.
    pub const WORDS: [(&'static str, Coercion); 2] =
        [("strict", Coercion::Strict), ("lenient", Coercion::Lenient)];

    /// Whether the columns were learned from records.
    pub fn is_learned(self) -> bool {
        matches!(self, Coercion::Learned | Coercion::LearnedText)
    }

    /// Whether it is [`Coercion::Strict`].
    pub fn is_strict(&self) -> bool {
        *self == Coercion::Strict
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

/// The unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// Each with the word that pipeline files have for it.
    pub const WORDS: [(&'static str, TimeUnit); 4] = [
        ("seconds", TimeUnit::Seconds),
        ("millis", TimeUnit::Millis),
        ("micros", TimeUnit::Micros),
        ("nanos", TimeUnit::Nanos),
    ];

    /// The word in pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            TimeUnit::Seconds => "seconds",
            TimeUnit::Millis => "millis",
            TimeUnit::Micros => "micros",
            TimeUnit::Nanos => "nanos",
        }
    }

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
