//! How long a stream keeps its records.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::layout::{Layout, Shard, ShardStore};
use super::log::Evicted;
use super::memory::Retention;
use super::notices::Size;
use super::wal::journal::NewRequest;
use super::wal::shard::DurableLog;
use super::{Store, Stream};
use crate::record::{Batch, ShardId};
use crate::runtime::clock::UnixMicros;

impl Stream {
    /// Lets go of what has outlived its retention and is not needed by a delivery, and brings rates up to date. To be
    /// called every second or so.
    pub fn enforce_retention(&self, now: UnixMicros) {
        self.replies.expire(now);
        let mut marks = Vec::new();
        for shard in self.layout().shards() {
            shard.heat.tick();
            match &shard.store {
                ShardStore::Memory(log) => self.count_evicted(log.enforce_retention(now)),
                ShardStore::Durable(log) => {
                    let expired = log.expire(now);
                    self.count_evicted(expired.evicted);
                    if expired.wants_mark && shard.facts.is_open() {
                        marks.push((shard.facts.id, Arc::clone(log), Batch::empty(now)));
                    }
                }
                // The broker decides.
                ShardStore::Kafka(_) => {}
            }
        }
        self.mark(marks);
    }

    fn count_evicted(&self, evicted: Evicted) {
        self.metrics.evicted_time.increment(evicted.by_age);
        self.metrics.evicted_bytes.increment(evicted.by_bytes);
    }

    /// Writes down where shards are whose last records are to go: the next start must not give their numbers again. The
    /// journal takes the files away later.
    fn mark(&self, batches: Vec<(ShardId, Arc<DurableLog>, Batch)>) {
        let Store::Durable { journal, number } = &self.store else { return };
        if batches.is_empty() {
            return;
        }
        let (notices, size) = (Arc::clone(&self.notices), Size::default());
        let request = NewRequest { notices, batches, size, reply: None, stream: *number };
        if let Err(error) = journal.append(request) {
            tracing::debug!(stream = %self.name, %error, "the last records of a shard stay beyond their retention for now");
        }
    }

    /// Closed shards whose records have all outlived their retention and are released by every delivery.
    pub fn outlived(&self, now: UnixMicros) -> Vec<ShardId> {
        let layout = self.layout();
        let closed = layout.shards().iter().filter(|shard| !shard.facts.is_open());
        let outlived = |shard: &&Shard| match &shard.store {
            ShardStore::Memory(log) => log.is_outlived(),
            ShardStore::Durable(log) => log.is_outlived(now),
            ShardStore::Kafka(_) => false,
        };
        closed.filter(outlived).map(|shard| shard.facts.id).collect()
    }

    /// Forgets closed shards. To be called once it is written down that they are gone.
    pub fn forget(&self, gone: &[ShardId]) {
        let mut forgotten = Vec::new();
        let mut gate = self.gate.write();
        let is_gone = |shard: &Shard| gone.contains(&shard.facts.id) && !shard.facts.is_open();
        forgotten.extend(gate.layout.shards().iter().filter(|shard| is_gone(shard)).cloned());
        gate.layout = Arc::new(gate.layout.without(is_gone));
        drop(gate);
        give_up(&forgotten);
    }

    /// Takes no more records: it is to be deleted once those that it has are delivered. What is being appended is counted
    /// when this returns.
    pub fn close(&self) {
        self.gate.write().is_closed = true;
    }

    /// Takes no more records and lets go of those that it has. To be called once it is written down that the stream is
    /// gone.
    pub fn delete(&self) {
        let mut gate = self.gate.write();
        (gate.is_gone, gate.is_shut) = (true, false);
        let layout = std::mem::replace(&mut gate.layout, Arc::new(Layout::new(Vec::new(), ShardId(0))));
        drop(gate);
        give_up(layout.shards());
        self.gate.notify();
        self.deletion.notify();
        self.notices.notify_all();
    }

    /// Keeps records for `age` from now on.
    pub fn keep_for(&self, age: Duration) {
        let mut retention = self.retention.lock().unwrap_or_else(PoisonError::into_inner);
        retention.age = age;
        drop(retention);
        let layout = self.layout();
        let share = self.retention_share(layout.shards().len());
        for shard in layout.shards() {
            match &shard.store {
                ShardStore::Memory(log) => log.set_retention(share),
                ShardStore::Durable(log) => log.set_retention(share),
                ShardStore::Kafka(_) => {}
            }
        }
    }

    /// What each of `shards` shards keeps.
    pub(super) fn retention_share(&self, shards: usize) -> Retention {
        self.retention().of_one_shard(u32::try_from(shards).unwrap_or(u32::MAX))
    }

    /// Lets go of what no delivery needs and arrived before `before`, because memory is short.
    pub fn reclaim(&self, before: UnixMicros) {
        for shard in self.layout().shards() {
            self.metrics.evicted_pressure.increment(shard.log_ref().reclaim(before));
        }
    }

    /// Arrival of the oldest record that could be let go of.
    pub fn oldest_arrival(&self) -> Option<UnixMicros> {
        self.layout().shards().iter().filter_map(|shard| shard.log_ref().oldest_arrival()).min()
    }

    /// Records and payload bytes that the stream holds, over all shards.
    pub fn retained(&self) -> (u64, u64) {
        let layout = self.layout();
        let bounds = layout.shards().iter().map(|shard| shard.log_ref().bounds());
        bounds.fold((0, 0), |(records, bytes), bounds| {
            (records + bounds.next.0 - bounds.first.0, bytes + bounds.bytes)
        })
    }
}

/// Lets go of all that logs still hold of segments.
fn give_up(shards: &[Shard]) {
    for shard in shards {
        if let ShardStore::Durable(log) = &shard.store {
            log.give_up_all();
        }
    }
}
