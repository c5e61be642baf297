//! Reading a shard's records back from a segment.

use std::sync::Arc;

use bytes::Bytes;

use super::StoredSegment;
use crate::config::limits::{
    STORED_FETCH_PART, STORED_READ_ENTRIES_MAX, STORED_READ_GAP_BYTES, STORED_RUN_BYTES_MAX,
};
use crate::record::{RecordSpans, SequenceNumber};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::DiskFile;
use crate::stream::CapturePlan;
use crate::stream::log::{Payer, Read, ReadError, ReadLimit, Slice, StoredPosition, StoredRead};
use crate::stream::wal::frame::{self, ShardNumber};
use crate::stream::wal::index::IndexEntry;

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
            Err(error) if self.segment.is_gone(&error) => {
                let skipped = self.skipped + (self.end.0 - self.from.0);
                Ok(Read { skipped, ..Read::nothing(self.end) })
            }
            other => other,
        }
    }
}

/// A point in time, for which the place in one shard's records of one segment is looked up.
#[derive(Debug)]
pub struct StoredTime {
    /// Where they are.
    pub segment: Arc<StoredSegment>,
    /// Whose they are.
    pub shard: ShardNumber,
    /// The time.
    pub time: UnixMicros,
    /// The number behind the last of them.
    pub end: SequenceNumber,
}

impl StoredPosition for StoredTime {
    fn find(self: Box<Self>) -> Result<SequenceNumber, ReadError> {
        match self.segment.ask(|places| places.since(self.shard, self.time)) {
            // Retention has taken the segment away since: what it had is older than what is left.
            Err(error) if self.segment.is_gone(&error) => Ok(self.end),
            found => Ok(found?.map_or(self.end, |first| first.min(self.end))),
        }
    }
}

impl StoredRange {
    fn read(&self, payer: &Payer, captures: &CapturePlan) -> Result<Read, ReadError> {
        let wanted = self.wanted()?;
        if !wanted.iter().any(|entry| entry.count > 0) {
            let path = self.segment.index_path.display().to_string();
            let what = format!("it has no place for the records from {} to {}", self.from, self.end);
            return Err(ReadError::Damaged { path, offset: 0, what });
        }
        let path = &self.segment.path;
        let io = |source| ReadError::Io { path: path.display().to_string(), source };
        let file = self.segment.disk.open(path).map_err(io)?;
        self.fetch(&*file, &wanted);
        let mut read = Read { skipped: self.skipped, ..Read::nothing(self.from) };
        read.slices.reserve_exact(wanted.len());
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_length(rest));
            rest = behind;
            match self.load_run(&*file, run, (payer, captures), &mut read) {
                // What was read before can be used; the next read begins here, and tells the error if it is still there.
                Err(_) if !read.slices.is_empty() => break,
                done => done?,
            }
        }
        Ok(read)
    }

    /// The entries that the limit asks for, at most [`STORED_READ_ENTRIES_MAX`]: at least one, if there is any.
    fn wanted(&self) -> Result<Vec<IndexEntry>, ReadError> {
        self.segment.ask(|places| {
            let (mut wanted, mut bytes, mut records) = (Vec::new(), 0, 0);
            places.each_from(self.shard, self.from, &mut |entry| {
                let full = bytes >= self.limit.bytes || records >= self.limit.records;
                if !wanted.is_empty() && full || entry.first >= self.end {
                    return false;
                }
                bytes += u64::from(entry.payload_bytes);
                records += entry.count as usize;
                wanted.push(entry);
                wanted.len() < STORED_READ_ENTRIES_MAX
            })?;
            Ok(wanted)
        })
    }

    /// Lets the system fetch what will be read, and as much again for the next read while this one goes on. Frames of
    /// several shards stand between one another, and their readers are often about as far: where the wanted ones are a good
    /// part of what there is, all of it is fetched in large pieces. Else each is, all at the same time.
    fn fetch(&self, file: &dyn DiskFile, wanted: &[IndexEntry]) {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return };
        let start = u64::from(first.offset);
        let all = end_of(last).saturating_sub(start);
        if wanted.iter().map(|entry| u64::from(entry.bytes)).sum::<u64>() * STORED_FETCH_PART < all {
            wanted.iter().for_each(|entry| file.will_read(entry.offset.into(), entry.bytes.into()));
            return;
        }
        // Nobody reads what is about to be written.
        let ahead = if self.segment.is_sealed() { all } else { 0 };
        file.will_read(start, all + ahead);
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
        let bytes = Run::load(file, run, payer, path)?;
        let mut at = 0;
        for entry in run {
            let begin = bytes.place(entry, at);
            at += entry.bytes as usize;
            // Batches without records only mark where the shard is.
            if entry.count == 0 {
                continue;
            }
            let damaged = |what| ReadError::Damaged { path: path(), offset: entry.offset.into(), what };
            let frame = bytes.shared.slice(begin..begin + entry.bytes as usize);
            // The run has paid already, for as long as any of it is there.
            let permit = payer.budget.take_anyway(0);
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

/// Frames in memory.
struct Run {
    shared: Bytes,
    /// Where the bytes stand in the segment; `None` if the frames stand back to back.
    start: Option<u32>,
}

/// The bytes of a run. They are paid for until the last batch that points into them is gone.
struct PaidRun {
    bytes: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for PaidRun {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Run {
    /// Reads `run`. `payer` pays for the bytes, for those of gaps as well, and for what the batches hold beside them.
    fn load(
        file: &dyn DiskFile,
        run: &[IndexEntry],
        payer: &Payer,
        path: impl Fn() -> String,
    ) -> Result<Self, ReadError> {
        let (start, end) = (run.first().map_or(0, |entry| entry.offset), run.last().map_or(0, end_of));
        let (all, frames) =
            (end - u64::from(start), run.iter().map(|entry| u64::from(entry.bytes)).sum::<u64>());
        let beside: u64 =
            run.iter().map(|entry| u64::from(entry.count) * size_of::<RecordSpans>() as u64).sum();
        let mut permit = payer.pay(all + beside)?;
        let mut bytes = vec![0; all as usize];
        let failed = |source| ReadError::Io { path: path(), source };
        file.read_exact_at(&mut bytes, start.into()).map_err(failed)?;
        let is_sparse = frames < all / 2;
        if is_sparse {
            pack(&mut bytes, run, start);
            permit.set(frames + beside);
        }
        let shared = Bytes::from_owner(PaidRun { bytes, _permit: permit });
        Ok(Self { shared, start: (!is_sparse).then_some(start) })
    }

    /// Where a frame begins; `at` if they stand back to back.
    fn place(&self, entry: &IndexEntry, at: usize) -> usize {
        self.start.map_or(at, |start| (entry.offset - start) as usize)
    }
}

/// Takes out what lies between the frames of `run`, which begins at `start` in the segment.
fn pack(bytes: &mut Vec<u8>, run: &[IndexEntry], start: u32) {
    let mut to = 0;
    for entry in run {
        let (from, len) = ((entry.offset - start) as usize, entry.bytes as usize);
        bytes.copy_within(from..from + len, to);
        to += len;
    }
    bytes.truncate(to);
    bytes.shrink_to_fit();
}

fn end_of(entry: &IndexEntry) -> u64 {
    u64::from(entry.offset) + u64::from(entry.bytes)
}

/// How many of the entries are read with one call: up to where more than [`STORED_READ_GAP_BYTES`] of other shards lie
/// between two, or [`STORED_RUN_BYTES_MAX`] are reached. At least one.
fn run_length(entries: &[IndexEntry]) -> usize {
    let start = entries.first().map_or(0, |entry| u64::from(entry.offset));
    let goes_on = |pair: &[IndexEntry]| {
        let [before, after] = pair else { return false };
        let gap = u64::from(after.offset).checked_sub(end_of(before));
        gap.is_some_and(|gap| gap <= STORED_READ_GAP_BYTES) && end_of(after) - start <= STORED_RUN_BYTES_MAX
    };
    1 + entries.windows(2).take_while(|pair| goes_on(pair)).count()
}
