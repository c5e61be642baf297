//! What changes in the logs while the node runs: streams that come and go, and shards that are split and merged.

use std::sync::Arc;
use std::time::Duration;

use super::{Logs, class_of};
use crate::config::checked::{Config, Durability, Node};
use crate::node::{Catalog, CatalogError};
use crate::pipeline::StartError;
use crate::record::ShardId;
use crate::runtime::disk::RealDisk;
use crate::runtime::phases::Phases;
use crate::stream::reshard::Replacement;
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Retention, Stream};
use crate::telemetry::metrics::Registry;

use super::Recovery;

/// A change of shards that could not be written down.
#[derive(Debug)]
pub struct NotNoted {
    /// Why.
    pub error: Box<CatalogError>,
    /// Whether the catalog on the disk is surely what it was.
    pub is_undone: bool,
}

impl Logs {
    /// Opens the node's folder if no stream has needed it so far, and begins the journal that streams of clients need.
    ///
    /// # Errors
    /// If the folder or the journal cannot be used.
    pub fn for_clients<'a>(
        logs: &'a mut Option<Self>,
        node: &Node,
        registry: &Registry,
    ) -> Result<&'a mut Self, StartError> {
        Self::for_durability(logs, node, registry, Durability::Fsync)
    }

    /// The same with the journal of a durability.
    ///
    /// # Errors
    /// If the folder or the journal cannot be used.
    pub fn for_durability<'a>(
        logs: &'a mut Option<Self>,
        node: &Node,
        registry: &Registry,
        durability: Durability,
    ) -> Result<&'a mut Self, StartError> {
        let opened = match logs.take() {
            Some(opened) => opened,
            None => {
                let config = Config { node: node.clone(), pipelines: Vec::new() };
                // Its own, since the process serves already.
                let recovery = Recovery { accept_damage: false, phases: &Phases::new(), registry };
                Self::open_in(Arc::new(RealDisk), &config, &recovery)?
            }
        };
        let opened = logs.insert(opened);
        let metrics = |class: JournalClass| registry.log(class.as_str());
        if let Some(class) = class_of(durability) {
            opened.journals.ensure(&opened.setting, class, &metrics)?;
        }
        Ok(opened)
    }

    /// Changes the catalog, on the disk and then here.
    ///
    /// # Errors
    /// What `change` says, or if it cannot be written: the catalog is then what it was, as far as this process knows.
    pub fn change_catalog<T>(
        &mut self,
        change: impl FnOnce(&mut Catalog) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut next = self.catalog.clone();
        let changed = change(&mut next)?;
        next.save(&self.folder)?;
        (self.catalog, self.unsaved) = (next, false);
        Ok(changed)
    }

    /// Writes down that shards are closed and which ones follow them, and makes the logs of these.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn reshard(
        &mut self,
        stream: &Stream,
        replacement: &Replacement,
    ) -> Result<Vec<Arc<DurableLog>>, NotNoted> {
        let children = match self.change_catalog(|catalog| catalog.reshard(stream.name(), replacement)) {
            Ok(children) => children,
            Err(error) => {
                let is_undone = self.catalog.save(&self.folder).is_ok();
                return Err(NotNoted { error: Box::new(error), is_undone });
            }
        };
        let (readers, count) = (stream.readers(), stream.layout().shards().len() + children.len());
        let share = stream.retention().of_one_shard(u32::try_from(count).unwrap_or(u32::MAX));
        let log = |number, first| DurableLog::new(ShardNumber(number), first, Vec::new(), share, readers);
        let made: Vec<_> =
            children.iter().map(|shard| Arc::new(log(shard.number, shard.facts.first))).collect();
        self.shards.extend(made.iter().map(Arc::clone));
        Ok(made)
    }

    /// Takes shards out of the catalog whose records have gone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn forget_shards(&mut self, stream: &Stream, gone: &[ShardId]) -> Result<(), CatalogError> {
        self.change_catalog(|catalog| catalog.forget_shards(stream.name(), gone))?;
        let layout = stream.layout();
        let logs: Vec<_> =
            gone.iter().filter_map(|id| layout.get(*id)).filter_map(|shard| shard.durable_log()).collect();
        self.shards.retain(|log| !logs.iter().any(|gone| Arc::ptr_eq(gone, log)));
        Ok(())
    }

    /// Looks after the shards of a stream no more.
    pub fn leave(&mut self, stream: &Stream) {
        let logs = stream.durable_logs();
        self.shards.retain(|log| !logs.iter().any(|gone| Arc::ptr_eq(gone, log)));
    }

    /// Keeps the records of a stream that no pipeline names any more for as long as they were promised.
    pub fn keep_unnamed_stream(&mut self, stream: Arc<Stream>) {
        self.unnamed.push(stream);
    }

    /// A pipeline names a stream again whose records were kept.
    pub fn name_again(&mut self, stream: &Arc<Stream>) {
        self.unnamed.retain(|unnamed| !Arc::ptr_eq(unnamed, stream));
    }

    /// Lets go of all that there is of a stream that no pipeline names.
    pub fn delete_unnamed(&mut self, name: &str) {
        let (gone, kept) =
            std::mem::take(&mut self.unnamed).into_iter().partition(|stream| **stream.name() == *name);
        self.unnamed = kept;
        let gone: Vec<Arc<Stream>> = gone;
        for stream in &gone {
            self.leave(stream);
            stream.delete();
        }
    }

    /// Lets go of records of shards that the catalog does not name any more: a process has ended between that and the
    /// removal of their files.
    pub(super) fn leave_leftovers(&mut self) {
        for (number, parts) in self.content.parts.drain() {
            let retention = Retention { age: Duration::ZERO, bytes: None };
            let first = parts.first().map_or_else(Default::default, |part| part.first);
            DurableLog::new(number, first, parts, retention, 0).give_up_all();
        }
    }
}
