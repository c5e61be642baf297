//! Why the process cannot start.

use std::io;

use thiserror::Error;

use crate::config::Problems;
use crate::delivery::OpenError;
use crate::delivery::sink::SinkError;
use crate::edge::aws::firehose::registry::LoadError;
use crate::edge::gate::rules::TooLarge;
use crate::edge::listen::ListenError;
use crate::function::stage::StageError;
use crate::node::{CatalogError, NodeError};
use crate::schema::validation::SchemaError;
use crate::stream::wal::journals;
use crate::stream::wal::recovery::RecoveryError;
use crate::telemetry::observer::ObserverError;

/// Why the process cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be bound, or certificates cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// What is to be put on record cannot be.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The rules about requests are too many to be one machine.
    #[error(transparent)]
    Rules(#[from] TooLarge),
    /// A schema cannot be compiled.
    #[error("stream '{stream}': {source}")]
    Schema {
        /// The stream.
        stream: String,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// A sink's settings are unusable.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Sink {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// What the store's client said.
        source: SinkError,
    },
    /// The place where the shards of a stream in Kafka are agreed on is unusable.
    #[error("the shards of stream '{stream}' cannot be noted: {source}")]
    Layout {
        /// The stream.
        stream: String,
        /// What the store's client said.
        source: SinkError,
    },
    /// Nodes share the deliveries of a stream, and one of them is of this node alone.
    #[error(
        "delivery '{delivery}' of stream '{stream}' was made over the Firehose API of this node, but nodes share the \
         deliveries of streams in Kafka ([cluster]): delete it, and write it into the pipeline file"
    )]
    NotShared {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
    },
    /// The store with named cursors cannot be used.
    #[error("named cursors of stream '{stream}' cannot be kept in the store of [cluster] ledger: {source}")]
    CursorStore {
        /// The stream.
        stream: String,
        /// Why.
        source: SinkError,
    },
    /// The node's folder cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node's folder has other streams.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Delivery streams that clients have made cannot be run.
    #[error(transparent)]
    DeliveryStreams(#[from] LoadError),
    /// Whoever wanted it to start wants it no more.
    #[error("stopped while starting")]
    Stopped,
    /// The log cannot be recovered or written.
    #[error(transparent)]
    Log(journals::OpenError),
    /// Learned columns cannot be kept.
    #[error("stream '{stream}': the version of its columns cannot be kept: {why}")]
    Learned {
        /// The stream.
        stream: String,
        /// Why.
        why: String,
    },
    /// A delivery cannot go on where it stopped.
    #[error("delivery '{delivery}' of stream '{stream}': {source}")]
    Delivery {
        /// The stream.
        stream: String,
        /// The delivery.
        delivery: String,
        /// Why.
        source: OpenError,
    },
    /// What runs between two streams cannot go on where it was.
    #[error("the function of stream '{stream}': {source}")]
    Function {
        /// The stream.
        stream: String,
        /// Why.
        source: StageError,
    },
    /// A stream that a client has made is not what pipeline files can say any more.
    #[error("stream '{stream}', which a client has made, cannot be served: {problems}")]
    MadeByClient {
        /// The stream.
        stream: String,
        /// What does not fit.
        problems: Problems,
    },
    /// The metrics registry refused its own buckets.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

impl From<journals::OpenError> for StartError {
    fn from(error: journals::OpenError) -> Self {
        match error {
            journals::OpenError::Recovery(RecoveryError::Stopped) => StartError::Stopped,
            other => StartError::Log(other),
        }
    }
}
