//! `GET /v1/streams`, `/v1/streams/{stream}` and `…/shards`: what exists.

use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use super::gate::Entry;
use super::identity::policy::Action;
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake, tagged};
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

fn text(value: &impl Serialize) -> Vec<u8> {
    // Structs of numbers and strings always serialise.
    serde_json::to_vec(value).unwrap_or_default()
}

/// All streams by name.
pub fn list(edge: &Edge, entry: &Entry, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    Ok(tagged::tagged(headers, list_text(edge, entry)?))
}

/// The text of the same.
pub fn list_text(edge: &Edge, entry: &Entry) -> Result<Vec<u8>, Problem> {
    let intakes = edge.open_intakes()?;
    let seen = intakes.iter().filter(|intake| entry.may(Action::Tap, Some(intake.stream.name())));
    let mut streams: Vec<_> = seen.map(|intake| view(intake)).collect();
    streams.sort_unstable_by_key(|stream| stream.name);
    Ok(text(&serde_json::json!({ "streams": streams })))
}

/// One stream.
pub fn describe(intake: &Intake, headers: &HeaderMap) -> Response<Body> {
    tagged::tagged(headers, describe_text(intake))
}

/// The text of the same.
pub fn describe_text(intake: &Intake) -> Vec<u8> {
    text(&view(intake))
}

/// Its shards.
pub fn shards(intake: &Intake, headers: &HeaderMap) -> Response<Body> {
    tagged::tagged(headers, shards_text(intake))
}

/// The text of the same.
pub fn shards_text(intake: &Intake) -> Vec<u8> {
    text(&view_of_shards(intake))
}

/// Its shards, to whoever has changed them.
pub fn changed_shards(intake: &Intake) -> Response<Body> {
    reply::json(StatusCode::OK, shards_text(intake))
}

fn view_of_shards(intake: &Intake) -> serde_json::Value {
    let layout = intake.stream.layout();
    let shards: Vec<_> = layout.shards().iter().map(ShardView::of).collect();
    serde_json::json!({ "shards": shards })
}
