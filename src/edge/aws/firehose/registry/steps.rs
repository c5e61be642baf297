//! The steps of a record's way through a delivery stream, one of which may be a function.

use super::Entry;
use crate::config::checked::Pipeline;
use crate::edge::aws::firehose::mapping::Before;
use crate::pipeline::control::{Control, ControlError, Transformation};

/// Whether one that clients put to has still something to deliver.
pub(super) fn is_pending(control: &Control, entry: &Entry, stream: &str) -> bool {
    // In the order of a record's way: what has left one step is seen at the next.
    let is_before = |before: &Transformation| {
        control.is_transforming(&before.source) || control.is_pending(&before.source)
    };
    let is_put_to = entry.delivery_stream.source.is_none();
    is_put_to && (entry.transformation.as_ref().is_some_and(is_before) || control.is_pending(stream))
}

/// Ends the streams of a delivery stream that has its own.
pub(super) fn end(
    control: &Control,
    stream: &str,
    before: Option<&Transformation>,
) -> Result<(), ControlError> {
    match before {
        None => control.end(stream),
        Some(before) => control.end_transformed(&before.source, stream),
    }
}

/// What goes from the stream before a function into the one behind it.
pub(super) fn transformation(before: &Before, behind: &Pipeline) -> Transformation {
    Transformation {
        source: before.pipeline.stream.name.as_str().into(),
        target: behind.stream.name.as_str().into(),
        spec: before.spec.clone(),
    }
}
