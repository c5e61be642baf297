//! `GET /v1/streams`, `/v1/streams/{stream}` and `…/shards`: what exists.

use http::{Response, StatusCode};
use serde::Serialize;

use super::gate::Entry;
use super::identity::policy::Action;
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};
use crate::stream::{HeavyKey, Shard};

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
    /// What came in a second of late.
    records_per_second: f64,
    bytes_per_second: f64,
    /// The keys that brought most of it.
    heaviest_keys: Vec<KeyView>,
}

#[derive(Serialize)]
struct KeyView {
    partition_key: String,
    hash_key: String,
    share: f64,
}

/// Keys of a shard that are shown.
const KEYS_SHOWN: usize = 5;

impl KeyView {
    fn of(key: &HeavyKey) -> Self {
        Self {
            partition_key: String::from_utf8_lossy(&key.key).into_owned(),
            hash_key: key.hash.0.to_string(),
            share: rounded(key.share),
        }
    }
}

/// To three places: what is shown is an estimate.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl ShardView {
    fn of(shard: &Shard) -> Self {
        let (facts, bounds, heat) = (&shard.facts, shard.log_ref().bounds(), shard.heat.report());
        Self {
            shard: facts.id.to_string(),
            starting_hash_key: facts.hash_keys.first.to_string(),
            ending_hash_key: facts.hash_keys.last.to_string(),
            parents: facts.parents().map(|parent| parent.to_string()).collect(),
            open: facts.is_open(),
            first: bounds.first.to_string(),
            next: bounds.next.to_string(),
            retained_bytes: bounds.bytes,
            records_per_second: rounded(heat.records_per_second),
            bytes_per_second: rounded(heat.bytes_per_second),
            heaviest_keys: heat.keys.iter().take(KEYS_SHOWN).map(KeyView::of).collect(),
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
pub fn list(edge: &Edge, entry: &Entry) -> Result<Response<Body>, Problem> {
    let intakes = edge.open_intakes()?;
    let seen = intakes.iter().filter(|intake| entry.may(Action::Tap, Some(intake.stream.name())));
    let mut streams: Vec<_> = seen.map(|intake| view(intake)).collect();
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
