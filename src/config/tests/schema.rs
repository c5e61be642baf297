//! `[schema]`, and what of it contradicts the JSON Schema or the readers of the files.

use std::fs;

use super::*;
use crate::schema::columns::{Coercion, Reading, TimeUnit};

const PARQUET: &str = "[[delivery]]\nname = \"d\"\nformat = \"parquet\"\n";

#[test]
fn a_column_has_a_key_a_coercion_and_an_epoch() {
    let text = format!(
        "{STREAM}{PARQUET}[schema]\ncolumns = [\n  {{ name = \"user_id\", key = \"user-id\", type = \"int64\", coerce = \"lenient\" }},\n  \
         {{ name = \"at\", type = \"timestamp_micros\", epoch = \"seconds\", coerce = \"strict\" }},\n]"
    );
    let pipeline = pipeline(&text);
    let columns = match &pipeline.deliveries[0].format {
        crate::config::checked::Format::Parquet(parquet) => &parquet.columns,
        other => panic!("{other:?}"),
    };
    let [user, at] = columns.as_slice() else { panic!("{columns:?}") };
    assert_eq!((user.name.as_str(), user.key()), ("user_id", "user-id"));
    assert_eq!(user.reading, Reading { coercion: Coercion::Lenient, epoch: None });
    assert_eq!(at.reading, Reading { coercion: Coercion::Strict, epoch: Some(TimeUnit::Seconds) });
}

#[test]
fn what_a_column_cannot_be_is_said() {
    for (column, message) in [
        (
            "{ name = \"a\", type = \"int64\", coerce = \"lenent\" }",
            "4:51: coerce = \"lenent\" is not known: did you mean \"lenient\"?",
        ),
        (
            "{ name = \"a\", type = \"timestamp_micros\", epoch = \"s\" }",
            "4:61: epoch = \"s\" is not known: write \"seconds\", \"millis\", \"micros\" or \"nanos\"",
        ),
        (
            "{ name = \"a\", type = \"int64\", epoch = \"millis\" }",
            "4:12: column: epoch is the unit of a timestamp's numbers, and there is no timestamp in this type: leave it out",
        ),
        (
            "{ name = \"a\", type = \"int64\" }, { name = \"b\", type = \"int64\", key = \"a\" }",
            "4:12: column: the key 'a' is read into two columns: remove one of them",
        ),
    ] {
        let found = complaints_below_stream(&format!("[schema]\ncolumns = [{column}]"));
        assert_eq!(found, format!("p.toml:{message}"));
    }
}

#[test]
fn names_that_hive_dislikes_are_refused_for_columnar_files_only() {
    let columns = "[schema]\ncolumns = [\n  { name = \"a.b\", type = \"int64\" },\n  { name = \"id\", type = \"int64\" },\n  { name = \"ID\", type = \"int64\" },\n]";
    assert_eq!(
        complaints_below_stream(&format!("{PARQUET}{columns}")),
        "p.toml:8:3: column: the name \"a.b\" has '.' in it, which Hive and Spark do not take\n  help: write name = \"a_b\", key = \"a.b\"\n\
         p.toml:10:3: column: the names 'id' and 'ID' differ only in upper and lower case, which Hive and Spark take for one name\n  help: write name = \"ID_2\", key = \"ID\""
    );
    pipeline(&format!("{STREAM}[[delivery]]\nname = \"d\"\n{columns}"));
}

#[test]
fn all_that_is_wrong_with_the_columns_is_said_at_once() {
    let columns = [
        r#"{ name = "a", type = "int" }"#,
        r#"{ name = "b", type = "int64", coerce = "lax" }"#,
        r#"{ name = "c.d", type = "int64" }"#,
        r#"{ name = "e", type = "string" }"#,
        r#"{ name = "e", type = "int8" }"#,
        r#"{ name = "id", type = "string" }"#,
    ];
    let settings = format!("[schema]\ncolumns = [\n  {}\n]\n{PARQUET}", columns.join(",\n  "));
    let schema = r#"{"type": "object", "properties": {"id": {"type": "integer"}}}"#;
    let found = complaints_with_schema(&settings, schema);
    let lines: Vec<_> = found.lines().filter(|line| !line.starts_with("  ")).collect();
    let [type_text, coerce, name, twice, contradiction] = lines[..] else { panic!("{found}") };
    assert!(type_text.starts_with("p.toml:7:3: column: "), "{found}");
    assert!(coerce.starts_with("p.toml:8:42: coerce = \"lax\" is not known"), "{found}");
    assert!(name.starts_with("p.toml:9:3: column: the name \"c.d\" has '.' in it"), "{found}");
    assert!(twice.starts_with("p.toml:11:3: column: the name 'e' is used twice"), "{found}");
    assert!(contradiction.starts_with("p.toml:12:3: "), "{found}");
}

/// What is printed about `settings` with a file `s.json` beside them.
fn complaints_with_schema(settings: &str, schema: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("s.json"), schema).expect("a file");
    let (node, _) = node_from("");
    let text = format!("{STREAM}[ingest]\nschema = \"s.json\"\n{settings}");
    let mut document = Document::new(folder.path().join("p.toml"), text);
    let mut problems = Vec::new();
    check_text(&mut document, &pipeline_schema(), node.as_ref(), &env, &mut problems);
    printed(Problems::sorted(problems).as_slice()).replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn names_from_a_json_schema_that_hive_dislikes_have_to_be_declared() {
    assert_eq!(
        complaints_with_schema(PARQUET, r#"{"properties": {"user id": {"type": "integer"}}}"#),
        "p.toml:4:10: column \"user id\" from the JSON Schema: the name \"user id\" has ' ' in it, which Hive and Spark do not take\n  \
         help: declare the columns in [schema], this one as { name = \"user_id\", key = \"user id\", type = \"int64\" }"
    );
}

#[test]
fn columns_and_json_schema_that_contradict_each_other_are_both_named() {
    let columns = format!("{PARQUET}[schema]\ncolumns = [{{ name = \"status\", type = \"int32\" }}]");
    assert_eq!(
        complaints_with_schema(&columns, r#"{"properties": {"status": {"type": "string"}}}"#),
        "p.toml:9:12: column \"status\" is int32, which takes number, but the JSON Schema allows string at /properties/status (\"s.json\", named in line 4)\n  \
         help: write a type that takes it (json takes everything), coerce = \"lenient\" where that does, or another JSON Schema"
    );
    assert_eq!(complaints_with_schema(&columns, r#"{"properties": {"status": {"type": "integer"}}}"#), "");
}

#[test]
fn every_format_with_columns_takes_those_of_the_json_schema() {
    for format in ["parquet", "orc"] {
        let delivery = format!("[[delivery]]\nname = \"d\"\nformat = {format:?}");
        let schema = r#"{"properties": {"user_id": {"type": "integer"}}}"#;
        assert_eq!(complaints_with_schema(&delivery, schema), "", "{format}");
    }
}
