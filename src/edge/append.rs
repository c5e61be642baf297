//! A body that has come in whole → its records in the log, and the answer: the same for a `POST` and for a message of a
//! WebSocket.

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::body::Paid;
use super::decode::{self, Framing, Given, Refused, RequestKey};
use super::gate::throttle::charge::Charge;
use super::gate::throttle::fair::Competitor;
use super::mapping::{self, Sender};
use super::partition::{self, Shared};
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::{Edge, Intake};
use crate::config::checked::Durability;
use crate::record::ShardId;
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::phases::Phase;
use crate::stream::{Appended, Claim, CommitError, Committed, Known, NewReply, Receipt, Stream};
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
    /// Who has sent it, where anybody knows.
    pub sender: Option<Sender<'a>>,
    /// Whom it competes for.
    pub competitor: &'a Competitor,
    /// What it has taken of the limits of its sender and others.
    pub charge: Charge,
    /// The trace that it belongs to.
    pub trace: Option<&'a TraceContext>,
}

/// What the client of a WebSocket is told that is older than what its records are to have.
const UNKNOWN_SENDER: &str =
    "facts of the request are added to this stream's records since this WebSocket was opened: open another";

/// What a client with an idempotency key is told whose stream is in a topic.
const NO_REPLIES: &str = "this stream is in a topic of Kafka that other nodes append to as well, and none knows what another has answered: \
     leave it out";

/// What has become of a body, as far as it is known before its records are durable.
#[derive(Debug)]
pub enum Begun {
    /// The same request was answered before.
    Answered(Bytes),
    /// Every record was refused.
    Refused(Verdict),
    /// Records are in the log.
    Appended(Verdict, Pending),
}

/// The wait for durability, and what to give back if it is in vain.
#[derive(Debug)]
pub struct Pending {
    wait: Wait,
    charge: Option<Box<Charge>>,
    /// The trace of records whose numbers are not known yet.
    untold: Option<Box<(Arc<Stream>, TraceContext)>>,
}

#[derive(Debug)]
enum Wait {
    For(Receipt),
    Over(Committed),
    InVain(CommitError),
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
    let Arrived { framing, key, idempotency_key, paid, sender, competitor, mut charge, trace } = arrived;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        charge.refund();
        return Err(Problem::Draining);
    }
    let arrival = clock::wall();
    let stream = &intake.stream;
    if let Err(error) = stream.writing().await.check() {
        charge.refund();
        return Err(error.into());
    }
    let claim = match idempotency_key {
        Some(_) if !stream.keeps_replies() => {
            charge.refund();
            return Err(Problem::BadParameter { name: "Idempotency-Key", detail: NO_REPLIES.to_owned() });
        }
        None => None,
        Some(id) => match stream.replies().claim(id, fingerprint(&paid.bytes, key), arrival).await {
            Known::New(claim) => Some(claim),
            Known::Answered(reply) => return Ok(Begun::Answered(reply)),
            Known::Other => return Err(Problem::IdempotencyKeyReused),
        },
    };
    let key = key.map_or(RequestKey::FromRecord, |key| RequestKey::Given(key.as_bytes()));
    let added = match (&intake.mapping, sender) {
        (None, _) => None,
        (Some(mapping), Some(sender)) => Some((mapping, mapping.render(&sender, arrival))),
        (Some(_), None) => return Err(Problem::CannotChange(UNKNOWN_SENDER.to_owned())),
    };
    let given = Given { key, added: added.as_ref().map(|(_, added)| added) };
    let mut decoded = decode::decode(intake, framing, &paid.bytes, given)?;
    let verdict = Verdict {
        refused: std::mem::take(&mut decoded.refused),
        rejected: decoded.rejected,
        accepted: decoded.records.len() as u64,
        durability: stream.durability(),
    };
    if verdict.rejected > 0 {
        stream.metrics.rejected.increment(verdict.rejected as u64);
    }
    charge.settle_records(verdict.accepted + verdict.rejected as u64, verdict.accepted, paid.bytes.len())?;
    if verdict.accepted == 0 {
        intake.count_verdicts(edge, 0, verdict.rejected as u64);
        return Ok(Begun::Refused(verdict));
    }
    let paid = match &added {
        None => paid,
        Some((mapping, added)) => {
            let spliced = mapping::spliced((edge, competitor), (mapping, added), &mut decoded, paid);
            spliced.inspect_err(|_| charge.refund())?
        }
    };
    let (body, permit) = paid.into_shared();
    let shared = Shared { body, permit, arrival };
    let receipt = {
        let writing = stream.writing().await;
        let routed = partition::partition(intake.slots, decoded, shared, writing.layout());
        let spent =
            stream.within_quotas(writing.layout(), &routed.batches).inspect_err(|_| charge.refund())?;
        let reply = claim.map(|claim| verdict.reply(claim, arrival, routed.batches.len()));
        writing.append(routed, reply).inspect_err(|_| {
            stream.refund(&spent);
            charge.refund();
        })?
    };
    intake.count_verdicts(edge, verdict.accepted, verdict.rejected as u64);
    let untold = match receipt.appended() {
        Some(appended) => {
            stream.note_trace(appended, trace);
            None
        }
        None => trace.map(|trace| Box::new((Arc::clone(stream), trace.clone()))),
    };
    let pending = Pending { wait: Wait::For(receipt), charge: charge.kept_for_refund(), untold };
    Ok(Begun::Appended(verdict, pending))
}

impl Begun {
    /// Records that were appended.
    pub fn records(&self) -> u64 {
        match self {
            Begun::Answered(_) | Begun::Refused(_) => 0,
            Begun::Appended(verdict, _) => verdict.accepted,
        }
    }

    /// Waits until what was accepted is durable. The wait may be given up and taken up again.
    ///
    /// # Errors
    /// If it did not become durable.
    pub async fn durable(&mut self) -> Result<(), Problem> {
        match self {
            Begun::Answered(_) | Begun::Refused(_) => Ok(()),
            Begun::Appended(_, pending) => pending.wait().await,
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
            Begun::Appended(verdict, pending) => {
                let Committed { appended, reply } = pending.committed()?;
                match reply {
                    Some(body) => Done::Kept(body),
                    None => Done::Fresh {
                        body: reply::ingest_body(&verdict.outcome(&appended)),
                        all_refused: false,
                    },
                }
            }
        })
    }
}

impl Pending {
    async fn wait(&mut self) -> Result<(), Problem> {
        let Wait::For(receipt) = &mut self.wait else { return Ok(()) };
        let result = receipt.await;
        let told = match &result {
            Ok(committed) => {
                if let Some(untold) = self.untold.take() {
                    untold.0.note_trace(&committed.appended, Some(&untold.1));
                }
                Ok(())
            }
            Err(error) => {
                self.charge.iter_mut().for_each(|charge| charge.refund());
                Err(error.clone().into())
            }
        };
        // Asked once more, the receipt would not know any more.
        self.wait = result.map_or_else(Wait::InVain, Wait::Over);
        told
    }

    /// What [`Pending::wait`] has waited for.
    fn committed(self) -> Result<Committed, Problem> {
        match self.wait {
            Wait::Over(committed) => Ok(committed),
            Wait::InVain(error) => Err(error.into()),
            Wait::For(_) => Err(CommitError::Failed("nobody has waited for it".to_owned()).into()),
        }
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
