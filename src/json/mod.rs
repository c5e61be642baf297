//! JSON as bytes: one strict scan drives validation, key extraction and column building.
//!
//! A [`Scanner`] walks a text that is known to be UTF-8 and hands out borrowed tokens; no tree is built and nothing
//! is copied. Everything above it (`schema::validation`, `delivery::encode`) decides what to do with each token, so
//! that a record is read once a stage whatever that stage wants from it.

mod document;
mod keys;
mod number;
mod pointer;
mod scanner;
mod string;

pub use document::{NotJson, document};
pub use keys::KeySet;
pub use number::RawNumber;
pub use pointer::{Pointer, PointerError};
pub use scanner::{Kind, Scanner, SyntaxError, SyntaxErrorKind};
pub use string::RawString;

#[cfg(test)]
mod tests;
