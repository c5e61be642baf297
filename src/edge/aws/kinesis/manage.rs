//! CreateStream, DeleteStream, and the retention and the mode of a stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde::Deserialize;

use super::stream::StreamRef;
use super::tags::check_tags;
use crate::config::limits::SHARDS_MAX;
use crate::edge::Edge;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::protocol::validation::{Pattern, Violations};
use crate::edge::reply::Body;
use crate::node::StreamMode;
use crate::pipeline::control::NewStream;

/// Shards of a new stream whose capacity is said to manage itself.
const ON_DEMAND_SHARDS: i64 = 4;

/// Hours that a new stream keeps its records, and the least.
const RETENTION_HOURS_MIN: i64 = 24;
/// The most: a year.
const RETENTION_HOURS_MAX: i64 = 8_760;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeMembers {
    stream_mode: Option<String>,
}

impl ModeMembers {
    fn check(&self, violations: &mut Violations) {
        violations.required("streamModeDetails.streamMode", &self.stream_mode);
        let words = ["PROVISIONED", "ON_DEMAND"];
        violations.word("streamModeDetails.streamMode", self.stream_mode.as_deref(), &words);
    }

    fn mode(&self) -> StreamMode {
        match self.stream_mode.as_deref() {
            Some("ON_DEMAND") => StreamMode::OnDemand,
            _ => StreamMode::Provisioned,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateMembers {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<ModeMembers>,
    tags: Option<BTreeMap<String, String>>,
}

/// CreateStream. The stream is there once the answer is.
///
/// # Errors
/// Why it is refused.
pub async fn create(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: CreateMembers = request.members()?;
    let mut violations = Violations::default();
    violations.required("streamName", &members.stream_name);
    violations.text("streamName", members.stream_name.as_deref(), 1, 128, Some(Pattern::NAME));
    violations.number("shardCount", members.shard_count, 1, i64::from(i32::MAX));
    if let Some(mode) = &members.stream_mode_details {
        mode.check(&mut violations);
    }
    let tags = members.tags.unwrap_or_default();
    check_tags(&tags, 0, &mut violations);
    violations.finish()?;
    let name = members.stream_name.unwrap_or_default();
    let mode = members.stream_mode_details.map_or(StreamMode::Provisioned, |mode| mode.mode());
    let count = match (mode, members.shard_count) {
        (StreamMode::Provisioned, None) => {
            return Err(Failure::invalid("ShardCount is required for a stream in PROVISIONED mode."));
        }
        (StreamMode::OnDemand, None) => ON_DEMAND_SHARDS,
        (_, Some(count)) => count,
    };
    let shards = u32::try_from(count).ok().filter(|count| *count <= SHARDS_MAX).ok_or_else(|| {
        let text = format!("A stream has {SHARDS_MAX} open shards at most; {count} were asked for.");
        Failure::new(FailureKind::LimitExceeded, text)
    })?;
    request.caller.authorize(&name)?;
    if edge.any_intake(&name).is_ok() {
        let text = format!("Stream {name} under account {} already exists.", request.caller.account());
        return Err(Failure::new(FailureKind::ResourceInUse, text));
    }
    let retention = Duration::from_secs(RETENTION_HOURS_MIN.unsigned_abs() * 3_600);
    edge.control()?.create(NewStream { name, shards, retention, mode, tags }).await?;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteMembers {
    #[serde(flatten)]
    stream: StreamRef,
    enforce_consumer_deletion: Option<bool>,
}

/// DeleteStream. The stream is gone once the answer is there. One that delivery streams read stays: they would lose what
/// they have not delivered yet.
///
/// # Errors
/// Why it is refused.
pub async fn delete(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: DeleteMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let name = intake.stream.name();
    let (control, with_consumers) = (edge.control()?, members.enforce_consumer_deletion == Some(true));
    let (delivery_streams, stream) = (edge.aws.delivery_streams.get().map(Arc::clone), name.to_string());
    let deleting = control.alone(move |control| {
        // One that is being made just now is there by now, or finds no stream.
        let readers = delivery_streams.map(|streams| streams.readers_of(&stream)).unwrap_or_default();
        if !readers.is_empty() {
            let readers = readers.join(", ");
            let text = format!(
                "Stream {stream} is the source of the delivery streams {readers}: delete them before it."
            );
            return Err(Failure::new(FailureKind::ResourceInUse, text));
        }
        Ok(control.delete(&stream, with_consumers)?)
    });
    deleting.await??;
    edge.aws.subscriptions.end_stream(name);
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetentionMembers {
    #[serde(flatten)]
    stream: StreamRef,
    retention_period_hours: Option<i64>,
}

/// IncreaseStreamRetentionPeriod and, with `is_longer` false, DecreaseStreamRetentionPeriod.
///
/// # Errors
/// Why it is refused.
pub async fn retain(edge: &Edge, request: &Request<'_>, is_longer: bool) -> Result<Response<Body>, Failure> {
    let members: RetentionMembers = request.members()?;
    let mut violations = Violations::default();
    members.stream.check(&mut violations);
    violations.required("retentionPeriodHours", &members.retention_period_hours);
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let name = intake.stream.name();
    let hours = members.retention_period_hours.unwrap_or_default();
    if !(RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(&hours) {
        return Err(Failure::invalid(format!(
            "Retention period must be from {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX} hours. Requested: {hours} hours."
        )));
    }
    let wanted = Duration::from_secs(hours.unsigned_abs() * 3_600);
    let current = intake.stream.retention().age;
    if (is_longer && wanted < current) || (!is_longer && wanted > current) {
        let than = if is_longer { "shorter" } else { "longer" };
        return Err(Failure::invalid(format!(
            "Requested retention period ({hours} hours) for stream {name} can not be {than} than existing retention \
             period ({} hours).",
            current.as_secs().div_ceil(3_600)
        )));
    }
    edge.control()?.keep_for(name, wanted).await?;
    Ok(request.empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateModeMembers {
    #[serde(flatten)]
    stream: StreamRef,
    stream_mode_details: Option<ModeMembers>,
}

/// UpdateStreamMode.
///
/// # Errors
/// Why it is refused.
pub async fn update_mode(edge: &Edge, request: &Request<'_>) -> Result<Response<Body>, Failure> {
    let members: UpdateModeMembers = request.members()?;
    let mut violations = Violations::default();
    violations.required("streamARN", &members.stream.stream_arn);
    members.stream.check(&mut violations);
    violations.required("streamModeDetails", &members.stream_mode_details);
    if let Some(mode) = &members.stream_mode_details {
        mode.check(&mut violations);
    }
    violations.finish()?;
    let intake = members.stream.find(edge, &request.caller)?;
    let mode = members.stream_mode_details.map_or(StreamMode::Provisioned, |mode| mode.mode());
    let updating = edge.control()?.update(intake.stream.name(), move |properties| {
        properties.mode = mode;
        Ok::<_, Failure>(())
    });
    updating.await??;
    Ok(request.empty())
}
