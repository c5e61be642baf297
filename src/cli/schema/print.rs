//! Columns, for people and for programs.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::config::checked::{ColumnsSource, Pipeline};
use crate::runtime::clock::UnixMicros;
use crate::schema::columns::{Coercion, Column, Columns, TimeUnit};
use crate::schema::inference::Change;
use crate::schema::registry::Version;

/// What `show` prints.
#[derive(Debug, Serialize)]
pub struct Shown {
    stream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// Where the columns are from, in words.
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_at: Option<String>,
    columns: Vec<ShownColumn>,
}

#[derive(Debug, Serialize)]
struct ShownColumn {
    name: String,
    /// The record's field.
    key: String,
    #[serde(rename = "type")]
    type_text: String,
    nullable: bool,
    /// `coerce` and `epoch` as a declaration of the column has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    coerce: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'static str>,
}

impl ShownColumn {
    fn of(column: &Column) -> Self {
        let is_lenient = match column.reading.coercion {
            Coercion::Lenient => true,
            // Its strings have taken numbers as well.
            Coercion::LearnedText => column.column_type.has_string(),
            Coercion::Strict | Coercion::Learned => false,
        };
        Self {
            name: column.name.clone(),
            key: column.key().to_owned(),
            type_text: column.column_type.to_string(),
            nullable: column.nullable,
            coerce: is_lenient.then_some("lenient"),
            epoch: column.reading.epoch.map(TimeUnit::as_str),
        }
    }
}

/// Where a pipeline's columns are from, unless they are learned.
pub fn source(pipeline: &Pipeline) -> String {
    let how = match pipeline.columns_source {
        Some(ColumnsSource::JsonSchema) => "derived from the JSON Schema of",
        _ => "declared in",
    };
    format!("{how} {}", pipeline.file.display())
}

impl Shown {
    /// A version of learned columns.
    pub fn of_version(stream: &str, version: &Version) -> Self {
        let source = match version.first {
            Some((shard, number)) => {
                format!("learned from shard {}, sequence number {number}, and what came with it", shard.0)
            }
            None => "learned, and read by other rules than before".to_owned(),
        };
        Self {
            version: Some(version.number),
            learned_at: Some(time(version.learned_at)),
            ..Self::of_columns(stream, &version.columns, source)
        }
    }

    /// Other columns.
    pub fn of_columns(stream: &str, columns: &Columns, source: String) -> Self {
        let columns = columns.as_slice().iter().map(ShownColumn::of).collect();
        Self { stream: stream.to_owned(), version: None, source, learned_at: None, columns }
    }

    /// No columns.
    pub fn nothing(stream: &str, source: String) -> Self {
        Self { stream: stream.to_owned(), version: None, source, learned_at: None, columns: Vec::new() }
    }

    /// A table.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { stream, source, .. } = self;
        let version = self.version.map(|version| format!(", version {version}")).unwrap_or_default();
        let learned = self.learned_at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        writeln!(out, "stream {stream}{version}: {source}{learned}")?;
        let name_width = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
        for column in &self.columns {
            let ShownColumn { name, key, type_text, nullable, .. } = column;
            let key = if key == name { String::new() } else { format!("  (field {})", quoted(key)) };
            let required = if *nullable { "" } else { "  required" };
            let coerce = column.coerce.map(|word| format!("  {word}")).unwrap_or_default();
            let epoch = column.epoch.map(|unit| format!("  numbers in {unit}")).unwrap_or_default();
            writeln!(out, "  {name:name_width$}  {type_text}{required}{coerce}{epoch}{key}")?;
        }
        Ok(())
    }

    /// `[schema] columns` for a pipeline file.
    pub fn print_toml(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[schema]\ncolumns = [")?;
        for column in &self.columns {
            let ShownColumn { name, key, type_text, nullable, coerce, epoch } = column;
            let key_text = if key == name { String::new() } else { format!(", key = {}", quoted(key)) };
            let required = if *nullable { "" } else { ", nullable = false" };
            let coerce = coerce.map(|word| format!(", coerce = {}", quoted(word))).unwrap_or_default();
            let epoch = epoch.map(|unit| format!(", epoch = {}", quoted(unit))).unwrap_or_default();
            let first = self.columns.iter().find(|other| other.key == *key).map(|other| &other.name);
            // One field has one column where columns are declared.
            let comment = if first == Some(name) { "" } else { "# " };
            writeln!(
                out,
                "  {comment}{{ name = {}{key_text}, type = {}{required}{coerce}{epoch} }},",
                quoted(name),
                quoted(type_text)
            )?;
        }
        writeln!(out, "]")
    }
}

/// A basic string of TOML, which takes what JSON writes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A point in time.
fn time(micros: UnixMicros) -> String {
    let time = DateTime::from_timestamp_micros(micros.0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Prints JSON.
pub fn json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Prints what has changed.
pub fn difference(changes: &[Change], (from, to): (u32, u32), out: &mut dyn Write) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(out, "versions {from} and {to} have the same columns");
    }
    changes.iter().try_for_each(|change| writeln!(out, "{change}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::columns::{ColumnDeclaration, Reading};

    fn column(name: &str, type_text: &str, reading: Reading) -> ColumnDeclaration {
        ColumnDeclaration { reading, ..ColumnDeclaration::new(name, type_text, true) }
    }

    fn toml(declarations: &[ColumnDeclaration]) -> String {
        let columns = Columns::declared(declarations).expect("columns");
        let mut out = Vec::new();
        Shown::of_columns("s", &columns, "declared".to_owned()).print_toml(&mut out).expect("a vector");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_pasted_reads_values_as_before() {
        let lenient = Reading { coercion: Coercion::Lenient, epoch: Some(TimeUnit::Millis) };
        let id = ColumnDeclaration {
            key: Some("the id".to_owned()),
            ..ColumnDeclaration::new("id", "int64", false)
        };
        let said = toml(&[column("at", "timestamp_micros", lenient), id]);
        assert_eq!(
            said,
            r#"[schema]
columns = [
  { name = "at", type = "timestamp_micros", coerce = "lenient", epoch = "millis" },
  { name = "id", key = "the id", type = "int64", nullable = false },
]
"#
        );
    }

    #[test]
    fn learned_strings_that_took_any_value_go_on_taking_numbers() {
        let text = Reading { coercion: Coercion::LearnedText, epoch: None };
        let said = toml(&[column("a", "list<string>", text), column("n", "int64", text)]);
        assert!(said.contains(r#"{ name = "a", type = "list<string>", coerce = "lenient" }"#), "{said}");
        assert!(said.contains(r#"{ name = "n", type = "int64" }"#), "{said}");
    }
}
