//! The delivery streams of the node: in memory, each with its file, and changed one at a time.
//!
//! A new one runs at once, and an update is noted first and takes effect at once then: what its deliveries have not
//! closed by that time is in files as the update says. One that is deleted takes no more records, and goes when its
//! deliveries have stored what there is, or at once if the client forces it; one whose source is another stream goes at
//! once.

mod attach;
mod door;
mod steps;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::attach::{attach, refuse_to_learn};
pub use self::door::{Door, Pass};
use self::steps::{end, is_pending, transformation};
use super::delivery_stream::DeliveryStream;
use super::mapping::{self, Before, Mapped};
use super::processing::DeAggregation;
use crate::config::checked::{Config, Node, Pipeline};
use crate::config::limits::DELIVERY_STREAMS_MAX;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::node::{DocumentFolder, NodeError, NodeFolder};
use crate::pipeline::control::{Control, ControlError, DeliveryChange, Transformation};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::{Disk, RealDisk};

/// See the module.
#[derive(Debug)]
pub struct DeliveryStreams {
    node: Node,
    files: DocumentFolder,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Those whose source is in no file, by name: it may be one that a client has made.
    waiting: Mutex<Vec<(String, Pipeline)>>,
}

/// A delivery stream and how it runs.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub delivery_stream: DeliveryStream,
    /// How a record of a client is taken for several.
    pub de_aggregation: Option<DeAggregation>,
    /// Its deliveries, by their names.
    pub deliveries: Vec<String>,
    /// Whether it runs: not where its source is not there.
    pub is_running: bool,
    /// What the records of clients go through before they are delivered.
    pub transformation: Option<Transformation>,
    /// The way in of records of clients.
    pub door: Door,
}

impl Entry {
    /// The stream that takes the records of clients.
    pub fn stream_of_puts(&self) -> String {
        match &self.transformation {
            Some(transformation) => transformation.source.to_string(),
            None => mapping::stream_name(&self.delivery_stream),
        }
    }
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
        let files = DocumentFolder::of_delivery_streams(Arc::clone(&disk), &node.data_dir);
        let (mut entries, mut waiting) = (BTreeMap::new(), Vec::new());
        let found: Vec<(_, DeliveryStream)> = match NodeFolder::is_begun(&*disk, &node.data_dir) {
            true => files.read_all()?,
            false => Vec::new(),
        };
        for (_, delivery_stream) in found {
            let name = delivery_stream.name.clone();
            let failed = |why: String| LoadError::Mapping { name: name.clone(), why };
            let Mapped { pipeline, de_aggregation, before } =
                mapping::map(&delivery_stream, &node).map_err(|failure| failed(failure.message))?;
            let deliveries = names(&pipeline);
            let transformation = before.as_ref().map(|before| transformation(before, &pipeline));
            config.pipelines.extend(before.map(|before| before.pipeline));
            let is_running = match delivery_stream.source {
                None => {
                    config.pipelines.push(pipeline);
                    true
                }
                Some(_) => match attach(pipeline, &mut config.pipelines).map_err(failed)? {
                    None => true,
                    Some(pipeline) => {
                        waiting.push((name.clone(), pipeline));
                        false
                    }
                },
            };
            let door = Door::default();
            let entry =
                Entry { delivery_stream, de_aggregation, deliveries, is_running, transformation, door };
            entries.insert(name, Arc::new(entry));
        }
        Ok(Self { node, files, entries: Mutex::new(entries), waiting: Mutex::new(waiting) })
    }

    /// Adds those whose source is in no file to the streams that clients have made.
    ///
    /// # Errors
    /// If one cannot be run any more.
    pub fn attach_to_made(&self, made: &mut [Pipeline]) -> Result<(), LoadError> {
        // Nothing panics while it is changed.
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, pipeline) in waiting {
            let stream = pipeline.stream.name.clone();
            let failed = |why| LoadError::Mapping { name: name.clone(), why };
            if attach(pipeline, made).map_err(failed)?.is_some() {
                tracing::warn!(stream, "a delivery stream waits for its source, which is not there");
            } else if let Some(entry) = self.get(&name) {
                let running = Entry { is_running: true, ..(*entry).clone() };
                self.entries().insert(name, Arc::new(running));
            }
        }
        Ok(())
    }

    /// The delivery streams that read a stream.
    pub fn readers_of(&self, stream: &str) -> Vec<String> {
        let entries = self.entries();
        let all = entries.values().map(|entry| &entry.delivery_stream);
        let readers = all.filter(|reader| !reader.is_deleting && reader.source_stream() == Some(stream));
        readers.map(|reader| reader.name.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        // Nothing panics while it is changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries().get(name).cloned()
    }

    /// Since when those deliveries deliver that do not with the first record of their stream: stream, delivery and that.
    pub fn begins(&self) -> Vec<(String, String, UnixMicros)> {
        let entries = self.entries();
        let begins = entries.values().flat_map(|entry| {
            let Entry { delivery_stream, deliveries, .. } = &**entry;
            let (stream, main) =
                (mapping::stream_name(delivery_stream), mapping::delivery_name(delivery_stream));
            let made = delivery_stream.source.as_ref().map(|_| delivery_stream.made_at());
            let begin = move |name: &String| {
                let backup = delivery_stream.backup_since().filter(|_| *name != main);
                Some((stream.clone(), name.clone(), backup.or(made)?))
            };
            deliveries.iter().filter_map(begin)
        });
        begins.collect()
    }

    /// Where records of clients go through functions.
    pub fn transformations(&self) -> Vec<Transformation> {
        self.entries().values().filter_map(|entry| entry.transformation.clone()).collect()
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
        if self.get(&name).is_some() || control.serves_delivered(&name) {
            let text = format!("Firehose {name} under accountId {account} already exists");
            return Err(Failure::new(FailureKind::ResourceInUse, text));
        }
        if self.entries().len() >= DELIVERY_STREAMS_MAX {
            let text = format!("a node has at most {DELIVERY_STREAMS_MAX} delivery streams");
            return Err(Failure::new(FailureKind::LimitExceeded, text));
        }
        mapping::refuse_anew(&delivery_stream)?;
        let Mapped { pipeline, de_aggregation, before } = mapping::map(&delivery_stream, &self.node)?;
        let (stream, deliveries) = (pipeline.stream.name.clone(), names(&pipeline));
        let transformation = before.as_ref().map(|before| transformation(before, &pipeline));
        if delivery_stream.source.is_none() {
            match before {
                None => control.begin(pipeline),
                Some(Before { pipeline: source, spec }) => control.begin_transformed(source, pipeline, &spec),
            }
            .map_err(failed)?;
            crate::crash_point!("deliveries.begun");
            if let Err(error) = self.files.keep(&name, &delivery_stream) {
                end(control, &stream, transformation.as_ref()).map_err(failed)?;
                return Err(failed(error.into()));
            }
        } else if control.serves(&stream) && !super::is_made_name(&stream) {
            refuse_to_learn(control, &pipeline)?;
            control.open_folder().map_err(failed)?;
            let change = change(&delivery_stream, pipeline);
            control.check_change(&change).map_err(refused)?;
            // Of an earlier one of that name.
            control.forget_deliveries(&stream, &deliveries).map_err(failed)?;
            self.files.keep(&name, &delivery_stream).map_err(|error| failed(error.into()))?;
            crate::crash_point!("deliveries.noted");
            if let Err(error) = control.change_deliveries(&change) {
                self.files.remove(&name).map_err(|error| failed(error.into()))?;
                return Err(failed(error));
            }
        } else {
            let text = format!("KinesisStreamARN: there is no stream {stream:?} here");
            return Err(Failure::invalid(text));
        }
        let (is_running, door) = (true, Door::default());
        let entry = Entry { delivery_stream, de_aggregation, deliveries, is_running, transformation, door };
        self.entries().insert(name, Arc::new(entry));
        Ok(())
    }

    /// Changes what is said of one, durably. Its destination stays as it is. To be called alone, in [`Control::alone`].
    ///
    /// # Errors
    /// What `change` says, or if the disk fails.
    pub fn update(
        &self,
        name: &str,
        account: &str,
        change: impl FnOnce(&mut DeliveryStream) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let entry = self.get(name).ok_or_else(|| super::not_found(name, account))?;
        let mut delivery_stream = entry.delivery_stream.clone();
        change(&mut delivery_stream)?;
        self.files.keep(name, &delivery_stream).map_err(|error| failed(error.into()))?;
        self.entries().insert(name.to_owned(), Arc::new(Entry { delivery_stream, ..(*entry).clone() }));
        Ok(())
    }

    /// Changes the destination of one, durably first, and then of what runs. To be called alone, in [`Control::alone`].
    ///
    /// # Errors
    /// What `change` says; if it is not supported then; or if the disk fails. It is what it was then.
    pub fn update_destination(
        &self,
        control: &Control,
        (name, account): (&str, &str),
        change: impl FnOnce(&mut DeliveryStream) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let entry = self.get(name).ok_or_else(|| super::not_found(name, account))?;
        if entry.delivery_stream.is_deleting {
            let text = format!("Firehose {name} is being deleted");
            return Err(Failure::new(FailureKind::ResourceInUse, text));
        }
        let mut delivery_stream = entry.delivery_stream.clone();
        change(&mut delivery_stream)?;
        mapping::refuse_anew(&delivery_stream)?;
        mapping::refuse_change(&entry.delivery_stream, &delivery_stream)?;
        let Mapped { pipeline, de_aggregation, .. } = mapping::map(&delivery_stream, &self.node)?;
        let deliveries = names(&pipeline);
        if entry.deliveries.iter().any(|before| !deliveries.contains(before)) {
            return Err(Failure::invalid("S3BackupMode cannot be disabled once it is enabled"));
        }
        if deliveries.iter().any(|name| !entry.deliveries.contains(name)) {
            delivery_stream.begin_backup();
        }
        let made = self::change(&delivery_stream, pipeline);
        if entry.is_running {
            control.check_change(&made).map_err(refused)?;
        }
        self.files.keep(name, &delivery_stream).map_err(|error| failed(error.into()))?;
        crate::crash_point!("deliveries.noted");
        if entry.is_running
            && let Err(error) = control.change_deliveries(&made)
        {
            if let Err(error) = self.files.keep(name, &entry.delivery_stream) {
                tracing::error!(delivery_stream = name, %error, "an update that has failed takes effect at the next start");
            }
            return Err(failed(error));
        }
        let entry = Entry { delivery_stream, de_aggregation, deliveries, ..(*entry).clone() };
        self.entries().insert(name.to_owned(), Arc::new(entry));
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
            // Those that have not ended yet are looked at again later: all other changes would wait with this one.
            let stream = mapping::stream_name(&entry.delivery_stream);
            if is_pending(control, &entry, &stream) || !control.have_stopped(&stream, &entry.deliveries) {
                continue;
            }
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
        let stream = mapping::stream_name(&entry.delivery_stream);
        if source.is_some() {
            control.stop_deliveries(&stream, &entry.deliveries).map_err(failed)?;
        } else {
            // What was put is acknowledged or refused before anybody looks what there is.
            control.wait_for(name, entry.door.shut()).map_err(failed)?;
            // There are other ways to this stream.
            control.close(&entry.stream_of_puts());
            if !is_forced && is_pending(control, entry, &stream) {
                return Ok(());
            }
            end(control, &stream, entry.transformation.as_ref()).map_err(failed)?;
        }
        self.files.remove(name).map_err(|error| failed(error.into()))?;
        self.entries().remove(name);
        if source.is_some() {
            // Not before the file: a start that found that would begin anew.
            control.forget_deliveries(&stream, &entry.deliveries).map_err(failed)?;
        }
        tracing::info!(delivery_stream = name, "a client has deleted a delivery stream");
        Ok(())
    }
}

fn names(pipeline: &Pipeline) -> Vec<String> {
    pipeline.deliveries.iter().map(|delivery| delivery.name.clone()).collect()
}

/// What is to run of a delivery stream.
fn change(delivery_stream: &DeliveryStream, pipeline: Pipeline) -> DeliveryChange {
    // Of an update, what is news is a backup.
    let since = delivery_stream.backup_since().unwrap_or(delivery_stream.made_at());
    DeliveryChange { pipeline, is_own: delivery_stream.source.is_none(), since }
}

/// What does not go with what there is.
fn refused(error: ControlError) -> Failure {
    match error {
        ControlError::Columns { .. } => Failure::invalid(format!("SchemaConfiguration: {error}")),
        ControlError::Start(_) => Failure::invalid(error.to_string()),
        other => failed(other),
    }
}

fn failed(error: ControlError) -> Failure {
    let kind = match &error {
        ControlError::Stopped | ControlError::StillAtWork(_) => FailureKind::ServiceUnavailable,
        ControlError::Exists { .. } => FailureKind::ResourceInUse,
        _ => FailureKind::InternalFailure,
    };
    Failure::new(kind, error.to_string())
}
