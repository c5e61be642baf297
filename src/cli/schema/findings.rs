//! What would not fit, by where and why.

use std::collections::HashMap;

use serde::Serialize;

use crate::config::limits::PLAN_FINDINGS_MAX;
use crate::record::{SequenceNumber, ShardId};

/// Examples that are kept of each.
const EXAMPLES_MAX: usize = 3;

/// Why a record would not fit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// JSON pointer, with `*` for the elements of arrays.
    pointer: String,
    expected: String,
    found: String,
}

impl Finding {
    /// At one place of a record.
    pub fn new(pointer: &str, expected: &str, found: &str) -> Self {
        let is_index = |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
        let tokens = pointer.split('/').map(|token| if is_index(token) { "*" } else { token });
        let pointer = tokens.collect::<Vec<_>>().join("/");
        Self {
            pointer: if pointer.is_empty() { "/".to_owned() } else { pointer },
            expected: expected.to_owned(),
            found: kind_of(found).to_owned(),
        }
    }
}

/// A value that is told as it stands is one of many.
fn kind_of(found: &str) -> &str {
    match found.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') if found.parse::<f64>().is_ok() => "another number",
        Some(b'"') => "another string",
        _ => found,
    }
}

/// How many records there are of a finding.
#[derive(Debug, Serialize)]
pub struct Counted {
    /// See [`Finding`].
    pub pointer: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Records.
    pub records: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A record that would not fit.
#[derive(Debug, Serialize)]
pub struct Example {
    /// Its shard.
    pub shard: u32,
    /// Its number; a string, since it may be above 2⁵³.
    pub sequence_number: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Findings {
    by_finding: HashMap<Finding, Counted>,
    /// Records of findings that are too many to be told apart.
    pub others: u64,
}

impl Findings {
    /// Counts a record.
    pub fn add(&mut self, finding: Finding, shard: ShardId, number: SequenceNumber) {
        if !self.by_finding.contains_key(&finding) && self.by_finding.len() >= PLAN_FINDINGS_MAX {
            self.others += 1;
            return;
        }
        let Finding { pointer, expected, found } = finding.clone();
        let counted = self.by_finding.entry(finding);
        let counted =
            counted.or_insert_with(|| Counted { pointer, expected, found, records: 0, examples: Vec::new() });
        counted.records += 1;
        if counted.examples.len() < EXAMPLES_MAX {
            counted.examples.push(Example { shard: shard.0, sequence_number: number.to_string() });
        }
    }

    /// The most frequent first.
    pub fn sorted(self) -> Vec<Counted> {
        let mut counted: Vec<_> = self.by_finding.into_values().collect();
        counted.sort_by(|one, other| {
            (other.records, &one.pointer, &one.found).cmp(&(one.records, &other.pointer, &other.found))
        });
        counted
    }
}
