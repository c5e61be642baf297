//! Records of the log, one by one, each with the partition that it belongs to.

use super::Epochs;
use super::files::Files;
use super::report::{Finding, Kind};
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::stream::{CapturePlan, Read, ReadError};

/// What a log has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The shard.
    pub shard: ShardId,
    /// Its oldest record; equal to `next` if there is none.
    pub first: SequenceNumber,
    /// The number behind its newest record.
    pub next: SequenceNumber,
}

/// A log that nobody writes to.
pub trait RecordSource {
    /// The shards of the stream, in order.
    fn shards(&self) -> Vec<Held>;

    /// Some records of a shard from `from` on, oldest first, with the fields of `captures`. Blocks the thread. What it
    /// does not have it passes over.
    fn read(&self, shard: ShardId, from: SequenceNumber, captures: &CapturePlan) -> Result<Read, ReadError>;
}

/// A record in its batch.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its index there.
    pub index: usize,
    /// Its shard.
    pub shard: ShardId,
    /// Its number.
    pub number: SequenceNumber,
}

impl<'a> Place<'a> {
    /// The record's bytes.
    pub fn payload(&self) -> &'a [u8] {
        self.batch.records.get(self.index).map_or(&[], |record| self.batch.source.bytes(record.payload))
    }
}

/// A part of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shard.
    pub shard: ShardId,
    /// Where it begins.
    pub from: SequenceNumber,
    /// The number behind its end.
    pub to: SequenceNumber,
}

/// Goes through a log.
pub struct Walk<'a> {
    /// The log.
    pub log: &'a dyn RecordSource,
    /// Tells partitions.
    pub epochs: &'a mut dyn Epochs,
    /// Is told how many numbers were passed.
    pub passed: &'a dyn Fn(u64),
}

/// Who looks at the records.
pub type Visit<'a> = dyn FnMut(&mut Files, (u32, &[u8]), Place<'_>) + 'a;

/// First and last of numbers that the log does not have.
pub type Hole = (SequenceNumber, SequenceNumber);

impl Walk<'_> {
    /// Shows every record of `span` that the delivery has begun to `visit`, with its epoch and its partition, and
    /// returns the numbers that the log does not have.
    pub fn visit(
        &mut self,
        files: &mut Files,
        span: Span,
        visit: &mut Visit<'_>,
    ) -> Result<Vec<Hole>, Box<Finding>> {
        let Span { shard, mut from, to } = span;
        let (mut holes, mut key) = (Vec::new(), Vec::new());
        while from < to {
            let until = files.next_epoch(shard, from).map_or(to, |next| next.min(to));
            let Some(epoch) = files.epoch_at(shard, from) else {
                from = until;
                continue;
            };
            let number = epoch.number;
            let wrong = |kind, what: String| {
                Box::new(Finding::new(kind, what).of_range(shard, from, SequenceNumber(to.0 - 1)))
            };
            let captures = self.epochs.captures(epoch).map_err(|what| wrong(Kind::Epoch, what))?;
            let read =
                self.log.read(shard, from, &captures).map_err(|error| wrong(Kind::Log, error.to_string()))?;
            if read.next <= from {
                return Err(wrong(Kind::Log, "the log ends here, although its index goes on".to_owned()));
            }
            let mut next = from;
            for slice in &read.slices {
                note_hole(&mut holes, next, slice.first.min(until));
                for offset in 0..slice.len() {
                    let position = SequenceNumber(slice.first.0 + offset as u64);
                    if position >= until {
                        break;
                    }
                    let place =
                        Place { batch: &slice.batch, index: slice.skip + offset, shard, number: position };
                    self.epochs.home(number, place, &mut key);
                    visit(files, (number, &key), place);
                }
                next = SequenceNumber(slice.first.0 + slice.len() as u64);
            }
            let end = read.next.min(until);
            note_hole(&mut holes, next, end);
            (self.passed)(end.0 - from.0);
            from = end;
        }
        Ok(holes)
    }
}

fn note_hole(holes: &mut Vec<Hole>, from: SequenceNumber, to: SequenceNumber) {
    if from >= to {
        return;
    }
    let last = SequenceNumber(to.0 - 1);
    match holes.last_mut().filter(|hole| hole.1.0 + 1 == from.0) {
        Some(hole) => hole.1 = last,
        None => holes.push((from, last)),
    }
}
