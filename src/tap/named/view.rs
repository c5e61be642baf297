//! What is to be seen of a named cursor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::leases::{Leases, ShardState};
use crate::record::{SequenceNumber, ShardId};
use crate::stream::Layout;
use crate::tap::cursor::Cursor;

/// A named cursor at a moment.
#[derive(Debug)]
pub struct View {
    /// The moment.
    pub now: Instant,
    /// How long a worker keeps its shards without a sign of life.
    pub lease: Duration,
    /// Every shard.
    pub shards: Vec<ShardState>,
    /// Workers that are alive, and until when without another sign of life.
    pub workers: Vec<(Arc<str>, Instant)>,
    pub(super) layout: Arc<Layout>,
}

impl View {
    /// Records of a shard that are there and not done.
    pub fn lag_of(&self, state: &ShardState) -> u64 {
        lag(&self.layout, state.shard, state.done)
    }

    /// The same in numbers.
    pub fn totals(&self) -> Totals {
        Totals {
            lease: self.lease,
            lag: self.shards.iter().map(|state| self.lag_of(state)).sum(),
            leased_shards: self.shards.iter().filter(|state| state.held.is_some()).count(),
            workers: self.workers.len(),
        }
    }

    /// The checkpoint.
    pub fn done(&self) -> Cursor {
        Cursor { positions: self.shards.iter().map(|state| (state.shard, state.done)).collect() }
    }
}

/// A named cursor in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// How long a worker keeps its shards without a sign of life.
    pub lease: Duration,
    /// Records that are there and not done.
    pub lag: u64,
    /// Shards that some worker has.
    pub leased_shards: usize,
    /// Workers that are alive.
    pub workers: usize,
}

impl Totals {
    pub(super) fn of(leases: &Leases, layout: &Layout, now: Instant) -> Self {
        let (mut all, mut leased_shards) = (0, 0);
        for (shard, done, is_leased) in leases.positions(now) {
            all += lag(layout, shard, done);
            leased_shards += usize::from(is_leased);
        }
        Self { lease: leases.length(), lag: all, leased_shards, workers: leases.alive(now).count() }
    }
}

/// Records of a shard from `done` on that are there.
fn lag(layout: &Layout, shard: ShardId, done: SequenceNumber) -> u64 {
    let bounds = layout.get(shard).map(|shard| shard.log_ref().bounds());
    bounds.map_or(0, |bounds| bounds.next.0.saturating_sub(done.max(bounds.first).0))
}
