//! `[ingest] schema = "infer"` and what `[schema]` says about it.

use super::checker::Checker;
use super::limits;
use super::raw::SchemaTable;
use crate::schema::columns::COLUMN_LEAVES_MAX;
use crate::schema::inference::{OnConflict, Rules};

/// The word in the place of a file's name.
pub(super) const INFER: &str = "infer";

/// How columns are learned; `None` where a problem was added. `columnar` is whether a delivery has columns at all.
pub(super) fn check_inference(
    raw: Option<SchemaTable>,
    columnar: bool,
    checker: &mut Checker<'_>,
) -> Option<Rules> {
    if !columnar {
        checker.problem_with_help(
            "ingest.schema",
            "schema = \"infer\" learns the columns of Parquet and ORC files, and no delivery has any",
            "write format = \"parquet\" in a [[delivery]], or leave schema out: JSON files need none",
        );
        return None;
    }
    let raw = raw.unwrap_or_default();
    let on_conflict = checker.word(
        "schema.on_conflict",
        raw.on_conflict.as_deref(),
        OnConflict::default(),
        &OnConflict::WORDS,
    );
    let default = limits::INFERRED_COLUMNS_DEFAULT;
    let columns_max = checker.count("schema.max_columns", raw.max_columns, default, COLUMN_LEAVES_MAX);
    if raw.columns.is_some() || checker.document.has("schema.columns") {
        checker.problem_with_help(
            "schema.columns",
            "columns are declared, and [ingest] schema = \"infer\" is to learn them",
            "leave columns out, or leave schema = \"infer\" out of [ingest]",
        );
        return None;
    }
    Some(Rules { on_conflict: on_conflict?, columns_max: columns_max? })
}

/// Settings of inference where columns come from elsewhere.
pub(super) fn refuse_without_inference(raw: &SchemaTable, checker: &mut Checker<'_>) {
    for (key, is_given) in
        [("on_conflict", raw.on_conflict.is_some()), ("max_columns", raw.max_columns.is_some())]
    {
        if is_given {
            checker.problem_with_help(
                &format!("schema.{key}"),
                format!("{key} is for [ingest] schema = \"infer\" only"),
                "leave it out, or have the columns learned with schema = \"infer\" in [ingest]",
            );
        }
    }
}
