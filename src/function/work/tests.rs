use super::*;
use crate::runtime::budget::Budget;

/// A slice of records of one byte each, all but the first `skip` of a batch.
fn slice(first: u64, payload: &'static [u8], skip: usize, arrival: i64) -> Slice {
    let permit = Budget::new(1).take_anyway(0);
    let source = Source {
        body: Bytes::from_static(payload),
        content: Content::Any,
        side: Bytes::new(),
        arrival: UnixMicros(arrival),
        permit,
    };
    let record =
        |at| RecordSpans { payload: Span::new(at, at + 1), key: Span::ABSENT, refusal: Span::ABSENT };
    let records = (0..payload.len()).map(record).collect();
    let batch =
        Batch { source: Arc::new(source), records, captures: Box::default(), aggregates: Box::default() };
    Slice { batch: Arc::new(batch), skip, first: SequenceNumber(first) }
}

fn read() -> Read {
    let slices =
        vec![slice(5, b"xabc", 1, 1_000_000), slice(9, b"de", 0, 1_500_000), slice(11, b"f", 0, 9_000_000)];
    Read { slices, ..Read::nothing(SequenceNumber(12)) }
}

fn work(bytes: u64, records: usize) -> Work {
    Work::of(ShardId(3), read(), bytes, records)
}

fn sent(work: &Work) -> Vec<(u64, char)> {
    work.sent().map(|sent| (sent.number.0, char::from(sent.payload[0]))).collect()
}

#[test]
fn work_ends_where_either_bound_is_reached_and_has_one_record_in_any_case() {
    let all = [(5, 'a'), (6, 'b'), (7, 'c'), (9, 'd'), (10, 'e'), (11, 'f')];
    for (bytes, records, count, to, is_full) in [
        (100, 100, 6, 12, false),
        (6, 100, 6, 12, true),
        (100, 6, 6, 12, true),
        (4, 100, 4, 10, true),
        (100, 2, 2, 7, true),
        (0, 0, 1, 6, true),
    ] {
        let work = work(bytes, records);
        assert_eq!(sent(&work), all[..count], "{bytes} {records}");
        assert_eq!((work.to.0, work.is_full, work.count), (to, is_full, count), "{bytes} {records}");
        assert_eq!(work.oldest(), Some(UnixMicros(1_000_000)));
    }
}

#[test]
fn records_that_are_gone_leave_nothing_to_send() {
    let gone = Read { skipped: 3, ..Read::nothing(SequenceNumber(40)) };
    let work = Work::of(ShardId(0), gone, 10, 10);
    assert_eq!((work.oldest(), work.to, work.count), (None, SequenceNumber(40), 0));
}

/// Arrival, payloads, and reasons of each batch.
fn results(outcomes: Vec<Outcome>, data: &[u8]) -> Vec<(i64, Vec<(String, String)>)> {
    let budget = Budget::new(1 << 20);
    let outcomes = Outcomes { data: data.to_vec(), outcomes };
    let pay = |bytes| budget.try_take(bytes).ok_or(());
    let groups = work(100, 100).results(&outcomes, "it says no", pay).unwrap();
    assert!(groups.is_empty() || budget.used() > 0);
    let text = |batch: &Batch, span| String::from_utf8(batch.source.bytes(span).to_vec()).unwrap();
    let shown = |group: &Group| {
        let batch = group.batch();
        let record = |record: &RecordSpans| (text(&batch, record.payload), text(&batch, record.refusal));
        (batch.source.arrival.0, batch.records.iter().map(record).collect())
    };
    groups.iter().map(shown).collect()
}

#[test]
fn results_keep_their_order_and_their_arrival_and_what_has_failed_its_bytes_and_a_reason() {
    let (kept, failed, dropped) = (Outcome::Kept, Outcome::Failed, Outcome::Dropped);
    let fine = |text: &str| (text.to_owned(), String::new());
    let letter = |text: &str| (text.to_owned(), "processing-failed it says no".to_owned());
    assert_eq!(
        results(
            vec![kept(2..5), failed.clone(), kept(0..2), dropped.clone(), failed.clone(), kept(5..5)],
            b"CCAAA"
        ),
        [(1_000_000, vec![fine("AAA"), letter("b"), fine("CC"), letter("e")]), (9_000_000, vec![fine("")]),]
    );
    assert_eq!(results(vec![dropped.clone(); 6], b""), []);
    let most = [vec![dropped; 5], vec![failed]].concat();
    assert_eq!(results(most, b""), [(9_000_000, vec![letter("f")])]);
}

#[test]
fn without_memory_nothing_is_made() {
    let outcomes = Outcomes { data: Vec::new(), outcomes: vec![Outcome::Failed; 6] };
    let mut tries = 0;
    let pay = |_| {
        tries += 1;
        Err::<Permit, _>("full")
    };
    assert_eq!(work(100, 100).results(&outcomes, "no", pay).unwrap_err(), "full");
    assert_eq!(tries, 1);
}
