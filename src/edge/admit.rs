//! Admission: no byte of a body is kept that is not paid for from the ingest share of the budget.

use std::sync::{Mutex, PoisonError};

use super::Edge;
use super::problem::Problem;
use crate::config::limits::RECLAIM_DIVISOR;
use crate::runtime::budget::Permit;

/// Lets one thread at a time look for memory that can be freed.
#[derive(Debug, Default)]
pub struct Reclaiming(Mutex<()>);

impl Edge {
    /// Takes `bytes` for a request. If they are not there, records that no delivery needs any more, and that are
    /// kept for taps alone, are let go of first.
    pub fn admit(&self, bytes: u64) -> Result<Permit, Problem> {
        let mut permit = self.budget.take_anyway(0);
        self.admit_more(&mut permit, bytes)?;
        Ok(permit)
    }

    /// Adds `bytes` to a permit under the same rule.
    pub fn admit_more(&self, permit: &mut Permit, bytes: u64) -> Result<(), Problem> {
        if permit.try_grow(bytes) {
            return Ok(());
        }
        // Whoever comes second waits for the one who frees memory already, which takes well below a millisecond, and
        // then finds room: a request must not be refused because another one is making room.
        let _alone = self.reclaiming.0.lock().unwrap_or_else(PoisonError::into_inner);
        if permit.try_grow(bytes) {
            return Ok(());
        }
        self.reclaim(bytes);
        if permit.try_grow(bytes) { Ok(()) } else { Err(Problem::MemoryFull) }
    }

    fn reclaim(&self, bytes: u64) {
        // More than is needed at the moment, so that a full budget is not searched again for each request.
        let mut wanted = bytes.max(self.budget.capacity() / RECLAIM_DIVISOR);
        for intake in self.intakes.values() {
            wanted = wanted.saturating_sub(intake.stream.reclaim(wanted));
            if wanted == 0 {
                break;
            }
        }
    }
}
