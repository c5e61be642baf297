//! What a record looks like, without its values.

use std::borrow::Cow;

use super::{INFERRED_DEPTH_MAX, Refusal};
use crate::json::{Kind, RawNumber, Scanner, SyntaxError};
use crate::schema::decimal;
use crate::schema::timestamp;

/// What was found at one place of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number whose value is an integer of 64 bits; `wide` if a column of doubles would not take it.
    Integer {
        /// See [`is_exact_as_double`].
        wide: bool,
    },
    /// A number that a column of doubles takes and that is no such integer.
    Float,
    /// A string such as `2026-02-28`.
    Date,
    /// A string in the form of RFC 3339.
    Timestamp,
    /// Any other string.
    String,
    /// An array: what its elements are, where that differs from the one before.
    List(Vec<Shape<'a>>),
    /// An object.
    Struct(Vec<(Cow<'a, str>, Shape<'a>)>),
    /// What no other type holds: a large integer that is not exact as a double, or what is nested too deep.
    Json,
}

/// Observes a record.
///
/// # Errors
/// If it is no JSON object.
pub fn observe(record: &str) -> Result<Shape<'_>, Refusal> {
    let mut scanner = Scanner::new(record);
    let kind = scanner.peek()?;
    if kind != Kind::Object {
        return Err(Refusal::NoObject(kind.name()));
    }
    let shape = value(&mut scanner, 0)?;
    scanner.end()?;
    Ok(shape)
}

fn value<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Shape<'a>, SyntaxError> {
    Ok(match scanner.peek()? {
        Kind::Null => {
            scanner.null()?;
            Shape::Null
        }
        Kind::Bool => {
            scanner.bool()?;
            Shape::Bool
        }
        Kind::Number => number(scanner.number()?),
        Kind::String => text(&scanner.string()?.decode()),
        Kind::Array | Kind::Object if depth > INFERRED_DEPTH_MAX => {
            scanner.skip_value()?;
            Shape::Json
        }
        Kind::Array => {
            scanner.enter_array()?;
            let (mut first, mut elements) = (true, Vec::new());
            while scanner.next_element(&mut first)? {
                let element = value(scanner, depth + 1)?;
                if elements.last() != Some(&element) {
                    elements.push(element);
                }
            }
            Shape::List(elements)
        }
        Kind::Object => {
            scanner.enter_object()?;
            let (mut first, mut members) = (true, Vec::new());
            while let Some(key) = scanner.next_key(&mut first)? {
                members.push((key.decode(), value(scanner, depth + 1)?));
            }
            Shape::Struct(members)
        }
    })
}

fn number(number: RawNumber<'_>) -> Shape<'static> {
    let wide = !is_exact_as_double(number);
    let integral = decimal::scale(number.text(), 0).filter(|scaled| scaled.exact);
    match integral.and_then(|scaled| i64::try_from(scaled.value).ok()) {
        Some(_) => Shape::Integer { wide },
        None if wide => Shape::Json,
        None => Shape::Float,
    }
}

fn text(text: &str) -> Shape<'static> {
    if timestamp::parse_date(text).is_some() {
        Shape::Date
    } else if timestamp::parse(text).is_some() {
        Shape::Timestamp
    } else {
        Shape::String
    }
}

/// Whether a double stands for `number` as well as its text does: a number with a point or an exponent is meant as one,
/// and one written as an integer must be the double's exact value.
pub fn is_exact_as_double(number: RawNumber<'_>) -> bool {
    /// Every integer up to here is a double.
    const EXACT_MAX: u64 = 1 << 53;
    if !number.is_written_as_integer() {
        return true;
    }
    match number.as_i64() {
        Some(value) if value.unsigned_abs() <= EXACT_MAX => true,
        // 39 digits are more than any integer that has an exact decimal form here; longer ones are taken for inexact.
        _ => decimal::scale(number.text(), 0).is_some_and(|scaled| {
            let double = number.as_f64();
            // The cast saturates beyond 128 bits, where no `scaled` is.
            double as i128 == scaled.value && double.abs() < i128::MAX as f64
        }),
    }
}

/// Whether a value has nothing that a column could be made for: `null`, and arrays and objects of such. Consumes it.
///
/// # Errors
/// If it is no JSON.
pub fn holds_nothing(scanner: &mut Scanner<'_>) -> Result<bool, SyntaxError> {
    match scanner.peek()? {
        Kind::Null => scanner.null().map(|()| true),
        Kind::Array => {
            scanner.enter_array()?;
            let (mut first, mut nothing) = (true, true);
            while scanner.next_element(&mut first)? {
                nothing &= holds_nothing(scanner)?;
            }
            Ok(nothing)
        }
        Kind::Object => {
            scanner.enter_object()?;
            let (mut first, mut nothing) = (true, true);
            while scanner.next_key(&mut first)?.is_some() {
                nothing &= holds_nothing(scanner)?;
            }
            Ok(nothing)
        }
        _ => scanner.skip_value().map(|()| false),
    }
}

impl Shape<'_> {
    /// Whether no column can be made for it: see [`holds_nothing`].
    pub fn is_nothing(&self) -> bool {
        match self {
            Shape::Null => true,
            Shape::List(elements) => elements.iter().all(Shape::is_nothing),
            Shape::Struct(members) => members.iter().all(|(_, shape)| shape.is_nothing()),
            _ => false,
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::Bool => "boolean",
            Shape::Integer { wide: false } => "an integer",
            Shape::Integer { wide: true } => "an integer beyond 2^53",
            Shape::Float => "a number",
            Shape::Date => "a date",
            Shape::Timestamp => "a date and time",
            Shape::String => "a string",
            Shape::List(_) => "array",
            Shape::Struct(_) => "object",
            Shape::Json => "an integer of more than 64 bits, or a value that is nested too deep",
        }
    }
}
