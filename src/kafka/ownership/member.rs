//! The thread that is the member.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::{Change, Group, LettingGo, Shared, lock};
use crate::config::limits::{
    OWNERSHIP_COMMIT_EVERY, OWNERSHIP_HEARTBEAT, OWNERSHIP_LET_GO_WAIT, OWNERSHIP_METADATA_AGE_MAX,
    OWNERSHIP_POLL_INTERVAL_MAX, OWNERSHIP_SESSION_TIMEOUT,
};
use crate::kafka::{Connection, Fault, FaultClass};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;

/// How long one poll may take: within it the wish to leave is noticed.
const POLL: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Member {
    connection: Arc<Connection>,
    group: Group,
    shared: Arc<Shared>,
    changes: mpsc::Sender<Change>,
}

impl Member {
    pub fn new(
        connection: Arc<Connection>,
        group: Group,
        shared: Arc<Shared>,
        changes: mpsc::Sender<Change>,
    ) -> Self {
        Self { connection, group, shared, changes }
    }

    fn leaves(&self) -> bool {
        // Whoever does not want to know of changes any more wants no shards either.
        self.shared.leaves.load(Ordering::Acquire) || self.changes.is_closed()
    }

    /// Is a member until it is told to leave. A client that breaks is replaced.
    pub fn stay(self) {
        let mut backoff = Backoff::default();
        while !self.leaves() {
            let Err(fault) = self.stay_with_one_client(&mut backoff) else { return };
            let is_news = backoff.is_news();
            if is_news {
                tracing::error!(
                    group = self.group.id, topic = self.group.topic, error = %fault,
                    "not a member of the consumer group that shares the shards: trying again"
                );
            }
            *lock(&self.shared.fault) = Some(fault);
            let until = backoff.until();
            while !self.leaves() && clock::monotonic() < until {
                thread::sleep(POLL);
            }
        }
    }

    /// Returns when it is told to leave.
    fn stay_with_one_client(&self, backoff: &mut Backoff) -> Result<(), Fault> {
        let action = || format!("join consumer group '{}'", self.group.id);
        let fault = |error: &KafkaError| self.connection.fault(action(), error);
        let context = Rebalances {
            connection: Arc::clone(&self.connection),
            group: self.group.clone(),
            shared: Arc::clone(&self.shared),
            changes: self.changes.clone(),
        };
        let client = self.client_config();
        let consumer: BaseConsumer<Rebalances> =
            client.create_with_context(context).map_err(|error| fault(&error))?;
        consumer.subscribe(&[&self.group.topic]).map_err(|error| fault(&error))?;
        let mut commits_at = clock::monotonic() + OWNERSHIP_COMMIT_EVERY;
        while !self.leaves() {
            match consumer.poll(POLL) {
                // One that was on its way before its partition was paused.
                Some(Ok(_)) => {}
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(fault(&KafkaError::MessageConsumptionFatal(code)));
                }
                Some(Err(error)) => self.note(fault(&error)),
                None if !has_shards(&consumer) => {}
                None => {
                    *backoff = Backoff::default();
                    lock(&self.shared.fault).take();
                }
            }
            if clock::monotonic() >= commits_at {
                consumer.context().commit(&consumer);
                commits_at = clock::monotonic() + OWNERSHIP_COMMIT_EVERY;
            }
        }
        // Gives back what it has, and leaves.
        drop(consumer);
        Ok(())
    }

    /// Something is wrong that the client tries again by itself.
    fn note(&self, fault: Fault) {
        let is_news = lock(&self.shared.fault).replace(fault.clone()).is_none();
        if is_news && fault.class != FaultClass::Transient {
            tracing::error!(
                group = self.group.id, topic = self.group.topic, error = %fault,
                "no shards are given to this node: trying again"
            );
        }
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = self.connection.client_config();
        let given = &self.connection.cluster().client;
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        for (property, value) in [
            ("session.timeout.ms", milliseconds(OWNERSHIP_SESSION_TIMEOUT)),
            ("heartbeat.interval.ms", milliseconds(OWNERSHIP_HEARTBEAT)),
            ("max.poll.interval.ms", milliseconds(OWNERSHIP_POLL_INTERVAL_MAX)),
            // A topic that grows is noticed within this time.
            ("topic.metadata.refresh.interval.ms", milliseconds(OWNERSHIP_METADATA_AGE_MAX)),
        ] {
            if !given.contains_key(property) {
                config.set(property, value);
            }
        }
        config.set("group.id", &self.group.id);
        // Who stays keeps what it has, so that files are not begun anew on each node whenever one comes or goes.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // Nothing is read. What is under way before a pause is all that ever comes.
        config.set("queued.min.messages", "1");
        config.set("queued.max.messages.kbytes", "1");
        config.set("fetch.message.max.bytes", "1024");
        config
    }
}

fn has_shards(consumer: &BaseConsumer<Rebalances>) -> bool {
    consumer.assignment().is_ok_and(|assignment| assignment.count() > 0)
}

/// The context of the client: what the group decides comes here, in the thread that polls.
struct Rebalances {
    connection: Arc<Connection>,
    group: Group,
    shared: Arc<Shared>,
    changes: mpsc::Sender<Change>,
}

impl Rebalances {
    fn take(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) {
        let shards = shards_of(partitions);
        // Whoever works on a shard knows where; so nobody has to ask where the group thinks that is.
        let set = partitions.set_all_offsets(Offset::End);
        let assigned = set.and_then(|()| match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
            _ => consumer.assign(partitions),
        });
        let paused = assigned.and_then(|()| consumer.pause(partitions));
        if let Err(error) = paused {
            self.fails("take the shards that the group gives to this node", &error);
        }
        if !shards.is_empty() {
            lock(&self.shared.fault).take();
            // Nobody listens: then the thread ends very soon.
            let _ = self.changes.blocking_send(Change::Take(shards));
        }
    }

    fn give_back(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let (shards, is_lost) = (shards_of(partitions), consumer.assignment_lost());
        if !shards.is_empty() {
            self.wait_until_let_go(shards, is_lost);
            self.commit(consumer);
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            self.fails("give shards back to the group", &error);
        }
    }

    /// Tells the group where the work stands.
    fn commit(&self, consumer: &BaseConsumer<Self>) {
        let positions = std::mem::take(&mut *lock(&self.shared.positions));
        let (topic, owned) = (&self.group.topic, consumer.assignment().unwrap_or_default());
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (ShardId(shard), SequenceNumber(position)) in positions {
            if let (Ok(partition), Ok(offset)) = (i32::try_from(shard), i64::try_from(position))
                && owned.find_partition(topic, partition).is_some()
            {
                // Of the right form and topic: it cannot fail.
                let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset));
            }
        }
        if list.count() > 0 {
            // For information only. What is wrong with the group shows in other ways.
            let _ = consumer.commit(&list, CommitMode::Async);
        }
    }

    fn wait_until_let_go(&self, shards: Vec<ShardId>, is_lost: bool) {
        let ((held, let_go), count) = (sync_channel(1), shards.len());
        let letting_go = LettingGo { shards, is_lost, _held: held };
        if self.changes.blocking_send(Change::LetGo(letting_go)).is_err() || is_lost {
            return;
        }
        if let Err(RecvTimeoutError::Timeout) = let_go.recv_timeout(OWNERSHIP_LET_GO_WAIT) {
            tracing::warn!(
                group = self.group.id,
                topic = self.group.topic,
                shards = count,
                wait_seconds = OWNERSHIP_LET_GO_WAIT.as_secs(),
                "work on shards that another node is to have has not come to rest in time: they are given away, and \
                 whoever gets them takes over"
            );
        }
    }

    fn fails(&self, action: &str, error: &KafkaError) {
        let fault = self.connection.fault(action, error);
        tracing::error!(group = self.group.id, topic = self.group.topic, error = %fault, "the consumer group fails");
        *lock(&self.shared.fault) = Some(fault);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.take(consumer, partitions),
            _ => self.give_back(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(group = self.group.id, %error, "the group does not take where the work stands");
        }
    }
}

impl ClientContext for Rebalances {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.connection.generate_oauth_token(config)
    }
}

fn shards_of(partitions: &TopicPartitionList) -> Vec<ShardId> {
    let elements = partitions.elements();
    elements.iter().filter_map(|element| u32::try_from(element.partition()).ok().map(ShardId)).collect()
}
