//! Stream: a named set of shards, each an ordered log for a range of partition-key hashes.
//!
//! ```text
//! edge ──append(batch)──▶ shard ──▶ log ──read(range)──▶ taps
//!                                    └───read(range)──▶ deliveries ──release(position)──▶ log
//! ```
//!
//! The rest of the program sees a shard only through [`ShardLog`], so it does not know whether the log lives in this
//! process. There are two: [`MemoryLog`], and the write-ahead log ([`wal`]). A log on a remote cluster fits the same
//! trait.

mod captures;
mod hash;
mod log;
mod memory;
mod notices;
mod receipt;
mod replies;
mod signal;
pub mod wal;

pub use captures::{CapturePlan, Captures};
pub use hash::{HashKey, HashRanges};
pub use log::{
    Appended, Bounds, Evicted, Found, Payer, Position, PutRecord, Read, ReadError, ReadLimit, ReaderId,
    ShardLog, Slice, StoredPosition, StoredRead,
};
pub use memory::{MemoryLog, Retention};
pub use receipt::{AppendError, Commit, CommitError, NewReply, Receipt};
pub use replies::{Claim, Known, Replies};
pub use signal::{Signal, Waiter};

use std::sync::Arc;

use crate::config::checked;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::metrics::StreamMetrics;
use notices::{Notices, Size};
use wal::journal::{Journal, NewRequest, Queued};
use wal::recovery::KeptReply;
use wal::shard::DurableLog;

/// One stream and its shards.
pub struct Stream {
    name: Arc<str>,
    durability: checked::Durability,
    retention: Retention,
    ranges: HashRanges,
    log: Log,
    captures: CapturePlan,
    replies: Arc<Replies>,
    notices: Arc<Notices>,
    /// Metric handles.
    pub metrics: StreamMetrics,
}

/// Where a stream's records are kept.
enum Log {
    /// In memory, a log a shard.
    Memory(Vec<MemoryLog>),
    /// In a journal, which is shared with other streams.
    Durable(DurableParts),
}

/// What keeps the records of a durable stream.
#[derive(Debug)]
pub struct DurableParts {
    /// Where appends go.
    pub journal: Arc<Journal>,
    /// Number of the stream in the catalog.
    pub number: u32,
    /// In the order of their ids.
    pub shards: Vec<Arc<DurableLog>>,
}

/// Where a stream keeps its records.
#[derive(Debug)]
pub enum Backing {
    /// In this process.
    Memory,
    /// On the disk, with the replies that were found there.
    Durable(DurableParts, Vec<KeptReply>),
}

impl Log {
    fn len(&self) -> usize {
        match self {
            Log::Memory(shards) => shards.len(),
            Log::Durable(parts) => parts.shards.len(),
        }
    }

    fn shard(&self, index: usize) -> Option<&dyn ShardLog> {
        match self {
            Log::Memory(shards) => shards.get(index).map(|shard| shard as &dyn ShardLog),
            Log::Durable(parts) => parts.shards.get(index).map(|shard| &**shard as &dyn ShardLog),
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
    /// Builds the stream of `config` for `readers` deliveries.
    ///
    /// A memory log forgets its numbering with the process. Its first sequence number is therefore the wall clock in
    /// microseconds: numbers stay increasing over restarts as long as a shard takes less than a million records a
    /// second on average, and object keys, which are made of sequence numbers, do not come twice.
    pub fn new(
        config: &checked::Stream,
        backing: Backing,
        readers: usize,
        captures: CapturePlan,
        metrics: StreamMetrics,
    ) -> Self {
        let first = SequenceNumber(u64::try_from(clock::wall().0).unwrap_or_default());
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let share = retention.of_one_shard(config.shards);
        let replies = Replies::new(config.idempotency_window, metrics.idempotency_evicted.clone());
        let log = match backing {
            Backing::Memory => {
                Log::Memory((0..config.shards).map(|_| MemoryLog::new(first, share, readers)).collect())
            }
            Backing::Durable(parts, kept) => {
                for KeptReply { key, fingerprint, arrival, reply, .. } in &kept {
                    replies.restore(key, *fingerprint, *arrival, reply);
                }
                Log::Durable(parts)
            }
        };
        Self {
            name: config.name.as_str().into(),
            durability: config.durability,
            retention,
            ranges: HashRanges::even(config.shards),
            log,
            captures,
            replies,
            notices: Arc::new(Notices::new(readers, &metrics)),
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

    /// Woken when there is something new to read, for taps.
    pub fn taps(&self) -> &Signal {
        &self.notices.taps
    }

    /// The same for one of the deliveries.
    pub fn delivery_signal(&self, reader: ReaderId) -> Arc<Signal> {
        self.notices.deliveries.get(reader).cloned().unwrap_or_default()
    }

    /// Replies to requests with an idempotency key.
    pub fn replies(&self) -> &Arc<Replies> {
        &self.replies
    }

    /// Which hashes belong to which shard.
    pub fn ranges(&self) -> &HashRanges {
        &self.ranges
    }

    /// Ids of all shards, in order.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.log.len() as u32).map(ShardId)
    }

    /// Whether what was accepted is still there after the process has ended.
    pub fn is_durable(&self) -> bool {
        matches!(self.log, Log::Durable(_))
    }

    /// The log of one shard.
    pub fn shard(&self, id: ShardId) -> Option<&dyn ShardLog> {
        self.log.shard(id.0 as usize)
    }

    /// Its shards in the log on the disk; none of a stream in memory.
    pub fn durable_shards(&self) -> &[Arc<DurableLog>] {
        match &self.log {
            Log::Memory(_) => &[],
            Log::Durable(parts) => &parts.shards,
        }
    }

    /// Records accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.notices.accepted()
    }

    /// Appends one request's batches, each to its shard: all of them, or none. The caller must not answer before
    /// [`Receipt::commit`] is done.
    pub fn append(
        &self,
        batches: Vec<(ShardId, Batch)>,
        reply: Option<NewReply>,
    ) -> Result<Receipt, AppendError> {
        let size = Size::of(batches.iter().map(|(_, batch)| batch));
        let receipt = match &self.log {
            Log::Memory(shards) => {
                let append =
                    |(id, batch): (ShardId, Batch)| Some((id, shards.get(id.0 as usize)?.append(batch)));
                // Counted before the records can be read, so that no delivery ever settles more than was accepted.
                self.notices.accept(size.records);
                let appended: Vec<_> = batches.into_iter().filter_map(append).collect();
                self.notices.committed(size);
                self.notices.notify_all();
                let reply = reply.map(|NewReply { claim, arrival, make, .. }| {
                    let reply = make(&appended);
                    claim.keep(reply.clone(), arrival);
                    reply
                });
                Receipt { appended, reply, commit: Commit::Done }
            }
            Log::Durable(parts) => {
                let log = |(id, batch): (ShardId, Batch)| {
                    Some((id, Arc::clone(parts.shards.get(id.0 as usize)?), batch))
                };
                let batches = batches.into_iter().filter_map(log).collect();
                let (notices, stream) = (Arc::clone(&self.notices), parts.number);
                let queued = parts.journal.append(NewRequest { notices, batches, size, reply, stream })?;
                let Queued { appended, reply, ticket } = queued;
                Receipt { appended, reply, commit: Commit::Told(ticket) }
            }
        };
        Ok(receipt)
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

    /// For each of `shards` the position of the first record that arrived at `time` or later. Waits for the disk where it
    /// is not known in memory.
    pub async fn positions_at(
        &self,
        shards: &[ShardId],
        time: UnixMicros,
    ) -> Result<Vec<(ShardId, SequenceNumber)>, ReadError> {
        let position = |id: &ShardId| Some((*id, self.shard(*id)?.position_at(time)));
        let positions: Vec<_> = shards.iter().filter_map(position).collect();
        let find = move || positions.into_iter().map(|(id, position)| Ok((id, position.find()?))).collect();
        if self.is_durable() {
            // Only a panic or the end of the runtime ends it without a result.
            return tokio::task::spawn_blocking(find).await.unwrap_or(Err(ReadError::Stopped));
        }
        find()
    }

    /// Lets go of what has outlived its retention and is not needed by a delivery.
    pub fn enforce_retention(&self, now: UnixMicros) {
        self.replies.expire(now);
        match &self.log {
            Log::Memory(shards) => {
                for shard in shards {
                    self.count_evicted(shard.enforce_retention(now));
                }
            }
            Log::Durable(parts) => self.expire(parts, now),
        }
    }

    fn count_evicted(&self, evicted: Evicted) {
        self.metrics.evicted_time.increment(evicted.by_age);
        self.metrics.evicted_bytes.increment(evicted.by_bytes);
    }

    /// Lets go of what has outlived its retention in a durable log. The journal takes the files away later.
    fn expire(&self, parts: &DurableParts, now: UnixMicros) {
        let mut marks = Vec::new();
        for (id, shard) in (0..).map(ShardId).zip(&parts.shards) {
            let expired = shard.expire(now);
            self.count_evicted(expired.evicted);
            if expired.wants_mark {
                marks.push((id, Arc::clone(shard), Batch::empty(now)));
            }
        }
        self.mark(parts, marks);
    }

    /// Writes down where shards are whose last records are to go: the next start must not give their numbers again.
    fn mark(&self, parts: &DurableParts, batches: Vec<(ShardId, Arc<DurableLog>, Batch)>) {
        if batches.is_empty() {
            return;
        }
        let (notices, stream) = (Arc::clone(&self.notices), parts.number);
        let size = Size::default();
        let queued = parts.journal.append(NewRequest { notices, batches, size, reply: None, stream });
        if let Err(error) = queued {
            tracing::debug!(stream = %self.name, %error, "the last records of a shard stay beyond their retention for now");
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
