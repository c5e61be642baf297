//! What is to be seen of a delivery that is shared.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{BROKEN, Sharing, State, lock};
use crate::delivery::status::{Status, StatusReport};
use crate::record::ShardId;
use crate::runtime::clock;

/// What this node has done with shards that it has let go of: part of the balance, so that it shows all that was done
/// here. What was pending of them is another one's.
#[derive(Debug, Default, Clone)]
pub(super) struct Settled {
    backlog: u64,
    accepted: u64,
    delivered: u64,
    dead_lettered: u64,
    skipped: u64,
    passed: u64,
}

impl Settled {
    pub fn add(&mut self, report: &StatusReport) {
        let StatusReport { backlog, delivered, dead_lettered, skipped, passed, .. } = report;
        let settled = delivered + dead_lettered + skipped + passed;
        // As much of it as may be is what was found at the start.
        let found = settled.min(*backlog);
        self.backlog += found;
        self.accepted += settled - found;
        self.delivered += delivered;
        self.dead_lettered += dead_lettered;
        self.skipped += skipped;
        self.passed += passed;
    }
}

/// A delivery and the shards of it that this node has.
#[derive(Debug, Clone, Serialize)]
pub struct SharingReport {
    /// Name of the stream.
    pub stream: String,
    /// Name of the delivery.
    pub delivery: String,
    /// The consumer group that shares its shards.
    pub group: String,
    /// What keeps this node from being a member of the group, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Shards of this node.
    pub shards: Vec<ShardReport>,
}

/// A partition that this node delivers, and the shard of it that it is at.
#[derive(Debug, Clone, Serialize)]
pub struct ShardReport {
    /// Its id; there while one of the partition is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The partition that the group has given to this node.
    pub partition: u32,
    /// For how long it has been this node's.
    pub owned_seconds: f64,
    /// How the work on it stands.
    #[serde(flatten)]
    pub work: Work,
}

/// How the work on a shard stands.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Work {
    /// Its ledger is being taken over.
    Opening,
    /// It is at work.
    Working {
        /// Everything below is settled, if that has moved since.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
        /// Records that are not settled.
        pending: u64,
        /// Why it does not go on, or not with all files.
        #[serde(skip_serializing_if = "Option::is_none")]
        paused: Option<String>,
    },
    /// It has failed, and is tried again.
    Waiting {
        /// Why.
        why: String,
    },
}

impl Sharing {
    /// What this node has of the delivery.
    pub fn shards_report(&self) -> SharingReport {
        let now = clock::wall();
        let shard = |(&partition, owned): (&ShardId, &super::Owned)| ShardReport {
            shard: match &owned.state {
                State::Working { shard, .. } => Some(shard.to_string()),
                State::Opening | State::Waiting { .. } => None,
            },
            partition: partition.0,
            owned_seconds: now.0.saturating_sub(owned.since.0).max(0) as f64 / 1e6,
            work: match &owned.state {
                State::Opening => Work::Opening,
                State::Waiting { why } => Work::Waiting { why: why.clone() },
                State::Working { shard, status, .. } => {
                    let StatusReport { pending, paused, .. } = status.report();
                    Work::Working { cursor: status.cursor(*shard).map(|at| at.to_string()), pending, paused }
                }
            },
        };
        SharingReport {
            stream: self.stream_name().to_string(),
            delivery: self.name().to_owned(),
            group: self.template.group.id.clone(),
            fault: self.standing.get().and_then(|standing| standing.fault()).map(|fault| fault.to_string()),
            shards: self.shards().iter().map(shard).collect(),
        }
    }

    /// The statuses of all shards that are at work.
    fn working(&self) -> Vec<Arc<Status>> {
        let shards = self.shards();
        let working = shards.values().filter_map(|owned| match &owned.state {
            State::Working { status, .. } => Some(Arc::clone(status)),
            State::Opening | State::Waiting { .. } => None,
        });
        working.collect()
    }

    /// The balance of what this node does and has done of the delivery. It is paused if a shard is, or cannot begin.
    pub fn report(&self) -> StatusReport {
        let Settled { backlog, accepted, delivered, dead_lettered, skipped, passed } =
            lock(&self.settled).clone();
        let mut sum = StatusReport {
            stream: self.stream_name().to_string(),
            delivery: self.name().to_owned(),
            durable: true,
            accepted,
            backlog,
            delivered,
            dead_lettered,
            skipped,
            passed,
            pending: 0,
            paused: None,
        };
        for report in self.working().iter().map(|status| status.report()) {
            sum.accepted += report.accepted;
            sum.backlog += report.backlog;
            sum.delivered += report.delivered;
            sum.dead_lettered += report.dead_lettered;
            sum.skipped += report.skipped;
            sum.passed += report.passed;
            sum.pending += report.pending;
            sum.paused = sum.paused.or(report.paused);
        }
        sum.paused = sum.paused.or_else(|| self.waiting());
        sum
    }

    /// Why a shard cannot begin, if one cannot, or none can.
    fn waiting(&self) -> Option<String> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Some(BROKEN.to_owned());
        }
        self.shards().iter().find_map(|(partition, owned)| match &owned.state {
            State::Waiting { why } => Some(format!("partition {}: {why}", partition.0)),
            State::Opening | State::Working { .. } => None,
        })
    }

    /// Brings the gauges up to date. Called before metrics are rendered.
    pub fn refresh_gauges(&self) {
        self.working().iter().for_each(|status| status.refresh_gauges());
        let is_waiting = self.waiting().is_some();
        let shards = self.shards();
        let gauges = shards.values().filter_map(|owned| match &owned.state {
            State::Working { gauges, .. } => Some(&**gauges),
            State::Opening | State::Waiting { .. } => None,
        });
        self.metrics.show(gauges, is_waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_with_shards_that_are_gone_balances_without_what_was_pending() {
        let report = |backlog, accepted, delivered, dead_lettered, skipped| StatusReport {
            stream: "s".to_owned(),
            delivery: "d".to_owned(),
            durable: true,
            accepted,
            backlog,
            delivered,
            dead_lettered,
            skipped,
            passed: 1,
            pending: backlog + accepted - delivered - dead_lettered - skipped - 1,
            paused: None,
        };
        let mut settled = Settled::default();
        settled.add(&report(100, 50, 70, 2, 3));
        settled.add(&report(10, 50, 20, 0, 0));
        let Settled { backlog, accepted, delivered, dead_lettered, skipped, passed } = settled;
        assert_eq!((backlog, accepted), (76 + 10, 11));
        assert_eq!(backlog + accepted, delivered + dead_lettered + skipped + passed);
    }
}
