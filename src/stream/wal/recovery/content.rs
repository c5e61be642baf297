//! What one segment holds, as a scan finds it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::KeptReply;
use crate::config::limits::SCAN_WINDOW_BYTES;
use crate::runtime::clock::UnixMicros;
use crate::stream::wal::frame::{FrameHeader, FrameKind, ShardNumber};
use crate::stream::wal::index::{IndexEntry, ReplyEntry};
use crate::stream::wal::segment::{ScannedCommit, ScannedFrame, Segment};
use crate::stream::wal::shard::Part;
use crate::stream::wal::stored::StoredSegment;

/// See the module. Where the frames are is noted in the segment itself.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) parts: HashMap<ShardNumber, Part>,
    pub(super) kept: Vec<KeptReply>,
    /// Where the last commit begins.
    last: Option<u64>,
}

impl Content {
    /// Adds a commit, and those of its replies that arrived at `since` or later.
    pub(super) fn take(
        &mut self,
        commit: &ScannedCommit<'_>,
        since: UnixMicros,
        stored: &Arc<StoredSegment>,
    ) {
        self.last = Some(commit.offset);
        let of_kind =
            |kind| commit.frames.iter().filter(move |frame: &&ScannedFrame| frame.header.kind == kind);
        let entries = of_kind(FrameKind::Batch)
            .map(|frame| (frame.header.shard, IndexEntry::of(&frame.header, frame.offset)));
        let replies = of_kind(FrameKind::Reply).map(|frame| ReplyEntry::of(&frame.header, frame.offset));
        stored.add(entries, replies);
        for frame in of_kind(FrameKind::Batch) {
            self.add(&frame.header, stored);
        }
        let kept = of_kind(FrameKind::Reply).filter_map(|frame| commit.reply(frame));
        self.kept.extend(kept.filter(|reply| reply.arrival >= since).map(|reply| KeptReply::of(&reply)));
    }

    fn add(&mut self, header: &FrameHeader, stored: &Arc<StoredSegment>) {
        let arrival = header.arrival;
        let part = self.parts.entry(header.shard).or_insert_with(|| Part {
            segment: Arc::clone(stored),
            first: header.first,
            end: header.first,
            bytes: 0,
            oldest: arrival,
            newest: arrival,
        });
        part.end = header.end();
        part.bytes += header.payload_bytes;
        part.oldest = part.oldest.min(arrival);
        part.newest = part.newest.max(arrival);
    }

    /// Makes durable what was found, and cuts what stands behind `end`.
    ///
    /// The last commit may not have been synced, or its sync may have failed: the system then shows it, and takes it for
    /// clean, although the disk does not have it. Only writing it again makes a sync do what it says. All commits before
    /// it were synced before it was written.
    pub(super) fn settle(&self, segment: &Segment, end: u64) -> io::Result<()> {
        let mut at = self.last.unwrap_or(end);
        let mut buffer = vec![0; SCAN_WINDOW_BYTES.min(end.saturating_sub(at) as usize)];
        while at < end {
            let step = buffer.len().min((end - at) as usize);
            segment.file.read_exact_at(&mut buffer[..step], at)?;
            segment.file.write_all_at(&buffer[..step], at)?;
            at += step as u64;
        }
        segment.file.set_len(end)?;
        segment.file.sync_data()
    }
}
