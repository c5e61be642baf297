//! `POST /v1/streams/{stream}/records`.

use std::sync::Arc;

use http::{HeaderMap, Response, request};
use hyper::body::Incoming;

use super::append::{self, Arrived, Done};
use super::body::{self, Bounds, Encoding};
use super::decode::Framing;
use super::problem::Problem;
use super::reply::{self, Body};
use super::visit::Visit;
use super::{Edge, Intake};
use crate::config::checked::PartitionKeySource;
use crate::config::limits::{IDEMPOTENCY_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX};

/// The header that overrules `[ingest] partition_key`.
const PARTITION_KEY: &str = "x-partition-key";

/// The header with which a client may send the same request again and have its records once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Answers one request, whose stream was found or not.
pub async fn post(
    edge: &Edge,
    intake: Result<Arc<Intake>, Problem>,
    (head, visit): (&request::Parts, &Visit),
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    let result = match intake {
        Ok(intake) => ingest(edge, &intake, (head, visit), &mut body).await,
        Err(problem) => Err(problem),
    };
    // One that was too slow, or has gone, will not send more.
    let late = |problem: &Problem| matches!(problem, Problem::BodyTimeout | Problem::BodyIncomplete(_));
    if result.as_ref().is_err_and(|problem| !late(problem)) {
        body::discard_refused(&head.headers, &mut body, edge.server.body_bytes_max).await;
    }
    result
}

/// Reads, judges and appends the records of one request.
async fn ingest(
    edge: &Edge,
    intake: &Intake,
    (head, visit): (&request::Parts, &Visit),
    body: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let framing = Framing::of(&head.headers)?;
    let encoding = Encoding::of(&head.headers)?;
    let key = request_key(intake, head)?;
    let bounds = Bounds { account: &intake.budget, bytes_max: edge.server.body_bytes_max, visit };
    let paid = body::read(edge, bounds, encoding, body).await?;
    let idempotency_key = idempotency_key(&head.headers)?;
    let trace = visit.trace();
    let arrived = Arrived { framing, key: key.as_deref(), idempotency_key, paid, trace };
    let begun = append::begin(edge, intake, arrived).await?;
    let records = begun.records();
    let done = begun.done().await?;
    visit.has_appended(records);
    Ok(match done {
        Done::Fresh { body, all_refused } => reply::ingest(body, all_refused),
        Done::Kept(body) => reply::kept(body),
        Done::Replayed(body) => reply::replayed(body),
    })
}

/// The key with which the client may send the same request again.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    headers.get(IDEMPOTENCY_KEY).map(|value| checked_idempotency_key(value.as_bytes())).transpose()
}

/// An idempotency key of a length that is taken.
pub fn checked_idempotency_key(key: &[u8]) -> Result<&[u8], Problem> {
    let bad = |detail: String| Problem::BadParameter { name: "Idempotency-Key", detail };
    match key {
        [] => Err(bad("it is empty".to_owned())),
        key if key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            Err(bad(format!("{} bytes, at most {IDEMPOTENCY_KEY_BYTES_MAX} are taken", key.len())))
        }
        key => Ok(key),
    }
}

/// A partition key of a length that is taken.
pub fn checked_partition_key(key: String) -> Result<String, Problem> {
    if key.len() > PARTITION_KEY_BYTES_MAX {
        return Err(Problem::BadParameter {
            name: "partition key",
            detail: format!("{} bytes, at most {PARTITION_KEY_BYTES_MAX} are taken", key.len()),
        });
    }
    Ok(key)
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
    key.map(checked_partition_key).transpose()
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
