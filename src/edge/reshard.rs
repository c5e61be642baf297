//! `POST /v1/streams/{stream}/shards`: splits, merges, and another number of shards.
//!
//! ```json
//! { "split": "shardId-000000000000", "at": "hottest" }
//! { "merge": ["shardId-000000000001", "shardId-000000000002"] }
//! { "count": 8 }
//! ```
//! `at` is `middle` (the default), `hottest` (the heaviest key comes to lie at the edge of a child), or a hash key as a
//! decimal number. The answer is the stream's shards, as `GET` gives them.

use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::gate::Entry;
use super::gate::throttle::charge::Charge;
use super::problem::Problem;
use super::reply::Body;
use super::visit::Visit;
use super::{Edge, Intake, streams};
use crate::config::limits::{RESHARD_BODY_BYTES_MAX, SHARDS_MAX};
use crate::pipeline::control::ControlError;
use crate::record::ShardId;
use crate::stream::reshard::ResizeError;
use crate::stream::{Change, HashKey, HashRange, Layout, Shard};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    split: Option<String>,
    at: Option<String>,
    merge: Option<[String; 2]>,
    count: Option<u32>,
}

/// Changes the shards of the stream.
pub async fn post(
    edge: &Edge,
    intake: &Intake,
    (entry, charge, visit): (&Entry, &mut Charge, &Visit),
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let change = visit.change("shards.change", intake.stream.name(), None);
    change.told(edge, reshard(edge, intake, (entry, charge, visit), body).await)
}

async fn reshard(
    edge: &Edge,
    intake: &Intake,
    (entry, charge, visit): (&Entry, &mut Charge, &Visit),
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let body = Limited::new(body, RESHARD_BODY_BYTES_MAX);
    let body = tokio::time::timeout(edge.server.body_timeout, body.collect());
    let body = body.await.map_err(|_| Problem::BodyTimeout)?;
    let body = body.map_err(|error| Problem::BodyIncomplete(error.to_string()))?.to_bytes();
    visit.has_body(body.len() as u64);
    if let Some(proof) = entry.proof() {
        proof.check(&body, visit)?;
    }
    entry.pay(charge)?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| Problem::NotJson(error.to_string()))?;
    let (control, name) = (edge.control()?, intake.stream.name());
    match wish {
        Wish { split: Some(shard), at, merge: None, count: None } => {
            let change = split(&intake.stream.layout(), &shard, at.as_deref())?;
            control.reshard(name, vec![change]).await?;
        }
        Wish { merge: Some([one, other]), split: None, at: None, count: None } => {
            let (shard, adjacent) = (shard_id(&one)?, shard_id(&other)?);
            control.reshard(name, vec![Change::Merge { shard, adjacent }]).await?;
        }
        Wish { count: Some(count @ 1..=SHARDS_MAX), split: None, at: None, merge: None } => {
            control.resize(name, count).await?;
        }
        _ => {
            let detail = format!(
                "send one of {{\"split\": SHARD, \"at\": \"middle\" | \"hottest\" | HASH_KEY}}, \
                 {{\"merge\": [SHARD, SHARD]}} and {{\"count\": N}} with N from 1 to {SHARDS_MAX}"
            );
            return Err(Problem::BadParameter { name: "body", detail });
        }
    }
    tracing::info!(stream = %name, request_id = visit.id.as_str(), "resharded at a client's request");
    Ok(streams::changed_shards(intake))
}

fn shard_id(text: &str) -> Result<ShardId, Problem> {
    ShardId::parse(text).ok_or_else(|| Problem::UnknownShard(text.to_owned()))
}

fn split(layout: &Layout, shard: &str, at: Option<&str>) -> Result<Change, Problem> {
    let id = shard_id(shard)?;
    let found = layout.get(id).ok_or_else(|| Problem::UnknownShard(shard.to_owned()))?;
    Ok(Change::Split { shard: id, at: split_point(found, at)? })
}

fn split_point(shard: &Shard, at: Option<&str>) -> Result<HashKey, Problem> {
    let bad = |detail: String| Problem::BadParameter { name: "at", detail };
    let range = shard.facts.hash_keys;
    match at {
        None | Some("middle") => Ok(middle(range)),
        Some("hottest") => shard
            .heat
            .split_point(range)
            .ok_or_else(|| bad("no heavy key is known of this shard: split it at its middle".to_owned())),
        Some(text) => text.parse().map(HashKey).map_err(|_| {
            bad(format!("'{text}' is neither middle, hottest nor a hash key, which is a decimal number"))
        }),
    }
}

/// The first hash of the upper half.
fn middle(range: HashRange) -> HashKey {
    HashKey(range.first + (range.last - range.first).div_ceil(2))
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoStream { stream } => Problem::UnknownStream(stream),
            ControlError::Stopped => Problem::Draining,
            ControlError::Reshard(ResizeError::Append(error)) => error.into(),
            ControlError::Reshard(ResizeError::Commit(error)) => error.into(),
            ControlError::Reshard(_)
            | ControlError::Exists { .. }
            | ControlError::CameBackOther { .. }
            | ControlError::HasConsumers { .. }
            | ControlError::Reserved { .. }
            | ControlError::Declared { .. }
            | ControlError::Delivered { .. }
            | ControlError::Columns { .. }
            | ControlError::Shared { .. }
            | ControlError::StillAtWork(_) => Problem::CannotChange(error.to_string()),
            ControlError::Catalog(_) | ControlError::Start(_) => Problem::LogUnavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_cuts_any_range_of_two_or_more() {
        for (range, expected) in [
            ((0, u128::MAX), 1_u128 << 127),
            ((0, 1), 1),
            ((5, 6), 6),
            ((10, 20), 15),
            ((u128::MAX - 1, u128::MAX), u128::MAX),
        ] {
            assert_eq!(middle(HashRange { first: range.0, last: range.1 }), HashKey(expected));
        }
    }
}
