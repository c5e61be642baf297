//! Sinks: where files go.

mod error;
mod multipart;
mod object;

pub use error::{SinkError, SinkErrorClass};
pub use object::{ObjectSink, Stored};
