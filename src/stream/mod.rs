//! Stream: a named set of shards, each an ordered log for a range of partition-key hashes.
//!
//! ```text
//! edge ──append(batch)──▶ shard ──▶ log ──read(range)──▶ taps
//!                                    └───read(range)──▶ deliveries ──release(position)──▶ log
//! ```
//!
//! The rest of the program sees a shard only through [`ShardLog`], so it does not know whether the log lives in this
//! process. The log of this version is [`MemoryLog`]; the write-ahead log and a log on a remote cluster fit the same
//! trait.

mod captures;
mod hash;
mod log;
mod memory;
mod signal;

pub use captures::Captures;
pub use hash::{HashKey, HashRanges};
pub use log::{Appended, Bounds, Read, ReadLimit, ReaderId, ShardLog, Slice};
pub use memory::{MemoryLog, Retention};
pub use signal::{Signal, Waiter};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::checked;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::metrics::StreamMetrics;

/// One stream and its shards.
pub struct Stream {
    name: Arc<str>,
    durability: checked::Durability,
    retention: Retention,
    ranges: HashRanges,
    shards: Vec<Box<dyn ShardLog>>,
    accepted: AtomicU64,
    /// Woken at each append, for taps.
    pub taps: Signal,
    /// Woken when a delivery that waits has something to read.
    pub deliveries: Vec<Arc<Signal>>,
    /// Metric handles.
    pub metrics: StreamMetrics,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Builds the stream of `config`, empty, for `readers` deliveries.
    ///
    /// A memory log forgets its numbering with the process. Its first sequence number is therefore the wall clock in
    /// microseconds: numbers stay increasing over restarts as long as a shard takes less than a million records a
    /// second on average, and object keys, which are made of sequence numbers, do not come twice.
    pub fn new(config: &checked::Stream, readers: usize, metrics: StreamMetrics) -> Self {
        let first = SequenceNumber(u64::try_from(clock::wall().0).unwrap_or_default());
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let share = retention.of_one_shard(config.shards);
        let shards = (0..config.shards)
            .map(|_| Box::new(MemoryLog::new(first, share, readers)) as Box<dyn ShardLog>)
            .collect();
        Self {
            name: config.name.as_str().into(),
            durability: config.durability,
            retention,
            ranges: HashRanges::even(config.shards),
            shards,
            accepted: AtomicU64::new(0),
            taps: Signal::default(),
            deliveries: (0..readers).map(|_| Arc::default()).collect(),
            metrics,
        }
    }

    /// The stream's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What an ack of this stream means.
    pub fn durability(&self) -> checked::Durability {
        self.durability
    }

    /// How long records stay readable.
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Which hashes belong to which shard.
    pub fn ranges(&self) -> &HashRanges {
        &self.ranges
    }

    /// Ids of all shards, in order.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.len() as u32).map(ShardId)
    }

    /// The log of one shard.
    pub fn shard(&self, id: ShardId) -> Option<&dyn ShardLog> {
        self.shards.get(id.0 as usize).map(|shard| &**shard)
    }

    /// Records accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Appends one request's batches, each to its shard, and wakes who waits for them. The caller must not answer
    /// before [`ShardLog::durable`] has passed each [`Appended::last`]; in memory that is so on return.
    pub fn append(&self, batches: Vec<(ShardId, Batch)>) -> Vec<(ShardId, Appended)> {
        // Counted before the records can be read, so that no delivery ever settles more than was accepted.
        let records: usize = batches.iter().map(|(_, batch)| batch.records.len()).sum();
        self.accepted.fetch_add(records as u64, Ordering::Relaxed);
        let mut bytes = 0;
        let appended = batches
            .into_iter()
            .filter_map(|(id, batch)| {
                bytes += batch.payload_bytes();
                Some((id, self.shard(id)?.append(batch)))
            })
            .collect();
        self.metrics.bytes.increment(bytes);
        self.taps.notify();
        for delivery in &self.deliveries {
            delivery.notify();
        }
        appended
    }

    /// Lets go of what has outlived its retention and is not needed by a delivery.
    pub fn enforce_retention(&self, now: UnixMicros) {
        for shard in &self.shards {
            let evicted = shard.enforce_retention(now);
            self.metrics.evicted_time.increment(evicted.by_age);
            self.metrics.evicted_bytes.increment(evicted.by_bytes);
        }
    }

    /// Lets go of what no delivery needs and arrived before `before`, because memory is short.
    pub fn reclaim(&self, before: UnixMicros) {
        for shard in &self.shards {
            self.metrics.evicted_pressure.increment(shard.reclaim(before));
        }
    }

    /// Arrival of the oldest record that could be let go of.
    pub fn oldest_arrival(&self) -> Option<UnixMicros> {
        self.shards.iter().filter_map(|shard| shard.oldest_arrival()).min()
    }

    /// Records and payload bytes that the stream holds, over all shards.
    pub fn retained(&self) -> (u64, u64) {
        self.shards.iter().map(|shard| shard.bounds()).fold((0, 0), |(records, bytes), bounds| {
            (records + bounds.next.0 - bounds.first.0, bytes + bounds.bytes)
        })
    }
}
