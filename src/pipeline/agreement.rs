//! Where the nodes of a stream in Kafka agree on its shards: in the store of their cluster, or in the folder of a node that
//! is alone.

use std::path::Path as Folder;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::config::checked::Cluster;
use crate::delivery::sink::{SinkError, SinkErrorClass, open_store};
use crate::stream::kafka::growth::Agreement;
use crate::stream::kafka::growth::objects::Objects;
use crate::stream::kafka::growth::switch::Times;

/// In the folder of a stream, what its nodes agree on: by topic.
const LAYOUT: &str = "layout";

fn folder(root: Path, (stream, topic): (&str, &str)) -> Path {
    root.join(stream).join(LAYOUT).join(topic)
}

/// That of all nodes of `cluster`, about a stream and its topic.
///
/// # Errors
/// If the store cannot be used.
pub fn of_cluster(cluster: &Cluster, of: (&str, &str)) -> Result<Agreement, SinkError> {
    let (store, root) = open_store(&cluster.ledger)?;
    Ok(Agreement { objects: Objects::new(store, folder(root, of)), times: Times::STANDARD })
}

/// That of a node with itself, below the folder `layouts`, which is there then.
///
/// # Errors
/// If the folder cannot be used.
pub fn of_node(layouts: &Folder, of: (&str, &str)) -> Result<Agreement, SinkError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| SinkError::new(SinkErrorClass::Other, error);
    std::fs::create_dir_all(layouts).map_err(|error| failed(error.into()))?;
    let store = LocalFileSystem::new_with_prefix(layouts).map_err(|error| failed(error.into()))?;
    let objects = Objects::new(Arc::new(store.with_fsync(true)), folder(Path::default(), of));
    Ok(Agreement { objects, times: Times::ALONE })
}

/// What is agreed at the moment, for whoever looks and changes nothing: in memory. Of a node that is alone without
/// `cluster`.
///
/// # Errors
/// If it cannot be read, in words.
pub async fn to_look_at(
    cluster: Option<&Cluster>,
    layouts: &Folder,
    of: (&str, &str),
) -> Result<Agreement, String> {
    let there = match cluster {
        Some(cluster) => Some(of_cluster(cluster, of)),
        // Whoever looks makes no folder.
        None => layouts.is_dir().then(|| of_node(layouts, of)),
    };
    let objects = match there.transpose().map_err(|error| error.to_string())? {
        Some(there) => there.objects.copy().await.map_err(|error| error.to_string())?,
        None => Objects::new(Arc::new(InMemory::new()), Path::default()),
    };
    Ok(Agreement { objects, times: Times::ALONE })
}
