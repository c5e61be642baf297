//! Segments in the files of older ones, whose bytes are still there.

use super::*;

/// An empty segment in the file of an older one, in which commits stood everywhere.
fn segment_over_leftovers(folder: &TempDir) -> Segment {
    let old = segment(&RealDisk, folder.path(), BYTES);
    let old_commit = commit(FIRST_COMMIT - 1, &[entry(1, 100, &plain(&["1", "2"], 10))]);
    let mut content = old_commit.repeat(BYTES as usize / old_commit.len());
    let salt = (SALT + 1).to_le_bytes();
    content.chunks_mut(old_commit.len()).for_each(|commit| commit[8..16].copy_from_slice(&salt));
    content.truncate((BYTES - SEGMENT_HEADER_BYTES) as usize - 5_000);
    old.file.write_all_at(&content, SEGMENT_HEADER_BYTES).unwrap();
    old.file.set_len(SEGMENT_HEADER_BYTES + content.len() as u64).unwrap();
    let retired = RetiredSegment::retire(&RealDisk, &old.path, 7).unwrap();
    assert!(!old.path.exists());
    let filled = std::cell::Cell::new(0);
    let prepared = PreparedSegment::reuse(&RealDisk, retired, BYTES, &|at| filled.set(at)).unwrap();
    assert!(filled.get() > 8_000, "only the end is filled with zeros");
    let made = prepared.activate(&RealDisk, old.header).unwrap();
    let found = Segment::open(&RealDisk, &made.path).unwrap();
    assert_eq!(found.space, Space { bytes: BYTES, leftovers: true });
    assert_eq!(std::fs::metadata(&made.path).unwrap().len(), BYTES);
    found
}

/// Writes `bytes` at `at` as a writer does: the rest of the last block is zeros.
fn write_padded(segment: &Segment, bytes: &[u8], at: u64) {
    let end = (at + bytes.len() as u64).next_multiple_of(SEGMENT_HEADER_BYTES);
    let mut padded = bytes.to_vec();
    padded.resize((end - at) as usize, 0);
    segment.file.write_all_at(&padded, at).unwrap();
}

#[test]
fn what_an_older_segment_has_left_in_the_file_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment_over_leftovers(&folder);
    let (seen, end) = walk(&segment, Mode::Stop);
    assert_eq!((seen, end.verdict), (Seen::default(), Verdict::Clean));
    let mut at = SEGMENT_HEADER_BYTES;
    for number in 0..3 {
        let whole = commit(FIRST_COMMIT + number, &[entry(1, 100, &plain(&["{}".repeat(300).as_str()], 10))]);
        write_padded(&segment, &whole, at);
        at += whole.len() as u64;
        let (seen, end) = walk(&segment, Mode::Stop);
        assert_eq!((seen.commits.len() as u64, end.verdict, end.valid_end), (number + 1, Verdict::Clean, at));
    }
}

#[test]
fn commits_over_leftovers_that_were_interrupted_or_damaged_are_told_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment_over_leftovers(&folder);
    let first = commit(FIRST_COMMIT, &[entry(1, 100, &plain(&["{}".repeat(300).as_str()], 10))]);
    let last = commit(FIRST_COMMIT + 1, &[entry(1, 101, &plain(&["x".repeat(6_000).as_str()], 10))]);
    let at = SEGMENT_HEADER_BYTES + first.len() as u64;
    write_padded(&segment, &first, SEGMENT_HEADER_BYTES);
    let before = content(&segment);
    write_padded(&segment, &last, at);
    let after = content(&segment);
    let blocks = SEGMENT_HEADER_BYTES as usize..(at as usize + last.len()).next_multiple_of(BLOCK_BYTES);
    // Each block on its own may have been written or not.
    for written in 0..1_u32 << (blocks.len() / BLOCK_BYTES) {
        for (number, from) in blocks.clone().step_by(BLOCK_BYTES).enumerate() {
            let source = if written & (1 << number) == 0 { &before } else { &after };
            segment.file.write_all_at(&source[from..from + BLOCK_BYTES], from as u64).unwrap();
        }
        let (seen, end) = walk(&segment, Mode::Stop);
        let (commits, torn) = match written {
            0b11 => (2, false),
            0b01 => (1, true),
            // Nothing tells the second block of a commit from what was there.
            _ => (1, false),
        };
        assert_eq!(seen.commits.len(), commits, "{written:b}");
        assert_eq!(matches!(end.verdict, Verdict::Torn { .. }), torn, "{written:b}: {end:?}");
    }
    segment.file.write_all_at(&after[..], 0).unwrap();
    for hit in SEGMENT_HEADER_BYTES..at + last.len() as u64 {
        segment.file.write_all_at(&[after[hit as usize] ^ 0x20], hit).unwrap();
        match walk(&segment, Mode::Stop).1.verdict {
            Verdict::Damaged { at, .. } => assert!(hit < at + first.len() as u64),
            Verdict::Torn { at: torn, .. } => assert!(hit >= at && torn == at, "{hit}"),
            Verdict::Clean => panic!("the byte at {hit} is not checked"),
        }
        segment.file.write_all_at(&after[hit as usize..=hit as usize], hit).unwrap();
    }
}

/// The same where a commit ends with its block, so that nothing of the next one has to be zeros.
#[test]
fn a_commit_that_begins_a_block_over_leftovers_is_known_by_its_salt_or_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment_over_leftovers(&folder);
    let whole = commit(FIRST_COMMIT, &[entry(1, 100, &plain(&["1"], 10))]);
    write_padded(&segment, &whole, SEGMENT_HEADER_BYTES);
    for hit in 0..whole.len() as u64 {
        let at = SEGMENT_HEADER_BYTES + hit;
        segment.file.write_all_at(&[whole[hit as usize] ^ 1], at).unwrap();
        let verdict = walk(&segment, Mode::Stop).1.verdict;
        assert!(matches!(verdict, Verdict::Torn { at: SEGMENT_HEADER_BYTES, .. }), "{hit}: {verdict:?}");
        segment.file.write_all_at(&whole[hit as usize..=hit as usize], at).unwrap();
    }
}
