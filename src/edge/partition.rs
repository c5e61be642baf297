//! Decoded records → one batch a shard.

use std::sync::Arc;

use bytes::Bytes;

use super::Intake;
use super::decode::Decoded;
use crate::record::{Aggregate, Batch, Put, RecordSpans, ShardId, Source, Span};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::stream::HashKey;

/// What the records of a request share.
#[derive(Debug)]
pub struct Shared {
    /// The decoded body.
    pub body: Bytes,
    /// What it has cost.
    pub permit: Permit,
    /// When it was complete.
    pub arrival: UnixMicros,
}

/// Splits the records by the shard of their key, keeping their order within a shard.
pub fn partition(intake: &Intake, decoded: Decoded, shared: Shared) -> Vec<(ShardId, Batch)> {
    let Decoded { records, captures, aggregates, content, side, hash_keys, .. } = decoded;
    let Shared { body, mut permit, arrival } = shared;
    let bookkeeping =
        size_of_val(&*records) + size_of_val(&*captures) + size_of_val(&*aggregates) + side.len();
    permit.set(permit.bytes() + bookkeeping as u64);
    if records.is_empty() {
        return Vec::new();
    }
    let source = Arc::new(Source { body, content, side: Bytes::from(side), arrival, permit });
    let whole =
        Batch { source, records: records.into(), captures: captures.into(), aggregates: aggregates.into() };
    let ranges = intake.stream.ranges();
    if ranges.len() == 1 {
        return vec![(ShardId(0), whole)];
    }
    let mut hash_keys = hash_keys.into_iter().peekable();
    let mut shard_of = |put: &Put| {
        let hash = match hash_keys.next_if(|(of, _)| *of == put.first) {
            Some((_, hash)) => hash,
            None if put.key.is_present() => HashKey::of(whole.source.bytes(put.key)),
            None => HashKey(fastrand::u128(..)),
        };
        ranges.shard_of(hash)
    };
    if let Some(only) = whole.puts(0).next().filter(|put| put.count == whole.records.len()) {
        return vec![(shard_of(&only), whole)];
    }
    let mut parts: Vec<(ShardId, Part)> = Vec::new();
    // For each shard, where its part stands in `parts`.
    let mut slots = vec![usize::MAX; ranges.len()];
    for put in whole.puts(0) {
        let shard = shard_of(&put);
        let Some(slot) = slots.get_mut(shard.0 as usize) else { continue };
        if *slot == usize::MAX {
            *slot = parts.len();
            let records = Vec::with_capacity(whole.records.len() / ranges.len() + 1);
            parts.push((shard, Part { records, ..Part::default() }));
        }
        if let Some((_, part)) = parts.get_mut(*slot) {
            part.take(&whole, &put, intake.slots);
        }
    }
    parts.sort_unstable_by_key(|(shard, _)| *shard);
    parts.into_iter().map(|(shard, part)| (shard, part.into_batch(&whole.source))).collect()
}

/// The records of one shard.
#[derive(Default)]
struct Part {
    records: Vec<RecordSpans>,
    captures: Vec<Span>,
    aggregates: Vec<Aggregate>,
}

impl Part {
    #[inline]
    fn take(&mut self, whole: &Batch, put: &Put, slots: usize) {
        let end = put.first + put.count;
        if put.is_aggregate {
            // A request has fewer records than `REQUEST_RECORDS_MAX`.
            let (first, count) = (self.records.len() as u32, put.count as u32);
            self.aggregates.push(Aggregate { first, count, blob: put.payload, key: put.key });
        }
        self.records.extend_from_slice(&whole.records[put.first..end]);
        self.captures.extend_from_slice(&whole.captures[put.first * slots..end * slots]);
    }

    fn into_batch(self, source: &Arc<Source>) -> Batch {
        let Self { records, captures, aggregates } = self;
        Batch {
            source: Arc::clone(source),
            records: records.into(),
            captures: captures.into(),
            aggregates: aggregates.into(),
        }
    }
}
