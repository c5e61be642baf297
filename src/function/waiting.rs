//! Records that wait for others to be sent with them: how many they are, without having them at hand.
//!
//! A stage that waits for more looks only at what has come since it looked last. What it has seen it does not keep: it is
//! read once more when a call is due, so that a stage holds no memory while it waits.

use std::time::Duration;

use super::work::Work;
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::stream::ReadLimit;

/// Records of one shard that are too few yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The first of them.
    pub from: SequenceNumber,
    /// The number behind the last of them.
    pub to: SequenceNumber,
    /// When the first of them came in.
    oldest: UnixMicros,
    bytes: u64,
    count: usize,
}

impl Waiting {
    /// Those of `work`, the first records that have not gone through; `None` if there are none. They begin at `from`.
    pub fn of(from: SequenceNumber, work: &Work) -> Option<Self> {
        let oldest = work.oldest()?;
        Some(Self { from, to: work.to, oldest, bytes: work.bytes, count: work.count })
    }

    /// How much more there may be until a call is due that takes `most` at the most: never nothing.
    pub fn room(&self, most: ReadLimit) -> ReadLimit {
        let (bytes, records) =
            (most.bytes.saturating_sub(self.bytes).max(1), most.records.saturating_sub(self.count).max(1));
        ReadLimit { bytes, records }
    }

    /// The same with those that were found at their end.
    #[must_use]
    pub fn and(self, more: &Work) -> Self {
        let (bytes, count) = (self.bytes + more.bytes, self.count + more.count);
        Self { to: more.to, bytes, count, ..self }
    }

    /// How long they may still wait, if no record waits longer than `interval`: nothing if they are due.
    pub fn left(&self, interval: Duration, now: UnixMicros) -> Duration {
        let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
        let left = self.oldest.0.saturating_add(interval).saturating_sub(now.0);
        Duration::from_micros(left.max(0).unsigned_abs())
    }
}
