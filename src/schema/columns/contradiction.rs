//! Columns and a JSON Schema that cannot both be right.
//!
//! Only what is certain counts. Where a schema uses something that is not followed here (conditions, patterns,
//! references to other documents), it is taken to allow everything.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::{Coercion, Column, ColumnType, Columns, Reading, TYPE_DEPTH_MAX};

/// Schemas inside each other (`$ref`, `allOf`, `anyOf`) that are followed from one place.
const SCHEMAS_DEPTH_MAX: usize = 16;

/// Schemas that are followed for one column in all: references make a short schema lead to exponentially many.
const SCHEMAS_MAX: usize = 10_000;

/// Keywords of an object that may demand or allow members beside `properties` and `required`.
const INDIRECT: [&str; 12] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "not",
    "dependencies",
    "dependentRequired",
];

/// One place where the columns and the schema contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Index of the column.
    pub column: usize,
    /// What contradicts what, with the place in the schema as a JSON pointer.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Columns {
    /// Where no record that `schema` takes can fit, or where a record that it takes surely does not.
    ///
    /// | column | schema |
    /// | --- | --- |
    /// | takes none of the kinds of values | that the property allows |
    /// | `nullable = false` | does not require the property |
    /// | is there | has no such property, and `additionalProperties` is false |
    pub fn contradictions(&self, schema: &Value) -> Vec<Contradiction> {
        let mut found = Vec::new();
        for (index, column) in self.as_slice().iter().enumerate() {
            let left = Cell::new(SCHEMAS_MAX);
            let mut search = Search { root: schema, index, reading: column.reading, left, found: &mut found };
            search.member(column, &format!("column {:?}", column.name), schema, "", 0);
        }
        found
    }
}

/// Kinds of JSON values, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Kinds = Kinds(0);
    const NULL: Kinds = Kinds(1);
    const BOOLEAN: Kinds = Kinds(2);
    const NUMBER: Kinds = Kinds(4);
    const STRING: Kinds = Kinds(8);
    const ARRAY: Kinds = Kinds(16);
    const OBJECT: Kinds = Kinds(32);
    const ALL: Kinds = Kinds(63);

    const NAMES: [(&'static str, Kinds); 7] = [
        ("null", Kinds::NULL),
        ("boolean", Kinds::BOOLEAN),
        ("number", Kinds::NUMBER),
        ("integer", Kinds::NUMBER),
        ("string", Kinds::STRING),
        ("array", Kinds::ARRAY),
        ("object", Kinds::OBJECT),
    ];

    fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn named(name: &Value) -> Kinds {
        let known = Self::NAMES.iter().find(|(own, _)| name == own);
        known.map_or(Kinds::ALL, |(_, kinds)| *kinds)
    }

    fn of_value(value: &Value) -> Kinds {
        match value {
            Value::Null => Kinds::NULL,
            Value::Bool(_) => Kinds::BOOLEAN,
            Value::Number(_) => Kinds::NUMBER,
            Value::String(_) => Kinds::STRING,
            Value::Array(_) => Kinds::ARRAY,
            Value::Object(_) => Kinds::OBJECT,
        }
    }

    /// Those that a column reads.
    fn read_by(column_type: &ColumnType, reading: Reading) -> Kinds {
        let scalars = Kinds::BOOLEAN.or(Kinds::NUMBER).or(Kinds::STRING);
        let strict = match column_type {
            ColumnType::Bool => Kinds::BOOLEAN,
            ColumnType::String | ColumnType::Binary | ColumnType::Date => Kinds::STRING,
            ColumnType::Timestamp(_) => Kinds::STRING.or(Kinds::NUMBER),
            ColumnType::List(_) => Kinds::ARRAY,
            ColumnType::Struct(_) | ColumnType::Map(_) => Kinds::OBJECT,
            ColumnType::Json => Kinds::ALL,
            _ => Kinds::NUMBER,
        };
        let lenient = match column_type {
            ColumnType::Bool | ColumnType::String => scalars,
            ColumnType::Binary => strict,
            ColumnType::List(_) | ColumnType::Struct(_) | ColumnType::Map(_) | ColumnType::Json => strict,
            _ => Kinds::NUMBER.or(Kinds::STRING),
        };
        if reading.coercion == Coercion::Lenient { lenient } else { strict }
    }

    fn list(self) -> String {
        let mut names: Vec<_> = Self::NAMES
            .iter()
            .filter(|(_, kinds)| self.and(*kinds) == *kinds)
            .map(|(name, _)| *name)
            .collect();
        names.retain(|name| *name != "integer");
        if names.is_empty() { "nothing".to_owned() } else { names.join(" or ") }
    }
}

struct Search<'a, 'b> {
    root: &'a Value,
    index: usize,
    reading: Reading,
    /// Of [`SCHEMAS_MAX`].
    left: Cell<usize>,
    found: &'b mut Vec<Contradiction>,
}

impl<'a> Search<'a, '_> {
    fn report(&mut self, message: String, help: impl Into<String>) {
        self.found.push(Contradiction { column: self.index, message, help: help.into() });
    }

    /// A column or field against the schema of the object that has its key.
    fn member(&mut self, column: &Column, name: &str, object: &'a Value, at: &str, depth: usize) {
        let Some((object, at)) = self.target(object, at) else { return };
        let Some(object) = object.as_object() else { return };
        let key = column.key();
        let direct = !INDIRECT.iter().any(|keyword| object.contains_key(*keyword));
        let token = key.replace('~', "~0").replace('/', "~1");
        let at_root = if at.is_empty() { "its root".to_owned() } else { at.clone() };
        match object.get("properties").and_then(|properties| properties.get(key)) {
            Some(property) => {
                if direct && !column.nullable && !requires(object, key) {
                    self.report(
                        format!("{name} has nullable = false, but the JSON Schema does not require {key:?} at {at_root}"),
                        format!("add {key:?} to \"required\" in the JSON Schema, or leave nullable = false out"),
                    );
                }
                self.value(column, name, property, &format!("{at}/properties/{token}"), depth);
            }
            None => {
                let closed = object.get("additionalProperties") == Some(&Value::Bool(false));
                if closed && !object.contains_key("patternProperties") {
                    self.report(
                        format!("{name} can have no value: the JSON Schema has \"additionalProperties\": false at {at_root}, and no property {key:?}"),
                        "add the property to the JSON Schema, or remove the column",
                    );
                }
            }
        }
    }

    fn value(&mut self, column: &Column, name: &str, schema: &'a Value, at: &str, depth: usize) {
        let allowed = self.kinds(schema, SCHEMAS_DEPTH_MAX);
        let read = Kinds::read_by(&column.column_type, self.reading);
        let null = if column.nullable { Kinds::NULL } else { Kinds::NONE };
        if allowed.and(read.or(null)) == Kinds::NONE {
            let own = column.column_type.short_name();
            let (read, allowed) = (read.list(), allowed.list());
            self.report(
                format!("{name} is {own}, which takes {read}, but the JSON Schema allows {allowed} at {at}"),
                "write a type that takes it (json takes everything), coerce = \"lenient\" where that does, or another JSON Schema",
            );
            return;
        }
        self.inside(&column.column_type, name, schema, at, depth);
    }

    fn inside(&mut self, column_type: &ColumnType, name: &str, schema: &'a Value, at: &str, depth: usize) {
        if depth == TYPE_DEPTH_MAX {
            return;
        }
        match column_type {
            ColumnType::Struct(fields) => {
                for field in fields {
                    self.member(field, &format!("{name}, field {:?}", field.name), schema, at, depth + 1);
                }
            }
            ColumnType::List(element) => {
                let Some((target, at)) = self.target(schema, at) else { return };
                let Some(items) = target.get("items").filter(|items| items.is_object()) else { return };
                if target.get("prefixItems").is_some() {
                    return;
                }
                let element = Column::new("element", (**element).clone(), true);
                self.value(&element, &format!("{name}, element"), items, &format!("{at}/items"), depth + 1);
            }
            _ => {}
        }
    }

    /// The schema behind local references. None if they lead elsewhere or in a circle.
    fn target(&self, schema: &'a Value, at: &str) -> Option<(&'a Value, String)> {
        let (mut schema, mut at) = (schema, at.to_owned());
        for _ in 0..SCHEMAS_DEPTH_MAX {
            let Some(reference) = schema.get("$ref") else { return Some((schema, at)) };
            (schema, at) = self.local(reference)?;
        }
        None
    }

    fn local(&self, reference: &Value) -> Option<(&'a Value, String)> {
        let fragment = reference.as_str()?.strip_prefix('#')?;
        let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        Some((self.root.pointer(&pointer)?, pointer.into_owned()))
    }

    /// The kinds of values that `schema` may take. Every keyword only narrows, so leaving one out is never wrong;
    /// beside a `$ref` all others are, because older drafts ignore them there.
    fn kinds(&self, schema: &Value, left: usize) -> Kinds {
        let object = match schema {
            Value::Bool(false) => return Kinds::NONE,
            Value::Object(object) if left > 0 && self.left.get() > 0 => object,
            _ => return Kinds::ALL,
        };
        self.left.set(self.left.get() - 1);
        if let Some(reference) = object.get("$ref") {
            return self.local(reference).map_or(Kinds::ALL, |(target, _)| self.kinds(target, left - 1));
        }
        let any = |values: &[Value], kinds: &dyn Fn(&Value) -> Kinds| {
            values.iter().fold(Kinds::NONE, |all, value| all.or(kinds(value)))
        };
        let mut allowed = match object.get("type") {
            Some(Value::Array(names)) => any(names, &Kinds::named),
            Some(name) => Kinds::named(name),
            None => Kinds::ALL,
        };
        if let Some(Value::Array(values)) = object.get("enum") {
            allowed = allowed.and(any(values, &Kinds::of_value));
        }
        if let Some(value) = object.get("const") {
            allowed = allowed.and(Kinds::of_value(value));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(choices)) = object.get(keyword) {
                allowed = allowed.and(any(choices, &|choice| self.kinds(choice, left - 1)));
            }
        }
        if let Some(Value::Array(parts)) = object.get("allOf") {
            allowed = parts.iter().fold(allowed, |allowed, part| allowed.and(self.kinds(part, left - 1)));
        }
        allowed
    }
}

fn requires(object: &Map<String, Value>, key: &str) -> bool {
    let required = object.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|name| name == key))
}
