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
            Coercion::LearnedText => column.column_type.has_string() || column.column_type.has_timestamp(),
            // Its times have taken dates as well.
            Coercion::Learned => column.column_type.has_timestamp(),
            Coercion::Strict => false,
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
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::delivery::encode::columns::RecordColumns;
    use crate::schema::columns::{ColumnDeclaration, Reading};
    use crate::schema::inference::{Learner, OnConflict, Rules};

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

    /// The columns that a pipeline file with what was printed declares.
    fn pasted(columns: &Columns) -> Columns {
        let mut out = Vec::new();
        let shown = Shown::of_columns("s", columns, "learned".to_owned());
        shown.print_toml(&mut out).expect("a vector");
        let table: toml::Table = toml::from_str(std::str::from_utf8(&out).expect("text")).expect("TOML");
        let declared = table["schema"]["columns"].as_array().expect("columns").iter().map(|column| {
            let text = |key: &str| column.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            let coercion = match text("coerce").as_deref() {
                Some("lenient") => Coercion::Lenient,
                None => Coercion::Strict,
                other => panic!("{other:?}"),
            };
            let (name, type_text) = (text("name").expect("a name"), text("type").expect("a type"));
            ColumnDeclaration {
                key: text("key"),
                reading: Reading { coercion, epoch: None },
                ..ColumnDeclaration::new(name, type_text, true)
            }
        });
        Columns::declared(&declared.collect::<Vec<_>>()).expect("columns")
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(-3),
            json!(1e3),
            json!(0.5),
            json!(9_007_199_254_740_993_i64),
            json!("2026-01-01"),
            json!("0000-03-01"),
            json!("2026-01-01T00:00:00.123456Z"),
            json!("2026-01-01T23:59:60+05:30"),
            json!(" 2026-01-01"),
            json!("text"),
        ]);
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab. ]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_learned_columns_take_is_taken_as_the_same_values_where_they_are_pasted(
            records in prop::collection::vec(prop::collection::btree_map("[ab]", value(), 0..3), 1..10),
            on_conflict in prop::sample::select(vec![OnConflict::Widen, OnConflict::DeadLetter]),
        ) {
            let mut learner = Learner::new(&[], Rules { on_conflict, columns_max: 100 });
            let records: Vec<_> = records.iter().map(|record| json!(record).to_string()).collect();
            records.iter().for_each(|record| drop(learner.take(record)));
            prop_assume!(!learner.columns().is_empty());
            let learned = Columns::learned(1, learner.columns()).expect("columns");
            let mut before = RecordColumns::new(&learned);
            let mut after = RecordColumns::new(&pasted(&learned));
            for record in records.iter().filter(|record| before.push(record).is_ok()) {
                prop_assert_eq!(after.push(record), Ok(()), "{}", record);
            }
            let (before, after) = (before.take_batch().expect("a batch"), after.take_batch().expect("a batch"));
            prop_assert_eq!(before.columns(), after.columns());
        }
    }

    #[test]
    fn learned_strings_that_took_any_value_go_on_taking_numbers() {
        let text = Reading { coercion: Coercion::LearnedText, epoch: None };
        let said = toml(&[column("a", "list<string>", text), column("n", "int64", text)]);
        assert!(said.contains(r#"{ name = "a", type = "list<string>", coerce = "lenient" }"#), "{said}");
        assert!(said.contains(r#"{ name = "n", type = "int64" }"#), "{said}");
    }
}
