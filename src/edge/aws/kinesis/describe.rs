//! DescribeStream, DescribeStreamSummary, DescribeLimits.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Response;
use serde::{Deserialize, Serialize};

use super::shapes::{ShardShape, encryption_type, seconds};
use super::stream::StreamRef;
use crate::config::limits::{KINESIS_PAGE_MAX, NODE_SHARDS_MAX};
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::aws::protocol::values::Time;
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};
use crate::node::{StreamMode, StreamProperties};
use crate::record::ShardId;
use crate::stream::Stream;

/// `StreamStatus` of every stream that is there.
pub const ACTIVE: &str = "ACTIVE";

/// Shards of a page of DescribeStream where nothing is said.
const PAGE_DEFAULT: usize = 100;

/// `StreamModeDetails`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModeShape {
    stream_mode: &'static str,
}

impl ModeShape {
    /// Of a mode.
    pub fn of(mode: StreamMode) -> Self {
        let stream_mode = match mode {
            StreamMode::Provisioned => "PROVISIONED",
            StreamMode::OnDemand => "ON_DEMAND",
        };
        Self { stream_mode }
    }
}

/// When a stream was made; a stream that nobody has noted it of is as old as its oldest shard.
pub fn created_of(stream: &Stream, properties: &StreamProperties) -> Time {
    if properties.created > 0 {
        return seconds(properties.created);
    }
    let layout = stream.layout();
    seconds(layout.shards().iter().map(|shard| shard.facts.created).min().unwrap_or_default())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeMembers {
    #[serde(flatten)]
    stream: StreamRef,
    limit: Option<i64>,
    exclusive_start_shard_id: Option<String>,
}

/// What both descriptions tell.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Facts<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: ModeShape,
    retention_period_hours: u64,
    stream_creation_timestamp: Time,
    enhanced_monitoring: [Monitoring; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Monitoring {
    shard_level_metrics: BTreeSet<String>,
}

impl<'a> Facts<'a> {
    fn of(intake: &'a Intake, request: &Request<'_>, properties: StreamProperties) -> Self {
        let stream = &intake.stream;
        Self {
            stream_name: stream.name(),
            stream_arn: request.caller.stream_arn(stream.name()),
            stream_status: ACTIVE,
            stream_mode_details: ModeShape::of(properties.mode),
            // Clients know whole hours.
            retention_period_hours: stream.retention().age.as_secs().div_ceil(3_600),
            stream_creation_timestamp: created_of(stream, &properties),
            enhanced_monitoring: [Monitoring { shard_level_metrics: properties.shard_metrics }],
            encryption_type: encryption_type(stream),
            key_id: properties.encryption_key,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described<'a> {
    stream_description: Description<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description<'a> {
    #[serde(flatten)]
    facts: Facts<'a>,
    shards: Vec<ShardShape>,
    has_more_shards: bool,
}

/// DescribeStream.
///
/// # Errors
/// Why it is refused.
pub fn stream(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: DescribeMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.number("limit", members.limit, 1, KINESIS_PAGE_MAX as i64);
    let start = members.exclusive_start_shard_id.as_deref();
    violations.text("exclusiveStartShardId", start, 1, 128, Some(Pattern::NAME));
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let layout = intake.stream.layout();
    let parse = |text: &str| {
        ShardId::parse(text).ok_or_else(|| Failure::invalid(format!("{text} is no id of a shard.")))
    };
    let after = start.map(parse).transpose()?;
    let page = members.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_DEFAULT);
    let mut rest = layout.shards().iter().filter(|shard| after.is_none_or(|after| shard.facts.id > after));
    let shards = rest.by_ref().take(page).map(|shard| ShardShape::of(&shard.facts)).collect();
    let has_more_shards = rest.next().is_some();
    let properties = edge.control()?.properties(intake.stream.name())?;
    let facts = Facts::of(&intake, request, properties);
    request.reply(&Described { stream_description: Description { facts, shards, has_more_shards } })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summarized<'a> {
    stream_description_summary: Summary<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary<'a> {
    #[serde(flatten)]
    facts: Facts<'a>,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    record_kib_max: u64,
}

/// DescribeStreamSummary.
///
/// # Errors
/// Why it is refused.
pub fn summary(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let stream: StreamRef = request.members()?;
    let mut violations = Violations::default();
    stream.check(&mut violations);
    violations.finish()?;
    let intake = stream.find(edge, &request.caller)?;
    let properties = edge.control()?.properties(intake.stream.name())?;
    let consumer_count = properties.consumers.len();
    let stream_description_summary = Summary {
        facts: Facts::of(&intake, request, properties),
        open_shard_count: intake.stream.layout().open().len(),
        consumer_count,
        record_kib_max: intake.ingest.record_bytes_max / 1_024,
    };
    request.reply(&Summarized { stream_description_summary })
}

#[derive(Deserialize)]
struct NoMembers {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Limits {
    shard_limit: usize,
    open_shard_count: usize,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: usize,
}

/// DescribeLimits.
///
/// # Errors
/// Why it is refused.
pub fn limits(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let NoMembers {} = request.members()?;
    let open = |intake: &Arc<Intake>| intake.stream.layout().open().len();
    request.reply(&Limits {
        // What the model says that clients take.
        shard_limit: NODE_SHARDS_MAX.min(1_000_000),
        open_shard_count: edge.open_intakes()?.iter().map(open).sum(),
        on_demand_stream_count: 0,
        on_demand_stream_count_limit: 0,
    })
}
