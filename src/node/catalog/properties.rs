//! What is known of a stream beside its records: who made it, and what clients of the Kinesis API have noted of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Who has made a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamOrigin {
    /// A pipeline file names it.
    #[default]
    Pipeline,
    /// A client has made it; it is there until a client deletes it.
    Client,
}

/// How a stream's capacity is said to be managed. It changes nothing here: there are no quotas unless they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// By the number of shards.
    #[default]
    Provisioned,
    /// By itself.
    OnDemand,
}

/// Whoever has registered for a reading connection of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// When, in seconds since 1970-01-01 UTC.
    pub created: u64,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamProperties {
    /// Who has made it.
    #[serde(default)]
    pub origin: StreamOrigin,
    /// When it was made, in seconds since 1970-01-01 UTC.
    #[serde(default)]
    pub created: u64,
    /// How its capacity is said to be managed.
    #[serde(default)]
    pub mode: StreamMode,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The key that a client has named for encryption at rest. A label: records are kept as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<String>,
    /// Names of the shard-level metrics that a client has switched on. A label, too: all metrics are always there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shard_metrics: BTreeSet<String>,
    /// Registered consumers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumers: BTreeMap<String, Consumer>,
}
