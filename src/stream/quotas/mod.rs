//! Quotas of shards, for streams that rehearse for Kinesis Data Streams: what each shard takes and gives in a second.
//!
//! ```text
//! put ──▶ bytes (data and keys), records ──▶ both have room: appended       GetRecords ──▶ calls, bytes not owed
//!                                        └─▶ one has not: throttled
//! ```
//!
//! A bucket holds what a second brings. A single record or request that is larger than that is taken when its bucket
//! is full, and the shard takes nothing more until it is paid for. Bytes of a read are known behind it: they are owed
//! then.
//! The shards of a reshard have full buckets of their own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Layout, Stream};
use crate::config::limits::{QUOTA_READ_BYTES, QUOTA_READ_CALLS, QUOTA_WRITE_BYTES, QUOTA_WRITE_RECORDS};
use crate::record::{Batch, ShardId};
use crate::runtime::bucket::Bucket;
use crate::runtime::clock;

/// Which quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Bytes that come in.
    WriteBytes,
    /// Records that come in.
    WriteRecords,
    /// Bytes that go out.
    ReadBytes,
    /// Calls that read.
    ReadCalls,
}

impl Quota {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Quota::WriteBytes => "write_bytes",
            Quota::WriteRecords => "write_records",
            Quota::ReadBytes => "read_bytes",
            Quota::ReadCalls => "read_calls",
        }
    }

    /// How much it is in a second.
    pub fn a_second(self) -> u64 {
        match self {
            Quota::WriteBytes => QUOTA_WRITE_BYTES,
            Quota::WriteRecords => QUOTA_WRITE_RECORDS,
            Quota::ReadBytes => QUOTA_READ_BYTES,
            Quota::ReadCalls => QUOTA_READ_CALLS,
        }
    }

    fn bucket(self, now: Instant) -> Bucket {
        Bucket::full(self.a_second(), self.a_second(), now)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self {
            Quota::WriteBytes => "bytes in",
            Quota::WriteRecords => "records in",
            Quota::ReadBytes => "bytes out",
            Quota::ReadCalls => "reads",
        };
        write!(f, "{} {unit} a second", self.a_second())
    }
}

/// A quota of a shard is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// The shard.
    pub shard: ShardId,
    /// The quota.
    pub quota: Quota,
    /// How long the same would be refused, if nothing else came.
    pub wait: Duration,
}

/// The buckets of one shard.
#[derive(Debug)]
struct Buckets {
    write_bytes: Bucket,
    write_records: Bucket,
    read_bytes: Bucket,
    read_calls: Bucket,
}

impl Buckets {
    fn full(now: Instant) -> Self {
        Self {
            write_bytes: Quota::WriteBytes.bucket(now),
            write_records: Quota::WriteRecords.bucket(now),
            read_bytes: Quota::ReadBytes.bucket(now),
            read_calls: Quota::ReadCalls.bucket(now),
        }
    }

    fn check_write(&mut self, shard: ShardId, cost: Cost, now: Instant) -> Result<(), Throttled> {
        let bytes = self.write_bytes.check(cost.bytes, now).map_err(|wait| (Quota::WriteBytes, wait));
        let records = self.write_records.check(cost.records, now).map_err(|wait| (Quota::WriteRecords, wait));
        // Of two, the one that lasts longer.
        let longer = match (bytes, records) {
            (Ok(()), Ok(())) => return Ok(()),
            (Err(bytes), Err(records)) => {
                if bytes.1 >= records.1 {
                    bytes
                } else {
                    records
                }
            }
            (Err(one), Ok(())) | (Ok(()), Err(one)) => one,
        };
        Err(Throttled { shard, quota: longer.0, wait: longer.1 })
    }

    fn spend_write(&mut self, cost: Cost, now: Instant) {
        self.write_bytes.spend(cost.bytes, now);
        self.write_records.spend(cost.records, now);
    }

    fn refund_write(&mut self, cost: Cost) {
        self.write_bytes.refund(cost.bytes);
        self.write_records.refund(cost.records);
    }
}

/// What a write costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: u64,
    records: u64,
}

impl Cost {
    fn of(batch: &Batch) -> Self {
        let one = |cost: Self, put: crate::record::Put| Self {
            bytes: cost.bytes + (put.payload.len() + put.key.len()) as u64,
            records: cost.records + 1,
        };
        batch.puts(0).fold(Self { bytes: 0, records: 0 }, one)
    }
}

/// What a request has cost, so that it can be given back.
#[derive(Debug, Default)]
pub struct Spent(Vec<(ShardId, Cost)>);

impl Spent {
    fn by(batches: &[(ShardId, Batch)]) -> Self {
        Self(batches.iter().map(|(id, batch)| (*id, Cost::of(batch))).collect())
    }
}

/// The quotas of a stream's shards. There are as many buckets as it has shards.
#[derive(Debug, Default)]
pub struct Quotas {
    shards: Mutex<HashMap<ShardId, Buckets>>,
}

impl Quotas {
    fn lock(&self) -> MutexGuard<'_, HashMap<ShardId, Buckets>> {
        // Whatever panics under the lock leaves buckets as they were.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buckets of the shards of `layout`, for writing into them. Nobody else writes meanwhile.
    pub fn writing(&self, layout: &Layout) -> Writes<'_> {
        let shards = self.of_layout(layout);
        // Under the lock, so that time goes forward in the buckets.
        Writes { shards, now: clock::monotonic() }
    }

    fn of_layout(&self, layout: &Layout) -> MutexGuard<'_, HashMap<ShardId, Buckets>> {
        let mut shards = self.lock();
        if shards.len() > layout.shards().len() {
            shards.retain(|id, _| layout.index(*id).is_some());
        }
        shards
    }

    /// Counts a call that reads a shard.
    ///
    /// # Errors
    /// If there were too many of them, or the bytes of an earlier one are still owed.
    pub fn begin_read(&self, layout: &Layout, shard: ShardId) -> Result<(), Throttled> {
        let mut shards = self.of_layout(layout);
        let now = clock::monotonic();
        let buckets = shards.entry(shard).or_insert_with(|| Buckets::full(now));
        let throttled = |quota| move |wait| Throttled { shard, quota, wait };
        buckets.read_bytes.is_paid(now).map_err(throttled(Quota::ReadBytes))?;
        buckets.read_calls.check(1, now).map_err(throttled(Quota::ReadCalls))?;
        buckets.read_calls.spend(1, now);
        Ok(())
    }

    /// Has the shard owe what a call has read.
    pub fn end_read(&self, shard: ShardId, bytes: u64) {
        if let Some(buckets) = self.lock().get_mut(&shard) {
            buckets.read_bytes.spend(bytes, clock::monotonic());
        }
    }

    /// What a reader with a connection of its own may read of a shard.
    pub fn of_subscription() -> Bucket {
        Quota::ReadBytes.bucket(clock::monotonic())
    }
}

impl Stream {
    /// Takes what a request costs from the quotas of its shards, where there are any: all of it or nothing. Returns what
    /// to give back if it is not appended.
    ///
    /// # Errors
    /// If they do not have it.
    pub fn within_quotas(&self, layout: &Layout, batches: &[(ShardId, Batch)]) -> Result<Spent, Throttled> {
        let Some(quotas) = self.quotas() else { return Ok(Spent::default()) };
        let taken = quotas.writing(layout).take_all(batches);
        if taken.is_err() {
            self.count_throttled(batches.iter().map(|(_, batch)| batch.records.len() as u64).sum());
        }
        taken
    }

    /// What `batches` have cost whose records were taken one by one; nothing where there are no quotas.
    pub fn spent_by(&self, batches: &[(ShardId, Batch)]) -> Spent {
        self.quotas().map(|_| Spent::by(batches)).unwrap_or_default()
    }

    /// Gives back what a request has cost that was not appended. Has to be done at once: see [`Bucket::refund`].
    pub fn refund(&self, spent: &Spent) {
        let Some(quotas) = self.quotas().filter(|_| !spent.0.is_empty()) else { return };
        let mut shards = quotas.lock();
        for (id, cost) in &spent.0 {
            // A shard that is gone meanwhile takes no more.
            if let Some(buckets) = shards.get_mut(id) {
                buckets.refund_write(*cost);
            }
        }
    }

    /// Counts a request that was not, or not with all of its records, within the quotas.
    pub fn count_throttled(&self, records: u64) {
        self.metrics.throttled_records.increment(records);
        self.metrics.throttled_writes.increment(1);
    }
}

/// See [`Quotas::writing`].
#[derive(Debug)]
pub struct Writes<'a> {
    shards: MutexGuard<'a, HashMap<ShardId, Buckets>>,
    now: Instant,
}

impl Writes<'_> {
    /// Takes what one record of `bytes` costs, with its key.
    ///
    /// # Errors
    /// If it is not there; then nothing was taken.
    pub fn take_record(&mut self, shard: ShardId, bytes: u64) -> Result<(), Throttled> {
        let (cost, now) = (Cost { bytes, records: 1 }, self.now);
        let buckets = self.buckets(shard);
        buckets.check_write(shard, cost, now)?;
        buckets.spend_write(cost, now);
        Ok(())
    }

    /// Takes what all of a request costs.
    ///
    /// # Errors
    /// If that of one shard is not there; then nothing was taken. Of several, the one that lasts longest.
    pub fn take_all(&mut self, batches: &[(ShardId, Batch)]) -> Result<Spent, Throttled> {
        let spent = Spent::by(batches);
        let now = self.now;
        let throttled =
            spent.0.iter().filter_map(|&(id, cost)| self.buckets(id).check_write(id, cost, now).err());
        if let Some(longest) = throttled.max_by_key(|throttled| throttled.wait) {
            return Err(longest);
        }
        for &(id, cost) in &spent.0 {
            self.buckets(id).spend_write(cost, now);
        }
        Ok(spent)
    }

    fn buckets(&mut self, shard: ShardId) -> &mut Buckets {
        let now = self.now;
        self.shards.entry(shard).or_insert_with(|| Buckets::full(now))
    }
}

#[cfg(test)]
mod tests;
