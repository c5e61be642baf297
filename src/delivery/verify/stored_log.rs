//! The records of a stream that nobody writes to, as they are on the disk.

use std::time::Duration;

use super::walk::{Held, RecordSource};
use crate::config::limits::VERIFY_READ_BYTES;
use crate::node::CatalogStream;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journals::Content;
use crate::stream::wal::shard::DurableLog;
use crate::stream::{CapturePlan, Found, Payer, Read, ReadError, ReadLimit, Retention, ShardFacts, ShardLog};

/// See the module.
#[derive(Debug)]
pub struct StoredLog {
    shards: Vec<(ShardId, DurableLog)>,
    payer: Payer,
}

impl StoredLog {
    /// The records of `stream` among those of all streams.
    pub fn new(stream: &CatalogStream, content: &Content) -> Self {
        let shards = stream.shards.iter().map(|shard| {
            let number = ShardNumber(shard.number);
            let parts = content.parts.get(&number).cloned().unwrap_or_default();
            // Nothing is let go of here.
            let retention = Retention { age: Duration::MAX, bytes: None };
            let ShardFacts { id, first, end, .. } = shard.facts;
            let log = DurableLog::new(number, first, parts, retention, 0);
            end.into_iter().for_each(|end| log.skip_to(end));
            (id, log)
        });
        // One read at a time, which is bounded by itself.
        let payer = Payer { budget: Budget::new(VERIFY_READ_BYTES), overdraws: true };
        Self { shards: shards.collect(), payer }
    }
}

impl RecordSource for StoredLog {
    fn shards(&self) -> Vec<Held> {
        let held = |(shard, log): &(ShardId, DurableLog)| {
            let bounds = log.bounds();
            Held { shard: *shard, first: bounds.first, next: bounds.next }
        };
        self.shards.iter().map(held).collect()
    }

    fn read(&self, shard: ShardId, from: SequenceNumber, captures: &CapturePlan) -> Result<Read, ReadError> {
        let Some((_, log)) = self.shards.iter().find(|(id, _)| *id == shard) else {
            return Ok(Read::nothing(from));
        };
        match log.read(from, ReadLimit::bytes(VERIFY_READ_BYTES)) {
            Found::Here(read) => Ok(read),
            Found::Stored(stored) => stored.load(&self.payer, captures),
        }
    }
}
