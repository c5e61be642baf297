//! A topic that is the log of a stream: what its shards share.

mod appending;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::append::Appender;
use super::bell::Bell;
use super::catch_up::Pool;
use super::ends::{NotTheSame, is_not_the_same, made_again};
use super::growth::{Agreement, Growth};
use super::judge::Judge;
use super::partition::PartitionLog;
use super::shards::{Installed, TopicShards};
use super::tail;
use crate::config::checked::KafkaLog;
use crate::config::limits::{KAFKA_FLUSH_WAIT, KAFKA_TAIL_PERCENT};
use crate::kafka::{Connection, Fault, FaultClass};
use crate::runtime::budget::Budget;
use crate::runtime::clock;
use crate::stream::captures::CapturePlan;
use crate::stream::notices::Notices;

/// What a stream on a topic is made of.
#[derive(Debug)]
pub struct Source {
    /// The topic.
    pub log: KafkaLog,
    /// The verdict on records while they are read.
    pub judge: Judge,
    /// Pays for records in memory.
    pub budget: Arc<Budget>,
    /// The most bytes of one request.
    pub request_bytes: u64,
    /// Where nodes agree on its shards.
    pub agreement: Agreement,
}

/// Why nothing can be done at the moment.
#[derive(Debug)]
struct Trouble {
    why: String,
    /// `None` for what is not of the client's making.
    class: Option<FaultClass>,
}

/// See the module.
#[derive(Debug)]
pub struct TopicLog {
    stream: Arc<str>,
    source: Source,
    connection: Arc<Connection>,
    notices: Arc<Notices>,
    captures: RwLock<Arc<CapturePlan>>,
    /// Those of the newest generation, in the order of their numbers; none before it is known.
    partitions: RwLock<Arc<[Arc<PartitionLog>]>>,
    installed: Mutex<Installed>,
    growth: Growth,
    /// Why nothing can be appended or read at the moment.
    trouble: Mutex<Option<Trouble>>,
    appender: RwLock<Option<Arc<Appender>>>,
    /// Where the partitions ended at first.
    ended: OnceLock<Vec<u64>>,
    not_the_same: NotTheSame,
    /// Says so while the topic ends before what was known of it.
    lost_end: Mutex<Option<String>>,
    pool: Pool,
    pub(super) bell: Bell,
    begun: Instant,
    /// How many of its partitions are read into memory.
    followed: AtomicUsize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TopicLog {
    /// Nothing is asked of the cluster yet.
    pub fn new(
        stream: &Arc<str>,
        source: Source,
        notices: &Arc<Notices>,
        captures: Arc<CapturePlan>,
    ) -> Arc<Self> {
        let connection = Connection::new(source.log.cluster.clone(), format!("log {stream}"));
        let waiting =
            format!("{} has not told yet what topic '{}' is", connection.cluster().label(), source.log.topic);
        let growth = Growth::new(source.agreement.clone());
        Arc::new(Self {
            stream: Arc::clone(stream),
            source,
            connection,
            notices: Arc::clone(notices),
            captures: RwLock::new(captures),
            partitions: RwLock::new(Arc::from([])),
            installed: Mutex::default(),
            growth,
            trouble: Mutex::new(Some(Trouble { why: waiting, class: None })),
            appender: RwLock::new(None),
            ended: OnceLock::new(),
            not_the_same: NotTheSame::default(),
            lost_end: Mutex::default(),
            pool: Pool::default(),
            bell: Bell::default(),
            begun: clock::monotonic(),
            followed: AtomicUsize::new(0),
            thread: Mutex::new(None),
        })
    }

    /// Begins to ask the cluster, and to read the tail for whoever wants to. `tell` is told the shards, whenever there are
    /// others.
    pub fn begin(self: &Arc<Self>, tell: impl FnMut(TopicShards) + Send + 'static) {
        lock(&self.installed).tell = Some(Box::new(tell));
        let topic = Arc::clone(self);
        let thread = std::thread::Builder::new().name("kafka log".to_owned());
        let begun = thread.spawn(move || tail::run(&topic)).and_then(|thread| {
            *lock(&self.thread) = Some(thread);
            self.growth.begin(self)
        });
        if let Err(error) = begun {
            self.has_trouble(format!("no thread can be started: {error}"));
        }
    }

    /// Waits until it is known which shards there are, at most for `time`. Returns whether it is. Blocks the thread.
    pub fn wait_for_partitions(&self, time: Duration) -> bool {
        self.bell.wait_until(time, || self.has_shards());
        self.has_shards()
    }

    fn has_shards(&self) -> bool {
        !self.partitions().is_empty()
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<str> {
        &self.stream
    }

    /// Name of the topic.
    pub fn name(&self) -> &str {
        &self.source.log.topic
    }

    /// Where it is.
    pub fn log(&self) -> &KafkaLog {
        &self.source.log
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.source.budget
    }

    pub(super) fn judge(&self) -> &Judge {
        &self.source.judge
    }

    pub(super) fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What this node knows of how the topic grows.
    pub(super) fn growth(&self) -> &Growth {
        &self.growth
    }

    /// The partitions that have shards, if they are known.
    pub fn partitions(&self) -> Arc<[Arc<PartitionLog>]> {
        Arc::clone(&self.partitions.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn partition(&self, partition: i32) -> Option<Arc<PartitionLog>> {
        self.partitions().get(usize::try_from(partition).ok()?).cloned()
    }

    /// Where the partitions end that it has. To be told before anything is appended.
    pub(super) fn has_ends(&self, ends: Vec<u64>) {
        self.ended.get_or_init(|| ends);
    }

    pub(super) fn installed(&self) -> MutexGuard<'_, Installed> {
        lock(&self.installed)
    }

    pub(super) fn put_partitions(&self, logs: Arc<[Arc<PartitionLog>]>) {
        *self.partitions.write().unwrap_or_else(PoisonError::into_inner) = logs;
    }

    /// A weak reference for the shards.
    pub(super) fn weak(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }

    /// A message that says of which topic it is.
    pub fn says(&self, what: &str) -> String {
        format!("Kafka cluster '{}', topic '{}': {what}", self.connection.cluster().label(), self.name())
    }

    /// Has records that are brought into memory carry these fields.
    pub fn capture(&self, captures: Arc<CapturePlan>) {
        *self.captures.write().unwrap_or_else(PoisonError::into_inner) = captures;
    }

    pub(super) fn captures(&self) -> Arc<CapturePlan> {
        Arc::clone(&self.captures.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most payload bytes that one shard keeps in memory: an equal part for each that is read.
    pub(super) fn ring_bytes_max(&self) -> u64 {
        let share = self.budget().capacity() / 100 * KAFKA_TAIL_PERCENT;
        share / self.followed().max(1) as u64
    }

    /// How many of its partitions are read into memory, because somebody reads them.
    pub fn followed(&self) -> usize {
        self.followed.load(Ordering::Relaxed)
    }

    pub(super) fn has_followed(&self, partitions: usize) {
        self.followed.store(partitions, Ordering::Relaxed);
    }

    /// Milliseconds since it was made; never zero.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// How many partitions the topic has, as far as that is known.
    pub fn partitions_told(&self) -> u32 {
        self.growth.partitions()
    }

    /// Bytes on their way to it.
    pub fn queued_bytes(&self) -> u64 {
        self.appender().map_or(0, |appender| appender.queued_bytes())
    }

    /// Nothing can be done at the moment. Returns whether that is news.
    pub(super) fn has_trouble(&self, why: String) -> bool {
        let mut trouble = lock(&self.trouble);
        let is_news = trouble.as_ref().is_none_or(|known| known.why != why);
        *trouble = Some(Trouble { why, class: None });
        is_news
    }

    /// A partition ends at `at`, and had ended at `ended` behind it. Nothing is appended while that is so: deliveries are
    /// beyond these numbers.
    pub(super) fn has_lost_end(&self, (partition, at): (i32, u64), ended: u64) -> Fault {
        let fault = made_again(&self.connection, self.name(), (partition, at), ended);
        *lock(&self.lost_end) = Some(fault.to_string());
        fault
    }

    /// No partition ends before where it had ended any more.
    pub(super) fn has_its_ends(&self) {
        lock(&self.lost_end).take();
    }

    /// The same for a fault. It is no news that what helps against the last one does not help yet: while brokers are away,
    /// the client says one time that one is, and another that all are.
    pub(super) fn has_fault(&self, fault: &Fault) -> bool {
        let (why, class) = (fault.to_string(), Some(fault.class));
        let known = lock(&self.trouble).replace(Trouble { why, class });
        known.is_none_or(|known| known.class != class)
    }

    pub(super) fn is_well(&self) -> bool {
        self.connection.is_well();
        lock(&self.trouble).take().is_some()
    }

    /// Why nothing can be appended or read at the moment, if that is so.
    pub fn trouble(&self) -> Option<String> {
        let trouble = || lock(&self.trouble).as_ref().map(|trouble| trouble.why.clone());
        // What refuses records comes before what else there is.
        let lost_end = || lock(&self.lost_end).clone();
        self.not_the_same.get().cloned().or_else(|| self.growth.trouble()).or_else(lost_end).or_else(trouble)
    }

    /// The topic is another one than it was: its numbers mean other records. Nothing of it is read or appended to any more.
    pub(super) fn is_another(&self, fault: &Fault) {
        is_not_the_same(&self.not_the_same, self.name(), fault);
    }

    /// What tells of that.
    pub(super) fn not_the_same(&self) -> &NotTheSame {
        &self.not_the_same
    }

    /// Why it is another one, if it is.
    pub(super) fn another(&self) -> Option<&str> {
        self.not_the_same.get().map(String::as_str)
    }

    /// Ends everything: what was sent is waited for, for a while. Blocks the thread.
    pub fn end(&self) {
        self.bell.end();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // It has nothing to tell.
            let _ = thread.join();
        }
        let appender = self.appender.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(appender) = appender {
            appender.end(KAFKA_FLUSH_WAIT);
        }
        // It judges what was acknowledged until now.
        self.growth.end();
        self.pool.tidy(true);
    }
}
