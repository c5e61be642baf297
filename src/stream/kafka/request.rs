//! A request on its way to a topic: counts the acks of its messages, and tells its client.
//!
//! It was sent to the shards of one generation. Its client is told that it is in the log only once that is known of its place
//! as well: see [`growth::switch`](super::growth::switch).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::append::Sending;
use super::growth::switch::Verdict;
use super::topic::TopicLog;
use crate::kafka::{Fault, FaultClass};
use crate::record::{SequenceNumber, ShardId, Source};
use crate::runtime::budget::Permit;
use crate::stream::log::Appended;
use crate::stream::notices::{Notices, Size};
use crate::stream::receipt::{CommitError, Numbered};

/// A request on its way. Shared by its messages.
pub struct Request {
    origin: Origin,
    /// What it brings.
    pub(super) size: Size,
    /// What it takes of the queue.
    pub(super) bytes: u64,
    state: Mutex<State>,
}

/// Where a request comes from.
pub(super) struct Origin {
    /// Its log.
    pub log: Weak<TopicLog>,
    /// The generation that its shards are of.
    pub generation: u32,
    /// Told when it is committed.
    pub notices: Arc<Notices>,
}

struct State {
    /// Messages that were not told of.
    left: usize,
    /// Sorted by partition, as the open shards are.
    parts: Vec<Part>,
    failed: Option<Fault>,
    failures: usize,
    ticket: Option<oneshot::Sender<Numbered>>,
    /// What its records are slices of, and what pays for copies: held until they are told of.
    held: Option<(Permit, Vec<Arc<Source>>)>,
}

/// The records of one shard.
struct Part {
    shard: ShardId,
    partition: i32,
    records: usize,
    first: u64,
    last: u64,
    /// From the first one on that does not follow the one before it.
    apart: Option<Vec<SequenceNumber>>,
    acked: usize,
}

impl Part {
    fn ack(&mut self, offset: u64) {
        if self.acked == 0 {
            self.first = offset;
        } else if self.apart.is_none() && offset != self.last + 1 {
            let mut numbers = Vec::with_capacity(self.records);
            numbers.extend((self.first..=self.last).map(SequenceNumber));
            self.apart = Some(numbers);
        }
        if let Some(numbers) = &mut self.apart {
            numbers.push(SequenceNumber(offset));
        }
        self.last = offset;
        self.acked += 1;
    }

    fn appended(self) -> (ShardId, Appended) {
        let Self { shard, first, last, apart, .. } = self;
        let (first, last) = (SequenceNumber(first), SequenceNumber(last));
        (shard, Appended { first, last, apart: apart.map(Arc::from) })
    }
}

impl Request {
    /// One of these `batches`, which takes so many bytes of the queue. `copies` pays for what the client copies. What becomes
    /// of it is told.
    pub(super) fn new(
        origin: Origin,
        (size, bytes): (Size, u64),
        copies: Permit,
        batches: &[Sending],
    ) -> (Arc<Self>, oneshot::Receiver<Numbered>) {
        let (ticket, told) = oneshot::channel();
        let part = |sending: &Sending| Part {
            shard: sending.shard,
            partition: sending.partition,
            records: sending.batch.records.len(),
            first: 0,
            last: 0,
            apart: None,
            acked: 0,
        };
        let sources = batches.iter().map(|sending| Arc::clone(&sending.batch.source)).collect();
        let state = State {
            left: usize::try_from(size.records).unwrap_or(usize::MAX),
            parts: batches.iter().map(part).collect(),
            failed: None,
            failures: 0,
            ticket: Some(ticket),
            held: Some((copies, sources)),
        };
        (Arc::new(Self { origin, size, bytes, state: Mutex::new(state) }), told)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of its messages was told of. Returns whether it was the last one.
    pub(super) fn told(self: &Arc<Self>, partition: i32, result: Result<u64, Fault>) -> bool {
        let mut state = self.lock();
        state.left = state.left.saturating_sub(1);
        match result {
            Ok(offset) => {
                let index = state.parts.partition_point(|part| part.partition < partition);
                if let Some(part) = state.parts.get_mut(index) {
                    part.ack(offset);
                }
            }
            Err(fault) => {
                state.failures += 1;
                state.failed.get_or_insert(fault);
            }
        }
        if state.left > 0 {
            return false;
        }
        drop(state.held.take());
        if let Some(fault) = state.failed.take() {
            let acked = state.parts.iter().map(|part| part.acked).sum();
            let error = commit_error(&fault, acked, state.failures);
            state.tell(Err(error));
            return true;
        }
        drop(state);
        if !self.judge_again(false) {
            match self.origin.log.upgrade() {
                Some(log) => log.growth().hold(Arc::clone(self)),
                None => {
                    self.judge_again(true);
                }
            }
        }
        true
    }

    /// All of its records are in the topic. Tells the client so, if they are where readers of its shards find them, or if it
    /// `gives_up` what that is. Returns whether it has told something.
    pub(super) fn judge_again(&self, gives_up: bool) -> bool {
        let mut state = self.lock();
        // The others of a part lie before its last one.
        let places =
            state.parts.iter().map(|part| (u32::try_from(part.partition).unwrap_or(u32::MAX), part.last));
        let verdict =
            self.origin.log.upgrade().map(|log| log.growth().verdict(self.origin.generation, places));
        let result = match verdict {
            Some(Verdict::Good) => {
                self.origin.notices.committed(self.size);
                let parts = std::mem::take(&mut state.parts);
                Ok(parts.into_iter().map(Part::appended).collect())
            }
            Some(Verdict::Late) => Err(CommitError::Unknown(
                "the records came to the topic when its number of partitions has changed: they are there, but perhaps not in \
                 order with others of their keys"
                    .to_owned(),
            )),
            Some(Verdict::NotYet) | None if gives_up => Err(CommitError::Unknown(
                "the records are in the topic, but the nodes have not agreed yet in which shards".to_owned(),
            )),
            Some(Verdict::NotYet) | None => return false,
        };
        state.tell(result);
        true
    }
}

impl State {
    fn tell(&mut self, result: Numbered) {
        // A client that has gone does not wait.
        let _ = self.ticket.take().map(|ticket| ticket.send(result));
    }
}

fn commit_error(fault: &Fault, acked: usize, failures: usize) -> CommitError {
    let told = match acked {
        0 => fault.to_string(),
        _ => format!("{fault}: {acked} records of the request are in the topic, and {failures} are not"),
    };
    match fault.class {
        FaultClass::Record => CommitError::Refused(told),
        FaultClass::Denied | FaultClass::Missing if acked == 0 => CommitError::Failed(told),
        _ => CommitError::Unknown(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(records: usize) -> Part {
        Part { shard: ShardId(0), partition: 0, records, first: 0, last: 0, apart: None, acked: 0 }
    }

    #[test]
    fn numbers_are_listed_only_where_they_do_not_follow_each_other() {
        let mut together = part(3);
        (7..10).for_each(|offset| together.ack(offset));
        assert_eq!(together.appended().1, Appended::together(SequenceNumber(7), 3));
        let mut apart = part(4);
        [7, 8, 10, 11].into_iter().for_each(|offset| apart.ack(offset));
        let (_, appended) = apart.appended();
        assert_eq!((appended.first.0, appended.last.0, appended.count()), (7, 11, 4));
        let numbers: Vec<_> = (0..4).map(|index| appended.number(index).0).collect();
        assert_eq!(numbers, [7, 8, 10, 11]);
    }
}
