//! Columns as a JSON Schema.

use serde_json::{Map, Value, json};

use crate::schema::columns::{Column, ColumnType};

/// What records must be like so that no column has to become one of another kind: values that columns can be widened
/// for, and fields that are new, are right.
pub fn json_schema(columns: &[Column]) -> Value {
    of_fields(columns, json!("object"))
}

fn of_fields(columns: &[Column], kind: Value) -> Value {
    let mut properties = Map::new();
    for column in columns {
        // Of several columns of one field the later ones take what this one does not.
        let of_one = of_type(&column.column_type);
        match properties.get_mut(column.key()) {
            Some(known) => *known = json!({ "anyOf": [known.take(), of_one] }),
            None => drop(properties.insert(column.key().to_owned(), of_one)),
        }
    }
    json!({ "type": kind, "properties": properties })
}

fn of_type(column_type: &ColumnType) -> Value {
    match column_type {
        ColumnType::Bool => json!({ "type": ["boolean", "null"] }),
        ColumnType::Int64 | ColumnType::Float64 => json!({ "type": ["number", "null"] }),
        ColumnType::String => json!({ "type": ["string", "null"] }),
        ColumnType::Date | ColumnType::Timestamp(_) => json!({
            "type": ["string", "null"],
            "anyOf": [{ "format": "date" }, { "format": "date-time" }],
        }),
        ColumnType::List(element) => json!({ "type": ["array", "null"], "items": of_type(element) }),
        ColumnType::Map(value) => {
            json!({ "type": ["object", "null"], "additionalProperties": of_type(value) })
        }
        ColumnType::Struct(fields) => of_fields(fields, json!(["object", "null"])),
        _ => json!(true),
    }
}
