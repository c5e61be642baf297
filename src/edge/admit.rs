//! Admission: no byte is kept that is not paid for from the ingest share of the budget.

use std::sync::{Arc, Mutex, PoisonError};

use super::Edge;
use super::gate::throttle::fair::{Competitor, Short};
use super::problem::Problem;
use crate::config::limits::RECLAIM_DIVISOR;
use crate::runtime::budget::{Budget, Permit};
use crate::runtime::clock::{self, UnixMicros};

/// Lets one thread at a time look for memory that can be freed.
#[derive(Debug, Default)]
pub struct Reclaiming(Mutex<()>);

/// Steps in which the time before which records are let go of nears the present. The last one takes all that can be
/// let go of.
const RECLAIM_STEPS: i64 = 8;

impl Edge {
    /// Takes `bytes` for a request from the account of its stream. If they are not there, records that no delivery
    /// needs any more, and that are kept for taps alone, are let go of first; what is scarce even so is shared fairly.
    pub fn admit(&self, account: &Arc<Budget>, bytes: u64, who: &Competitor) -> Result<Permit, Problem> {
        let mut permit = account.take_anyway(0);
        self.admit_more(&mut permit, bytes, who)?;
        Ok(permit)
    }

    /// Takes `bytes` for a page that a tap is about to build. All taps share one account, and nothing is let go of for
    /// them: readers that do not read must not empty the streams of everybody else.
    pub fn admit_tap(&self, bytes: u64) -> Result<Permit, Problem> {
        self.taps_budget.try_take(bytes).ok_or(Problem::MemoryFull)
    }

    /// Adds `bytes` to a permit under the same rule.
    pub fn admit_more(&self, permit: &mut Permit, bytes: u64, who: &Competitor) -> Result<(), Problem> {
        let free_memory = |wanted, is_enough: &dyn Fn() -> bool| {
            // Whoever comes second waits for the one who frees memory already, which takes well below a millisecond,
            // and then finds room: a request must not be refused because another one is making room.
            let _alone = self.reclaiming.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !is_enough() {
                self.reclaim(wanted);
            }
        };
        let admitted = self.throttle.fair.admit(who, permit, bytes, free_memory);
        admitted.map_err(|short| match short {
            Short::Full => Problem::MemoryFull,
            Short::OverFairPart => {
                self.throttle.metrics.fair_share.increment(1);
                Problem::OverFairShare
            }
        })
    }

    /// Lets go of the oldest records of all streams that no delivery needs, whatever their stream and shard, until
    /// enough is free. A body goes when the last of its records does, so what counts is the budget, not the records.
    fn reclaim(&self, bytes: u64) {
        // More than is needed at the moment, so that a full budget is not searched again for each request.
        let wanted = bytes.max(self.budget.capacity() / RECLAIM_DIVISOR);
        let goal = self.budget.used().saturating_sub(wanted);
        let intakes = self.intakes();
        let streams = || intakes.iter().map(|intake| &intake.stream);
        let Some(oldest) = streams().filter_map(|stream| stream.oldest_arrival()).min() else { return };
        let now = clock::wall().0;
        for step in 1..=RECLAIM_STEPS {
            let before = if step == RECLAIM_STEPS {
                i64::MAX
            } else {
                oldest.0 + (now - oldest.0) / RECLAIM_STEPS * step
            };
            for stream in streams() {
                stream.reclaim(UnixMicros(before));
            }
            if self.budget.used() <= goal {
                return;
            }
        }
    }
}
