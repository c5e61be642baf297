//! Decoded records → one batch a shard.

use std::sync::Arc;

use bytes::Bytes;

use super::decode::Decoded;
use crate::record::{Batch, RecordSpans, ShardId, Source, Span};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::stream::{HashKey, Layout};

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

/// Splits the records by the open shard of their key, keeping their order within a shard. `width` is the number of
/// captured fields of a record.
pub fn partition(width: usize, decoded: Decoded, shared: Shared, layout: &Layout) -> Vec<(ShardId, Batch)> {
    let place_of = |_: usize, record: &RecordSpans, source: &Source| {
        let hash = match record.key.is_present() {
            true => HashKey::of(source.bytes(record.key)),
            false => HashKey(fastrand::u128(..)),
        };
        layout.open_index_of(hash)
    };
    split(width, decoded, shared, layout, place_of)
}

/// Splits the records by the open shards that `place_of` tells, as places in the layout; it is asked for each of them in
/// order, unless there is one open shard.
pub fn split(
    width: usize,
    decoded: Decoded,
    shared: Shared,
    layout: &Layout,
    mut place_of: impl FnMut(usize, &RecordSpans, &Source) -> usize,
) -> Vec<(ShardId, Batch)> {
    let Decoded { records, captures, side, .. } = decoded;
    let Shared { body, mut permit, arrival } = shared;
    let bookkeeping =
        records.len() * size_of::<RecordSpans>() + captures.len() * size_of::<Span>() + side.len();
    permit.set(permit.bytes() + bookkeeping as u64);
    let source = Arc::new(Source { body, side: Bytes::from(side), arrival, permit });
    if records.is_empty() {
        return Vec::new();
    }
    let open = layout.open().len();
    if let (1, Some(only)) = (open, layout.open().next()) {
        let shard = only.facts.id;
        return vec![(shard, Batch { source, records: records.into(), captures: captures.into() })];
    }
    if let [record] = *records {
        let shard = layout.shards()[place_of(0, &record, &source)].facts.id;
        return vec![(shard, Batch { source, records: records.into(), captures: captures.into() })];
    }
    let mut parts: Vec<(usize, Vec<RecordSpans>, Vec<Span>)> = Vec::new();
    // For each shard of the layout, where its part stands in `parts`.
    let mut slots = vec![usize::MAX; layout.shards().len()];
    for (index, record) in records.iter().enumerate() {
        let place = place_of(index, record, &source);
        let Some(slot) = slots.get_mut(place) else { continue };
        if *slot == usize::MAX {
            *slot = parts.len();
            parts.push((place, Vec::with_capacity(records.len() / open + 1), Vec::new()));
        }
        if let Some((_, part, part_captures)) = parts.get_mut(*slot) {
            part.push(*record);
            part_captures.extend_from_slice(&captures[index * width..(index + 1) * width]);
        }
    }
    parts.sort_unstable_by_key(|(place, ..)| *place);
    let batch = |(place, records, captures): (usize, Vec<RecordSpans>, Vec<Span>)| {
        let shard = layout.shards()[place].facts.id;
        (shard, Batch { source: Arc::clone(&source), records: records.into(), captures: captures.into() })
    };
    parts.into_iter().map(batch).collect()
}
