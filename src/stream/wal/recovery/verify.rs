//! A segment without an index: read whole, its torn tail cut, its damage told, its index written.

use std::io;
use std::sync::Arc;

use super::content::Content;
use super::{Recovery, RecoveryError};
use crate::stream::wal::index::{IndexBuilder, IndexedSegment};
use crate::stream::wal::journal::Full;
use crate::stream::wal::segment::{
    self, Mode, ScanEnd, ScannedCommit, Segment, SegmentHeader, Start, Verdict,
};
use crate::stream::wal::stored::StoredSegment;
use crate::stream::wal::{JournalClass, is_full};

impl Recovery<'_> {
    /// Bytes of acknowledged records are not there any more: an error, unless that is accepted.
    pub(super) fn damaged(
        &mut self,
        segment: &Segment,
        (at, bytes): (u64, u64),
        what: &str,
    ) -> Result<(), RecoveryError> {
        let (path, what) = (segment.path.clone(), what.to_owned());
        // What the system had and had not written may be lost with the machine, in any order: class `os` says so.
        if !self.source.accept_damage && self.source.class == JournalClass::Fsync {
            return Err(RecoveryError::Damaged { path, at, until: at + bytes, bytes, what });
        }
        tracing::error!(path = %path.display(), at, bytes, what, "damaged records are passed over: they are lost");
        self.recovered.damaged_bytes += bytes;
        Ok(())
    }

    /// Reads a segment whole, cuts its torn tail, and writes its index file. `end` is where it ends if that is known.
    /// Returns where it ends now, and the number of the commit that follows.
    pub(super) fn verify(
        &mut self,
        segment: &Segment,
        end: Option<u64>,
    ) -> Result<(Arc<StoredSegment>, u64, u64), RecoveryError> {
        let io = |source| RecoveryError::Io { path: segment.path.clone(), source };
        let (disk, number) = (Arc::clone(self.source.disk), segment.header.number);
        let stored = Arc::new(StoredSegment::growing(disk, self.source.folder, number, self.index_readers()));
        let is_soft = self.source.class == JournalClass::Os;
        let mode = if self.source.accept_damage || is_soft { Mode::GoOn } else { Mode::Stop };
        let mut content = Content::default();
        let since = self.source.replies_since;
        let scanned = segment::scan(segment, Start::of(segment), mode, &mut |commit: &ScannedCommit<'_>| {
            // Behind the end that the next segment names there is what has failed, and was told so.
            if end.is_none_or(|end| commit.offset < end) {
                content.take(commit, since, &stored);
            }
        })
        .map_err(io)?;
        let ScanEnd { valid_end, next_commit, verdict, skipped_bytes } = scanned;
        self.recovered.scanned_bytes += valid_end;
        if let Verdict::Damaged { at, why, later_commit_at } = verdict {
            self.damaged(segment, (at, later_commit_at - at), &why.to_string())?;
        }
        if skipped_bytes > 0 {
            self.recovered.damaged_bytes += skipped_bytes;
            tracing::error!(path = %segment.path.display(), bytes = skipped_bytes, "damaged records are passed over");
        }
        if let Verdict::Torn { at, why } = verdict {
            tracing::info!(path = %segment.path.display(), at, %why, "cut the torn tail of a segment");
        }
        if let Some(end) = end.filter(|&end| end > valid_end) {
            self.damaged(segment, (valid_end, end - valid_end), "the next segment says that it goes on")?;
        }
        let valid_end = end.map_or(valid_end, |end| end.min(valid_end));
        content.settle(segment, valid_end).map_err(io)?;
        self.index(segment, (valid_end, next_commit), &stored)?;
        for (shard, part) in content.parts {
            stored.hold();
            self.recovered.parts.entry(shard).or_default().push(part);
        }
        self.recovered.replies.extend(content.kept);
        Ok((stored, valid_end, next_commit))
    }

    /// Writes the index file of a segment. On a full disk that is done later, like that of a segment which has just
    /// been written: the start must not need room, since only what runs can make some.
    fn index(
        &mut self,
        segment: &Segment,
        (valid_end, next_commit): (u64, u64),
        stored: &Arc<StoredSegment>,
    ) -> Result<(), RecoveryError> {
        let path = stored.index_path();
        let SegmentHeader { number, salt, .. } = segment.header;
        stored.seal();
        let mut index = IndexBuilder::new();
        // No segment of ours has more frames than an index takes.
        let written = stored.fill(&mut index).map_err(io::Error::other).and_then(|()| {
            let segment = IndexedSegment { number, salt, valid_end, next_commit };
            index.write(&**self.source.disk, path, segment)
        });
        match written {
            Ok(()) => stored.close(),
            Err(error) if is_full(&error) => {
                tracing::warn!(path = %path.display(), "the disk is full: the index of a segment is written later");
                let (stored, header) = (Arc::clone(stored), segment.header);
                self.recovered.resume.unindexed.push(Full { stored, header, end: valid_end, next_commit });
            }
            Err(source) => return Err(RecoveryError::Io { path: path.clone(), source }),
        }
        Ok(())
    }
}
