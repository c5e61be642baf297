//! Reading a shard's records back from a segment.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::StoredSegment;
use crate::config::limits::STORED_READ_GAP_BYTES;
use crate::record::SequenceNumber;
use crate::runtime::disk::DiskFile;
use crate::stream::CapturePlan;
use crate::stream::log::{Payer, Read, ReadError, ReadLimit, Slice, StoredRead};
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
        if !wanted.iter().any(|entry| entry.count > 0) {
            let path = self.segment.index_path.display().to_string();
            let what = format!("it has no place for the records from {} to {}", self.from, self.end);
            return Err(ReadError::Damaged { path, offset: 0, what });
        }
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

/// Cuts entries where more than [`STORED_READ_GAP_BYTES`] of other shards lie between two.
fn runs(entries: &[IndexEntry]) -> impl Iterator<Item = &[IndexEntry]> {
    entries.chunk_by(|before, after| {
        let end = u64::from(before.offset) + u64::from(before.bytes);
        u64::from(after.offset).checked_sub(end).is_some_and(|gap| gap <= STORED_READ_GAP_BYTES)
    })
}
