//! The thread of a topic: asks what it is, looks where it ends, and reads its end into memory while somebody wants it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

use super::catch_up::is_out_of_range;
use super::client::{self, QUESTION_TIMEOUT, Reader};
use super::draft::Draft;
use super::partition::PartitionLog;
use super::topic::TopicLog;
use crate::config::limits::{KAFKA_TAIL_FETCH_BYTES, KAFKA_TAIL_IDLE};
use crate::kafka::{Fault, topic as facts};
use crate::runtime::clock;

/// How often the ends of partitions are looked at that are not read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the beginnings are while they are read, and whether there are more partitions.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(10);
/// How long the tail waits for a message before it looks around.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Readers are told of so many bytes at the latest.
const ROUND_BYTES: u64 = 1 << 20;

/// Wakes the thread, and whoever waits for it.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    is_rung: bool,
    is_over: bool,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BellState> {
        // Nothing panics while it is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread.
    pub fn ring(&self) {
        self.lock().is_rung = true;
        self.rung.notify_all();
    }

    /// The thread is to end.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.rung.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().is_over
    }

    fn tell(&self) {
        drop(self.lock());
        self.rung.notify_all();
    }

    /// Waits until it is rung, or is over, or `time` has passed.
    fn wait(&self, time: Duration) {
        let state = self.lock();
        let waited = self.rung.wait_timeout_while(state, time, |state| !state.is_rung && !state.is_over);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_rung = false;
    }

    /// Waits until something is so, at most for `time`.
    pub fn wait_until(&self, time: Duration, is_so: impl Fn() -> bool) {
        let state = self.lock();
        let waited = self.rung.wait_timeout_while(state, time, |state| !state.is_over && !is_so());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// What the thread does until it is told to end. `tell` is told the partitions.
pub fn run(topic: &Arc<TopicLog>, tell: impl FnOnce(&[Arc<PartitionLog>])) {
    let Some(reader) = begin(topic, tell) else { return };
    let mut tail = Tail { topic, reader, drafts: Vec::new(), looked_around: clock::monotonic() };
    while !topic.bell.is_over() {
        topic.mend_appender();
        if topic.idle_for().is_some_and(|idle| idle < KAFKA_TAIL_IDLE) {
            if let Err(fault) = tail.follow() {
                tail.has_failed(&fault);
                topic.bell.wait(LOOK_EVERY);
            }
        } else {
            match tail.look() {
                Ok(()) => tail.is_well(),
                Err(fault) => tail.has_failed(&fault),
            }
            topic.bell.wait(LOOK_EVERY);
        }
        topic.pool().tidy(false);
    }
}

/// Waits until the cluster has told what the topic is; `None` where it is over before.
fn begin(topic: &Arc<TopicLog>, tell: impl FnOnce(&[Arc<PartitionLog>])) -> Option<Reader> {
    loop {
        match first_look(topic) {
            Ok((reader, logs)) => {
                topic.mend_appender();
                let logs = topic.has_partitions(logs);
                topic.is_well();
                tell(logs);
                let (stream, partitions) = (topic.stream(), logs.len());
                tracing::info!(%stream, topic = topic.name(), partitions, "the log of the stream is there");
                topic.bell.tell();
                return Some(reader);
            }
            Err(why) => {
                if topic.has_trouble(why.clone()) {
                    tracing::error!(stream = %topic.stream(), why, "the log of the stream is not there: trying again");
                }
            }
        }
        topic.bell.wait(LOOK_EVERY);
        if topic.bell.is_over() {
            return None;
        }
    }
}

fn first_look(topic: &Arc<TopicLog>) -> Result<(Reader, Vec<Arc<PartitionLog>>), String> {
    let told = |fault: Fault| fault.to_string();
    let connection = topic.connection();
    let reader = client::reader(connection, KAFKA_TAIL_FETCH_BYTES).map_err(told)?;
    let found = facts::partitions(reader.client(), connection, topic.name(), QUESTION_TIMEOUT);
    let wanted = topic.log().partitions;
    let Some((count, _)) = found.map_err(told)? else {
        let partitions = wanted.map_or_else(
            || "as many partitions as the stream is to have shards".to_owned(),
            |count| format!("{count} partitions"),
        );
        return Err(topic.says(&format!("there is no such topic: create it, with {partitions}")));
    };
    if let Some(wanted) = wanted.filter(|&wanted| wanted != count) {
        return Err(topic.says(&format!(
            "it has {count} partitions, and the stream is to have {wanted} shards: write shards = {count} or leave it out, \
             or create another topic"
        )));
    }
    let ends = |partition: u32| {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let ends = client::watermarks((&reader, connection), topic.name(), partition)?;
        Ok(Arc::new(PartitionLog::new(partition, topic.weak(), ends)))
    };
    let logs = (0..count).map(ends).collect::<Result<Vec<_>, Fault>>().map_err(told)?;
    Ok((reader, logs))
}

struct Tail<'a> {
    topic: &'a Arc<TopicLog>,
    reader: Reader,
    /// What was read of each partition and is not told of.
    drafts: Vec<Draft>,
    looked_around: Instant,
}

impl Tail<'_> {
    fn client(&self) -> (&Reader, &crate::kafka::Connection) {
        (&self.reader, self.topic.connection())
    }

    fn is_well(&self) {
        if self.topic.is_well() {
            tracing::info!(stream = %self.topic.stream(), topic = self.topic.name(), "the topic answers again");
        }
    }

    fn has_failed(&self, fault: &Fault) {
        let why = fault.to_string();
        if self.topic.has_trouble(why.clone()) {
            tracing::error!(stream = %self.topic.stream(), topic = self.topic.name(), why, "the topic cannot be read: trying again");
        }
    }

    /// Asks where each partition begins and ends.
    fn look(&mut self) -> Result<(), Fault> {
        let mut is_news = false;
        for log in self.topic.partitions() {
            if self.topic.bell.is_over() {
                return Ok(());
            }
            let ends = client::watermarks(self.client(), self.topic.name(), log.partition())?;
            is_news |= log.learn(ends, |numbers| self.topic.notices().accept(numbers));
        }
        if is_news {
            self.topic.notices().notify_all();
        }
        self.look_around()
    }

    /// Looks now and then where partitions begin, and how many there are.
    fn look_around(&mut self) -> Result<(), Fault> {
        if self.looked_around.elapsed() < LOOK_AROUND_EVERY {
            return Ok(());
        }
        self.looked_around = clock::monotonic();
        let known = self.topic.partitions().len();
        let connection = self.topic.connection();
        let found = facts::partitions(self.reader.client(), connection, self.topic.name(), QUESTION_TIMEOUT)?;
        match found {
            None => {
                let error =
                    KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownTopicOrPartition);
                return Err(connection.fault(format!("read topic '{}'", self.topic.name()), &error));
            }
            Some((count, _)) if count as usize != known => self.has_grown(count),
            Some((count, _)) => {
                self.topic.tell_once_of(count);
            }
        }
        for log in self.topic.partitions() {
            let (low, _) = client::watermarks(self.client(), self.topic.name(), log.partition())?;
            log.learn_low(low);
        }
        Ok(())
    }

    /// The topic has another number of partitions than the stream has shards. What a reshard is for a log of our own would
    /// begin here: a layout with the new shards behind the old ones.
    fn has_grown(&self, count: u32) {
        let known = self.topic.partitions().len();
        if self.topic.tell_once_of(count) {
            tracing::error!(
                stream = %self.topic.stream(), topic = self.topic.name(), shards = known, partitions = count,
                "the topic has another number of partitions: those beyond the shards are neither appended to nor read \
                 until every node is restarted"
            );
        }
    }

    /// Reads the end of each partition for as long as somebody wants it.
    fn follow(&mut self) -> Result<(), Fault> {
        let topic = self.topic;
        let places = topic.partitions().iter().map(|log| (log.partition(), log.next()));
        client::assign(self.client(), topic.name(), places)?;
        self.drafts.clear();
        self.drafts.resize_with(topic.partitions().len(), Draft::default);
        let result = self.read();
        // What was read and not told of is read again.
        self.drafts.clear();
        // A consumer that has gone wrong reads nothing at all, or is assigned anew.
        let _ = self.reader.unassign();
        result
    }

    fn read(&mut self) -> Result<(), Fault> {
        let topic = self.topic;
        while !topic.bell.is_over() && topic.idle_for().is_some_and(|idle| idle < KAFKA_TAIL_IDLE) {
            let (mut bytes, mut timeout) = (0, POLL_TIMEOUT);
            while bytes < ROUND_BYTES {
                match self.reader.poll(timeout) {
                    None => break,
                    Some(Ok(message)) => {
                        timeout = Duration::ZERO;
                        let index = usize::try_from(message.partition()).unwrap_or(usize::MAX);
                        let log = topic.partitions().get(index);
                        if let (Some(draft), Some(log)) = (self.drafts.get_mut(index), log) {
                            let next = draft.next().unwrap_or_else(|| log.next());
                            if u64::try_from(message.offset()).is_ok_and(|offset| offset < next) {
                                continue;
                            }
                            draft.take(&message, topic.judge());
                            bytes += message.payload().map_or(0, <[u8]>::len) as u64 + 1;
                        }
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => self.is_well(),
                    Some(Err(error)) if is_out_of_range(&error) => return self.begin_anew(),
                    Some(Err(error)) => {
                        self.publish();
                        return Err(topic
                            .connection()
                            .fault(format!("read topic '{}'", topic.name()), &error));
                    }
                }
            }
            if bytes > 0 {
                self.publish();
                self.is_well();
            }
            topic.mend_appender();
            self.look_around()?;
        }
        Ok(())
    }

    /// Retention has taken what was to be read next: it goes on with the oldest that is there.
    fn begin_anew(&mut self) -> Result<(), Fault> {
        self.publish();
        for log in self.topic.partitions() {
            let (low, high) = client::watermarks(self.client(), self.topic.name(), log.partition())?;
            if high < log.next() {
                let error =
                    KafkaError::MessageConsumption(rdkafka::types::RDKafkaErrorCode::OffsetOutOfRange);
                let action = format!(
                    "read on in partition {} of topic '{}', which ends at {high} and had ended at {}: it was made again, \
                     or has lost its end",
                    log.partition(),
                    self.topic.name(),
                    log.next()
                );
                return Err(self.topic.connection().fault(action, &error));
            }
            if low > log.next() {
                log.learn((low, low), |numbers| self.topic.notices().accept(numbers));
            }
        }
        self.topic.notices().notify_all();
        Ok(())
    }

    /// Shows readers what was read.
    fn publish(&mut self) {
        let topic = self.topic;
        let captures = topic.captures();
        let mut is_news = false;
        for (log, draft) in topic.partitions().iter().zip(&mut self.drafts) {
            let Some(next) = draft.next() else { continue };
            let draft = std::mem::take(draft);
            let bytes = draft.bytes();
            let permit = topic.budget().try_take(bytes).unwrap_or_else(|| {
                // What is in memory can be read from the topic again.
                topic.partitions().iter().for_each(|log| log.forget());
                topic.budget().take_anyway(bytes)
            });
            let placed = draft.into_batches(topic.judge(), &captures, permit);
            log.push(placed, next, topic.ring_bytes_max(), |numbers| topic.notices().accept(numbers));
            is_news = true;
        }
        if is_news {
            topic.notices().notify_all();
        }
    }
}
