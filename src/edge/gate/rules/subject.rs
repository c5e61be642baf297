//! What patterns are about.

use std::borrow::Cow;

use http::HeaderName;
use http::request::Parts;
use percent_encoding::percent_decode;

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The path. One with an escape in it names nothing and is not found anyway.
    Path,
    /// The query.
    Query,
    /// A header, each value for itself.
    Header(HeaderName),
}

impl Subject {
    /// Calls `read` with each text of it; with nothing where it is not there.
    pub fn texts(&self, head: &Parts, mut read: impl FnMut(&[u8])) {
        match self {
            Subject::Path => read(head.uri.path().as_bytes()),
            Subject::Query => {
                let raw = head.uri.query().unwrap_or_default().as_bytes();
                read(raw);
                if let Some(decoded) = decoded(raw) {
                    read(&decoded);
                }
            }
            Subject::Header(name) => {
                let mut values = head.headers.get_all(name).iter().peekable();
                if values.peek().is_none() {
                    read(b"");
                }
                values.for_each(|value| read(value.as_bytes()));
            }
        }
    }
}

/// What a form decoder makes of a text, where that is another one.
pub fn decoded(raw: &[u8]) -> Option<Vec<u8>> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return None;
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let unescaped = match Cow::from(percent_decode(&spaced)) {
        Cow::Owned(unescaped) => Some(unescaped),
        Cow::Borrowed(_) => None,
    };
    Some(unescaped.unwrap_or(spaced))
}
