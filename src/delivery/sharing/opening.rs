//! A shard that has become this node's → a worker that goes on where the one before it was.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use thiserror::Error;

use super::labour::Labour;
use crate::delivery::ledger::shared::SharedPlace;
use crate::delivery::{LedgerParts, OpenError, Parts, SharedLedger, Status, Worker, fan_out};
use crate::kafka::ownership::Group;
use crate::record::ShardId;
use crate::runtime::disk::RealDisk;
use crate::stream::Stream;
use crate::telemetry::metrics::{PartGauges, Registry};

/// What the workers of a delivery are built from.
#[derive(Debug)]
pub struct Template {
    /// Those of the whole delivery.
    pub recipe: Recipe,
    /// The group that shares its shards.
    pub group: Group,
    /// All metrics.
    pub registry: Registry,
}

/// The same, by what becomes of records.
#[derive(Debug)]
pub enum Recipe {
    /// Files: each shard has a ledger.
    Files {
        /// Without a ledger.
        parts: Box<Parts>,
        /// Where the ledgers of all shards are.
        ledgers: Ledgers,
    },
    /// Messages of Kafka: each shard has a transactional id, and the key of that name in the progress topic.
    Messages {
        /// With an identity that those of the shards begin with.
        parts: Box<fan_out::Parts>,
    },
}

/// A store in which each shard of each delivery has a ledger.
#[derive(Debug, Clone)]
pub struct Ledgers {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The folder in it.
    pub folder: Path,
    /// What other nodes call this one.
    pub node: Arc<str>,
    /// The group of its cluster: no other may write these ledgers.
    pub group: Arc<str>,
}

/// Why no worker can begin on a shard.
#[derive(Debug, Error)]
pub enum NotOpen {
    /// The group knows more partitions than the stream.
    #[error(
        "the stream does not know the shard: it knows the partitions that the topic had when the node started"
    )]
    NoShard,
    /// The ledger cannot be taken over, or gone on with.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A worker that is about to begin.
pub(super) struct Opened {
    pub labour: Labour,
    pub status: Arc<Status>,
    pub gauges: PartGauges,
}

impl Ledgers {
    /// The place of the ledger of a shard.
    pub fn place(&self, stream: &str, delivery: &str, shard: ShardId) -> SharedPlace {
        SharedPlace::of(&self.store, &self.folder, (stream, delivery, shard))
    }
}

impl Recipe {
    /// The stream.
    pub fn stream(&self) -> &Arc<Stream> {
        match self {
            Self::Files { parts, .. } => &parts.stream,
            Self::Messages { parts } => &parts.stream,
        }
    }

    /// Name of the delivery.
    pub fn name(&self) -> &str {
        match self {
            Self::Files { parts, .. } => &parts.config.name,
            Self::Messages { parts } => &parts.config.name,
        }
    }

    /// Takes the ledger of the one shard of `view` over, and builds a worker that goes on with it. One that sends to Kafka
    /// takes its place when it connects.
    async fn open(&self, view: Arc<Stream>, shard: ShardId, registry: &Registry) -> Result<Opened, NotOpen> {
        let (status, gauges) = Status::of_part(Arc::clone(&view), self.name(), registry);
        let status = Arc::new(status);
        let labour = match self {
            Self::Files { parts, ledgers } => {
                let place = ledgers.place(view.name(), &parts.config.name, shard);
                let ledger =
                    SharedLedger::new(place, &ledgers.node, Arc::new(RealDisk)).of_group(&ledgers.group);
                let parts = Parts {
                    stream: view,
                    reader: 0,
                    status: Arc::clone(&status),
                    ledger: Some(LedgerParts::Shared(ledger)),
                    ..(**parts).clone()
                };
                Labour::Files(Box::new(Worker::open(&parts).await?))
            }
            Self::Messages { parts } => {
                let parts = fan_out::Parts {
                    metrics: registry.kafka_part((view.name(), &parts.config.name), &gauges),
                    stream: view,
                    reader: 0,
                    status: Arc::clone(&status),
                    identity: fan_out::identity_of_shard(&parts.identity, shard),
                    ..(**parts).clone()
                };
                Labour::Messages(Box::new(fan_out::Worker::new(&Arc::new(parts))))
            }
        };
        Ok(Opened { labour, status, gauges })
    }
}

impl Template {
    /// Builds a worker of `shard`.
    ///
    /// # Errors
    /// If that cannot be done at the moment.
    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, NotOpen> {
        let view = self.recipe.stream().view(shard, 1).ok_or(NotOpen::NoShard)?;
        self.recipe.open(view, shard, &self.registry).await
    }
}
