//! A reshard under way: the gate is shut, what is under way becomes durable, and new shards take the place of old ones.

use std::sync::Arc;

use super::Plan;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::layout::{Layout, Shard, ShardFacts, ShardStore};
use crate::stream::memory::MemoryLog;
use crate::stream::notices::Size;
use crate::stream::receipt::{CommitError, Committed, Receipt};
use crate::stream::wal::journal::{NewRequest, Queued};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{AppendError, ReshardError, Store, Stream};
use thiserror::Error;

/// Why a reshard does not come about. The shards are what they were.
#[derive(Debug, Error)]
pub enum ResizeError {
    /// It cannot be done.
    #[error(transparent)]
    Plan(#[from] ReshardError),
    /// Another one is under way.
    #[error("the shards of stream '{stream}' are being changed already: try again in a moment")]
    Busy {
        /// The stream.
        stream: String,
    },
    /// Whoever has made the topic decides.
    #[error(
        "stream '{stream}' is in topic '{topic}' of Kafka, each of whose partitions is a shard: give the topic more partitions"
    )]
    InTopic {
        /// The stream.
        stream: String,
        /// The topic.
        topic: String,
    },
    /// What clients have sent cannot be made durable.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The same.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A reshard under way. Dropped before [`Resharding::install`], it leaves everything as it was.
#[derive(Debug)]
pub struct Resharding<'a> {
    stream: &'a Stream,
    layout: Arc<Layout>,
    plan: Plan,
}

/// The shards that take the place of others, to be made durable before they take records.
#[derive(Debug)]
pub struct Replacement {
    /// Shards that are closed, each with its end.
    pub closed: Vec<(ShardId, SequenceNumber)>,
    /// Their children.
    pub children: Vec<ShardFacts>,
}

impl Stream {
    /// Shuts the gate for what `plan` makes of the layout, and waits until all that was appended is durable.
    ///
    /// # Errors
    /// If it cannot be planned, another reshard is under way, or the log cannot be written.
    pub async fn reshard(
        &self,
        plan: impl FnOnce(&Layout) -> Result<Plan, ReshardError>,
    ) -> Result<Resharding<'_>, ResizeError> {
        let resharding = self.shut(plan)?;
        resharding.settle().await?;
        Ok(resharding)
    }

    fn shut(
        &self,
        plan: impl FnOnce(&Layout) -> Result<Plan, ReshardError>,
    ) -> Result<Resharding<'_>, ResizeError> {
        if let Some(topic) = self.topic() {
            let (stream, topic) = (self.name.to_string(), topic.name().to_owned());
            return Err(ResizeError::InTopic { stream, topic });
        }
        let mut gate = self.gate.write();
        if gate.is_shut || gate.is_gone {
            return Err(ResizeError::Busy { stream: self.name.to_string() });
        }
        let layout = Arc::clone(&gate.layout);
        let plan = plan(&layout)?;
        gate.is_shut = true;
        Ok(Resharding { stream: self, layout, plan })
    }
}

impl Resharding<'_> {
    /// Waits for the records of the shards that are closed. A batch without records goes behind them: when it is durable,
    /// so are they, and a later start finds where the shard ends.
    async fn settle(&self) -> Result<(), ResizeError> {
        let Store::Durable { journal, number } = &self.stream.store else { return Ok(()) };
        let mark = |shard: &Shard| match &shard.store {
            ShardStore::Durable(log) => Some((shard.facts.id, Arc::clone(log), Batch::empty(clock::wall()))),
            ShardStore::Memory(_) | ShardStore::Kafka(_) => None,
        };
        let batches =
            self.plan.closed.iter().filter_map(|id| self.layout.get(*id)).filter_map(mark).collect();
        let (notices, size) = (Arc::clone(&self.stream.notices), Size::default());
        let request = NewRequest { notices, batches, size, reply: None, stream: *number };
        let Queued { appended, reply, ticket } = journal.append(request)?;
        Receipt::told(Committed { appended, reply }, ticket).await?;
        Ok(())
    }

    /// What is to be written down.
    pub fn replacement(&self, now: UnixMicros) -> Replacement {
        let end = |id: &ShardId| Some((*id, self.layout.get(*id)?.log_ref().bounds().next));
        Replacement {
            closed: self.plan.closed.iter().filter_map(end).collect(),
            children: self.plan.facts(&self.layout, u64::try_from(now.0).unwrap_or_default()),
        }
    }

    /// Leaves the gate shut until a restart: nobody knows what is written down.
    pub fn stay_shut(self, why: &str) {
        self.stream.gate.write().broken = Some(why.to_owned());
    }

    /// Puts the new shards in their place and opens the gate. `logs` has the log of each child of a durable stream, in
    /// their order.
    pub fn install(self, replacement: &Replacement, logs: Vec<Arc<DurableLog>>) {
        let Replacement { closed, children } = replacement;
        let stream = self.stream;
        let mut shards = self.layout.shards().to_vec();
        for shard in &mut shards {
            let end = closed.iter().find(|(id, _)| *id == shard.facts.id).map(|&(_, end)| end);
            shard.facts.end = shard.facts.end.or(end);
        }
        let (readers, share) = (stream.readers(), stream.retention_share(shards.len() + children.len()));
        let mut logs = logs.into_iter();
        shards.extend(children.iter().map(|&facts| {
            let in_memory = || ShardStore::Memory(Arc::new(MemoryLog::new(facts.first, share, readers)));
            let store = logs.next().map_or_else(in_memory, ShardStore::Durable);
            let shard = Shard::new(facts, store);
            stream.readers.begin_shard(&shard);
            shard
        }));
        let next_id = children.last().map_or(self.layout.next_id(), |child| ShardId(child.id.0 + 1));
        stream.gate.write().layout = Arc::new(Layout::new(shards, next_id));
        // Opens it.
        drop(self);
        stream.notices.notify_all();
    }
}

impl Drop for Resharding<'_> {
    fn drop(&mut self) {
        self.stream.gate.write().is_shut = false;
        self.stream.gate.notify();
    }
}
