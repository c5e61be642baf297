//! Is each record where it must be? The log knows the records, the ledger knows the files.

use std::collections::{BTreeMap, HashMap};

use super::files::{Covered, Fate, Files};
use super::report::{DeliveryReport, Finding, Kind};
use super::walk::{Held, Hole, Span, Walk};
use crate::config::limits::VERIFY_FINDINGS_MAX;
use crate::delivery::ledger::SealedRange;
use crate::record::{SequenceNumber, ShardId};

/// What was read of each shard.
#[derive(Debug, Default)]
pub struct Seen {
    shards: BTreeMap<ShardId, (Span, Vec<Hole>)>,
}

impl Seen {
    /// Whether every record of a range was seen.
    pub fn covers(&self, range: &SealedRange) -> bool {
        self.shards.get(&range.shard).is_some_and(|(span, holes)| {
            let hit = |&(first, last): &Hole| first <= range.last && range.first <= last;
            span.from <= range.first && range.last < span.to && !holes.iter().any(hit)
        })
    }
}

/// Records of a shard at or above its boundary, below which the log is of no help: the cursor, or the log's oldest
/// record.
#[derive(Debug, Default)]
struct Counts {
    all: u64,
    committed: u64,
    open: u64,
    pending: u64,
    missing: u64,
    /// Those below the boundary that were found out about all the same.
    missing_below: u64,
}

/// Counts the records of all shards, and notes what does not fit.
pub fn count(files: &mut Files, walk: &mut Walk<'_>, quick: bool, report: &mut DeliveryReport) -> Seen {
    let mut seen = Seen::default();
    for held in walk.log.shards() {
        count_shard(files, walk, (held, quick), report, &mut seen);
    }
    check_ranges(files, &seen, report);
    report.delivered = files.state.committed_records;
    report.dead_lettered = files.state.dead_records;
    seen
}

fn count_shard(
    files: &mut Files,
    walk: &mut Walk<'_>,
    (held, quick): (Held, bool),
    report: &mut DeliveryReport,
    seen: &mut Seen,
) {
    let Held { shard, first, next } = held;
    if !files.has_begun(shard) {
        report.accepted += next.0 - first.0;
        report.pending += next.0 - first.0;
        return;
    }
    let cursor = files.state.cursor.get(&shard).copied().unwrap_or(first);
    let boundary = cursor.max(first);
    if cursor > next {
        let what = format!(
            "the cursor is {cursor}, but the log ends before {next}: it is not the one that was delivered"
        );
        report.find(Finding::new(Kind::Log, what).of_range(shard, next, cursor));
        report.missing += cursor.0 - next.0;
        return;
    }
    // What lies below the beginning of the history is in files that are not known.
    let known = files.begin.cursor.get(&shard).copied().unwrap_or_default();
    let from = if quick { boundary } else { first.max(known) };
    let (mut counts, mut runs) = (Counts::default(), Runs::new(shard));
    let span = Span { shard, from: from.min(next), to: next };
    let holes = walk.visit(files, span, &mut |files, (epoch, partition), place| {
        let fate = files.meet(epoch, partition, (shard, place.number));
        counts.add(files, fate, place.number >= boundary);
        runs.add(partition, place.number, fate == Fate::Missing, report);
    });
    runs.end(report);
    match holes {
        Ok(holes) => {
            seen.shards.insert(shard, (span, holes));
        }
        Err(finding) => report.find(*finding),
    }
    balance(files, (shard, boundary), &counts, report);
}

impl Counts {
    fn add(&mut self, files: &Files, fate: Fate, above: bool) {
        if !above {
            self.missing_below += u64::from(fate == Fate::Missing);
            return;
        }
        self.all += 1;
        let is_stored = |file: usize| files.all.get(file).is_some_and(|file| file.commit.is_some());
        match fate {
            Fate::InFile(file) if !is_stored(file) => self.open += 1,
            Fate::InFile(_) | Fate::Before => self.committed += 1,
            Fate::Missing => self.missing += 1,
            Fate::Pending => self.pending += 1,
        }
    }
}

/// Below the boundary numbers must balance: each one that was given to a record since the beginning is in a file.
fn balance(
    files: &Files,
    (shard, boundary): (ShardId, SequenceNumber),
    counts: &Counts,
    report: &mut DeliveryReport,
) {
    report.pending += counts.open + counts.pending;
    let Some(totals) = files.state.shards.get(&shard) else {
        report.accepted += counts.all;
        return;
    };
    let (skipped_above, lost_above) = files.gaps_from(shard, boundary);
    let skipped = totals.skipped.saturating_sub(skipped_above);
    let lost = totals.lost.saturating_sub(lost_above);
    let numbers = boundary.0.saturating_sub(totals.first.0);
    let expected = numbers.saturating_sub(skipped);
    let stored = (totals.delivered + totals.dead + totals.passed).saturating_sub(counts.committed);
    let missing = expected.saturating_sub(stored);
    // Gaps may have records that were delivered before they were lost.
    let twice = if skipped == 0 { stored.saturating_sub(expected) } else { 0 };
    let last = SequenceNumber(boundary.0.saturating_sub(1));
    if missing > counts.missing_below {
        let what =
            format!("{expected} records were taken here, and {stored} are in files: {missing} are missing");
        report.find(Finding::new(Kind::Missing, what).of_range(shard, totals.first, last));
    }
    if twice > 0 {
        let what =
            format!("{expected} records were taken here, and {stored} are in files: {twice} are there twice");
        report.find(Finding::new(Kind::Duplicated, what).of_range(shard, totals.first, last));
    }
    // Records in gaps that are in files all the same are not among the expected ones.
    report.accepted += (expected.max(stored) + lost).min(numbers) + counts.all;
    report.lost += lost;
    report.missing += missing.max(counts.missing_below) + counts.missing;
    report.duplicated += twice;
}

/// Compares what each file must have with what the log has of it.
fn check_ranges(files: &Files, seen: &Seen, report: &mut DeliveryReport) {
    for (partition, covered) in files.ranges() {
        let Covered { range, file, met } = *covered;
        let Some(file) = files.all.get(file) else { continue };
        let SealedRange { shard, first, last, records } = range;
        let about = |kind, what| {
            Finding::new(kind, what)
                .of_partition(partition)
                .of_key(&file.seal.key)
                .of_range(shard, first, last)
        };
        let what = format!("the log has {met} records here, and the file was closed with {records}");
        // How many that are in all the balance tells.
        if file.commit.is_none() && met != file.left_of(&range) && seen.shards.contains_key(&shard) {
            report.find(about(Kind::Log, what));
        } else if met > records {
            report.find(about(Kind::Missing, what));
        } else if met < records && seen.covers(&range) {
            report.find(about(Kind::Duplicated, what));
        }
    }
}

/// Missing records of a shard, put together: a run has every record of its partition between its ends.
struct Runs {
    shard: ShardId,
    by_partition: HashMap<Vec<u8>, (SequenceNumber, SequenceNumber, u64)>,
}

impl Runs {
    fn new(shard: ShardId) -> Self {
        Self { shard, by_partition: HashMap::new() }
    }

    fn add(
        &mut self,
        partition: &[u8],
        number: SequenceNumber,
        is_missing: bool,
        report: &mut DeliveryReport,
    ) {
        if !is_missing {
            if !self.by_partition.is_empty()
                && let Some(run) = self.by_partition.remove(partition)
            {
                self.tell(partition, run, report);
            }
            return;
        }
        if let Some((_, last, records)) = self.by_partition.get_mut(partition) {
            *last = number;
            *records += 1;
            return;
        }
        if self.by_partition.len() >= VERIFY_FINDINGS_MAX {
            self.end(report);
        }
        self.by_partition.insert(partition.to_vec(), (number, number, 1));
    }

    fn tell(
        &self,
        partition: &[u8],
        (first, last, records): (SequenceNumber, SequenceNumber, u64),
        report: &mut DeliveryReport,
    ) {
        let what = format!("{records} of its records are in no file, and the delivery has passed them");
        report.find(
            Finding::new(Kind::Missing, what).of_partition(partition).of_range(self.shard, first, last),
        );
    }

    fn end(&mut self, report: &mut DeliveryReport) {
        let mut runs: Vec<_> = std::mem::take(&mut self.by_partition).into_iter().collect();
        runs.sort_unstable_by_key(|(_, (first, ..))| *first);
        for (partition, run) in runs {
            self.tell(&partition, run, report);
        }
    }
}
