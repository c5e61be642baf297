//! Records that go through functions.

use std::path::Path;
use std::sync::Arc;

use crate::delivery::verify::{RecordSource as _, StoredLog};
use crate::function::balance::{FunctionReport, Numbered, Numbers};
use crate::node::{Catalog, CatalogStream, DocumentFolder, NodeError, NodeFolder};
use crate::pipeline::control::Transformation;
use crate::stream::wal::journals::Content;

/// The balance of a function; none where a stream of it has taken no record yet.
///
/// # Errors
/// If what is kept of it cannot be read.
pub(super) fn verify(
    Transformation { source, target, spec }: &Transformation,
    (folder, data_dir): (&NodeFolder, &Path),
    catalog: &Catalog,
    content: &Content,
) -> Result<Option<FunctionReport>, NodeError> {
    let files = DocumentFolder::of_functions(Arc::clone(folder.disk()), data_dir);
    let (Some(from), Some(into)) = (catalog.stream(source), catalog.stream(target)) else { return Ok(None) };
    let report =
        FunctionReport::of(files.read(source)?.as_ref(), &numbered(from, content), &numbered(into, content));
    let (stream, target, function) = (from.name.clone(), into.name.clone(), spec.function.name.clone());
    Ok(Some(FunctionReport { stream, target, function, ..report }))
}

fn numbered(stream: &CatalogStream, content: &Content) -> Numbered {
    let held = StoredLog::new(stream, content).shards();
    let numbers = stream.shards.iter().filter_map(|shard| {
        let held = held.iter().find(|held| held.shard == shard.facts.id)?;
        let (shard, first) = (shard.facts.id, shard.facts.first);
        Some(Numbers { shard, first, oldest: held.first, next: held.next })
    });
    let knows = |id| stream.shards.iter().any(|shard| shard.facts.id == id);
    let mut parents = stream.shards.iter().flat_map(|shard| shard.facts.parents).flatten();
    let is_partly_gone = parents.any(|parent| !knows(parent));
    Numbered { number: stream.number, shards: numbers.collect(), is_partly_gone }
}
