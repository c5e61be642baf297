//! What is to be sent next, and when.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::{Parts, Stage};
use crate::function::waiting::Waiting;
use crate::function::work::Work;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::stream::{Layout, Payer, ReadLimit, Shard};

/// Whether records are to be sent.
pub(super) enum Due {
    /// These.
    Now(Work),
    /// They are too few, and may wait so long for others.
    In(Duration),
}

impl Stage {
    /// Where a shard is read on, if it has more and may be read.
    pub(super) fn position(&self, layout: &Layout, shard: &Shard) -> Option<(ShardId, SequenceNumber)> {
        let positions = self.seen.positions();
        let position = |id: ShardId| {
            let first = || layout.get(id).map(|shard| shard.log_ref().bounds().first);
            positions.get(&id).copied().or_else(first)
        };
        let (id, next) = (shard.facts.id, shard.log_ref().bounds().next);
        let from = position(id)?;
        (next > from && layout.may_read(&shard.facts, position)).then_some((id, from))
    }

    /// Whether the records of a shard from a place on are to be sent now, and which; or how long to wait until another try.
    pub(super) async fn due(&mut self, (shard, from): (ShardId, SequenceNumber)) -> Result<Due, Duration> {
        let most = ReadLimit { bytes: self.parts.spec.buffer_bytes, records: self.records_max };
        let known = self.waiting.remove(&shard).filter(|known| known.from == from);
        let interval = self.parts.spec.buffer_interval;
        if let Some(known) = known
            && !known.left(interval, clock::wall()).is_zero()
        {
            let has_more = self.parts.source.shard(shard).is_some_and(|log| log.bounds().next > known.to);
            let more = match has_more {
                true => Some(self.read((shard, known.to), known.room(most)).await?),
                false => None,
            };
            if more.as_ref().is_none_or(|more| !more.is_full) {
                return Ok(self.wait_with(shard, more.map_or(known, |more| known.and(&more))));
            }
        }
        let work = self.read((shard, from), most).await?;
        match Waiting::of(from, &work) {
            // What was enough a moment ago is so still.
            Some(few) if known.is_none() && !work.is_full && !few.left(interval, clock::wall()).is_zero() => {
                Ok(self.wait_with(shard, few))
            }
            _ => Ok(Due::Now(work)),
        }
    }

    fn wait_with(&mut self, shard: ShardId, few: Waiting) -> Due {
        self.waiting.insert(shard, few);
        Due::In(few.left(self.parts.spec.buffer_interval, clock::wall()))
    }

    /// Reads records of a shard from a place on; or how long to wait until another try.
    async fn read(
        &self,
        (shard, from): (ShardId, SequenceNumber),
        limit: ReadLimit,
    ) -> Result<Work, Duration> {
        let Parts { source, budget, .. } = &self.parts;
        let payer = Payer { budget: Arc::clone(budget), overdraws: true };
        let read = source.read(shard, from, limit, &payer).await;
        let read = read.map_err(|error| self.trouble("the log cannot be read", &error))?;
        if read.slices.is_empty() && read.next <= from {
            return Err(self.trouble("the log cannot be read", &"it has records, but gives none"));
        }
        if read.skipped > 0 {
            tracing::error!(
                stream = %source.name(), function = self.caller.name(), %shard, records = read.skipped,
                "records were gone from the log before they went through the function"
            );
        }
        Ok(Work::of(shard, read, limit.bytes, limit.records))
    }

    /// Something besides the function does not work. How long to wait until another try.
    fn trouble(&self, what: &str, error: &dyn Display) -> Duration {
        tracing::error!(
            stream = %self.parts.source.name(), function = self.caller.name(), %error,
            "{what}: records do not go through the function, nothing is dropped; it is tried again"
        );
        // Of the pauses between tries, since each is told.
        Duration::from_secs(10)
    }
}
