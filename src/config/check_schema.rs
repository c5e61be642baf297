//! `[schema]`: raw → checked, and what it must not contradict.

use std::collections::HashSet;

use serde_json::Value;

use super::checker::Checker;
use super::raw::{ColumnTable, SchemaTable};
use crate::schema::columns::{Coercion, ColumnDeclaration, Columns, Reading, TimeUnit, sanitized_name};

const HELP: &str = "write columns = [{ name = \"id\", type = \"int64\" }]";

/// The columns that a file declares.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Those that are right alone, so that what else is wrong with them is told at the same time.
    columns: Option<Columns>,
    /// The place of each among the declarations.
    places: Vec<usize>,
    is_whole: bool,
    /// Where the declarations are.
    path: String,
}

impl Declared {
    /// The columns; `None` where a problem was added.
    pub(super) fn into_columns(self) -> Option<Columns> {
        self.columns.filter(|_| self.is_whole)
    }

    /// Where the column of that index stands in the file.
    fn path(&self, index: usize) -> String {
        format!("{}[{}]", self.path, self.places.get(index).copied().unwrap_or_default())
    }
}

/// The columns that the file declares.
pub(super) fn check_declared(raw: SchemaTable, checker: &mut Checker<'_>) -> Declared {
    check_declared_at("schema.columns", raw, checker)
}

/// The columns that stand at `path`.
pub(super) fn check_declared_at(path: &str, raw: SchemaTable, checker: &mut Checker<'_>) -> Declared {
    let before = checker.problems.len();
    let Some(columns) = checker.required(path, raw.columns, HELP) else {
        return Declared::default();
    };
    if columns.is_empty() {
        checker.problem_with_help(path, "columns must not be empty", HELP);
        return Declared::default();
    }
    let check = |(index, column)| Some((index, check_column(column, &format!("{path}[{index}]"), checker)?));
    let (mut places, mut declarations): (Vec<_>, Vec<_>) =
        columns.into_iter().enumerate().filter_map(check).unzip();
    if declarations.is_empty() {
        return Declared::default();
    }
    if let Err(errors) = Columns::declared(&declarations) {
        let wrong: HashSet<usize> = errors.iter().map(|(index, _)| *index).collect();
        for (index, error) in errors {
            let place = places.get(index).copied().unwrap_or_default();
            checker.problem(&format!("{path}[{place}]"), format!("column: {error}"));
        }
        let right = |index: usize| !wrong.contains(&index);
        (places, declarations) = places
            .into_iter()
            .zip(declarations)
            .enumerate()
            .filter_map(|(index, declared)| right(index).then_some(declared))
            .unzip();
    }
    let columns = Columns::declared(&declarations).ok();
    Declared { columns, places, is_whole: checker.problems.len() == before, path: path.to_owned() }
}

fn check_column(raw: ColumnTable, path: &str, checker: &mut Checker<'_>) -> Option<ColumnDeclaration> {
    let name = checker.required(&format!("{path}.name"), raw.name, HELP);
    let type_text = checker.required(&format!("{path}.type"), raw.type_text, HELP);
    let coerce_path = format!("{path}.coerce");
    let coercion = checker.word(&coerce_path, raw.coerce.as_deref(), Coercion::Strict, &Coercion::WORDS);
    let units = TimeUnit::WORDS.map(|(word, unit)| (word, Some(unit)));
    let epoch = checker.word(&format!("{path}.epoch"), raw.epoch.as_deref(), None, &units);
    let mut declaration = ColumnDeclaration::new(name?, type_text?, raw.nullable.unwrap_or(true));
    declaration.key = raw.key;
    // Where one is wrong the problem is told, and the rest of the column is looked at.
    declaration.reading =
        Reading { coercion: coercion.unwrap_or_default(), epoch: epoch.unwrap_or_default() };
    Some(declaration)
}

/// Declared names that some reader of columnar files does not take.
pub(super) fn check_declared_names(declared: &Declared, checker: &mut Checker<'_>) {
    let Some(Err(errors)) = declared.columns.as_ref().map(Columns::check_names) else { return };
    for (index, error) in errors {
        let help = error.other_name().unwrap_or_default();
        checker.problem_with_help(&declared.path(index), format!("column: {error}"), help);
    }
}

/// The same for names that come from the JSON Schema.
pub(super) fn check_derived_names(columns: &Columns, checker: &mut Checker<'_>) {
    let Err(errors) = columns.check_names() else { return };
    for (index, error) in errors {
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

/// Declared columns that the JSON Schema in `file` says the opposite of.
///
/// The schema says nothing of the member `added`, which records get after they were judged.
pub(super) fn check_against(
    schema: &Value,
    file: &str,
    (declared, added): (&Declared, Option<&str>),
    checker: &mut Checker<'_>,
) {
    let file = checker.quote("ingest.schema", file);
    let (line, _) = checker.document.place_of("ingest.schema");
    let columns = declared.columns.as_ref();
    let is_added =
        |column: usize| columns.and_then(|all| all.as_slice().get(column)).map(|column| column.key());
    let found = columns.into_iter().flat_map(|columns| columns.contradictions(schema));
    for found in found.filter(|found| added.is_none() || is_added(found.column) != added) {
        let message = format!("{} ({file}, named in line {line})", found.message);
        checker.problem_with_help(&declared.path(found.column), message, found.help);
    }
}
