//! Reading records, wherever they are, with the fields that a reader wants captured.
//!
//! Batches come from the edge with the fields that the stream had captured when they were taken. Deliveries come and
//! change while the stream takes records: its captures then grow, at the end, and a batch from before has fewer. For who
//! needs more, its records are looked through again, as those are that come back from the disk.

use std::sync::{Arc, PoisonError};

use super::log::{Found, Payer, Read, ReadError, ReadLimit};
use super::{CapturePlan, Stream};
use crate::record::{SequenceNumber, ShardId};

impl Stream {
    /// Has `captures`, which begin with those that there are, found in records that are read back.
    pub fn capture(&self, captures: CapturePlan) {
        // Nothing panics while it is changed.
        let captures = Arc::new(captures);
        self.capture_in_topic(&captures);
        *self.captures.write().unwrap_or_else(PoisonError::into_inner) = captures;
    }

    pub(super) fn captures(&self) -> Arc<CapturePlan> {
        Arc::clone(&self.captures.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records of a shard from `from` on, wherever they are. Waits for the disk where they are no longer in memory;
    /// `payer` then pays for them.
    pub async fn read(
        self: &Arc<Self>,
        shard: ShardId,
        from: SequenceNumber,
        limit: ReadLimit,
        payer: &Payer,
    ) -> Result<Read, ReadError> {
        self.read_captured((shard, from), limit, payer, 0).await
    }

    /// The same, each with the first `slots` of the stream's captured fields at least.
    pub async fn read_captured(
        self: &Arc<Self>,
        (shard, from): (ShardId, SequenceNumber),
        limit: ReadLimit,
        payer: &Payer,
        slots: usize,
    ) -> Result<Read, ReadError> {
        let Some(log) = self.shard(shard) else { return Ok(Read::nothing(from)) };
        match log.read(from, limit) {
            Found::Here(read) if read.slices.iter().all(|slice| slice.batch.has_slots(slots)) => Ok(read),
            found => load(found, payer.clone(), self.captures(), Some(slots)).await,
        }
    }

    /// The same with the captured fields of `captures` in the place of the stream's own: for a delivery that reads by
    /// an earlier configuration.
    pub async fn read_with(
        self: &Arc<Self>,
        (shard, from): (ShardId, SequenceNumber),
        limit: ReadLimit,
        payer: &Payer,
        captures: &Arc<CapturePlan>,
    ) -> Result<Read, ReadError> {
        let Some(log) = self.shard(shard) else { return Ok(Read::nothing(from)) };
        load(log.read(from, limit), payer.clone(), Arc::clone(captures), None).await
    }
}

/// Brings what was found here with `captures`; what is in memory and has `enough` of them stays as it is.
async fn load(
    found: Found,
    payer: Payer,
    captures: Arc<CapturePlan>,
    enough: Option<usize>,
) -> Result<Read, ReadError> {
    let loading = tokio::task::spawn_blocking(move || match found {
        Found::Stored(stored) => stored.load(&payer, &captures),
        Found::Here(mut read) => {
            for slice in &mut read.slices {
                if !enough.is_some_and(|slots| slice.batch.has_slots(slots)) {
                    slice.batch = Arc::new(captures.recapture(&slice.batch));
                }
            }
            Ok(read)
        }
    });
    // Only a panic or the end of the runtime ends it without a result.
    loading.await.unwrap_or_else(|_| Err(ReadError::Stopped))
}
