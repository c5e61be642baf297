//! The byte budget: what is held in memory has been paid for in bytes first.
//!
//! The process has one budget in two shares, so that neither side can starve the other:
//!
//! - **ingest** pays for request bodies, from before they are read until no batch, tap or delivery holds them;
//! - **delivery** pays for what encoders hold and for files on their way to a sink.
//!
//! A share is a counter and nothing else: taking and giving back are one atomic operation each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One share of the budget.
#[derive(Debug)]
pub struct Budget {
    capacity: u64,
    used: AtomicU64,
}

impl Budget {
    /// A share of `capacity` bytes.
    pub fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, used: AtomicU64::new(0) })
    }

    /// All of its bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes taken at the moment. May be above the capacity: see [`Budget::take_anyway`].
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing if they are not there.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let take = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.capacity);
        self.used.try_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Permit { budget: Arc::clone(self), bytes })
    }

    /// Takes `bytes` even if that overdraws the share: for what has already come into being, such as the last
    /// record of a file. The share refuses [`Budget::try_take`] until it is repaid.
    pub fn take_anyway(self: &Arc<Self>, bytes: u64) -> Permit {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Permit { budget: Arc::clone(self), bytes }
    }
}

/// Bytes taken from a [`Budget`]. They go back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Permit {
    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes on top; false, and nothing taken, if they are not there.
    #[must_use]
    pub fn try_grow(&mut self, more: u64) -> bool {
        match self.budget.try_take(more) {
            Some(permit) => {
                self.merge(permit);
                true
            }
            None => false,
        }
    }

    /// Makes it hold exactly `bytes`, overdrawing the share if need be.
    pub fn set(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Adds what `other`, of the same share, holds.
    pub fn merge(&mut self, mut other: Permit) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "permits of one share only");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_hands_out_more_than_it_has() {
        let budget = Budget::new(10);
        let first = budget.try_take(7).expect("7 of 10");
        assert!(budget.try_take(4).is_none());
        assert_eq!(budget.used(), 7);
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.try_take(10).is_some());
        assert!(budget.try_take(u64::MAX).is_none());
    }

    #[test]
    fn a_permit_grows_shrinks_and_gives_back_exactly_what_it_holds() {
        let budget = Budget::new(10);
        let mut permit = budget.try_take(2).expect("2 of 10");
        assert!(permit.try_grow(8));
        assert!(!permit.try_grow(1));
        permit.set(3);
        assert_eq!(budget.used(), 3);
        permit.merge(budget.take_anyway(20));
        assert_eq!((permit.bytes(), budget.used()), (23, 23));
        drop(permit);
        assert_eq!(budget.used(), 0);
    }
}
