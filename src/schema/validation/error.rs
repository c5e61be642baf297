//! What is wrong with a schema document.

use thiserror::Error;

/// Why a schema cannot be used. Pointers are JSON pointers into the schema document; the root is shown as `/`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// The document is neither an object nor a boolean.
    #[error(
        "a JSON Schema is an object or a boolean, not {found}: write {{\"type\": \"object\"}} to take every object"
    )]
    NotASchema {
        /// The kind of the document.
        found: &'static str,
    },
    /// `$schema` names no draft that is known here.
    #[error(
        "unknown \"$schema\" '{uri}': write \"https://json-schema.org/draft/2020-12/schema\" \
         or \"http://json-schema.org/draft-04/schema#\""
    )]
    UnknownDraft {
        /// What it names.
        uri: String,
    },
    /// A keyword has a value that it cannot have.
    #[error("invalid schema at {pointer}: {problem}; correct it there")]
    Invalid {
        /// The keyword.
        pointer: String,
        /// What the draft's own schema says about it.
        problem: String,
    },
    /// A reference that leads nowhere, or out of the document.
    #[error(
        "unresolved reference in the schema: {problem}; schemas are not fetched, so put the other schema under \
         \"$defs\" and refer to it as \"#/$defs/NAME\""
    )]
    Reference {
        /// What could not be resolved.
        problem: String,
    },
    /// A schema that refers to itself for the very same value.
    #[error(
        "the schema at {pointer} refers to itself for the same value, so no value could ever be checked: remove that \"$ref\""
    )]
    Circular {
        /// A schema on the circle.
        pointer: String,
    },
}

/// A pointer as messages show it: the root is `/`.
pub(super) fn shown(pointer: &str) -> String {
    if pointer.is_empty() { "/".to_owned() } else { pointer.to_owned() }
}
