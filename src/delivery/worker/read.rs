//! Reading from the stream into open files, shard by shard in turn.

use std::ops::Range;
use std::sync::Arc;

use super::Worker;
use super::learn::Learning;
use super::stage::Stage;
use super::trouble::Trouble;
use crate::config::limits::{DELIVERY_READ_BYTES, DELIVERY_TURN_BYTES};
use crate::delivery::ledger::Gap;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Numbering, Payer, Read, Slice};

/// Records that are encoded between two looks at what may be encoded. Each can close one file, and begin a range in
/// another one, so that there are at most this many more than their bounds.
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
    /// Records that the log has lost and that are in a stored file nevertheless. They count as found and as delivered
    /// already, and are to be left out when what is lost is counted.
    spared: u64,
    /// Why it cannot be read.
    trouble: Option<Box<Trouble>>,
}

impl Place {
    /// Reads on at `next`. The log has records from `found` on.
    pub fn new(shard: ShardId, next: SequenceNumber, found: SequenceNumber) -> Self {
        Self { shard, next, found, spared: 0, trouble: None }
    }

    /// Notes records that the log has lost and that are in a stored file nevertheless.
    pub fn spare(&mut self, records: u64) {
        self.spared += records;
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
            if self.learning.as_ref().is_some_and(Learning::is_wanted) {
                self.turn = index;
                return Round::MoreToRead;
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
        let next = self.layout.get(place.shard).map(|shard| shard.log_ref().bounds().next);
        let has_more = next.is_some_and(|next| next.min(stage.end(place.shard)) > place.next);
        has_more && self.may_read(place.shard)
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
        let read = Stage::read(stage.fields(), &self.stream, (id, from), bytes_max, &payer).await;
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
        self.status.set_position(id, next);
        bytes.max(1)
    }

    /// Puts what was read into files, but nothing from `end` on. Returns payload bytes, and where to read on.
    fn take(&mut self, shard: ShardId, read: &Read, end: SequenceNumber) -> (u64, SequenceNumber) {
        let (mut bytes, mut moves) = (0, false);
        for slice in &read.slices {
            let mine = usize::try_from(end.0.saturating_sub(slice.first.0)).unwrap_or(usize::MAX);
            let mine = mine.min(slice.len());
            let taken = self.take_slice(shard, (slice, mine), moves);
            moves |= taken > 0;
            self.status.metrics.read.increment(taken as u64);
            bytes += slice.batch.payload_bytes();
            if taken < slice.len() {
                return (bytes, SequenceNumber(slice.first.0 + taken as u64));
            }
        }
        (bytes, read.next)
    }

    /// Encodes the first `count` records of a slice, some at a time, so that a single request of many partitions cannot
    /// take more than there is. Takes some in any case, unless `may_stop`. Returns how many it got to.
    fn take_slice(&mut self, shard: ShardId, (slice, count): (&Slice, usize), may_stop: bool) -> usize {
        let mut taken = 0;
        while taken < count && (taken == 0 && !may_stop || !self.is_blocked()) {
            let Some(stage) = self.stages.front_mut() else { break };
            let part = taken..count.min(taken + RECORDS_PER_LOOK);
            let come =
                stage.intake.take(shard, slice, part.clone(), (&mut self.files, self.settled.as_ref()));
            self.core_turn.worked(slice.payload_bytes(part.clone()), DELIVERY_TURN_BYTES);
            self.status.known(come.known);
            let stopped_at = come.stopped_at;
            self.close(come.sealed);
            self.hand_over();
            if self.halted.is_some() {
                // Where it stopped does not matter: the cursor stays, and all of it is read again.
                break;
            }
            taken = part.end;
            if let Some(stopped_at) = stopped_at {
                taken = part.start + stopped_at;
                let number = SequenceNumber(slice.first.0 + taken as u64);
                self.learning.iter_mut().for_each(|learning| learning.want(shard, number));
                break;
            }
        }
        taken
    }

    /// Accounts for numbers below `next` that the log does not have.
    fn note_gaps(&mut self, index: usize, read: &Read, next: SequenceNumber) {
        let Some(place) = self.places.get_mut(index) else { return };
        let (shard, from, found) = (place.shard, place.next, place.found);
        for gap in gaps(from, read).filter_map(|gap| gap.below(next)) {
            let Numbers { start, end } = gap.numbers;
            if matches!(read.numbering, Numbering::Sparse { .. }) && gap.lost() == 0 {
                self.status.unnumbered(end.0 - start.0);
                if let Some(book) = &mut self.book {
                    book.gap(Gap { shard, first: start, last: SequenceNumber(end.0 - 1), lost: 0 });
                }
                continue;
            }
            // What was gone before the start is not in this process's balance.
            let in_balance = gap.lost_behind(found);
            let spared = place.spared.min(gap.lost());
            place.spared -= spared;
            let (lost, out_of_balance) = (gap.lost() - spared, gap.lost() - in_balance);
            let known = spared.saturating_sub(out_of_balance);
            self.status.known(known);
            if lost > 0 {
                self.status.skipped(lost, in_balance - known);
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
                book.pass_inherited();
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

/// Numbers that the log does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// All of them.
    pub numbers: Numbers,
    /// From here on they were those of records; the others were never given to any.
    lost_from: SequenceNumber,
}

type Numbers = Range<SequenceNumber>;

impl Missing {
    /// How many of them were records.
    pub fn lost(&self) -> u64 {
        self.numbers.end.0 - self.lost_from.0
    }

    /// The same of those from `found` on.
    pub fn lost_behind(&self, found: SequenceNumber) -> u64 {
        self.numbers.end.0.saturating_sub(self.lost_from.max(found).0)
    }

    /// The part below `next`, if there is one.
    pub fn below(self, next: SequenceNumber) -> Option<Self> {
        let Self { numbers: Range { start, end }, lost_from } = self;
        let end = end.min(next);
        (start < end).then(|| Self { numbers: start..end, lost_from: lost_from.min(end) })
    }
}

/// What is missing from `from` up to where `read` ends. Behind a record all numbers are those of records. Before the
/// first one, those at the end are: as many as the log says and are not missing behind it.
pub fn gaps(from: SequenceNumber, read: &Read) -> impl Iterator<Item = Missing> {
    let inner = holes(from, read).filter(|hole| hole.start > from);
    let before = read.skipped.saturating_sub(inner.map(|hole| hole.end.0 - hole.start.0).sum());
    let numbering = read.numbering;
    holes(from, read)
        .flat_map(move |numbers| {
            let Range { start, end } = numbers;
            match numbering {
                Numbering::Dense if start > from => [Some(Missing { numbers, lost_from: start }), None],
                Numbering::Dense => {
                    let lost_from = SequenceNumber(end.0.saturating_sub(before)).max(start);
                    [Some(Missing { numbers, lost_from }), None]
                }
                Numbering::Sparse { lost_below } => {
                    // What retention has taken, and what was never there.
                    let between = lost_below.clamp(start, end);
                    let lost =
                        (start < between).then_some(Missing { numbers: start..between, lost_from: start });
                    let never = (between < end).then_some(Missing { numbers: between..end, lost_from: end });
                    [lost, never]
                }
            }
        })
        .flatten()
}

fn holes(from: SequenceNumber, read: &Read) -> impl Iterator<Item = Numbers> {
    let held =
        read.slices.iter().map(|slice| (slice.first, SequenceNumber(slice.first.0 + slice.len() as u64)));
    let end = [(read.next, read.next)];
    held.chain(end)
        .scan(from, |from, (first, end)| {
            let hole = *from..first;
            *from = end;
            Some(hole)
        })
        .filter(|hole| hole.start < hole.end)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{Batch, Content, RecordSpans, Source, Span};
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;

    /// A read of slices, each with its first number and the one behind its last.
    fn read(held: &[(u64, u64)], next: u64, skipped: u64) -> Read {
        let slice = |&(start, end): &(u64, u64)| {
            let permit = Budget::new(1).take_anyway(0);
            let (body, arrival) = (Bytes::new(), UnixMicros(0));
            let source =
                Arc::new(Source { body: body.clone(), content: Content::Json, side: body, arrival, permit });
            let spans = RecordSpans { payload: Span::ABSENT, key: Span::ABSENT, refusal: Span::ABSENT };
            let records = vec![spans; (end - start) as usize];
            let batch = Batch {
                source,
                records: records.into(),
                captures: Box::default(),
                aggregates: Box::default(),
            };
            Slice { batch: Arc::new(batch), skip: 0, first: SequenceNumber(start) }
        };
        let slices = held.iter().map(slice).collect();
        Read { slices, skipped, ..Read::nothing(SequenceNumber(next)) }
    }

    /// First number, number behind the last, and lost ones, of each gap below `next`.
    fn gaps_below(read: &Read, next: u64) -> Vec<(u64, u64, u64)> {
        let gaps = gaps(SequenceNumber(10), read).filter_map(|gap| gap.below(SequenceNumber(next)));
        gaps.map(|gap| (gap.numbers.start.0, gap.numbers.end.0, gap.lost())).collect()
    }

    #[test]
    fn each_gap_of_a_read_has_its_own_lost_records() {
        let whole = |read: &Read| gaps_below(read, u64::MAX);
        assert_eq!(whole(&read(&[(10, 20)], 20, 0)), []);
        assert_eq!(whole(&read(&[(11, 20), (120, 130)], 130, 101)), [(10, 11, 1), (20, 120, 100)]);
        assert_eq!(
            whole(&read(&[(10, 20), (25, 30), (30, 31), (33, 34)], 34, 7)),
            [(20, 25, 5), (31, 33, 2)]
        );
        assert_eq!(whole(&read(&[(10, 20)], 24, 4)), [(20, 24, 4)]);
        assert_eq!(whole(&read(&[], 50, 40)), [(10, 50, 40)]);
    }

    #[test]
    fn numbers_that_no_record_ever_had_are_not_lost_but_those_below_the_oldest_are() {
        let sparse = |held, next, lost_below| {
            let lost_below = SequenceNumber(lost_below);
            Read { numbering: Numbering::Sparse { lost_below }, ..read(held, next, 0) }
        };
        let whole = |read: &Read| gaps_below(read, u64::MAX);
        assert_eq!(whole(&sparse(&[(10, 20), (22, 30)], 31, 0)), [(20, 22, 0), (30, 31, 0)]);
        assert_eq!(whole(&sparse(&[(18, 20)], 20, 15)), [(10, 15, 5), (15, 18, 0)]);
        assert_eq!(whole(&sparse(&[(15, 20)], 20, 15)), [(10, 15, 5)]);
        assert_eq!(whole(&sparse(&[], 50, 40)), [(10, 40, 30), (40, 50, 0)]);
        assert_eq!(gaps_below(&sparse(&[], 50, 40), 30), [(10, 30, 20)]);
    }

    #[test]
    fn numbers_before_the_first_record_ever_are_not_lost() {
        let read = read(&[(18, 20), (25, 30)], 30, 3 + 5);
        assert_eq!(gaps_below(&read, u64::MAX), [(10, 18, 3), (20, 25, 5)]);
        assert_eq!(gaps_below(&read, 23), [(10, 18, 3), (20, 23, 3)]);
        assert_eq!(gaps_below(&read, 20), [(10, 18, 3)]);
        // The lost ones are the last ones.
        assert_eq!(gaps_below(&read, 16), [(10, 16, 1)]);
        assert_eq!(gaps_below(&read, 12), [(10, 12, 0)]);
        assert_eq!(gaps_below(&self::read(&[], 50, 0), u64::MAX), [(10, 50, 0)]);
    }
}
