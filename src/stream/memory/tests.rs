use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::{RecordSpans, Source, Span};
use crate::runtime::budget::Budget;

/// A batch of `count` records of ten bytes each that arrived at `arrival`.
fn batch(count: usize, arrival: i64) -> Batch {
    let body = Bytes::from(vec![b'x'; count * 10]);
    let permit = Budget::new(u64::MAX).take_anyway(body.len() as u64);
    let source = Arc::new(Source { body, side: Bytes::new(), arrival: UnixMicros(arrival), permit });
    let records = (0..count)
        .map(|index| RecordSpans {
            payload: Span::new(index * 10, index * 10 + 10),
            key: Span::ABSENT,
            refusal: Span::ABSENT,
        })
        .collect();
    Batch { source, records, captures: Box::default() }
}

fn log(age_micros: u64, bytes: Option<u64>, readers: usize) -> MemoryLog {
    let retention = Retention { age: Duration::from_micros(age_micros), bytes };
    MemoryLog::new(SequenceNumber(100), retention, readers)
}

fn read_all(log: &MemoryLog, from: u64) -> (Vec<u64>, u64) {
    let read = log.read(SequenceNumber(from), u64::MAX);
    let numbers =
        read.slices.iter().flat_map(|slice| slice.first.0..slice.first.0 + slice.len() as u64).collect();
    (numbers, read.skipped)
}

#[test]
fn numbers_are_consecutive_and_a_read_may_begin_inside_a_batch() {
    let log = log(1_000, None, 0);
    assert_eq!(log.append(batch(3, 0)), Appended { first: SequenceNumber(100), last: SequenceNumber(102) });
    assert_eq!(log.append(batch(2, 0)), Appended { first: SequenceNumber(103), last: SequenceNumber(104) });
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
    let read = log.read(SequenceNumber(100), 1);
    assert_eq!((read.slices.len(), read.next), (1, SequenceNumber(102)));
    let read = log.read(read.next, 21);
    assert_eq!((read.slices.len(), read.next), (2, SequenceNumber(106)));
}

#[test]
fn retention_never_takes_what_a_delivery_still_needs() {
    let log = log(10, Some(0), 2);
    log.append(batch(1, 0));
    log.append(batch(1, 0));
    log.release(0, SequenceNumber(102));
    log.release(1, SequenceNumber(101));
    assert_eq!(log.enforce_retention(UnixMicros(1_000)), Evicted { by_age: 1, by_bytes: 0 });
    assert_eq!(log.reclaim(u64::MAX), (0, 0));
    log.release(1, SequenceNumber(102));
    assert_eq!(log.reclaim(u64::MAX), (1, 10));
    assert_eq!(read_all(&log, 100), (vec![], 2));
}

#[test]
fn a_position_is_found_by_arrival_time() {
    let log = log(1_000, None, 0);
    log.append(batch(2, 10));
    log.append(batch(2, 20));
    assert_eq!(log.position_at(UnixMicros(5)), SequenceNumber(100));
    assert_eq!(log.position_at(UnixMicros(11)), SequenceNumber(102));
    assert_eq!(log.position_at(UnixMicros(21)), SequenceNumber(104));
    assert_eq!(log.arrival_at(SequenceNumber(103)), Some(UnixMicros(20)));
    assert_eq!(log.arrival_at(SequenceNumber(104)), None);
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read(usize),
    Release(usize, u64),
    Retain(i64),
    Reclaim(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_usize..5).prop_map(Step::Append),
        (0_usize..60).prop_map(Step::Read),
        (0_usize..2, 0_u64..60).prop_map(|(reader, upto)| Step::Release(reader, upto)),
        (0_i64..60).prop_map(Step::Retain),
        (0_u64..200).prop_map(Step::Reclaim),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// The model is the list of all numbers: the log may only forget a prefix of it, and only a released one.
    #[test]
    fn the_log_behaves_like_a_list_with_a_forgotten_prefix(steps in steps()) {
        let log = log(20, Some(300), 2);
        let (mut next, mut clock, mut released) = (100_u64, 0_i64, [100_u64; 2]);
        for step in steps {
            match step {
                Step::Append(count) => {
                    clock += 1;
                    prop_assert_eq!(log.append(batch(count, clock)).first.0, next);
                    next += count as u64;
                }
                Step::Read(offset) => {
                    let from = 100 + offset as u64;
                    let (numbers, skipped) = read_all(&log, from);
                    let start = (from + skipped).min(next).max(from);
                    prop_assert_eq!(numbers, (start..next).collect::<Vec<_>>());
                }
                Step::Release(reader, upto) => {
                    let upto = (100 + upto).min(next);
                    released[reader] = released[reader].max(upto);
                    log.release(reader, SequenceNumber(upto));
                }
                Step::Retain(ahead) => { log.enforce_retention(UnixMicros(clock + ahead)); }
                Step::Reclaim(bytes) => { log.reclaim(bytes); }
            }
            let bounds = log.bounds();
            prop_assert_eq!(bounds.next.0, next);
            prop_assert_eq!(bounds.bytes, (bounds.next.0 - bounds.first.0) * 10);
            prop_assert!(bounds.first.0 <= released[0].min(released[1]).max(100));
        }
    }
}
