//! Whether each record of a source has gone through its function once, as far as that can be told from both logs and from
//! what is kept between them.
//!
//! ```text
//! numbers of the source, up to where it is read on = ok + dropped + failed + lost
//! numbers of the target                            = ok + failed
//! ```
//!
//! Numbers are never given twice, so the second line is wrong if a result was appended twice, or not at all. What the
//! function ought to have dropped, nobody knows but the function.

use serde::Serialize;

use super::progress::{Passed, Progress};
use crate::record::{SequenceNumber, ShardId};

/// A shard as its log has it.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// The shard.
    pub shard: ShardId,
    /// The number of its first record ever.
    pub first: SequenceNumber,
    /// The oldest record that the log has.
    pub oldest: SequenceNumber,
    /// The number behind the newest.
    pub next: SequenceNumber,
}

/// A stream as its log has it.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Its number in the catalog.
    pub number: u32,
    /// Its shards.
    pub shards: Vec<Numbers>,
    /// Whether shards of it are gone, with numbers that nobody knows any more.
    pub is_partly_gone: bool,
}

impl Numbered {
    fn given(&self) -> u64 {
        self.shards.iter().map(|shard| shard.next.0.saturating_sub(shard.first.0)).sum()
    }
}

/// The balance of a function, in records, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// The stream that records come from.
    pub stream: String,
    /// The stream that results go to.
    pub target: String,
    /// The function.
    pub function: String,
    /// Records that the stream has taken.
    pub accepted: u64,
    /// What became of those that have gone through.
    #[serde(flatten)]
    pub passed: Passed,
    /// Those that have not.
    pub pending: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

impl FunctionReport {
    /// Of what is kept of the way from `source` to `target`; nothing is before anything has gone through.
    pub fn of(kept: Option<&Progress>, source: &Numbered, target: &Numbered) -> Self {
        // As a start does: what is kept of earlier streams of these names says nothing of these.
        let kept = kept.filter(|kept| (kept.source, kept.target) == (source.number, target.number));
        let end = target.shards.first().map_or(SequenceNumber(0), |shard| shard.next);
        let (positions, passed) = kept.map(|kept| kept.at(end)).unwrap_or_default();
        let mut report = Self { accepted: source.given(), passed, ..Self::default() };
        let mut through = 0;
        for Numbers { shard, first, oldest, next } in &source.shards {
            let position = positions.get(shard).copied().unwrap_or(*first);
            through += position.0.saturating_sub(first.0);
            report.pending += next.0.saturating_sub(position.0);
            if position > *next {
                let text = format!(
                    "{shard} ends at {next}, and records up to {position} have gone through the function: the log lacks them"
                );
                report.findings.push(text);
            } else if *oldest > position {
                let text = format!(
                    "{shard} begins at {oldest}, and records from {position} on have not gone through"
                );
                report.findings.push(text);
            }
        }
        if !source.is_partly_gone && through != passed.all() {
            let text = format!("{through} records have gone through, and of {} is known how", passed.all());
            report.findings.push(text);
        }
        let (has, wanted) = (target.given(), passed.in_target());
        if has != wanted {
            let what = if has < wanted { "lost" } else { "doubled" };
            let text = format!(
                "{wanted} records must be in the stream behind the function, and {has} were appended to it: {} are {what}",
                has.abs_diff(wanted)
            );
            report.findings.push(text);
        }
        report
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.findings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::progress::{Next, UnderWay};

    fn numbered(number: u32, shards: &[(u64, u64, u64)]) -> Numbered {
        let numbers = |(shard, &(first, oldest, next))| Numbers {
            shard: ShardId(shard),
            first: SequenceNumber(first),
            oldest: SequenceNumber(oldest),
            next: SequenceNumber(next),
        };
        Numbered { number, shards: (0..).zip(shards).map(numbers).collect(), is_partly_gone: false }
    }

    const PASSED: Passed = Passed { ok: 5, dropped: 3, failed: 2, lost: 0 };

    /// Two shards, of which seven and three records have gone through.
    fn progress() -> Progress {
        let next = |(shard, number)| Next { shard: ShardId(shard), number: SequenceNumber(number) };
        let next = [(0, 107), (1, 203)].map(next).to_vec();
        Progress { source: 1, target: 2, next, passed: PASSED, under_way: None }
    }

    fn source() -> Numbered {
        numbered(1, &[(100, 104, 110), (200, 200, 203)])
    }

    #[test]
    fn what_is_kept_and_both_logs_tell_the_same_of_each_record() {
        let report = FunctionReport::of(Some(&progress()), &source(), &numbered(2, &[(50, 55, 57)]));
        assert_eq!((report.accepted, report.passed, report.pending), (13, PASSED, 3));
        assert_eq!(report.findings, Vec::<String>::new());
        // Results whose note is there, and which are themselves, or not.
        let passed = Passed { ok: 1, dropped: 1, failed: 0, lost: 1 };
        let (to, behind) = (SequenceNumber(110), SequenceNumber(57));
        let under_way = Some(UnderWay { shard: ShardId(0), to, behind, passed });
        for (end, pending) in [(57, 3), (58, 0)] {
            let kept = Progress { under_way, ..progress() };
            let report = FunctionReport::of(Some(&kept), &source(), &numbered(2, &[(50, 55, end)]));
            assert_eq!((report.pending, report.findings), (pending, Vec::new()), "{end}");
        }
    }

    #[test]
    fn before_anything_has_gone_through_all_is_pending() {
        let of_others = Progress { target: 3, ..progress() };
        for kept in [None, Some(&of_others)] {
            let report =
                FunctionReport::of(kept, &numbered(1, &[(100, 100, 110)]), &numbered(2, &[(50, 50, 50)]));
            assert_eq!((report.accepted, report.pending, report.passed), (10, 10, Passed::default()));
            assert!(report.is_well(), "{:?}", report.findings);
        }
    }

    #[test]
    fn results_that_are_doubled_or_lost_and_records_that_are_gone_are_found() {
        let behind = numbered(2, &[(50, 55, 57)]);
        for (kept, source, target, finding) in [
            (
                progress(),
                source(),
                numbered(2, &[(50, 55, 58)]),
                "7 records must be in the stream behind the function, and 8 were appended to it: 1 are doubled",
            ),
            (
                progress(),
                source(),
                numbered(2, &[(50, 50, 54)]),
                "7 records must be in the stream behind the function, and 4 were appended to it: 3 are lost",
            ),
            (
                progress(),
                numbered(1, &[(100, 104, 106), (200, 200, 203)]),
                behind.clone(),
                "shardId-000000000000 ends at 106, and records up to 107 have gone through the function: the log lacks them",
            ),
            (
                progress(),
                numbered(1, &[(100, 109, 110), (200, 200, 203)]),
                behind.clone(),
                "shardId-000000000000 begins at 109, and records from 107 on have not gone through",
            ),
            (
                Progress { passed: Passed { dropped: 1, ..PASSED }, ..progress() },
                source(),
                behind.clone(),
                "10 records have gone through, and of 8 is known how",
            ),
        ] {
            let report = FunctionReport::of(Some(&kept), &source, &target);
            assert_eq!(report.findings, [finding]);
            assert!(!report.is_well());
        }
        // Of shards that are gone nobody knows the numbers.
        let source = Numbered { is_partly_gone: true, ..numbered(1, &[(100, 104, 110)]) };
        assert!(FunctionReport::of(Some(&progress()), &source, &behind).is_well());
    }
}
