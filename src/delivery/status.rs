//! What the rest of the process sees of a delivery: counts that balance, and whether it is paused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Counter;

use super::seal::SealReason;
use super::sink::SinkErrorClass;
use crate::record::SequenceNumber;
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::Stream;
use crate::telemetry::metrics::{DeliveryMetrics, Registry};

/// No record is held.
const NOTHING_HELD: i64 = i64::MAX;

/// Counters and facts of one delivery. `accepted = delivered + dead-lettered + pending` holds at every moment,
/// because pending is what is missing from the other two.
pub struct Status {
    stream: Arc<Stream>,
    name: String,
    registry: Registry,
    delivered: AtomicU64,
    dead_lettered: AtomicU64,
    skipped: AtomicU64,
    /// Read position of each shard.
    positions: Vec<AtomicU64>,
    /// Arrival of the oldest record in a file that is not stored yet.
    oldest_held: AtomicI64,
    refusals: Mutex<Refusals>,
    reasons: Mutex<HashMap<String, Counter>>,
    /// Metric handles.
    pub metrics: DeliveryMetrics,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A delivery's balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// Name of the stream.
    pub stream: String,
    /// Name of the delivery.
    pub delivery: String,
    /// Records that the stream has accepted.
    pub accepted: u64,
    /// Records in stored files.
    pub delivered: u64,
    /// Records in stored dead letters.
    pub dead_lettered: u64,
    /// The rest.
    pub pending: u64,
    /// Why the sink refused last, while it refuses any file.
    pub paused: Option<String>,
}

impl Status {
    /// All zero.
    pub fn new(stream: Arc<Stream>, name: &str, registry: &Registry) -> Self {
        let first = |id| stream.shard(id).map_or(SequenceNumber(0), |shard| shard.bounds().first);
        let positions = stream.shard_ids().map(|id| AtomicU64::new(first(id).0)).collect();
        let metrics = registry.delivery(stream.name(), name);
        metrics.paused.set(0.0);
        Self {
            stream,
            name: name.to_owned(),
            registry: registry.clone(),
            delivered: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            positions,
            oldest_held: AtomicI64::new(NOTHING_HELD),
            refusals: Mutex::default(),
            reasons: Mutex::default(),
            metrics,
        }
    }

    /// Name of the delivery.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of its stream.
    pub fn stream_name(&self) -> &Arc<str> {
        self.stream.name()
    }

    pub(super) fn set_position(&self, shard: usize, position: SequenceNumber) {
        if let Some(slot) = self.positions.get(shard) {
            slot.store(position.0, Ordering::Relaxed);
        }
    }

    pub(super) fn set_oldest_held(&self, oldest: Option<UnixMicros>) {
        self.oldest_held.store(oldest.map_or(NOTHING_HELD, |oldest| oldest.0), Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, records: u64) {
        self.skipped.fetch_add(records, Ordering::Relaxed);
        self.metrics.skipped.increment(records);
    }

    pub(super) fn sealed(&self, reason: SealReason) {
        match reason {
            SealReason::Size => self.metrics.sealed_size.increment(1),
            SealReason::Age => self.metrics.sealed_age.increment(1),
            SealReason::Pressure => self.metrics.sealed_pressure.increment(1),
            SealReason::Partitions => self.metrics.sealed_partitions.increment(1),
            SealReason::Shutdown => self.metrics.sealed_shutdown.increment(1),
        }
    }

    /// Counts the records of a stored file; `dead` is the reason if it is a file of dead letters.
    pub(super) fn stored(&self, records: u64, bytes: u64, dead: Option<&str>) {
        self.metrics.stored_files.increment(1);
        self.metrics.stored_bytes.increment(bytes);
        match dead {
            None => {
                self.delivered.fetch_add(records, Ordering::Relaxed);
                self.metrics.delivered.increment(records);
            }
            Some(reason) => {
                self.dead_lettered.fetch_add(records, Ordering::Relaxed);
                let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
                reasons
                    .entry(reason.to_owned())
                    .or_insert_with(|| self.registry.dead_lettered(self.stream.name(), &self.name, reason))
                    .increment(records);
            }
        }
    }

    pub(super) fn upload_failed(&self, class: SinkErrorClass) {
        match class {
            SinkErrorClass::Transient => self.metrics.errors_transient.increment(1),
            SinkErrorClass::Denied => self.metrics.errors_denied.increment(1),
            SinkErrorClass::NotFound => self.metrics.errors_not_found.increment(1),
            SinkErrorClass::Foreign => self.metrics.errors_foreign.increment(1),
            SinkErrorClass::Other => self.metrics.errors_other.increment(1),
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The balance.
    pub fn report(&self) -> StatusReport {
        // Settled counts are read before the accepted ones, so that pending is never below zero.
        let delivered = self.delivered.load(Ordering::Relaxed);
        let dead_lettered = self.dead_lettered.load(Ordering::Relaxed);
        let accepted = self.stream.accepted();
        StatusReport {
            stream: self.stream.name().to_string(),
            delivery: self.name.clone(),
            accepted,
            delivered,
            dead_lettered,
            pending: accepted.saturating_sub(delivered + dead_lettered),
            paused: self.refusals().why.clone(),
        }
    }

    /// Brings the gauges that time alone changes up to date. Called before metrics are rendered.
    pub fn refresh_gauges(&self) {
        let unread = self.stream.shard_ids().zip(&self.positions).filter_map(|(id, position)| {
            self.stream.shard(id)?.arrival_at(SequenceNumber(position.load(Ordering::Relaxed)))
        });
        let held = UnixMicros(self.oldest_held.load(Ordering::Relaxed));
        let oldest = unread.chain([held]).min().filter(|oldest| oldest.0 != NOTHING_HELD);
        let age = oldest.map_or(0, |oldest| clock::wall().0.saturating_sub(oldest.0).max(0));
        self.metrics.oldest_pending_seconds.set(age as f64 / 1e6);
        self.metrics.pending.set(self.report().pending as f64);
    }
}

/// What the sink refuses at the moment.
#[derive(Debug, Default)]
struct Refusals {
    uploads: usize,
    /// The last reason, as long as there are such uploads.
    why: Option<String>,
}

/// Whether one upload is being refused. A delivery is paused while any of its uploads is, so that those that get
/// through beside it do not hide it. An upload that is dropped takes its refusal back.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    status: &'a Status,
    counted: bool,
}

impl<'a> Refusal<'a> {
    /// Not refused so far.
    pub fn none(status: &'a Status) -> Self {
        Self { status, counted: false }
    }

    /// Publishes that somebody has to act for this upload. Returns whether the delivery was not paused before.
    pub fn pause(&mut self, why: &str) -> bool {
        let mut refusals = self.status.refusals();
        let news = refusals.uploads == 0;
        refusals.uploads += usize::from(!self.counted);
        refusals.why = Some(why.to_owned());
        self.counted = true;
        self.status.metrics.paused.set(1.0);
        news
    }

    /// Publishes that this upload is not refused any more. Returns whether the delivery was paused and no longer is.
    pub fn resume(&mut self) -> bool {
        if !self.counted {
            return false;
        }
        self.counted = false;
        let mut refusals = self.status.refusals();
        refusals.uploads -= 1;
        let news = refusals.uploads == 0;
        if news {
            refusals.why = None;
            self.status.metrics.paused.set(0.0);
        }
        news
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        if self.resume() {
            tracing::info!(
                stream = %self.status.stream_name(), delivery = self.status.name(),
                "the last refused upload has ended without being stored: delivery is no longer paused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::checked;
    use crate::stream::Captures;

    fn status(registry: &Registry) -> Status {
        let config = checked::Stream {
            name: "s".into(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(60),
            retention_bytes: None,
        };
        Status::new(
            Arc::new(Stream::new(&config, 1, Captures::default().plan().unwrap(), registry.stream("s"))),
            "d",
            registry,
        )
    }

    /// Why it is paused, after a check that the gauge says the same.
    fn paused(status: &Status, registry: &Registry) -> Option<String> {
        let why = status.report().paused;
        let value = i32::from(why.is_some());
        let text = registry.render();
        let gauge = text.lines().find(|line| line.starts_with("forebay_delivery_paused{")).unwrap();
        assert!(gauge.ends_with(&format!(" {value}")), "{gauge}");
        why
    }

    #[test]
    fn one_refused_upload_keeps_a_delivery_paused_while_others_succeed() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let mut refused = Refusal::none(&status);
        assert!(refused.pause("denied"));
        for _ in 0..3 {
            assert!(!Refusal::none(&status).resume(), "an upload that was not refused changes nothing");
            assert_eq!(paused(&status, &registry).as_deref(), Some("denied"));
            assert!(!refused.pause("denied"), "refused again is no news");
        }
        assert!(refused.resume());
        assert!(!refused.resume(), "resuming twice is no news");
        assert_eq!(paused(&status, &registry), None);
    }

    #[test]
    fn a_delivery_resumes_with_the_last_refused_upload_and_shows_the_last_reason() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let (mut first, mut second) = (Refusal::none(&status), Refusal::none(&status));
        assert!(first.pause("one"));
        assert!(!second.pause("two"));
        assert!(!first.resume());
        assert_eq!(paused(&status, &registry).as_deref(), Some("two"));
        assert!(second.resume());
        assert_eq!(paused(&status, &registry), None);
        assert!(first.pause("three"), "pausing anew is news");
        assert_eq!(paused(&status, &registry).as_deref(), Some("three"));
    }

    #[test]
    fn a_dropped_upload_takes_its_refusal_back_once() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let (mut first, mut second) = (Refusal::none(&status), Refusal::none(&status));
        first.pause("one");
        second.pause("two");
        second.resume();
        drop(second);
        assert_eq!(paused(&status, &registry).as_deref(), Some("two"));
        drop(first);
        assert_eq!(paused(&status, &registry), None);
    }
}
