//! Why a stream, or what it is delivered to, is not changed.

use thiserror::Error;

use crate::config::MADE_NAME_PREFIX;
use crate::node::{CatalogError, NodeError};
use crate::pipeline::StartError;
use crate::pipeline::running::StillAtWork;
use crate::stream::ReshardError;
use crate::stream::reshard::ResizeError;

/// Why a stream is not changed.
#[derive(Debug, Error)]
pub enum ControlError {
    /// There is none of that name.
    #[error("stream '{stream}' does not exist")]
    NoStream {
        /// The name.
        stream: String,
    },
    /// There is one of that name.
    #[error("stream '{stream}' exists already")]
    Exists {
        /// The name.
        stream: String,
    },
    /// Its file has come back, and says something that cannot be had without a restart.
    #[error("{} since its file was gone: restart, or bring it back as it was", .what.join("; "))]
    CameBackOther {
        /// What, in words.
        what: Vec<String>,
    },
    /// Its name is that of something else.
    #[error("names that begin with {MADE_NAME_PREFIX:?}, as '{stream}' does, are those of delivery streams")]
    Reserved {
        /// The name.
        stream: String,
    },
    /// Its pipeline file says otherwise.
    #[error("{what} of stream '{stream}' is said in its pipeline file: change it there and restart")]
    Declared {
        /// The stream.
        stream: String,
        /// What cannot be changed.
        what: &'static str,
    },
    /// It would go with its consumers, which was not asked for.
    #[error("Stream {stream} has consumers: set EnforceConsumerDeletion to delete them with it.")]
    HasConsumers {
        /// The stream.
        stream: String,
    },
    /// The shards cannot be changed so.
    #[error(transparent)]
    Reshard(#[from] ResizeError),
    /// It cannot be written down.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It cannot be served.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another delivery of it has its columns from elsewhere.
    #[error("the columns are learned for either all deliveries of stream '{stream}' or none")]
    Columns {
        /// The stream.
        stream: String,
    },
    /// Somebody else has it delivered.
    #[error("delivery streams of clients read stream '{stream}': delete them first")]
    Delivered {
        /// The stream.
        stream: String,
    },
    /// Nodes share what is delivered of it.
    #[error(
        "nodes share the deliveries of stream '{stream}' ([cluster]): write them into its pipeline file, and restart the \
         nodes one after the other"
    )]
    Shared {
        /// The stream.
        stream: String,
    },
    /// Its deliveries do not stop.
    #[error(transparent)]
    StillAtWork(#[from] StillAtWork),
    /// The process stops.
    #[error("the process stops")]
    Stopped,
}

impl From<NodeError> for ControlError {
    fn from(error: NodeError) -> Self {
        ControlError::Catalog(error.into())
    }
}

impl From<ReshardError> for ControlError {
    fn from(error: ReshardError) -> Self {
        ControlError::Reshard(error.into())
    }
}
