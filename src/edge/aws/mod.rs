//! `POST /` with `X-Amz-Target`: the operations of AWS services, for clients that are made for them.
//!
//! ```text
//! route ─▶ encoding (JSON, CBOR) ─▶ body ─▶ caller ─▶ operation ─▶ reply in the same encoding
//! ```
//!
//! The stream is named in the body, so that an account of its own pays for bodies until their stream is known.

pub mod firehose;
pub mod kinesis;
mod on_record;
mod operation;
pub mod protocol;
pub mod seal;

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Response, header, request};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::Edge;
use super::body::{self, Bounds, Paid};
use super::gate::Entry;
use super::gate::throttle::charge::Charge;
use super::gate::throttle::fair::Competitor;
use super::identity::signature_v4::{Identity, IdentityError};
use super::problem::Problem;
use super::reply::Body;
use super::visit::Visit;
use crate::config::checked;
use crate::config::limits::{AWS_BODY_BYTES_MAX, AWS_REQUEST_BYTES_MAX};
use crate::runtime::budget::Budget;
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::audit::Who;
use crate::telemetry::trace::TraceContext;
use kinesis::Operation;
use protocol::Encoding;
use protocol::failure::{Failure, FailureKind};

/// The header that names the operation.
pub const TARGET: &str = "x-amz-target";

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An operation of Kinesis Data Streams.
    Kinesis(Operation),
    /// An operation of Amazon Data Firehose.
    Firehose(firehose::Operation),
    /// None that there is.
    Unknown,
}

impl Target {
    /// How many there are.
    pub const COUNT: usize = 1 + Operation::ALL.len() + firehose::Operation::ALL.len();

    /// Reads the header; `None` if it is not there.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TARGET)?.to_str().unwrap_or_default();
        if let Some(name) = text.strip_prefix(firehose::TARGET_PREFIX) {
            return Some(firehose::Operation::parse(name).map_or(Target::Unknown, Target::Firehose));
        }
        let operation = text.strip_prefix(kinesis::TARGET_PREFIX).and_then(Operation::parse);
        Some(operation.map_or(Target::Unknown, Target::Kinesis))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let firehose = firehose::Operation::ALL.map(Target::Firehose);
        [Target::Unknown].into_iter().chain(Operation::ALL.map(Target::Kinesis)).chain(firehose)
    }

    /// Its place among all, below [`Target::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Target::Unknown => 0,
            Target::Kinesis(operation) => 1 + operation as usize,
            Target::Firehose(operation) => 1 + Operation::ALL.len() + operation as usize,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Target::Unknown => "aws_unknown",
            Target::Kinesis(operation) => operation.label(),
            Target::Firehose(operation) => operation.label(),
        }
    }

    /// Its name in policies; empty if there is none.
    pub fn action(self) -> &'static str {
        match self {
            Target::Kinesis(operation) => operation.action(),
            Target::Firehose(operation) => operation.action(),
            Target::Unknown => "",
        }
    }

    /// Bytes that its body may have. What records are put with may be as large as `[server] max_body` once it is
    /// decoded; Base64 makes four bytes of three, and names stand around it.
    fn body_bytes_max(self, body_bytes_max: u64) -> u64 {
        match self.brings_records() {
            true => AWS_BODY_BYTES_MAX.min(body_bytes_max.saturating_mul(8) / 5),
            false => AWS_REQUEST_BYTES_MAX,
        }
    }

    /// Whether it puts records into a stream.
    pub fn brings_records(self) -> bool {
        matches!(
            self,
            Target::Kinesis(Operation::PutRecord | Operation::PutRecords)
                | Target::Firehose(firehose::Operation::PutRecord | firehose::Operation::PutRecordBatch)
        )
    }
}

/// What the operations share.
#[derive(Debug)]
pub struct Gateway {
    /// Pays for bodies until their stream is known.
    pub budget: Arc<Budget>,
    /// Who reads shards as their records come.
    pub subscriptions: Arc<kinesis::subscriptions::Subscriptions>,
    /// Held by the one page that overdraws the taps' account.
    pub overdraft: Arc<Semaphore>,
    /// Makes iterators and places in lists.
    pub seal: seal::Seal,
    /// Region of the names all over the world.
    pub region: String,
    /// Account of the same.
    pub account: String,
    /// What clients of Firehose have made; not there before the node serves.
    pub delivery_streams: OnceLock<Arc<firehose::registry::DeliveryStreams>>,
}

impl Gateway {
    /// As `[aws]` says.
    pub fn new(budget: Arc<Budget>, aws: &checked::Aws) -> Self {
        Self {
            budget,
            subscriptions: Arc::default(),
            overdraft: Arc::new(Semaphore::new(1)),
            seal: seal::Seal::default(),
            region: aws.region.clone(),
            account: aws.account.clone(),
            delivery_streams: OnceLock::new(),
        }
    }
}

impl Edge {
    /// Reads a token that a client hands back.
    ///
    /// # Errors
    /// `ServiceUnavailableException` before the node serves, as its key is not known until then; or what `refuse` says.
    pub fn open_token<T: serde::de::DeserializeOwned>(
        &self,
        (kind, token): (seal::TokenKind, &str),
        now: UnixMicros,
        refuse: impl FnOnce(seal::TokenError) -> Failure,
    ) -> Result<T, Failure> {
        self.control()?;
        self.aws.seal.open(kind, token, now).map_err(refuse)
    }
}

/// Who asks.
#[derive(Debug)]
pub struct Caller<'a> {
    visit: &'a Visit,
    region: String,
    account: String,
    identity: Identity,
    entry: &'a Entry,
    /// The action that it asks for, such as `kinesis:PutRecord`.
    action: &'static str,
}

impl Caller<'_> {
    /// The account that messages and names tell.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Whether it may do what it asks for to a stream.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn authorize(&self, stream: &str) -> Result<(), Failure> {
        self.visit.is_about(stream);
        self.entry.reach(Some(stream))?;
        Ok(self.identity.authorize(self.action, Some(stream), || self.stream_arn(stream))?)
    }

    /// The same for a delivery stream.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn authorize_delivery_stream(&self, name: &str) -> Result<(), Failure> {
        self.visit.is_about(name);
        self.entry.reach(Some(name))?;
        Ok(self.identity.authorize(self.action, Some(name), || self.delivery_stream_arn(name))?)
    }

    /// The trace that its request belongs to.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.visit.trace()
    }

    /// So many records of it were appended, and are durable.
    pub fn has_appended(&self, records: u64) {
        self.visit.has_appended(records);
    }

    /// Whether a list that it asks for names a stream.
    pub fn sees(&self, stream: &str) -> bool {
        self.entry.reach(Some(stream)).is_ok() && self.identity.may(self.action, Some(stream))
    }

    /// A delivery stream's name all over the world.
    pub fn delivery_stream_arn(&self, name: &str) -> String {
        format!("arn:aws:firehose:{}:{}:deliverystream/{name}", self.region, self.account)
    }

    /// A stream's name all over the world.
    pub fn stream_arn(&self, stream: &str) -> String {
        format!("arn:aws:kinesis:{}:{}:stream/{stream}", self.region, self.account)
    }
}

/// A request that was read.
#[derive(Debug)]
pub struct Request<'a> {
    /// How it is written, and its answer will be.
    pub encoding: Encoding,
    /// Its body.
    pub paid: Paid,
    /// Who asks.
    pub caller: Caller<'a>,
    /// What it has taken of the limits of its sender and others.
    pub charge: Charge,
    /// Who competes for memory with others.
    pub competitor: Competitor,
}

impl Request<'_> {
    /// Its members.
    ///
    /// # Errors
    /// `SerializationException`.
    pub fn members<'b, T: serde::Deserialize<'b>>(&'b self) -> Result<T, Failure> {
        self.encoding.read(&self.paid.bytes)
    }

    /// The answer of no members: nothing at all, as the services have it.
    pub fn empty(&self) -> Response<Body> {
        protocol::reply(self.encoding, Vec::new())
    }

    /// The answer of these members.
    ///
    /// # Errors
    /// `InternalFailureException`, which no answer brings about.
    pub fn reply(&self, members: &impl serde::Serialize) -> Result<Response<Body>, Failure> {
        Ok(protocol::reply(self.encoding, self.encoding.write(members)?))
    }
}

/// What a request is told that the gate has not let in.
pub fn refuse(head: &request::Parts, problem: Problem) -> Response<Body> {
    protocol::refusal(Encoding::of(&head.headers).unwrap_or(Encoding::Json), &problem.into())
}

/// A request that nobody has looked at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What it asks for.
    pub target: Target,
    /// As what the gate has let it in.
    pub entry: &'a Entry,
    /// Its head.
    pub head: &'a request::Parts,
    /// What is noted of it.
    pub visit: &'a Visit,
}

/// Answers one request.
pub async fn post(edge: &Edge, asked: Asked<'_>, charge: Charge, mut body: Incoming) -> Response<Body> {
    let encoding = Encoding::of(&asked.head.headers);
    let answer = match encoding {
        Some(encoding) => serve(edge, asked, encoding, charge, &mut body).await,
        None => {
            let text =
                "the Content-Type is neither application/x-amz-json-1.1 nor application/x-amz-cbor-1.1";
            Err(Failure::new(FailureKind::UnknownOperation, text))
        }
    };
    on_record::tell(edge, asked, answer.as_ref().err());
    answer.unwrap_or_else(|failure| protocol::refusal(encoding.unwrap_or(Encoding::Json), &failure))
}

async fn serve(
    edge: &Edge,
    asked: Asked<'_>,
    encoding: Encoding,
    mut charge: Charge,
    body: &mut Incoming,
) -> Result<Response<Body>, Failure> {
    let Asked { target, entry, head, visit } = asked;
    let claimed = entry.gate().signatures().claim(head, clock::wall());
    let claim = match claimed {
        Ok(claim) => claim,
        Err(error) => {
            body::discard_refused(&head.headers, body, AWS_BODY_BYTES_MAX).await;
            return Err(error.into());
        }
    };
    // Before the body is there nothing is proved, and nobody may make others pay.
    let read = read(edge, asked, &entry.competitor(), body).await;
    let is_ours = |failure: &Failure| failure.kind == FailureKind::ThroughputExceeded;
    let mut paid = read.inspect_err(|failure| charge.give_back_if(is_ours(failure)))?;
    let identity = claim.prove(&mut paid.bytes)?;
    if let Some(id) = identity.access_key_id() {
        visit.is_of(Who { name: Arc::from(id), identity: on_record::IDENTITY });
    }
    let standing = identity.standing();
    let caller = identify(edge, asked, identity)?;
    charge.join(standing.account)?;
    let competitor = standing.competes.unwrap_or_else(|| entry.competitor());
    let request = Request { encoding, paid, caller, charge, competitor };
    match target {
        Target::Kinesis(operation) => kinesis::answer(edge, operation, request).await,
        Target::Firehose(operation) => firehose::answer(edge, operation, request).await,
        Target::Unknown => {
            let name = head.headers.get(TARGET).map(body::shown).unwrap_or_default();
            let text = format!("there is no operation '{name}' here");
            Err(Failure::new(FailureKind::UnknownOperation, text))
        }
    }
}

/// Reads the body; one that is refused is thrown away, so that a client that is still writing gets its answer.
async fn read(
    edge: &Edge,
    asked: Asked<'_>,
    competitor: &Competitor,
    body: &mut Incoming,
) -> Result<Paid, Failure> {
    let Asked { target, head, visit, .. } = asked;
    let bytes_max = target.body_bytes_max(edge.server.body_bytes_max);
    let bounds = Bounds { account: &edge.aws.budget, competitor, bytes_max, visit };
    let paid = match head.headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        // Bodies are signed as they come. No client of these services compresses them.
        None | Some(b"" | b"identity" | b"aws-chunked") => {
            body::read(edge, bounds, (body::Encoding::Identity, None), body).await
        }
        Some(_) => Err(Problem::UnsupportedEncoding(
            head.headers.get(header::CONTENT_ENCODING).map(body::shown).unwrap_or_default(),
        )),
    };
    if paid.is_err() {
        body::discard_refused(&head.headers, body, AWS_BODY_BYTES_MAX).await;
    }
    Ok(paid?)
}

/// Tells who asks and what for: an operation that the caller may do to no stream at all is refused before the stream is
/// looked for.
fn identify<'a>(edge: &Edge, asked: Asked<'a>, identity: Identity) -> Result<Caller<'a>, Failure> {
    let action = asked.target.action();
    if asked.target != Target::Unknown {
        identity.authorize(action, None, || "*".to_owned())?;
    }
    let (region, account) = (edge.aws.region.clone(), edge.aws.account.clone());
    Ok(Caller { visit: asked.visit, region, account, identity, entry: asked.entry, action })
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let kind = match &error {
            IdentityError::Missing => FailureKind::MissingAuthenticationToken,
            IdentityError::Incomplete(_) => FailureKind::IncompleteSignature,
            IdentityError::Unrecognized => FailureKind::UnrecognizedClient,
            IdentityError::Invalid(_) => FailureKind::InvalidSignature,
            IdentityError::Chunks(_) => FailureKind::Serialization,
            IdentityError::Denied { .. } => FailureKind::AccessDenied,
        };
        Self::new(kind, error.to_string())
    }
}
