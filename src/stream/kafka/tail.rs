//! The thread of a topic: asks what it is, looks where it ends, and reads the end of each partition into memory that
//! somebody reads.
//!
//! Of the others nothing is fetched: a node that delivers three of thirty shards fetches a tenth of the topic, and not all
//! of it.

mod beginning;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

use super::catch_up::is_out_of_range;
use super::client::{self, End, QUESTION_TIMEOUT, Reader};
use super::draft::Draft;
use super::partition::PartitionLog;
use super::topic::TopicLog;
use crate::kafka::{Fault, topic as facts};
use crate::runtime::clock;

/// How often the ends of partitions are looked at that are not read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the beginnings are while they are read, and whether there are more partitions.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(10);
/// How long a broker may take to tell the ends of partitions while others are read, which that holds up. If it does not,
/// it is asked again after [`LOOK_AROUND_EVERY`].
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the tail waits for a message before it looks around.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// After so many looks in a row that find a partition shorter than it was, the topic is another one: a broker that has just become
/// its leader may need a moment.
const SHORTER_MAX: u32 = 3;
/// Readers are told of so many bytes at the latest.
const ROUND_BYTES: u64 = 1 << 20;

/// What the thread does until it is told to end.
pub fn run(topic: &Arc<TopicLog>) {
    let Some(reader) = beginning::begin(topic) else { return };
    let mut tail = Tail::new(topic, reader);
    while !topic.bell.is_over() {
        if topic.another().is_some() {
            // Only a restart helps.
            topic.bell.wait(LOOK_EVERY);
            continue;
        }
        topic.mend_appender();
        let is_wanted = tail.is_wanted();
        let done = if is_wanted { tail.follow() } else { tail.look_at_all() };
        match &done {
            Ok(()) => tail.is_well(),
            Err(fault) => tail.has_failed(fault),
        }
        if !is_wanted || done.is_err() {
            topic.bell.wait(LOOK_EVERY);
        }
        topic.pool().tidy(false);
    }
}

struct Tail<'a> {
    topic: &'a Arc<TopicLog>,
    reader: Reader,
    /// For each partition that is followed, what was read and is not told of.
    drafts: Vec<Option<Draft>>,
    looked: Instant,
    looked_around: Instant,
    /// Whether it was not told where the others end when it last asked.
    is_blind: bool,
    /// Of each partition that ended before where it had ended: how often in a row.
    shorter: BTreeMap<i32, u32>,
}

impl<'a> Tail<'a> {
    fn new(topic: &'a Arc<TopicLog>, reader: Reader) -> Self {
        let now = clock::monotonic();
        Self {
            topic,
            reader,
            drafts: Vec::new(),
            looked: now,
            looked_around: now,
            is_blind: false,
            shorter: BTreeMap::new(),
        }
    }

    fn client(&self) -> (&Reader, &crate::kafka::Connection) {
        (&self.reader, self.topic.connection())
    }

    fn is_well(&self) {
        if !self.is_blind && self.shorter.is_empty() && self.topic.is_well() {
            tracing::info!(stream = %self.topic.stream(), topic = self.topic.name(), "the topic answers again");
        }
    }

    fn has_failed(&self, fault: &Fault) {
        if self.topic.another().is_none() && self.topic.has_fault(fault) {
            let why = fault.to_string();
            tracing::error!(stream = %self.topic.stream(), topic = self.topic.name(), why, "the topic cannot be read: trying again");
        }
    }

    /// Whether somebody reads.
    fn is_wanted(&self) -> bool {
        let now = self.topic.now();
        self.topic.partitions().iter().any(|log| log.is_wanted(now))
    }

    fn follows(&self, log: &PartitionLog) -> bool {
        let index = usize::try_from(log.partition()).unwrap_or(usize::MAX);
        self.drafts.get(index).is_some_and(Option::is_some)
    }

    fn ends(
        &self,
        partitions: impl Iterator<Item = i32>,
        end: End,
        timeout: Duration,
    ) -> Result<Vec<(i32, u64)>, Fault> {
        client::ends(self.client(), self.topic.name(), (partitions, end), timeout)
    }

    fn look_at_all(&mut self) -> Result<(), Fault> {
        let looked = self.look(QUESTION_TIMEOUT);
        // It is asked for nothing else, so that they would wait for ever.
        client::forget_errors(&self.reader);
        self.is_blind = looked.is_err();
        looked
    }

    /// Looks at the others now and then while some partitions are followed. Those are read on, whatever becomes of it.
    fn look_aside(&mut self) {
        let every = if self.is_blind { LOOK_AROUND_EVERY } else { LOOK_EVERY };
        if self.looked.elapsed() < every {
            return;
        }
        let looked = self.look(LOOK_TIMEOUT);
        // What it was told may be wrong, but it was told.
        self.is_blind = looked.is_err() && self.shorter.is_empty();
        if let Err(fault) = looked {
            self.has_failed(&fault);
        }
        self.looked = clock::monotonic();
    }

    /// Asks where each partition ends that is not followed.
    fn look(&mut self, timeout: Duration) -> Result<(), Fault> {
        let topic = self.topic;
        let logs = topic.partitions();
        // Looked at before the broker is asked: deliveries may learn of a later end meanwhile.
        let known: Vec<_> = logs.iter().map(|log| log.next()).collect();
        let others = logs.iter().filter(|log| !self.follows(log)).map(|log| log.partition());
        let (mut is_news, mut lost) = (false, None);
        let ends = self.ends(others, End::High, timeout)?;
        // It may be of shards that nobody has told of yet.
        let ends = if topic.growth().may_show() { ends } else { Vec::new() };
        for (partition, high) in ends {
            let Some(log) = topic.partition(partition) else { continue };
            let ended = known.get(usize::try_from(partition).unwrap_or(usize::MAX)).copied();
            lost = self.has_ended((partition, high), ended.unwrap_or_default()).err().or(lost);
            is_news |= log.learn(high, |numbers| topic.notices().accept(numbers));
        }
        if is_news {
            topic.notices().notify_all();
        }
        self.look_around(timeout)?;
        lost.map_or(Ok(()), Err)
    }

    /// A partition ends at `at`, and had ended at `ended` when that was asked for.
    ///
    /// # Errors
    /// If that is before, which is no fault of a broker that keeps what it has acknowledged.
    fn has_ended(&mut self, at: (i32, u64), ended: u64) -> Result<(), Fault> {
        let (partition, high) = at;
        if high >= ended {
            if self.shorter.remove(&partition).is_some() && self.shorter.is_empty() {
                self.topic.has_its_ends();
            }
            return Ok(());
        }
        let fault = self.topic.has_lost_end(at, ended);
        let times = self.shorter.entry(partition).or_default();
        *times += 1;
        if *times >= SHORTER_MAX {
            self.topic.is_another(&fault);
        }
        Err(fault)
    }

    /// Looks now and then where partitions begin, and how many there are.
    fn look_around(&mut self, timeout: Duration) -> Result<(), Fault> {
        if self.looked_around.elapsed() < LOOK_AROUND_EVERY {
            return Ok(());
        }
        self.looked_around = clock::monotonic();
        let topic = self.topic;
        let connection = topic.connection();
        match facts::partitions(self.reader.client(), connection, topic.name(), timeout)? {
            None => {
                let error =
                    KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownTopicOrPartition);
                return Err(connection.fault(format!("read topic '{}'", topic.name()), &error));
            }
            Some((count, _)) => topic.growth().has_partitions(count),
        }
        let logs = topic.partitions();
        let all = || logs.iter().map(|log| log.partition());
        for (partition, low) in self.ends(all(), End::Low, timeout)? {
            topic.partition(partition).into_iter().for_each(|log| log.learn_low(low));
        }
        // Who waits at the end of a topic that was made again might not be told. Deliveries may learn of a later end meanwhile.
        let followed: BTreeMap<i32, u64> =
            logs.iter().filter(|log| self.follows(log)).map(|log| (log.partition(), log.next())).collect();
        for at in self.ends(followed.keys().copied(), End::High, timeout)? {
            self.has_ended(at, followed.get(&at.0).copied().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Reads the ends of partitions for as long as somebody wants some.
    fn follow(&mut self) -> Result<(), Fault> {
        let result = self.read();
        // What was read and not told of is read again.
        self.drafts.fill_with(|| None);
        self.topic.has_followed(0);
        // A consumer that has gone wrong reads nothing at all, or is assigned anew.
        let _ = self.reader.unassign();
        client::forget_errors(&self.reader);
        result
    }

    /// Follows the partitions that somebody reads, and no others. Returns how many those are. Nothing that was read may be
    /// left to be told of.
    fn choose(&mut self) -> Result<usize, Fault> {
        let (topic, now) = (self.topic, self.topic.now());
        let partitions = topic.partitions();
        self.drafts.resize_with(partitions.len(), || None);
        let logs = || partitions.iter();
        // Looked at once: it may change while this is done.
        let wanted: Vec<bool> = logs().map(|log| log.is_wanted(now)).collect();
        let (come, gone): (Vec<_>, Vec<_>) = logs()
            .zip(&wanted)
            .filter(|&(log, &is_wanted)| is_wanted != self.follows(log))
            .partition(|&(_, &is_wanted)| is_wanted);
        if come.is_empty() && gone.is_empty() {
            return Ok(topic.followed());
        }
        if !gone.is_empty() {
            client::leave(self.client(), topic.name(), gone.iter().map(|(log, _)| log.partition()))?;
            // Whoever comes back reads it from the topic.
            gone.iter().for_each(|(log, _)| log.forget());
        }
        if !come.is_empty() {
            let places = come.iter().map(|(log, _)| (log.partition(), log.next()));
            client::add(self.client(), topic.name(), places)?;
        }
        for (is_wanted, draft) in wanted.into_iter().zip(&mut self.drafts) {
            *draft = is_wanted.then(Draft::default);
        }
        let followed = self.drafts.iter().flatten().count();
        topic.has_followed(followed);
        logs().for_each(|log| log.trim(topic.ring_bytes_max()));
        Ok(followed)
    }

    fn read(&mut self) -> Result<(), Fault> {
        let topic = self.topic;
        while !topic.bell.is_over() && self.choose()? > 0 {
            let logs = topic.partitions();
            let (mut bytes, mut timeout) = (0, POLL_TIMEOUT);
            while bytes < ROUND_BYTES {
                match self.reader.poll(timeout) {
                    None => break,
                    Some(Ok(message)) => {
                        timeout = Duration::ZERO;
                        let index = usize::try_from(message.partition()).unwrap_or(usize::MAX);
                        let log = logs.get(index);
                        if let (Some(Some(draft)), Some(log)) = (self.drafts.get_mut(index), log) {
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
                        self.publish()?;
                        return Err(topic
                            .connection()
                            .fault(format!("read topic '{}'", topic.name()), &error));
                    }
                }
            }
            if bytes > 0 {
                self.publish()?;
                self.is_well();
            }
            topic.mend_appender();
            self.look_aside();
        }
        Ok(())
    }

    /// Retention has taken what was to be read next: it goes on with the oldest that is there.
    fn begin_anew(&mut self) -> Result<(), Fault> {
        self.publish()?;
        let logs = self.topic.partitions();
        let followed: Vec<_> = logs.iter().filter(|log| self.follows(log)).collect();
        for log in followed {
            let ended = log.next();
            let (low, high) = client::watermarks(self.client(), self.topic.name(), log.partition())?;
            self.has_ended((log.partition(), high), ended)?;
            self.wait_until_shown()?;
            if low > log.next() {
                log.learn(low, |numbers| self.topic.notices().accept(numbers));
                log.learn_low(low);
            }
        }
        self.topic.notices().notify_all();
        Ok(())
    }

    /// Waits until it is known of which shards everything is that was read. This is not held up but where the shards change,
    /// or the store does not answer for a while.
    fn wait_until_shown(&self) -> Result<(), Fault> {
        let (topic, growth) = (self.topic, self.topic.growth());
        while !growth.may_show() {
            if topic.bell.is_over() {
                let action = format!("read on in topic '{}'", topic.name());
                return Err(topic.connection().fault(action, &KafkaError::Canceled));
            }
            topic.bell.wait_until(POLL_TIMEOUT, || growth.may_show());
        }
        Ok(())
    }

    /// Shows readers what was read.
    fn publish(&mut self) -> Result<(), Fault> {
        self.wait_until_shown()?;
        let topic = self.topic;
        let captures = topic.captures();
        let (mut is_news, mut reached) = (false, Vec::new());
        for (log, draft) in topic.partitions().iter().zip(&mut self.drafts) {
            let Some(draft) = draft else { continue };
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
            if self.shorter.contains_key(&log.partition()) {
                reached.push((log.partition(), next));
            }
        }
        reached.into_iter().try_for_each(|at| self.has_ended(at, at.1))?;
        if is_news {
            topic.notices().notify_all();
        }
        Ok(())
    }
}
