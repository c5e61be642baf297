//! What was sent and is not committed yet.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Messages in a row that are those of records in a row; or those of one dead letter.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: usize,
    shard: ShardId,
    first: SequenceNumber,
    is_letter: bool,
}

/// Records that were gone from the log when they were to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Their shard.
    pub shard: ShardId,
    /// How many.
    pub records: u64,
    /// Those of them that are in the delivery's balance.
    pub counted: u64,
}

/// See the module. Its positions, once it is closed, are what its message in the progress topic says.
#[derive(Debug)]
pub struct Transaction {
    /// Which one of the delivery it is.
    pub number: u64,
    /// When it began.
    pub begun: Instant,
    /// Pays for what the client keeps.
    permit: Permit,
    cost: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Records that are delivered with it.
    pub records: u64,
    /// Those that are dead letters, by reason.
    pub dead: BTreeMap<&'static str, u64>,
    /// Records that it passes over.
    pub lost: Vec<Lost>,
    /// Numbers of a topic that turned out to be of no record.
    pub unnumbered: u64,
    /// Arrival of its oldest record.
    pub oldest: Option<UnixMicros>,
    runs: Vec<Run>,
    messages: usize,
    /// Where each shard is read on behind it. There once nothing more is added.
    pub positions: Option<BTreeMap<ShardId, SequenceNumber>>,
    /// Whether its positions were sent.
    pub is_told: bool,
}

impl Transaction {
    /// An empty one.
    pub fn new(number: u64, permit: Permit, now: Instant) -> Self {
        Self {
            number,
            begun: now,
            permit,
            cost: 0,
            bytes: 0,
            records: 0,
            dead: BTreeMap::new(),
            lost: Vec::new(),
            unnumbered: 0,
            oldest: None,
            runs: Vec::new(),
            messages: 0,
            positions: None,
            is_told: false,
        }
    }

    /// Whether nothing more is added.
    pub fn is_closed(&self) -> bool {
        self.positions.is_some()
    }

    /// Messages that were sent.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The number that the next message is sent under.
    pub fn next_message(&self) -> usize {
        self.messages
    }

    /// Notes a message: that of a record, or one of those of a dead letter.
    pub fn sent(&mut self, (shard, record): (ShardId, SequenceNumber), is_letter: bool, cost: u64) {
        let number = self.messages;
        let goes_on = self.runs.last().is_some_and(|run| {
            let expected = run.first.0 + if is_letter { 0 } else { (number - run.number) as u64 };
            run.shard == shard && run.is_letter == is_letter && expected == record.0
        });
        if !goes_on {
            self.runs.push(Run { number, shard, first: record, is_letter });
        }
        self.messages += 1;
        self.cost += cost;
    }

    /// Brings what is paid in step with what was sent.
    pub fn pay(&mut self) {
        self.permit.set(self.cost);
    }

    /// The record that a message was of, and whether it was a dead letter.
    pub fn record_of(&self, message: usize) -> Option<(ShardId, SequenceNumber, bool)> {
        if message >= self.messages {
            return None;
        }
        let run = self.runs.get(self.runs.partition_point(|run| run.number <= message).checked_sub(1)?)?;
        let behind = if run.is_letter { 0 } else { (message - run.number) as u64 };
        Some((run.shard, SequenceNumber(run.first.0 + behind), run.is_letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::budget::Budget;

    #[test]
    fn a_message_is_found_again_by_its_number() {
        let budget = Budget::new(1 << 20);
        let mut open = Transaction::new(1, budget.take_anyway(0), Instant::now());
        let (a, b) = (ShardId(0), ShardId(1));
        let sent = [
            (a, 10, false),
            (a, 11, false),
            (a, 12, true),
            (a, 12, true),
            (a, 13, false),
            (b, 14, false),
            (b, 16, false),
        ];
        for (shard, number, is_letter) in sent {
            open.sent((shard, SequenceNumber(number)), is_letter, 100);
        }
        open.pay();
        assert_eq!(budget.used(), 700);
        for (message, (shard, number, is_letter)) in sent.into_iter().enumerate() {
            assert_eq!(
                open.record_of(message),
                Some((shard, SequenceNumber(number), is_letter)),
                "{message}"
            );
        }
        assert_eq!(open.record_of(sent.len()), None);
        drop(open);
        assert_eq!(budget.used(), 0);
    }
}
