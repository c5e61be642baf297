//! Tap: live reads of a stream.

pub mod cursor;
pub mod page;
pub mod query;
