//! `POST /v1/streams/{stream}/records`.

use http::{HeaderMap, Response, header, request};
use hyper::body::{Body as _, Incoming};

use super::body::{self, Encoding};
use super::decode::{self, Framing, RequestKey};
use super::partition::{self, Shared};
use super::problem::Problem;
use super::reply::{self, Body, Outcome};
use super::{Edge, Intake};
use crate::config::checked::PartitionKeySource;
use crate::config::limits::PARTITION_KEY_BYTES_MAX;
use crate::runtime::clock;
use crate::runtime::phases::Phase;
use crate::stream::Receipt;

/// The header that overrules `[ingest] partition_key`.
const PARTITION_KEY: &str = "x-partition-key";

/// Answers one request.
pub async fn post(
    edge: &Edge,
    intake: &Intake,
    head: &request::Parts,
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    let result = ingest(edge, intake, head, &mut body).await;
    // A client that waits for `100 Continue` has sent nothing; one that was too slow, or has gone, will not send more.
    let nothing_comes = head.headers.contains_key(header::EXPECT) || body.is_end_stream();
    let late = |problem: &Problem| matches!(problem, Problem::BodyTimeout | Problem::BodyIncomplete(_));
    if result.as_ref().is_err_and(|problem| !nothing_comes && !late(problem)) {
        body::discard(&mut body, edge.server.body_bytes_max).await;
    }
    result
}

/// Reads, judges and appends the records of one request.
async fn ingest(
    edge: &Edge,
    intake: &Intake,
    head: &request::Parts,
    body: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let framing = Framing::of(&head.headers)?;
    let encoding = Encoding::of(&head.headers)?;
    let key = request_key(intake, head)?;
    let paid = body::read(edge, intake, encoding, body).await?;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        return Err(Problem::Draining);
    }
    let arrival = clock::wall();
    let key = key.as_deref().map_or(RequestKey::FromRecord, |key| RequestKey::Given(key.as_bytes()));
    let mut decoded = decode::decode(intake, framing, &paid.bytes, key)?;

    let refused = std::mem::take(&mut decoded.refused);
    let (rejected, dead, accepted) = (decoded.rejected, decoded.dead as u64, decoded.records.len() as u64);
    let stream = &intake.stream;
    let appended = if accepted == 0 {
        Vec::new()
    } else {
        let (body, permit) = paid.into_shared();
        let batches = partition::partition(intake, decoded, Shared { body, permit, arrival });
        let Receipt { appended, commit } = stream.append(batches)?;
        commit.await?;
        appended
    };
    stream.metrics.accepted.increment(accepted - dead);
    if dead > 0 {
        stream.metrics.dead_letter.increment(dead);
    }
    if rejected > 0 {
        stream.metrics.rejected.increment(rejected as u64);
    }
    let durability = stream.durability();
    Ok(reply::ingest(&Outcome { accepted, rejected, durability, shards: &appended, refused: &refused }))
}

/// The key that the request gives to all its records, if it does.
fn request_key(intake: &Intake, head: &request::Parts) -> Result<Option<String>, Problem> {
    let key = match header_text(&head.headers, PARTITION_KEY)? {
        Some(key) => Some(key),
        None => match &intake.ingest.partition_key {
            PartitionKeySource::Header(name) => header_text(&head.headers, name.as_str())?,
            PartitionKeySource::Query(name) => query_value(head.uri.query().unwrap_or_default(), name),
            PartitionKeySource::Pointer(_) | PartitionKeySource::Random => None,
        },
    };
    match key {
        Some(key) if key.len() > PARTITION_KEY_BYTES_MAX => Err(Problem::BadParameter {
            name: "partition key",
            detail: format!("{} bytes, at most {PARTITION_KEY_BYTES_MAX} are taken", key.len()),
        }),
        key => Ok(key),
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Problem::BadParameter {
            name: "partition key",
            detail: "the header is no visible ASCII".to_owned(),
        }),
    }
}

/// The first value of a query parameter, decoded.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
