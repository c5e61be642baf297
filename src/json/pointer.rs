//! JSON pointers (RFC 6901), as the configuration names fields by.

use std::fmt;

use thiserror::Error;

/// A parsed pointer such as `/client/ip`. The empty pointer, which names the whole document, is refused: every use
/// of a pointer here names a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

/// Why a text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PointerError {
    /// It does not begin with `/`.
    #[error("a JSON pointer begins with '/': write '/{0}'")]
    NoSlash(String),
    /// It names the whole document.
    #[error("a JSON pointer to a field is needed, such as '/client/ip'")]
    Empty,
    /// A `~` that is not `~0` or `~1`.
    #[error("in a JSON pointer '~' is written '~0' and '/' inside a name '~1': '{0}'")]
    BadEscape(String),
}

impl Pointer {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Err(PointerError::Empty);
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(PointerError::NoSlash(text.to_owned()));
        };
        let tokens = path
            .split('/')
            .map(|token| {
                let valid = token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
                if valid { Ok(token.replace("~1", "/").replace("~0", "~")) } else { Err(()) }
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|()| PointerError::BadEscape(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// The unescaped names from the root to the field. Never empty.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
