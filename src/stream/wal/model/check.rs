//! Reads, compared with the model.

use std::sync::Arc;

use super::expected::{Record, Shard};
use super::node::ORIGIN;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::stream::wal::samples;
use crate::stream::{Found, Payer, Read, ReadError, ReadLimit, Stream};

/// Records of a read, with their numbers, and whether it came from the disk.
pub struct Answer {
    pub read: Read,
    pub from_disk: bool,
}

pub fn read(stream: &Stream, shard: usize, from: u64, limit: ReadLimit) -> Result<Answer, ReadError> {
    let payer = Payer { budget: Budget::new(1 << 30), overdraws: true };
    match stream.shard(ShardId(shard as u32)).unwrap().read(SequenceNumber(from), limit) {
        Found::Here(read) => Ok(Answer { read, from_disk: false }),
        Found::Stored(stored) => {
            stored.load(&payer, &stream.captures()).map(|read| Answer { read, from_disk: true })
        }
    }
}

/// Every record of an answer.
pub fn records(read: &Read) -> Vec<(u64, Record)> {
    let mut records = Vec::new();
    for slice in &read.slices {
        let parts = samples::parts_of(&slice.batch).into_iter().zip(samples::kept_bytes(&slice.batch));
        let arrival = slice.batch.source.arrival.0;
        let numbers = slice.first.0..;
        let of_slice = parts.skip(slice.skip).map(|(parts, bytes)| Record { parts, bytes, arrival });
        records.extend(numbers.zip(of_slice));
    }
    records
}

impl Shard {
    /// Whether an answer to a read from `from` on is right: durable records alone, in order, gaps reported.
    pub fn check(&self, from: u64, limit: ReadLimit, answer: &Answer) {
        let Answer { read, from_disk } = answer;
        let start = from.max(self.first);
        let mut at = start;
        let mut skipped = self.first.saturating_sub(from.max(ORIGIN));
        for (number, record) in records(read) {
            assert!(number >= at, "record {number} comes again, or before {at}");
            assert!(number < self.next, "record {number} is not durable");
            assert_eq!(
                self.records.range(at..number).count(),
                0,
                "records from {at} to {number} are left out"
            );
            skipped += number - at;
            let expected = self.records.get(&number).map(Arc::as_ref);
            assert_eq!(Some(&record), expected, "record {number}");
            at = number + 1;
        }
        assert_eq!(read.skipped, skipped, "skipped, from {from}");
        if read.slices.is_empty() {
            assert_eq!(self.records.range(start..self.next.max(start)).count(), 0, "nothing from {start} on");
        }
        assert_eq!(read.next.0, at, "where to read on");
        self.check_limit(limit, read, *from_disk);
    }

    fn check_limit(&self, limit: ReadLimit, read: &Read, from_disk: bool) {
        let (mut bytes, mut records, mut full) = (0, 0, false);
        for slice in &read.slices {
            assert!(!full, "more than the limit asks for");
            bytes += slice.batch.payload_bytes();
            // From the disk, a batch counts whole.
            records += if from_disk { slice.batch.records.len() } else { slice.len() };
            full = bytes >= limit.bytes || records >= limit.records;
        }
        let more = self.records.range(read.next.0..self.next.max(read.next.0)).next().is_some();
        assert!(full || from_disk || !more, "less than the limit asks for, although there is more");
    }

    /// All that a stream can give, bounds first.
    pub fn check_all(&self, stream: &Stream, shard: usize) -> Result<(), ReadError> {
        let bounds = stream.shard(ShardId(shard as u32)).unwrap().bounds();
        assert_eq!((bounds.first.0, bounds.next.0), (self.first, self.next), "bounds");
        let bytes = self.records.range(self.first..self.next).map(|(_, record)| record.bytes);
        assert_eq!(bounds.bytes, bytes.sum::<u64>(), "bytes that are held");
        let mut from = self.first;
        loop {
            let limit = ReadLimit::bytes(10_000);
            let answer = read(stream, shard, from, limit)?;
            self.check(from, limit, &answer);
            if answer.read.slices.is_empty() {
                return Ok(());
            }
            from = answer.read.next.0;
        }
    }
}
