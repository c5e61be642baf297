//! A segment as readers use it.

mod range;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::ShardNumber;
use super::index::{
    GrowingIndex, IndexBuilder, IndexEntry, IndexError, IndexFull, IndexReader, IndexReaders, Places,
    ReplyEntry,
};
use super::segment::{FileName, Mode, ScannedCommit, Segment, SegmentError, Start, scan};
use crate::runtime::disk::Disk;
use crate::stream::log::ReadError;

pub use range::{StoredRange, StoredTime};

/// A segment with records that can be read.
#[derive(Debug)]
pub struct StoredSegment {
    disk: Arc<dyn Disk>,
    number: u64,
    path: PathBuf,
    index_path: PathBuf,
    index: Mutex<Index>,
    /// Indexes that are open, of all segments of the journal.
    readers: Arc<IndexReaders>,
    /// Whether it was told that its index file cannot be used.
    told: AtomicBool,
    /// Whether nothing is written to it any more.
    sealed: AtomicBool,
    /// Shards that have records in it that are not let go of.
    holders: AtomicUsize,
}

/// Where the frames of each shard are.
#[derive(Debug)]
enum Index {
    /// In memory, while the segment is written or its index file is not there yet.
    Growing(GrowingIndex),
    /// In the index file.
    Written,
}

impl StoredSegment {
    /// Segment `number` in `folder`, which is being written. `readers` are those of its journal.
    pub fn growing(disk: Arc<dyn Disk>, folder: &Path, number: u64, readers: &Arc<IndexReaders>) -> Self {
        let (path, index_path) = (FileName::segment(folder, number), FileName::index(folder, number));
        Self {
            disk,
            number,
            path,
            index_path,
            index: Mutex::new(Index::Growing(GrowingIndex::default())),
            readers: Arc::clone(readers),
            told: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            holders: AtomicUsize::new(0),
        }
    }

    /// The same of one whose index file is there.
    pub fn written(disk: Arc<dyn Disk>, folder: &Path, number: u64, readers: &Arc<IndexReaders>) -> Self {
        let written = Self::growing(disk, folder, number, readers);
        written.seal();
        written.close();
        written
    }

    /// Its number in the journal.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A map is whole after each of its operations.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Its index file, which may not be there yet.
    pub fn index_path(&self) -> &PathBuf {
        &self.index_path
    }

    /// Adds frames that are durable now.
    pub fn add(
        &self,
        entries: impl Iterator<Item = (ShardNumber, IndexEntry)>,
        replies: impl Iterator<Item = ReplyEntry>,
    ) {
        if let Index::Growing(growing) = &mut *self.index() {
            growing.add(entries);
            growing.add_replies(replies);
        }
    }

    /// Tells all of them to the maker of the index file.
    pub fn fill(&self, index: &mut IndexBuilder) -> Result<(), IndexFull> {
        let Index::Growing(growing) = &*self.index() else { return Ok(()) };
        growing.fill(index)
    }

    /// The index file is durable: the memory of the entries is given back.
    pub fn close(&self) {
        *self.index() = Index::Written;
    }

    /// Nothing is written to it any more.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Whether nothing is written to it any more. Its index file may not be there yet: on a full disk it has to be
    /// possible to remove a segment whose index file finds no room.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// One shard more has records here.
    pub fn hold(&self) {
        self.holders.fetch_add(1, Ordering::AcqRel);
    }

    /// One shard has let go of its records here.
    pub fn release(&self) {
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Its files may be removed from now on, and an open file would keep its room on the disk.
            self.readers.forget(self.number);
        }
    }

    /// Whether no shard needs it.
    pub fn is_free(&self) -> bool {
        self.holders.load(Ordering::Acquire) == 0
    }

    /// Whether an error means that it was removed because no shard needs it.
    fn is_gone(&self, error: &ReadError) -> bool {
        let is_missing =
            matches!(error, ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        is_missing && self.is_free()
    }

    /// Asks the index. If the file cannot be used although the segment is still needed, it is made again in memory.
    fn ask<R>(&self, question: impl Fn(&dyn Places) -> Result<R, IndexError>) -> Result<R, ReadError> {
        if let Index::Growing(growing) = &*self.index() {
            return question(growing).map_err(unreadable);
        }
        match self.open().and_then(|index| question(&*index)) {
            Err(error) if is_lost(&error) && !self.is_free() => {
                question(&*self.rebuild(&error)?).map_err(unreadable)
            }
            answer => answer.map_err(unreadable),
        }
    }

    fn open(&self) -> Result<Arc<dyn Places>, IndexError> {
        if let Some(open) = self.readers.get(self.number) {
            return Ok(open);
        }
        let index: Arc<dyn Places> = Arc::new(IndexReader::open(&*self.disk, &self.index_path)?);
        self.keep_open(&index);
        Ok(index)
    }

    fn keep_open(&self, index: &Arc<dyn Places>) {
        self.readers.put(self.number, Arc::clone(index));
        if self.is_free() {
            // The last shard may have let go of it before it was put there.
            self.readers.forget(self.number);
        }
    }

    /// Makes the index again by reading the segment.
    fn rebuild(&self, why: &IndexError) -> Result<Arc<dyn Places>, ReadError> {
        let _one_at_a_time = self.readers.rebuilding();
        if let Some(open) = self.readers.get(self.number).filter(|open| open.is_in_memory()) {
            return Ok(open);
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            let (path, why) = (self.index_path.display(), why.to_string());
            tracing::error!(%path, why, "an index cannot be used: its segment is read instead, until the next start");
        }
        let path = self.path.display().to_string();
        let io = |source| ReadError::Io { path: path.clone(), source };
        let segment = Segment::open(&*self.disk, &self.path).map_err(unusable)?;
        let mut index = GrowingIndex::default();
        let mut visitor = |commit: &ScannedCommit<'_>| {
            commit.frames.iter().for_each(|frame| index.add_batch(&frame.header, frame.offset));
        };
        let end = scan(&segment, Start::of(&segment), Mode::Stop, &mut visitor).map_err(io)?;
        // It was cut there before its index was written.
        if end.valid_end != segment.file.len().map_err(io)? {
            let what = "it is not whole, and neither is its index: restore both from a copy".to_owned();
            return Err(ReadError::Damaged { path, offset: end.valid_end, what });
        }
        index.shrink();
        let index: Arc<dyn Places> = Arc::new(index);
        self.keep_open(&index);
        Ok(index)
    }
}

/// Whether an index is not what was written, so that another try would not help.
fn is_lost(error: &IndexError) -> bool {
    match error {
        IndexError::Io { source, .. } => {
            matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
        IndexError::Foreign { .. } | IndexError::Damaged { .. } => true,
    }
}

fn unreadable(error: IndexError) -> ReadError {
    let path = |path: PathBuf| path.display().to_string();
    match error {
        IndexError::Io { path: at, source } => ReadError::Io { path: path(at), source },
        IndexError::Foreign { path: at } => {
            ReadError::Damaged { path: path(at), offset: 0, what: "it has another format".to_owned() }
        }
        IndexError::Damaged { path: at, offset, what } => {
            ReadError::Damaged { path: path(at), offset, what: what.to_owned() }
        }
    }
}

fn unusable(error: SegmentError) -> ReadError {
    match error {
        SegmentError::Io { path, source } => ReadError::Io { path: path.display().to_string(), source },
        SegmentError::Foreign { path, what } | SegmentError::Damaged { path, what } => {
            ReadError::Damaged { path: path.display().to_string(), offset: 0, what: what.to_owned() }
        }
    }
}
