//! Which files of dead letters there are.

use std::sync::Arc;

use thiserror::Error;

use crate::config::checked::{Config, Delivery, FanOut, Pipeline};
use crate::config::limits::LISTED_OBJECTS_MAX;
use crate::delivery::dead_letters::{Choice, DeadFile, FilesError, Filter, LedgerFiles, Listing, Patience};
use crate::delivery::sink::{ObjectSink, SinkError};
use crate::delivery::verify::{Epochs as _, Sorter};
use crate::node::{NodeError, NodeFolder};
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::scratch_disk::ScratchDisk;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files of dead letters, by stream and delivery in the order of the configuration, the oldest first.
    pub files: Vec<DeadFile>,
    /// What is worth knowing about that.
    pub notes: Vec<String>,
}

/// Why nothing can be found.
#[derive(Debug, Error)]
pub enum FindError {
    /// No pipeline file has it.
    #[error("no pipeline file has {0}")]
    Unknown(String),
    /// The node's folder cannot be looked at.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The files of a delivery are not known.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Files {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// Why.
        source: FilesError,
    },
    /// Its sink cannot be opened.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Sink {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// Why.
        source: SinkError,
    },
}

impl FindError {
    /// Whether the arguments are at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, FindError::Unknown(_))
    }
}

/// Finds the files that `filter` may mean: by the ledgers, or by what the sinks have where there is none, or with
/// `list`.
pub fn find(config: &Config, filter: &Filter, list: bool, patience: &Patience) -> Result<Found, FindError> {
    check_names(config, filter)?;
    // Whoever looks makes no folder and mends no file.
    let disk: Arc<dyn Disk> = Arc::new(ScratchDisk::over(Arc::new(RealDisk)));
    let wanted = |pipeline: &Pipeline, delivery: &Delivery| {
        filter.takes_delivery(&pipeline.stream.name, &delivery.name)
    };
    let by_ledger = |pipeline: &Pipeline| !list && pipeline.stream.durability.is_durable();
    let path = &config.node.data_dir;
    let folder = match config.pipelines.iter().any(by_ledger) && NodeFolder::is_begun(&*disk, path) {
        true => Some(NodeFolder::look_at(Arc::clone(&disk), path)?),
        false => None,
    };
    let mut found = Found::default();
    for pipeline in &config.pipelines {
        let stream = &pipeline.stream.name;
        let takes = |fan_out: &&FanOut| filter.takes_delivery(stream, &fan_out.name);
        for fan_out in pipeline.fan_outs.iter().filter(takes) {
            found.notes.push(note_of(stream, fan_out));
        }
        for delivery in pipeline.deliveries.iter().filter(|delivery| wanted(pipeline, delivery)) {
            let named =
                |source| FindError::Files { stream: stream.clone(), delivery: delivery.name.clone(), source };
            if by_ledger(pipeline) {
                let Some(folder) = &folder else { continue };
                let ledger = folder.ledger(stream, &delivery.name);
                let mut epochs = Sorter::new(stream, delivery, Arc::clone(&disk));
                let choice = Choice { filter, after: None, files_max: usize::MAX };
                let mut sink_of = |epoch: &_| epochs.sink(epoch);
                let of = (stream.as_str(), delivery.name.as_str());
                let read = LedgerFiles::read(&*disk, &ledger, of, choice, &mut sink_of);
                found.take(read.map_err(named)?.unwrap_or_default(), stream, delivery);
                continue;
            }
            let sink = ObjectSink::open_on(&delivery.sink, Arc::clone(&disk)).map_err(|source| {
                FindError::Sink { stream: stream.clone(), delivery: delivery.name.clone(), source }
            })?;
            found.files.extend(
                Listing::read(&sink, (stream, delivery), LISTED_OBJECTS_MAX, patience).map_err(named)?,
            );
        }
    }
    found.files.retain(|file| filter.takes_file(file));
    Ok(found)
}

/// Where the dead letters of a delivery into Kafka are, which nobody reads here.
fn note_of(stream: &str, fan_out: &FanOut) -> String {
    format!(
        "dead letters of {stream}/{} are in topic '{}' of Kafka cluster '{}', and are not read here: a consumer finds the \
         payload in each message and the reason in its header forebay.reason",
        fan_out.name,
        fan_out.dead_topic,
        fan_out.sink.cluster.label()
    )
}

impl Found {
    fn take(&mut self, read: LedgerFiles, stream: &str, delivery: &Delivery) {
        if read.has_forgotten {
            self.notes.push(format!(
                "older files of {stream}/{} are not in its ledger's history any more: --list looks for them in the sink",
                delivery.name
            ));
        }
        self.files.extend(read.files);
    }
}

fn check_names(config: &Config, filter: &Filter) -> Result<(), FindError> {
    let streams = || config.pipelines.iter();
    if let Some(stream) = &filter.stream
        && !streams().any(|pipeline| pipeline.stream.name == *stream)
    {
        return Err(FindError::Unknown(format!("a stream '{stream}'")));
    }
    let is_known = |pipeline: &Pipeline| {
        let takes = |delivery: &Delivery| filter.takes_delivery(&pipeline.stream.name, &delivery.name);
        let into_kafka = |fan_out: &FanOut| filter.takes_delivery(&pipeline.stream.name, &fan_out.name);
        pipeline.deliveries.iter().any(takes) || pipeline.fan_outs.iter().any(into_kafka)
    };
    match &filter.delivery {
        Some(delivery) if !streams().any(is_known) => {
            Err(FindError::Unknown(format!("a delivery '{delivery}' of such a stream")))
        }
        _ => Ok(()),
    }
}
