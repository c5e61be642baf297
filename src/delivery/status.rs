//! What the rest of the process sees of a delivery: counts that balance, and whether it is paused.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use metrics::Counter;

use super::ledger::Generation;
use super::pause::Pauses;
use super::seal::SealReason;
use super::sink::SinkErrorClass;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::Stream;
use crate::telemetry::metrics::{DeliveryMetrics, PartGauges, Registry};

/// No record is held.
const NOTHING_HELD: i64 = i64::MAX;

/// Counters and facts of one delivery. `accepted + backlog = delivered + dead-lettered + skipped + passed over +
/// pending` holds at every moment, because pending is what is missing from the others.
pub struct Status {
    stream: Arc<Stream>,
    name: String,
    registry: Registry,
    delivered: AtomicU64,
    dead_lettered: AtomicU64,
    skipped: AtomicU64,
    passed: AtomicU64,
    /// What the stream had accepted when the delivery began, which is no part of its balance.
    accepted_before: AtomicU64,
    /// Records from the cursor on that the log had at that moment, and those of them that turned out to be delivered
    /// already when they were read again.
    found: AtomicU64,
    known: AtomicU64,
    /// Numbers that are of no record, of those that were counted as found or accepted.
    unnumbered: AtomicU64,
    /// Read position of each shard.
    positions: Mutex<BTreeMap<ShardId, SequenceNumber>>,
    /// How far everything is settled, as far as that was written down since the start.
    cursor: Mutex<BTreeMap<ShardId, SequenceNumber>>,
    /// Arrival of the oldest record in a file that is not stored yet.
    oldest_held: AtomicI64,
    pub(super) pauses: Mutex<Pauses>,
    reasons: Mutex<HashMap<String, Counter>>,
    deposed: OnceLock<Generation>,
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
    /// Whether the stream keeps its records over a restart.
    pub durable: bool,
    /// Records that the stream has accepted since the delivery began: with the process, or when it was made or changed.
    pub accepted: u64,
    /// Records that the log had at that time and that were not delivered. Until they are read again it may be too high
    /// by those that earlier processes had delivered ahead of others.
    pub backlog: u64,
    /// Records in stored files.
    pub delivered: u64,
    /// Records in stored dead letters.
    pub dead_lettered: u64,
    /// Records that the log did not have any more when they were to be read, or that it cannot read any more; of a stream
    /// in memory, also those that the delivery had read and could not store before it was changed.
    pub skipped: u64,
    /// Records that are none of the delivery's: a backup of what fails passes over what does not.
    pub passed: u64,
    /// The rest.
    pub pending: u64,
    /// Why the delivery cannot go on, or not with all of its files.
    pub paused: Option<String>,
}

impl Status {
    /// All zero.
    pub fn new(stream: Arc<Stream>, name: &str, registry: &Registry) -> Self {
        let metrics = registry.delivery(stream.name(), name);
        metrics.paused.set(0.0);
        Self::counting(stream, name, registry, metrics)
    }

    /// The same of a part of a delivery, with gauges that are not shown by themselves.
    pub fn of_part(stream: Arc<Stream>, name: &str, registry: &Registry) -> (Self, PartGauges) {
        let (metrics, gauges) = registry.delivery_part(stream.name(), name);
        (Self::counting(stream, name, registry, metrics), gauges)
    }

    fn counting(stream: Arc<Stream>, name: &str, registry: &Registry, metrics: DeliveryMetrics) -> Self {
        Self {
            stream,
            name: name.to_owned(),
            registry: registry.clone(),
            delivered: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            accepted_before: AtomicU64::new(0),
            found: AtomicU64::new(0),
            known: AtomicU64::new(0),
            unnumbered: AtomicU64::new(0),
            positions: Mutex::default(),
            cursor: Mutex::default(),
            oldest_held: AtomicI64::new(NOTHING_HELD),
            pauses: Mutex::default(),
            reasons: Mutex::default(),
            deposed: OnceLock::new(),
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

    fn positions(&self) -> MutexGuard<'_, BTreeMap<ShardId, SequenceNumber>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_position(&self, shard: ShardId, position: SequenceNumber) {
        self.positions().insert(shard, position);
    }

    pub(super) fn forget_position(&self, shard: ShardId) {
        self.positions().remove(&shard);
    }

    /// Notes that everything of `shard` below `position` is settled.
    pub(super) fn set_cursor(&self, shard: ShardId, position: SequenceNumber) {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, position);
    }

    /// Below which position everything of `shard` is settled, if that has changed since the start.
    pub fn cursor(&self, shard: ShardId) -> Option<SequenceNumber> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }

    pub(super) fn set_oldest_held(&self, oldest: Option<UnixMicros>) {
        self.oldest_held.store(oldest.map_or(NOTHING_HELD, |oldest| oldest.0), Ordering::Relaxed);
    }

    /// Counts records that the log did not have any more, and those of them that are in the balance.
    pub(super) fn skipped(&self, records: u64, counted: u64) {
        self.skipped.fetch_add(counted, Ordering::Relaxed);
        self.metrics.skipped.increment(records);
    }

    /// Tells how many records from the cursor on the log had at the moment when the stream had accepted
    /// `accepted_before`, and how many a delivery before this one has lost: the balance begins there.
    pub(super) fn begin(&self, records: u64, lost: u64, accepted_before: u64) {
        self.found.store(records.saturating_add(lost), Ordering::Relaxed);
        self.skipped.store(lost, Ordering::Relaxed);
        self.accepted_before.store(accepted_before, Ordering::Relaxed);
    }

    /// Tells once the delivery runs what one before it has lost.
    pub(super) fn tell_lost(&self) {
        let records = self.skipped.load(Ordering::Relaxed);
        if records > 0 {
            self.metrics.skipped.increment(records);
            tracing::error!(
                stream = %self.stream.name(), delivery = self.name, records,
                "records are lost that the delivery had read and not stored before it was changed: a stream in memory \
                 has no ledger to make their files again by"
            );
        }
    }

    /// Counts records that the log did not have any more at the start and that are delivered nevertheless.
    pub(super) fn found_more(&self, records: u64) {
        self.found.fetch_add(records, Ordering::Relaxed);
    }

    /// Counts records that were found and turned out to be delivered already.
    pub(super) fn known(&self, records: u64) {
        self.known.fetch_add(records, Ordering::Relaxed);
    }

    /// Counts numbers of a topic that turned out to be of no record.
    pub(super) fn unnumbered(&self, numbers: u64) {
        self.unnumbered.fetch_add(numbers, Ordering::Relaxed);
    }

    pub(super) fn sealed(&self, reason: SealReason) {
        match reason {
            SealReason::Size => self.metrics.sealed_size.increment(1),
            SealReason::Age => self.metrics.sealed_age.increment(1),
            SealReason::Pressure => self.metrics.sealed_pressure.increment(1),
            SealReason::Partitions => self.metrics.sealed_partitions.increment(1),
            SealReason::Shutdown => self.metrics.sealed_shutdown.increment(1),
            SealReason::Sink => self.metrics.sealed_sink.increment(1),
            SealReason::Epoch => self.metrics.sealed_epoch.increment(1),
        }
    }

    /// Counts the records of a stored file; `dead` is the reason if it is a file of dead letters.
    pub(super) fn stored(&self, records: u64, bytes: u64, dead: Option<&str>) {
        self.metrics.stored_files.increment(1);
        self.metrics.stored_bytes.increment(bytes);
        self.settled(records, dead);
    }

    /// Counts records that are delivered; `dead` is the reason if they are dead letters.
    pub(super) fn settled(&self, records: u64, dead: Option<&str>) {
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

    /// Counts records that were passed over.
    pub(super) fn passed(&self, records: u64) {
        self.passed.fetch_add(records, Ordering::Relaxed);
        self.metrics.passed.increment(records);
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

    /// Shows for ever that the delivery cannot go on.
    pub fn broken(&self, why: &str) {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner).add_for_ever(why);
        self.metrics.paused.set(1.0);
    }

    pub(super) fn set_deposed(&self, by: Generation) {
        // It happens once.
        let _ = self.deposed.set(by);
    }

    /// Who has taken the delivery over, if it has ended for that.
    pub fn deposed_by(&self) -> Option<&Generation> {
        self.deposed.get()
    }

    /// Records that are pending of all that the stream had accepted when that were `accepted`. Of a delivery that has ended.
    pub(super) fn pending_of(&self, accepted: u64) -> u64 {
        let settled = [
            &self.delivered,
            &self.dead_lettered,
            &self.skipped,
            &self.passed,
            &self.known,
            &self.unnumbered,
        ];
        let settled: u64 = settled.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let since = accepted.saturating_sub(self.accepted_before.load(Ordering::Relaxed));
        since.saturating_add(self.found.load(Ordering::Relaxed)).saturating_sub(settled)
    }

    /// The balance.
    pub fn report(&self) -> StatusReport {
        // What is settled is read before what came in, so that pending is never below zero.
        let delivered = self.delivered.load(Ordering::Relaxed);
        let dead_lettered = self.dead_lettered.load(Ordering::Relaxed);
        let skipped = self.skipped.load(Ordering::Relaxed);
        let passed = self.passed.load(Ordering::Relaxed);
        let known = self.known.load(Ordering::Relaxed);
        let unnumbered = self.unnumbered.load(Ordering::Relaxed);
        let backlog = self.found.load(Ordering::Relaxed).saturating_sub(known);
        // They are met in order, those of the backlog first.
        let (backlog, unnumbered) = (backlog.saturating_sub(unnumbered), unnumbered.saturating_sub(backlog));
        // Fewer than before where the log has failed, and what was counted in both has gone.
        let accepted =
            i128::from(self.stream.accepted()) - i128::from(self.accepted_before.load(Ordering::Relaxed));
        let accepted = accepted - i128::from(unnumbered);
        let pending =
            accepted + i128::from(backlog) - i128::from(delivered + dead_lettered + skipped + passed);
        let paused = self.pauses.lock().unwrap_or_else(PoisonError::into_inner).why().map(str::to_owned);
        StatusReport {
            stream: self.stream.name().to_string(),
            delivery: self.name.clone(),
            durable: self.stream.is_durable(),
            accepted: u64::try_from(accepted).unwrap_or(0),
            backlog,
            delivered,
            dead_lettered,
            skipped,
            passed,
            pending: u64::try_from(pending).unwrap_or(0),
            paused,
        }
    }

    /// Brings the gauges that time alone changes up to date. Called before metrics are rendered.
    pub fn refresh_gauges(&self) {
        let positions = self.positions().clone();
        let unread =
            positions.iter().filter_map(|(&id, &position)| self.stream.shard(id)?.arrival_at(position));
        let held = UnixMicros(self.oldest_held.load(Ordering::Relaxed));
        let oldest = unread.chain([held]).min().filter(|oldest| oldest.0 != NOTHING_HELD);
        let age = oldest.map_or(0, |oldest| clock::wall().0.saturating_sub(oldest.0).max(0));
        self.metrics.oldest_pending_seconds.set(age as f64 / 1e6);
        let report = self.report();
        self.metrics.pending.set(report.pending as f64);
        self.metrics.backlog.set(report.backlog as f64);
    }
}
