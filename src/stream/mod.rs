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
mod receipt;
mod signal;

pub use captures::{CapturePlan, Captures};
pub use hash::{HashKey, HashRanges};
pub use log::{
    Appended, Bounds, Evicted, Found, Payer, Read, ReadError, ReadLimit, ReaderId, ShardLog, Slice,
    StoredRead,
};
pub use memory::{MemoryLog, Retention};
pub use receipt::{AppendError, Commit, CommitError, Receipt};
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
    log: Log,
    captures: CapturePlan,
    accepted: AtomicU64,
    /// Woken at each append, for taps.
    pub taps: Signal,
    /// Woken when a delivery that waits has something to read.
    pub deliveries: Vec<Arc<Signal>>,
    /// Metric handles.
    pub metrics: StreamMetrics,
}

/// Where a stream's records are kept.
enum Log {
    /// In memory, a log a shard.
    Memory(Vec<MemoryLog>),
}

impl Log {
    fn len(&self) -> usize {
        match self {
            Log::Memory(shards) => shards.len(),
        }
    }

    fn shard(&self, index: usize) -> Option<&dyn ShardLog> {
        match self {
            Log::Memory(shards) => shards.get(index).map(|shard| shard as &dyn ShardLog),
        }
    }

    fn shards(&self) -> impl Iterator<Item = &dyn ShardLog> {
        (0..self.len()).filter_map(|index| self.shard(index))
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .field("shards", &self.log.len())
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Builds the stream of `config`, empty, for `readers` deliveries.
    ///
    /// A memory log forgets its numbering with the process. Its first sequence number is therefore the wall clock in
    /// microseconds: numbers stay increasing over restarts as long as a shard takes less than a million records a
    /// second on average, and object keys, which are made of sequence numbers, do not come twice.
    pub fn new(
        config: &checked::Stream,
        readers: usize,
        captures: CapturePlan,
        metrics: StreamMetrics,
    ) -> Self {
        let first = SequenceNumber(u64::try_from(clock::wall().0).unwrap_or_default());
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let share = retention.of_one_shard(config.shards);
        let shards = (0..config.shards).map(|_| MemoryLog::new(first, share, readers)).collect();
        Self {
            name: config.name.as_str().into(),
            durability: config.durability,
            retention,
            ranges: HashRanges::even(config.shards),
            log: Log::Memory(shards),
            captures,
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
        (0..self.log.len() as u32).map(ShardId)
    }

    /// The log of one shard.
    pub fn shard(&self, id: ShardId) -> Option<&dyn ShardLog> {
        self.log.shard(id.0 as usize)
    }

    /// Records accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Appends one request's batches, each to its shard: all of them, or none. The caller must not answer before
    /// [`Receipt::commit`] is done.
    pub fn append(&self, batches: Vec<(ShardId, Batch)>) -> Result<Receipt, AppendError> {
        // Counted before the records can be read, so that no delivery ever settles more than was accepted.
        let records: usize = batches.iter().map(|(_, batch)| batch.records.len()).sum();
        let bytes: u64 = batches.iter().map(|(_, batch)| batch.payload_bytes()).sum();
        self.accepted.fetch_add(records as u64, Ordering::Relaxed);
        let receipt = match &self.log {
            Log::Memory(shards) => {
                let append =
                    |(id, batch): (ShardId, Batch)| Some((id, shards.get(id.0 as usize)?.append(batch)));
                let appended = batches.into_iter().filter_map(append).collect();
                self.notify();
                Receipt { appended, commit: Commit::Done }
            }
        };
        self.metrics.bytes.increment(bytes);
        Ok(receipt)
    }

    /// Wakes who waits for records.
    fn notify(&self) {
        self.taps.notify();
        for delivery in &self.deliveries {
            delivery.notify();
        }
    }

    /// Records of a shard from `from` on, wherever they are. Waits for the disk where they are no longer in memory;
    /// `payer` then pays for them.
    pub async fn read(
        self: &Arc<Self>,
        shard: ShardId,
        from: SequenceNumber,
        limit: ReadLimit,
        payer: &Payer,
    ) -> Result<Read, ReadError> {
        let Some(log) = self.shard(shard) else { return Ok(Read::nothing(from)) };
        let stored = match log.read(from, limit) {
            Found::Here(read) => return Ok(read),
            Found::Stored(stored) => stored,
        };
        let (stream, payer) = (Arc::clone(self), payer.clone());
        let loading = tokio::task::spawn_blocking(move || stored.load(&payer, &stream.captures));
        // Only a panic or the end of the runtime ends it without a result.
        loading.await.unwrap_or_else(|_| Err(ReadError::Stopped))
    }

    /// The same with the captured fields of `captures` in the place of the stream's own: for a delivery that reads by
    /// an earlier configuration.
    pub async fn read_with(
        self: &Arc<Self>,
        (shard, from): (ShardId, SequenceNumber),
        limit: ReadLimit,
        payer: &Payer,
        captures: &Arc<CapturePlan>,
    ) -> Result<Read, ReadError> {
        let Some(log) = self.shard(shard) else { return Ok(Read::nothing(from)) };
        let (payer, captures) = (payer.clone(), Arc::clone(captures));
        let loading = match log.read(from, limit) {
            Found::Here(mut read) => tokio::task::spawn_blocking(move || {
                for slice in &mut read.slices {
                    slice.batch = Arc::new(captures.recapture(&slice.batch));
                }
                Ok(read)
            }),
            Found::Stored(stored) => tokio::task::spawn_blocking(move || stored.load(&payer, &captures)),
        };
        // Only a panic or the end of the runtime ends it without a result.
        loading.await.unwrap_or_else(|_| Err(ReadError::Stopped))
    }

    /// Lets go of what has outlived its retention and is not needed by a delivery.
    pub fn enforce_retention(&self, now: UnixMicros) {
        for shard in self.log.shards() {
            let evicted = shard.enforce_retention(now);
            self.metrics.evicted_time.increment(evicted.by_age);
            self.metrics.evicted_bytes.increment(evicted.by_bytes);
        }
    }

    /// Lets go of what no delivery needs and arrived before `before`, because memory is short.
    pub fn reclaim(&self, before: UnixMicros) {
        for shard in self.log.shards() {
            self.metrics.evicted_pressure.increment(shard.reclaim(before));
        }
    }

    /// Arrival of the oldest record that could be let go of.
    pub fn oldest_arrival(&self) -> Option<UnixMicros> {
        self.log.shards().filter_map(|shard| shard.oldest_arrival()).min()
    }

    /// Records and payload bytes that the stream holds, over all shards.
    pub fn retained(&self) -> (u64, u64) {
        self.log.shards().map(|shard| shard.bounds()).fold((0, 0), |(records, bytes), bounds| {
            (records + bounds.next.0 - bounds.first.0, bytes + bounds.bytes)
        })
    }
}
