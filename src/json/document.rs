//! Whether bytes are one JSON value.

use std::cell::RefCell;

use thiserror::Error;

use super::{KeySet, Scanner, SyntaxError};

/// Why bytes are no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotJson {
    /// They are no text.
    #[error("invalid UTF-8 at byte {0}")]
    Text(usize),
    /// The text is no JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

thread_local! {
    /// One a thread: its buffers are reused from value to value.
    static KEYS: RefCell<KeySet> = RefCell::new(KeySet::new());
}

/// The text of one JSON value of any kind, with white space around it perhaps.
///
/// # Errors
/// Why it is none. By the same rules as at the edge: a key that occurs twice in an object is an error.
pub fn document(bytes: &[u8]) -> Result<&str, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|error| NotJson::Text(error.valid_up_to()))?;
    let mut scanner = Scanner::new(text);
    KEYS.with_borrow_mut(|keys| {
        keys.clear();
        keys.skip_value(&mut scanner)
    })?;
    scanner.end()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_one_value_of_any_kind() {
        for text in ["{}", " {\"a\":[1]}\r\n", "3", "null", "\"x\"", "[]"] {
            assert_eq!(document(text.as_bytes()), Ok(text));
        }
        for text in ["", " ", "{", "{}{}", "{\"a\":1,\"a\":2}", "nul", "1 2", "\u{feff}{}"] {
            assert!(matches!(document(text.as_bytes()), Err(NotJson::Syntax(_))), "{text}");
        }
        assert_eq!(document(b"{\"a\":\"\xff\"}"), Err(NotJson::Text(6)));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_json_for_others_too(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            if document(&bytes).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
            }
        }
    }
}
