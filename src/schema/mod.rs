//! What a record may look like: the JSON Schema that it is validated against, and the columns that it becomes.

pub mod columns;
pub mod decimal;
pub mod inference;
pub mod registry;
pub mod timestamp;
pub mod validation;
