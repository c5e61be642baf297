//! Asking a cluster whether it has what the configuration wants of it, before anything depends on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::topic::{self, Missing, TopicFacts};
use super::{Connection, Fault, FaultClass};
use crate::config::Size;
use crate::config::checked::KafkaCluster;

/// How long a cluster may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a message takes besides its value: the batch around it, its key, its time and its headers.
const MESSAGE_BYTES_BESIDES: u64 = 1 << 10;

/// What a topic is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// As the log of a stream.
    Log {
        /// How many partitions the configuration says that it has.
        shards: Option<u32>,
        /// The largest record.
        record_bytes_max: u64,
    },
    /// As the source of a stream, which others write to.
    Source {
        /// How many partitions the configuration says that it has.
        shards: Option<u32>,
    },
    /// As the sink of a fan-out.
    Sink {
        /// Shards of the stream.
        shards: Option<u32>,
        /// The largest record.
        record_bytes_max: u64,
    },
    /// For the positions of a fan-out. It is made where it is missing.
    Progress,
}

/// A topic that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The topic.
    pub topic: String,
    /// What for.
    pub purpose: Purpose,
    /// Who wants it, as findings begin: `stream 'orders'`.
    pub by: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, but perhaps not as is expected.
    Warning,
    /// It does not work.
    Problem,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and where.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        };
        write!(f, "{severity}: {}: {}", self.message, self.help)
    }
}

impl Finding {
    fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, message: message.into(), help: help.into() }
    }

    fn warning(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), help: help.into() }
    }
}

/// Asks `cluster` about everything that is `wanted` of it.
pub async fn probe(cluster: &KafkaCluster, wanted: &[Wanted]) -> Vec<Finding> {
    let connection = Connection::new(cluster.clone(), "check");
    let mut findings = Vec::new();
    for wanted in wanted {
        match topic::facts(&connection, (&wanted.topic, Missing::Stays), TIMEOUT).await {
            Ok(facts) => findings.extend(judge(cluster, wanted, facts.as_ref())),
            Err(fault) => {
                let is_denied = fault.class == FaultClass::Denied;
                findings.push(unreachable(cluster, &connection, fault));
                if !is_denied {
                    // A cluster that does not answer does not answer the next question either.
                    break;
                }
            }
        }
    }
    findings
}

/// A cluster that cannot be asked: the client has told why while it was trying.
fn unreachable(cluster: &KafkaCluster, connection: &Arc<Connection>, fault: Fault) -> Finding {
    let told = connection.trouble().filter(|_| fault.class != FaultClass::Denied).unwrap_or(fault);
    let help = match told.class {
        FaultClass::Denied => "look at tls, sasl and the rights of our name there".to_owned(),
        _ => format!(
            "look whether {} can be reached from here, and whether its listener is encrypted",
            cluster.brokers.join(", ")
        ),
    };
    Finding::problem(told.to_string(), help)
}

/// What is wrong with the topic; `None` if there is no such topic.
fn judge(cluster: &KafkaCluster, wanted: &Wanted, facts: Option<&TopicFacts>) -> Vec<Finding> {
    let Wanted { topic, purpose, by } = wanted;
    let place = format!("{by}: topic '{topic}' of Kafka cluster '{}'", cluster.label());
    let Some(facts) = facts else {
        return match purpose {
            Purpose::Progress => Vec::new(),
            Purpose::Log { shards, .. } | Purpose::Sink { shards, .. } | Purpose::Source { shards } => {
                let partitions = shards
                    .map_or("as many partitions as you want shards".to_owned(), |shards| {
                        format!("{shards} partitions")
                    });
                vec![Finding::problem(
                    format!("{place} does not exist"),
                    format!("make it, with {partitions}"),
                )]
            }
        };
    };
    let mut findings = Vec::new();
    match purpose {
        Purpose::Log { shards, record_bytes_max } => {
            findings.extend(judge_partitions(&place, *shards, facts.partitions));
            findings.extend(judge_log(&place, facts));
            findings.extend(judge_size(&place, *record_bytes_max, facts, "no record of that size is taken"));
        }
        Purpose::Source { shards } => findings.extend(judge_partitions(&place, *shards, facts.partitions)),
        Purpose::Sink { shards, record_bytes_max } => {
            if let Some(shards) = shards.filter(|&shards| shards > facts.partitions) {
                findings.push(Finding::warning(
                    format!(
                        "{place} has {} partitions, and the stream has {shards} shards",
                        facts.partitions
                    ),
                    "give it as many, unless its consumers are meant to be fewer",
                ));
            }
            let then = "larger records become dead letters";
            findings.extend(judge_size(&place, *record_bytes_max, facts, then));
        }
        Purpose::Progress => {
            let policy = facts.settings.cleanup_policy.as_deref();
            if let Some(policy) =
                policy.filter(|policy| !policy.split(',').any(|word| word.trim() == "compact"))
            {
                findings.push(Finding::problem(
                    format!("{place} has cleanup.policy = {policy}, so that positions are lost"),
                    "set cleanup.policy = compact",
                ));
            }
        }
    }
    findings.extend(judge_replicas(&place, facts));
    findings
}

fn judge_partitions(place: &str, shards: Option<u32>, partitions: u32) -> Option<Finding> {
    let shards = shards.filter(|&shards| shards != partitions)?;
    let help = match shards > partitions {
        true => format!("give it {shards} partitions, or write shards = {partitions}"),
        false => format!("write shards = {partitions}, or leave it out"),
    };
    Some(Finding::problem(
        format!("{place} has {partitions} partitions, and the stream says shards = {shards}"),
        help,
    ))
}

fn judge_log(place: &str, facts: &TopicFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let settings = &facts.settings;
    if let Some(policy) = settings.cleanup_policy.as_deref().filter(|policy| policy.contains("compact")) {
        findings.push(Finding::problem(
            format!(
                "{place} has cleanup.policy = {policy}, so that records with the key of later ones are lost"
            ),
            "set cleanup.policy = delete",
        ));
    }
    if let Some(kind) = settings.timestamp_type.as_deref().filter(|kind| *kind != "CreateTime") {
        findings.push(Finding::warning(
            format!("{place} has message.timestamp.type = {kind}, so that arrival is the broker's time, not the edge's"),
            "set message.timestamp.type = CreateTime",
        ));
    }
    findings
}

fn judge_size(place: &str, record_bytes_max: u64, facts: &TopicFacts, then: &str) -> Option<Finding> {
    let most =
        facts.settings.message_bytes_max.filter(|&most| most < record_bytes_max + MESSAGE_BYTES_BESIDES)?;
    Some(Finding::warning(
        format!(
            "{place} takes messages of {most} bytes, and [ingest] max_record is {}: {then}",
            Size(record_bytes_max)
        ),
        format!("set max.message.bytes = {} or more", record_bytes_max + MESSAGE_BYTES_BESIDES),
    ))
}

fn judge_replicas(place: &str, facts: &TopicFacts) -> Option<Finding> {
    let least = facts.settings.min_insync_replicas?;
    match facts.replicas {
        replicas if (least as usize) > replicas => Some(Finding::problem(
            format!(
                "{place} has {replicas} replicas and min.insync.replicas = {least}, so that nothing can be written"
            ),
            "give it more replicas, or fewer to wait for",
        )),
        replicas if replicas > 1 && least < 2 => Some(Finding::warning(
            format!(
                "{place} has {replicas} replicas and min.insync.replicas = {least}, so that an ack may rest on one machine"
            ),
            "set min.insync.replicas = 2",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
