//! Records that are sent together, and what comes back of them as batches of the target.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::contract::{Outcome, Outcomes, Sent};
use crate::config::limits::{FUNCTION_RECORDS_MAX, REQUEST_OVERHEAD_BYTES};
use crate::delivery::classify::FUNCTION_FAILED;
use crate::record::{Batch, Content, RecordSpans, SequenceNumber, ShardId, Source, Span};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::stream::{Read, Slice};

/// Records whose arrivals are this near are in one batch of the target, with the arrival of the first.
const SAME_ARRIVAL: Duration = Duration::from_secs(1);

/// Records of one shard, in order.
#[derive(Debug)]
pub struct Work {
    /// The shard.
    pub shard: ShardId,
    /// The number behind the last of them.
    pub to: SequenceNumber,
    /// Their bytes.
    pub bytes: u64,
    /// Whether no more may come along.
    pub is_full: bool,
    /// How many they are.
    pub count: usize,
    pieces: Vec<Piece>,
}

/// The first records of a slice.
#[derive(Debug)]
struct Piece {
    slice: Slice,
    count: usize,
}

impl Work {
    /// The first records of `read`, up to `bytes` of them and `records` in number, but one in any case.
    pub fn of(shard: ShardId, read: Read, bytes_max: u64, records_max: usize) -> Self {
        let records_max = records_max.clamp(1, FUNCTION_RECORDS_MAX);
        let mut work = Self { shard, to: read.next, bytes: 0, is_full: false, count: 0, pieces: Vec::new() };
        for slice in read.slices {
            let batch = Arc::clone(&slice.batch);
            let mut count = 0;
            for record in batch.records.iter().skip(slice.skip) {
                let bytes = record.payload.len() as u64;
                if work.count > 0 && (work.bytes + bytes > bytes_max || work.count >= records_max) {
                    work.is_full = true;
                    break;
                }
                work.bytes += bytes;
                work.count += 1;
                count += 1;
            }
            let end = SequenceNumber(slice.first.0 + count as u64);
            if count > 0 {
                work.pieces.push(Piece { slice, count });
            }
            if work.is_full {
                work.to = end;
                break;
            }
        }
        work.is_full |= work.bytes >= bytes_max || work.count >= records_max;
        work
    }

    /// When the first of them came in, if there are any.
    pub fn oldest(&self) -> Option<UnixMicros> {
        self.pieces.first().map(|piece| piece.slice.batch.source.arrival)
    }

    /// What of them is sent.
    pub fn sent(&self) -> impl Iterator<Item = Sent<'_>> {
        self.pieces.iter().flat_map(|Piece { slice, count }| {
            let source = &slice.batch.source;
            let records = slice.batch.records.iter().skip(slice.skip).take(*count);
            records.zip(slice.first.0..).map(|(record, number)| Sent {
                number: SequenceNumber(number),
                arrival: source.arrival,
                payload: source.bytes(record.payload),
            })
        })
    }

    /// What takes their place: groups, each with one arrival, none of them empty. `why` is told of those that have
    /// failed; `pay` takes memory for a group.
    ///
    /// # Errors
    /// What `pay` says.
    pub fn results<E>(
        &self,
        outcomes: &Outcomes,
        why: &str,
        mut pay: impl FnMut(u64) -> Result<Permit, E>,
    ) -> Result<Vec<Group>, E> {
        let (mut groups, mut growing) = (Vec::new(), Growing::new(UnixMicros::default()));
        let mut outcomes_left = outcomes.outcomes.iter();
        for Piece { slice, count } in &self.pieces {
            let source = &slice.batch.source;
            if source.arrival.0.abs_diff(growing.arrival.0) >= SAME_ARRIVAL.as_micros() as u64 {
                groups.extend(growing.end(&mut pay)?);
                growing = Growing::new(source.arrival);
            }
            for record in slice.batch.records.iter().skip(slice.skip).take(*count) {
                let key = source.bytes(record.key);
                match outcomes_left.next() {
                    Some(Outcome::Kept(at)) => {
                        growing.push(outcomes.data.get(at.clone()).unwrap_or_default(), key, None);
                    }
                    Some(Outcome::Dropped) => {}
                    // Whatever has no outcome must not be lost.
                    Some(Outcome::Failed) | None => {
                        growing.push(source.bytes(record.payload), key, Some(why));
                    }
                }
            }
        }
        groups.extend(growing.end(&mut pay)?);
        Ok(groups)
    }
}

/// A batch that may be appended again if it was not.
#[derive(Debug)]
pub struct Group {
    source: Arc<Source>,
    records: Box<[RecordSpans]>,
}

impl Group {
    /// The batch. Fields that deliveries want are captured when they read it.
    pub fn batch(&self) -> Batch {
        Batch {
            source: Arc::clone(&self.source),
            records: self.records.clone(),
            captures: Box::default(),
            aggregates: Box::default(),
        }
    }
}

struct Growing {
    arrival: UnixMicros,
    body: Vec<u8>,
    records: Vec<RecordSpans>,
    /// The reason is the same for all.
    refusal: Option<Span>,
}

impl Growing {
    fn new(arrival: UnixMicros) -> Self {
        Self { arrival, body: Vec::new(), records: Vec::new(), refusal: None }
    }

    fn add(&mut self, bytes: &[u8]) -> Span {
        let start = self.body.len();
        self.body.extend_from_slice(bytes);
        Span::new(start, self.body.len())
    }

    fn push(&mut self, payload: &[u8], key: &[u8], failed: Option<&str>) {
        let payload = self.add(payload);
        let key = if key.is_empty() { Span::ABSENT } else { self.add(key) };
        let refusal = match (failed, self.refusal) {
            (None, _) => Span::ABSENT,
            (Some(_), Some(refusal)) => refusal,
            (Some(why), None) => {
                let refusal = self.add(format!("{FUNCTION_FAILED} {why}").as_bytes());
                self.refusal = Some(refusal);
                refusal
            }
        };
        self.records.push(RecordSpans { payload, key, refusal });
    }

    fn end<E>(self, pay: &mut impl FnMut(u64) -> Result<Permit, E>) -> Result<Option<Group>, E> {
        let Self { arrival, body, records, .. } = self;
        if records.is_empty() {
            return Ok(None);
        }
        let spans = records.len() * size_of::<RecordSpans>();
        let permit = pay(REQUEST_OVERHEAD_BYTES + (body.len() + spans) as u64)?;
        let (body, side) = (Bytes::from(body.into_boxed_slice()), Bytes::new());
        let source = Arc::new(Source { body, content: Content::Any, side, arrival, permit });
        Ok(Some(Group { source, records: records.into() }))
    }
}

#[cfg(test)]
mod tests;
