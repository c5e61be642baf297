//! `enum` and `const`: lists of allowed values.

use std::cmp::Ordering;

use foldhash::quality::RandomState;
use serde_json::Value;

use super::fingerprint::fingerprint;
use super::number::Number;
use crate::json::Scanner;

/// The allowed values, by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    pub strings: Vec<Box<str>>,
    numbers: Vec<Number>,
    no: bool,
    yes: bool,
    pub null: bool,
    /// Fingerprints of the arrays and objects.
    pub trees: Vec<u64>,
    /// The list as a message shows it.
    pub text: Box<str>,
}

/// Characters of the list that a message shows.
const TEXT_CHARS_MAX: usize = 120;

impl Values {
    /// `None` if a value cannot be compared exactly.
    pub fn new(values: &[Value], seed: &RandomState) -> Option<Self> {
        let mut list = Values::default();
        for value in values {
            match value {
                Value::Null => list.null = true,
                Value::Bool(false) => list.no = true,
                Value::Bool(true) => list.yes = true,
                Value::Number(number) => list.numbers.push(Number::of_json(number)?),
                Value::String(text) => list.strings.push(text.as_str().into()),
                Value::Array(_) | Value::Object(_) => {
                    list.trees.push(fingerprint(&mut Scanner::new(&value.to_string()), seed).ok()?);
                }
            }
        }
        let texts: Vec<_> = values.iter().map(Value::to_string).collect();
        let text = texts.join(", ");
        list.text = match text.char_indices().nth(TEXT_CHARS_MAX) {
            Some((end, _)) => format!("one of {}…", &text[..end]),
            None if texts.len() == 1 => text,
            None => format!("one of {text}"),
        }
        .into();
        Some(list)
    }

    #[inline]
    pub fn has_string(&self, text: &str) -> bool {
        self.strings.iter().any(|string| **string == *text)
    }

    #[inline]
    pub fn has_number(&self, number: Number) -> bool {
        self.numbers.iter().any(|other| other.compare(number) == Ordering::Equal)
    }

    #[inline]
    pub fn has_bool(&self, value: bool) -> bool {
        if value { self.yes } else { self.no }
    }
}
