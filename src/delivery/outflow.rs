//! The way of a large file to the sink while it is still being filled.
//!
//! ```text
//! open file ──finished bytes──▶ waiting ──▶ parts under way ──▶ confirmed, and forgotten
//!     └──seal──▶ ledger ──────────────────────────────────────────▶ complete
//! ```
//! What is confirmed is in the store and nowhere in this process, so that memory does not grow with the file. Nobody
//! sees the parts before the object is complete, and that is asked for when the ledger has the seal and not before.
//! What a step needs is handed out as a [`Job`], which takes the place of one upload for as long as it talks to the
//! store: nothing that waits for memory ever keeps such a place.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::ledger::Seal;
use super::seal::Sealed;
use super::sink::{Begun, Growing, ObjectSink, PartId, Stored};
use crate::runtime::budget::Permit;
use crate::runtime::clock::UnixMicros;

/// Where a file goes.
#[derive(Debug)]
pub struct Target {
    /// Key of its object.
    pub key: String,
    /// See [`super::seal::Origin::identity`].
    pub identity: String,
    /// Its sink.
    pub sink: ObjectSink,
    /// Bytes of a part.
    pub part_bytes: u64,
    /// Uploads that an earlier try has noted for it; `None` if it was not closed before.
    pub leftovers: Option<Vec<String>>,
}

/// One step, to be done at the store however often it takes.
#[derive(Debug)]
pub enum Job {
    /// Begins the object.
    Begin(Arc<Target>),
    /// Sends a part.
    Part(PartJob),
    /// Makes the object of its parts.
    Complete {
        /// The file.
        target: Arc<Target>,
        /// Its object.
        growing: Growing,
        /// All of its parts.
        parts: Vec<PartId>,
        /// Bytes of them.
        bytes: u64,
        /// Arrival of its oldest record.
        oldest: UnixMicros,
    },
    /// Throws away what was sent.
    Abort {
        /// The file.
        target: Arc<Target>,
        /// Its object.
        growing: Growing,
    },
}

/// See [`Job::Part`].
#[derive(Debug)]
pub struct PartJob {
    /// The file.
    pub target: Arc<Target>,
    /// Its object.
    pub growing: Growing,
    /// Place of the part in it, from 0.
    pub place: usize,
    /// Bytes before it.
    pub offset: u64,
    /// Its content.
    pub chunks: Vec<Bytes>,
}

/// How a job has ended.
#[derive(Debug)]
pub enum Done {
    /// Parts may be sent, or need not be.
    Begun(Begun),
    /// A part is in the store.
    Part {
        /// Its place.
        place: usize,
        /// Its size.
        bytes: u64,
        /// The store's name for it.
        part: PartId,
    },
    /// The object is in the store.
    Stored(Stored),
    /// What was sent is of no use any more.
    Gone(Loss),
    /// It is thrown away, or cannot be.
    Aborted,
}

/// Why the object cannot be made of what was sent of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Loss {
    /// It is not there any more.
    #[error("the sink has lost what it was sent ({0})")]
    Sink(String),
    /// A step has panicked, and nobody knows what it has done.
    #[error("sending it has failed within the program ({0})")]
    Program(String),
}

/// What has become of a file.
#[derive(Debug)]
pub enum Outcome {
    /// It is on its way.
    Going,
    /// The object is in the store.
    Stored(Stored),
    /// What was sent is of no use. It has to be closed, and made again.
    Gone(Loss),
    /// It was given up, and nothing of it is under way any more.
    Over,
}

#[derive(Debug)]
enum Phase {
    /// The ledger does not know of it yet.
    Unwritten,
    Ready,
    Beginning,
    Growing(Growing),
    Completing,
    Found(Stored),
    Stored(Stored),
    Gone(Loss),
    Aborting,
    Aborted,
}

/// See the module.
#[derive(Debug)]
pub struct Outflow {
    target: Arc<Target>,
    phase: Phase,
    /// Finished, and in no part yet.
    waiting: VecDeque<Bytes>,
    waiting_bytes: u64,
    /// Bytes in parts, under way or confirmed.
    sent_bytes: u64,
    /// By place; `None` while it is under way.
    parts: Vec<Option<PartId>>,
    under_way: usize,
    /// Pays for what waits and what is under way.
    permit: Permit,
    sealed: Option<Seal>,
    is_given_up: bool,
}

impl Outflow {
    /// Nothing is sent yet, and nothing may be before [`Outflow::written`]. `permit` is of the delivery's account.
    pub fn new(target: Target, permit: Permit) -> Self {
        Self {
            target: Arc::new(target),
            phase: Phase::Unwritten,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent_bytes: 0,
            parts: Vec::new(),
            under_way: 0,
            permit,
            sealed: None,
            is_given_up: false,
        }
    }

    /// The ledger knows of it, or there is none.
    pub fn written(&mut self) {
        if matches!(self.phase, Phase::Unwritten) {
            self.phase = Phase::Ready;
        }
    }

    /// Takes finished bytes of the file.
    pub fn push(&mut self, chunks: Vec<Bytes>) {
        if self.is_given_up || matches!(self.phase, Phase::Found(_) | Phase::Gone(_)) {
            return;
        }
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        self.permit.set(self.permit.bytes() + bytes);
        self.waiting_bytes += bytes;
        self.waiting.extend(chunks);
    }

    /// Takes the rest of the file, whose seal is written down.
    pub fn seal(&mut self, sealed: Sealed) {
        self.push(sealed.chunks);
        self.sealed = Some(sealed.seal);
    }

    /// The seal, once it is written down.
    pub fn sealed(&self) -> Option<&Seal> {
        self.sealed.as_ref()
    }

    /// Whether it is that of a file that was closed before.
    pub fn is_again(&self) -> bool {
        self.target.leftovers.is_some()
    }

    /// Whether it was given up.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Whether what was sent of it is of no use, and nothing is under way any more.
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone(_)) && self.under_way == 0
    }

    /// Key of the object.
    pub fn key(&self) -> &str {
        &self.target.key
    }

    /// Sends no more, and throws away what was sent.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
        self.drop_waiting();
    }

    fn drop_waiting(&mut self) {
        self.permit.set(self.permit.bytes() - self.waiting_bytes);
        self.waiting_bytes = 0;
        self.waiting.clear();
    }

    /// Full parts that wait.
    pub fn waiting_parts(&self) -> usize {
        usize::try_from(self.waiting_bytes / self.target.part_bytes.max(1)).unwrap_or(usize::MAX)
    }

    /// What can be done now, and must then be done.
    pub fn next_job(&mut self) -> Option<Job> {
        let target = Arc::clone(&self.target);
        let job = match &self.phase {
            Phase::Ready if !self.is_given_up => {
                self.phase = Phase::Beginning;
                Job::Begin(target)
            }
            Phase::Growing(growing) if self.is_given_up => {
                if self.under_way > 0 {
                    return None;
                }
                let growing = growing.clone();
                self.phase = Phase::Aborting;
                Job::Abort { target, growing }
            }
            Phase::Growing(growing) => {
                let growing = growing.clone();
                self.next_part(&growing).map(Job::Part).or_else(|| self.completion(growing))?
            }
            _ => return None,
        };
        self.under_way += 1;
        Some(job)
    }

    fn next_part(&mut self, growing: &Growing) -> Option<PartJob> {
        let (target, growing) = (Arc::clone(&self.target), growing.clone());
        let is_due = self.waiting_bytes >= target.part_bytes || self.sealed.is_some();
        let bytes = target.part_bytes.min(self.waiting_bytes);
        if !is_due || bytes == 0 {
            return None;
        }
        let (mut chunks, mut room) = (Vec::new(), bytes);
        while room > 0
            && let Some(mut chunk) = self.waiting.pop_front()
        {
            // A chunk is in memory, so its length fits.
            let rest = chunk.split_off(chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            if !rest.is_empty() {
                self.waiting.push_front(rest);
            }
            room -= chunk.len() as u64;
            chunks.push(chunk);
        }
        let (place, offset) = (self.parts.len(), self.sent_bytes);
        self.parts.push(None);
        self.waiting_bytes -= bytes;
        self.sent_bytes += bytes;
        Some(PartJob { target, growing, place, offset, chunks })
    }

    /// The last step, once everything else is done.
    fn completion(&mut self, growing: Growing) -> Option<Job> {
        let oldest = self.sealed.as_ref()?.oldest;
        let parts: Vec<_> = self.parts.iter().flatten().cloned().collect();
        if self.under_way > 0 || parts.len() < self.parts.len() {
            return None;
        }
        self.phase = Phase::Completing;
        let target = Arc::clone(&self.target);
        Some(Job::Complete { target, growing, parts, bytes: self.sent_bytes, oldest })
    }

    /// Takes note of a job that has ended.
    pub fn take(&mut self, done: Done) {
        self.under_way = self.under_way.saturating_sub(1);
        match done {
            Done::Begun(Begun::Growing(growing)) => self.phase = Phase::Growing(growing),
            Done::Begun(Begun::Found(stored)) => {
                self.drop_waiting();
                self.phase = Phase::Found(stored);
            }
            Done::Part { place, bytes, part } => {
                if let Some(slot) = self.parts.get_mut(place) {
                    *slot = Some(part);
                }
                self.permit.set(self.permit.bytes().saturating_sub(bytes));
            }
            Done::Stored(stored) => self.phase = Phase::Stored(stored),
            Done::Gone(loss) => {
                self.drop_waiting();
                self.phase = Phase::Gone(loss);
            }
            Done::Aborted => self.phase = Phase::Aborted,
        }
    }

    /// What has become of it.
    pub fn outcome(&self) -> Outcome {
        if self.under_way > 0 {
            return Outcome::Going;
        }
        match &self.phase {
            Phase::Stored(stored) => Outcome::Stored(stored.clone()),
            Phase::Aborted => Outcome::Over,
            Phase::Unwritten | Phase::Ready | Phase::Found(_) | Phase::Gone(_) if self.is_given_up => {
                Outcome::Over
            }
            Phase::Found(stored) if self.sealed.is_some() => Outcome::Stored(stored.clone()),
            Phase::Gone(loss) => Outcome::Gone(loss.clone()),
            _ => Outcome::Going,
        }
    }
}
