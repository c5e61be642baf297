//! `POST /v1/streams/{stream}/records`.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, request};
use hyper::body::Incoming;

use super::append::{self, Arrived, Done};
use super::body::{self, Bounds, Encoding, Paid};
use super::clicks;
use super::decode::Framing;
use super::gate::Entry;
use super::gate::body_proof::BodyProof;
use super::gate::throttle::charge::Charge;
use super::mapping::Sender;
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

/// How records are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// In the body.
    Records,
    /// By parameters.
    Click(clicks::Kind),
}

impl Told {
    /// Whether a request of that method tells so.
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Told::Records => method == Method::POST,
            Told::Click(kind) => kind.takes(method),
        }
    }
}

/// A request for records that was let in.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// What it may do.
    pub entry: &'a Entry,
    /// What it has taken of the limits of its sender and others.
    pub charge: Charge,
    /// Who has sent it, and how.
    pub sender: Sender<'a>,
    /// What is noted of it.
    pub visit: &'a Visit,
}

/// The same with its body.
#[derive(Debug)]
pub struct Sent<'a> {
    admitted: Admitted<'a>,
    /// What stands in it.
    pub paid: Paid,
}

/// Answers one request whose stream was found or not. It comes in by `stage`, if it names one.
pub async fn take(
    edge: &Edge,
    intake: Result<Arc<Intake>, Problem>,
    (stage, told): (Option<&str>, Told),
    admitted: Admitted<'_>,
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    let head = admitted.sender.head;
    let way = intake.and_then(|intake| intake.way(stage, &admitted.sender));
    let result = match way {
        Ok(intake) => match told {
            Told::Records => ingest(edge, &intake, admitted, &mut body).await,
            Told::Click(kind) => clicks::take(edge, &intake, (kind, admitted), &mut body).await,
        },
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
    admitted: Admitted<'_>,
    body: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let head = admitted.sender.head;
    let framing = Framing::of(&head.headers)?;
    let encoding = Encoding::of(&head.headers)?;
    let key = request_key(intake, head)?;
    let sent = admitted.read(edge, intake, (encoding, edge.server.body_bytes_max), body).await?;
    let done = sent.append(edge, intake, (framing, key.as_deref())).await?;
    Ok(match done {
        Done::Fresh { body, all_refused } => reply::ingest(body, all_refused),
        Done::Kept(body) => reply::kept(body),
        Done::Replayed(body) => reply::replayed(body),
    })
}

impl<'a> Admitted<'a> {
    /// Reads the body, has the sender pay who is known by it, and counts it for the stream.
    ///
    /// # Errors
    /// Why it cannot be taken. Nothing of it stays in memory.
    pub async fn read(
        mut self,
        edge: &Edge,
        intake: &Intake,
        (encoding, bytes_max): (Encoding, u64),
        body: &mut Incoming,
    ) -> Result<Sent<'a>, Problem> {
        let (competitor, visit) = (&self.entry.competitor(), self.visit);
        let bounds = Bounds { account: &intake.budget, competitor, bytes_max, visit };
        let read = body::read(edge, bounds, (encoding, self.entry.proof()), body).await;
        let paid = read.inspect_err(|problem| self.charge.give_back_if(problem.is_of_server()))?;
        self.sent(paid)
    }

    /// What has no body, or one that was read.
    ///
    /// # Errors
    /// [`Problem::Limited`] if that is too much for a sender whom only the body has proved.
    pub fn sent(mut self, paid: Paid) -> Result<Sent<'a>, Problem> {
        self.entry.pay(&mut self.charge)?;
        Ok(Sent { admitted: self, paid })
    }
}

impl Sent<'_> {
    /// Gives back what it has taken of limits: the server cannot go on with it.
    pub fn refund(&mut self) {
        self.admitted.charge.refund();
    }

    /// Appends the records of the body, and waits until they are durable.
    ///
    /// # Errors
    /// Why nothing of it was kept.
    pub async fn append(
        self,
        edge: &Edge,
        intake: &Intake,
        (framing, key): (Framing, Option<&str>),
    ) -> Result<Done, Problem> {
        let Sent { admitted: Admitted { entry, charge, sender, visit }, paid } = self;
        // Where no answer is kept, one that the sender's kind of request has anyway is left alone.
        let proof = entry.proof().filter(|_| intake.stream.keeps_replies());
        let idempotency_key = idempotency_key(proof, &sender.head.headers)?;
        let (sender, trace) = (Some(sender), visit.trace());
        let competitor = &entry.competitor();
        let arrived = Arrived { framing, key, idempotency_key, paid, sender, competitor, charge, trace };
        let begun = append::begin(edge, intake, arrived).await?;
        let records = begun.records();
        let done = begun.done().await?;
        visit.has_appended(records);
        Ok(done)
    }
}

/// The key with which the client may send the same request again: senders of webhooks have a header of their own for
/// it.
fn idempotency_key<'h>(
    proof: Option<&BodyProof>,
    headers: &'h HeaderMap,
) -> Result<Option<&'h [u8]>, Problem> {
    let own = || proof.and_then(BodyProof::idempotency_header).and_then(|name| headers.get(name));
    headers
        .get(IDEMPOTENCY_KEY)
        .or_else(own)
        .map(|value| checked_idempotency_key(value.as_bytes()))
        .transpose()
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
pub(super) fn request_key(intake: &Intake, head: &request::Parts) -> Result<Option<String>, Problem> {
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
