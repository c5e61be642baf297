//! Sinks: where files go.

mod object;

pub use object::{ObjectSink, SinkError, SinkErrorClass, Stored};
