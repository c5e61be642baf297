//! Schemas that have no compiled form: the `jsonschema` crate on a tree.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Number, Value};

use super::error::{SchemaError, shown};
use super::kinds::Kinds;
use super::violation::{Violation, pointer, snippet};
use crate::json::{Kind, Scanner, SyntaxError};

/// A schema in the crate's form.
#[derive(Debug)]
pub(super) struct Fallback {
    validator: Validator,
}

impl Fallback {
    pub fn compile(schema: &Value, draft: Draft, formats: bool) -> Result<Self, SchemaError> {
        let options = jsonschema::options().with_draft(draft).should_validate_formats(formats);
        let validator = options.build(schema).map_err(|error| schema_error(&error))?;
        Ok(Self { validator })
    }

    /// The first violation in the value that the scanner stands before. The value is known to be JSON.
    pub fn check(&self, scanner: &mut Scanner<'_>) -> Result<Option<Violation>, SyntaxError> {
        let value = tree(scanner)?;
        Ok(self.validator.validate(&value).err().map(|error| violation(&error)))
    }
}

/// What the crate says against a schema document.
pub(super) fn schema_error(error: &ValidationError<'_>) -> SchemaError {
    match error.kind() {
        ValidationErrorKind::Referencing(problem) => SchemaError::Reference { problem: problem.to_string() },
        _ => SchemaError::Invalid {
            pointer: shown(error.instance_path().as_str()),
            problem: error.to_string(),
        },
    }
}

/// Builds a value. The scanner, unlike `serde_json`, allows for the same depth everywhere, and bounds the recursion.
fn tree(scanner: &mut Scanner<'_>) -> Result<Value, SyntaxError> {
    Ok(match scanner.peek()? {
        Kind::Null => {
            scanner.null()?;
            Value::Null
        }
        Kind::Bool => Value::Bool(scanner.bool()?),
        Kind::String => Value::String(scanner.string()?.decode().into_owned()),
        Kind::Number => {
            let raw = scanner.number()?;
            let number = (raw.as_i64().map(Number::from))
                .or_else(|| raw.as_u64().map(Number::from))
                .or_else(|| Number::from_f64(raw.as_f64()));
            number.map_or(Value::Null, Value::Number)
        }
        Kind::Array => {
            scanner.enter_array()?;
            let mut items = Vec::new();
            let mut first = true;
            while scanner.next_element(&mut first)? {
                items.push(tree(scanner)?);
            }
            Value::Array(items)
        }
        Kind::Object => {
            scanner.enter_object()?;
            let mut members = Map::new();
            let mut first = true;
            while let Some(key) = scanner.next_key(&mut first)? {
                members.insert(key.decode().into_owned(), tree(scanner)?);
            }
            Value::Object(members)
        }
    })
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let mut at = error.instance_path().as_str().to_owned();
    let mut found = describe(error.instance());
    let expected = match error.kind() {
        ValidationErrorKind::Type { kind } => {
            found = kind_name(error.instance()).to_owned();
            match kind {
                TypeKind::Single(kind) => kind.to_string(),
                // In the order of the compiled form.
                TypeKind::Multiple(kinds) => kinds
                    .iter()
                    .filter_map(|kind| Kinds::named(&kind.to_string()))
                    .fold(Kinds::NONE, Kinds::with)
                    .to_string(),
            }
        }
        ValidationErrorKind::Required { property } => {
            at.push_str(&pointer(property.as_str().map(Into::into).into_iter()));
            found = "nothing".to_owned();
            "a value".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let name = unexpected.first().map(String::as_str).unwrap_or_default();
            at.push_str(&pointer(std::iter::once(name.into())));
            found = error.instance().get(name).map_or("a value", kind_name).to_owned();
            "no value".to_owned()
        }
        ValidationErrorKind::FalseSchema => "no value".to_owned(),
        ValidationErrorKind::Minimum { limit } => format!("a number >= {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("a number > {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("a number <= {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("a number < {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit } => format!("at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("at most {limit} characters"),
        ValidationErrorKind::Pattern { pattern } => format!("a string that matches '{}'", snippet(pattern)),
        ValidationErrorKind::Format { format } => format!("a string of the format {format}"),
        ValidationErrorKind::Constant { expected_value } => snippet(&expected_value.to_string()),
        ValidationErrorKind::Enum { options } => format!("one of {}", snippet(&options.to_string())),
        _ => format!("a value that fits \"{}\"", error.kind().keyword()),
    };
    Violation { pointer: at, expected, found }
}

/// Scalars by their text, the rest by kind.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind_name(value).to_owned(),
        scalar => snippet(&scalar.to_string()),
    }
}

pub(super) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
