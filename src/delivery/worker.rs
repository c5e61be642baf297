//! The loop of one delivery: read, encode, seal, upload, wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::files::Files;
use super::intake::Intake;
use super::seal::{SealReason, Sealed};
use super::sink::ObjectSink;
use super::status::Status;
use super::{Memory, Parts, upload};
use crate::config::limits::{
    DELIVERY_LINGER_MS, DELIVERY_PRESSURE_PERCENT, DELIVERY_READ_BYTES, DELIVERY_UPLOADS_MAX,
};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Payer, ReadLimit, ReaderId, Signal, Slice, Stream};

/// Records that are encoded between two looks at what may be encoded. Each can close one file, so that the queue of
/// sealed files has at most this many more than its bound.
const RECORDS_PER_LOOK: usize = 64;

/// How long a delivery that may not encode (no memory, or all uploads busy) waits until it looks again.
const BLOCKED_PAUSE: Duration = Duration::from_millis(50);

/// One delivery.
pub struct Worker {
    stream: Arc<Stream>,
    reader: ReaderId,
    signal: Arc<Signal>,
    sink: ObjectSink,
    status: Arc<Status>,
    memory: Arc<Memory>,
    budget: Arc<Budget>,
    interval: Duration,
    /// Where to read on, by shard.
    positions: Vec<(ShardId, SequenceNumber)>,
    /// The shard to begin the next round with.
    turn: usize,
    intake: Intake,
    files: Files,
    /// Sealed and waiting for a free upload.
    queue: VecDeque<(u64, Sealed)>,
    uploads: JoinSet<u64>,
    /// Arrival of the oldest record of each sealed file that is not stored yet, by seal number.
    unstored: BTreeMap<u64, UnixMicros>,
}

impl Worker {
    /// A worker that begins at the oldest record of its stream.
    pub fn new(parts: Parts) -> Self {
        let Parts { stream, reader, sink, status, memory, budget, .. } = &parts;
        let position = |id| stream.shard(id).map(|shard| (id, shard.bounds().first));
        Self {
            stream: Arc::clone(stream),
            reader: *reader,
            signal: stream.delivery_signal(*reader),
            sink: sink.clone(),
            status: Arc::clone(status),
            memory: Arc::clone(memory),
            budget: Arc::clone(budget),
            interval: parts.config.buffer.interval,
            positions: stream.shard_ids().filter_map(position).collect(),
            turn: 0,
            intake: Intake::new(&parts),
            files: Files::default(),
            queue: VecDeque::new(),
            uploads: JoinSet::new(),
            unstored: BTreeMap::new(),
        }
    }

    /// Works until the drain is over: returns once everything that was accepted is stored. Whoever cannot wait that
    /// long drops the future; what was not stored then shows as pending in the status.
    pub async fn run(mut self, phases: Phases) {
        loop {
            // Before the look at the phase and at the stream, so that nothing that comes after it is missed.
            let signal = Arc::clone(&self.signal);
            let waiter = signal.wait();
            let draining = phases.current() >= Phase::Draining;
            let read = self.read_round().await;
            self.seal_what_is_due(draining && read == Round::CaughtUp);
            if read != Round::CaughtUp && self.is_short() {
                // Only a delivery that has work calls, so that those that sleep do not wake each other for ever.
                self.memory.call_for_seals();
            }
            self.start_uploads(draining);
            self.publish();
            if draining && read == Round::CaughtUp && self.files.len() == 0 && self.unstored.is_empty() {
                return;
            }
            match read {
                Round::MoreToRead => tokio::task::yield_now().await,
                Round::Blocked => self.pause(Instant::from_std(clock::monotonic() + BLOCKED_PAUSE)).await,
                Round::CaughtUp => {
                    let due = self.next_due();
                    let memory = Arc::clone(&self.memory);
                    tokio::select! {
                        () = waiter.woken() => {
                            if !draining {
                                tokio::time::sleep(Duration::from_millis(DELIVERY_LINGER_MS)).await;
                            }
                        }
                        () = self.pause(due) => {}
                        () = memory.pressure.notified() => {}
                        () = phases.reached(Phase::Draining), if !draining => {}
                    }
                }
            }
        }
    }

    /// Waits for an upload to end, or until `until`.
    async fn pause(&mut self, until: Instant) {
        tokio::select! {
            Some(ended) = self.uploads.join_next(), if !self.uploads.is_empty() => self.ended(ended),
            () = tokio::time::sleep_until(until) => {}
        }
    }

    fn ended(&mut self, upload: Result<u64, tokio::task::JoinError>) {
        match upload {
            Ok(number) => {
                self.unstored.remove(&number);
            }
            // Only a panic ends an upload early. Its records stay pending, which the balance shows.
            Err(error) => {
                tracing::error!(
                    stream = %self.stream.name(), delivery = self.status.name(), %error,
                    "an upload ended without a result; its records are not delivered"
                );
            }
        }
    }

    /// Whether open files should be closed before they are full.
    fn is_short(&self) -> bool {
        self.budget.is_taken_to(DELIVERY_PRESSURE_PERCENT)
    }

    /// Whether nothing more may be encoded for now.
    fn is_blocked(&self) -> bool {
        self.budget.is_taken_to(100) || self.queue.len() + self.uploads.len() >= DELIVERY_UPLOADS_MAX
    }

    /// Reads and encodes about [`DELIVERY_READ_BYTES`], taking the shards in turn.
    async fn read_round(&mut self) -> Round {
        let mut left = DELIVERY_READ_BYTES;
        for step in 0..self.positions.len() {
            let index = (self.turn + step) % self.positions.len();
            if !self.has_more(index) {
                continue;
            }
            if self.is_blocked() {
                self.turn = index;
                return Round::Blocked;
            }
            left = left.saturating_sub(self.read_shard(index, left).await);
            if left == 0 {
                self.turn = (index + 1) % self.positions.len();
                return Round::MoreToRead;
            }
        }
        if left == DELIVERY_READ_BYTES { Round::CaughtUp } else { Round::MoreToRead }
    }

    fn has_more(&self, index: usize) -> bool {
        let shard = |&(id, position): &(ShardId, SequenceNumber)| {
            Some(self.stream.shard(id)?.bounds().next > position)
        };
        self.positions.get(index).and_then(shard).unwrap_or(false)
    }

    /// Reads from one shard until the bytes are read, or nothing more may be encoded; returns the payload bytes.
    async fn read_shard(&mut self, index: usize, bytes_max: u64) -> u64 {
        let Some(&(id, from)) = self.positions.get(index) else { return 0 };
        let stream = Arc::clone(&self.stream);
        let Some(shard) = stream.shard(id) else { return 0 };
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: true };
        let read = match stream.read(id, from, ReadLimit::bytes(bytes_max), &payer).await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(stream = %self.stream.name(), delivery = self.status.name(), %error, "cannot read");
                return 0;
            }
        };
        if read.skipped > 0 {
            self.status.skipped(read.skipped);
        }
        let (mut bytes, mut next) = (0, SequenceNumber(read.next.0));
        for slice in &read.slices {
            let taken = self.take_slice(id, slice);
            self.status.metrics.read.increment(taken as u64);
            bytes += slice.batch.payload_bytes();
            if taken < slice.len() {
                next = SequenceNumber(slice.first.0 + taken as u64);
                break;
            }
        }
        if let Some(position) = self.positions.get_mut(index) {
            position.1 = next;
        }
        // What is encoded is in an open file, and the file's memory is paid for from the delivery share.
        shard.release(self.reader, next);
        self.status.set_position(index, next);
        bytes.max(1)
    }

    /// Encodes the records of a slice, some at a time, so that a single request of many partitions cannot take more
    /// than there is. Returns how many it got to.
    fn take_slice(&mut self, shard: ShardId, slice: &Slice) -> usize {
        let mut taken = 0;
        while taken < slice.len() && (taken == 0 || !self.is_blocked()) {
            let part = taken..slice.len().min(taken + RECORDS_PER_LOOK);
            let sealed = self.intake.take(shard, slice, part.clone(), &mut self.files);
            for (number, sealed) in sealed {
                self.unstored.insert(number, sealed.oldest);
                self.queue.push_back((number, sealed));
            }
            taken = part.end;
        }
        taken
    }

    /// Closes files that are old enough, the largest ones while memory is short, and all of them at the end.
    fn seal_what_is_due(&mut self, all: bool) {
        if all {
            for key in self.files.keys() {
                self.seal(&key, SealReason::Shutdown);
            }
        }
        if self.files.len() > 0 {
            for key in self.files.older_than(self.interval, clock::monotonic()) {
                self.seal(&key, SealReason::Age);
            }
        }
        if self.is_short() {
            // Uploads give memory back as well: closing one file a round is enough, and keeps files large.
            if let Some(key) =
                self.files.largest().filter(|_| self.uploads.is_empty() && self.queue.is_empty())
            {
                self.seal(&key, SealReason::Pressure);
            }
        }
    }

    fn seal(&mut self, key: &[u8], reason: SealReason) {
        if let Some((number, sealed)) = self.intake.seal(&mut self.files, key, reason) {
            self.unstored.insert(number, sealed.oldest);
            self.queue.push_back((number, sealed));
        }
    }

    fn start_uploads(&mut self, draining: bool) {
        while let Some(ended) = self.uploads.try_join_next() {
            self.ended(ended);
        }
        // A drain has a deadline and nothing else to do, so small files go out many at a time.
        let uploads_max = if draining { DELIVERY_UPLOADS_MAX * 4 } else { DELIVERY_UPLOADS_MAX };
        while self.uploads.len() < uploads_max {
            let Some((number, sealed)) = self.queue.pop_front() else { break };
            let (sink, status) = (self.sink.clone(), Arc::clone(&self.status));
            self.uploads.spawn(async move {
                upload::store(&sink, sealed, &status).await;
                number
            });
        }
    }

    fn next_due(&self) -> Instant {
        let far = clock::monotonic() + Duration::from_secs(3600);
        Instant::from_std(self.files.first_opened().map_or(far, |opened| (opened + self.interval).min(far)))
    }

    fn publish(&self) {
        let unstored = self.unstored.values().copied();
        self.status.set_oldest_held(unstored.chain(self.files.oldest_record()).min());
        self.status.metrics.open_partitions.set(self.files.len() as f64);
    }
}

/// What a round of reading has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be more.
    MoreToRead,
    /// No shard has anything left.
    CaughtUp,
    /// Nothing may be encoded for now.
    Blocked,
}
