//! The delivery streams of the node: in memory, each with its file, and changed one at a time.
//!
//! A new one runs at once, and so does one that is deleted end: it takes no more records, and goes when its deliveries
//! have stored what there is, or at once if the client forces it. An update, and a delivery stream whose source is
//! another stream, take effect when the node starts next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::delivery_stream::DeliveryStream;
use super::mapping::{self, Mapped};
use super::processing::DeAggregation;
use crate::config::checked::{ColumnsSource, Config, Node, Pipeline};
use crate::config::limits::DELIVERY_STREAMS_MAX;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::node::{DeliveryStreamFiles, NodeError, NodeFolder};
use crate::pipeline::control::{Control, ControlError};
use crate::runtime::disk::{Disk, RealDisk};

/// See the module.
#[derive(Debug)]
pub struct DeliveryStreams {
    node: Node,
    files: DeliveryStreamFiles,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
}

/// A delivery stream and how it runs.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub delivery_stream: DeliveryStream,
    /// How a record of a client is taken for several.
    pub de_aggregation: Option<DeAggregation>,
    /// Whether it runs; otherwise it does from the next start on.
    pub is_running: bool,
}

/// Why the delivery streams of a node cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// What a file says does not go with the node's configuration any more.
    #[error("delivery stream '{name}', which was made over the Firehose API: {why}")]
    Mapping {
        /// Its name.
        name: String,
        /// Why, with the name of the setting.
        why: String,
    },
}

impl DeliveryStreams {
    /// Reads those of the node's folder, and adds their pipelines to `config`.
    ///
    /// # Errors
    /// If one cannot be read, or not be run any more.
    pub fn load(config: &mut Config) -> Result<Self, LoadError> {
        let (disk, node): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), config.node.clone());
        let files = DeliveryStreamFiles::at(Arc::clone(&disk), &node.data_dir);
        let mut entries = BTreeMap::new();
        let found: Vec<DeliveryStream> = match NodeFolder::is_begun(&*disk, &node.data_dir) {
            true => files.read_all()?,
            false => Vec::new(),
        };
        for delivery_stream in found {
            let name = delivery_stream.name.clone();
            let failed = |why: String| LoadError::Mapping { name: name.clone(), why };
            let Mapped { pipeline, de_aggregation } =
                mapping::map(&delivery_stream, &node).map_err(|failure| failed(failure.message))?;
            let is_running = match delivery_stream.source {
                None => {
                    config.pipelines.push(pipeline);
                    true
                }
                Some(_) => attach(pipeline, &mut config.pipelines).map_err(failed)?,
            };
            entries.insert(name, Arc::new(Entry { delivery_stream, de_aggregation, is_running }));
        }
        Ok(Self { node, files, entries: Mutex::new(entries) })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        // Nothing panics while it is changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries().get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.entries().values().cloned().collect()
    }

    /// Makes one, durably, and runs it. To be called alone, in [`Control::alone`].
    ///
    /// # Errors
    /// If there is one of that name, it is not supported, or the disk fails.
    pub fn create(
        &self,
        control: &Control,
        delivery_stream: DeliveryStream,
        account: &str,
    ) -> Result<(), Failure> {
        let name = delivery_stream.name.clone();
        if self.get(&name).is_some() || control.serves_declared(&name) {
            let text = format!("Firehose {name} under accountId {account} already exists");
            return Err(Failure::new(FailureKind::ResourceInUse, text));
        }
        if self.entries().len() >= DELIVERY_STREAMS_MAX {
            let text = format!("a node has at most {DELIVERY_STREAMS_MAX} delivery streams");
            return Err(Failure::new(FailureKind::LimitExceeded, text));
        }
        let Mapped { pipeline, de_aggregation } = mapping::map(&delivery_stream, &self.node)?;
        let is_running = delivery_stream.source.is_none();
        if is_running {
            control.begin(pipeline).map_err(failed)?;
        } else if control.serves(&pipeline.stream.name) {
            control.open_folder().map_err(failed)?;
        } else {
            let text = format!("KinesisStreamARN: there is no stream {:?} here", pipeline.stream.name);
            return Err(Failure::invalid(text));
        }
        if let Err(error) = self.files.keep(&name, &delivery_stream) {
            if is_running {
                control.end(&mapping::stream_name(&delivery_stream)).map_err(failed)?;
            }
            return Err(failed(error.into()));
        }
        self.entries().insert(name, Arc::new(Entry { delivery_stream, de_aggregation, is_running }));
        Ok(())
    }

    /// Changes one, durably. What its pipeline is takes effect when the node starts next. To be called alone, in
    /// [`Control::alone`].
    ///
    /// # Errors
    /// What `change` says; if it is not supported then; or if the disk fails.
    pub fn update(
        &self,
        name: &str,
        account: &str,
        change: impl FnOnce(&mut DeliveryStream) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let entry = self.get(name).ok_or_else(|| super::not_found(name, account))?;
        let mut delivery_stream = entry.delivery_stream.clone();
        change(&mut delivery_stream)?;
        let before = &entry.delivery_stream;
        if delivery_stream.destination != before.destination {
            // Only whether it can be run; what runs stays as it is for now.
            mapping::map(&delivery_stream, &self.node)?;
        }
        self.files.keep(name, &delivery_stream).map_err(|error| failed(error.into()))?;
        self.entries().insert(name.to_owned(), Arc::new(Entry { delivery_stream, ..(*entry).clone() }));
        Ok(())
    }

    /// Deletes one: at once if `is_forced` or if nothing of it runs, otherwise when its records are delivered. To be
    /// called alone, in [`Control::alone`].
    ///
    /// # Errors
    /// If there is none, or the disk fails.
    pub fn delete(
        &self,
        control: &Control,
        (name, account): (&str, &str),
        is_forced: bool,
    ) -> Result<(), Failure> {
        self.update(name, account, |delivery_stream| {
            delivery_stream.is_deleting = true;
            Ok(())
        })?;
        let entry = self.get(name).ok_or_else(|| super::not_found(name, account))?;
        self.finish(control, &entry, is_forced)
    }

    /// Takes those away that are to go and have delivered their records. To be called alone, in [`Control::alone`].
    pub fn finish_deleted(&self, control: &Control) {
        for entry in self.all().into_iter().filter(|entry| entry.delivery_stream.is_deleting) {
            if let Err(failure) = self.finish(control, &entry, false) {
                let name = &entry.delivery_stream.name;
                tracing::warn!(delivery_stream = name, why = failure.message, "it is not deleted for now");
            }
        }
    }

    /// Whether [`DeliveryStreams::finish_deleted`] has something to look at.
    pub fn has_deleted(&self) -> bool {
        self.entries().values().any(|entry| entry.delivery_stream.is_deleting)
    }

    fn finish(&self, control: &Control, entry: &Entry, is_forced: bool) -> Result<(), Failure> {
        let DeliveryStream { name, source, .. } = &entry.delivery_stream;
        if source.is_none() {
            let stream = mapping::stream_name(&entry.delivery_stream);
            if !is_forced && control.is_pending(&stream) {
                return Ok(());
            }
            control.end(&stream).map_err(failed)?;
        }
        self.files.remove(name).map_err(|error| failed(error.into()))?;
        self.entries().remove(name);
        tracing::info!(delivery_stream = name, "a client has deleted a delivery stream");
        Ok(())
    }
}

/// Adds the delivery of `made` to the pipeline of its stream. Returns whether there is one.
fn attach(made: Pipeline, pipelines: &mut [Pipeline]) -> Result<bool, String> {
    let stream = made.stream.name;
    let Some(pipeline) = pipelines.iter_mut().find(|pipeline| pipeline.stream.name == stream) else {
        tracing::warn!(stream, "a delivery stream waits for its source, which no pipeline file names");
        return Ok(false);
    };
    let learns = |source: Option<ColumnsSource>| matches!(source, Some(ColumnsSource::Inferred(_)));
    let has_columns = made.deliveries.iter().any(|delivery| delivery.format.columns().is_some());
    if has_columns && learns(made.columns_source) != learns(pipeline.columns_source) {
        return Err(format!(
            "SchemaConfiguration: the columns are learned for either all deliveries of stream '{stream}' or none"
        ));
    }
    pipeline.deliveries.extend(made.deliveries);
    Ok(true)
}

fn failed(error: ControlError) -> Failure {
    let kind = match &error {
        ControlError::Stopped => FailureKind::ServiceUnavailable,
        ControlError::Exists { .. } => FailureKind::ResourceInUse,
        _ => FailureKind::InternalFailure,
    };
    Failure::new(kind, error.to_string())
}
