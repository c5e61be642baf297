//! Records as their clients have put them: an aggregate is one record then.

use super::{RecordSpans, Span};

/// Records of a batch that came as one: see [`super::aggregate`]. The first of them is its head, the others its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregate {
    /// Index of its first record in the batch.
    pub first: u32,
    /// How many records it is, at least one.
    pub count: u32,
    /// The aggregate as it came. Payloads and keys of its records are slices of it.
    pub blob: Span,
    /// The partition key that it was put with.
    pub key: Span,
}

/// A record as it was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Index of its first record in the batch.
    pub first: usize,
    /// How many records it is: 1, unless it is an aggregate.
    pub count: usize,
    /// Its bytes.
    pub payload: Span,
    /// Its partition key.
    pub key: Span,
    /// Whether it is an aggregate.
    pub is_aggregate: bool,
}

/// See [`super::Batch::puts`].
#[derive(Debug, Clone)]
pub struct Puts<'a> {
    records: &'a [RecordSpans],
    /// Those that are still to come.
    aggregates: &'a [Aggregate],
    at: usize,
}

impl<'a> Puts<'a> {
    /// Of `records`, those in `aggregates` together, from the one at `index` on or from behind the aggregate that it is
    /// within.
    pub fn new(records: &'a [RecordSpans], aggregates: &'a [Aggregate], index: usize) -> Self {
        let passed = aggregates.partition_point(|aggregate| (aggregate.first as usize) < index);
        let (before, aggregates) = aggregates.split_at(passed);
        let end = before.last().map_or(0, |last| last.first as usize + last.count as usize);
        Self { records, aggregates, at: index.max(end) }
    }
}

impl Iterator for Puts<'_> {
    type Item = Put;

    fn next(&mut self) -> Option<Put> {
        let first = self.at;
        if let [aggregate, rest @ ..] = self.aggregates
            && aggregate.first as usize == first
        {
            let Aggregate { count, blob, key, .. } = *aggregate;
            self.aggregates = rest;
            self.at += count as usize;
            return Some(Put { first, count: count as usize, payload: blob, key, is_aggregate: true });
        }
        let RecordSpans { payload, key, .. } = *self.records.get(first)?;
        self.at += 1;
        Some(Put { first, count: 1, payload, key, is_aggregate: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_begin_at_a_record_or_behind_the_aggregate_that_it_is_within() {
        let record =
            |at| RecordSpans { payload: Span::new(at, at + 1), key: Span::ABSENT, refusal: Span::ABSENT };
        let records: Vec<_> = (0..8).map(record).collect();
        let aggregate = |first, count| Aggregate { first, count, blob: Span::new(9, 20), key: Span::ABSENT };
        let aggregates = [aggregate(1, 3), aggregate(4, 1), aggregate(6, 2)];
        let from = |index| {
            let puts = Puts::new(&records, &aggregates, index);
            puts.map(|put| (put.first, put.count, put.is_aggregate)).collect::<Vec<_>>()
        };
        let all = [(0, 1, false), (1, 3, true), (4, 1, true), (5, 1, false), (6, 2, true)];
        for (index, skipped) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 4), (7, 5), (8, 5)] {
            assert_eq!(from(index), all[skipped..], "{index}");
        }
    }
}
