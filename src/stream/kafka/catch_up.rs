//! Reading what is not in memory any more, or never was: from any offset on.
//!
//! A few consumers wait where their last read has ended, so that whoever reads on there does not seek. What one has
//! fetched ahead is paid for as long as it lives.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, QUESTION_TIMEOUT, Reader};
use super::draft::Draft;
use super::topic::TopicLog;
use crate::config::limits::{KAFKA_CATCH_UP_BYTES, KAFKA_CATCH_UP_READERS_MAX, KAFKA_END_SHOWN_FOR};
use crate::kafka::Fault;
use crate::record::SequenceNumber;
use crate::runtime::budget::Permit;
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::captures::CapturePlan;
use crate::stream::log::{Numbering, Payer, Read, ReadError, ReadLimit, Slice, StoredPosition, StoredRead};

/// How long a read waits for its first record.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one waits for more, once it has some.
const MORE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long one waits before it looks again what is behind an end.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After this time a consumer that nobody reads on with is ended.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Consumers that wait for the next read, the one that was used last at the end.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<Vec<Positioned>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.lock().len()).finish()
    }
}

/// A consumer, and where it reads on.
struct Positioned {
    reader: Reader,
    partition: i32,
    /// The offset that comes next; `None` where it is not known any more.
    next: Option<u64>,
    /// Whether it was sent there for the read under way, so that what it says of the end is no older than that.
    is_fresh: bool,
    used: Instant,
    _queue: Permit,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Positioned>> {
        // Nothing panics while it is changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consumer that reads `partition` from `from` on: one that stands there, or another one that is sent there.
    fn get(&self, topic: &TopicLog, partition: i32, from: u64) -> Result<Positioned, Fault> {
        let (found, is_there) = {
            let mut idle = self.lock();
            let stands = |known: &Positioned| (known.partition, known.next) == (partition, Some(from));
            match idle.iter().position(stands) {
                Some(index) => (Some(idle.remove(index)), true),
                // Others may come back to theirs.
                None if idle.len() >= KAFKA_CATCH_UP_READERS_MAX => (Some(idle.remove(0)), false),
                None => (None, false),
            }
        };
        let mut positioned = match found {
            Some(positioned) => positioned,
            None => Positioned {
                reader: client::reader(topic.connection(), KAFKA_CATCH_UP_BYTES)?,
                partition,
                next: None,
                is_fresh: false,
                used: clock::monotonic(),
                _queue: topic.budget().take_anyway(KAFKA_CATCH_UP_BYTES),
            },
        };
        positioned.is_fresh = false;
        if !is_there {
            positioned.send(topic, partition, from)?;
        }
        Ok(positioned)
    }

    fn put(&self, mut positioned: Positioned) {
        positioned.used = clock::monotonic();
        let mut idle = self.lock();
        // One of more than there may be goes, and not under the lock.
        let out = (idle.len() >= KAFKA_CATCH_UP_READERS_MAX).then(|| idle.remove(0));
        idle.push(positioned);
        drop(idle);
        drop(out);
    }

    /// Ends those that nobody needs; all of them, if it `is_over`. Blocks the thread.
    pub fn tidy(&self, is_over: bool) {
        let now = clock::monotonic();
        let is_old = |known: &Positioned| is_over || now.saturating_duration_since(known.used) > IDLE_MAX;
        let mut idle = self.lock();
        let (out, kept): (Vec<_>, Vec<_>) = idle.drain(..).partition(is_old);
        *idle = kept;
        drop(idle);
        drop(out);
    }
}

impl Positioned {
    /// Has it read `partition` from `from` on. What it has fetched before is forgotten.
    fn send(&mut self, topic: &TopicLog, partition: i32, from: u64) -> Result<(), Fault> {
        let client = (&self.reader, &**topic.connection());
        client::assign(client, topic.name(), std::iter::once((partition, from)))?;
        (self.partition, self.next, self.is_fresh) = (partition, Some(from), true);
        Ok(())
    }
}

/// Records of a partition between two offsets.
#[derive(Debug)]
pub struct StoredRange {
    topic: Arc<TopicLog>,
    partition: i32,
    from: u64,
    end: u64,
    limit: ReadLimit,
    skipped: u64,
    numbering: Numbering,
}

impl StoredRange {
    /// From one offset up to before another one.
    pub fn new(
        topic: Arc<TopicLog>,
        partition: i32,
        (from, end): (u64, u64),
        limit: ReadLimit,
        skipped: u64,
        numbering: Numbering,
    ) -> Self {
        Self { topic, partition, from, end, limit, skipped, numbering }
    }

    fn is_full(&self, draft: &Draft) -> bool {
        draft.payload_bytes() >= self.limit.bytes || draft.records() >= self.limit.records
    }

    /// Reads on with a consumer that stands at `from`. Returns the messages, and where to read on.
    fn fetch(&self, positioned: &mut Positioned) -> Result<(Draft, u64), Failed> {
        let (mut draft, begun, mut shown) = (Draft::default(), clock::monotonic(), None);
        loop {
            let next = draft.next().unwrap_or(self.from);
            if next >= self.end || self.is_full(&draft) {
                return Ok((draft, next));
            }
            let timeout = match draft.next() {
                None => READ_TIMEOUT.saturating_sub(begun.elapsed()),
                Some(_) => MORE_TIMEOUT,
            };
            match positioned.reader.poll(timeout.max(Duration::from_millis(1))) {
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    if message.partition() != self.partition || offset < next {
                        continue;
                    }
                    if offset >= self.end {
                        // What lies between is no record. This one was taken out of the consumer's queue.
                        positioned.next = None;
                        return Ok((draft, self.end));
                    }
                    draft.take(&message, self.topic.judge());
                    positioned.next = draft.next();
                }
                Some(Err(KafkaError::PartitionEOF(_))) if positioned.is_fresh => {
                    if self.has_passed(positioned)? {
                        return Ok((draft, self.end));
                    }
                    // It does not say again where it ends before that is another place.
                    positioned.next = None;
                    if draft.next().is_some() {
                        return Ok((draft, next));
                    }
                    if self.is_hole(positioned, &mut shown)? {
                        return Ok((draft, self.end));
                    }
                    std::thread::sleep(LOOK_AGAIN);
                    positioned.send(&self.topic, self.partition, next).map_err(Failed::Fault)?;
                }
                // It may have been the end when somebody read here before.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let sent = positioned.send(&self.topic, self.partition, next);
                    sent.map_err(Failed::Fault)?;
                }
                Some(Err(error)) if is_out_of_range(&error) => return Err(Failed::OutOfRange),
                Some(Err(error)) => {
                    let action = format!("read topic '{}'", self.topic.name());
                    return Err(Failed::Fault(self.topic.connection().fault(action, &error)));
                }
                None if draft.next().is_some() => return Ok((draft, next)),
                None if begun.elapsed() >= READ_TIMEOUT => return Err(Failed::Silent),
                None => {}
            }
        }
    }

    /// Whether the consumer has come to `end`, over markers of transactions that it tells nobody of.
    fn has_passed(&self, positioned: &Positioned) -> Result<bool, Failed> {
        let client = (&positioned.reader, &**self.topic.connection());
        let position = client::position(client, self.topic.name(), self.partition).map_err(Failed::Fault)?;
        Ok(position.is_some_and(|position| position >= self.end))
    }

    /// Whether nothing is there up to `end`, though the consumer was told that the partition ends before. That may come of a
    /// replica that does not know yet all that is confirmed: one that follows its leader. It may not for long, since `shown`.
    fn is_hole(&self, positioned: &Positioned, shown: &mut Option<Instant>) -> Result<bool, Failed> {
        let client = (&positioned.reader, &**self.topic.connection());
        let told = client::watermarks(client, self.topic.name(), self.partition);
        let (_, high) = told.map_err(Failed::Fault)?;
        if high < self.end {
            return Err(Failed::Short { high });
        }
        Ok(shown.get_or_insert_with(clock::monotonic).elapsed() >= KAFKA_END_SHOWN_FOR)
    }
}

/// Why nothing was fetched.
enum Failed {
    /// The partition ends there at the moment, before what was known of it.
    Short { high: u64 },
    /// The broker does not answer.
    Silent,
    /// It has nothing there any more.
    OutOfRange,
    /// It says why.
    Fault(Fault),
}

/// Whether it means that the broker does not have that offset.
pub fn is_out_of_range(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::OffsetOutOfRange | Code::AutoOffsetReset))
}

impl StoredRead for StoredRange {
    fn load(self: Box<Self>, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        let remote = |fault: &Fault| ReadError::Remote(fault.to_string());
        if let Some(why) = self.topic.another() {
            return Err(ReadError::Remote(why.to_owned()));
        }
        let pool = self.topic.pool();
        let mut positioned =
            pool.get(&self.topic, self.partition, self.from).map_err(|fault| remote(&fault))?;
        let (draft, next) = match self.fetch(&mut positioned) {
            Ok(fetched) => fetched,
            Err(failed) => {
                return Err(match failed {
                    Failed::Fault(fault) => remote(&fault),
                    Failed::Short { high } => ReadError::Remote(self.topic.says(&format!(
                        "partition {} ends at {high} at the moment, and had ended at {}",
                        self.partition, self.end
                    ))),
                    Failed::Silent => {
                        let seconds = READ_TIMEOUT.as_secs();
                        ReadError::Remote(self.topic.says(&format!("no answer within {seconds} s")))
                    }
                    Failed::OutOfRange => {
                        let client = (&positioned.reader, &**self.topic.connection());
                        let told = client::watermarks(client, self.topic.name(), self.partition);
                        if let (Ok((low, _)), Some(log)) = (told, self.topic.partition(self.partition)) {
                            log.learn_low(low);
                        }
                        ReadError::Remote(self.topic.says("the records are just going, with their retention"))
                    }
                });
            }
        };
        let permit = payer.pay(draft.bytes())?;
        pool.put(positioned);
        let placed = draft.into_batches(self.topic.judge(), captures, permit);
        if let (Some(last), Some(log)) = (placed.last(), self.topic.partition(self.partition)) {
            log.has_loaded(next, last.batch.source.arrival);
        }
        let slice =
            |placed: super::draft::Placed| Slice { batch: placed.batch, skip: 0, first: placed.first };
        let slices = placed.into_iter().map(slice).collect();
        let Self { skipped, numbering, .. } = *self;
        Ok(Read { slices, next: SequenceNumber(next), skipped, numbering })
    }
}

/// The first record of a partition that arrived at a time or later.
#[derive(Debug)]
pub struct StoredTime {
    topic: Arc<TopicLog>,
    partition: i32,
    time: UnixMicros,
}

impl StoredTime {
    /// Looks for it.
    pub fn new(topic: Arc<TopicLog>, partition: i32, time: UnixMicros) -> Self {
        Self { topic, partition, time }
    }

    fn ask(&self, log_next: u64) -> Result<u64, Fault> {
        let (topic, partition) = (&self.topic, self.partition);
        let fault = |error: &KafkaError| {
            let action = format!("ask for a time of topic '{}'", topic.name());
            topic.connection().fault(action, error)
        };
        let reader = client::reader(topic.connection(), KAFKA_CATCH_UP_BYTES)?;
        let mut list = TopicPartitionList::new();
        // Timestamps are in milliseconds: one within a millisecond is behind its beginning.
        let millis = self.time.0.max(0).saturating_add(999) / 1_000;
        list.add_partition_offset(topic.name(), partition, Offset::Offset(millis))
            .map_err(|error| fault(&error))?;
        let found = reader.offsets_for_times(list, QUESTION_TIMEOUT).map_err(|error| fault(&error))?;
        let found = found.find_partition(topic.name(), partition);
        let Some(found) = found else { return Ok(log_next) };
        found.error().map_err(|error| fault(&error))?;
        Ok(match found.offset() {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or(log_next),
            _ => log_next,
        })
    }
}

impl StoredPosition for StoredTime {
    fn find(self: Box<Self>) -> Result<SequenceNumber, ReadError> {
        let next = self.topic.partition(self.partition).map_or(0, |log| log.next());
        let found = self.ask(next).map_err(|fault| ReadError::Remote(fault.to_string()))?;
        Ok(SequenceNumber(found.min(next)))
    }
}
