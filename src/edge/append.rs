//! A body that has come in whole → its records in the log, and the answer: the same for a `POST` and for a message of a
//! WebSocket.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::body::Paid;
use super::decode::{self, Framing, Refused, RequestKey};
use super::partition::{self, Shared};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::{Edge, Intake};
use crate::config::checked::Durability;
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::Phase;
use crate::stream::{Appended, Claim, Commit, Known, NewReply, Receipt};
use crate::telemetry::trace::TraceContext;

/// A body with records.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// How records stand in it.
    pub framing: Framing,
    /// The partition key of all of them, if the client gives one.
    pub key: Option<&'a str>,
    /// The key with which the client may send the same again.
    pub idempotency_key: Option<&'a [u8]>,
    /// The body.
    pub paid: Paid,
    /// The trace that it belongs to.
    pub trace: Option<&'a TraceContext>,
}

/// What has become of a body, as far as it is known before its records are durable.
#[derive(Debug)]
pub enum Begun {
    /// The same request was answered before.
    Answered(Bytes),
    /// Every record was refused.
    Refused(Verdict),
    /// Records are in the log.
    Appended(Verdict, Vec<(ShardId, Appended)>, Commit),
    /// Records are in the log, so many, with the reply that it keeps.
    Kept(u64, Bytes, Commit),
}

/// What a client is told.
#[derive(Debug)]
pub enum Done {
    /// The body of the reply; `all_refused` if no record was accepted.
    Fresh {
        /// JSON.
        body: Vec<u8>,
        /// No record was accepted.
        all_refused: bool,
    },
    /// The body of the reply, which the log keeps.
    Kept(Bytes),
    /// The same once more.
    Replayed(Bytes),
}

/// What was found out about a request's records.
#[derive(Debug, Clone)]
pub struct Verdict {
    accepted: u64,
    rejected: usize,
    durability: Durability,
    refused: Vec<Refused>,
}

/// Judges the records of a body and appends them. Bodies that are begun one after the other are in the log in that
/// order. Nothing may be told to the client before [`Begun::done`].
///
/// # Errors
/// Why nothing of it was kept.
pub async fn begin(edge: &Edge, intake: &Intake, arrived: Arrived<'_>) -> Result<Begun, Problem> {
    let Arrived { framing, key, idempotency_key, paid, trace } = arrived;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        return Err(Problem::Draining);
    }
    let arrival = clock::wall();
    let stream = &intake.stream;
    let claim = match idempotency_key {
        None => None,
        Some(id) => match stream.replies().claim(id, fingerprint(&paid.bytes, key), arrival).await {
            Known::New(claim) => Some(claim),
            Known::Answered(reply) => return Ok(Begun::Answered(reply)),
            Known::Other => return Err(Problem::IdempotencyKeyReused),
        },
    };
    let key = key.map_or(RequestKey::FromRecord, |key| RequestKey::Given(key.as_bytes()));
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
        return Ok(Begun::Refused(verdict));
    }
    let (body, permit) = paid.into_shared();
    let shared = Shared { body, permit, arrival };
    let receipt = {
        let writing = stream.writing().await;
        let batches = partition::partition(intake.slots, decoded, shared, writing.layout());
        let spent = stream.within_quotas(writing.layout(), &batches)?;
        let reply = claim.map(|claim| verdict.reply(claim, arrival, batches.len()));
        writing.append(batches, reply).inspect_err(|_| stream.refund(&spent))?
    };
    let Receipt { appended, reply, commit } = receipt;
    stream.note_trace(&appended, trace);
    Ok(match reply {
        None => Begun::Appended(verdict, appended, commit),
        Some(reply) => Begun::Kept(verdict.accepted, reply, commit),
    })
}

impl Begun {
    /// Records that were appended.
    pub fn records(&self) -> u64 {
        match self {
            Begun::Answered(_) | Begun::Refused(_) => 0,
            Begun::Appended(verdict, ..) => verdict.accepted,
            Begun::Kept(records, ..) => *records,
        }
    }

    /// Waits until what was accepted is durable. The wait may be given up and taken up again.
    ///
    /// # Errors
    /// If it did not become durable.
    pub async fn durable(&mut self) -> Result<(), Problem> {
        match self {
            Begun::Answered(_) | Begun::Refused(_) => Ok(()),
            Begun::Appended(.., commit) | Begun::Kept(.., commit) => {
                let result = (&mut *commit).await;
                // Asked once more, it would not know any more.
                *commit = Commit::Done;
                Ok(result?)
            }
        }
    }

    /// Waits for [`Begun::durable`]; then the client may be told.
    ///
    /// # Errors
    /// The same.
    pub async fn done(mut self) -> Result<Done, Problem> {
        self.durable().await?;
        Ok(match self {
            Begun::Answered(body) => Done::Replayed(body),
            Begun::Refused(verdict) => {
                Done::Fresh { body: reply::ingest_body(&verdict.outcome(&[])), all_refused: true }
            }
            Begun::Appended(verdict, appended, _) => {
                Done::Fresh { body: reply::ingest_body(&verdict.outcome(&appended)), all_refused: false }
            }
            Begun::Kept(_, body, _) => Done::Kept(body),
        })
    }
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

/// Tells a request from another one.
fn fingerprint(body: &[u8], key: Option<&str>) -> u64 {
    let seed = key.map_or(0, |key| xxh3_64(key.as_bytes()));
    xxh3_64_with_seed(body, seed)
}
