//! `POST /v1/streams/{stream}/records`.

use std::sync::Arc;

use http::{HeaderMap, Response, header, request};
use hyper::body::{Body as _, Incoming};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::body::{self, Bounds, Encoding};
use super::decode::{self, Framing, Refused, RequestKey};
use super::partition::{self, Shared};
use super::problem::Problem;
use super::reply::{self, Body, Outcome};
use super::{Edge, Intake};
use crate::config::checked::{Durability, PartitionKeySource};
use crate::config::limits::{IDEMPOTENCY_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX};
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::Phase;
use crate::stream::{Appended, Claim, Known, NewReply, Receipt};

/// The header that overrules `[ingest] partition_key`.
const PARTITION_KEY: &str = "x-partition-key";

/// The header with which a client may send the same request again and have its records once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Answers one request, whose stream was found or not.
pub async fn post(
    edge: &Edge,
    intake: Result<Arc<Intake>, Problem>,
    head: &request::Parts,
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    let result = match intake {
        Ok(intake) => ingest(edge, &intake, head, &mut body).await,
        Err(problem) => Err(problem),
    };
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
    let bounds = Bounds { account: &intake.budget, bytes_max: edge.server.body_bytes_max };
    let paid = body::read(edge, bounds, encoding, body).await?;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        return Err(Problem::Draining);
    }
    let arrival = clock::wall();
    let stream = &intake.stream;
    let claim = match idempotency_key(&head.headers)? {
        None => None,
        Some(id) => match stream.replies().claim(id, fingerprint(&paid.bytes, key.as_deref()), arrival).await
        {
            Known::New(claim) => Some(claim),
            Known::Answered(reply) => return Ok(reply::replayed(reply)),
            Known::Other => return Err(Problem::IdempotencyKeyReused),
        },
    };
    let key = key.as_deref().map_or(RequestKey::FromRecord, |key| RequestKey::Given(key.as_bytes()));
    let mut decoded = decode::decode(intake, framing, &paid.bytes, key)?;

    let verdict = Verdict {
        refused: std::mem::take(&mut decoded.refused),
        rejected: decoded.rejected,
        accepted: decoded.records.len() as u64,
        durability: stream.durability(),
    };
    if verdict.rejected > 0 {
        stream.metrics.rejected.increment(verdict.rejected as u64);
    }
    if verdict.accepted == 0 {
        return Ok(reply::ingest(&verdict.outcome(&[])));
    }
    let (body, permit) = paid.into_shared();
    let shared = Shared { body, permit, arrival };
    let receipt = {
        let writing = stream.writing().await;
        let batches = partition::partition(intake.slots, decoded, shared, writing.layout());
        let reply = claim.map(|claim| verdict.reply(claim, arrival, batches.len()));
        writing.append(batches, reply)?
    };
    let Receipt { appended, reply, commit } = receipt;
    commit.await?;
    Ok(reply.map_or_else(|| reply::ingest(&verdict.outcome(&appended)), reply::kept))
}

/// What was found out about a request's records.
#[derive(Clone)]
struct Verdict {
    accepted: u64,
    rejected: usize,
    durability: Durability,
    refused: Vec<Refused>,
}

impl Verdict {
    fn outcome<'a>(&'a self, shards: &'a [(ShardId, Appended)]) -> Outcome<'a> {
        let Verdict { accepted, rejected, durability, refused } = self;
        Outcome { accepted: *accepted, rejected: *rejected, durability: *durability, shards, refused }
    }

    /// The reply as the log keeps it.
    fn reply(&self, claim: Claim, arrival: UnixMicros, shards: usize) -> NewReply {
        let bytes_max = reply::ingest_body_bytes_max(&self.outcome(&[]), shards);
        let verdict = self.clone();
        let make = move |shards: &[(ShardId, Appended)]| reply::ingest_body(&verdict.outcome(shards)).into();
        NewReply { claim, arrival, make: Box::new(make), bytes_max }
    }
}

/// The key with which the client may send the same request again.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let bad = |detail: String| Problem::BadParameter { name: "Idempotency-Key", detail };
    match value.as_bytes() {
        [] => Err(bad("it is empty".to_owned())),
        key if key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
            Err(bad(format!("{} bytes, at most {IDEMPOTENCY_KEY_BYTES_MAX} are taken", key.len())))
        }
        key => Ok(Some(key)),
    }
}

/// Tells a request from another one.
fn fingerprint(body: &[u8], key: Option<&str>) -> u64 {
    let seed = key.map_or(0, |key| xxh3_64(key.as_bytes()));
    xxh3_64_with_seed(body, seed)
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
