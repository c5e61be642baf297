//! What one value of a query comes to.

use chrono::format::StrftimeItems;

use super::{JqError, KeyQuery};

/// Names on the way to a field.
const NAMES_MAX: usize = 64;

/// What a value comes to, step by step.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub names: Vec<String>,
    functions: Vec<Function>,
    format: Option<String>,
    /// A step that only makes sense before `strftime`.
    needs_format: Option<&'static str>,
}

#[derive(Debug)]
pub(super) enum Function {
    Default(String),
    Lower,
    Upper,
    Truncate(u32),
}

impl Steps {
    pub fn name(&mut self, name: String) -> Result<(), JqError> {
        if !self.functions.is_empty() || self.format.is_some() || self.needs_format.is_some() {
            return Err(JqError::Unsupported("a path behind a function".to_owned()));
        }
        if self.names.len() >= NAMES_MAX {
            return Err(JqError::TooMany { max: NAMES_MAX, what: "names in a path" });
        }
        self.names.push(name);
        Ok(())
    }

    pub fn apply(&mut self, function: Function) -> Result<(), JqError> {
        if let Function::Default(text) = &function
            && (text.is_empty() || text.contains([')', '{', '}']))
        {
            let message = format!("the default {text:?} must not be empty, nor have ')' or braces in it");
            return Err(JqError::Value(message));
        }
        if self.format.is_some() || self.needs_format.is_some() {
            return Err(JqError::Unsupported("another function beside strftime".to_owned()));
        }
        self.functions.push(function);
        Ok(())
    }

    pub fn need_format(&mut self, what: &'static str) -> Result<(), JqError> {
        if self.format.is_some() || !self.functions.is_empty() {
            return Err(JqError::Unsupported(format!("{what} behind another function")));
        }
        self.needs_format = Some(what);
        Ok(())
    }

    pub fn strftime(&mut self, format: String) -> Result<(), JqError> {
        if self.format.is_some() || !self.functions.is_empty() {
            return Err(JqError::Unsupported("strftime behind another function".to_owned()));
        }
        let is_known = StrftimeItems::new(&format).parse().is_ok();
        if !is_known || format.is_empty() || format.contains(['{', '}']) {
            return Err(JqError::Value(format!(
                "{format:?} is no format of a time: write %Y, %m, %d, %H, …"
            )));
        }
        self.format = Some(format);
        Ok(())
    }

    pub fn key(self, name: &str) -> Result<KeyQuery, JqError> {
        if self.names.is_empty() {
            return Err(JqError::Value(format!("the key {name:?} names no field of the record")));
        }
        let pointer = pointer_of(&self.names);
        if let Some(format) = self.format {
            return Ok(KeyQuery::Time { pointer, format });
        }
        if let Some(what) = self.needs_format {
            return Err(JqError::Unsupported(format!("{what} without strftime behind it")));
        }
        // As the text between braces of a prefix.
        if pointer.contains('"') {
            return Err(JqError::Value(format!(
                "the name of the field {pointer:?} must not have quotes in it"
            )));
        }
        let mut field = match pointer.contains(['|', '{', '}']) {
            true => format!("\"{pointer}\""),
            false => pointer,
        };
        for function in self.functions {
            field.push_str(&match function {
                Function::Default(text) => format!("|default({text})"),
                Function::Lower => "|lower".to_owned(),
                Function::Upper => "|upper".to_owned(),
                Function::Truncate(length) => format!("|truncate({length})"),
            });
        }
        Ok(KeyQuery::Field(field))
    }
}

/// The JSON pointer of a path.
fn pointer_of(names: &[String]) -> String {
    names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}
