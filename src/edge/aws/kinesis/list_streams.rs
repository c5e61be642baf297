//! ListStreams.

use http::Response;
use serde::{Deserialize, Serialize};

use super::describe::{ACTIVE, ModeShape, created_of};
use super::list_shards::refuse_token;
use crate::config::limits::KINESIS_PAGE_MAX;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::firehose::is_made_name;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::aws::seal::TokenKind;
use crate::edge::reply::Body;
use crate::pipeline::control::ControlError;
use crate::runtime::clock;
use crate::stream::Stream;

/// Streams of a page where nothing is said.
const PAGE_DEFAULT: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    limit: Option<i64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply<'a> {
    stream_names: Vec<&'a str>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_summaries: Vec<SummaryShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryShape<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: ModeShape,
    stream_creation_timestamp: Time,
}

/// ListStreams.
///
/// # Errors
/// Why it is refused.
pub fn answer(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: Members = request.members()?;
    let mut violations = Violations::default();
    violations.number("limit", members.limit, 1, KINESIS_PAGE_MAX as i64);
    let start = members.exclusive_start_stream_name;
    violations.text("exclusiveStartStreamName", start.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.text("nextToken", members.next_token.as_deref(), 1, 1 << 20, None);
    violations.finish()?;
    let now = clock::wall();
    let start: Option<String> = match members.next_token {
        Some(token) => Some(edge.open_token((TokenKind::Streams, &token), now, refuse_token)?),
        None => start,
    };
    let intakes = edge.open_intakes()?;
    let streams = intakes.iter().map(|intake| &intake.stream);
    // The streams of delivery streams are those of another service.
    let is_shown = |name: &str| request.caller.sees(name) && !is_made_name(name);
    let mut streams: Vec<_> = streams.filter(|stream| is_shown(stream.name())).collect();
    streams.sort_unstable_by_key(|stream| stream.name());
    let begin = start.map_or(0, |start| streams.partition_point(|stream| **stream.name() <= *start));
    let page = members.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_DEFAULT);
    let rest = streams.get(begin..).unwrap_or_default();
    let shown = rest.get(..page).unwrap_or(rest);
    let has_more_streams = shown.len() < rest.len();
    let last = shown.last().filter(|_| has_more_streams);
    request.reply(&Reply {
        stream_names: shown.iter().map(|stream| &**stream.name()).collect(),
        has_more_streams,
        next_token: last.map(|stream| edge.aws.seal.seal(TokenKind::Streams, stream.name().as_ref(), now)),
        stream_summaries: shown.iter().filter_map(|stream| summary(edge, request, stream).ok()).collect(),
    })
}

fn summary<'a>(
    edge: &Edge,
    request: &Request<'_>,
    stream: &'a Stream,
) -> Result<SummaryShape<'a>, ControlError> {
    let properties = edge.control().map_err(|_| ControlError::Stopped)?.properties(stream.name())?;
    Ok(SummaryShape {
        stream_name: stream.name(),
        stream_arn: request.caller.stream_arn(stream.name()),
        stream_status: ACTIVE,
        stream_mode_details: ModeShape::of(properties.mode),
        stream_creation_timestamp: created_of(stream, &properties),
    })
}
