//! Tap: live reads of a stream.

pub mod cursor;
pub mod data;
pub mod page;
pub mod query;
