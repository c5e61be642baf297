//! Start-up: what the segments of a journal hold.
//!
//! Closed segments have an index file, from which a few kilobytes are read. Those without one (the last one, and those
//! that the process had no time to index) are read and verified whole, so that the time of a start depends on the size
//! of a few segments and not on that of the log.
//!
//! | found | done |
//! | --- | --- |
//! | a torn tail: an interrupted write, never acknowledged | cut |
//! | damage: what was acknowledged is not there any more | the start stops with position and size, unless it is told to go on |
//! | an I/O error | the start stops |
//!
//! A segment that was recovered is never written to again.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::JournalClass;
use super::frame::{self, FrameHeader, FrameKind, Reply, ShardNumber};
use super::index::{IndexBuilder, IndexError, IndexFull, IndexReader, IndexedSegment};
use super::journal::Resume;
use super::segment::{
    self, FileName, Mode, ScanEnd, ScannedCommit, Segment, SegmentError, SegmentHeader, Start, Verdict,
};
use super::shard::Part;
use super::stored::StoredSegment;
use crate::config::limits::INDEX_ENTRIES_MAX;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress;

/// What is recovered, and how.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where the folder is.
    pub disk: &'a Arc<dyn Disk>,
    /// The journal's folder.
    pub folder: &'a Path,
    /// What its acks have meant.
    pub class: JournalClass,
    /// The node, as it stands in the headers of its segments.
    pub node: [u8; 8],
    /// Whether to go on behind damage.
    pub accept_damage: bool,
    /// Replies that arrived earlier are not looked for.
    pub replies_since: UnixMicros,
}

/// What a journal holds.
#[derive(Debug)]
pub struct Recovered {
    /// Where the records of each shard are, oldest first.
    pub parts: HashMap<ShardNumber, Vec<Part>>,
    /// Replies by stream, oldest first.
    pub replies: Vec<KeptReply>,
    /// Where to go on.
    pub resume: Resume,
    /// Bytes that were verified.
    pub scanned_bytes: u64,
    /// Bytes that are lost, if that was accepted.
    pub damaged_bytes: u64,
}

/// A reply that the log has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// Number of the stream in the catalog.
    pub stream: u32,
    /// When its request came.
    pub arrival: UnixMicros,
    /// The client's key.
    pub key: Vec<u8>,
    /// Of the request.
    pub fingerprint: u64,
    /// The reply.
    pub reply: Vec<u8>,
}

impl KeptReply {
    fn of(reply: &Reply<'_>) -> Self {
        let Reply { stream, arrival, key, fingerprint, reply } = *reply;
        Self { stream, arrival, key: key.to_vec(), fingerprint, reply: reply.to_vec() }
    }
}

/// Why a journal cannot be recovered. Nothing that was acknowledged has been changed.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The disk does not answer.
    #[error("cannot read or repair {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment cannot be used.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// An index file cannot be used, and neither can it be made anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A segment of another node.
    #[error(
        "{path} was written by node {found}, this is node {expected}: each node needs a data folder of its own"
    )]
    OtherNode {
        /// The segment.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose folder it is in.
        expected: String,
    },
    /// Nobody waits for it any more.
    #[error("stopped while recovering")]
    Stopped,
    /// What was acknowledged is damaged.
    #[error(
        "{path} is damaged from byte {at} to byte {until} ({what}): {bytes} bytes of acknowledged records are lost; \
         restore the file from a copy, or start with --accept-damage to go on without them"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where damage begins.
        at: u64,
        /// Where it ends.
        until: u64,
        /// Bytes between the two.
        bytes: u64,
        /// What does not fit.
        what: String,
    },
}

/// A segment on its way to being recovered.
struct Found {
    segment: Segment,
    /// Where the next segment says that it ends.
    end: Option<u64>,
}

/// Recovers the journal in `source.folder`.
pub fn recover(source: Source<'_>, progress: &Progress) -> Result<Recovered, RecoveryError> {
    let found = find(&source)?;
    let mut recovery = Recovery {
        source,
        recovered: Recovered {
            parts: HashMap::new(),
            replies: Vec::new(),
            resume: Resume { next_segment: 1, next_commit: 1, previous_end: None, segments: Vec::new() },
            scanned_bytes: 0,
            damaged_bytes: 0,
        },
    };
    for found in found {
        if progress.is_stopped() {
            return Err(RecoveryError::Stopped);
        }
        let before = recovery.recovered.scanned_bytes;
        recovery.take(found)?;
        progress.add_done(recovery.recovered.scanned_bytes - before);
    }
    Ok(recovery.recovered)
}

/// Bytes of segments that have no index file, which is what a start has to read.
pub fn bytes_to_verify(disk: &dyn Disk, folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in disk.list(folder)? {
        if let Some(FileName::Segment(number)) = FileName::of(&path)
            && disk.open(&FileName::index(folder, number)).is_err()
        {
            bytes += disk.open(&path)?.len()?;
        }
    }
    Ok(bytes)
}

/// Opens all segments, in order, and takes away what never got its name.
fn find(source: &Source<'_>) -> Result<Vec<Found>, RecoveryError> {
    let Source { disk, folder, .. } = source;
    let io = |path: &Path, source| RecoveryError::Io { path: path.to_owned(), source };
    let mut found: Vec<Found> = Vec::new();
    for path in disk.list(folder).map_err(|error| io(folder, error))? {
        match FileName::of(&path) {
            Some(FileName::Unnamed) => disk.remove(&path).map_err(|error| io(&path, error))?,
            Some(FileName::Segment(number)) => {
                let segment = Segment::open(&***disk, &path)?;
                check_header(source, &segment, number)?;
                if let Some(before) = found.last_mut()
                    && before.segment.header.number + 1 == number
                {
                    before.end = segment.header.previous_end;
                }
                found.push(Found { segment, end: None });
            }
            Some(FileName::Index(_)) | None => {}
        }
    }
    Ok(found)
}

fn check_header(source: &Source<'_>, segment: &Segment, number: u64) -> Result<(), RecoveryError> {
    let (header, path) = (&segment.header, &segment.path);
    if header.node != source.node {
        let hex = |node: [u8; 8]| format!("{:016x}", u64::from_be_bytes(node));
        let (found, expected) = (hex(header.node), hex(source.node));
        return Err(RecoveryError::OtherNode { path: path.clone(), found, expected });
    }
    if header.number != number || header.class != source.class {
        let what = "its header names another segment or class than its path";
        return Err(SegmentError::Foreign { path: path.clone(), what }.into());
    }
    Ok(())
}

struct Recovery<'a> {
    source: Source<'a>,
    recovered: Recovered,
}

/// What one segment holds.
struct Content {
    index: IndexBuilder,
    parts: HashMap<ShardNumber, Part>,
    kept: Vec<KeptReply>,
    full: Result<(), IndexFull>,
}

impl Recovery<'_> {
    fn take(&mut self, found: Found) -> Result<(), RecoveryError> {
        let Found { segment, end } = found;
        let index_path = FileName::index(self.source.folder, segment.header.number);
        let (disk, number) = (Arc::clone(self.source.disk), segment.header.number);
        let stored = Arc::new(StoredSegment::written(disk, self.source.folder, number));
        let indexed = match IndexReader::open(&**self.source.disk, &index_path) {
            Ok(index) if index.segment().salt == segment.header.salt => Some(index),
            Err(IndexError::Io { path, source }) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecoveryError::Io { path, source });
            }
            // Without an index, or with one of another time or a damaged one: it is made again.
            Ok(_) | Err(_) => None,
        };
        let (valid_end, next_commit) = match indexed {
            Some(index) => {
                self.take_index(&segment, &index, &stored)?;
                (index.segment().valid_end, index.segment().next_commit)
            }
            None => self.verify(&segment, end, &stored)?,
        };
        let resume = &mut self.recovered.resume;
        resume.next_segment = segment.header.number + 1;
        resume.next_commit = next_commit.max(resume.next_commit);
        resume.previous_end = Some(valid_end);
        resume.segments.push(stored);
        Ok(())
    }

    /// Takes over what the index file says.
    fn take_index(
        &mut self,
        segment: &Segment,
        index: &IndexReader,
        stored: &Arc<StoredSegment>,
    ) -> Result<(), RecoveryError> {
        for shard in index.directory() {
            stored.hold();
            self.recovered.parts.entry(shard.shard).or_default().push(Part {
                segment: Arc::clone(stored),
                first: shard.first,
                end: shard.end,
                bytes: shard.payload_bytes,
                oldest: shard.arrival_min,
                newest: shard.arrival_max,
            });
        }
        let since = self.source.replies_since;
        let replies = index.replies(0, INDEX_ENTRIES_MAX)?;
        for entry in replies.into_iter().filter(|entry| entry.arrival >= since) {
            let mut frame = vec![0; entry.bytes as usize];
            let io = |source| RecoveryError::Io { path: segment.path.clone(), source };
            segment.file.read_exact_at(&mut frame, entry.offset).map_err(io)?;
            match frame::decode_reply(&frame) {
                Ok(reply) => self.recovered.replies.push(KeptReply::of(&reply)),
                Err(error) => {
                    self.damaged(segment, (entry.offset, entry.bytes.into()), &error.to_string())?
                }
            }
        }
        Ok(())
    }

    /// Bytes of acknowledged records are not there any more: an error, unless that is accepted.
    fn damaged(
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

    /// Reads a segment whole, cuts its torn tail, and writes its index file. Returns where it ends, and the number of
    /// the commit that follows.
    fn verify(
        &mut self,
        segment: &Segment,
        end: Option<u64>,
        stored: &Arc<StoredSegment>,
    ) -> Result<(u64, u64), RecoveryError> {
        let io = |source| RecoveryError::Io { path: segment.path.clone(), source };
        let is_soft = self.source.class == JournalClass::Os;
        let mode = if self.source.accept_damage || is_soft { Mode::GoOn } else { Mode::Stop };
        let mut content = Content::new();
        let since = self.source.replies_since;
        let scanned = segment::scan(segment, Start::of(segment), mode, &mut |commit: &ScannedCommit<'_>| {
            // Behind the end that the next segment names there is what has failed, and was told so.
            if end.is_none_or(|end| commit.offset < end) {
                content.take(commit, since, stored);
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
        segment.file.set_len(valid_end).and_then(|()| segment.file.sync_data()).map_err(io)?;
        self.index(segment, (valid_end, next_commit), content, stored)?;
        Ok((valid_end, next_commit))
    }

    fn index(
        &mut self,
        segment: &Segment,
        (valid_end, next_commit): (u64, u64),
        content: Content,
        stored: &Arc<StoredSegment>,
    ) -> Result<(), RecoveryError> {
        let path = stored.index_path();
        let io = |source| RecoveryError::Io { path: path.clone(), source };
        let SegmentHeader { number, salt, .. } = segment.header;
        let Content { index, parts, kept, full } = content;
        // No segment of ours has more frames.
        full.map_err(io::Error::other)
            .and_then(|()| {
                let segment = IndexedSegment { number, salt, valid_end, next_commit };
                index.write(&**self.source.disk, path, segment)
            })
            .map_err(io)?;
        for (shard, part) in parts {
            stored.hold();
            self.recovered.parts.entry(shard).or_default().push(part);
        }
        self.recovered.replies.extend(kept);
        Ok(())
    }
}

impl Content {
    fn new() -> Self {
        Self { index: IndexBuilder::new(), parts: HashMap::new(), kept: Vec::new(), full: Ok(()) }
    }

    fn take(&mut self, commit: &ScannedCommit<'_>, since: UnixMicros, stored: &Arc<StoredSegment>) {
        for frame in commit.frames {
            let header = &frame.header;
            if let Err(full) = self.index.frame(header, frame.offset) {
                self.full = Err(full);
            }
            match header.kind {
                FrameKind::Batch => self.add(header, stored),
                FrameKind::Reply => {
                    let kept = commit.reply(frame).filter(|reply| reply.arrival >= since);
                    self.kept.extend(kept.map(|reply| KeptReply::of(&reply)));
                }
            }
        }
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
}
