//! The first thing in a record that its schema does not allow.

use std::fmt::{self, Write as _};

use crate::json::RawString;

/// Where a record breaks its schema, and how. Shown as `/status: expected integer, got string`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer to the value; the empty pointer, which is shown as `/`, is the record itself. At most about
    /// 256 bytes: a longer one ends in `…`.
    pub pointer: String,
    /// What the schema wants there.
    pub expected: String,
    /// What stands there (a short description, never the whole value).
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{pointer}: expected {}, got {}", self.expected, self.found)
    }
}

/// Bytes of a pointer from which on no further name is added: keys are the client's, messages are stored.
const POINTER_BYTES_MAX: usize = 256;

/// Characters of a value that a message shows.
const SNIPPET_CHARS_MAX: usize = 40;

/// A value's text, shortened.
pub(super) fn snippet(text: &str) -> String {
    shorten(text, SNIPPET_CHARS_MAX)
}

fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A pointer from its unescaped names, shortened.
pub(super) fn pointer<'n>(names: impl Iterator<Item = std::borrow::Cow<'n, str>>) -> String {
    let mut text = String::new();
    for name in names {
        if text.len() > POINTER_BYTES_MAX {
            text.push_str("/…");
            break;
        }
        let name = shorten(&name, POINTER_BYTES_MAX).replace('~', "~0").replace('/', "~1");
        // Writing to a string cannot fail.
        let _ = write!(text, "/{name}");
    }
    text
}

/// The way from the record to the value at hand. It lives on the checker's stack, so that it costs nothing until a
/// violation asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    /// The record.
    Root,
    /// A member that is there.
    Key(&'a Path<'a>, RawString<'a>),
    /// A member that is missing.
    Name(&'a Path<'a>, &'a str),
    /// An item.
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The pointer.
    pub fn render(&self) -> String {
        let mut names = Vec::new();
        let mut at = self;
        loop {
            let (parent, name) = match at {
                Path::Root => break,
                Path::Key(parent, key) => (parent, key.decode()),
                Path::Name(parent, name) => (parent, (*name).into()),
                Path::Index(parent, index) => (parent, index.to_string().into()),
            };
            names.push(name);
            at = parent;
        }
        pointer(names.into_iter().rev())
    }
}
