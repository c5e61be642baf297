//! What clients switch on and off without effect here: encryption at rest under a key, and metrics of shards. It is kept
//! and told again.

use std::collections::BTreeSet;

use http::Response;
use serde::{Deserialize, Serialize};

use super::stream::StreamRef;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::validation::Violations;
use crate::edge::reply::Body;

/// All metrics of shards; `ALL` stands for the others.
const METRICS: [&str; 8] = [
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
    "ALL",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptionMembers {
    #[serde(flatten)]
    stream: StreamRef,
    encryption_type: Option<String>,
    key_id: Option<String>,
}

/// StartStreamEncryption and, with `is_on` false, StopStreamEncryption.
///
/// # Errors
/// Why it is refused.
pub async fn encrypt(edge: &Edge, request: &Request<'_>, is_on: bool) -> Result<Response<Body>, Failure> {
    let members: EncryptionMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("encryptionType", &members.encryption_type);
    violations.word("encryptionType", members.encryption_type.as_deref(), &["KMS", "NONE"]);
    violations.required("keyId", &members.key_id);
    violations.text("keyId", members.key_id.as_deref(), 1, 2_048, None);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let key = members.key_id.filter(|_| is_on);
    let labelling = edge.control()?.update(intake.stream.name(), move |properties| {
        properties.encryption_key = key;
        Ok::<_, Failure>(())
    });
    labelling.await??;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringMembers {
    #[serde(flatten)]
    stream: StreamRef,
    shard_level_metrics: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Monitored<'a> {
    stream_name: &'a str,
    current_shard_level_metrics: BTreeSet<String>,
    desired_shard_level_metrics: BTreeSet<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

/// EnableEnhancedMonitoring and, with `is_on` false, DisableEnhancedMonitoring.
///
/// # Errors
/// Why it is refused.
pub async fn monitor(edge: &Edge, request: &Request<'_>, is_on: bool) -> Result<Response<Body>, Failure> {
    let members: MonitoringMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("shardLevelMetrics", &members.shard_level_metrics);
    let mut named = members.shard_level_metrics.unwrap_or_default();
    violations.count("shardLevelMetrics", named.len(), 1, METRICS.len() - 1);
    for metric in &named {
        violations.word("shardLevelMetrics.member", Some(metric), &METRICS);
    }
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let name = intake.stream.name();
    if named.iter().any(|metric| metric == "ALL") {
        named =
            METRICS.iter().filter(|metric| **metric != "ALL").map(|metric| (*metric).to_owned()).collect();
    }
    let changing = edge.control()?.update(name, move |properties| {
        let before = properties.shard_metrics.clone();
        for metric in named {
            match is_on {
                true => properties.shard_metrics.insert(metric),
                false => properties.shard_metrics.remove(&metric),
            };
        }
        Ok::<_, Failure>((before, properties.shard_metrics.clone()))
    });
    let (before, after) = changing.await??;
    request.reply(&Monitored {
        stream_name: name,
        current_shard_level_metrics: before,
        desired_shard_level_metrics: after,
        stream_arn: request.caller.stream_arn(name),
    })
}
