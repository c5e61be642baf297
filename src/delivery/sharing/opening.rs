//! A shard that has become this node's → a worker that goes on with its ledger.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use thiserror::Error;

use crate::delivery::ledger::LedgerError;
use crate::delivery::ledger::shared::{self, SharedPlace};
use crate::delivery::{LedgerParts, OpenError, Parts, SharedLedger, Status, Worker};
use crate::kafka::ownership::Group;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::disk::RealDisk;
use crate::telemetry::metrics::{PartGauges, Registry};

/// What the workers of a delivery are built from.
#[derive(Debug)]
pub struct Template {
    /// Those of the whole delivery, without a ledger.
    pub parts: Parts,
    /// The group that shares its shards.
    pub group: Group,
    /// Where the ledgers of all shards are.
    pub ledgers: Ledgers,
    /// All metrics.
    pub registry: Registry,
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
    /// The ledger cannot be taken over, or gone on with.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A worker that is about to begin.
pub(super) struct Opened {
    pub worker: Worker,
    pub status: Arc<Status>,
    pub gauges: PartGauges,
}

impl Ledgers {
    /// The place of the ledger of a shard.
    pub fn place(&self, stream: &str, delivery: &str, shard: ShardId) -> SharedPlace {
        SharedPlace::of(&self.store, &self.folder, (stream, delivery, shard))
    }
}

impl Template {
    /// Whether the ledger of `shard`, which ends at `end`, says that everything of it is delivered. One that has no ledger has
    /// nothing to deliver if it `is_empty`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn has_delivered(
        &self,
        shard: ShardId,
        end: SequenceNumber,
        is_empty: bool,
    ) -> Result<bool, NotOpen> {
        let place = self.ledgers.place(self.parts.stream.name(), &self.parts.config.name, shard);
        let state = shared::state_of(&place).await.map_err(|source| NotOpen::Before { shard, source })?;
        Ok(match state.cursor.get(&shard) {
            Some(&cursor) => cursor >= end,
            None => is_empty && state.open.is_empty(),
        })
    }

    /// Takes the ledger of `shard` over, and builds a worker that goes on with it.
    ///
    /// # Errors
    /// If that cannot be done at the moment.
    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, NotOpen> {
        let (stream, name) = (&self.parts.stream, &self.parts.config.name);
        let view = stream.view(shard, 1).ok_or(NotOpen::NoShard)?;
        let (status, gauges) = Status::of_part(Arc::clone(&view), name, &self.registry);
        let status = Arc::new(status);
        let place = self.ledgers.place(stream.name(), name, shard);
        let ledger = SharedLedger::new(place, &self.ledgers.node, Arc::new(RealDisk));
        let parts = Parts {
            stream: view,
            reader: 0,
            status: Arc::clone(&status),
            ledger: Some(LedgerParts::Shared(ledger)),
            ..self.parts.clone()
        };
        let worker = Worker::open(&parts).await?;
        Ok(Opened { worker, status, gauges })
    }
}
