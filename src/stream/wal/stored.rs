//! A segment as readers use it, and reading a shard's records back from it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::frame::{self, ShardNumber};
use super::index::{IndexBuilder, IndexEntry, IndexError, IndexFull, IndexReader, ReplyEntry};
use super::segment::FileName;
use crate::config::limits::{STORED_READ_ENTRIES_MAX, STORED_READ_GAP_BYTES};
use crate::record::SequenceNumber;
use crate::runtime::disk::{Disk, DiskFile};
use crate::stream::CapturePlan;
use crate::stream::log::{Payer, Read, ReadError, ReadLimit, Slice, StoredRead};

/// A segment with records that can be read.
#[derive(Debug)]
pub struct StoredSegment {
    disk: Arc<dyn Disk>,
    number: u64,
    path: PathBuf,
    index_path: PathBuf,
    index: Mutex<Index>,
    /// Whether nothing is written to it any more.
    sealed: AtomicBool,
    /// Shards that have records in it that are not let go of.
    holders: AtomicUsize,
}

/// Where the frames of each shard are.
#[derive(Debug)]
enum Index {
    /// In memory, while the segment is written or its index file is not there yet.
    Growing(Growing),
    /// In the index file.
    Written,
}

#[derive(Debug, Default)]
struct Growing {
    shards: HashMap<ShardNumber, Vec<IndexEntry>, foldhash::fast::RandomState>,
    replies: Vec<ReplyEntry>,
}

impl StoredSegment {
    /// Segment `number` in `folder`, which is being written.
    pub fn growing(disk: Arc<dyn Disk>, folder: &Path, number: u64) -> Self {
        Self::new(disk, folder, number, Index::Growing(Growing::default()))
    }

    /// Segment `number` in `folder`, whose index file is there.
    pub fn written(disk: Arc<dyn Disk>, folder: &Path, number: u64) -> Self {
        let written = Self::new(disk, folder, number, Index::Written);
        written.seal();
        written
    }

    fn new(disk: Arc<dyn Disk>, folder: &Path, number: u64, index: Index) -> Self {
        let (path, index_path) = (FileName::segment(folder, number), FileName::index(folder, number));
        let (index, sealed, holders) = (Mutex::new(index), AtomicBool::new(false), AtomicUsize::new(0));
        Self { disk, number, path, index_path, index, sealed, holders }
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
            for (shard, entry) in entries {
                growing.shards.entry(shard).or_default().push(entry);
            }
            growing.replies.extend(replies);
        }
    }

    /// Tells all of them to the maker of the index file.
    pub fn fill(&self, index: &mut IndexBuilder) -> Result<(), IndexFull> {
        let Index::Growing(growing) = &*self.index() else { return Ok(()) };
        for (shard, entries) in &growing.shards {
            for entry in entries {
                index.batch(*shard, *entry)?;
            }
        }
        growing.replies.iter().try_for_each(|reply| index.reply(*reply))
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
        self.holders.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether no shard needs it.
    pub fn is_free(&self) -> bool {
        self.holders.load(Ordering::Acquire) == 0
    }

    /// Entries of `shard` from the one that holds `from` on, at most [`STORED_READ_ENTRIES_MAX`].
    fn find(&self, shard: ShardNumber, from: SequenceNumber) -> Result<Vec<IndexEntry>, ReadError> {
        if let Index::Growing(growing) = &*self.index() {
            let entries = growing.shards.get(&shard).map(Vec::as_slice).unwrap_or_default();
            let start = entries.partition_point(|entry| entry.first.0 + u64::from(entry.count) <= from.0);
            return Ok(entries[start..].iter().take(STORED_READ_ENTRIES_MAX).copied().collect());
        }
        let read = || {
            let reader = IndexReader::open(&*self.disk, &self.index_path)?;
            match reader.find(shard, from)? {
                Some(position) => reader.entries(shard, position, STORED_READ_ENTRIES_MAX),
                None => Ok(Vec::new()),
            }
        };
        read().map_err(unreadable)
    }
}

/// Records of one shard in one segment, to be loaded.
#[derive(Debug)]
pub struct StoredRange {
    /// Where they are.
    pub segment: Arc<StoredSegment>,
    /// Whose they are.
    pub shard: ShardNumber,
    /// The first that is wanted.
    pub from: SequenceNumber,
    /// The first that is not.
    pub end: SequenceNumber,
    /// How much at a time.
    pub limit: ReadLimit,
    /// To be told with the answer.
    pub skipped: u64,
}

impl StoredRead for StoredRange {
    fn load(self: Box<Self>, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        match self.read(payer, captures) {
            // Retention has taken the segment away since the place was looked up. One that a shard still needs is
            // missing for another reason, which is an error.
            Err(ReadError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && self.segment.is_free() =>
            {
                let skipped = self.skipped + (self.end.0 - self.from.0);
                Ok(Read { slices: Vec::new(), next: self.end, skipped })
            }
            other => other,
        }
    }
}

impl StoredRange {
    fn read(&self, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        let wanted = self.wanted(self.segment.find(self.shard, self.from)?);
        let path = &self.segment.path;
        let io = |source| ReadError::Io { path: path.display().to_string(), source };
        let file = self.segment.disk.open(path).map_err(io)?;
        let mut read =
            Read { slices: Vec::with_capacity(wanted.len()), next: self.from, skipped: self.skipped };
        for run in runs(&wanted) {
            self.load_run(&*file, run, (payer, captures), &mut read)?;
        }
        Ok(read)
    }

    /// The entries that the limit asks for: at least one.
    fn wanted(&self, mut entries: Vec<IndexEntry>) -> Vec<IndexEntry> {
        let (mut bytes, mut records) = (0, 0);
        let mut wanted = 0;
        for entry in &entries {
            let full = bytes >= self.limit.bytes || records >= self.limit.records;
            if wanted > 0 && full || entry.first >= self.end {
                break;
            }
            wanted += 1;
            bytes += u64::from(entry.payload_bytes);
            records += entry.count as usize;
        }
        entries.truncate(wanted);
        entries
    }

    /// Reads frames that stand close together with one call, and makes batches of them.
    fn load_run(
        &self,
        file: &dyn DiskFile,
        run: &[IndexEntry],
        (payer, captures): (&Payer, &CapturePlan),
        read: &mut Read,
    ) -> Result<(), ReadError> {
        let path = || self.segment.path.display().to_string();
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let start = u64::from(first.offset);
        let bytes = u64::from(last.offset) + u64::from(last.bytes) - start;
        // Paid for before it is read; each batch then carries its own part.
        let paid = payer.pay(bytes)?;
        let mut buffer = vec![0; bytes as usize];
        file.read_exact_at(&mut buffer, start).map_err(|source| ReadError::Io { path: path(), source })?;
        let buffer = Bytes::from(buffer);
        drop(paid);
        // Batches without records only mark where the shard is.
        for entry in run.iter().filter(|entry| entry.count > 0) {
            let damaged = |what| ReadError::Damaged { path: path(), offset: entry.offset.into(), what };
            let begin = (u64::from(entry.offset) - start) as usize;
            let frame = buffer.slice(begin..begin + entry.bytes as usize);
            let permit = Payer { overdraws: true, ..payer.clone() }.pay(entry.bytes.into())?;
            let (number, batch) =
                frame::decode_batch(frame, permit, captures).map_err(|error| damaged(error.to_string()))?;
            if number != entry.first || batch.records.len() != entry.count as usize {
                return Err(damaged("the index names other records than the frame has".to_owned()));
            }
            let skip = (read.next.0.saturating_sub(number.0)) as usize;
            let first = read.next.max(number);
            read.skipped += number.0.saturating_sub(read.next.0);
            read.next = SequenceNumber(number.0 + batch.records.len() as u64);
            read.slices.push(Slice { batch: Arc::new(batch), skip, first });
        }
        Ok(())
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

/// Cuts entries where more than [`STORED_READ_GAP_BYTES`] of other shards lie between two.
fn runs(entries: &[IndexEntry]) -> impl Iterator<Item = &[IndexEntry]> {
    entries.chunk_by(|before, after| {
        let end = u64::from(before.offset) + u64::from(before.bytes);
        u64::from(after.offset).checked_sub(end).is_some_and(|gap| gap <= STORED_READ_GAP_BYTES)
    })
}
