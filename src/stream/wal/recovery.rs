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
//! | a full disk | index files that find no room are written later |
//!
//! A segment that was recovered is never written to again. What was passed over once, because that was accepted, is not
//! complained about again: the index file of the segment does not have it.

mod content;
mod error;
mod losses;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use self::error::RecoveryError;

use super::JournalClass;
use super::frame::{self, Reply, ShardNumber};
use super::index::{IndexError, IndexReader, IndexReaders};
use super::journal::Resume;
use super::segment::{FileName, Segment, SegmentError};
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
    /// Numbers of segments, first and last, that should stand between others and do not.
    pub missing: Vec<(u64, u64)>,
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

/// A segment on its way to being recovered.
struct Found {
    segment: Segment,
    /// Where the next segment says that it ends.
    end: Option<u64>,
}

/// Recovers the journal in `source.folder`.
pub fn recover(source: Source<'_>, progress: &Progress) -> Result<Recovered, RecoveryError> {
    let resume = Resume {
        next_segment: 1,
        next_commit: 1,
        previous_end: None,
        segments: Vec::new(),
        unindexed: Vec::new(),
        index_readers: Arc::default(),
    };
    let recovered = Recovered {
        parts: HashMap::new(),
        replies: Vec::new(),
        resume,
        scanned_bytes: 0,
        damaged_bytes: 0,
        missing: Vec::new(),
    };
    let mut recovery = Recovery { source, recovered };
    for found in recovery.find()? {
        if progress.is_stopped() {
            return Err(RecoveryError::Stopped);
        }
        let before = recovery.recovered.scanned_bytes;
        recovery.take(found)?;
        progress.add_done(recovery.recovered.scanned_bytes - before);
    }
    Ok(recovery.recovered)
}

/// Notes that the loss of segments was accepted, so that no later start complains about them.
pub fn accept_missing(disk: &dyn Disk, folder: &Path, missing: &[(u64, u64)]) -> io::Result<()> {
    losses::accept(disk, folder, missing)
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

impl Recovery<'_> {
    /// Opens all segments, in order, and takes away what never got its name, or has lost its segment.
    fn find(&mut self) -> Result<Vec<Found>, RecoveryError> {
        let Source { disk, folder, .. } = self.source;
        let io = |path: &Path, source| RecoveryError::Io { path: path.to_owned(), source };
        let remove = |path: &Path| disk.remove(path).map_err(|error| io(path, error));
        let mut found: Vec<Found> = Vec::new();
        let mut indexes = Vec::new();
        for path in disk.list(folder).map_err(|error| io(folder, error))? {
            match FileName::of(&path) {
                Some(FileName::Unnamed) => remove(&path)?,
                Some(FileName::Segment(number)) => {
                    let Some(segment) = self.open(&path, number)? else { continue };
                    if let Some(before) = found.last_mut()
                        && before.segment.header.number + 1 == number
                    {
                        before.end = segment.header.previous_end;
                    }
                    found.push(Found { segment, end: None });
                }
                Some(FileName::Index(number)) => indexes.push((number, path)),
                None => {}
            }
        }
        let oldest = found.first().map_or(0, |found| found.segment.header.number);
        for (_, path) in indexes.iter().filter(|(number, _)| *number < oldest) {
            remove(path)?;
        }
        let numbers = found.iter().map(|found| found.segment.header.number);
        self.recovered.missing = losses::missing(&**disk, folder, numbers);
        Ok(found)
    }

    /// Opens a segment; `None` if its header is damaged and that is accepted.
    fn open(&mut self, path: &Path, number: u64) -> Result<Option<Segment>, RecoveryError> {
        let disk = &**self.source.disk;
        match Segment::open(disk, path) {
            Ok(segment) => {
                check_header(&self.source, &segment, number)?;
                Ok(Some(segment))
            }
            Err(SegmentError::Damaged { path, what }) => {
                let io = |source| RecoveryError::Io { path: path.clone(), source };
                let bytes = disk.open(&path).and_then(|file| file.len()).map_err(io)?;
                if !self.source.accept_damage {
                    let what = format!("its header: {what}");
                    return Err(RecoveryError::Damaged { path, at: 0, until: bytes, bytes, what });
                }
                losses::set_aside(disk, self.source.folder, &path).map_err(io)?;
                tracing::error!(path = %path.display(), bytes, what, "a segment is set aside: it has lost its header");
                self.recovered.damaged_bytes += bytes;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, found: Found) -> Result<(), RecoveryError> {
        let Found { segment, end } = found;
        let index_path = FileName::index(self.source.folder, segment.header.number);
        let indexed = match IndexReader::open(&**self.source.disk, &index_path) {
            Ok(index) if index.segment().salt == segment.header.salt => Some(index),
            Err(IndexError::Io { path, source }) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecoveryError::Io { path, source });
            }
            // Without an index, or with one of another time or a damaged one: it is made again.
            Ok(_) | Err(_) => None,
        };
        let replies = match &indexed {
            // Who accepts damage has met it, perhaps in a segment that has its index: all is read.
            Some(index) if !self.source.accept_damage => self.replies(&segment, index)?,
            Some(_) | None => None,
        };
        let (stored, valid_end, next_commit) = match (&indexed, replies) {
            (Some(index), Some(replies)) => {
                self.recovered.replies.extend(replies);
                (self.take_index(index), index.segment().valid_end, index.segment().next_commit)
            }
            // What is damaged has to be found, and told.
            (Some(index), None) => self.verify(&segment, end.or(Some(index.segment().valid_end)))?,
            (None, _) => self.verify(&segment, end)?,
        };
        let resume = &mut self.recovered.resume;
        resume.next_segment = segment.header.number + 1;
        resume.next_commit = next_commit.max(resume.next_commit);
        resume.previous_end = Some(valid_end);
        resume.segments.push(stored);
        Ok(())
    }

    /// The replies that an index names; `None` if the index or one of them is damaged.
    fn replies(
        &self,
        segment: &Segment,
        index: &IndexReader,
    ) -> Result<Option<Vec<KeptReply>>, RecoveryError> {
        let entries = match index.replies(0, INDEX_ENTRIES_MAX) {
            Err(IndexError::Damaged { .. }) => return Ok(None),
            entries => entries?,
        };
        let mut kept = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.arrival >= self.source.replies_since) {
            let mut frame = vec![0; entry.bytes as usize];
            match segment.file.read_exact_at(&mut frame, entry.offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read.map_err(|source| RecoveryError::Io { path: segment.path.clone(), source })?,
            }
            match frame::decode_reply(&frame) {
                Ok(reply) => kept.push(KeptReply::of(&reply)),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(kept))
    }

    fn index_readers(&self) -> &Arc<IndexReaders> {
        &self.recovered.resume.index_readers
    }

    /// Takes over what the index file says.
    fn take_index(&mut self, index: &IndexReader) -> Arc<StoredSegment> {
        let (disk, number) = (Arc::clone(self.source.disk), index.segment().number);
        let stored = Arc::new(StoredSegment::written(disk, self.source.folder, number, self.index_readers()));
        for shard in index.directory() {
            stored.hold();
            self.recovered.parts.entry(shard.shard).or_default().push(Part {
                segment: Arc::clone(&stored),
                first: shard.first,
                end: shard.end,
                bytes: shard.payload_bytes,
                oldest: shard.arrival_min,
                newest: shard.arrival_max,
            });
        }
        stored
    }
}
