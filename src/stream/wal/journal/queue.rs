//! Requests on their way to the writing thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::config::limits::{COMMIT_GATHER_BYTES, COMMIT_GATHER_REQUESTS};
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::park::{self, Wake};
use crate::stream::log::Appended;
use crate::stream::notices::{Notices, Size};
use crate::stream::receipt::{AppendError, CommitError, NewReply};
use crate::stream::replies::Claim;
use crate::stream::wal::frame::{self, BatchSizes, Entry};
use crate::stream::wal::shard::DurableLog;

/// Told once the request is durable, or has failed.
pub type Ticket = oneshot::Receiver<Result<(), CommitError>>;

/// A request that is to be taken.
#[derive(Debug)]
pub struct NewRequest {
    /// Who is told.
    pub notices: Arc<Notices>,
    /// What goes where.
    pub batches: Vec<(ShardId, Arc<DurableLog>, Batch)>,
    /// All batches together.
    pub size: Size,
    /// What a client with an idempotency key is to be told again.
    pub reply: Option<NewReply>,
    /// Number of the stream in the catalog.
    pub stream: u32,
}

/// A request that has been taken.
#[derive(Debug)]
pub struct Queued {
    /// Where its records go.
    pub appended: Vec<(ShardId, Appended)>,
    /// What is kept of the reply.
    pub reply: Option<Bytes>,
    /// The wait for it.
    pub ticket: Ticket,
}

/// A request in the queue.
#[derive(Debug)]
pub struct Request {
    notices: Arc<Notices>,
    size: Size,
    batches: Vec<Placed>,
    reply: Option<KeptReply>,
    /// Bytes of its frames, at most.
    bytes: u64,
    ticket: oneshot::Sender<Result<(), CommitError>>,
}

/// A batch that has its place in a shard.
#[derive(Debug)]
pub struct Placed {
    /// The shard.
    pub log: Arc<DurableLog>,
    /// Number of the first record.
    pub first: SequenceNumber,
    /// The records.
    pub batch: Arc<Batch>,
    /// Bytes of them in the log.
    pub sizes: BatchSizes,
}

#[derive(Debug)]
struct KeptReply {
    stream: u32,
    claim: Claim,
    arrival: UnixMicros,
    reply: Bytes,
}

impl Request {
    /// Its frames, those of batches first.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let batches = self.batches.iter().map(|placed| Entry::Batch {
            shard: placed.log.number(),
            first: placed.first,
            batch: &placed.batch,
            sizes: placed.sizes,
        });
        let reply = self.reply.as_ref().map(|kept| {
            Entry::Reply(frame::Reply {
                stream: kept.stream,
                arrival: kept.arrival,
                key: kept.claim.key(),
                fingerprint: kept.claim.fingerprint(),
                reply: &kept.reply,
            })
        });
        batches.chain(reply)
    }

    /// The batches and where they were appended.
    pub fn batches(&self) -> &[Placed] {
        &self.batches
    }

    /// The stream and the arrival of its reply, if there is one.
    pub fn reply(&self) -> Option<(u32, UnixMicros)> {
        self.reply.as_ref().map(|kept| (kept.stream, kept.arrival))
    }

    /// Bytes of its frames, at most.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames in it.
    pub fn frames(&self) -> usize {
        self.batches.len() + usize::from(self.reply.is_some())
    }

    /// Who is told.
    pub fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// Tells the client that the records are a fact.
    pub fn succeed(self) {
        self.notices.committed(self.size);
        // Whether or not the client still waits: it may ask again.
        if let Some(KeptReply { claim, arrival, reply, .. }) = self.reply {
            claim.keep(reply, arrival);
        }
        // A client that has gone does not wait.
        let _ = self.ticket.send(Ok(()));
    }

    /// Takes the records back and tells the client. Nothing may be appended to the shards meanwhile.
    fn fail(self, why: &str) {
        for Placed { log, .. } in &self.batches {
            log.roll_back();
        }
        self.notices.take_back(self.size.records);
        let _ = self.ticket.send(Err(CommitError::Failed(why.to_owned())));
    }
}

/// Whether requests are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Well,
    /// Writing has failed; a new segment is sought.
    Failed(String),
    /// The process stops.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// Bytes of commits that a whole segment takes.
    usable: u64,
}

#[derive(Debug)]
struct State {
    requests: Vec<Request>,
    /// Bytes taken and not durable yet.
    pending: u64,
    /// Bytes left in the segment that is written, behind what is durable.
    remaining: u64,
    /// Whether the next segment is there.
    spare: bool,
    /// Whether the disk had no room for it.
    full: bool,
    health: Health,
    /// When the segment that is written was put into use.
    turned: Instant,
    /// Whether it is to be closed when nothing waits.
    turns: bool,
    /// Bytes of what waits.
    gathered: u64,
    /// Whether what waits is to be written now.
    due: bool,
    /// Whether the writing thread sleeps.
    sleeping: bool,
}

impl Queue {
    /// Empty, for segments that take `usable` bytes.
    pub fn new(usable: u64) -> Self {
        let state = State {
            requests: Vec::new(),
            pending: 0,
            remaining: 0,
            spare: false,
            full: false,
            health: Health::Failed("the log is being opened".to_owned()),
            turned: clock::monotonic(),
            turns: false,
            gathered: 0,
            due: false,
            sleeping: false,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), usable }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panics under the lock has changed nothing yet, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`super::Journal::append`].
    pub fn append(self: &Arc<Self>, request: NewRequest) -> Result<Queued, AppendError> {
        let NewRequest { notices, batches, size, reply, stream } = request;
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(id, log, batch)| (id, log, BatchSizes::of(&batch), Arc::new(batch)))
            .collect();
        let bytes = frame::COMMIT_HEADER_BYTES as u64
            + batches.iter().map(|(.., sizes, batch)| sizes.frame_bytes(batch)).sum::<u64>()
            + reply.as_ref().map_or(0, |reply| frame::reply_bytes(reply.claim.key(), reply.bytes_max));
        let (sender, ticket) = oneshot::channel();
        let mut appended = Vec::with_capacity(batches.len());
        let mut queued = Vec::with_capacity(batches.len());

        let mut state = self.state();
        state.check_room(bytes, self.usable)?;
        // Counted before the records can be read, so that no delivery ever settles more than was accepted.
        notices.accept(size.records);
        for (id, log, sizes, batch) in batches {
            let place = log.append(&batch, sizes.payload);
            queued.push(Placed { log, first: place.first, batch, sizes });
            appended.push((id, place));
        }
        let kept = reply.map(|NewReply { claim, arrival, make, .. }| {
            let reply = make(&appended);
            KeptReply { stream, claim, arrival, reply }
        });
        let reply = kept.as_ref().map(|kept| kept.reply.clone());
        state.pending += bytes;
        state.requests.push(Request { notices, size, batches: queued, reply: kept, bytes, ticket: sender });
        state.gathered += bytes;
        state.due |= state.has_gathered_enough() || !park::before_park(self);
        self.wake_writer(state);
        Ok(Queued { appended, reply, ticket })
    }

    /// Wakes the writing thread if it sleeps although something is due.
    fn wake_writer(&self, mut state: MutexGuard<'_, State>) {
        let wakes = state.due && std::mem::take(&mut state.sleeping);
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// Moves what waits behind `requests`, once it is due: when a thread that has queued some of it sleeps, or when it
    /// is enough for a commit. With `wait`, sleeps until then, or until the segment is to be closed. False once the queue
    /// is closed and empty.
    pub fn take(&self, requests: &mut std::collections::VecDeque<Request>, wait: bool) -> bool {
        let mut state = self.state();
        while wait && !state.due && !state.turns && state.health != Health::Closed {
            state.sleeping = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeping = false;
        if state.health == Health::Closed {
            state.due = true;
        }
        let open = state.health != Health::Closed || !state.requests.is_empty();
        if std::mem::take(&mut state.due) {
            state.gathered = 0;
            requests.extend(state.requests.drain(..));
        }
        open
    }

    /// Tells that `bytes` of requests are durable, and what is left in the segment.
    pub fn written(&self, bytes: u64, remaining: u64) {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(bytes);
        state.remaining = remaining;
    }

    /// A new segment is written from now on.
    pub fn turned(&self) {
        let mut state = self.state();
        state.remaining = self.usable;
        state.spare = false;
        (state.turned, state.turns) = (clock::monotonic(), false);
        if matches!(state.health, Health::Failed(_)) {
            state.health = Health::Well;
        }
    }

    /// Whether the segment that is written has been so for `age`, and the next one is there.
    pub fn can_turn(&self, age: Duration) -> bool {
        let state = self.state();
        state.spare && state.turned.elapsed() >= age
    }

    /// Has the segment closed that is written, as soon as nothing waits.
    pub fn turn_early(&self) {
        self.state().turns = true;
        self.filled.notify_one();
    }

    /// Whether that is wanted still, and the next segment is there.
    pub fn takes_turn(&self) -> bool {
        let mut state = self.state();
        std::mem::take(&mut state.turns) && state.spare
    }

    /// Whether the next segment is there, and whether that is so because the disk is full.
    pub fn set_spare(&self, spare: bool, full: bool) {
        let mut state = self.state();
        (state.spare, state.full) = (spare, full);
    }

    /// Fails `requests` and everything in the queue, and takes nothing more until [`Queue::turned`].
    pub fn fail(&self, requests: impl IntoIterator<Item = Request>, why: &str) {
        let mut state = self.state();
        if state.health != Health::Closed {
            state.health = Health::Failed(why.to_owned());
        }
        (state.pending, state.gathered, state.due) = (0, 0, false);
        // Under the lock, so that nothing is appended behind records that are taken back.
        let queued = std::mem::take(&mut state.requests);
        for request in requests.into_iter().chain(queued) {
            request.fail(why);
        }
    }

    /// Takes nothing more; what is there is still written.
    pub fn close(&self) {
        self.state().health = Health::Closed;
        self.filled.notify_one();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state().health == Health::Closed
    }
}

impl Wake for Queue {
    fn wake(&self) {
        let mut state = self.state();
        // Nothing if a commit has taken it along already.
        state.due |= !state.requests.is_empty();
        self.wake_writer(state);
    }
}

impl State {
    /// Whether what waits is worth a commit although the threads that bring it go on.
    fn has_gathered_enough(&self) -> bool {
        self.gathered >= COMMIT_GATHER_BYTES || self.requests.len() >= COMMIT_GATHER_REQUESTS
    }

    /// Whether `bytes` more fit into segments that are there, or will be. What is pending may leave the rest of the segment unused,
    /// so that either all of it fits into this one or all of it into the next.
    fn check_room(&self, bytes: u64, usable: u64) -> Result<(), AppendError> {
        match &self.health {
            Health::Well => {}
            Health::Failed(_) if self.full => return Err(AppendError::DiskFull),
            Health::Failed(why) => return Err(AppendError::Unavailable(why.clone())),
            Health::Closed => return Err(AppendError::Unavailable("the process stops".to_owned())),
        }
        if bytes > usable {
            return Err(AppendError::TooLarge { bytes, limit: usable });
        }
        // While the disk has room the next segment is only a matter of time, and the byte budget bounds what waits.
        let wanted = self.pending + bytes;
        if !self.full || wanted <= self.remaining || (self.spare && wanted <= usable) {
            return Ok(());
        }
        Err(AppendError::DiskFull)
    }
}
