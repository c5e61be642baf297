//! Stream: a named set of shards, each an ordered log for a range of partition-key hashes.
//!
//! ```text
//! edge ──append(batch)──▶ shard ──▶ log ──read(range)──▶ taps
//!                                    └───read(range)──▶ deliveries ──release(position)──▶ log
//! ```
//!
//! The rest of the program sees a shard only through [`ShardLog`], so it does not know whether the log lives in this
//! process. There are three: [`MemoryLog`], the write-ahead log ([`wal`]), and a topic of Kafka ([`kafka`]).

mod captures;
mod hash;
mod heat;
pub mod kafka;
mod keeping;
mod layout;
mod log;
mod memory;
mod notices;
pub mod quotas;
mod readers;
mod reading;
mod receipt;
mod replies;
pub mod reshard;
mod routed;
mod topics;
mod traced;
pub mod wal;
mod writing;

pub use crate::runtime::signal::{Signal, Waiter};
pub use captures::{CapturePlan, Captures};
pub use hash::{HashKey, HashRange};
pub use heat::{Heat, HeatReport, HeavyKey};
pub use layout::{Layout, Shard, ShardFacts};
pub use log::{
    Appended, Bounds, Evicted, Found, Numbering, Payer, Position, PutRecord, Read, ReadError, ReadLimit,
    ReaderId, ShardLog, Slice, StoredPosition, StoredRead,
};
pub use memory::{MemoryLog, Retention};
pub use readers::Census;
pub use receipt::{AppendError, CommitError, Committed, NewReply, Receipt};
pub use replies::{Claim, Known, Replies};
pub use reshard::{Change, ReshardError};
pub use routed::{ExplicitHashes, Routed};
pub use writing::Writing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::config::checked;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::metrics::StreamMetrics;
use kafka::TopicLog;
use layout::ShardStore;
use notices::Notices;
use quotas::Quotas;
use readers::Readers;
use traced::TracedAppends;
use wal::journal::Journal;
use wal::recovery::KeptReply;
use wal::shard::DurableLog;
use writing::Gate;

/// One stream and its shards.
pub struct Stream {
    name: Arc<str>,
    durability: checked::Durability,
    retention: Mutex<Retention>,
    store: Store,
    gate: Gate,
    captures: RwLock<Arc<CapturePlan>>,
    replies: Arc<Replies>,
    quotas: Option<Box<Quotas>>,
    is_labelled_encrypted: AtomicBool,
    deletion: Signal,
    notices: Arc<Notices>,
    readers: Readers,
    traced: TracedAppends,
    /// The log of its only shard, of a view: what that has is what was accepted.
    alone: Option<Arc<kafka::growth::window::Window>>,
    /// Metric handles.
    pub metrics: StreamMetrics,
}

/// Where a stream's records are kept.
#[derive(Debug)]
enum Store {
    /// In memory, a log a shard.
    Memory,
    /// In a journal, which is shared with other streams.
    Durable {
        /// Where appends go.
        journal: Arc<Journal>,
        /// Number of the stream in the catalog.
        number: u32,
    },
    /// In a topic, a part of a partition a shard.
    Kafka(Arc<TopicLog>),
}

/// What keeps the records of a durable stream.
#[derive(Debug)]
pub struct DurableParts {
    /// Where appends go.
    pub journal: Arc<Journal>,
    /// Number of the stream in the catalog.
    pub number: u32,
    /// In the order of their ids.
    pub shards: Vec<(ShardFacts, Arc<DurableLog>)>,
    /// The id that its next shard gets.
    pub next_id: ShardId,
}

/// Where a stream keeps its records.
#[derive(Debug)]
pub enum Backing {
    /// In this process.
    Memory,
    /// On the disk, with the replies that were found there.
    Durable(DurableParts, Vec<KeptReply>),
    /// In a topic. There are no shards before [`Stream::begin_log`].
    Kafka(Box<kafka::Source>),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .field("shards", &self.layout().shards().len())
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
        let name: Arc<str> = config.name.as_str().into();
        let (notices, captures) = (Arc::new(Notices::new(&metrics)), Arc::new(captures));
        let now = u64::try_from(clock::wall().0).unwrap_or_default();
        let retention = Retention { age: config.retention, bytes: config.retention_bytes };
        let replies = Replies::new(config.idempotency_window, metrics.idempotency_evicted.clone());
        let (store, layout) = match backing {
            Backing::Memory => {
                let share = retention.of_one_shard(config.shards);
                let shard = |facts: ShardFacts| {
                    let log = MemoryLog::new(facts.first, share, readers);
                    Shard::new(facts, ShardStore::Memory(Arc::new(log)))
                };
                let facts = ShardFacts::even(config.shards, now / 1_000_000, SequenceNumber(now));
                (Store::Memory, Layout::new(facts.map(shard).collect(), ShardId(config.shards)))
            }
            Backing::Durable(parts, kept) => {
                for KeptReply { key, fingerprint, arrival, reply, .. } in &kept {
                    replies.restore(key, *fingerprint, *arrival, reply);
                }
                let DurableParts { journal, number, shards, next_id } = parts;
                let shard = |(facts, log)| Shard::new(facts, ShardStore::Durable(log));
                let layout = Layout::new(shards.into_iter().map(shard).collect(), next_id);
                (Store::Durable { journal, number }, layout)
            }
            Backing::Kafka(source) => {
                let topic = TopicLog::new(&name, *source, &notices, Arc::clone(&captures));
                (Store::Kafka(topic), Layout::new(Vec::new(), ShardId(0)))
            }
        };
        Self {
            name,
            durability: config.durability,
            retention: Mutex::new(retention),
            store,
            gate: Gate::new(layout),
            captures: RwLock::new(captures),
            replies,
            quotas: match config.quotas {
                checked::ShardQuotas::None => None,
                checked::ShardQuotas::Kinesis => Some(Box::default()),
            },
            is_labelled_encrypted: AtomicBool::new(false),
            deletion: Signal::default(),
            notices,
            readers: Readers::new(readers),
            traced: TracedAppends::default(),
            alone: None,
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
    pub fn retention(&self) -> Retention {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Woken when there is something new to read, for taps.
    pub fn taps(&self) -> &Signal {
        &self.notices.taps
    }

    /// The same for deliveries.
    pub fn delivery_signal(&self) -> Arc<Signal> {
        Arc::clone(&self.notices.deliveries)
    }

    /// Replies to requests with an idempotency key.
    pub fn replies(&self) -> &Arc<Replies> {
        &self.replies
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.gate.read().is_gone
    }

    /// Returns once it is deleted.
    pub async fn deleted(&self) {
        let waiter = self.deletion.wait();
        if !self.is_deleted() {
            waiter.woken().await;
        }
    }

    /// Whether clients have named a key for it, which changes nothing but what they are told.
    pub fn is_labelled_encrypted(&self) -> bool {
        self.is_labelled_encrypted.load(Ordering::Relaxed)
    }

    /// Notes it.
    pub fn label_encrypted(&self, is_encrypted: bool) {
        self.is_labelled_encrypted.store(is_encrypted, Ordering::Relaxed);
    }

    /// What its shards take and give, if that is bounded.
    pub fn quotas(&self) -> Option<&Quotas> {
        self.quotas.as_deref()
    }

    /// Its shards at the moment.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.gate.read().layout)
    }

    /// Ids of all shards, open and closed, in order.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        let layout = self.layout();
        (0..layout.shards().len()).map(move |index| layout.shards()[index].facts.id)
    }

    /// Whether what was accepted is still there after the process has ended: in the node's folder, or in a topic.
    pub fn is_durable(&self) -> bool {
        !matches!(self.store, Store::Memory)
    }

    /// Whether its records are in the node's folder.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.store, Store::Durable { .. })
    }

    /// What a durable stream is known by in the node's folder, for ever: one that is made again under its name has
    /// another number.
    pub fn number(&self) -> Option<u32> {
        match self.store {
            Store::Memory | Store::Kafka(_) => None,
            Store::Durable { number, .. } => Some(number),
        }
    }

    /// The log of one shard.
    pub fn shard(&self, id: ShardId) -> Option<Arc<dyn ShardLog>> {
        Some(self.gate.read().layout.get(id)?.log())
    }

    /// The logs of its shards, if they are in a journal.
    pub fn durable_logs(&self) -> Vec<Arc<DurableLog>> {
        self.layout().shards().iter().filter_map(|shard| shard.durable_log().cloned()).collect()
    }

    /// Records accepted since the start; of a view ([`Stream::view`]), numbers that were given in its shard.
    pub fn accepted(&self) -> u64 {
        match &self.alone {
            Some(window) => window.end().0,
            None => self.notices.accepted(),
        }
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
        if !matches!(self.store, Store::Memory) {
            // Only a panic or the end of the runtime ends it without a result.
            return tokio::task::spawn_blocking(find).await.unwrap_or(Err(ReadError::Stopped));
        }
        find()
    }
}
