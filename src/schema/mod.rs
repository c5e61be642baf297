//! What a record may look like: the JSON Schema that it is validated against, and the columns that it becomes.

pub mod columns;
pub mod validation;
#[allow(missing_docs)]
pub mod timestamp { pub fn event_time(_:&str)->Option<crate::runtime::clock::UnixMicros>{None} }
