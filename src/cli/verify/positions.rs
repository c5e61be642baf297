//! Deliveries into Kafka: they have no ledger, and say in the progress topic how far they are. That is compared with what
//! the log has. What they have sent is not read.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::checked::FanOut;
use crate::delivery::fan_out::progress;
use crate::delivery::verify::Held;
use crate::kafka::Connection;
use crate::record::{SequenceNumber, ShardId};

/// The first record of each shard that is not delivered.
pub(super) type Positions = BTreeMap<ShardId, SequenceNumber>;

/// A delivery into Kafka, and what its positions say.
#[derive(Debug, Default, Serialize)]
pub(super) struct FanOutReport {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub delivery: String,
    /// Shards whose positions are known.
    pub shards: u64,
    /// Numbers that the log has given and that are not delivered. In a topic, markers of transactions are among them.
    pub pending: u64,
    /// Numbers that the log has no more, and that were not delivered.
    pub gone: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

impl FanOutReport {
    pub fn is_well(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Reads the positions of the `keys`, which are names of the work of a delivery. Blocks the thread.
///
/// # Errors
/// If they cannot be read, in words.
pub(super) fn read(fan_out: &FanOut, keys: &[String]) -> Result<Positions, String> {
    let sink = &fan_out.sink;
    let connection = Connection::new(sink.cluster.clone(), "verify".to_owned());
    let mut positions = Positions::new();
    for key in keys {
        // The topic is made by the first who delivers.
        let found = progress::read_if_there(&connection, &sink.progress_topic, key);
        let found = found.map_err(|fault| fault.to_string())?;
        positions.extend(found.map(|found| found.positions).unwrap_or_default());
    }
    Ok(positions)
}

/// Compares positions with what the log has: behind its end nothing can be delivered.
pub(super) fn compare(
    (stream, delivery): (&str, &str),
    positions: &Positions,
    held: &[Held],
) -> FanOutReport {
    let (stream, delivery) = (stream.to_owned(), delivery.to_owned());
    let mut report = FanOutReport { stream, delivery, ..FanOutReport::default() };
    for &Held { shard, first, next } in held {
        let Some(&position) = positions.get(&shard) else {
            report.pending += next.0 - first.0;
            continue;
        };
        report.shards += 1;
        if position > next {
            report.findings.push(format!(
                "{shard}: it has delivered up to {position}, but the log ends before {next}: it is not the one that was \
                 delivered, and its records are passed over until they have these numbers"
            ));
        }
        report.gone += first.0.saturating_sub(position.0);
        report.pending += next.0.saturating_sub(position.max(first).0);
    }
    let known: Vec<_> = held.iter().map(|held| held.shard).collect();
    for shard in positions.keys().filter(|shard| !known.contains(shard)) {
        report.findings.push(format!("{shard}: it has a position, and the log has no such shard"));
    }
    report
}

/// Says how many numbers are where.
impl std::fmt::Display for FanOutReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stream, delivery, shards, pending, gone, .. } = self;
        write!(f, "{stream} into Kafka by {delivery}: positions of {shards} shards, {pending} pending")?;
        match gone {
            0 => Ok(()),
            _ => write!(f, ", {gone} gone from the log before they were delivered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(shard: u32, first: u64, next: u64) -> Held {
        Held { shard: ShardId(shard), first: SequenceNumber(first), next: SequenceNumber(next) }
    }

    #[test]
    fn positions_are_compared_with_the_log() {
        let positions = Positions::from([(ShardId(0), SequenceNumber(7)), (ShardId(1), SequenceNumber(2))]);
        let report = compare(("s", "d"), &positions, &[held(0, 5, 10), held(1, 4, 4), held(2, 0, 6)]);
        assert_eq!((report.shards, report.pending, report.gone), (2, 3 + 6, 2));
        assert!(report.is_well(), "{report:?}");
        let said = report.to_string();
        assert!(said.contains("9 pending, 2 gone from the log"), "{said}");
    }

    #[test]
    fn positions_behind_the_end_are_wrong_and_so_are_those_of_shards_that_are_not_there() {
        let positions = Positions::from([(ShardId(0), SequenceNumber(11)), (ShardId(9), SequenceNumber(2))]);
        let report = compare(("s", "d"), &positions, &[held(0, 5, 10)]);
        assert_eq!((report.findings.len(), report.pending), (2, 0), "{report:?}");
        assert!(report.findings[0].contains("delivered up to 11, but the log ends before 10"), "{report:?}");
        assert!(!report.is_well());
    }
}
