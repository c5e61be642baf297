//! Decoded records → one batch a shard.

use std::sync::Arc;

use bytes::Bytes;

use super::Intake;
use super::decode::Decoded;
use crate::record::{Batch, RecordSpans, ShardId, Source, Span};
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
    let Decoded { records, captures, content, side, hash_keys, .. } = decoded;
    let Shared { body, mut permit, arrival } = shared;
    let bookkeeping =
        records.len() * size_of::<RecordSpans>() + captures.len() * size_of::<Span>() + side.len();
    permit.set(permit.bytes() + bookkeeping as u64);
    let source = Arc::new(Source { body, content, side: Bytes::from(side), arrival, permit });
    if records.is_empty() {
        return Vec::new();
    }
    let ranges = intake.stream.ranges();
    if ranges.len() == 1 {
        return vec![(ShardId(0), Batch { source, records: records.into(), captures: captures.into() })];
    }
    let mut hash_keys = hash_keys.into_iter().peekable();
    let mut shard_of = |index: usize, record: &RecordSpans| {
        let hash = match hash_keys.next_if(|(of, _)| *of == index) {
            Some((_, hash)) => hash,
            None if record.key.is_present() => HashKey::of(source.bytes(record.key)),
            None => HashKey(fastrand::u128(..)),
        };
        ranges.shard_of(hash)
    };
    if let [record] = *records {
        let shard = shard_of(0, &record);
        return vec![(shard, Batch { source, records: records.into(), captures: captures.into() })];
    }
    let mut parts: Vec<(ShardId, Vec<RecordSpans>, Vec<Span>)> = Vec::new();
    // For each shard, where its part stands in `parts`.
    let mut slots = vec![usize::MAX; ranges.len()];
    for (index, record) in records.iter().enumerate() {
        let shard = shard_of(index, record);
        let Some(slot) = slots.get_mut(shard.0 as usize) else { continue };
        if *slot == usize::MAX {
            *slot = parts.len();
            parts.push((shard, Vec::with_capacity(records.len() / ranges.len() + 1), Vec::new()));
        }
        if let Some((_, part, part_captures)) = parts.get_mut(*slot) {
            part.push(*record);
            part_captures.extend_from_slice(&captures[index * intake.slots..(index + 1) * intake.slots]);
        }
    }
    parts.sort_unstable_by_key(|(shard, ..)| *shard);
    let batch = |(shard, records, captures): (ShardId, Vec<RecordSpans>, Vec<Span>)| {
        (shard, Batch { source: Arc::clone(&source), records: records.into(), captures: captures.into() })
    };
    parts.into_iter().map(batch).collect()
}
