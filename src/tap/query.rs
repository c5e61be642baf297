//! What a client asks of a tap: the query parameters of `GET /v1/streams/{stream}/records`.
//!
//! | parameter | meaning |
//! | --- | --- |
//! | `from` | `earliest`, `latest` (the default), an RFC 3339 time, or a sequence number together with `shard` |
//! | `after` | the `next` of the last page; overrules `from` |
//! | `shard` | only this shard |
//! | `limit` | records of a page |
//! | `wait` | how long to wait for a record if there is none: seconds, at most [`TAP_WAIT_SECONDS_MAX`] |

use std::time::Duration;

use chrono::DateTime;

use super::cursor::Cursor;
use crate::config::limits::{TAP_RECORDS_DEFAULT, TAP_RECORDS_MAX, TAP_WAIT_SECONDS_MAX};
use crate::edge::problem::Problem;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::stream::{ShardLog, Stream};

/// The parameters, checked.
#[derive(Debug)]
pub struct Query {
    /// Where to read on in each of the shards that are asked for.
    pub cursor: Cursor,
    /// Records that the page may have, at least one.
    pub limit: usize,
    /// How long to wait for the first of them.
    pub wait: Duration,
}

/// Where a reader without a cursor begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Earliest,
    Latest,
    At(SequenceNumber),
}

/// Reads the query part of a URI, and finds where the page begins.
pub async fn parse(stream: &Stream, query: &str) -> Result<Query, Problem> {
    let (mut from, mut after, mut shard, mut limit, mut wait) = (None, None, None, None, None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "from" => from = Some(value),
            "after" => after = Some(value),
            "shard" => shard = Some(value),
            "limit" => limit = Some(value),
            "wait" => wait = Some(value),
            _ => {
                let detail = format!("'{name}' is none: there are from, after, shard, limit and wait");
                return Err(Problem::BadParameter { name: "query parameter", detail });
            }
        }
    }
    let shards: Vec<_> = match shard.as_deref() {
        None => stream.shard_ids().collect(),
        Some(text) => {
            let known = ShardId::parse(text).filter(|&id| stream.shard(id).is_some());
            vec![known.ok_or_else(|| Problem::UnknownShard(text.to_owned()))?]
        }
    };
    let cursor = match after.as_deref() {
        Some(text) => resume(&shards, text)?,
        None => start(stream, &shards, from.as_deref().unwrap_or("latest")).await?,
    };
    let limit = match limit.as_deref() {
        None => TAP_RECORDS_DEFAULT,
        Some(text) => bounded(text, TAP_RECORDS_MAX as u64).filter(|&limit| limit > 0).ok_or_else(|| {
            Problem::BadParameter { name: "limit", detail: format!("a number from 1 to {TAP_RECORDS_MAX}") }
        })? as usize,
    };
    let wait = match wait.as_deref() {
        None => 0,
        Some(text) => {
            bounded(text.strip_suffix('s').unwrap_or(text), TAP_WAIT_SECONDS_MAX).ok_or_else(|| {
                Problem::BadParameter {
                    name: "wait",
                    detail: format!("seconds from 0 to {TAP_WAIT_SECONDS_MAX}"),
                }
            })?
        }
    };
    Ok(Query { cursor, limit, wait: Duration::from_secs(wait) })
}

fn bounded(text: &str, max: u64) -> Option<u64> {
    text.parse().ok().filter(|&number| number <= max)
}

fn resume(shards: &[ShardId], text: &str) -> Result<Cursor, Problem> {
    let bad = || Problem::BadParameter {
        name: "after",
        detail: "not a cursor: hand back 'next' as it was".to_owned(),
    };
    let cursor = Cursor::parse(text).ok_or_else(bad)?;
    let positions = shards.iter().map(|&shard| Some((shard, cursor.position(shard)?))).collect::<Option<_>>();
    Ok(Cursor { positions: positions.ok_or_else(bad)? })
}

async fn start(stream: &Stream, shards: &[ShardId], from: &str) -> Result<Cursor, Problem> {
    let start = match (from, from.parse::<u64>()) {
        ("earliest", _) => Start::Earliest,
        ("latest", _) => Start::Latest,
        (_, Ok(number)) if shards.len() == 1 => Start::At(SequenceNumber(number)),
        (text, _) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => {
                let time = UnixMicros(time.timestamp_micros());
                return Ok(Cursor { positions: stream.positions_at(shards, time).await? });
            }
            Err(_) => {
                let detail =
                    "earliest, latest, an RFC 3339 time, or with 'shard' (or one shard) a sequence number"
                        .to_owned();
                return Err(Problem::BadParameter { name: "from", detail });
            }
        },
    };
    let at = |log: &dyn ShardLog| match start {
        Start::Earliest => log.bounds().first,
        Start::Latest => log.bounds().next,
        Start::At(number) => number,
    };
    let positions = shards.iter().filter_map(|&id| Some((id, at(&*stream.shard(id)?)))).collect();
    Ok(Cursor { positions })
}
