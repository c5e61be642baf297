//! Appending: records of a request → messages → their offsets.
//!
//! ```text
//! edge threads ──send──▶ queue of the client ──▶ broker
//!      │                                            │
//!   Receipt ◀── Request: counts acks ◀── polling thread
//! ```
//!
//! The client copies each record into its queue. What a request holds of the byte budget is given back with its last ack,
//! so that the queue is bounded by the budget; and [`Appender::reserve`] bounds it once more, so that the client never
//! says in the middle of a request that it is full.
//!
//! Messages of a partition are acknowledged in the order in which they were sent, whatever is sent again (the producer is
//! idempotent). So the offsets of a request's records rise, and belong to them in that order.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::REFUSAL_HEADER;
use super::ends::{Ends, NotTheSame, is_not_the_same, made_again};
use super::request::{Origin, Request};
use super::topic::TopicLog;
use crate::config::limits::{
    KAFKA_LINGER_MS, KAFKA_PRODUCE_TIMEOUT, KAFKA_QUEUE_MESSAGES_MAX, KAFKA_RECORD_OVERHEAD_BYTES,
};
use crate::kafka::{Connection, Fault, FaultClass, topic as facts};
use crate::record::{Batch, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::stream::notices::{Notices, Size};
use crate::stream::receipt::{AppendError, Receipt};

/// How long the polling thread waits for an ack before it looks whether it is to end.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How often an end looks whether all that was sent is told of.
const END_LOOK: Duration = Duration::from_millis(5);
/// How long a broker may take to tell how many partitions there are.
const LEARN_TIMEOUT: Duration = Duration::from_secs(1);

/// The producer of a topic.
pub struct Appender {
    producer: BaseProducer<Acks, NoCustomPartitioner>,
    topic: String,
    log: Weak<TopicLog>,
    /// How many partitions it knows.
    partitions: AtomicU32,
    queue: Arc<Queue>,
    is_over: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What is on its way to the broker.
#[derive(Debug)]
struct Queue {
    bytes_max: u64,
    bytes: AtomicU64,
    messages: AtomicU64,
    /// Set when the client says that it cannot go on.
    is_broken: AtomicBool,
}

/// Hands acks to their requests.
struct Acks {
    connection: Arc<Connection>,
    queue: Arc<Queue>,
    ends: Ends,
    not_the_same: NotTheSame,
}

impl Acks {
    /// The number of a record that is in the topic.
    fn number(&self, topic: &str, partition: i32, offset: i64) -> Result<u64, Fault> {
        let Ok(offset) = u64::try_from(offset) else {
            // Of one that was sent twice a broker may not know the number any more.
            let error = KafkaError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber);
            let action = format!("learn the number of a record in topic '{topic}'");
            return Err(Fault { class: FaultClass::Broken, ..self.connection.fault(action, &error) });
        };
        let Err(ended) = self.ends.note(partition, offset) else { return Ok(offset) };
        let fault = made_again(&self.connection, topic, (partition, offset), ended);
        is_not_the_same(&self.not_the_same, topic, &fault);
        Err(fault)
    }

    /// Why a record is not in the topic, as far as that is known.
    fn not_appended(&self, topic: &str, error: &KafkaError) -> Fault {
        let mut fault = self.connection.fault(format!("append to topic '{topic}'"), error);
        if fault.class == FaultClass::Missing {
            fault.action.push_str(", of which this shard's partition is not there: was it deleted?");
        }
        fault
    }
}

/// Records of a request that go to one shard.
#[derive(Debug)]
pub struct Sending {
    /// The shard.
    pub shard: ShardId,
    /// The partition that it is in.
    pub partition: i32,
    /// The records.
    pub batch: Batch,
}

impl ClientContext for Acks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let fault = self.connection.fault("append", &error);
        if matches!(fault.class, FaultClass::Broken | FaultClass::Fenced) {
            self.queue.is_broken.store(true, Ordering::Relaxed);
        }
        self.connection.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.connection.generate_oauth_token(config)
    }
}

impl ProducerContext<NoCustomPartitioner> for Acks {
    type DeliveryOpaque = Arc<Request>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Arc<Request>) {
        let (partition, result) = match result {
            Ok(message) => {
                let partition = message.partition();
                (partition, self.number(message.topic(), partition, message.offset()))
            }
            Err((error, message)) => {
                let fault = self.not_appended(message.topic(), error);
                self.connection.tell(&fault);
                (message.partition(), Err(fault))
            }
        };
        if let Err(fault) = &result
            && matches!(fault.class, FaultClass::Fenced)
        {
            self.queue.is_broken.store(true, Ordering::Relaxed);
        }
        let is_well = result.is_ok();
        if request.told(partition, result) {
            self.queue.give_back(request.bytes, request.size.records);
            if is_well {
                self.connection.is_well();
            }
        }
    }
}

impl Queue {
    fn reserve(&self, bytes: u64, messages: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let messages_before = self.messages.fetch_add(messages, Ordering::Relaxed);
        // One request is always taken, however large: the client has room for twice as much.
        let fits = before == 0 || before + bytes <= self.bytes_max;
        if fits && messages_before + messages <= KAFKA_QUEUE_MESSAGES_MAX {
            return true;
        }
        self.give_back(bytes, messages);
        false
    }

    fn give_back(&self, bytes: u64, messages: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.messages.fetch_sub(messages, Ordering::Relaxed);
    }
}

impl Appender {
    /// Begins a producer whose queue has `queue_bytes` at most, and takes requests of up to `request_bytes`. The topic is known
    /// to have so many `partitions`. Numbers below `ends` are no acks: see [`NotTheSame`], which is set then.
    ///
    /// # Errors
    /// If the client does not take its settings.
    pub fn begin(
        log: &Arc<TopicLog>,
        (queue_bytes, request_bytes): (u64, u64),
        (partitions, ends): (u32, Ends),
    ) -> Result<Arc<Self>, Fault> {
        let (connection, topic) = (log.connection(), log.name());
        let queue = Arc::new(Queue {
            bytes_max: queue_bytes,
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
        });
        let mut config = connection.client_config();
        let own = &connection.cluster().client;
        if !own.contains_key("linger.ms") && !own.contains_key("queue.buffering.max.ms") {
            config.set("linger.ms", KAFKA_LINGER_MS.to_string());
        }
        if !own.contains_key("message.max.bytes") {
            // The broker knows what it takes.
            config.set("message.max.bytes", request_bytes.clamp(1_000_000, 1_000_000_000).to_string());
        }
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // One that a broker makes because it is asked for is not the one that was deleted.
            .set("allow.auto.create.topics", "false")
            .set("compression.codec", log.log().compression.as_str())
            .set("message.timeout.ms", KAFKA_PRODUCE_TIMEOUT.as_millis().to_string())
            .set("queue.buffering.max.messages", (2 * KAFKA_QUEUE_MESSAGES_MAX).to_string())
            .set("queue.buffering.max.kbytes", kib(2 * queue_bytes.max(request_bytes)).to_string());
        if let Some(level) = log.log().compression_level {
            config.set("compression.level", level.to_string());
        }
        let (acks, not_the_same) = (Arc::clone(connection), Arc::clone(log.not_the_same()));
        let context = Acks { connection: acks, queue: Arc::clone(&queue), ends, not_the_same };
        let producer = config
            .create_with_context(context)
            .map_err(|error| connection.fault("begin to append", &error))?;
        let (is_over, thread) = (AtomicBool::new(false), Mutex::new(None));
        let (topic, log, partitions) = (topic.to_owned(), Arc::downgrade(log), AtomicU32::new(partitions));
        let appender = Arc::new(Self { producer, topic, log, partitions, queue, is_over, thread });
        let polled = Arc::clone(&appender);
        let thread = std::thread::Builder::new().name("kafka acks".to_owned()).spawn(move || polled.poll());
        match thread {
            Ok(thread) => *appender.lock_thread() = Some(thread),
            // Without its thread nothing would ever be acknowledged.
            Err(_) => return Err(connection.fault("begin to append", &KafkaError::Canceled)),
        }
        Ok(appender)
    }

    fn lock_thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.producer.poll(POLL_TIMEOUT);
        }
    }

    /// Where partitions end, for the producer that takes its place.
    pub fn ends(&self) -> Ends {
        self.producer.context().ends.for_next()
    }

    /// Whether the client cannot go on, and another one is needed.
    pub fn is_broken(&self) -> bool {
        self.queue.is_broken.load(Ordering::Relaxed)
    }

    /// Whether it knows so many partitions: it refuses to send to others.
    pub fn knows(&self, partitions: u32) -> bool {
        self.partitions.load(Ordering::Relaxed) >= partitions
    }

    /// Has it ask the cluster if it does not know so many partitions. Blocks the thread, for [`LEARN_TIMEOUT`] at most.
    ///
    /// # Errors
    /// If the cluster does not tell, or fewer.
    pub fn learn(&self, partitions: u32) -> Result<(), Fault> {
        if self.knows(partitions) {
            return Ok(());
        }
        let connection = &self.producer.context().connection;
        let told = facts::partitions(self.producer.client(), connection, &self.topic, LEARN_TIMEOUT)?;
        let told = told.map_or(0, |(count, _)| count);
        self.partitions.fetch_max(told, Ordering::Relaxed);
        if told < partitions {
            let error = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
            return Err(connection
                .fault(format!("ask for {partitions} partitions of topic '{}'", self.topic), &error));
        }
        Ok(())
    }

    /// Bytes on their way.
    pub fn queued_bytes(&self) -> u64 {
        self.queue.bytes.load(Ordering::Relaxed)
    }

    /// Sends the batches of a request, each to its partition: all of them, or none. Does not block.
    ///
    /// # Errors
    /// If too much is on its way already.
    pub fn append(
        &self,
        notices: &Arc<Notices>,
        budget: &Arc<Budget>,
        (generation, batches): (u32, Vec<Sending>),
    ) -> Result<Receipt, AppendError> {
        let size = Size::of(batches.iter().map(|sending| &sending.batch));
        let payload = |sending: &Sending| -> u64 {
            sending.batch.records.iter().map(|record| (record.payload.len() + record.key.len()) as u64).sum()
        };
        let bytes = batches.iter().map(payload).sum::<u64>() + size.records * KAFKA_RECORD_OVERHEAD_BYTES;
        // The client holds a copy of each record.
        let copies = budget.try_take(bytes).ok_or(AppendError::Busy)?;
        if !self.queue.reserve(bytes, size.records) {
            return Err(AppendError::Busy);
        }
        let (log, notices) = (self.log.clone(), Arc::clone(notices));
        let origin = Origin { log, generation, notices };
        let (request, told) = Request::new(origin, (size, bytes), copies, &batches);
        for Sending { partition, batch, .. } in &batches {
            self.send(&request, *partition, batch);
        }
        Ok(Receipt::numbered(told))
    }

    fn send(&self, request: &Arc<Request>, partition: i32, batch: &Batch) {
        let source = &batch.source;
        // Zero would be taken for no timestamp.
        let millis = (source.arrival.0 / 1_000).max(1);
        for record in &batch.records {
            let mut message: BaseRecord<'_, [u8], [u8], _> =
                BaseRecord::with_opaque_to(&self.topic, Arc::clone(request))
                    .partition(partition)
                    .payload(source.bytes(record.payload))
                    .timestamp(millis);
            if !record.key.is_empty() {
                message = message.key(source.bytes(record.key));
            }
            if record.refusal.is_present() {
                let header = Header { key: REFUSAL_HEADER, value: Some(source.bytes(record.refusal)) };
                message = message.headers(OwnedHeaders::new_with_capacity(1).insert(header));
            }
            if let Err((error, message)) = self.producer.send(message) {
                let fault = self.producer.context().not_appended(&self.topic, &error);
                // Those that were sent before it are told of by the client.
                if message.delivery_opaque.told(partition, Err(fault)) {
                    self.queue.give_back(request.bytes, request.size.records);
                }
            }
        }
    }

    /// Waits until all that was sent is told of, at most for `time`, and ends. What is not told of by then fails. Blocks
    /// the thread.
    pub fn end(&self, time: Duration) {
        let began = clock::monotonic();
        // No `flush`: it reads what is told, as the thread does, and where partitions end is noted in the order in which one
        // thread reads of it. It would also send without waiting for `linger.ms`: somebody who sets that to more than `time`
        // gives up what he has not waited for.
        while self.producer.in_flight_count() > 0 && began.elapsed() < time {
            std::thread::sleep(END_LOOK);
        }
        let unconfirmed = self.producer.in_flight_count();
        if unconfirmed > 0 {
            let topic = self.topic.as_str();
            tracing::warn!(
                topic,
                unconfirmed,
                "records are given up that no broker has confirmed: nobody knows whether they are in the topic, and whoever \
                 still waits for them is told so"
            );
        }
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.lock_thread().take();
        if let Some(thread) = thread {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

fn kib(bytes: u64) -> u64 {
    // What the client takes at most.
    (bytes >> 10).clamp(1, 2_147_483_647)
}
