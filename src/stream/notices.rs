//! What a stream tells those who wait, and counts, when a log has taken records: shared with whoever writes the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::signal::Signal;

/// One stream's signals and its count of accepted records.
#[derive(Debug)]
pub struct Notices {
    accepted: AtomicU64,
    /// Woken when there is something new to read, for taps.
    pub taps: Signal,
    /// The same, one a delivery.
    pub deliveries: Vec<Arc<Signal>>,
    /// The commit that was told last.
    told: AtomicU64,
}

impl Notices {
    /// For `deliveries` deliveries.
    pub fn new(deliveries: usize) -> Self {
        Self {
            accepted: AtomicU64::new(0),
            taps: Signal::default(),
            deliveries: (0..deliveries).map(|_| Arc::default()).collect(),
            told: AtomicU64::new(u64::MAX),
        }
    }

    /// Records accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Counts records, before anybody can read them.
    pub fn accept(&self, records: u64) {
        self.accepted.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that were counted have not become durable.
    pub fn take_back(&self, records: u64) {
        self.accepted.fetch_sub(records, Ordering::Relaxed);
    }

    /// Wakes everybody who waits for records.
    pub fn notify_all(&self) {
        self.taps.notify();
        for delivery in &self.deliveries {
            delivery.notify();
        }
    }

    /// The same for the requests of a commit, which may be many: only the first of them wakes.
    pub fn notify(&self, commit: u64) {
        if self.told.swap(commit, Ordering::Relaxed) != commit {
            self.notify_all();
        }
    }
}
