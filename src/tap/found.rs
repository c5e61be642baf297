//! Records that a reader is to get: found as slices of the log's batches, without a copy.

use std::sync::Arc;

use super::cursor::Cursor;
use super::data;
use super::filter::Filter;
use crate::record::{RecordSpans, SequenceNumber, ShardId};
use crate::stream::{Payer, Read, ReadError, ReadLimit, Slice, Stream};

/// Bytes of a record in a page beside its payload and its key, with the longest numbers.
const RECORD_BYTES: u64 = 150;

/// What a look is for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Records that are shown, at most.
    pub records: usize,
    /// Bytes of records that are looked at: at most this and one record more. It bounds the work of a look.
    pub bytes: u64,
    /// Which records are shown.
    pub filter: Option<&'a Filter>,
    /// Where to end in each shard, if not at the end of what there is.
    pub upto: Option<&'a Cursor>,
}

/// Records found, and where to read on.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order in which they are shown.
    pub parts: Vec<Part>,
    /// How many are shown.
    pub records: usize,
    /// What they need as JSON, at most.
    pub bytes: u64,
    /// The same of all records that were looked at, with those that are not shown.
    pub looked_at: u64,
    /// Records that were gone before they could be read.
    pub skipped: u64,
    /// Where to read on.
    pub next: Cursor,
    /// The shards of the reader, if it is a worker that shares a named cursor.
    pub shards: Option<Vec<ShardId>>,
}

/// Records of one batch.
#[derive(Debug, Clone)]
pub struct Part {
    /// Their shard.
    pub shard: ShardId,
    /// Begins with the first of them.
    pub slice: Slice,
    /// How many of the slice belong to it.
    pub len: usize,
    /// Which of those are shown, where a filter has chosen: how far behind the first.
    picked: Option<Box<[usize]>>,
}

impl Part {
    /// What is shown: each record with its number.
    pub fn shown(&self) -> impl Iterator<Item = (SequenceNumber, &RecordSpans)> {
        let records = &self.slice.batch.records[self.slice.skip..][..self.len];
        let picked = self.picked.as_deref();
        let count = picked.map_or(self.len, <[usize]>::len);
        (0..count)
            .map(move |index| picked.map_or(index, |picked| picked[index]))
            .map(move |index| (SequenceNumber(self.slice.first.0 + index as u64), &records[index]))
            .filter(|(_, record)| is_shown(record))
    }
}

/// A record bound for the dead letters need not even be JSON.
fn is_shown(record: &RecordSpans) -> bool {
    !record.refusal.is_present()
}

/// Where a look finds records, and who pays if they come from the disk.
#[derive(Clone, Copy)]
struct ShardSource<'a> {
    stream: &'a Arc<Stream>,
    shard: ShardId,
    payer: &'a Payer,
}

/// Finds records in all shards in turn, oldest first within each, and of a child only once its parents are read to their
/// end. Each look begins at another shard, so that a reader
/// that cannot keep up with one of them sees the others all the same.
///
/// # Errors
/// If records cannot be read back from the disk.
pub async fn look(
    stream: &Arc<Stream>,
    cursor: &Cursor,
    scope: Scope<'_>,
    payer: &Payer,
) -> Result<Found, ReadError> {
    let layout = stream.layout();
    let mut next = cursor.clone();
    let mut found = Found::default();
    let shards = next.positions.len();
    let first = fastrand::usize(..shards.max(1));
    for index in (first..shards).chain(0..first) {
        let (shard, position) = next.positions[index];
        let Some(facts) = layout.get(shard).map(|shard| &shard.facts) else { continue };
        // The records of a key keep their order over a split or a merge.
        if layout.may_read(facts, |parent| next.position(parent)) {
            let source = ShardSource { stream, shard, payer };
            next.positions[index].1 = found.take_shard(source, position, &scope).await?;
        }
    }
    found.next = next;
    Ok(found)
}

impl Found {
    /// Whether it has what the scope asks for.
    pub fn is_full(&self, scope: &Scope<'_>) -> bool {
        self.records >= scope.records || self.looked_at >= scope.bytes
    }

    /// Takes records of a shard until it is full or the shard has no more; returns where to read on in it.
    async fn take_shard(
        &mut self,
        source: ShardSource<'_>,
        from: SequenceNumber,
        scope: &Scope<'_>,
    ) -> Result<SequenceNumber, ReadError> {
        let ShardSource { stream, shard, payer } = source;
        let end = scope.upto.and_then(|upto| upto.position(shard)).unwrap_or(SequenceNumber(u64::MAX));
        let mut position = from;
        while !self.is_full(scope) && position < end {
            let read = stream.read(shard, position, self.rest(scope), payer).await?;
            let found_nothing = read.slices.is_empty();
            position = self.take_read(shard, read, scope);
            if found_nothing {
                break;
            }
        }
        Ok(position)
    }

    /// How much more it takes.
    pub fn rest(&self, scope: &Scope<'_>) -> ReadLimit {
        ReadLimit { bytes: scope.bytes - self.looked_at, records: scope.records - self.records }
    }

    /// Takes records of a read until it is full; returns where to read on.
    pub fn take_read(&mut self, shard: ShardId, read: Read, scope: &Scope<'_>) -> SequenceNumber {
        let end = scope.upto.and_then(|upto| upto.position(shard)).unwrap_or(SequenceNumber(u64::MAX));
        self.skipped += read.skipped;
        for slice in read.slices {
            let first = slice.first;
            // What lies beyond the end belongs to a later look.
            let len = slice.len().min(end.0.saturating_sub(first.0) as usize);
            let is_cut = len < slice.len();
            let taken = self.take_slice(shard, slice, len, scope);
            if taken < len || is_cut {
                return SequenceNumber(first.0 + taken as u64);
            }
        }
        read.next
    }

    /// Takes of the first `len` records of a slice until it is full; returns how many of them are done with.
    pub fn take_slice(&mut self, shard: ShardId, slice: Slice, len: usize, scope: &Scope<'_>) -> usize {
        let source = &slice.batch.source;
        let (mut taken, mut shown) = (0, 0);
        let mut picked = scope.filter.map(|_| Vec::new());
        for record in &slice.batch.records[slice.skip..][..len] {
            if self.is_full(scope) {
                break;
            }
            let mut bytes = RECORD_BYTES + data::bytes_max(source, record.payload);
            if is_shown(record) && scope.filter.is_none_or(|filter| filter.passes(source, record)) {
                bytes += key_bytes(source.bytes(record.key));
                self.records += 1;
                self.bytes += bytes;
                shown += 1;
                if let Some(picked) = &mut picked {
                    picked.push(taken);
                }
            }
            self.looked_at += bytes;
            taken += 1;
        }
        if shown > 0 {
            let picked = picked.map(Vec::into_boxed_slice);
            self.parts.push(Part { shard, slice, len: taken, picked });
        }
        taken
    }
}

/// Bytes of a key as the inside of a JSON string, at most: `\u0000` for a byte is the longest form.
fn key_bytes(key: &[u8]) -> u64 {
    let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    let times = if key.iter().all(is_plain) { 1 } else { 6 };
    key.len() as u64 * times
}
