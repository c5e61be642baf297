//! How far a stage is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Shard, Stream};
use crate::telemetry::metrics::FunctionMetrics;

/// How far a stage is, for others to see.
#[derive(Debug, Clone)]
pub struct Seen {
    source: Arc<Stream>,
    metrics: FunctionMetrics,
    positions: Arc<Mutex<BTreeMap<ShardId, SequenceNumber>>>,
}

impl Seen {
    /// From `positions` on.
    pub(super) fn new(
        source: &Arc<Stream>,
        metrics: FunctionMetrics,
        positions: BTreeMap<ShardId, SequenceNumber>,
    ) -> Self {
        Self { source: Arc::clone(source), metrics, positions: Arc::new(Mutex::new(positions)) }
    }

    /// Where each shard is read on, as far as any of it has gone through.
    pub(super) fn positions(&self) -> MutexGuard<'_, BTreeMap<ShardId, SequenceNumber>> {
        // Nothing panics while it is changed.
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that have not gone through.
    pub fn lag(&self) -> u64 {
        let (layout, positions) = (self.source.layout(), self.positions());
        let lag = |shard: &Shard| {
            let log = shard.log_ref();
            let position = positions.get(&shard.facts.id).copied().unwrap_or(log.bounds().first);
            log.end().0.saturating_sub(position.0)
        };
        layout.shards().iter().map(lag).sum()
    }

    /// Brings its gauge up to date.
    pub fn refresh_gauge(&self) {
        self.metrics.lag.set(self.lag() as f64);
    }
}
