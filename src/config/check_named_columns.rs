//! `bloom_filters` and `sort_by` of `[[delivery]]`: do the columns that they name exist, and can it be done with them?

use std::collections::HashSet;

use super::check_delivery::PipelineColumns;
use super::checked::SortColumn;
use super::checker::Checker;
use super::raw::DeliveryTable;
use super::suggest::nearest;
use crate::schema::columns::{ColumnType, Columns};

/// Adds a problem for each column of the delivery at `path` that is not right. Where columns are not known before the
/// first record, names of others are left out when a file is written.
pub(super) fn check_named_columns(
    raw: &DeliveryTable,
    path: &str,
    columns: &PipelineColumns,
    checker: &mut Checker<'_>,
) {
    let PipelineColumns::Known(columns) = columns else { return };
    if columns.version().is_some() {
        return;
    }
    let is_parquet = raw.format.as_deref() == Some("parquet");
    let mut seen = HashSet::new();
    for (index, name) in raw.bloom_filters.iter().flatten().enumerate() {
        let path = format!("{path}.bloom_filters[{index}]");
        match columns.leaf(name) {
            Err(error) => checker.problem(&path, format!("bloom_filters: {error}")),
            Ok(leaf) if *leaf.column_type == ColumnType::Bool => {
                let message =
                    format!("bloom_filters: '{name}' is a bool: a filter of two values tells nothing");
                checker.problem(&path, message);
            }
            Ok(leaf) if is_parquet && is_float(leaf.column_type) => {
                let message = format!(
                    "bloom_filters: '{name}' is a float: in the filters of Parquet 0.0 and -0.0 are two values, and \
                     readers would pass over rows with the other one"
                );
                checker.problem_with_help(&path, message, "leave it out, or make the column a decimal");
            }
            Ok(leaf) if !seen.insert(leaf.index) => {
                checker.problem(&path, format!("bloom_filters: '{name}' is named twice"));
            }
            Ok(_) => {}
        }
    }
    let mut seen = HashSet::new();
    for (index, text) in raw.sort_by.iter().flatten().enumerate() {
        let path = format!("{path}.sort_by[{index}]");
        let SortColumn { column, .. } = SortColumn::parse(text);
        if let Some(message) = sort_problem(&column, columns) {
            checker.problem(&path, message);
        } else if !seen.insert(column.clone()) {
            checker.problem(&path, format!("sort_by: '{column}' is named twice"));
        }
    }
}

fn is_float(column_type: &ColumnType) -> bool {
    matches!(column_type, ColumnType::Float32 | ColumnType::Float64)
}

fn sort_problem(name: &str, columns: &Columns) -> Option<String> {
    let Some(column) = columns.as_slice().iter().find(|column| column.name == name) else {
        if columns.leaf(name).is_ok() {
            return Some(format!(
                "sort_by: '{name}' is inside of another column: rows are sorted by whole ones"
            ));
        }
        let near = nearest(name, columns.as_slice().iter().map(|column| column.name.as_str()));
        let advice = near.map(|near| format!(": did you mean '{near}'?")).unwrap_or_default();
        return Some(format!("sort_by: there is no column '{name}'{advice}"));
    };
    let kind = column.column_type.short_name();
    let problem =
        || format!("sort_by: '{name}' is a {kind}, which has no order: name a column of a single value");
    column.column_type.is_nested().then(problem)
}
