//! Decoded records → one batch a shard.

use std::sync::Arc;

use bytes::Bytes;

use super::decode::Decoded;
use crate::record::{Aggregate, Batch, Put, RecordSpans, Source, Span};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::stream::quotas::{Throttled, Writes};
use crate::stream::{ExplicitHashes, HashKey, Layout, Routed};

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
pub fn partition(width: usize, decoded: Decoded, shared: Shared, layout: &Layout) -> Routed {
    split(width, decoded, shared, Shards { layout, quotas: None }, |_, _| {})
}

/// Where records go.
#[derive(Debug)]
pub struct Shards<'a> {
    /// The shards that there are.
    pub layout: &'a Layout,
    /// What each record is taken from, where there are quotas.
    pub quotas: Option<Writes<'a>>,
}

/// The same, without the records that are beyond the quotas. `note` is told of each record as it was put, in order: the
/// place of its shard in the layout, and how many records it is; or that it is beyond the quotas.
pub fn split(
    width: usize,
    decoded: Decoded,
    shared: Shared,
    shards: Shards<'_>,
    mut note: impl FnMut(usize, Result<usize, Throttled>),
) -> Routed {
    let Shards { layout, mut quotas } = shards;
    let Decoded { records, captures, aggregates, content, side, hash_keys, .. } = decoded;
    let Shared { body, mut permit, arrival } = shared;
    let bookkeeping =
        size_of_val(&*records) + size_of_val(&*captures) + size_of_val(&*aggregates) + side.len();
    permit.set(permit.bytes() + bookkeeping as u64);
    if records.is_empty() {
        return Routed::default();
    }
    let source = Arc::new(Source { body, content, side: Bytes::from(side), arrival, permit });
    let whole =
        Batch { source, records: records.into(), captures: captures.into(), aggregates: aggregates.into() };
    let open = layout.open().len();
    if let (1, Some(only), None) = (open, layout.open().next(), &quotas) {
        whole.puts(0).for_each(|put| note(layout.index(only.facts.id).unwrap_or_default(), Ok(put.count)));
        return Routed::whole(only.facts.id, whole, hash_keys);
    }
    let mut hashes = HashKey::of_all(keys_of(&whole), whole.records.len()).into_iter();
    let mut explicit = hash_keys.iter().copied().peekable();
    // The place in the layout, and the hash that the record came with.
    let mut place_of = |put: &Put| {
        let explicit = explicit.next_if(|(of, _)| *of == put.first).map(|(_, hash)| hash);
        let hash_of_key = if put.key.is_present() { hashes.next() } else { None };
        let hash = explicit.or(hash_of_key).unwrap_or_else(|| HashKey(fastrand::u128(..)));
        (layout.open_index_of(hash), explicit)
    };
    let first = whole.puts(0).next().filter(|put| put.count == whole.records.len());
    if let (Some(only), None) = (first, &quotas) {
        let (place, _) = place_of(&only);
        note(place, Ok(only.count));
        return Routed::whole(layout.shards()[place].facts.id, whole, hash_keys);
    }
    let mut parts: Vec<(usize, Part)> = Vec::new();
    // For each shard of the layout, where its part stands in `parts`.
    let mut slots = vec![usize::MAX; layout.shards().len()];
    for put in whole.puts(0) {
        let (place, hash) = place_of(&put);
        let within = quotas.as_mut().map_or(Ok(()), |quotas| {
            quotas.take_record(layout.shards()[place].facts.id, (put.payload.len() + put.key.len()) as u64)
        });
        let is_within = within.is_ok();
        note(place, within.map(|()| put.count));
        if !is_within {
            continue;
        }
        let Some(slot) = slots.get_mut(place) else { continue };
        if *slot == usize::MAX {
            *slot = parts.len();
            let records = Vec::with_capacity(whole.records.len() / open + 1);
            parts.push((place, Part { records, ..Part::default() }));
        }
        if let Some((_, part)) = parts.get_mut(*slot) {
            hash.into_iter().for_each(|hash| part.hashes.push(part.records.len(), hash));
            part.take(&whole, &put, width);
        }
    }
    parts.sort_unstable_by_key(|(place, _)| *place);
    let mut routed = Routed::default();
    for (place, mut part) in parts {
        if !hash_keys.is_empty() {
            routed.hashes.push(std::mem::take(&mut part.hashes));
        }
        routed.batches.push((layout.shards()[place].facts.id, part.into_batch(&whole.source)));
    }
    routed
}

/// The keys of those puts that have one.
fn keys_of(whole: &Batch) -> impl Iterator<Item = &[u8]> {
    whole.puts(0).filter(|put| put.key.is_present()).map(|put| whole.source.bytes(put.key))
}

/// The records of one shard.
#[derive(Default)]
struct Part {
    records: Vec<RecordSpans>,
    captures: Vec<Span>,
    aggregates: Vec<Aggregate>,
    hashes: ExplicitHashes,
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
        let Self { records, captures, aggregates, .. } = self;
        Batch {
            source: Arc::clone(source),
            records: records.into(),
            captures: captures.into(),
            aggregates: aggregates.into(),
        }
    }
}

#[cfg(test)]
mod tests;
