//! `GET /v1/streams`, `/v1/streams/{stream}` and `…/shards`: what exists.

use http::{Response, StatusCode};
use serde::Serialize;

use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};
use crate::stream::Shard;

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
    /// What it was split off from, or merged of.
    parents: Vec<String>,
    /// Whether it takes records. A closed one has no more than it has.
    open: bool,
    first: String,
    next: String,
    retained_bytes: u64,
}

impl ShardView {
    fn of(shard: &Shard) -> Self {
        let (facts, bounds) = (&shard.facts, shard.log_ref().bounds());
        Self {
            shard: facts.id.to_string(),
            starting_hash_key: facts.hash_keys.first.to_string(),
            ending_hash_key: facts.hash_keys.last.to_string(),
            parents: facts.parents().map(|parent| parent.to_string()).collect(),
            open: facts.is_open(),
            first: bounds.first.to_string(),
            next: bounds.next.to_string(),
            retained_bytes: bounds.bytes,
        }
    }
}

fn view(intake: &Intake) -> StreamView<'_> {
    let stream = &intake.stream;
    let (retained_records, retained_bytes) = stream.retained();
    StreamView {
        name: stream.name(),
        shards: stream.layout().open().len(),
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
    let intakes = edge.open_intakes()?;
    let mut streams: Vec<_> = intakes.iter().map(|intake| view(intake)).collect();
    streams.sort_unstable_by_key(|stream| stream.name);
    Ok(answer(&serde_json::json!({ "streams": streams })))
}

/// One stream.
pub fn describe(intake: &Intake) -> Response<Body> {
    answer(&view(intake))
}

/// Its shards.
pub fn shards(intake: &Intake) -> Response<Body> {
    let layout = intake.stream.layout();
    let shards: Vec<_> = layout.shards().iter().map(ShardView::of).collect();
    answer(&serde_json::json!({ "shards": shards }))
}
