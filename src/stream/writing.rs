//! Appending: the way into the shards that are open at the moment.
//!
//! Whoever appends looks up the shards and appends under one short read lock, the gate. A reshard shuts the gate, so that
//! nothing is under way to a shard that is closed; whoever comes meanwhile waits, a few milliseconds.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;

use super::kafka::Sending;
use super::kafka::growth::window::Window;
use super::layout::{Layout, ShardStore};
use super::memory::MemoryLog;
use super::notices::Size;
use super::receipt::{AppendError, Committed, NewReply, Receipt};
use super::routed::Routed;
use super::wal::journal::{NewRequest, Queued};
use super::wal::shard::DurableLog;
use super::{Store, Stream};
use crate::record::{Batch, ShardId};

/// The layout of the moment, and whether it may be appended to.
#[derive(Debug)]
pub(super) struct Gate {
    state: RwLock<State>,
    opened: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub layout: Arc<Layout>,
    /// While a reshard is under way.
    pub is_shut: bool,
    /// Why nothing is taken until a restart.
    pub broken: Option<String>,
    /// Once the stream is to be deleted, and takes no more.
    pub is_closed: bool,
    /// Once the stream is deleted.
    pub is_gone: bool,
}

impl Gate {
    pub fn new(layout: Layout) -> Self {
        let layout = Arc::new(layout);
        let state = State { layout, is_shut: false, broken: None, is_closed: false, is_gone: false };
        Self { state: RwLock::new(state), opened: Notify::new() }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing panics while it is changed.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those who append to have done so.
    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait to look again.
    pub fn notify(&self) {
        self.opened.notify_waiters();
    }
}

/// The right to append. No shard is opened or closed while it is there, so it is not to be kept over an `await`.
#[derive(Debug)]
pub struct Writing<'a> {
    stream: &'a Stream,
    state: RwLockReadGuard<'a, State>,
}

impl Stream {
    /// Waits until records are taken: at once, unless the shards are being changed.
    pub async fn writing(&self) -> Writing<'_> {
        loop {
            if let Some(writing) = self.try_writing() {
                return writing;
            }
            let opened = self.gate.opened.notified();
            tokio::pin!(opened);
            // Registered before the second look, so that no opening is missed.
            opened.as_mut().enable();
            if let Some(writing) = self.try_writing() {
                return writing;
            }
            opened.await;
        }
    }

    /// The same without waiting: `None` while the shards are being changed.
    pub fn try_writing(&self) -> Option<Writing<'_>> {
        let state = self.gate.read();
        (!state.is_shut || state.broken.is_some()).then(|| Writing { stream: self, state })
    }

    /// [`Writing::append`] for whoever has the shards already.
    ///
    /// # Errors
    /// Also [`AppendError::Resharding`].
    pub fn append(
        &self,
        records: impl Into<Routed>,
        reply: Option<NewReply>,
    ) -> Result<Receipt, AppendError> {
        self.try_writing().ok_or(AppendError::Resharding)?.append(records, reply)
    }
}

impl Writing<'_> {
    /// The shards.
    pub fn layout(&self) -> &Layout {
        &self.state.layout
    }

    /// Whether records can be appended, as far as that is known before there are any.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), AppendError> {
        match &self.stream.store {
            Store::Kafka(topic) => topic.may_append(),
            Store::Memory | Store::Durable { .. } => Ok(()),
        }
    }

    /// Appends one request's batches, each to its open shard: all of them, or none. The caller must not answer before
    /// [`Receipt::committed`] says so.
    ///
    /// # Errors
    /// If the log does not take them, or a shard is not open.
    pub fn append(self, records: impl Into<Routed>, reply: Option<NewReply>) -> Result<Receipt, AppendError> {
        let routed = records.into();
        if self.state.is_gone || self.state.is_closed {
            return Err(AppendError::Deleted { stream: self.stream.name.to_string() });
        }
        if let Some(why) = &self.state.broken {
            return Err(AppendError::Unavailable(why.clone()));
        }
        for (id, batch, hashes) in routed.observed() {
            self.layout().get(id).into_iter().for_each(|shard| shard.heat.observe(batch, hashes));
        }
        let Routed { batches, .. } = routed;
        match &self.stream.store {
            Store::Memory => self.append_in_memory(batches, reply),
            Store::Durable { journal, number } => {
                let batches = batches
                    .into_iter()
                    .map(|(id, batch)| Ok((id, self.durable_log(id)?, batch)))
                    .collect::<Result<Vec<_>, AppendError>>()?;
                let size = Size::of(batches.iter().map(|(.., batch)| batch));
                let (notices, stream) = (Arc::clone(&self.stream.notices), *number);
                let queued = journal.append(NewRequest { notices, batches, size, reply, stream })?;
                let Queued { appended, reply, ticket } = queued;
                Ok(Receipt::told(Committed { appended, reply }, ticket))
            }
            Store::Kafka(topic) => {
                // A reply is kept nowhere: see `Stream::keeps_replies`.
                drop(reply);
                // All open shards are of one generation.
                let mut generation = 0;
                let sending = |(shard, batch): (ShardId, Batch)| {
                    let window = self.window(shard)?;
                    generation = window.generation();
                    Ok(Sending { shard, partition: window.log().partition(), batch })
                };
                let batches = batches.into_iter().map(sending).collect::<Result<_, AppendError>>()?;
                topic.append(generation, batches)
            }
        }
    }

    fn store(&self, id: ShardId) -> Result<&ShardStore, AppendError> {
        let open = self.layout().get(id).filter(|shard| shard.facts.is_open());
        open.map(|shard| &shard.store).ok_or(AppendError::NoShard { shard: id })
    }

    fn append_in_memory(
        self,
        batches: Vec<(ShardId, Batch)>,
        reply: Option<NewReply>,
    ) -> Result<Receipt, AppendError> {
        let notices = &self.stream.notices;
        let size = Size::of(batches.iter().map(|(_, batch)| batch));
        let logs: Vec<_> = batches.iter().map(|(id, _)| self.memory_log(*id)).collect::<Result<_, _>>()?;
        // Counted before the records can be read, so that no delivery ever settles more than was accepted.
        notices.accept(size.records);
        let appended: Vec<_> =
            batches.into_iter().zip(logs).map(|((id, batch), log)| (id, log.append(batch))).collect();
        notices.committed(size);
        notices.notify_all();
        let reply = reply.map(|NewReply { claim, arrival, make, .. }| {
            let reply = make(&appended);
            claim.keep(reply.clone(), arrival);
            reply
        });
        Ok(Receipt::done(Committed { appended, reply }))
    }

    fn memory_log(&self, id: ShardId) -> Result<&Arc<MemoryLog>, AppendError> {
        match self.store(id)? {
            ShardStore::Memory(log) => Ok(log),
            ShardStore::Durable(_) | ShardStore::Kafka(_) => Err(AppendError::NoShard { shard: id }),
        }
    }

    fn window(&self, id: ShardId) -> Result<&Window, AppendError> {
        match self.store(id)? {
            ShardStore::Kafka(window) => Ok(window),
            ShardStore::Memory(_) | ShardStore::Durable(_) => Err(AppendError::NoShard { shard: id }),
        }
    }

    fn durable_log(&self, id: ShardId) -> Result<Arc<DurableLog>, AppendError> {
        match self.store(id)? {
            ShardStore::Durable(log) => Ok(Arc::clone(log)),
            ShardStore::Memory(_) | ShardStore::Kafka(_) => Err(AppendError::NoShard { shard: id }),
        }
    }
}
