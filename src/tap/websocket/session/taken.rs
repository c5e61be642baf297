//! Messages that a WebSocket has taken: records and checkpoints, from what they begin to what their clients are told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::{End, Running};
use crate::config::limits::REQUEST_OVERHEAD_BYTES;
use crate::edge::append::{self, Arrived, Begun};
use crate::edge::body::Paid;
use crate::edge::gate::Entry;
use crate::edge::gate::throttle::measure::{Cost, Flow};
use crate::edge::identity::policy::Action;
use crate::edge::mapping::{Asked, Sender};
use crate::edge::problem::Problem;
use crate::edge::{Edge, Intake};
use crate::tap::cursor::Cursor;
use crate::tap::websocket::message::{self, Content};

/// A message whose client is not told yet.
pub struct Waiting {
    id: String,
    under_way: Result<UnderWay, Problem>,
}

/// What a message has begun.
pub enum UnderWay {
    /// Records become durable.
    Records(Begun),
    /// A checkpoint is kept.
    Commit(Pin<Box<dyn Future<Output = Result<Cursor, Problem>> + Send>>),
    /// It is.
    Committed(Result<Cursor, Problem>),
}

impl UnderWay {
    /// Returns when it is durable, or cannot be. The wait may be given up and taken up again.
    async fn over(&mut self) {
        match self {
            // What comes of it is asked for once more when it is told.
            UnderWay::Records(begun) => drop(begun.durable().await),
            UnderWay::Commit(commit) => {
                let result = commit.await;
                *self = UnderWay::Committed(result);
            }
            UnderWay::Committed(_) => {}
        }
    }
}

/// Returns when the oldest message is durable; never, if none waits.
pub async fn durable(waiting: &mut VecDeque<Waiting>) {
    match waiting.front_mut() {
        Some(Waiting { under_way: Ok(under_way), .. }) => under_way.over().await,
        Some(_) => {}
        None => std::future::pending().await,
    }
}

impl Running {
    /// Tells about the messages that are durable, oldest first.
    pub(super) async fn acknowledge(&mut self) -> Result<(), End> {
        let Some(Waiting { id, under_way }) = self.waiting.pop_front() else { return Ok(()) };
        let text = match under_way {
            Ok(UnderWay::Records(begun)) => message::ack(&id, &begun.done().await),
            Ok(UnderWay::Commit(commit)) => message::ack_of_commit(&id, &commit.await),
            Ok(UnderWay::Committed(done)) => message::ack_of_commit(&id, &done),
            Err(problem) => message::ack(&id, &Err(problem)),
        };
        self.send(text, 0).await
    }

    /// Puts the records of a message into the log, or the reason why not in line.
    pub(super) async fn begin(&mut self, content: &Bytes) {
        self.count += 1;
        let (id, message) = message::read(self.messages, content, self.count);
        let edge = Arc::clone(&self.edge);
        let under_way = match (edge.intake(&self.stream), message) {
            (Ok(intake), Ok(Content::Records(message))) => {
                match self.entry.permit(Action::Ingest, Some(&self.stream)) {
                    Ok(()) => {
                        let sender = self.asked.as_ref().map(Asked::sender);
                        begin((&edge, &intake), (&self.entry, sender), message).await.map(UnderWay::Records)
                    }
                    Err(problem) => Err(self.charged(&intake, content, problem)),
                }
            }
            (Ok(intake), Ok(Content::Commit(next))) => {
                let account = intake.account.as_ref();
                let charged = self.entry.charge(account, Flow::Tap, Cost::READ).map(drop);
                charged.and_then(|()| self.commit(next))
            }
            (Ok(intake), Err(problem)) => Err(self.charged(&intake, content, problem)),
            (Err(problem), _) => Err(problem),
        };
        self.socket.get_mut().taken();
        self.waiting.push_back(Waiting { id, under_way });
    }

    /// Why a message is refused that is wrong, or that its client may not send: it costs what a body of its length does, as a
    /// request does that is wrong. Where that is too much already, that is why.
    fn charged(&self, intake: &Intake, content: &Bytes, problem: Problem) -> Problem {
        let cost = Cost::announced(Some(content.len() as u64));
        let charged = self.entry.charge(intake.account.as_ref(), Flow::Ingest, cost);
        charged.err().unwrap_or(problem)
    }

    /// A checkpoint, to be kept in the order of the messages.
    fn commit(&self, next: Cursor) -> Result<UnderWay, Problem> {
        let Some((cursor, worker)) = self.worker.clone() else {
            let detail = "this WebSocket has none: open it with cursor=NAME and worker=NAME".to_owned();
            return Err(Problem::BadParameter { name: "cursor", detail });
        };
        let next = cursor.only_known(next);
        let permit = self.edge.admit_tap(size_of_val(next.positions.as_slice()) as u64)?;
        Ok(UnderWay::Commit(Box::pin(async move {
            let done = cursor.commit(&worker, next).await;
            drop(permit);
            done
        })))
    }
}

/// Pays for the records of a message, as for a body, and appends them. It counts as a request.
async fn begin(
    (edge, intake): (&Edge, &Intake),
    (entry, sender): (&Entry, Option<Sender<'_>>),
    message: message::Message<'_>,
) -> Result<Begun, Problem> {
    let message::Message { framing, records, key, idempotency_key } = message;
    let bytes = records.len() as u64;
    let mut charge = entry.charge(intake.account.as_ref(), Flow::Ingest, Cost::announced(Some(bytes)))?;
    let competitor = &entry.competitor();
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + bytes, competitor);
    let permit = permit.inspect_err(|_| charge.refund())?;
    // A copy, because the message may be a small part of a large buffer.
    let paid = Paid { bytes: records.to_vec(), permit };
    let idempotency_key = idempotency_key.as_deref().map(str::as_bytes);
    // A message has no headers.
    let (key, trace) = (key.as_deref(), None);
    let arrived = Arrived { framing, key, idempotency_key, paid, sender, competitor, charge, trace };
    append::begin(edge, intake, arrived).await
}
