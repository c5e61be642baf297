//! What `forebay verify` has found.

use serde::Serialize;

use crate::config::limits::VERIFY_FINDINGS_MAX;
use crate::record::{SequenceNumber, ShardId};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The ledger cannot be read, or does not fit together.
    Ledger,
    /// The log cannot be read, or does not have what it should.
    Log,
    /// The configuration of that time cannot be read any more, so that its records cannot be sorted.
    Epoch,
    /// The store does not answer, so that nothing is known.
    Store,
    /// An object is not there.
    ObjectMissing,
    /// An object is not the one that was stored.
    ObjectDiffers,
    /// Records that must be in an object are in none.
    Missing,
    /// Records are in more than one object, or an object has more than it should.
    Duplicated,
    /// An object has the right records in the wrong order.
    Disordered,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// In words.
    pub what: String,
    /// The shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The first record; a string as in the API, because a JSON number is exact only to 2⁵³.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The partition, as far as it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Finding {
    /// One that is not about anything yet.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, what, shard: None, first: None, last: None, partition: None, key: None }
    }

    /// About records.
    #[must_use]
    pub fn of_range(mut self, shard: ShardId, first: SequenceNumber, last: SequenceNumber) -> Self {
        self.shard = Some(shard.to_string());
        self.first = Some(first.to_string());
        self.last = Some(last.to_string());
        self
    }

    /// About a partition.
    #[must_use]
    pub fn of_partition(mut self, partition: &[u8]) -> Self {
        self.partition = Some(partition.escape_ascii().to_string());
        self
    }

    /// About an object.
    #[must_use]
    pub fn of_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        if let (Some(shard), Some(first), Some(last)) = (&self.shard, &self.first, &self.last) {
            write!(f, "{shard} {first}")?;
            if first != last {
                write!(f, "–{last}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(partition) = self.partition.as_ref().filter(|_| self.key.is_none()) {
            write!(f, "partition {partition}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// The balance of a delivery, in records, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryReport {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub delivery: String,
    /// Records that the stream has taken since the delivery began.
    pub accepted: u64,
    /// Of those: in objects.
    pub delivered: u64,
    /// Of those: in objects of dead letters.
    pub dead_lettered: u64,
    /// Of those: none of the delivery's, which is a backup of what fails. Left out where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed_over: u64,
    /// Of those: in the log, and in no object yet.
    pub pending: u64,
    /// Of those: removed by the log's retention before they were delivered, and counted then.
    pub lost: u64,
    /// Of those: nowhere.
    pub missing: u64,
    /// Records in more than one place.
    pub duplicated: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that were stored so long ago that the ledger does not remember them: not looked at.
    pub objects_forgotten: u64,
    /// Objects whose every line was compared with the log.
    pub objects_compared: u64,
    /// What is wrong, at most [`VERIFY_FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How much more is.
    pub findings_left_out: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl DeliveryReport {
    /// Notes what was found.
    pub fn find(&mut self, finding: Finding) {
        if self.findings.len() < VERIFY_FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    /// Whether everything is where it must be.
    pub fn is_well(&self) -> bool {
        self.findings.is_empty() && self.missing == 0 && self.duplicated == 0
    }
}
