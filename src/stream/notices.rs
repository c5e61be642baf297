//! What a stream tells those who wait, and counts, when a log has taken records: shared with whoever writes the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;

use crate::record::Batch;
use crate::runtime::signal::Signal;
use crate::telemetry::metrics::StreamMetrics;

/// What a request brings to a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// All records.
    pub records: u64,
    /// Those of them that are bound for the dead letters.
    pub dead: u64,
    /// Payload bytes of all of them, of aggregates as they came.
    pub bytes: u64,
}

impl Size {
    /// The sum over `batches`.
    pub fn of<'a>(batches: impl Iterator<Item = &'a Batch>) -> Self {
        let mut size = Self::default();
        for batch in batches {
            size.records += batch.records.len() as u64;
            size.bytes += batch.payload_bytes();
            size.dead += batch.records.iter().filter(|record| record.refusal.is_present()).count() as u64;
        }
        size
    }
}

/// One stream's signals and its count of accepted records.
pub struct Notices {
    accepted: AtomicU64,
    /// Woken when there is something new to read, for taps.
    pub taps: Signal,
    /// The same, for all deliveries.
    pub deliveries: Arc<Signal>,
    /// The commit that was told last.
    told: AtomicU64,
    accepted_metric: Counter,
    dead_metric: Counter,
    bytes_metric: Counter,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("accepted", &self.accepted()).finish_non_exhaustive()
    }
}

impl Notices {
    /// What has become durable is counted in `metrics`.
    pub fn new(metrics: &StreamMetrics) -> Self {
        Self {
            accepted: AtomicU64::new(0),
            taps: Signal::default(),
            deliveries: Arc::default(),
            told: AtomicU64::new(u64::MAX),
            accepted_metric: metrics.accepted.clone(),
            dead_metric: metrics.dead_letter.clone(),
            bytes_metric: metrics.bytes.clone(),
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

    /// Records have become durable, whether or not their client still waits.
    pub fn committed(&self, size: Size) {
        self.accepted_metric.increment(size.records - size.dead);
        if size.dead > 0 {
            self.dead_metric.increment(size.dead);
        }
        self.bytes_metric.increment(size.bytes);
    }

    /// Wakes everybody who waits for records.
    pub fn notify_all(&self) {
        self.taps.notify();
        self.deliveries.notify();
    }

    /// The same for the requests of a commit, which may be many: only the first of them wakes.
    pub fn notify(&self, commit: u64) {
        if self.told.swap(commit, Ordering::Relaxed) != commit {
            self.notify_all();
        }
    }
}
