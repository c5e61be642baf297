//! SplitShard, MergeShards, UpdateShardCount.

use http::Response;
use serde::{Deserialize, Serialize};

use super::stream::{StreamRef, find_shard};
use crate::config::limits::SHARDS_MAX;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::reply::Body;
use crate::stream::{Change, HashKey};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitMembers {
    #[serde(flatten)]
    stream: StreamRef,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

/// SplitShard. Done once the answer is there.
///
/// # Errors
/// Why it is refused.
pub async fn split(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: SplitMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("shardToSplit", &members.shard_to_split);
    violations.text("shardToSplit", members.shard_to_split.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.required("newStartingHashKey", &members.new_starting_hash_key);
    let at = members.new_starting_hash_key.as_deref();
    violations.text("newStartingHashKey", at, 0, usize::MAX, Some(Pattern::HASH_KEY));
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let shard = find_shard(&intake, &request.caller, members.shard_to_split.as_deref().unwrap_or_default())?;
    let at = at.and_then(|at| at.parse().ok()).map(HashKey);
    let at = at.ok_or_else(|| Failure::invalid("NewStartingHashKey must be in the range: [0, 2^128-1]."))?;
    let change = Change::Split { shard: shard.facts.id, at };
    edge.control()?.reshard(intake.stream.name(), vec![change]).await?;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeMembers {
    #[serde(flatten)]
    stream: StreamRef,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

/// MergeShards. Done once the answer is there.
///
/// # Errors
/// Why it is refused.
pub async fn merge(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: MergeMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("shardToMerge", &members.shard_to_merge);
    violations.text("shardToMerge", members.shard_to_merge.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.required("adjacentShardToMerge", &members.adjacent_shard_to_merge);
    let adjacent = members.adjacent_shard_to_merge.as_deref();
    violations.text("adjacentShardToMerge", adjacent, 1, 128, Some(Pattern::NAME));
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let find = |id: Option<&str>| find_shard(&intake, &request.caller, id.unwrap_or_default());
    let shard = find(members.shard_to_merge.as_deref())?.facts.id;
    let change = Change::Merge { shard, adjacent: find(adjacent)?.facts.id };
    edge.control()?.reshard(intake.stream.name(), vec![change]).await?;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CountMembers {
    #[serde(flatten)]
    stream: StreamRef,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Counted<'a> {
    stream_name: &'a str,
    current_shard_count: usize,
    target_shard_count: u32,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

/// UpdateShardCount. Done once the answer is there.
///
/// # Errors
/// Why it is refused.
pub async fn update_count(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: CountMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("targetShardCount", &members.target_shard_count);
    violations.number("targetShardCount", members.target_shard_count, 1, i64::from(i32::MAX));
    violations.required("scalingType", &members.scaling_type);
    violations.word("scalingType", members.scaling_type.as_deref(), &["UNIFORM_SCALING"]);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let wanted = members.target_shard_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    if wanted > SHARDS_MAX {
        let text = format!("A stream has {SHARDS_MAX} open shards at most; {wanted} were asked for.");
        return Err(Failure::new(FailureKind::LimitExceeded, text));
    }
    let stream = &intake.stream;
    let current_shard_count = stream.layout().open().len();
    edge.control()?.resize(stream.name(), wanted).await?;
    request.reply(&Counted {
        stream_name: stream.name(),
        current_shard_count,
        target_shard_count: wanted,
        stream_arn: request.caller.stream_arn(stream.name()),
    })
}
