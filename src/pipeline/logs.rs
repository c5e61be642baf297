//! The logs of durable streams: opened before any stage is built, closed behind the last one.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::config::checked::Config;
use crate::node::{Catalog, Changes, DurabilityChange, NodeFolder};
use crate::runtime::clock;
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::phases::{Phase, Phases};

/// How the logs are read back, and who is told how far that is.
#[derive(Debug)]
pub struct Recovery<'a> {
    /// Whether damaged parts are left out instead of being an error.
    pub accept_damage: bool,
    /// Its progress is counted here; and it may be told to stop.
    pub phases: &'a Phases,
}

/// What durable streams live in.
#[derive(Debug)]
pub struct Logs {
    /// The node's folder, locked.
    pub folder: NodeFolder,
    /// Its streams.
    pub catalog: Catalog,
}

impl Logs {
    /// Opens the node's folder and what is in it. Nothing is made where no stream is durable; a folder that has been
    /// made is opened all the same, since its streams might be hidden otherwise.
    pub fn open(config: &Config, recovery: &Recovery<'_>) -> Result<Option<Self>, StartError> {
        let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), &config.node.data_dir);
        let mut streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
        let some_durable = streams.any(|stream| stream.durability.is_durable());
        if !some_durable && !NodeFolder::is_begun(&*disk, path) {
            return Ok(None);
        }
        let begun = clock::monotonic();
        recovery.phases.advance(Phase::Recovering);
        let folder = NodeFolder::open(disk, path, config.node.name.as_deref())?;
        let catalog = open_catalog(&folder, config)?;
        tracing::info!(data_dir = %path.display(), node = %folder.id(), name = folder.name(), "the node's folder is open");
        if recovery.accept_damage {
            tracing::warn!("damaged parts of the log are left out where there are any (--accept-damage)");
        }
        if recovery.phases.progress().is_stopped() {
            return Err(StartError::Stopped);
        }
        tell_recovered(recovery.phases.progress().done_bytes(), begun.elapsed());
        Ok(Some(Self { folder, catalog }))
    }
}

/// The catalog, in step with the configuration and on the disk, before a record of a new stream is taken.
fn open_catalog(folder: &NodeFolder, config: &Config) -> Result<Catalog, StartError> {
    let mut catalog = Catalog::open(folder)?;
    let streams = config.pipelines.iter().map(|pipeline| &pipeline.stream);
    let changes = catalog.reconcile(streams, clock::wall())?;
    if changes.must_be_saved() {
        catalog.save(folder)?;
    }
    tell(&changes);
    Ok(catalog)
}

/// What the start has cost, if there was anything to read.
fn tell_recovered(bytes: u64, time: Duration) {
    if bytes > 0 {
        let seconds = time.as_secs_f64().max(1e-9);
        let rate = bytes as f64 / 1e9 / seconds;
        tracing::info!(bytes, seconds, gigabytes_per_second = rate, "the log was read back");
    }
}

fn tell(changes: &Changes) {
    for stream in &changes.added {
        tracing::info!(stream, "new durable stream");
    }
    for DurabilityChange { stream, from, to } in &changes.changed {
        tracing::info!(stream, from = from.as_str(), to = to.as_str(), "new records get another durability");
    }
    for stream in &changes.unnamed {
        tracing::warn!(
            stream,
            "no pipeline file names this durable stream any more; its records stay in the node's folder"
        );
    }
}
