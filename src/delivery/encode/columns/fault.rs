//! A [`Misfit`] on its way up: each level adds its part of the pointer.

use super::super::Misfit;
use crate::json::{Kind, SyntaxError};

/// Small, because every value's result carries room for one; what is in it is only made when it is needed.
#[derive(Debug)]
pub(super) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    /// Innermost first.
    tokens: Vec<String>,
    expected: Option<String>,
    found: String,
}

impl Fault {
    #[cold]
    pub(super) fn found(found: impl Into<String>) -> Self {
        Self(Box::new(Parts { tokens: Vec::new(), expected: None, found: found.into() }))
    }

    /// A value of another kind than the column takes.
    #[cold]
    pub(super) fn kind(kind: Kind) -> Self {
        Self::found(kind.name())
    }

    /// What should have been there, unless a deeper level has said so.
    #[cold]
    pub(super) fn expecting(mut self, expected: &str) -> Self {
        self.0.expected.get_or_insert_with(|| expected.to_owned());
        self
    }

    #[cold]
    pub(super) fn in_key(mut self, key: &str) -> Self {
        self.0.tokens.push(key.replace('~', "~0").replace('/', "~1"));
        self
    }

    #[cold]
    pub(super) fn in_element(mut self, index: usize) -> Self {
        self.0.tokens.push(index.to_string());
        self
    }

    pub(super) fn into_misfit(self) -> Misfit {
        let Parts { tokens, expected, found } = *self.0;
        let pointer = tokens.iter().rev().flat_map(|token| ["/", token]).collect();
        Misfit { pointer, expected: expected.unwrap_or_default(), found }
    }
}

impl From<SyntaxError> for Fault {
    #[cold]
    fn from(error: SyntaxError) -> Self {
        Self::found(error.to_string()).expecting("valid JSON")
    }
}
