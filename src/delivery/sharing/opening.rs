//! A shard that has become this node's → a worker that goes on with its ledger.

use crate::delivery::{OpenError, Parts, Status, Worker};
use crate::kafka::ownership::Group;
use crate::record::ShardId;
use crate::telemetry::metrics::{PartGauges, Registry};

/// What the workers of a delivery are built from.
#[derive(Debug)]
pub struct Template {
    /// Those of the whole delivery, without a ledger.
    pub parts: Parts,
    /// The group that shares its shards.
    pub group: Group,
    /// All metrics.
    pub registry: Registry,
}

/// A worker that is about to begin.
pub(super) struct Opened {
    pub worker: Worker,
    pub status: std::sync::Arc<Status>,
    pub gauges: PartGauges,
}

impl Template {
    /// Takes the ledger of `shard` over.
    ///
    /// # Errors
    /// If that cannot be done at the moment.
    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, OpenError> {
        todo!("{shard}")
    }
}
