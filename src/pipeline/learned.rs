//! What was learned of the columns of a stream.

use std::sync::Arc;

use super::StartError;
use super::logs::Logs;
use crate::config::checked;
use crate::node::SchemaFile;
use crate::runtime::clock;
use crate::schema::inference::Rules;
use crate::schema::registry::Registry;
use crate::telemetry::metrics;

/// The versions of the columns of `stream`, with the newest one among the `metrics`. Only those of a durable stream outlive the process.
///
/// # Errors
/// If they cannot be read; or not be kept, where they are to be read by other rules than before.
pub(super) fn open(
    logs: Option<&Logs>,
    stream: &checked::Stream,
    rules: Rules,
    metrics: &metrics::Registry,
) -> Result<Arc<Registry>, StartError> {
    let folder = logs
        .filter(|_| stream.durability.is_durable() || stream.log.kafka().is_some())
        .map(|logs| &logs.folder);
    let gauge = metrics.schema_version(&stream.name);
    let Some(folder) = folder else {
        return Ok(Arc::new(Registry::new(rules, Vec::new(), None).shown_in(gauge)));
    };
    let file = SchemaFile::of(folder, &stream.name);
    let registry = Registry::new(rules, file.read()?, Some(Box::new(file))).shown_in(gauge);
    registry
        .bring_up_to_date(clock::wall())
        .map_err(|why| StartError::Learned { stream: stream.name.clone(), why })?;
    Ok(Arc::new(registry))
}
