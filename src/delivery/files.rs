//! Open files: one a partition.

mod order;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use self::order::Order;
use super::encode::{self, EncodeError, Encoder, PushError, Row};
use super::ledger::SealedRange;
use super::ranges::Ranges;
use super::sink::PartSizes;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Bytes that records take between two looks at a file's size: never more than this, and less for small files, so that the budget is
/// off by a quarter of a file at most.
const WEIGH_BYTES_MAX: u64 = 64 << 10;
/// See [`WEIGH_BYTES_MAX`].
const WEIGH_BYTES_MIN: u64 = 1 << 10;

/// What an open file costs beside what its encoder has taken in: itself, its key in a map and in the order of files,
/// its folder, the range of a shard, the handles of the allocator.
const OPEN_FILE_BYTES: u64 = 1 << 10;

/// A file that is being filled.
pub struct OpenFile {
    /// Folder below the sink, ending with `/` unless empty.
    pub folder: String,
    /// Ending of the file's name.
    pub extension: Arc<str>,
    /// The reason code, if it takes dead letters.
    pub dead: Option<String>,
    /// Whether it takes what is passed over, so that there will be no object.
    pub passed: bool,
    /// Records in it.
    pub records: u64,
    /// Arrival of its oldest record.
    pub oldest: UnixMicros,
    /// When its first record came.
    pub opened: Instant,
    /// When it is to be closed, whatever is in it.
    pub due: Instant,
    /// Its records, shard by shard.
    pub ranges: Ranges,
    /// What it will be called, if its parts are sent already.
    pub begun: Option<BegunFile>,
    /// Finished, and still here.
    finished: Vec<Bytes>,
    finished_bytes: u64,
    /// Whether it is known that there are finished parts.
    is_ready: bool,
    sizes: Option<PartSizes>,
    encoder: Box<dyn Encoder>,
    permit: Permit,
    /// Its place in the order of files.
    slot: usize,
    /// What its records have taken, as far as encoders know without a look.
    pushed: u64,
    /// When `pushed` reaches this, the size is looked at.
    weigh_at: u64,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Its shard.
    pub shard: ShardId,
    /// Its number.
    pub number: SequenceNumber,
    /// Its arrival.
    pub arrival: UnixMicros,
}

/// The name of a file that is decided before it is closed.
#[derive(Debug, Clone)]
pub struct BegunFile {
    /// Its number.
    pub number: u64,
    /// Key of its object.
    pub key: String,
    /// See [`super::seal::guard_so_far`].
    pub guard: u64,
}

/// How a new file begins.
pub struct Opening {
    /// See [`OpenFile::folder`].
    pub folder: String,
    /// See [`OpenFile::extension`].
    pub extension: Arc<str>,
    /// See [`OpenFile::dead`].
    pub dead: Option<String>,
    /// See [`OpenFile::passed`].
    pub passed: bool,
    /// The empty encoder.
    pub encoder: Box<dyn Encoder>,
    /// A permit of the delivery share, of any size.
    pub permit: Permit,
    /// From which size on its parts can be sent before it is closed, if they can.
    pub sizes: Option<PartSizes>,
    /// Now.
    pub opened: Instant,
    /// See [`OpenFile::due`].
    pub due: Instant,
}

impl OpenFile {
    /// An empty file.
    pub fn new(opening: Opening) -> Self {
        let Opening { folder, extension, dead, passed, encoder, mut permit, sizes, opened, due } = opening;
        permit.set(OPEN_FILE_BYTES + encoder.memory_bytes());
        Self {
            folder,
            extension,
            dead,
            passed,
            records: 0,
            oldest: UnixMicros(i64::MAX),
            opened,
            due,
            ranges: Ranges::default(),
            begun: None,
            finished: Vec::new(),
            finished_bytes: 0,
            is_ready: false,
            sizes,
            encoder,
            permit,
            slot: usize::MAX,
            pushed: 0,
            weigh_at: WEIGH_BYTES_MIN,
        }
    }

    /// Adds a record. Nothing changes if it does not fit.
    pub fn push(&mut self, row: Row<'_>) -> Result<(), PushError> {
        self.pushed += self.encoder.push(row)?;
        self.records += 1;
        self.oldest = self.oldest.min(row.arrival);
        self.ranges.add(row.shard, row.sequence_number);
        Ok(())
    }

    /// Looks at the file's size if enough was added since the last look; true if it has reached `size_max` bytes as
    /// stored. Then also charges what it holds.
    pub fn is_full(&mut self, size_max: u64) -> bool {
        if self.pushed < self.weigh_at {
            return false;
        }
        self.take_finished();
        let stored = self.encoder.stored_bytes();
        let missing = size_max.saturating_sub(stored);
        // How much more input the file takes if it goes on compressing as it has so far.
        let input = (missing as f64 * self.pushed as f64 / stored.max(1) as f64) as u64;
        let step = (self.pushed / 4).clamp(WEIGH_BYTES_MIN, WEIGH_BYTES_MAX);
        self.weigh_at = self.pushed + step.min(input).max(1);
        self.charge();
        missing == 0
    }

    fn take_finished(&mut self) {
        let finished = self.encoder.take_finished();
        self.finished_bytes += finished.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        self.finished.extend(finished);
    }

    /// Charges what is held, and what will be as soon as a few more records come.
    fn charge(&mut self) {
        let ahead = self.encoder.memory_ahead(self.weigh_at.saturating_sub(self.pushed));
        self.permit.set(OPEN_FILE_BYTES + self.encoder.memory_bytes() + ahead + self.finished_bytes);
    }

    /// From which size on its parts can be sent before it is closed, if they can.
    pub fn sizes(&self) -> Option<PartSizes> {
        self.sizes
    }

    /// Whether enough of it is finished to send some.
    pub fn has_part(&self) -> bool {
        self.sizes.is_some_and(|PartSizes { above, part_bytes }| match self.begun {
            None => self.finished_bytes > above,
            Some(_) => self.finished_bytes >= part_bytes,
        })
    }

    /// What is finished, which it then does not hold any more.
    pub fn hand_over(&mut self) -> Vec<Bytes> {
        self.is_ready = false;
        self.finished_bytes = 0;
        self.charge();
        std::mem::take(&mut self.finished)
    }

    /// Bytes of memory that it holds, as charged last.
    pub fn memory_bytes(&self) -> u64 {
        self.permit.bytes()
    }

    /// Closes it, with names and values for its footer: its chunks, without those that were handed over, and the permit
    /// that now pays for exactly them.
    pub fn finish(self, metadata: &[(String, String)]) -> Result<(Vec<Bytes>, Permit), EncodeError> {
        let (mut permit, mut chunks) = (self.permit, self.finished);
        chunks.extend(self.encoder.finish(metadata)?);
        permit.set(chunks.iter().map(|chunk| chunk.len() as u64).sum());
        Ok((chunks, permit))
    }
}

/// The open files of a delivery by partition key.
#[derive(Default)]
pub struct Files {
    by_key: HashMap<Box<[u8]>, OpenFile, foldhash::fast::RandomState>,
    dead: usize,
    /// Ranges of all of them.
    ranges_len: usize,
    order: Order,
    next_number: u64,
    /// Keys of files that have finished parts to send, or are closed meanwhile.
    ready: Vec<Box<[u8]>>,
}

impl Files {
    /// No file; the first that is closed gets the number `next_number`.
    pub fn new(next_number: u64) -> Self {
        Self { next_number, ..Self::default() }
    }

    /// The number of the next file that is closed, or begun.
    pub fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// How many are open, dead letters included.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many of them take dead letters.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// Whether a partition has a file.
    pub fn has(&self, key: &[u8]) -> bool {
        self.by_key.contains_key(key)
    }

    /// Reads what adding a record to each of some partitions begins with. Where files are many, none of that is in a
    /// cache, and one after the other they would be waited for one by one: the processor waits for several at once if
    /// nothing else comes in between.
    pub fn look_ahead<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        if self.by_key.len() < encode::FEW_FILES {
            return;
        }
        let files = keys.filter_map(|key| self.by_key.get(key));
        std::hint::black_box(files.fold(0, |seen, file| {
            let range = file.ranges.as_slice().last().map_or(0, |range| range.records as u8);
            let own = file.weigh_at as u8 ^ file.records as u8 ^ range;
            seen ^ own ^ file.encoder.look_ahead() ^ self.order.look_ahead(file.slot)
        }));
    }

    /// Adds a record to the file of a partition, if it has one; true if that has then reached `size_max` bytes as
    /// stored. Nothing changes if the record does not fit.
    pub fn push(&mut self, key: &[u8], row: Row<'_>, size_max: u64) -> Result<bool, PushError> {
        let Some(file) = self.by_key.get_mut(key) else { return Ok(false) };
        self.order.touch(file.slot);
        let (ranges, oldest) = (file.ranges.as_slice().len(), file.oldest);
        file.push(row)?;
        if file.oldest < oldest {
            self.order.note_oldest_record(file.slot, file.oldest);
        }
        self.ranges_len += file.ranges.as_slice().len() - ranges;
        let is_full = file.is_full(size_max);
        if !is_full && file.has_part() && !std::mem::replace(&mut file.is_ready, true) {
            self.ready.push(key.into());
        }
        Ok(is_full)
    }

    /// Takes out the keys of files that have finished parts to send.
    pub fn take_ready(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.ready)
    }

    /// The file of a partition.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut OpenFile> {
        self.by_key.get_mut(key)
    }

    /// Key of the file that was begun with a number.
    pub fn key_of(&self, number: u64) -> Option<Box<[u8]>> {
        let is_it = |file: &OpenFile| file.begun.as_ref().is_some_and(|begun| begun.number == number);
        self.by_key.iter().find(|(_, file)| is_it(file)).map(|(key, _)| key.clone())
    }

    /// Adds a file that was opened just now, where the partition has none.
    pub fn insert(&mut self, key: &[u8], mut file: OpenFile) {
        self.dead += usize::from(file.dead.is_some());
        self.ranges_len += file.ranges.as_slice().len();
        file.slot = self.order.add(key, file.due, file.dead.is_some());
        self.by_key.insert(key.into(), file);
    }

    /// Takes a file out.
    pub fn remove(&mut self, key: &[u8]) -> Option<OpenFile> {
        let file = self.by_key.remove(key)?;
        self.order.remove(file.slot);
        self.dead -= usize::from(file.dead.is_some());
        self.ranges_len -= file.ranges.as_slice().len();
        Some(file)
    }

    /// Key of the least recently used file of those that take dead letters, or of the others.
    pub fn least_recently_used(&self, dead: bool) -> Option<Box<[u8]>> {
        self.order.least_recently_used(dead).map(Into::into)
    }

    /// Key of the file that holds most memory. Looks at all of them: to be asked while memory is short alone.
    pub fn largest(&self) -> Option<Box<[u8]>> {
        self.by_key.iter().max_by_key(|(_, file)| file.memory_bytes()).map(|(key, _)| key.clone())
    }

    /// Keys of the files that are due at `now`.
    pub fn due(&self, now: Instant) -> Vec<Box<[u8]>> {
        self.order.by_due().take_while(|&(_, due)| due <= now).map(|(key, _)| key.into()).collect()
    }

    /// When the first file is due.
    pub fn first_due(&self) -> Option<Instant> {
        self.order.by_due().next().map(|(_, due)| due)
    }

    /// Arrival of the oldest record in any of them.
    pub fn oldest_record(&self) -> Option<UnixMicros> {
        self.order.oldest_record()
    }

    /// Key of the file that was opened first.
    pub fn oldest(&self) -> Option<Box<[u8]>> {
        self.order.by_age().next().map(Into::into)
    }

    /// What is in the files that are open, shard by shard of each.
    pub fn ranges(&self) -> impl Iterator<Item = &SealedRange> {
        self.by_key.values().flat_map(|file| file.ranges.as_slice())
    }

    /// How many there are of [`Files::ranges`].
    pub fn ranges_len(&self) -> usize {
        self.ranges_len
    }

    /// Keys of all files.
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        self.by_key.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
