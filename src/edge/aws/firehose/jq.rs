//! The queries of the metadata extraction processor: the part of jq 1.6 that names fields of a record.
//!
//! ```text
//! query   = "{" [ pair { "," pair } ] "}"
//! pair    = key ":" value | key                     {customer_id} is {customer_id: .customer_id}
//! value   = term { "|" term | "//" literal | "/" 1000 }
//! term    = path | "(" value ")" | function
//! path    = "." | ("." name | "." string | "[" string "]" | "[" index "]") {…} [ "?" ] [ "[" ":" length "]" ]
//! ```
//!
//! | function | means |
//! | --- | --- |
//! | `// LITERAL` | the literal, where the field is missing or null (jq: also where it is false) |
//! | `ascii_downcase` `ascii_upcase` | the letters small or capital (jq: those of ASCII, here by Unicode) |
//! | `.[:N]` | the first N characters of a text |
//! | `tostring` | nothing, for what can be part of a path |
//! | `strftime("%Y")` | a time: seconds since 1970, and what else `event_time` of a delivery reads |
//! | `fromdate` `fromdateiso8601` `/ 1000` | nothing, before `strftime`, which tells units and texts apart itself |
//!
//! Everything else is an error that names it. Grammar: <https://jqlang.github.io/jq/manual/v1.6/>.

mod steps;

use std::collections::BTreeMap;

use thiserror::Error;

use steps::{Function, Steps};

/// Keys of one query: what the service takes.
const KEYS_MAX: usize = 50;

/// Parentheses within each other. Each costs a call, of which a thread's stack has room for thousands.
const DEPTH_MAX: usize = 16;

/// What one key of a query stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyQuery {
    /// A field, as `partition_keys` of a delivery takes it: a pointer with functions behind it.
    Field(String),
    /// A time in a strftime format.
    Time {
        /// Pointer to the field that it is read from.
        pointer: String,
        /// The format, which chrono knows and which has no braces.
        format: String,
    },
}

/// Why a query is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JqError {
    /// Something else was to stand there.
    #[error("expected {expected} at character {at}, found {found}")]
    Syntax {
        /// What.
        expected: &'static str,
        /// Counted from 1.
        at: usize,
        /// What stands there.
        found: String,
    },
    /// It is jq, and not of the part that is known here.
    #[error(
        "{0} is not supported by this server: write paths, // with a literal, ascii_downcase, ascii_upcase, .[:N], tostring or strftime"
    )]
    Unsupported(String),
    /// Something that cannot be part of a key.
    #[error("{0}")]
    Value(String),
    /// The same key a second time.
    #[error("the key {0:?} is there twice")]
    Twice(String),
    /// Too many of something.
    #[error("more than {max} {what}")]
    TooMany {
        /// How many there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
}

/// The keys of a query, by name.
///
/// # Errors
/// [`JqError`], which says what is not understood.
pub fn parse(query: &str) -> Result<BTreeMap<String, KeyQuery>, JqError> {
    let mut parser = Parser { text: query, at: 0, depth: 0 };
    parser.expect("{", "an object such as {customer_id: .customer.id}")?;
    let mut keys = BTreeMap::new();
    if !parser.take("}") {
        loop {
            let (name, key) = parser.pair()?;
            if keys.insert(name.clone(), key).is_some() {
                return Err(JqError::Twice(name));
            }
            if keys.len() > KEYS_MAX {
                return Err(JqError::TooMany { max: KEYS_MAX, what: "keys" });
            }
            if parser.take("}") {
                break;
            }
            parser.expect(",", "',' or '}'")?;
        }
    }
    parser.skip_space();
    if parser.rest().is_empty() {
        return match keys.is_empty() {
            true => Err(JqError::Value("the query has no keys".to_owned())),
            false => Ok(keys),
        };
    }
    Err(parser.unexpected("the end"))
}

struct Parser<'a> {
    text: &'a str,
    /// Always at the border of a character.
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Whether `word` stands there; it is passed over then.
    fn take(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str, expected: &'static str) -> Result<(), JqError> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> JqError {
        let at = self.text.get(..self.at).unwrap_or_default().chars().count() + 1;
        let found: String = self.rest().chars().take(16).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("{found:?}") };
        JqError::Syntax { expected, at, found }
    }

    fn pair(&mut self) -> Result<(String, KeyQuery), JqError> {
        self.skip_space();
        let name = match self.identifier() {
            Some(name) => name,
            None if self.rest().starts_with('"') => self.string()?,
            None if self.rest().starts_with(['(', '$', '@']) => {
                return Err(JqError::Unsupported("a key that is computed".to_owned()));
            }
            None => return Err(self.unexpected("the name of a key")),
        };
        if name.is_empty() || name.contains(['{', '}', ':']) || name.trim() != name {
            let message =
                format!("the key {name:?} must not be empty, nor have braces, colons or spaces around it");
            return Err(JqError::Value(message));
        }
        let mut steps = Steps::default();
        if self.take(":") {
            self.value(&mut steps)?;
        } else {
            steps.names.push(name.clone());
        }
        let key = steps.key(&name)?;
        Ok((name, key))
    }

    fn value(&mut self, steps: &mut Steps) -> Result<(), JqError> {
        self.term(steps)?;
        loop {
            if self.take("//") {
                self.skip_space();
                if self.rest().starts_with('=') {
                    return Err(JqError::Unsupported("//=".to_owned()));
                }
                let text = self.literal()?;
                steps.apply(Function::Default(text))?;
            } else if self.take("|") {
                if self.rest().starts_with('=') {
                    return Err(JqError::Unsupported("|=".to_owned()));
                }
                self.term(steps)?;
            } else if self.take("/") {
                self.skip_space();
                let unit = ["1000000", "1000", "1e6", "1e3"].into_iter().find(|unit| self.take(unit));
                if unit.is_none()
                    || self.rest().starts_with(|c: char| c.is_ascii_digit() || ".eE".contains(c))
                {
                    return Err(JqError::Unsupported("division by anything but 1000 and 1000000".to_owned()));
                }
                steps.need_format("a division")?;
            } else {
                return Ok(());
            }
        }
    }

    fn term(&mut self, steps: &mut Steps) -> Result<(), JqError> {
        self.skip_space();
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(JqError::TooMany { max: DEPTH_MAX, what: "parentheses within each other" });
            }
            self.value(steps)?;
            self.expect(")", "')'")?;
            self.depth -= 1;
            return self.path_behind(steps);
        }
        if self.rest().starts_with('.') {
            return self.path(steps);
        }
        match self.identifier() {
            Some(name) => self.function(&name, steps),
            None if self.rest().starts_with('"') || self.rest().starts_with(|c: char| c.is_ascii_digit()) => {
                Err(JqError::Unsupported("a value that does not come from the record".to_owned()))
            }
            None => Err(self.unexpected("a path such as .customer.id")),
        }
    }

    fn function(&mut self, name: &str, steps: &mut Steps) -> Result<(), JqError> {
        match name {
            "ascii_downcase" => steps.apply(Function::Lower),
            "ascii_upcase" => steps.apply(Function::Upper),
            "tostring" => Ok(()),
            "fromdate" => steps.need_format("fromdate"),
            "fromdateiso8601" => steps.need_format("fromdateiso8601"),
            "strftime" => {
                self.expect("(", "'(' and a format")?;
                self.skip_space();
                let format = self.string()?;
                self.expect(")", "')'")?;
                steps.strftime(format)
            }
            other => Err(JqError::Unsupported(format!("{other:?}"))),
        }
    }

    /// A path that begins with a point.
    fn path(&mut self, steps: &mut Steps) -> Result<(), JqError> {
        self.expect(".", "a path")?;
        if self.rest().starts_with('.') {
            return Err(JqError::Unsupported("..".to_owned()));
        }
        if let Some(name) = self.name()? {
            steps.name(name)?;
        }
        self.path_behind(steps)
    }

    /// What may follow a path or a closing parenthesis without space: `.name`, `["name"]`, `[0]`, `[:3]`, `?`.
    fn path_behind(&mut self, steps: &mut Steps) -> Result<(), JqError> {
        loop {
            if self.rest().starts_with('[') {
                self.brackets(steps)?;
            } else if self.rest().starts_with('.') {
                self.at += 1;
                match self.name()? {
                    Some(name) => steps.name(name)?,
                    None if self.rest().starts_with('[') => {}
                    None => return Err(self.unexpected("a name")),
                }
            } else if self.rest().starts_with('?') && !self.rest().starts_with("?/") {
                self.at += 1;
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<Option<String>, JqError> {
        match self.identifier() {
            Some(name) => Ok(Some(name)),
            None if self.rest().starts_with('"') => self.string().map(Some),
            None => Ok(None),
        }
    }

    fn brackets(&mut self, steps: &mut Steps) -> Result<(), JqError> {
        self.expect("[", "'['")?;
        self.skip_space();
        if self.rest().starts_with('"') {
            let name = self.string()?;
            self.expect("]", "']'")?;
            return steps.name(name);
        }
        let index = self.digits();
        if self.take(":") {
            self.skip_space();
            let length = self.digits().and_then(|digits| digits.parse().ok());
            self.expect("]", "']' behind a number")?;
            return match (index.as_deref().unwrap_or("0"), length) {
                ("0", Some(length)) if length > 0 => steps.apply(Function::Truncate(length)),
                _ => Err(JqError::Unsupported("a slice other than [:N]".to_owned())),
            };
        }
        let canonical = |digits: &String| digits == "0" || !digits.starts_with('0');
        let Some(index) = index.filter(canonical) else {
            return Err(match self.rest().chars().next() {
                Some(']') | Some('-') => JqError::Unsupported("[] without a name or an index".to_owned()),
                _ => self.unexpected("a name in quotes or an index"),
            });
        };
        self.expect("]", "']'")?;
        steps.name(index)
    }

    fn digits(&mut self) -> Option<String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest.get(..end).filter(|digits| !digits.is_empty())?.to_owned();
        self.at += end;
        Some(digits)
    }

    fn identifier(&mut self) -> Option<String> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        if !first.is_ascii_alphabetic() && first != '_' {
            return None;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest.get(..end)?.to_owned();
        self.at += end;
        Some(name)
    }

    /// A string as in JSON.
    fn string(&mut self) -> Result<String, JqError> {
        let rest = self.rest();
        let mut bytes = rest.bytes().enumerate().skip(1);
        let end = loop {
            match bytes.next() {
                Some((at, b'"')) => break at + 1,
                Some((_, b'\\')) => {
                    if let Some((_, b'(')) = bytes.next() {
                        return Err(JqError::Unsupported("\\(…) in a string".to_owned()));
                    }
                }
                Some(_) => {}
                None => return Err(self.unexpected("a string that ends")),
            }
        };
        let text = rest.get(..end).and_then(|text| serde_json::from_str(text).ok());
        let text = text.ok_or_else(|| self.unexpected("a string"))?;
        self.at += end;
        Ok(text)
    }

    /// What a default may be: a string, a number or a boolean, as the text that it has in a path.
    fn literal(&mut self) -> Result<String, JqError> {
        if self.rest().starts_with('"') {
            return self.string();
        }
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(word) {
            Ok(serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                let word = word.to_owned();
                self.at += end;
                Ok(word)
            }
            _ if word.is_empty() => Err(JqError::Unsupported("// with anything but a literal".to_owned())),
            _ => Err(JqError::Unsupported(format!("// {word}"))),
        }
    }
}

#[cfg(test)]
mod tests;
