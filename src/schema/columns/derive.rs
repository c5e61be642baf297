//! JSON Schema → columns.
//!
//! Only what a schema says outright becomes a typed column. Where values of several kinds are allowed, or where the
//! schema is silent, the column is `json`, which every value fits: no valid record is lost to a guess.

use serde_json::{Map, Value};

use super::{COLUMN_LEAVES_MAX, Column, ColumnError, ColumnType, Columns, TYPE_DEPTH_MAX, TimeUnit};

/// `$ref`s that lead to one subschema. Real schemas have one or two; a chain of more is not followed.
const REFERENCES_MAX: usize = 16;

impl Columns {
    /// The columns that a JSON Schema (draft 4 to 2020-12) describes, in the order of its `properties`.
    ///
    /// | schema | column |
    /// | --- | --- |
    /// | `integer`, `number`, `boolean` | `int64`, `float64`, `bool` |
    /// | `string`; an `enum` or `const` of strings | `string` |
    /// | `string` with `format` `date-time`, `date` | `timestamp_micros`, `date` |
    /// | `object` with `properties` | `struct` |
    /// | `object` with a schema for `additionalProperties` only | `map` |
    /// | `array` with one schema for all `items` | `list` |
    /// | everything else | `json` |
    ///
    /// A property is nullable if it is not `required`, or if its schema takes `null` (`["string", "null"]`, an
    /// `anyOf` with `null`, a `null` in its `enum`). Local `$ref`s are followed; one that leads back into itself
    /// becomes `json`. A property whose schema is `false` cannot occur and has no column.
    ///
    /// # Errors
    /// If the schema does not describe an object with properties, or describes too many.
    pub fn derive(schema: &serde_json::Value) -> Result<Self, ColumnError> {
        let mut derivation = Derivation { root: schema, open: vec![schema], leaves: 0 };
        let resolved = derivation.resolve(schema).ok_or(ColumnError::NoProperties)?;
        let object = resolved.schema.as_object().ok_or(ColumnError::NoProperties)?;
        let is_object = match object.get("type") {
            None => true,
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            Some(_) => false,
        };
        let properties = object.get("properties").and_then(Value::as_object);
        match properties {
            Some(properties) if is_object && !properties.is_empty() => {
                Self::new(derivation.fields(object, properties, 0)?)
            }
            _ => Err(ColumnError::NoProperties),
        }
    }
}

struct Derivation<'a> {
    root: &'a Value,
    /// The subschemas that are being derived, outermost first: a `$ref` to one of them is a cycle.
    open: Vec<&'a Value>,
    /// Scalar columns so far. References make a short schema describe exponentially many.
    leaves: usize,
}

/// A subschema behind its references and its alternative of `null`.
struct Resolved<'a> {
    schema: &'a Value,
    nullable: bool,
    /// Schemas that were entered on the way: to be left again.
    entered: usize,
}

struct Derived {
    column_type: ColumnType,
    nullable: bool,
}

impl<'a> Derivation<'a> {
    fn fields(
        &mut self,
        object: &'a Map<String, Value>,
        properties: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<Column>, ColumnError> {
        let required = object.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|own| own == name));
        let possible = properties.iter().filter(|(_, schema)| **schema != Value::Bool(false));
        possible
            .map(|(name, schema)| {
                let Derived { column_type, nullable } = self.derive(schema, depth)?;
                Ok(Column::new(name, column_type, nullable || !is_required(name)))
            })
            .collect()
    }

    fn derive(&mut self, schema: &'a Value, depth: usize) -> Result<Derived, ColumnError> {
        let Some(resolved) = self.resolve(schema) else { return self.json() };
        let derived = match resolved.schema.as_object() {
            Some(object) => self.typed(object, depth),
            None => self.json(),
        };
        self.open.truncate(self.open.len() - resolved.entered);
        derived.map(|derived| Derived { nullable: derived.nullable || resolved.nullable, ..derived })
    }

    fn json(&mut self) -> Result<Derived, ColumnError> {
        // Without a type, null is as valid as anything else.
        self.leaf(ColumnType::Json, true)
    }

    fn leaf(&mut self, column_type: ColumnType, nullable: bool) -> Result<Derived, ColumnError> {
        self.leaves += 1;
        if self.leaves > COLUMN_LEAVES_MAX {
            return Err(ColumnError::TooMany);
        }
        Ok(Derived { column_type, nullable })
    }

    fn typed(&mut self, object: &'a Map<String, Value>, depth: usize) -> Result<Derived, ColumnError> {
        let Some((kind, mut nullable)) = kind_of(object) else { return self.json() };
        nullable |= has_null(object.get("enum"));
        let scalar = match kind {
            "integer" => ColumnType::Int64,
            "number" => ColumnType::Float64,
            "boolean" => ColumnType::Bool,
            "null" => return self.json(),
            "string" => match object.get("format").and_then(Value::as_str) {
                Some("date-time") => ColumnType::Timestamp(TimeUnit::Micros),
                Some("date") => ColumnType::Date,
                _ => ColumnType::String,
            },
            "object" | "array" if depth < TYPE_DEPTH_MAX => {
                let nested = match kind {
                    "object" => self.object(object, depth)?,
                    _ => self.array(object, depth)?,
                };
                return match nested {
                    Some(column_type) => Ok(Derived { column_type, nullable }),
                    None => self.leaf(ColumnType::Json, nullable),
                };
            }
            _ => ColumnType::Json,
        };
        self.leaf(scalar, nullable)
    }

    fn object(
        &mut self,
        object: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<Option<ColumnType>, ColumnError> {
        let properties = object.get("properties").and_then(Value::as_object);
        if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
            let fields = self.fields(object, properties, depth + 1)?;
            return Ok((!fields.is_empty()).then_some(ColumnType::Struct(fields)));
        }
        match object.get("additionalProperties") {
            Some(values @ Value::Object(_)) if !object.contains_key("patternProperties") => {
                let value = self.derive(values, depth + 1)?;
                Ok(Some(ColumnType::Map(Box::new(value.column_type))))
            }
            _ => Ok(None),
        }
    }

    fn array(
        &mut self,
        object: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<Option<ColumnType>, ColumnError> {
        match object.get("items") {
            Some(items @ Value::Object(_)) if !object.contains_key("prefixItems") => {
                let element = self.derive(items, depth + 1)?;
                Ok(Some(ColumnType::List(Box::new(element.column_type))))
            }
            _ => Ok(None),
        }
    }

    /// Follows references, lone `allOf`s and alternatives to `null`. None if that leads nowhere, or in a circle.
    fn resolve(&mut self, schema: &'a Value) -> Option<Resolved<'a>> {
        let mut resolved = Resolved { schema, nullable: false, entered: 0 };
        for _ in 0..REFERENCES_MAX {
            let Some(object) = resolved.schema.as_object() else { return Some(resolved) };
            let next = if let Some(reference) = object.get("$ref") {
                self.target(reference)
            } else if object.contains_key("type") {
                return Some(resolved);
            } else if let Some([only]) = object.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
                Some(only)
            } else if let Some(choices) = object.get("anyOf").or_else(|| object.get("oneOf")) {
                resolved.nullable = true;
                other_than_null(choices)
            } else {
                return Some(resolved);
            };
            match next {
                Some(next) if !self.open.iter().any(|open| std::ptr::eq(*open, next)) => {
                    self.open.push(next);
                    resolved.entered += 1;
                    resolved.schema = next;
                }
                _ => break,
            }
        }
        self.open.truncate(self.open.len() - resolved.entered);
        None
    }

    /// The subschema that a local reference (`#`, `#/$defs/name`) points to.
    fn target(&self, reference: &Value) -> Option<&'a Value> {
        let fragment = reference.as_str()?.strip_prefix('#')?;
        let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        self.root.pointer(&pointer)
    }
}

/// The one kind of value that the schema takes, and whether it also takes `null`.
fn kind_of(object: &Map<String, Value>) -> Option<(&str, bool)> {
    match object.get("type") {
        Some(Value::String(kind)) => Some((kind, false)),
        Some(Value::Array(kinds)) => {
            let named = || kinds.iter().filter_map(Value::as_str);
            let nullable = named().any(|kind| kind == "null");
            let mut others: Vec<_> = named().filter(|kind| *kind != "null").collect();
            others.sort_unstable();
            match others.as_slice() {
                [kind] => Some((kind, nullable)),
                ["integer", "number"] => Some(("number", nullable)),
                _ => None,
            }
        }
        Some(_) => None,
        None => {
            let constant = object.get("const").map(std::slice::from_ref);
            let values = object.get("enum").and_then(Value::as_array).map(Vec::as_slice).or(constant)?;
            let strings = values.iter().any(Value::is_string);
            let only = values.iter().all(|value| value.is_string() || value.is_null());
            (strings && only).then_some(("string", false))
        }
    }
}

fn has_null(values: Option<&Value>) -> bool {
    values.and_then(Value::as_array).is_some_and(|values| values.iter().any(Value::is_null))
}

/// The one alternative beside `null`, if these are two and one of them is `null`.
fn other_than_null(choices: &Value) -> Option<&Value> {
    let is_null = |choice: &Value| choice.get("type").is_some_and(|kind| kind == "null");
    match choices.as_array().map(Vec::as_slice) {
        Some([null, other]) if is_null(null) => Some(other),
        Some([other, null]) if is_null(null) => Some(other),
        _ => None,
    }
}
