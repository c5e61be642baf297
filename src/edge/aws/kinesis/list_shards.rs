//! ListShards.

use http::Response;
use serde::{Deserialize, Serialize};

use super::shapes::{ShardShape, seconds};
use super::stream::{StreamRef, find};
use crate::config::limits::KINESIS_PAGE_MAX;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::aws::seal::{TokenError, TokenKind};
use crate::edge::reply::Body;
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::stream::{Layout, ShardFacts};

/// Shards of a page where nothing is said.
const PAGE_DEFAULT: usize = 1_000;

const FILTER_TYPES: [&str; 6] =
    ["AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    #[serde(flatten)]
    stream: StreamRef,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<Time>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    r#type: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<Time>,
}

/// Which shards are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Filter {
    All,
    /// Those without a parent that is still there.
    AtTrimHorizon,
    /// Those that are open.
    AtLatest,
    /// Those that were open then, in microseconds.
    At(i64),
    /// Those that were open then or later.
    From(i64),
}

/// A place in a list.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    stream: String,
    filter: Filter,
    after: Option<ShardId>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    shards: Vec<ShardShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// ListShards.
///
/// # Errors
/// Why it is refused.
pub fn answer(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: Members = request.members()?;
    check(&members)?;
    let now = clock::wall();
    let place = match &members.next_token {
        Some(token) => resume(edge, &members, token, now)?,
        None => begin(&members)?,
    };
    let intake = find(edge, &request.caller, &place.stream)?;
    let layout = intake.stream.layout();
    let page = members.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_DEFAULT);
    let listed = |facts: &&ShardFacts| {
        place.after.is_none_or(|after| facts.id > after) && place.filter.lists(&layout, facts)
    };
    let mut found = layout.shards().iter().map(|shard| &shard.facts).filter(listed);
    let mut shards = Vec::new();
    let mut last = None;
    for facts in found.by_ref().take(page) {
        shards.push(ShardShape::of(facts));
        last = Some(facts.id);
    }
    let has_more = found.next().is_some();
    let next_token = has_more.then(|| {
        let place = Place { after: last, ..place };
        edge.aws.seal.seal(TokenKind::Shards, &place, now)
    });
    request.reply(&Reply { shards, next_token })
}

fn check(members: &Members) -> Result<(), Failure> {
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.text("nextToken", members.next_token.as_deref(), 1, 1 << 20, None);
    let start = members.exclusive_start_shard_id.as_deref();
    violations.text("exclusiveStartShardId", start, 1, 128, Some(Pattern::NAME));
    violations.number("maxResults", members.max_results, 1, KINESIS_PAGE_MAX as i64);
    if let Some(filter) = &members.shard_filter {
        violations.required("shardFilter.type", &filter.r#type);
        violations.word("shardFilter.type", filter.r#type.as_deref(), &FILTER_TYPES);
        violations.text("shardFilter.shardId", filter.shard_id.as_deref(), 1, 128, Some(Pattern::NAME));
    }
    violations.finish()
}

/// The place that a token tells. Nothing else may be told besides.
fn resume(edge: &Edge, members: &Members, token: &str, now: UnixMicros) -> Result<Place, Failure> {
    let is_more_told = members.stream.stream_name.is_some()
        || members.stream_creation_timestamp.is_some()
        || members.exclusive_start_shard_id.is_some();
    if is_more_told {
        return Err(Failure::invalid("NextToken and StreamName cannot be provided together."));
    }
    let place: Place = edge.open_token((TokenKind::Shards, token), now, refuse_token)?;
    if members.stream.name().is_ok_and(|name| name != place.stream) {
        return Err(Failure::invalid("NextToken does not belong to the stream that is named."));
    }
    Ok(place)
}

/// What a token is refused with.
pub fn refuse_token(error: TokenError) -> Failure {
    match error {
        TokenError::Forged => Failure::invalid("The NextToken is invalid."),
        TokenError::Expired(_) => Failure::new(
            FailureKind::ExpiredNextToken,
            "The pagination token passed to the operation is expired.",
        ),
    }
}

fn begin(members: &Members) -> Result<Place, Failure> {
    if members.stream.stream_name.is_none() && members.stream.stream_arn.is_none() {
        return Err(Failure::invalid("Either NextToken or StreamName should be provided."));
    }
    let stream = members.stream.name()?.to_owned();
    let start = members.exclusive_start_shard_id.as_deref();
    let after = |text: &str| {
        ShardId::parse(text).ok_or_else(|| Failure::invalid(format!("{text} is no id of a shard.")))
    };
    let Some(filter) = &members.shard_filter else {
        return Ok(Place { stream, filter: Filter::All, after: start.map(after).transpose()? });
    };
    if start.is_some() {
        return Err(Failure::invalid("ShardFilter and ExclusiveStartShardId cannot be provided together."));
    }
    let kind = filter.r#type.as_deref().unwrap_or_default();
    let time = || {
        let needed =
            || Failure::invalid(format!("Timestamp must be provided with the ShardFilter type {kind}."));
        filter.timestamp.map(|Time(time)| time.0).ok_or_else(needed)
    };
    let (filter, after) = match kind {
        "AFTER_SHARD_ID" => {
            let needed =
                || Failure::invalid("ShardId must be provided with the ShardFilter type AFTER_SHARD_ID.");
            (Filter::All, Some(after(filter.shard_id.as_deref().ok_or_else(needed)?)?))
        }
        "AT_TRIM_HORIZON" => (Filter::AtTrimHorizon, None),
        "AT_LATEST" => (Filter::AtLatest, None),
        "AT_TIMESTAMP" => (Filter::At(time()?), None),
        "FROM_TIMESTAMP" => (Filter::From(time()?), None),
        _ => (Filter::All, None),
    };
    Ok(Place { stream, filter, after })
}

impl Filter {
    fn lists(self, layout: &Layout, facts: &ShardFacts) -> bool {
        let is_oldest = || facts.parents().all(|parent| layout.get(parent).is_none());
        let was_made_by = |time: i64| seconds(facts.created).0.0 <= time;
        // It was closed when its children were made.
        let closed = || layout.children(facts.id).map(|child| seconds(child.facts.created).0.0).min();
        let was_open_after = |time: i64| facts.is_open() || closed().is_none_or(|closed| closed >= time);
        match self {
            Filter::All => true,
            Filter::AtTrimHorizon => is_oldest(),
            Filter::AtLatest => facts.is_open(),
            // A time before the oldest shard stands for the oldest.
            Filter::At(time) => {
                (was_made_by(time) && was_open_after(time)) || (is_oldest() && !was_made_by(time))
            }
            Filter::From(time) => was_open_after(time),
        }
    }
}
