//! What can be said about a lake.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::lake::Ignored;

/// Findings of each kind that are told one by one.
pub const EXAMPLES_MAX: usize = 10;

/// Reasons of dead letters that are counted each on its own.
pub(super) const REASONS_MAX: usize = 64;

/// What can be said about a lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its URL.
    pub lake: String,
    /// Whether everything is there, once, in order, and whole.
    pub ok: bool,
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Objects that were not, by their names.
    pub ignored: Ignored,
    /// Whole records in files.
    pub records: u64,
    /// Whole records in dead letters.
    pub dead_lettered: u64,
    /// Dead letters by reason, records of others included.
    pub dead_letter_reasons: BTreeMap<String, u64>,
    /// Producers that were seen or are in a manifest.
    pub producers: u64,
    /// Of them, those that no manifest knows, although there is one: their gaps are not judged.
    pub producers_without_manifest: u64,
    /// Records that have to be there: acked ones by the manifest; without one, for each producer, all up to the
    /// last that was seen.
    pub expected: u64,

    /// Of them, those that are not.
    pub missing: u64,
    /// Records that are there once more than they may be.
    pub duplicated: u64,
    /// Records behind one of the same producer and key with a greater sequence, in the same file.
    pub reordered: u64,
    /// Records that are not what was sent, and objects that cannot be read on.
    pub damaged: u64,
    /// Records that the server said not to have, or that were never sent, and that are there.
    pub unacked: u64,

    /// Records of which no reply told that are there: they may.
    pub unknown_present: u64,
    /// Uncertain records that are there once more: they may.
    pub uncertain_duplicated: u64,
    /// Records whose hash could not be computed: replayed ones in a columnar file, or a file without all columns.
    pub hash_unchecked: u64,
    /// Records whose order could not be judged: they have no key, or too many keys are in a file.
    pub order_unchecked: u64,
    /// Records of other programs.
    pub foreign: u64,
    /// Some of what was found.
    pub findings: Vec<Finding>,
}

/// Kinds of findings. Any of them means that the lake is not as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Not there.
    Missing,
    /// There once more.
    Duplicated,
    /// Behind a later one.
    Reordered,
    /// Not what was sent.
    Damaged,
    /// There without an ack.
    Unacked,
}

/// One thing that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Where, if it is somewhere.
    pub object: Option<String>,
    /// Line or row of the object, from 1.
    pub row: Option<u64>,
    /// Whose record.
    pub producer: Option<String>,
    /// Which records: first and last sequence.
    pub sequences: Option<(u64, u64)>,
    /// What is wrong, where that is not clear from the kind.
    pub detail: Option<String>,
}

impl Verdict {
    /// Adds an example, unless there are enough of its kind.
    pub(super) fn find(&mut self, kind: FindingKind, finding: impl FnOnce() -> Finding) {
        if self.findings.iter().filter(|other| other.kind == kind).count() < EXAMPLES_MAX {
            self.findings.push(finding());
        }
    }

    /// An empty lake proves nothing, unless nothing has to be in it.
    pub(super) fn decide(&mut self, has_manifest: bool) {
        let wrong = self.missing + self.duplicated + self.reordered + self.damaged + self.unacked;
        let proves = has_manifest || self.records + self.dead_lettered > 0;
        self.ok = wrong == 0 && proves;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.lake, if self.ok { "ok" } else { "NOT OK" })?;
        writeln!(
            f,
            "  {} records in files, {} in dead letters, of {} producers; {} objects, {:.1} MB",
            self.records,
            self.dead_lettered,
            self.producers,
            self.objects,
            self.bytes as f64 / 1e6
        )?;
        writeln!(
            f,
            "  expected {}: missing {}, duplicated {}, reordered {}, damaged {}, present without an ack {}",
            self.expected, self.missing, self.duplicated, self.reordered, self.damaged, self.unacked
        )?;
        if self.records + self.dead_lettered == 0 {
            writeln!(f, "  no records of the load generator were found")?;
        }
        for (count, what) in [
            (self.unknown_present, "records of which no reply told are there, which they may be"),
            (self.uncertain_duplicated, "uncertain records are there once more, which they may be"),
            (
                self.hash_unchecked,
                "records without a hash check (replayed into columns, or columns left out)",
            ),
            (self.order_unchecked, "records without an order check (no key, or too many)"),
            (self.foreign, "records of other programs"),
            (self.producers_without_manifest, "producers that no manifest knows: their gaps are not judged"),
            (self.ignored.count, "objects whose names do not say that they hold records"),
        ] {
            if count > 0 {
                writeln!(f, "  note: {count} {what}")?;
            }
        }
        for (reason, count) in &self.dead_letter_reasons {
            writeln!(f, "  dead letters: {count} {reason}")?;
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FindingKind::Missing => "missing",
            FindingKind::Duplicated => "duplicated",
            FindingKind::Reordered => "reordered",
            FindingKind::Damaged => "damaged",
            FindingKind::Unacked => "present without an ack",
        };
        write!(f, "{kind}:")?;
        if let Some(producer) = &self.producer {
            write!(f, " {producer}")?;
        }
        match self.sequences {
            Some((first, last)) if first == last => write!(f, " {first}")?,
            Some((first, last)) => write!(f, " {first} to {last}")?,
            None => {}
        }
        if let Some(object) = &self.object {
            write!(f, " in {object}")?;
        }
        if let Some(row) = self.row {
            write!(f, ", record {row}")?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}
