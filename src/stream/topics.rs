//! A stream whose records are in a topic of Kafka.

use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use super::kafka::growth::window::Window;
use super::kafka::{TopicLog, TopicShards};
use super::layout::{Layout, Shard, ShardFacts, ShardStore};
use super::readers::Readers;
use super::traced::TracedAppends;
use super::writing::Gate;
use super::{CapturePlan, Replies, Signal, Store, Stream};
use crate::record::ShardId;

/// The shards of a topic. Every node comes to the same. What is known of load stays with those that there were.
fn layout(before: &Layout, topic: TopicShards) -> Layout {
    let shard = |(facts, window): (ShardFacts, Arc<Window>)| match before.get(facts.id) {
        Some(shard) => Shard { facts, ..shard.clone() },
        None => Shard::new(facts, ShardStore::Kafka(window)),
    };
    Layout::new(topic.shards.into_iter().map(shard).collect(), topic.next_id)
}

impl Stream {
    /// The topic that its records are in, if they are in one.
    pub fn topic(&self) -> Option<&Arc<TopicLog>> {
        match &self.store {
            Store::Kafka(topic) => Some(topic),
            Store::Memory | Store::Durable { .. } => None,
        }
    }

    /// Whether what was accepted is still there after the process has ended, wherever that is.
    pub fn outlives_process(&self) -> bool {
        !matches!(self.store, Store::Memory)
    }

    /// Whether answers to requests with an idempotency key can be kept: other nodes would not know them.
    pub fn keeps_replies(&self) -> bool {
        !matches!(self.store, Store::Kafka(_))
    }

    /// Begins to ask the cluster what the topic is, and waits for the answer, at most for `time`. The stream has no shards
    /// before, whenever that is; it gets others when the topic gets more partitions. Of another stream this does nothing. Blocks the thread.
    pub fn begin_log(self: &Arc<Self>, time: Duration) {
        let Store::Kafka(topic) = &self.store else { return };
        let stream: Weak<Self> = Arc::downgrade(self);
        topic.begin(move |shards| {
            if let Some(stream) = stream.upgrade() {
                let mut gate = stream.gate.write();
                gate.layout = Arc::new(layout(&gate.layout, shards));
                drop(gate);
                stream.notices.notify_all();
            }
        });
        topic.wait_for_partitions(time);
    }

    /// Ends what [`Stream::begin_log`] has begun. What was sent is waited for, a few seconds. Blocks the thread.
    pub fn end_log(&self) {
        if let Store::Kafka(topic) = &self.store {
            topic.end();
        }
    }

    pub(super) fn capture_in_topic(&self, captures: &Arc<CapturePlan>) {
        if let Store::Kafka(topic) = &self.store {
            topic.capture(Arc::clone(captures));
        }
    }

    /// The stream as if it had this one shard only, for `readers` deliveries that read nothing else. It shares the log, what
    /// is in memory of it, and signals; the shard ends there when it does here, but is told as open for ever; it must not outlive [`Stream::end_log`] of the whole. `None` if there is no such
    /// shard, or the stream is not in a topic.
    pub fn view(&self, shard: ShardId, readers: usize) -> Option<Arc<Self>> {
        let Store::Kafka(topic) = &self.store else { return None };
        let whole = self.layout();
        let only = whole.get(shard)?.clone();
        let ShardStore::Kafka(alone) = &only.store else { return None };
        let alone = Some(Arc::clone(alone));
        Some(Arc::new(Self {
            name: Arc::clone(&self.name),
            durability: self.durability,
            retention: std::sync::Mutex::new(self.retention()),
            store: Store::Kafka(Arc::clone(topic)),
            gate: Gate::new(Layout::new(vec![only], whole.next_id())),
            captures: RwLock::new(self.captures()),
            replies: Replies::new(Duration::ZERO, self.metrics.idempotency_evicted.clone()),
            quotas: None,
            is_labelled_encrypted: self.is_labelled_encrypted().into(),
            deletion: Signal::default(),
            notices: Arc::clone(&self.notices),
            readers: Readers::new(readers),
            traced: TracedAppends::default(),
            alone,
            metrics: self.metrics.clone(),
        }))
    }
}
