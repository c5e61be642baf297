//! From TOML to the raw types, guided by their JSON Schema, so that every unknown key and every wrong type of a file
//! is found in one go, each with its place.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::document::Document;
use super::interpolate::interpolate;
use super::problem::Problem;
use super::suggest::{listed, nearest};

/// Syntax errors that are reported of one file.
const SYNTAX_ERRORS_MAX: usize = 10;

/// Reads `document` as a `T` whose JSON Schema is `schema`. Whatever is wrong is left out of the value and added to
/// `problems`; `None` where the file is no TOML at all.
pub(super) fn read<T: DeserializeOwned>(
    document: &mut Document,
    schema: &Value,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let text = document.text().to_owned();
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        let mut found: Vec<_> = errors
            .iter()
            .map(|error| {
                let message = format!("not valid TOML: {}", error.message());
                document.problem_at(error.span().unwrap_or_default(), "", message)
            })
            .collect();
        // What follows in the same line is mostly an echo.
        found.sort();
        found.dedup_by_key(|problem| problem.line);
        found.truncate(SYNTAX_ERRORS_MAX);
        problems.append(&mut found);
        return None;
    }
    let mut shaper = Shaper { document, root: schema, env, problems };
    let value = shaper.table(table.get_ref(), schema, "");
    match serde_json::from_value(Value::Object(value)) {
        Ok(raw) => Some(raw),
        // The walk lets nothing through that the types do not take. The error itself might quote a secret.
        Err(_) => {
            let message = "cannot be read although it has the right shape: please report this file";
            problems.push(Problem::of_file(document.file(), message));
            None
        }
    }
}

struct Shaper<'a> {
    document: &'a mut Document,
    root: &'a Value,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<Problem>,
}

impl Shaper<'_> {
    fn table(&mut self, table: &DeTable<'_>, schema: &Value, path: &str) -> Map<String, Value> {
        let mut object = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            // A table whose keys are the user's own has one schema for all of its values.
            let own = schema.get("additionalProperties").filter(|values| values.is_object());
            let Some(property) = schema["properties"].get(name).or(own) else {
                self.unknown_key(key, schema, path);
                continue;
            };
            let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.document.mark(&child, value.span().start);
            if let Some(value) = self.value(value, property, &child) {
                object.insert(name.to_owned(), value);
            }
        }
        object
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str) -> Option<Value> {
        let schema = alternative(schema, value);
        let expected = schema["type"].as_str().unwrap_or_default();
        match (expected, value.get_ref()) {
            ("object", DeValue::Table(table)) => Some(Value::Object(self.table(table, schema, path))),
            ("array", DeValue::Array(items)) => self.array(items, &schema["items"], path),
            ("string", DeValue::String(text)) => {
                let filled = self.fill_in(text, path)?;
                Some(Value::String(filled.unwrap_or_else(|| text.to_string())))
            }
            ("boolean", DeValue::Boolean(value)) => Some(Value::Bool(*value)),
            ("integer", DeValue::Integer(integer)) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                if number.is_none() {
                    let message = format!("{:?} is too large for an integer", last_key(path));
                    self.problems.push(self.document.problem(path, message));
                }
                number.map(Value::from)
            }
            ("number", DeValue::Float(float)) => {
                let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                if number.is_none() {
                    let message = format!("{:?} is no number that can be used", last_key(path));
                    self.problems.push(self.document.problem(path, message));
                }
                number.map(Value::Number)
            }
            ("number", DeValue::Integer(integer)) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                // One that is larger than any is out of each range.
                Some(Value::from(number.map_or(f64::MAX, |number| number as f64)))
            }
            // A string that the environment filled in may stand for what it reads as: shards = "${SHARDS:-4}".
            ("integer" | "number" | "boolean", DeValue::String(text)) if text.contains("${") => {
                let filled = self.fill_in(text, path)?;
                let read = filled.and_then(|filled| scalar(expected, filled.trim()));
                if read.is_none() {
                    self.wrong_type(value, schema, path);
                }
                read
            }
            _ => {
                self.wrong_type(value, schema, path);
                None
            }
        }
    }

    /// All items, or none: the indices of what is kept must be those of the file.
    fn array(&mut self, items: &DeArray<'_>, schema: &Value, path: &str) -> Option<Value> {
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let child = format!("{path}[{index}]");
            self.document.mark(&child, item.span().start);
            values.push(self.value(item, schema, &child));
        }
        values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    /// The string with its variables filled in, `Some(None)` if it has none, `None` if that is a problem.
    fn fill_in(&mut self, text: &str, path: &str) -> Option<Option<String>> {
        match interpolate(text, self.env) {
            Ok(filled) => {
                if filled.is_some() {
                    self.document.mark_filled_in(path, text);
                }
                Some(filled)
            }
            Err(error) => {
                self.problems.push(self.document.problem(path, error.to_string()));
                None
            }
        }
    }

    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str) {
        let expected = match (&schema["type"], &schema["items"]["type"]) {
            (Value::String(name), _) if name == "object" => "a table".to_owned(),
            (Value::String(name), Value::String(item)) if name == "array" && item == "object" => {
                "an array of tables".to_owned()
            }
            (Value::String(name), _) => {
                let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
                match schema["examples"].get(0) {
                    Some(example) => format!("{article} {name} such as {example}"),
                    None => format!("{article} {name}"),
                }
            }
            _ => "something else".to_owned(),
        };
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let key = last_key(path);
        let mut problem = self.document.problem(path, format!("{key:?} must be {expected}, found {found}"));
        if expected == "an array of tables" && found == "a table" {
            problem = problem.with_help(format!("write [[{key}]] instead of [{key}]"));
        }
        self.problems.push(problem);
    }

    fn unknown_key(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, schema: &Value, path: &str) {
        let name = key.get_ref().as_ref();
        let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let problem = |message: String| self.document.problem_at(key.span(), &child, message);
        let unknown = format!("unknown key {name:?} {}", place_name(path));
        let keys: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let problem = if let Some(home) = self.home_of(name) {
            problem(format!("{unknown}: it belongs in {home}"))
        } else if let Some(near) = nearest(name, keys.iter().copied()) {
            problem(format!("{unknown}: did you mean {near:?}?"))
        } else {
            problem(unknown).with_help(format!("the keys here are {}", listed(keys)))
        };
        self.problems.push(problem);
    }

    /// The table at the top level that has a key of this name.
    fn home_of(&self, name: &str) -> Option<String> {
        self.root["properties"].as_object()?.iter().find_map(|(table, schema)| {
            if schema["properties"].get(name).is_some() {
                Some(format!("[{table}]"))
            } else {
                schema["items"]["properties"].get(name).map(|_| format!("[[{table}]]"))
            }
        })
    }
}

/// Of a setting that may have values of several types, what is said of those of this one; what is said of the setting, where
/// none of them is.
fn alternative<'a>(schema: &'a Value, value: &Spanned<DeValue<'_>>) -> &'a Value {
    let found = match value.get_ref() {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        DeValue::Datetime(_) => "",
    };
    let is_of_type = |schema: &&Value| schema["type"] == found;
    schema["anyOf"].as_array().and_then(|all| all.iter().find(is_of_type)).unwrap_or(schema)
}

/// `on_invalid` of `ingest.on_invalid`.
pub(super) fn last_key(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Where a table is, in words: `in [stream]`, `in [[delivery]]`, `in delivery.sink`.
fn place_name(path: &str) -> String {
    let table = without_indices(path);
    if table.is_empty() {
        "at the top level".to_owned()
    } else if table.contains('.') {
        format!("in {table}")
    } else if path.ends_with(']') {
        format!("in [[{table}]]")
    } else {
        format!("in [{table}]")
    }
}

fn without_indices(path: &str) -> String {
    path.split('.').map(|segment| segment.split('[').next().unwrap_or(segment)).collect::<Vec<_>>().join(".")
}

fn scalar(expected: &str, text: &str) -> Option<Value> {
    match expected {
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text.parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        _ => text.parse::<bool>().ok().map(Value::from),
    }
}
