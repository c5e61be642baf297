//! The file of a segment: its header, its name, its size.

use super::*;

#[test]
fn a_segment_says_what_it_was_put_into_use_as() {
    let folder = tempfile::tempdir().unwrap();
    let made = segment(&RealDisk, folder.path(), BYTES);
    assert_eq!(made.path, folder.path().join("0000000000000003.segment"));
    let found = Segment::open(&RealDisk, &made.path).unwrap();
    assert_eq!((found.header, found.space), (made.header, Space { bytes: BYTES, leftovers: false }));
    assert_eq!(found.header.previous_end, Some(5_000));
    assert_eq!(content(&made).len() as u64, BYTES);
    assert_eq!(RealDisk.list(folder.path()).unwrap(), [made.path]);
}

#[test]
fn a_segment_without_a_known_predecessor_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let header = SegmentHeader {
        class: JournalClass::Os,
        number: u64::MAX,
        salt: SegmentHeader::new_salt(),
        first_commit: 0,
        previous_end: None,
        node: [0; 8],
    };
    let prepared = PreparedSegment::create(&RealDisk, folder.path(), 4, BYTES).unwrap();
    let made = prepared.activate(&RealDisk, header).unwrap();
    assert_eq!(Segment::open(&RealDisk, &made.path).unwrap().header, header);
}

#[test]
fn a_prepared_segment_replaces_what_a_former_process_left() {
    let folder = tempfile::tempdir().unwrap();
    let left = PreparedSegment::create(&RealDisk, folder.path(), 4, 3 * BYTES).unwrap();
    let path = left.path.clone();
    drop(left);
    assert_eq!(FileName::of(&path), Some(FileName::Unnamed));
    let prepared = PreparedSegment::create(&RealDisk, folder.path(), 4, BYTES).unwrap();
    assert_eq!((prepared.bytes(), std::fs::metadata(&path).unwrap().len()), (BYTES, BYTES));
    prepared.discard(&RealDisk).unwrap();
    assert!(RealDisk.list(folder.path()).unwrap().is_empty());
}

#[test]
fn sizes_that_are_no_blocks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [0, 4_096, 8_193, 4 << 30] {
        let error = PreparedSegment::create(&RealDisk, folder.path(), 0, bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn names_are_read_back() {
    let folder = Path::new("log");
    for number in [0, 0xab, u64::MAX] {
        let name = FileName::segment(folder, number);
        assert_eq!(FileName::of(&name), Some(FileName::Segment(number)));
        assert_eq!(FileName::of(&FileName::index(folder, number)), Some(FileName::Index(number)));
        assert_eq!(FileName::of(&FileName::unnamed(&name)), Some(FileName::Unnamed));
    }
    for other in ["1.segment", "+000000000000001.segment", "000000000000000A.segment", "x", "segment", ".new"]
    {
        assert_eq!(FileName::of(Path::new(other)), None, "{other}");
    }
}

#[test]
fn every_flipped_byte_of_a_header_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment(&RealDisk, folder.path(), BYTES);
    for at in 0..SEGMENT_HEADER_BYTES {
        let mut byte = [0];
        segment.file.read_exact_at(&mut byte, at).unwrap();
        segment.file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let error = Segment::open(&RealDisk, &segment.path).unwrap_err();
        assert!(matches!(error, SegmentError::Damaged { .. }), "{at}: {error}");
        segment.file.write_all_at(&byte, at).unwrap();
    }
    segment.file.set_len(SEGMENT_HEADER_BYTES - 1).unwrap();
    let error = Segment::open(&RealDisk, &segment.path).unwrap_err();
    assert!(matches!(error, SegmentError::Damaged { .. }), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_the_disk() {
    let error = Segment::open(&RealDisk, Path::new("nowhere/0000000000000003.segment")).unwrap_err();
    assert!(matches!(error, SegmentError::Io { .. }), "{error}");
}
