use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::{Batch, Source, Span};
use crate::runtime::budget::Budget;
use crate::stream::{MemoryLog, Retention};

/// A record to be: payload, key, and whether it is bound for the dead letters.
type Parts<'a> = (&'a [u8], &'a [u8], bool);

fn batch(records: &[Parts<'_>]) -> Batch {
    let (mut body, mut spans) = (Vec::new(), Vec::new());
    let mut put = |bytes: &[u8]| {
        body.extend_from_slice(bytes);
        Span::new(body.len() - bytes.len(), body.len())
    };
    for &(payload, key, is_dead) in records {
        let (payload, key) = (put(payload), put(key));
        let refusal = if is_dead { payload } else { Span::ABSENT };
        spans.push(RecordSpans { payload, key, refusal });
    }
    let permit = Budget::new(u64::MAX).take_anyway(0);
    let source =
        Source { body: body.into(), side: Bytes::new(), arrival: UnixMicros(1_700_000_000_000_000), permit };
    Batch { source: Arc::new(source), records: spans.into(), captures: Box::default() }
}

fn log(batches: impl IntoIterator<Item = Batch>) -> MemoryLog {
    let retention = Retention { age: Duration::from_secs(1), bytes: None };
    let log = MemoryLog::new(SequenceNumber(100), retention, 0);
    for batch in batches {
        log.append(batch);
    }
    log
}

/// What is found in `log` from 100 on.
fn take(log: &MemoryLog, limit: usize) -> (Found, u64) {
    let mut found = Found::none();
    let next = found.take_shard(ShardId(0), log, SequenceNumber(100), limit);
    found.next.positions.push((ShardId(0), next));
    (found, next.0)
}

fn free(bytes: u64) -> Result<Permit, Problem> {
    Ok(Budget::new(u64::MAX).take_anyway(bytes))
}

fn parse(page: &[u8]) -> Value {
    serde_json::from_slice(page).expect("a page is JSON")
}

#[test]
fn a_page_ends_inside_a_batch_when_it_has_what_was_asked_for() {
    let three = || batch(&[(&b"1"[..], &b"k"[..], false); 3]);
    let log = log([three(), three()]);
    for (limit, records, next) in [(1, 1, 101), (3, 3, 103), (4, 4, 104), (100, 6, 106)] {
        let (found, position) = take(&log, limit);
        assert_eq!((found.records, position), (records, next), "limit {limit}");
        let page = parse(&found.into_page(free).expect("paid"));
        let records = page["records"].as_array().expect("a list");
        let numbers: Vec<_> = records.iter().map(|record| record["sequence_number"].clone()).collect();
        assert_eq!(numbers, (100..next).map(|number| Value::from(number.to_string())).collect::<Vec<_>>());
    }
}

#[test]
fn a_page_ends_with_the_record_that_passes_its_bytes() {
    let payload = format!("\"{}\"", "x".repeat(1 << 20));
    let log = log((0..6).map(|_| batch(&[(payload.as_bytes(), b"", false)])));
    let (found, next) = take(&log, 100);
    assert_eq!((found.records, next), (4, 104), "four times a MiB and what is around it");
}

#[test]
fn dead_letters_are_passed_over_and_bound_the_work_all_the_same() {
    let dead = || batch(&[(&b"{"[..], &b""[..], true); 1_000]);
    let few = log([dead(), batch(&[(b"1", b"", false)])]);
    let (found, next) = take(&few, 1);
    assert_eq!((found.records, next, found.parts.len()), (1, 1_101, 1));

    let many = log((0..100).map(|_| dead()));
    let (found, next) = take(&many, 1);
    assert_eq!((found.records, found.bytes), (0, 0));
    assert!((100 + TAP_BYTES_MAX / 200..100_100).contains(&next), "{next}");
}

#[test]
fn a_page_is_paid_for_until_its_last_byte_is_dropped() {
    let budget = Budget::new(1_000);
    let pay = |bytes| budget.try_take(bytes).ok_or(Problem::MemoryFull);
    let log = log([batch(&[(b"1", b"k", false)])]);
    let page = take(&log, 1).0.into_page(pay).expect("there is enough");
    let used = budget.used();
    assert!(used >= page.len() as u64, "{used} paid for {}", page.len());
    let rest = page.slice(page.len() - 1..);
    drop(page);
    assert_eq!(budget.used(), used);
    drop(rest);
    assert_eq!(budget.used(), 0);

    let all = budget.try_take(1_000);
    assert_eq!(take(&log, 1).0.into_page(pay), Err(Problem::MemoryFull));
    assert_eq!(
        parse(&Found::none().into_page(pay).expect("an empty page is free"))["records"],
        Value::Array(vec![])
    );
    drop(all);
}

proptest! {
    /// The buffer is made once and never grows, whatever is in the records, so what was paid for is what is held.
    #[test]
    fn a_page_never_outgrows_what_was_paid_for(
        records in prop::collection::vec((0_usize..50, prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 1..20),
        (shard, first) in (any::<u32>(), 0..u64::MAX - 100),
    ) {
        let payloads: Vec<_> = records.iter().map(|(len, ..)| format!("\"{}\"", "x".repeat(*len))).collect();
        let parts: Vec<_> = records.iter().zip(&payloads)
            .map(|((_, key, is_dead), payload)| (payload.as_bytes(), key.as_slice(), *is_dead)).collect();
        let slice = Slice { batch: Arc::new(batch(&parts)), skip: 0, first: SequenceNumber(first) };
        let mut found = Found::none();
        prop_assert_eq!(found.take_slice(ShardId(shard), slice, usize::MAX), records.len());
        found.next.positions.push((ShardId(u32::MAX), SequenceNumber(u64::MAX)));
        found.skipped = u64::MAX;
        let mut paid = 0;
        let page = found.into_page(|bytes| { paid = bytes; free(bytes) }).expect("paid");
        let shown: Vec<_> = records.iter().zip(&payloads).filter(|((_, _, is_dead), _)| !is_dead).collect();
        prop_assert!(shown.is_empty() || page.len() as u64 <= paid, "{} > {paid}", page.len());
        let page = parse(&page);
        let written = page["records"].as_array().expect("a list");
        prop_assert_eq!(written.len(), shown.len());
        for (record, ((_, key, _), payload)) in written.iter().zip(shown) {
            prop_assert_eq!(record["partition_key"].as_str(), Some(&*String::from_utf8_lossy(key)));
            prop_assert_eq!(&record["data"], &parse(payload.as_bytes()));
        }
    }
}
