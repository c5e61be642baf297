//! What one version of columns has that another one has not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::schema::columns::{Column, ColumnType};

/// A column, or a field inside one, that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Names from the column to the field, with `[]` for the elements of a list and `{}` for the values of a map:
    /// `orders[].price`.
    pub path: String,
    /// Its type before; none if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its type afterwards; none if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.from, &self.to) {
            (None, Some(to)) => write!(f, "+ {path}: {to}"),
            (Some(from), Some(to)) => write!(f, "~ {path}: {from} -> {to}"),
            (Some(from), None) => write!(f, "- {path}: {from}"),
            (None, None) => f.write_str(path),
        }
    }
}

/// What has to be done to `before` to make it `after`, column by column.
pub fn difference(before: &[Column], after: &[Column]) -> Vec<Change> {
    let mut changes = Vec::new();
    of_fields("", before, after, &mut changes);
    changes
}

fn of_fields(path: &str, before: &[Column], after: &[Column], changes: &mut Vec<Change>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let gone = before.iter().filter(|column| !after.iter().any(|other| other.name == column.name));
    let gone = gone.map(|column| Change {
        path: below(&column.name),
        from: Some(column.column_type.to_string()),
        to: None,
    });
    changes.extend(gone);
    for column in after {
        let path = below(&column.name);
        match before.iter().find(|other| other.name == column.name) {
            Some(known) => of_types(&path, &known.column_type, &column.column_type, changes),
            None => changes.push(Change { path, from: None, to: Some(column.column_type.to_string()) }),
        }
    }
}

fn of_types(path: &str, before: &ColumnType, after: &ColumnType, changes: &mut Vec<Change>) {
    match (before, after) {
        (ColumnType::Struct(before), ColumnType::Struct(after)) => of_fields(path, before, after, changes),
        (ColumnType::List(before), ColumnType::List(after)) => {
            of_types(&format!("{path}[]"), before, after, changes);
        }
        (ColumnType::Map(before), ColumnType::Map(after)) => {
            of_types(&format!("{path}{{}}"), before, after, changes);
        }
        _ if before == after => {}
        _ => changes.push(Change {
            path: path.to_owned(),
            from: Some(before.to_string()),
            to: Some(after.to_string()),
        }),
    }
}
