use proptest::prelude::*;

use super::*;
use crate::testkit::aggregate::{UserRecord, aggregate, bytes, message, number, seal};

/// Key and data of the members of a blob that stands in the middle of a body.
fn members(blob: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    const BEFORE: &[u8] = b"\x08\x01 what stands before";
    let body = [BEFORE, blob, b"\x1a\x05 behind"].concat();
    let span = Span::new(BEFORE.len(), BEFORE.len() + blob.len());
    let mut found = vec![RecordSpans { payload: Span::ABSENT, key: Span::ABSENT, refusal: Span::ABSENT }];
    let count = split(&body, span, usize::MAX, &mut found);
    assert_eq!(found.len(), 1 + count.unwrap_or(0), "what is no aggregate leaves nothing behind");
    let mut again = Vec::new();
    let of = |span: Span| body[span.start()..span.start() + span.len()].to_vec();
    if let Some(count) = count {
        assert_eq!(split_again(&body, span, &mut again), Some(count));
        for (first, second) in found[1..].iter().zip(&again) {
            assert_eq!((first.payload, first.key), (second.payload, second.key));
            assert!(first.payload.start() >= span.start());
            assert!(first.payload.start() + first.payload.len() <= span.start() + span.len());
        }
    }
    count.map(|_| found[1..].iter().map(|record| (of(record.key), of(record.payload))).collect())
}

fn user_record() -> impl Strategy<Value = UserRecord> {
    let key = prop_oneof![Just(b"k".to_vec()), prop::collection::vec(any::<u8>(), 0..300)];
    (key, prop::option::of("[0-9]{1,39}"), prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(key, hash_key, data)| UserRecord { key, hash_key, data })
}

proptest! {
    #[test]
    fn what_was_packed_is_unpacked(records in prop::collection::vec(user_record(), 1..20)) {
        let expected: Vec<_> = records.iter().map(|record| (record.key.clone(), record.data.clone())).collect();
        let fits = records.iter().all(|record| record.key.len() <= PARTITION_KEY_BYTES_MAX);
        prop_assert_eq!(members(&aggregate(&records)), fits.then_some(expected));
    }

    #[test]
    fn a_changed_byte_makes_a_record_like_any_other(
        records in prop::collection::vec(user_record(), 1..5), at in any::<prop::sample::Index>(), with in 1..=255_u8,
    ) {
        let mut blob = aggregate(&records);
        let at = at.index(blob.len());
        blob[at] ^= with;
        prop_assert_eq!(members(&blob), None);
    }

    /// The digest is right, so every length and index must hold on its own.
    #[test]
    fn hostile_messages_do_no_harm(
        records in prop::collection::vec(user_record(), 0..5),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut message = message(&records);
        for (at, byte) in changes {
            let len = message.len();
            if len > 0 {
                message[at.index(len)] = byte;
            }
        }
        message.truncate(cut.index(message.len() + 1));
        message.extend(tail);
        members(&seal(&message));
    }

    #[test]
    fn any_bytes_do_no_harm(message in prop::collection::vec(any::<u8>(), 0..100)) {
        members(&seal(&message));
        prop_assert_eq!(members(&message), None);
        prop_assert_eq!(members(&[&MAGIC[..], &message].concat()), None);
    }
}

#[test]
fn an_aggregate_of_another_program_is_read() {
    // By `aws_kinesis_agg` 1.2.3, from PyPI.
    const BLOB: &str = "f3899ac20a056b65792d310a056b65792d320a036bc3a91201351227333430323832333636393230393338343633\
        3436333337343630373433313736383231313435351a0c08001a087b226964223a317d1a08080110001a02ff001a06080010011a00\
        1a0b08021a076e6f206a736f6e0662497d4a155c1af3200d4185083a55";
    let digit = |at: usize| u8::from_str_radix(&BLOB[at..at + 2], 16).unwrap();
    let blob: Vec<u8> = (0..BLOB.len()).step_by(2).map(digit).collect();
    let expected: [(&[u8], &[u8]); 4] =
        [(b"key-1", b"{\"id\":1}"), (b"key-2", b"\xff\x00"), (b"key-1", b""), ("ké".as_bytes(), b"no json")];
    let expected = expected.map(|(key, data)| (key.to_vec(), data.to_vec()));
    assert_eq!(members(&blob).unwrap(), expected);
}

/// A message of two keys, one hash key and a record that `fill` writes.
fn with_record(fill: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut record, mut message) = (Vec::new(), Vec::new());
    fill(&mut record);
    bytes(3, &record, &mut message);
    // Tables may stand behind what refers to them.
    bytes(1, b"a", &mut message);
    bytes(1, b"b", &mut message);
    bytes(2, b"7", &mut message);
    members(&seal(&message))
}

#[test]
fn indices_must_lie_in_their_tables_and_what_is_required_must_be_there() {
    let member = |key: &[u8], data: &[u8]| Some(vec![(key.to_vec(), data.to_vec())]);
    let record = |key: u64, hash_key: u64| {
        with_record(|record| {
            number(1, key, record);
            number(2, hash_key, record);
            bytes(3, b"data", record);
        })
    };
    assert_eq!(record(1, 0), member(b"b", b"data"));
    assert_eq!(record(2, 0), None);
    assert_eq!(record(u64::MAX, 0), None);
    assert_eq!(record(0, 1), None);
    assert_eq!(with_record(|record| number(1, 0, record)), None, "no data");
    assert_eq!(with_record(|record| bytes(3, b"x", record)), None, "no key");
    assert_eq!(with_record(|record| bytes(1, b"a", record)), None, "an index that is bytes");
    let unknown = with_record(|record| {
        bytes(4, b"a tag", record);
        number(99, u64::MAX, record);
        bytes(3, b"first", record);
        number(1, 0, record);
        bytes(3, b"last", record);
    });
    assert_eq!(unknown, member(b"a", b"last"), "as readers of protocol buffers do");
}

#[test]
fn nothing_in_it_or_too_much_of_it_is_no_aggregate() {
    assert_eq!(members(&seal(b"")), None);
    assert_eq!(members(&seal(&message(&[]))), None);
    let records: Vec<_> = (0..10).map(|n: u8| UserRecord::new([n], [n])).collect();
    let blob = aggregate(&records);
    let whole = Span::new(0, blob.len());
    assert_eq!(split(&blob, whole, 10, &mut Vec::new()), Some(10));
    assert_eq!(split(&blob, whole, 9, &mut Vec::new()), None);
    assert_eq!(split(&blob, Span::new(0, blob.len() + 1), 10, &mut Vec::new()), None, "beyond the body");
    assert_eq!(split(&blob, Span::ABSENT, 10, &mut Vec::new()), None);
}
