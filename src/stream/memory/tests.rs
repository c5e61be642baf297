use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::{Content, RecordSpans, Source, Span};
use crate::runtime::budget::Budget;

/// A batch of `count` records of ten bytes each that arrived at `arrival`.
fn batch(count: usize, arrival: i64) -> Batch {
    let body = Bytes::from(vec![b'x'; count * 10]);
    let permit = Budget::new(u64::MAX).take_anyway(body.len() as u64);
    let source = Arc::new(Source {
        body,
        content: Content::Json,
        side: Bytes::new(),
        arrival: UnixMicros(arrival),
        permit,
    });
    let records = (0..count)
        .map(|index| RecordSpans {
            payload: Span::new(index * 10, index * 10 + 10),
            key: Span::ABSENT,
            refusal: Span::ABSENT,
        })
        .collect();
    Batch { source, records, captures: Box::default(), aggregates: Box::default() }
}

fn log(age_micros: u64, bytes: Option<u64>, readers: usize) -> MemoryLog {
    let retention = Retention { age: Duration::from_micros(age_micros), bytes };
    MemoryLog::new(SequenceNumber(100), retention, readers)
}

fn read_all(log: &MemoryLog, from: u64) -> (Vec<u64>, u64) {
    let read = log.read(SequenceNumber(from), ReadLimit::bytes(u64::MAX));
    let numbers =
        read.slices.iter().flat_map(|slice| slice.first.0..slice.first.0 + slice.len() as u64).collect();
    (numbers, read.skipped)
}

#[test]
fn numbers_are_consecutive_and_a_read_may_begin_inside_a_batch() {
    let log = log(1_000, None, 0);
    assert_eq!(log.append(batch(3, 0)), Appended::together(SequenceNumber(100), 3));
    assert_eq!(log.append(batch(2, 0)), Appended::together(SequenceNumber(103), 2));
    assert_eq!(read_all(&log, 101), (vec![101, 102, 103, 104], 0));
    assert_eq!(read_all(&log, 105), (vec![], 0));
    assert_eq!(log.bounds(), Bounds { first: SequenceNumber(100), next: SequenceNumber(105), bytes: 50 });
}

#[test]
fn a_read_stops_at_its_byte_bound_but_gives_at_least_one_batch() {
    let log = log(1_000, None, 0);
    for _ in 0..3 {
        log.append(batch(2, 0));
    }
    let read = log.read(SequenceNumber(100), ReadLimit::bytes(1));
    assert_eq!((read.slices.len(), read.next), (1, SequenceNumber(102)));
    let read = log.read(read.next, ReadLimit::bytes(21));
    assert_eq!((read.slices.len(), read.next), (2, SequenceNumber(106)));
}

#[test]
fn a_read_stops_behind_the_batch_that_has_the_last_record_asked_for() {
    let log = log(1_000, None, 0);
    for _ in 0..4 {
        log.append(batch(2, 0));
    }
    for (from, records, batches, next) in
        [(100, 0, 1, 102), (100, 1, 1, 102), (100, 2, 1, 102), (100, 3, 2, 104), (101, 2, 2, 104)]
    {
        let read = log.read(SequenceNumber(from), ReadLimit { bytes: u64::MAX, records });
        assert_eq!(
            (read.slices.len(), read.next),
            (batches, SequenceNumber(next)),
            "{records} records from {from}"
        );
    }
}

#[test]
fn only_numbers_that_this_log_has_given_are_skipped() {
    let log = log(1_000, None, 0);
    assert_eq!(read_all(&log, 0), (vec![], 0));
    log.append(batch(3, 0));
    log.append(batch(2, 1));
    assert_eq!(read_all(&log, 0), (vec![100, 101, 102, 103, 104], 0));
    assert_eq!(log.reclaim(UnixMicros(1)), 3);
    for (from, skipped) in [(0, 3), (99, 3), (100, 3), (102, 1), (103, 0)] {
        assert_eq!(read_all(&log, from), (vec![103, 104], skipped), "from {from}");
    }
    assert_eq!(read_all(&log, 1_000), (vec![], 0));
}

#[test]
fn retention_never_takes_what_a_delivery_still_needs() {
    let log = log(10, Some(0), 2);
    log.append(batch(1, 0));
    log.append(batch(1, 0));
    log.release(0, SequenceNumber(102));
    assert_eq!((log.oldest_arrival(), log.reclaim(UnixMicros(i64::MAX))), (None, 0));
    log.release(1, SequenceNumber(101));
    assert_eq!(log.enforce_retention(UnixMicros(1_000)), Evicted { by_age: 1, by_bytes: 0 });
    assert_eq!((log.oldest_arrival(), log.reclaim(UnixMicros(i64::MAX))), (None, 0));
    log.release(1, SequenceNumber(102));
    assert_eq!((log.oldest_arrival(), log.reclaim(UnixMicros(i64::MAX))), (Some(UnixMicros(0)), 1));
    assert_eq!(read_all(&log, 100), (vec![], 2));
}

#[test]
fn reclaiming_takes_the_released_batches_that_arrived_before_a_time() {
    let log = log(1_000, None, 1);
    for arrival in [10, 20, 30, 40] {
        log.append(batch(2, arrival));
    }
    // The end of a batch must be released too.
    log.release(0, SequenceNumber(101));
    assert_eq!((log.oldest_arrival(), log.reclaim(UnixMicros(100))), (None, 0));
    log.release(0, SequenceNumber(107));
    assert_eq!((log.oldest_arrival(), log.reclaim(UnixMicros(10))), (Some(UnixMicros(10)), 0));
    assert_eq!((log.reclaim(UnixMicros(21)), log.oldest_arrival()), (4, Some(UnixMicros(30))));
    assert_eq!((log.reclaim(UnixMicros(100)), log.oldest_arrival()), (2, None));
    assert_eq!(log.bounds(), Bounds { first: SequenceNumber(106), next: SequenceNumber(108), bytes: 20 });
}

#[test]
fn a_position_is_found_by_arrival_time() {
    let log = log(1_000, None, 0);
    log.append(batch(2, 10));
    log.append(batch(2, 20));
    assert_eq!(log.position_at(UnixMicros(5)).find().unwrap(), SequenceNumber(100));
    assert_eq!(log.position_at(UnixMicros(11)).find().unwrap(), SequenceNumber(102));
    assert_eq!(log.position_at(UnixMicros(21)).find().unwrap(), SequenceNumber(104));
    assert_eq!(log.arrival_at(SequenceNumber(103)), Some(UnixMicros(20)));
    assert_eq!(log.arrival_at(SequenceNumber(104)), None);
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read(usize, usize),
    Release(usize, u64),
    Retain(i64),
    Reclaim(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_usize..5).prop_map(Step::Append),
        (0_usize..170, 0_usize..20).prop_map(|(from, records)| Step::Read(from, records)),
        (0_usize..2, 0_u64..60).prop_map(|(reader, upto)| Step::Release(reader, upto)),
        (0_i64..60).prop_map(Step::Retain),
        (0_i64..60).prop_map(Step::Reclaim),
    ];
    prop::collection::vec(step, 0..60)
}

/// The model of a log: end and arrival of each batch that it has, and how far the prefix goes that it has not.
struct Model {
    batches: VecDeque<(u64, i64)>,
    first: u64,
    released: [u64; 2],
}

impl Model {
    fn may_forget(&self) -> Option<(u64, i64)> {
        let released = self.released[0].min(self.released[1]);
        self.batches.front().copied().filter(|&(end, _)| end <= released)
    }

    /// Returns the records.
    fn forget(&mut self, unwanted: impl Fn(&Self, i64) -> bool) -> u64 {
        let before = self.first;
        while let Some((end, arrival)) = self.may_forget()
            && unwanted(self, arrival)
        {
            self.batches.pop_front();
            self.first = end;
        }
        self.first - before
    }
}

proptest! {
    /// The log may only forget a prefix of what it was given, only a released one, and exactly what it was told to.
    #[test]
    fn the_log_behaves_like_a_list_with_a_forgotten_prefix(steps in steps()) {
        let log = log(20, Some(300), 2);
        let mut model = Model { batches: VecDeque::new(), first: 100, released: [100; 2] };
        let (mut next, mut clock) = (100_u64, 0_i64);
        for step in steps {
            match step {
                Step::Append(count) => {
                    clock += 1;
                    prop_assert_eq!(log.append(batch(count, clock)).first.0, next);
                    next += count as u64;
                    model.batches.push_back((next, clock));
                }
                Step::Read(from, records) => {
                    let from = from as u64;
                    let (numbers, skipped) = read_all(&log, from);
                    prop_assert_eq!(numbers, (from.max(model.first)..next).collect::<Vec<_>>());
                    prop_assert_eq!(skipped, model.first.saturating_sub(from.max(100)));
                    let read = log.read(SequenceNumber(from), ReadLimit { bytes: u64::MAX, records });
                    let wanted = from.max(model.first) + (records as u64).max(1);
                    let end = model.batches.iter().map(|&(end, _)| end).find(|&end| end >= wanted);
                    prop_assert_eq!(read.next.0, end.unwrap_or(next).max(from));
                }
                Step::Release(reader, upto) => {
                    let upto = (100 + upto).min(next);
                    model.released[reader] = model.released[reader].max(upto);
                    log.release(reader, SequenceNumber(upto));
                }
                Step::Retain(ahead) => {
                    let evicted = log.enforce_retention(UnixMicros(clock + ahead));
                    prop_assert_eq!(evicted.by_age, model.forget(|_, arrival| arrival < clock + ahead - 20));
                    prop_assert_eq!(evicted.by_bytes, model.forget(|model, _| (next - model.first) * 10 > 300));
                }
                Step::Reclaim(before) => {
                    let records = log.reclaim(UnixMicros(before));
                    prop_assert_eq!(records, model.forget(|_, arrival| arrival < before));
                }
            }
            let bytes = (next - model.first) * 10;
            let bounds = Bounds { first: SequenceNumber(model.first), next: SequenceNumber(next), bytes };
            prop_assert_eq!(log.bounds(), bounds);
            let oldest = model.may_forget().map(|(_, arrival)| UnixMicros(arrival));
            prop_assert_eq!(log.oldest_arrival(), oldest);
        }
    }
}
