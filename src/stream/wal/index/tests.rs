use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::limits;
use crate::runtime::disk::{Disk, RealDisk};
use crate::stream::wal::frame::Entry;
use crate::stream::wal::samples::{FIRST_COMMIT, commit, entry, plain, reply, segment};
use crate::stream::wal::segment::{FileName, Mode, ScannedCommit, Start, scan};

const SEGMENT: IndexedSegment = IndexedSegment { number: 3, salt: 9, valid_end: 70_000, next_commit: 12 };

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = FileName::index(folder.path(), SEGMENT.number);
    (folder, path)
}

fn item(first: u64, count: u32, arrival: i64) -> IndexEntry {
    IndexEntry {
        first: SequenceNumber(first),
        count,
        offset: first as u32 * 3,
        bytes: 100 + count,
        payload_bytes: count * 7,
        arrival: UnixMicros(arrival),
    }
}

fn reply_item(number: u32) -> ReplyEntry {
    ReplyEntry { stream: number % 5, bytes: 60, offset: u64::from(number) * 64, arrival: UnixMicros(-1) }
}

/// Writes an index of so many entries of shards 2 and 7, in turn, and of so many replies.
fn written(path: &std::path::Path, entries: u64, replies: u32) -> IndexReader {
    let mut builder = IndexBuilder::new();
    for number in 0..entries {
        // Records 10 to 13, 20 to 23, and so on; shard 7 first.
        let shard = if number % 2 == 0 { ShardNumber(7) } else { ShardNumber(2) };
        builder.batch(shard, item((number / 2 + 1) * 10, 4, 1_000 - number as i64)).unwrap();
    }
    for number in 0..replies {
        builder.reply(reply_item(number)).unwrap();
    }
    builder.write(&RealDisk, path, SEGMENT).unwrap();
    IndexReader::open(&RealDisk, path).unwrap()
}

#[test]
fn the_directory_sums_up_each_shard() {
    let (_folder, path) = folder();
    let index = written(&path, 500, 3);
    assert_eq!(*index.segment(), SEGMENT);
    let shards: Vec<_> = index.directory().iter().map(|range| range.shard.0).collect();
    assert_eq!(shards, [2, 7]);
    let range = index.shard(ShardNumber(7)).unwrap();
    let expected = ShardRange {
        shard: ShardNumber(7),
        first_entry: 250,
        entries: 250,
        first: SequenceNumber(10),
        end: SequenceNumber(2_504),
        payload_bytes: 250 * 28,
        arrival_min: UnixMicros(502),
        arrival_max: UnixMicros(1_000),
    };
    assert_eq!(*range, expected);
    assert!(index.shard(ShardNumber(3)).is_none());
}

#[test]
fn entries_are_found_by_sequence_number() {
    let (_folder, path) = folder();
    let index = written(&path, 500, 0);
    let find = |shard, from| index.find(ShardNumber(shard), SequenceNumber(from)).unwrap();
    for shard in [2, 7] {
        // Before the first, within it, behind it, and at the next.
        for (from, position) in [(0, 0), (10, 0), (13, 0), (14, 1), (20, 1), (2_503, 249)] {
            assert_eq!(find(shard, from), Some(position), "{from}");
        }
        assert_eq!(find(shard, 2_504), None);
        let entries = index.entries(ShardNumber(shard), 120, 20).unwrap();
        assert_eq!(
            entries.iter().map(|entry| entry.first.0 / 10).collect::<Vec<_>>(),
            (121..141).collect::<Vec<_>>()
        );
        assert_eq!(index.entries(ShardNumber(shard), 0, usize::MAX).unwrap().len(), 250);
        assert_eq!(index.entries(ShardNumber(shard), 249, 9).unwrap().len(), 1);
        assert!(index.entries(ShardNumber(shard), 250, 9).unwrap().is_empty());
    }
    assert_eq!(find(3, 0), None);
    assert!(index.entries(ShardNumber(3), 0, 9).unwrap().is_empty());
}

#[test]
fn replies_have_a_list_of_their_own() {
    let (_folder, path) = folder();
    let index = written(&path, 130, 300);
    assert_eq!(index.reply_count(), 300);
    let all: Vec<_> = (0..300).map(reply_item).collect();
    assert_eq!(index.replies(0, usize::MAX).unwrap(), all);
    assert_eq!(index.replies(250, 10).unwrap(), all[250..260]);
    assert!(index.replies(300, 10).unwrap().is_empty());
}

#[test]
fn an_index_without_frames_is_one_too() {
    let (_folder, path) = folder();
    let index = written(&path, 0, 0);
    assert!(index.directory().is_empty());
    assert!(index.replies(0, 1).unwrap().is_empty());
}

#[test]
fn a_builder_is_full_at_its_bound() {
    let mut builder = IndexBuilder::new();
    for number in 0..limits::INDEX_ENTRIES_MAX as u64 - 1 {
        builder.batch(ShardNumber(1), item(number, 1, 0)).unwrap();
    }
    builder.reply(reply_item(1)).unwrap();
    assert_eq!(builder.room(), 0);
    assert_eq!(builder.reply(reply_item(2)), Err(IndexFull));
    assert_eq!(builder.batch(ShardNumber(1), item(0, 1, 0)), Err(IndexFull));
    let (_folder, path) = folder();
    builder.write(&RealDisk, &path, SEGMENT).unwrap();
    let index = IndexReader::open(&RealDisk, &path).unwrap();
    let last = limits::INDEX_ENTRIES_MAX as u64 - 2;
    assert_eq!(index.find(ShardNumber(1), SequenceNumber(last)).unwrap(), Some(last as u32));
}

#[test]
fn an_index_replaces_an_older_one_and_leaves_nothing_else() {
    let (folder, path) = folder();
    written(&path, 10, 0);
    std::fs::write(FileName::unnamed(&path), "left by a former process").unwrap();
    let index = written(&path, 20, 0);
    assert_eq!(index.directory().iter().map(|range| range.entries).sum::<u32>(), 20);
    assert_eq!(RealDisk.list(folder.path()).unwrap(), [path]);
}

#[test]
fn every_flipped_byte_is_found_by_who_reads_it() {
    let (_folder, path) = folder();
    written(&path, 300, 150);
    let whole = std::fs::read(&path).unwrap();
    let file = RealDisk.open(&path).unwrap();
    for (at, byte) in whole.iter().enumerate() {
        file.write_all_at(&[byte ^ 0x20], at as u64).unwrap();
        let read = IndexReader::open(&RealDisk, &path).and_then(|index| {
            index.entries(ShardNumber(2), 0, usize::MAX)?;
            index.entries(ShardNumber(7), 0, usize::MAX)?;
            index.replies(0, usize::MAX)
        });
        assert!(matches!(read, Err(IndexError::Damaged { .. })), "{at}");
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
}

#[test]
fn damage_in_one_block_does_not_hide_the_others() {
    let (_folder, path) = folder();
    let index = written(&path, 1_000, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(index.entries(ShardNumber(2), 0, usize::MAX).unwrap().len(), 500);
    assert!(index.entries(ShardNumber(7), 499, 1).is_err());
}

#[test]
fn an_index_that_is_cut_anywhere_is_refused() {
    let (_folder, path) = folder();
    written(&path, 5, 2);
    let file = RealDisk.open(&path).unwrap();
    for end in (0..file.len().unwrap()).rev() {
        file.set_len(end).unwrap();
        let error = IndexReader::open(&RealDisk, &path).unwrap_err();
        assert!(matches!(error, IndexError::Damaged { .. }), "{end}: {error}");
    }
}

#[test]
fn counts_beyond_the_bound_are_refused_before_anything_is_read() {
    let (_folder, path) = folder();
    let header = rows::Header {
        segment: SEGMENT,
        shards: u32::MAX,
        entries: u32::MAX,
        replies: u32::MAX,
        directory_checksum: 0,
    };
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let error = IndexReader::open(&RealDisk, &path).unwrap_err();
    assert!(matches!(error, IndexError::Damaged { offset: 0, .. }), "{error}");
}

#[test]
fn an_index_can_be_made_from_a_scan() {
    let (folder, path) = folder();
    let segment = segment(&RealDisk, folder.path(), 16 << 10);
    let (one, two) = (plain(&["1", "22"], 5), plain(&["333"], 4));
    let bytes = commit(
        FIRST_COMMIT,
        &[entry(8, 50, &one), Entry::Reply(reply()), entry(6, 1, &two), entry(8, 52, &two)],
    );
    segment.file.write_all_at(&bytes, 4_096).unwrap();
    let mut builder = IndexBuilder::new();
    let mut visitor = |commit: &ScannedCommit<'_>| {
        for frame in commit.frames {
            builder.frame(&frame.header, frame.offset).unwrap();
        }
    };
    scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).unwrap();
    builder.write(&RealDisk, &path, SEGMENT).unwrap();
    let index = IndexReader::open(&RealDisk, &path).unwrap();
    let entries = index.entries(ShardNumber(8), 0, 9).unwrap();
    let found: Vec<_> = entries.iter().map(|e| (e.first.0, e.count, e.payload_bytes, e.arrival.0)).collect();
    assert_eq!(found, [(50, 2, 3, 5), (52, 1, 3, 4)]);
    let first = &bytes[entries[0].offset as usize - 4_096..][..entries[0].bytes as usize];
    assert!(crate::stream::wal::frame::FrameHeader::verify(first).is_ok());
    let replies = index.replies(0, 9).unwrap();
    assert_eq!((replies[0].stream, replies[0].arrival), (4, UnixMicros(-5)));
}

proptest! {
    /// A reader finds what a map of the same entries holds.
    #[test]
    fn an_index_agrees_with_a_map(
        counts in prop::collection::vec((0_u32..4, 0_u32..5, 0_u64..3), 0..1_500),
        asked in prop::collection::vec((0_u32..5, 0_u64..1_500, 0_usize..300), 20),
    ) {
        let (_folder, path) = folder();
        let mut builder = IndexBuilder::new();
        let mut model: BTreeMap<u32, Vec<IndexEntry>> = BTreeMap::new();
        for (offset, (shard, count, gap)) in (1_u32..).zip(counts) {
            let entries = model.entry(shard).or_default();
            let first = entries.last().map_or(5, |last| last.end().0) + gap;
            // No two frames stand at the same place.
            let entry = IndexEntry { offset, ..item(first, count, 0) };
            entries.push(entry);
            builder.batch(ShardNumber(shard), entry).unwrap();
        }
        builder.write(&RealDisk, &path, SEGMENT).unwrap();
        let index = IndexReader::open(&RealDisk, &path).unwrap();
        prop_assert_eq!(index.directory().len(), model.len());
        for (shard, from, most) in asked {
            let empty = Vec::new();
            let entries = model.get(&shard).unwrap_or(&empty);
            let expected = entries.iter().position(|entry| entry.end().0 > from).map(|at| at as u32);
            prop_assert_eq!(index.find(ShardNumber(shard), SequenceNumber(from)).unwrap(), expected);
            prop_assert_eq!(&index.entries(ShardNumber(shard), 0, usize::MAX).unwrap(), entries);
            let mut taken = Vec::new();
            let mut take = |entry| {
                taken.push(entry);
                taken.len() < most
            };
            index.each_from(ShardNumber(shard), SequenceNumber(from), &mut take).unwrap();
            let wanted = expected.map_or(&[][..], |at| &entries[at as usize..]);
            prop_assert_eq!(taken, &wanted[..most.max(1).min(wanted.len())]);
        }
    }
}
