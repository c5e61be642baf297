//! Messages → batches.
//!
//! All records of a batch have one arrival, and numbers that follow each other. So a batch ends where the timestamp is
//! another one, or where numbers are missing: what is in it does not depend on how the messages were fetched.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::REFUSAL_HEADER;
use super::judge::Judge;
use crate::record::{Batch, RecordSpans, SequenceNumber, Source, Span};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::stream::captures::CapturePlan;

/// Messages of one partition on their way to batches.
#[derive(Debug, Default)]
pub struct Draft {
    /// Payloads, one after the other.
    body: Vec<u8>,
    /// Keys and refusals.
    side: Vec<u8>,
    batches: Vec<Part>,
    records: usize,
    /// The offset behind the last message.
    next: Option<u64>,
}

#[derive(Debug)]
struct Part {
    first: u64,
    arrival: UnixMicros,
    body: Range<usize>,
    side: Range<usize>,
    /// Spans of payloads count from the start of `body`, the others from that of `side`.
    records: Vec<RecordSpans>,
}

/// A batch, and its place.
#[derive(Debug)]
pub struct Placed {
    /// Number of its first record.
    pub first: SequenceNumber,
    /// Its records.
    pub batch: Arc<Batch>,
}

impl Draft {
    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> u64 {
        (self.body.len() + self.side.len() + self.records * size_of::<RecordSpans>()) as u64
    }

    /// Payload bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The offset behind the last message that was taken, record or not.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Takes a message. One without a value, which marks a key as deleted, is no record.
    pub fn take(&mut self, message: &BorrowedMessage<'_>, judge: &Judge) {
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        self.next = Some(offset + 1);
        let Some(payload) = message.payload() else { return };
        let millis = message.timestamp().to_millis().unwrap_or_default().max(0);
        let arrival = UnixMicros(millis.saturating_mul(1_000));
        let told = message.headers().and_then(|headers| {
            let mut headers = headers.iter().filter(|header| header.key == REFUSAL_HEADER);
            headers.find_map(|header| header.value)
        });
        match told {
            Some(reason) => self.push((offset, arrival), payload, message.key(), Some(reason)),
            None => {
                let refusal = judge.refusal(payload);
                let refusal = refusal.as_ref().map(String::as_bytes);
                self.push((offset, arrival), payload, message.key(), refusal);
            }
        }
    }

    fn push(
        &mut self,
        (offset, arrival): (u64, UnixMicros),
        payload: &[u8],
        key: Option<&[u8]>,
        refusal: Option<&[u8]>,
    ) {
        let (at_body, at_side) = (self.body.len(), self.side.len());
        let follows =
            |part: &Part| part.arrival == arrival && part.first + part.records.len() as u64 == offset;
        if !self.batches.last().is_some_and(follows) {
            let (body, side) = (at_body..at_body, at_side..at_side);
            self.batches.push(Part { first: offset, arrival, body, side, records: Vec::new() });
        }
        let Some(part) = self.batches.last_mut() else { return };
        let span =
            |start: usize, from: usize, bytes: &[u8]| Span::new(start - from, start - from + bytes.len());
        let payload_span = span(at_body, part.body.start, payload);
        self.body.extend_from_slice(payload);
        let mut aside = |bytes: &[u8]| {
            let span = span(self.side.len(), part.side.start, bytes);
            self.side.extend_from_slice(bytes);
            span
        };
        // An empty key is as good as none: it says nothing of the record.
        let key = key.filter(|key| !key.is_empty()).map_or(Span::ABSENT, &mut aside);
        let refusal = refusal.map_or(Span::ABSENT, &mut aside);
        part.body.end = self.body.len();
        part.side.end = self.side.len();
        part.records.push(RecordSpans { payload: payload_span, key, refusal });
        self.records += 1;
    }

    /// The batches, with the fields of `captures`. `permit` pays for [`Draft::bytes`], and is held for as long as one of
    /// them is.
    pub fn into_batches(self, judge: &Judge, captures: &CapturePlan, permit: Permit) -> Vec<Placed> {
        let Self { body, side, batches, .. } = self;
        let budget = Arc::clone(permit.budget());
        let (body, side) = (permit.cover(body), Bytes::from(side));
        let placed = |part: Part| {
            let Part { first, arrival, body: in_body, side: in_side, mut records } = part;
            let body = body.slice(in_body);
            for record in &mut records {
                record.key = record.key.behind(body.len());
                record.refusal = record.refusal.behind(body.len());
            }
            let mut found = Vec::new();
            captures.capture(&body, &records, &mut found);
            if captures.slots() > 0 {
                forget_captures_of_refused(&records, captures.slots(), &mut found);
            }
            let (content, side) = (judge.content(), side.slice(in_side));
            let permit = budget.take_anyway((found.len() * size_of::<Span>()) as u64);
            let source = Arc::new(Source { body, content, side, arrival, permit });
            let (records, captures) = (records.into(), found.into());
            let batch = Batch { source, records, captures, aggregates: Box::default() };
            Placed { first: SequenceNumber(first), batch: Arc::new(batch) }
        };
        batches.into_iter().map(placed).collect()
    }
}

/// The edge notes no fields of records that are bound for the dead letters.
fn forget_captures_of_refused(records: &[RecordSpans], slots: usize, captures: &mut [Span]) {
    for (record, found) in records.iter().zip(captures.chunks_mut(slots)) {
        if record.refusal.is_present() {
            found.fill(Span::ABSENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Content;
    use crate::runtime::budget::Budget;
    use crate::stream::captures::Captures;

    type Given<'a> = (u64, i64, &'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

    fn batches(given: &[Given<'_>]) -> Vec<Placed> {
        let mut draft = Draft::default();
        for &(offset, arrival, payload, key, refusal) in given {
            draft.push((offset, UnixMicros(arrival)), payload, key, refusal);
        }
        let budget = Budget::new(1 << 20);
        let permit = budget.take_anyway(draft.bytes());
        let judge = Judge::new(Content::Json, None).unwrap();
        let mut captures = Captures::default();
        captures.slot(&crate::json::Pointer::parse("/a").unwrap());
        draft.into_batches(&judge, &captures.plan().unwrap(), permit)
    }

    #[test]
    fn a_batch_ends_where_numbers_are_missing_and_where_another_millisecond_begins() {
        let given: Vec<Given<'_>> = vec![
            (5, 1, b"{\"a\":1}", Some(b"k"), None),
            (6, 1, b"no", None, Some(b"json no")),
            (8, 1, b"{}", Some(b""), None),
            (9, 2, b"{\"a\":22}", Some(b"key"), None),
        ];
        let placed = batches(&given);
        let shape = placed.iter().map(|placed| (placed.first.0, placed.batch.records.len()));
        assert_eq!(shape.collect::<Vec<_>>(), [(5, 2), (8, 1), (9, 1)]);
        let records = placed.iter().flat_map(|placed| {
            let source = &placed.batch.source;
            placed.batch.records.iter().enumerate().map(move |(index, record)| {
                let captured = source.bytes(placed.batch.captures_of(index)[0]);
                (source.arrival.0, source.bytes(record.payload), record.key, record.refusal, captured, source)
            })
        });
        for ((arrival, payload, key, refusal, captured, source), given) in records.zip(&given) {
            assert_eq!((arrival, payload), (given.1, given.2));
            assert_eq!(key.is_present(), given.3.is_some_and(|key| !key.is_empty()));
            assert_eq!(source.bytes(key), given.3.unwrap_or_default());
            assert_eq!(refusal.is_present(), given.4.is_some());
            assert_eq!(source.bytes(refusal), given.4.unwrap_or_default());
            let expected: &[u8] = match given.0 {
                5 => b"1",
                9 => b"22",
                _ => b"",
            };
            assert_eq!(captured, expected);
        }
    }

    #[test]
    fn memory_is_given_back_with_the_last_batch() {
        let mut draft = Draft::default();
        draft.push((0, UnixMicros(1)), b"{}", None, None);
        draft.push((1, UnixMicros(2)), b"{}", None, None);
        let budget = Budget::new(1 << 20);
        let permit = budget.take_anyway(draft.bytes());
        let judge = Judge::new(Content::Json, None).unwrap();
        let mut placed = draft.into_batches(&judge, &Captures::default().plan().unwrap(), permit);
        assert_eq!(placed.len(), 2);
        placed.pop();
        assert!(budget.used() > 0);
        placed.pop();
        assert_eq!(budget.used(), 0);
    }
}
