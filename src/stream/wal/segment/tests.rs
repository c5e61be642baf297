use std::ops::Range;

use tempfile::TempDir;

use super::*;
use crate::record::SequenceNumber;
use crate::runtime::disk::RealDisk;
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::{Entry, ShardNumber};
use crate::stream::wal::samples::{FIRST_COMMIT, SALT, commit, entry, plain, reply, segment};

mod files;
mod leftovers;

const BYTES: u64 = 16 << 10;

/// Commits as a visitor saw them.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Number and where.
    commits: Vec<(u64, Range<u64>)>,
    frames: usize,
    skipped: Vec<Range<u64>>,
}

impl Visitor for Seen {
    fn commit(&mut self, commit: &ScannedCommit<'_>) {
        let end = commit.offset + u64::from(commit.bytes);
        self.commits.push((commit.number, commit.offset..end));
        self.frames += commit.frames.len();
    }

    fn skipped(&mut self, bytes: Range<u64>, _why: Fault) {
        self.skipped.push(bytes);
    }
}

fn walk(segment: &Segment, mode: Mode) -> (Seen, ScanEnd) {
    let mut seen = Seen::default();
    let end = scan(segment, Start::of(segment), mode, &mut seen).unwrap();
    (seen, end)
}

/// A segment with four commits; also where each of them lies.
fn four_commits(folder: &TempDir) -> (Segment, Vec<Range<u64>>) {
    let segment = segment(&RealDisk, folder.path(), BYTES);
    let (small, large) = (plain(&["1", "2"], 10), plain(&["{}".repeat(700).as_str(), "x"], 20));
    let commits = [
        commit(FIRST_COMMIT, &[entry(1, 100, &small), Entry::Reply(reply())]),
        commit(FIRST_COMMIT + 1, &[entry(2, 5, &large)]),
        commit(FIRST_COMMIT + 2, &[entry(1, 102, &small), entry(2, 7, &large), entry(3, 0, &small)]),
        commit(FIRST_COMMIT + 3, &[entry(1, 104, &small)]),
    ];
    let mut at = SEGMENT_HEADER_BYTES;
    let mut places = Vec::new();
    for commit in commits {
        segment.file.write_all_at(&commit, at).unwrap();
        places.push(at..at + commit.len() as u64);
        at += commit.len() as u64;
    }
    (segment, places)
}

fn content(segment: &Segment) -> Vec<u8> {
    std::fs::read(&segment.path).unwrap()
}

#[test]
fn an_empty_segment_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let (seen, end) = walk(&segment(&RealDisk, folder.path(), BYTES), Mode::Stop);
    assert_eq!(seen, Seen::default());
    let expected = ScanEnd {
        valid_end: SEGMENT_HEADER_BYTES,
        next_commit: FIRST_COMMIT,
        verdict: Verdict::Clean,
        skipped_bytes: 0,
    };
    assert_eq!(end, expected);
}

#[test]
fn a_scan_finds_every_frame_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    let bytes = content(&segment);
    let mut frames = Vec::new();
    let mut replies = 0;
    let mut visitor = |commit: &ScannedCommit<'_>| {
        for frame in commit.frames {
            let start = frame.offset as usize;
            let found = &bytes[start..start + frame.header.bytes as usize];
            assert_eq!(crate::stream::wal::frame::FrameHeader::verify(found), Ok(frame.header));
            match commit.reply(frame) {
                Some(found) => {
                    assert_eq!(found, reply());
                    replies += 1;
                }
                None => frames.push((commit.number, frame.header.shard, frame.header.first)),
            }
        }
    };
    let end = scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
    let shard = |commit, shard, first| (FIRST_COMMIT + commit, ShardNumber(shard), SequenceNumber(first));
    let expected = [
        shard(0, 1, 100),
        shard(1, 2, 5),
        shard(2, 1, 102),
        shard(2, 2, 7),
        shard(2, 3, 0),
        shard(3, 1, 104),
    ];
    assert_eq!((frames.as_slice(), replies), (expected.as_slice(), 1));
    assert_eq!(end.verdict, Verdict::Clean);
    assert_eq!((end.valid_end, end.next_commit), (places[3].end, FIRST_COMMIT + 4));
}

#[test]
fn a_scan_can_begin_at_a_later_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    let mut seen = Seen::default();
    let start = Start { offset: places[2].start, commit: FIRST_COMMIT + 2 };
    let end = scan(&segment, start, Mode::Stop, &mut seen).unwrap();
    assert_eq!((seen.commits.len(), end.verdict), (2, Verdict::Clean));
}

#[test]
fn a_full_segment_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment(&RealDisk, folder.path(), 8 << 10);
    let room = 4_096 - commit(FIRST_COMMIT, &[entry(1, 0, &plain(&[""], 0))]).len();
    let batch = plain(&["x".repeat(room).as_str()], 0);
    let commit = commit(FIRST_COMMIT, &[entry(1, 0, &batch)]);
    assert_eq!(commit.len(), 4_096);
    segment.file.write_all_at(&commit, SEGMENT_HEADER_BYTES).unwrap();
    let (seen, end) = walk(&segment, Mode::Stop);
    assert_eq!((seen.commits.len(), end.valid_end, end.verdict), (1, 8 << 10, Verdict::Clean));
}

#[test]
fn a_segment_cut_anywhere_gives_a_valid_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    for cut in (SEGMENT_HEADER_BYTES..places[3].end + 50).rev() {
        segment.file.set_len(cut).unwrap();
        let (seen, end) = walk(&segment, Mode::Stop);
        let whole = places.iter().filter(|place| place.end <= cut).count();
        assert_eq!(seen.commits.len(), whole, "{cut}");
        let at = whole.checked_sub(1).map_or(SEGMENT_HEADER_BYTES, |last| places[last].end);
        assert_eq!(end.valid_end, at, "{cut}");
        assert_eq!(end.verdict, Verdict::Torn { at, why: Fault::FileShort(cut) }, "{cut}");
    }
}

#[test]
fn a_commit_of_which_only_a_part_was_written_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    let last = places[3].clone();
    let whole = content(&segment)[last.start as usize..last.end as usize].to_vec();
    for written in 0..whole.len() {
        let mut part = vec![0; whole.len()];
        part[..written].copy_from_slice(&whole[..written]);
        // What the last bytes of a commit are is unknown, but here they are no zeros.
        segment.file.write_all_at(&part, last.start).unwrap();
        let (seen, end) = walk(&segment, Mode::Stop);
        assert_eq!((seen.commits.len(), end.valid_end), (3, last.start));
        match end.verdict {
            Verdict::Clean => assert_eq!(written, 0),
            Verdict::Torn { at, .. } => assert_eq!(at, last.start),
            Verdict::Damaged { .. } => panic!("nothing stands behind"),
        }
    }
}

#[test]
fn later_parts_of_a_commit_without_the_first_are_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    segment.file.write_all_at(&[0; 60], places[3].start).unwrap();
    let (_, end) = walk(&segment, Mode::Stop);
    assert_eq!(end.verdict, Verdict::Torn { at: places[3].start, why: Fault::Header });
}

#[test]
fn a_flipped_byte_is_damage_except_in_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    for at in SEGMENT_HEADER_BYTES..places[3].end + 20 {
        let mut byte = [0];
        segment.file.read_exact_at(&mut byte, at).unwrap();
        segment.file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
        let (seen, end) = walk(&segment, Mode::Stop);
        let hit = places.iter().position(|place| place.contains(&at)).unwrap_or(places.len());
        assert_eq!(seen.commits.len(), hit, "{at}");
        match end.verdict {
            Verdict::Damaged { at: begin, later_commit_at, .. } => {
                assert!(hit < 3, "{at}");
                assert_eq!((begin, later_commit_at), (places[hit].start, places[hit + 1].start));
            }
            Verdict::Torn { at: begin, .. } => {
                assert!(hit >= 3, "{at}");
                assert_eq!(begin, end.valid_end);
            }
            Verdict::Clean => panic!("the byte at {at} is not checked"),
        }
        segment.file.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn a_scan_that_goes_on_counts_what_it_skips() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    for hit in [0, 2] {
        segment.file.write_all_at(b"?", places[hit].start + 30).unwrap();
    }
    let (seen, end) = walk(&segment, Mode::GoOn);
    let expected = Seen {
        commits: vec![(FIRST_COMMIT + 1, places[1].clone()), (FIRST_COMMIT + 3, places[3].clone())],
        frames: 2,
        skipped: vec![places[0].clone(), places[2].clone()],
    };
    assert_eq!(seen, expected);
    let lost = |place: &Range<u64>| place.end - place.start;
    assert_eq!(end.skipped_bytes, lost(&places[0]) + lost(&places[2]));
    assert_eq!((end.verdict, end.next_commit), (Verdict::Clean, FIRST_COMMIT + 4));
}

#[test]
fn a_missing_commit_is_damage_although_every_byte_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    let bytes = content(&segment);
    let behind = &bytes[places[2].start as usize..];
    segment.file.write_all_at(behind, places[1].start).unwrap();
    let (_, end) = walk(&segment, Mode::Stop);
    let at = places[1].start;
    let why = Fault::Number { expected: FIRST_COMMIT + 1, found: FIRST_COMMIT + 2 };
    assert_eq!(end.verdict, Verdict::Damaged { at, why, later_commit_at: at });
}

#[test]
fn zeros_before_a_commit_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, places) = four_commits(&folder);
    let lost = places[1].clone();
    segment.file.write_all_at(&vec![0; (lost.end - lost.start) as usize], lost.start).unwrap();
    let (_, end) = walk(&segment, Mode::Stop);
    let later_commit_at = places[2].start;
    assert_eq!(end.verdict, Verdict::Damaged { at: lost.start, why: Fault::Header, later_commit_at });
}

#[test]
fn commits_of_another_segment_are_no_commits_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segment, _) = four_commits(&folder);
    segment.header.salt = SALT + 1;
    let (seen, end) = walk(&segment, Mode::GoOn);
    assert_eq!(seen, Seen::default());
    assert_eq!(end.verdict, Verdict::Torn { at: SEGMENT_HEADER_BYTES, why: Fault::Header });
}

#[test]
fn garbage_is_torn_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let segment = segment(&RealDisk, folder.path(), BYTES);
    let mut random = fastrand::Rng::with_seed(1);
    let mut garbage = vec![0; (BYTES - SEGMENT_HEADER_BYTES) as usize];
    let head = commit(FIRST_COMMIT, &[Entry::Reply(reply())]);
    for round in 0..200 {
        random.fill(&mut garbage);
        // Half of the rounds get past the commit's header.
        if round % 2 == 0 {
            garbage[..24].copy_from_slice(&head[..24]);
            garbage[24..32].copy_from_slice(&[random.u8(1..4), 0, 0, 0, 0, 0, 0, 0]);
            garbage[4..8].copy_from_slice(&random.u32(40..12_000).to_le_bytes());
        }
        segment.file.write_all_at(&garbage, SEGMENT_HEADER_BYTES).unwrap();
        let (seen, end) = walk(&segment, Mode::Stop);
        assert_eq!(seen, Seen::default());
        assert!(matches!(end.verdict, Verdict::Torn { at: SEGMENT_HEADER_BYTES, .. }), "{end:?}");
    }
}

/// Frames that are larger than a window, frames across its ends, and damage with the next commit across the ends of
/// the chunks that are searched.
#[test]
fn a_segment_of_many_windows_is_read_like_a_small_one() {
    let folder = tempfile::tempdir().unwrap();
    let window = limits::SCAN_WINDOW_BYTES;
    let segment = segment(&RealDisk, folder.path(), 5 * window as u64);
    let mut at = SEGMENT_HEADER_BYTES;
    let mut places = Vec::new();
    let sizes = [window + 9, 200_000, 300_000, 10, 70_000, window / 4, 400_000, 5, window - 80, 90_000];
    for (index, size) in sizes.into_iter().enumerate() {
        let batch = plain(&["y".repeat(size).as_str()], 0);
        let commit =
            commit(FIRST_COMMIT + index as u64, &[entry(1, index as u64, &batch), Entry::Reply(reply())]);
        segment.file.write_all_at(&commit, at).unwrap();
        places.push(at..at + commit.len() as u64);
        at += commit.len() as u64;
    }
    let (seen, end) = walk(&segment, Mode::Stop);
    assert_eq!(seen.commits.iter().map(|(_, place)| place.clone()).collect::<Vec<_>>(), places);
    assert_eq!((end.verdict, end.valid_end), (Verdict::Clean, at));

    // Where the search begins decides where its chunks end: move the next header over such an end, byte by byte.
    let chunk_end = SEGMENT_HEADER_BYTES + window as u64;
    segment.file.write_all_at(&vec![0; 4 * window], SEGMENT_HEADER_BYTES).unwrap();
    let last = commit(FIRST_COMMIT + 1, &[Entry::Reply(reply())]);
    for begin in chunk_end - 20..chunk_end + 3 {
        segment.file.write_all_at(&last, begin).unwrap();
        let (_, end) = walk(&segment, Mode::Stop);
        let why = Fault::Header;
        let expected = Verdict::Damaged { at: SEGMENT_HEADER_BYTES, why, later_commit_at: begin };
        assert_eq!(end.verdict, expected);
        segment.file.write_all_at(&vec![0; last.len()], begin).unwrap();
    }
}
