//! `[schema]`: raw → checked, and what it must not contradict.

use serde_json::Value;

use super::checked::ColumnsSource;
use super::checker::Checker;
use super::raw::{ColumnTable, SchemaTable};
use crate::schema::columns::{Coercion, ColumnDeclaration, Columns, Reading, TimeUnit, sanitized_name};

const HELP: &str = "write columns = [{ name = \"id\", type = \"int64\" }]";

/// The columns that the file declares; `None` where a problem was added.
pub(super) fn check_declared(raw: SchemaTable, checker: &mut Checker<'_>) -> Option<Columns> {
    let columns = checker.required("schema.columns", raw.columns, HELP)?;
    if columns.is_empty() {
        checker.problem_with_help("schema.columns", "columns must not be empty", HELP);
        return None;
    }
    let declarations: Vec<_> =
        columns.into_iter().enumerate().map(|(index, column)| check_column(column, index, checker)).collect();
    let declarations: Vec<_> = declarations.into_iter().collect::<Option<_>>()?;
    match Columns::declared(&declarations) {
        Ok(columns) => Some(columns),
        Err(errors) => {
            for (index, error) in errors {
                checker.problem(&format!("schema.columns[{index}]"), format!("column: {error}"));
            }
            None
        }
    }
}

fn check_column(raw: ColumnTable, index: usize, checker: &mut Checker<'_>) -> Option<ColumnDeclaration> {
    let path = format!("schema.columns[{index}]");
    let name = checker.required(&format!("{path}.name"), raw.name, HELP);
    let type_text = checker.required(&format!("{path}.type"), raw.type_text, HELP);
    let coerce_path = format!("{path}.coerce");
    let coercion = checker.word(&coerce_path, raw.coerce.as_deref(), Coercion::Strict, &Coercion::WORDS);
    let units = TimeUnit::WORDS.map(|(word, unit)| (word, Some(unit)));
    let epoch = checker.word(&format!("{path}.epoch"), raw.epoch.as_deref(), None, &units);
    let mut declaration = ColumnDeclaration::new(name?, type_text?, raw.nullable.unwrap_or(true));
    declaration.key = raw.key;
    declaration.reading = Reading { coercion: coercion?, epoch: epoch? };
    Some(declaration)
}

/// Names that some reader of columnar files does not take.
pub(super) fn check_names(columns: &Columns, source: ColumnsSource, checker: &mut Checker<'_>) {
    let Err(errors) = columns.check_names() else { return };
    for (index, error) in errors {
        match source {
            ColumnsSource::Declared => {
                let help = error.other_name().unwrap_or_default();
                let path = format!("schema.columns[{index}]");
                checker.problem_with_help(&path, format!("column: {error}"), help);
            }
            // They are named when they are learned.
            ColumnsSource::Inferred(_) => {}
            ColumnsSource::JsonSchema => {
                let Some(column) = columns.as_slice().get(index) else { continue };
                let (name, key) = (sanitized_name(&column.name), column.key());
                checker.problem_with_help(
                    "ingest.schema",
                    format!("column {key:?} from the JSON Schema: {error}"),
                    format!(
                        "declare the columns in [schema], this one as {{ name = {name:?}, key = {key:?}, type = \"{}\" }}",
                        column.column_type.short_name()
                    ),
                );
            }
        }
    }
}

/// Declared columns that the JSON Schema in `file` says the opposite of.
pub(super) fn check_against(schema: &Value, file: &str, columns: &Columns, checker: &mut Checker<'_>) {
    let file = checker.quote("ingest.schema", file);
    let (line, _) = checker.document.place_of("ingest.schema");
    for found in columns.contradictions(schema) {
        let message = format!("{} ({file}, named in line {line})", found.message);
        checker.problem_with_help(&format!("schema.columns[{}]", found.column), message, found.help);
    }
}
