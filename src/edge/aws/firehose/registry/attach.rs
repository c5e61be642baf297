//! Deliveries of delivery streams that go to streams of others.

use super::failed;
use crate::config::checked::{ColumnsSource, Pipeline};
use crate::edge::aws::protocol::failure::Failure;
use crate::node::StreamOrigin;
use crate::pipeline::control::Control;

fn learns(source: Option<ColumnsSource>) -> bool {
    matches!(source, Some(ColumnsSource::Inferred(_)))
}

/// Of a stream that a client has made nothing is learned.
pub(super) fn refuse_to_learn(control: &Control, made: &Pipeline) -> Result<(), Failure> {
    let origin = control.properties(&made.stream.name).map_err(failed)?.origin;
    if origin == StreamOrigin::Client && learns(made.columns_source) {
        let text = format!(
            "SchemaConfiguration: the columns cannot be learned from stream '{}', which a client has made: name a table that has columns",
            made.stream.name
        );
        return Err(Failure::invalid(text));
    }
    Ok(())
}

/// Adds the delivery of `made` to the pipeline of its stream. Returns it if there is none.
pub(super) fn attach(made: Pipeline, pipelines: &mut [Pipeline]) -> Result<Option<Pipeline>, String> {
    let stream = &made.stream.name;
    let Some(pipeline) = pipelines.iter_mut().find(|pipeline| pipeline.stream.name == *stream) else {
        return Ok(Some(made));
    };
    let has_columns = made.deliveries.iter().any(|delivery| delivery.format.columns().is_some());
    if has_columns && learns(made.columns_source) != learns(pipeline.columns_source) {
        return Err(format!(
            "SchemaConfiguration: the columns are learned for either all deliveries of stream '{stream}' or none"
        ));
    }
    pipeline.deliveries.extend(made.deliveries);
    Ok(None)
}
