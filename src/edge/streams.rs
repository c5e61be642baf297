//! `GET /v1/streams`, `/v1/streams/{stream}` and `…/shards`: what exists.

use http::{Response, StatusCode};
use serde::Serialize;

use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};

#[derive(Serialize)]
struct StreamView<'a> {
    name: &'a str,
    shards: usize,
    durability: &'static str,
    retention_seconds: u64,
    accepted_records: u64,
    retained_records: u64,
    retained_bytes: u64,
}

#[derive(Serialize)]
struct ShardView {
    shard: String,
    /// Hash range, as decimal numbers of up to 39 digits: too large for a JSON number.
    starting_hash_key: String,
    ending_hash_key: String,
    first: String,
    next: String,
    retained_bytes: u64,
}

fn view(intake: &Intake) -> StreamView<'_> {
    let stream = &intake.stream;
    let (retained_records, retained_bytes) = stream.retained();
    StreamView {
        name: stream.name(),
        shards: stream.ranges().len(),
        durability: stream.durability().as_str(),
        retention_seconds: stream.retention().age.as_secs(),
        accepted_records: stream.accepted(),
        retained_records,
        retained_bytes,
    }
}

fn answer(value: &impl Serialize) -> Response<Body> {
    // Structs of numbers and strings always serialise.
    reply::json(StatusCode::OK, serde_json::to_vec(value).unwrap_or_default())
}

/// All streams by name.
pub fn list(edge: &Edge) -> Result<Response<Body>, Problem> {
    let mut streams: Vec<_> = edge.open_intakes()?.values().map(view).collect();
    streams.sort_unstable_by_key(|stream| stream.name);
    Ok(answer(&serde_json::json!({ "streams": streams })))
}

/// One stream.
pub fn describe(intake: &Intake) -> Response<Body> {
    answer(&view(intake))
}

/// Its shards.
pub fn shards(intake: &Intake) -> Response<Body> {
    let stream = &intake.stream;
    let shards: Vec<_> = stream
        .shard_ids()
        .filter_map(|id| {
            let bounds = stream.shard(id)?.bounds();
            let (start, end) = stream.ranges().range(id)?;
            Some(ShardView {
                shard: id.to_string(),
                starting_hash_key: start.0.to_string(),
                ending_hash_key: end.0.to_string(),
                first: bounds.first.to_string(),
                next: bounds.next.to_string(),
                retained_bytes: bounds.bytes,
            })
        })
        .collect();
    answer(&serde_json::json!({ "shards": shards }))
}
