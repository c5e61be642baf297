//! Reading from the stream into open files, shard by shard in turn.

use std::ops::Range;
use std::sync::Arc;

use super::Worker;
use super::stage::Stage;
use super::trouble::Trouble;
use crate::config::limits::DELIVERY_READ_BYTES;
use crate::delivery::ledger::Gap;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Payer, Read, Slice};

/// Records that are encoded between two looks at what may be encoded. Each can close one file, so that the queue of
/// sealed files has at most this many more than its bound.
const RECORDS_PER_LOOK: usize = 64;

/// What a round of reading has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// There may be more.
    MoreToRead,
    /// No shard has anything left.
    CaughtUp,
    /// Nothing may be encoded for now.
    Blocked,
    /// Some shards cannot be read for now, and the others have nothing left.
    Waiting,
}

/// Where a shard is read on.
#[derive(Debug)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The first record that is not read.
    pub next: SequenceNumber,
    /// The oldest record that the log had when the process started: what was gone before is no part of its balance.
    found: SequenceNumber,
    /// Why it cannot be read.
    trouble: Option<Box<Trouble>>,
}

impl Place {
    /// Reads on at `next`. The log has records from `found` on.
    pub fn new(shard: ShardId, next: SequenceNumber, found: SequenceNumber) -> Self {
        Self { shard, next, found, trouble: None }
    }

    /// Whether the log had a record when the process started.
    pub fn had(&self, number: SequenceNumber) -> bool {
        number >= self.found
    }
}

impl Worker {
    /// The first record of each shard that is not read.
    pub(super) fn positions(&self) -> Vec<(ShardId, SequenceNumber)> {
        self.places.iter().map(|place| (place.shard, place.next)).collect()
    }

    /// Reads and encodes about [`DELIVERY_READ_BYTES`], taking the shards in turn.
    pub(super) async fn read_round(&mut self) -> Round {
        let (mut left, mut waits) = (DELIVERY_READ_BYTES, false);
        for step in 0..self.places.len() {
            let index = (self.turn + step) % self.places.len();
            if self.halted.is_some() || !self.has_more(index) {
                continue;
            }
            if self.is_blocked() {
                self.turn = index;
                return Round::Blocked;
            }
            if !self.is_in_trouble(index) {
                left = left.saturating_sub(self.read_shard(index, left).await);
            }
            waits |= self.is_in_trouble(index);
            if left == 0 {
                self.turn = (index + 1) % self.places.len();
                return Round::MoreToRead;
            }
        }
        self.forget_settled();
        match left {
            DELIVERY_READ_BYTES if waits => Round::Waiting,
            DELIVERY_READ_BYTES => Round::CaughtUp,
            _ => Round::MoreToRead,
        }
    }

    fn has_more(&self, index: usize) -> bool {
        let (Some(place), Some(stage)) = (self.places.get(index), self.stages.front()) else { return false };
        let next = self.stream.shard(place.shard).map(|shard| shard.bounds().next);
        next.is_some_and(|next| next.min(stage.end(place.shard)) > place.next)
    }

    fn is_in_trouble(&self, index: usize) -> bool {
        let trouble = self.places.get(index).and_then(|place| place.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.until().is_some())
    }

    /// Reads from one shard until the bytes are read, or nothing more may be encoded; returns the payload bytes.
    async fn read_shard(&mut self, index: usize, bytes_max: u64) -> u64 {
        let (Some(place), Some(stage)) = (self.places.get_mut(index), self.stages.front()) else { return 0 };
        let (id, from, end) = (place.shard, place.next, stage.end(place.shard));
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: true };
        let read = Stage::read(stage.captures(), &self.stream, (id, from), bytes_max, &payer).await;
        let read = match read.map_err(|error| error.to_string()).and_then(|read| with_progress(read, from)) {
            Ok(read) => read,
            Err(why) => {
                let status = &self.status;
                let trouble = place.trouble.get_or_insert_with(|| Box::new(Trouble::none(status)));
                trouble.failed("the log cannot be read", &why);
                return 0;
            }
        };
        if let Some(mut trouble) = place.trouble.take() {
            trouble.passed();
        }
        let (bytes, next) = self.take(id, &read, end);
        let next = next.min(end);
        self.note_gaps(index, &read, next);
        if let Some(place) = self.places.get_mut(index) {
            place.next = next;
        }
        if self.book.is_none()
            && let Some(shard) = self.stream.shard(id)
        {
            // What is encoded is in an open file, and the file's memory is paid for from the delivery share.
            shard.release(self.reader, next);
        }
        self.status.set_position(index, next);
        bytes.max(1)
    }

    /// Puts what was read into files, but nothing from `end` on. Returns payload bytes, and where to read on.
    fn take(&mut self, shard: ShardId, read: &Read, end: SequenceNumber) -> (u64, SequenceNumber) {
        let mut bytes = 0;
        for slice in &read.slices {
            let mine = usize::try_from(end.0.saturating_sub(slice.first.0)).unwrap_or(usize::MAX);
            let mine = mine.min(slice.len());
            let taken = self.take_slice(shard, slice, mine);
            self.status.metrics.read.increment(taken as u64);
            bytes += slice.batch.payload_bytes();
            if taken < slice.len() {
                return (bytes, SequenceNumber(slice.first.0 + taken as u64));
            }
        }
        (bytes, read.next)
    }

    /// Encodes the first `count` records of a slice, some at a time, so that a single request of many partitions cannot
    /// take more than there is. Returns how many it got to.
    fn take_slice(&mut self, shard: ShardId, slice: &Slice, count: usize) -> usize {
        let mut taken = 0;
        while taken < count && (taken == 0 || !self.is_blocked()) {
            let Some(stage) = self.stages.front_mut() else { break };
            let part = taken..count.min(taken + RECORDS_PER_LOOK);
            let come =
                stage.intake.take(shard, slice, part.clone(), (&mut self.files, self.settled.as_ref()));
            self.status.known(come.known);
            self.close(come.sealed);
            if self.halted.is_some() {
                // Where it stopped does not matter: the cursor stays, and all of it is read again.
                break;
            }
            taken = part.end;
        }
        taken
    }

    /// Accounts for numbers below `next` that the log does not have.
    fn note_gaps(&mut self, index: usize, read: &Read, next: SequenceNumber) {
        let Some((shard, from, found)) = self.places.get(index).map(|at| (at.shard, at.next, at.found))
        else {
            return;
        };
        let mut left = read.skipped;
        for Range { start, end } in gaps(from, read).take_while(|gap| gap.start < next) {
            let end = end.min(next);
            let lost = left.min(end.0 - start.0);
            left -= lost;
            if lost > 0 {
                // What was gone before the start is not in this process's balance.
                self.status.skipped(lost, lost.min(end.0.saturating_sub(start.max(found).0)));
                tracing::error!(
                    stream = %self.stream.name(), delivery = self.status.name(), %shard,
                    from = %start, to = %end, records = lost,
                    "records were gone from the log before they were delivered"
                );
            }
            if let Some(book) = &mut self.book {
                book.gap(Gap { shard, first: start, last: SequenceNumber(end.0 - 1), lost });
            }
        }
    }

    /// Forgets what earlier processes have settled once all of it lies behind.
    fn forget_settled(&mut self) {
        let Some(settled) = &self.settled else { return };
        if settled.is_passed(self.places.iter().map(|place| (place.shard, place.next))) {
            self.settled = None;
            if let Some(book) = &mut self.book {
                book.forget_inherited();
            }
        }
    }
}

/// A read of a shard that has more must lead on; otherwise it would be repeated without end.
fn with_progress(read: Read, from: SequenceNumber) -> Result<Read, String> {
    if read.slices.is_empty() && read.next <= from {
        return Err(format!("it has records behind {from}, but gives none"));
    }
    Ok(read)
}

/// Ranges of numbers, from `from` up to where `read` ends, that none of its records has.
pub fn gaps(from: SequenceNumber, read: &Read) -> impl Iterator<Item = Range<SequenceNumber>> {
    let held =
        read.slices.iter().map(|slice| (slice.first, SequenceNumber(slice.first.0 + slice.len() as u64)));
    let end = [(read.next, read.next)];
    held.chain(end)
        .scan(from, |from, (first, end)| {
            let gap = *from..first;
            *from = end;
            Some(gap)
        })
        .filter(|gap| gap.start < gap.end)
}
