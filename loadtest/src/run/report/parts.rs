//! What a part of the load has done, and what readers have seen.

use serde::{Deserialize, Serialize};

use super::super::account::{ClassTally, Tally, Times};
use super::super::plan::Plan;
use super::super::workload::Class;
use super::Percentiles;
use crate::spread::Spread;

/// What readers of the stream have seen, all together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TapReport {
    /// How they came in.
    pub kind: String,
    /// How many.
    pub readers: u64,
    /// Records of the run that they were sent.
    pub records: u64,
    /// Of them, those that a reader had before.
    pub duplicated: u64,
    /// Of them, those behind a later one of the same producer and shard.
    pub reordered: u64,
    /// Acked records that a reader has not got, added up over readers.
    pub missing: u64,
    /// Records that the server said to have skipped because retention had taken them.
    pub skipped: u64,
    /// Records of others.
    pub foreign: u64,
    /// How often a reader came again.
    pub reconnects: u64,
    /// From when a record was sent to when a reader had it.
    pub latency_ms: Percentiles,
    /// The same as `[microseconds, count]`.
    pub latency_us: Spread,
}

impl TapReport {
    /// Whether every reader got every acked record once and in order.
    pub fn is_right(&self) -> bool {
        self.duplicated == 0 && self.reordered == 0 && self.missing == 0
    }

    /// Adds what other readers have seen.
    pub(crate) fn merge(&mut self, other: &TapReport) {
        self.readers += other.readers;
        self.records += other.records;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.missing += other.missing;
        self.skipped += other.skipped;
        self.foreign += other.foreign;
        self.reconnects += other.reconnects;
        self.latency_us.merge(&other.latency_us);
        self.latency_ms = Percentiles::of(&Times::of(&self.latency_us));
    }
}

/// A part of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// What was asked for: protocol, records of a request, bytes of a record.
    pub name: String,
    /// Requests that ended.
    pub requests: u64,
    /// Of them, those without a success.
    pub failed: u64,
    /// Records that the server has.
    pub acked: u64,
    /// As that of the whole.
    pub latency_ms: Percentiles,
    /// The same as `[microseconds, count]`.
    pub latency_us: Spread,
}

impl ClassReport {
    /// Adds what was seen elsewhere.
    pub(crate) fn merge(&mut self, other: &ClassReport) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.acked += other.acked;
        self.latency_us.merge(&other.latency_us);
        self.latency_ms = Percentiles::of(&Times::of(&self.latency_us));
    }
}

pub(super) fn class_name(class: &Class) -> String {
    format!("{}, batch {}, size {}", class.protocol.name(), class.batch, class.record_bytes)
}

pub(super) fn classes(plan: &Plan, tally: &Tally) -> Vec<ClassReport> {
    let of = |(class, seen): (&Class, &ClassTally)| ClassReport {
        name: class_name(class),
        requests: seen.requests,
        failed: seen.failed,
        acked: seen.acked,
        latency_ms: Percentiles::of(&seen.latency),
        latency_us: seen.latency.spread(),
    };
    plan.classes().iter().zip(&tally.classes).map(of).collect()
}
