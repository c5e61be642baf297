//! A shard that has become this node's → a worker that goes on where the one before it was.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use thiserror::Error;

use super::labour::Labour;
use crate::delivery::fan_out::progress;
use crate::delivery::ledger::LedgerError;
use crate::delivery::ledger::shared::{self, SharedPlace};
use crate::delivery::{LedgerParts, OpenError, Parts, SharedLedger, Status, Worker, fan_out};
use crate::kafka::Connection;
use crate::kafka::ownership::Group;
use crate::record::{SequenceNumber, ShardId};
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
    /// The stream does not have it, though it had a moment before.
    #[error("the stream does not know the shard")]
    NoShard,
    /// The ledger of a shard cannot be read.
    #[error("the ledger of {shard}, which comes before, cannot be read: {source}")]
    Before {
        /// The shard.
        shard: ShardId,
        /// What the store says.
        source: LedgerError,
    },
    /// The position of a shard cannot be read.
    #[error("the position of {shard}, which comes before, cannot be read: {why}")]
    Position {
        /// The shard.
        shard: ShardId,
        /// What the cluster says.
        why: String,
    },
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
    /// Whether everything of `shard`, which ends at `end`, is delivered, as its ledger says, or its positions where it goes
    /// into Kafka. One that has neither has nothing to deliver if it `is_empty`.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) async fn has_delivered(
        &self,
        shard: ShardId,
        end: SequenceNumber,
        is_empty: bool,
    ) -> Result<bool, NotOpen> {
        match &self.recipe {
            Recipe::Files { parts, ledgers } => {
                let place = ledgers.place(parts.stream.name(), &parts.config.name, shard);
                let state =
                    shared::state_of(&place).await.map_err(|source| NotOpen::Before { shard, source })?;
                Ok(match state.cursor.get(&shard) {
                    Some(&cursor) => cursor >= end,
                    None => is_empty && state.open.is_empty(),
                })
            }
            Recipe::Messages { parts } => {
                let position = self.position(parts, shard).await?;
                Ok(position.map_or(is_empty, |position| position >= end))
            }
        }
    }

    /// That of a shard in the progress topic, if it has one.
    async fn position(
        &self,
        parts: &fan_out::Parts,
        shard: ShardId,
    ) -> Result<Option<SequenceNumber>, NotOpen> {
        let key = fan_out::identity_of_shard(&parts.identity, shard);
        let (cluster, topic) = (parts.config.sink.cluster.clone(), parts.config.sink.progress_topic.clone());
        let purpose = format!("delivery {}/{}", parts.stream.name(), parts.config.name);
        let read = tokio::task::spawn_blocking(move || {
            progress::read_if_there(&Connection::new(cluster, purpose), &topic, &key)
        });
        let unread = |why: String| NotOpen::Position { shard, why };
        let read = read.await.map_err(|error| unread(error.to_string()))?;
        let found = read.map_err(|fault| unread(fault.to_string()))?;
        Ok(found.and_then(|found| found.positions.get(&shard).copied()))
    }

    /// Builds a worker of `shard`.
    ///
    /// # Errors
    /// If that cannot be done at the moment.
    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, NotOpen> {
        let view = self.recipe.stream().view(shard, 1).ok_or(NotOpen::NoShard)?;
        self.recipe.open(view, shard, &self.registry).await
    }
}
