use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::json::Pointer;
use crate::record::{Content, RecordSpans, Source, Span};
use crate::stream::Captures;
use crate::stream::wal::samples::{
    SALT, arbitrary_lengths, arbitrary_parts, batch_of, batch_with_aggregates, commit, entry, no_captures,
    parts_of, permit, plain, puts_of, reply,
};

/// The frame of `entry`, alone.
fn frame(entry: &Entry<'_>) -> Vec<u8> {
    commit(1, std::slice::from_ref(entry)).split_off(COMMIT_HEADER_BYTES)
}

fn decode(frame: &[u8]) -> Result<(SequenceNumber, Batch), FrameError> {
    decode_batch(Bytes::copy_from_slice(frame), permit(), &no_captures())
}

/// Gives `frame` the checksum of what it says.
fn seal(frame: &mut [u8]) {
    let checksum = checksum_of(frame);
    frame[..8].copy_from_slice(&checksum.to_le_bytes());
}

proptest! {
    #[test]
    fn batches_come_back_as_they_were_written(
        parts in arbitrary_parts(),
        lengths in arbitrary_lengths(),
        shard in any::<u32>(),
        first in 0..u64::MAX / 2,
        arrival in any::<i64>(),
    ) {
        let batch = batch_with_aggregates(&parts, &lengths, arrival);
        let parts = parts_of(&batch);
        let entry = entry(shard, first, &batch);
        let frame = frame(&entry);
        prop_assert_eq!(frame.len() as u64, entry.encoded_bytes());
        let header = FrameHeader::verify(&frame).unwrap();
        prop_assert_eq!(header.kind, FrameKind::Batch);
        prop_assert_eq!(header.shard, ShardNumber(shard));
        prop_assert_eq!(header.end(), SequenceNumber(first + parts.len() as u64));
        prop_assert_eq!(header.payload_bytes, batch.payload_bytes());
        let (found_first, found) = decode(&frame).unwrap();
        prop_assert_eq!(found_first, SequenceNumber(first));
        prop_assert_eq!(found.source.arrival, UnixMicros(arrival));
        prop_assert_eq!(parts_of(&found), parts);
        prop_assert_eq!(puts_of(&found), puts_of(&batch));
        prop_assert_eq!(found.source.content, batch.source.content);
    }

    #[test]
    fn replies_come_back_as_they_were_written(
        stream in any::<u32>(),
        arrival in any::<i64>(),
        fingerprint in any::<u64>(),
        key in prop::collection::vec(any::<u8>(), 0..80),
        answer in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let reply = Reply { stream, arrival: UnixMicros(arrival), key: &key, fingerprint, reply: &answer };
        let frame = frame(&Entry::Reply(reply));
        prop_assert_eq!(frame.len() as u64, Entry::Reply(reply).encoded_bytes());
        prop_assert_eq!(decode_reply(&frame), Ok(reply));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(decode_reply(&bytes).is_err());
    }

    /// The checksum is right, so everything behind it must hold on its own.
    #[test]
    fn frames_with_any_content_and_a_right_checksum_do_not_panic(
        parts in arbitrary_parts(),
        lengths in arbitrary_lengths(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let batch = batch_with_aggregates(&parts, &lengths, 0);
        let mut frame = frame(&entry(0, 0, &batch));
        for (index, value) in changes {
            // Most of what is checked lies in the header and the table.
            let end = frame.len().min(FRAME_HEADER_BYTES + parts.len() * TABLE_ROW_BYTES);
            frame[index.index(end)] = value;
        }
        seal(&mut frame);
        if let Ok((_, batch)) = decode(&frame) {
            let records: usize = batch.puts(0).map(|put| put.count).sum();
            prop_assert_eq!(records, batch.records.len());
            // Every span lies in the source.
            for record in parts_of(&batch).iter().zip(&batch.records) {
                prop_assert_eq!(record.0.payload.len(), record.1.payload.len());
                prop_assert_eq!(record.0.key.as_ref().map_or(0, Vec::len), record.1.key.len());
            }
        }
        let _ = decode_reply(&frame);
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_found() {
    let batch = plain(&["{\"a\":1}", "", "3"], 5);
    let whole = frame(&entry(1, 2, &batch));
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_frame_that_is_cut_or_followed_by_more_is_refused() {
    let batch = plain(&["1"], 5);
    let whole = frame(&entry(1, 2, &batch));
    for end in 0..whole.len() {
        assert!(matches!(decode(&whole[..end]), Err(FrameError::Size { .. })), "{end}");
    }
    assert!(matches!(decode(&[&whole[..], b"x"].concat()), Err(FrameError::Size { .. })));
}

#[test]
fn a_key_that_neighbours_share_is_written_once() {
    let key = vec![b'k'; 200];
    let record = |payload: &str, key: Option<&[u8]>| crate::stream::wal::samples::Parts {
        payload: payload.as_bytes().to_vec(),
        key: key.map(<[u8]>::to_vec),
        refusal: None,
    };
    let shared = batch_of(&[record("1", Some(&key)), record("2", Some(&key)), record("3", Some(&key))], 0);
    let expected = FRAME_HEADER_BYTES + 3 * TABLE_ROW_BYTES + 3 + key.len();
    assert_eq!(entry(0, 0, &shared).encoded_bytes(), expected as u64);
}

#[test]
fn keys_that_are_equal_in_different_places_are_written_once_too() {
    let record = |payload, key| RecordSpans { payload, key, refusal: Span::ABSENT };
    let source = Source {
        content: Content::Json,
        body: Bytes::from_static(b"ab1same2same"),
        side: Bytes::new(),
        arrival: UnixMicros(0),
        permit: permit(),
    };
    let records = [record(Span::new(2, 3), Span::new(3, 7)), record(Span::new(7, 8), Span::new(8, 12))];
    let batch = Batch {
        source: source.into(),
        records: Box::new(records),
        captures: Box::default(),
        aggregates: Box::default(),
    };
    let entry = entry(0, 0, &batch);
    assert_eq!(entry.encoded_bytes(), (FRAME_HEADER_BYTES + 2 * TABLE_ROW_BYTES + 2 + 4) as u64);
    let (_, found) = decode(&frame(&entry)).unwrap();
    assert_eq!(parts_of(&found), parts_of(&batch));
}

#[test]
fn an_aggregate_is_written_once_with_a_row_for_each_of_its_records() {
    let record = |payload: &str| crate::stream::wal::samples::Parts {
        payload: payload.as_bytes().to_vec(),
        key: Some(b"key".to_vec()),
        refusal: None,
    };
    let batch = batch_with_aggregates(&[record("1"), record("2"), record("3"), record("4")], &[0, 2], 0);
    let blob = puts_of(&batch)[1].2.len();
    let expected = FRAME_HEADER_BYTES + 4 * TABLE_ROW_BYTES + blob + 2 + 2 * "key".len();
    assert_eq!(entry(0, 0, &batch).encoded_bytes(), expected as u64);
    let (_, found) = decode(&frame(&entry(0, 0, &batch))).unwrap();
    assert_eq!(found.aggregates.len(), 1);
    assert_eq!(found.source.bytes(found.records[2].payload), b"3");
}

#[test]
fn rows_that_contradict_their_aggregate_are_refused() {
    let batch = batch_with_aggregates(&[plain_parts("1"), plain_parts("2"), plain_parts("3")], &[3], 0);
    let whole = frame(&entry(0, 0, &batch));
    let flags_at = |row: usize| FRAME_HEADER_BYTES + row * TABLE_ROW_BYTES + 10;
    for (row, flags) in
        [(0, 0), (0, FLAG_MEMBER), (1, 0), (1, FLAG_HEAD), (2, FLAG_HEAD | FLAG_MEMBER), (2, 16)]
    {
        let mut wrong = whole.clone();
        wrong[flags_at(row)..flags_at(row) + 2].copy_from_slice(&flags.to_le_bytes());
        seal(&mut wrong);
        assert_eq!(decode(&wrong).unwrap_err(), FrameError::Table, "row {row}, flags {flags}");
    }
    let mut other = whole.clone();
    let at = flags_at(3) - 10;
    other[at] ^= 1;
    seal(&mut other);
    assert_eq!(decode(&other).unwrap_err(), FrameError::Table, "the magic is another one");
}

fn plain_parts(payload: &str) -> crate::stream::wal::samples::Parts {
    crate::stream::wal::samples::Parts { payload: payload.as_bytes().to_vec(), key: None, refusal: None }
}

#[test]
fn captured_fields_are_found_again() {
    let batch = plain(&["{\"a\":\"x\"}", "{\"b\":1}"], 0);
    let mut captures = Captures::default();
    captures.slot(&Pointer::parse("/a").unwrap());
    let frame = Bytes::from(frame(&entry(0, 0, &batch)));
    let (_, found) = decode_batch(frame, permit(), &captures.plan().unwrap()).unwrap();
    assert_eq!(found.source.bytes(found.captures_of(0)[0]), b"\"x\"");
    assert!(!found.captures_of(1)[0].is_present());
}

#[test]
fn a_batch_is_no_reply_and_a_reply_no_batch() {
    let batch = plain(&["1"], 0);
    assert_eq!(decode_reply(&frame(&entry(0, 0, &batch))), Err(FrameError::Kind(KIND_BATCH)));
    let frame = frame(&Entry::Reply(reply()));
    assert_eq!(decode(&frame).unwrap_err(), FrameError::Kind(KIND_REPLY));
}

#[test]
fn records_are_read_without_copying_them() {
    let batch = plain(&["one", "two"], 0);
    let frame = Bytes::from(frame(&entry(0, 0, &batch)));
    let within = frame.as_ptr_range();
    let (_, found) = decode_batch(frame.clone(), permit(), &no_captures()).unwrap();
    assert!(within.contains(&found.source.body.as_ptr()));
    assert!(within.contains(&found.source.side.as_ptr()));
}

#[test]
fn an_entry_without_room_leaves_the_commit_as_it_was() {
    let (small, large) = (plain(&["1"], 0), plain(&["a long payload".repeat(9).as_str()], 0));
    let room = COMMIT_HEADER_BYTES as u64 + 2 * entry(0, 0, &small).encoded_bytes();
    let mut buffer = vec![0xee; room as usize];
    let mut encoder = CommitEncoder::begin(&mut buffer, SALT, 1).unwrap();
    encoder.push(&entry(0, 0, &small)).unwrap();
    let error = encoder.push(&entry(0, 1, &large)).unwrap_err();
    assert!(matches!(error, EncodeError::NoRoom { .. }), "{error}");
    let second = encoder.push(&entry(0, 1, &small)).unwrap();
    assert_eq!((encoder.left(), encoder.frames()), (0, 2));
    let bytes = encoder.finish();
    assert_eq!(buffer[..bytes], commit(1, &[entry(0, 0, &small), entry(0, 1, &small)]));
    let frame = &buffer[second.offset_in_commit as usize..][..second.bytes as usize];
    assert_eq!(decode(frame).unwrap().0, SequenceNumber(1));
}

#[test]
fn a_key_that_the_format_cannot_hold_is_refused() {
    let parts = crate::stream::wal::samples::Parts {
        payload: vec![b'1'],
        key: Some(vec![b'k'; 0xffff]),
        refusal: None,
    };
    let batch = batch_of(&[parts], 0);
    let mut buffer = vec![0; 1 << 20];
    let mut encoder = CommitEncoder::begin(&mut buffer, SALT, 1).unwrap();
    assert_eq!(encoder.push(&entry(0, 0, &batch)), Err(EncodeError::KeyTooLong(0xffff)));
    assert_eq!(encoder.frames(), 0);
}
