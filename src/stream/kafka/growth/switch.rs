//! How all nodes come from one generation to the next, in the order of the records and without clocks that agree.
//!
//! ```text
//! objects in the store        each node                                       whoever is first
//!   1                         sends under 1, asks for 2.begin each T/3
//!   2.begin {partitions}  ◀── the topic has more partitions ──────────────── creates it
//!                             sends nothing more: it has seen 2.begin, or
//!                             its last answer "not there" is T old
//!   2 {ends, created}     ◀── has known 2.begin for T + D ────────────────── asks where the partitions end, creates it
//!                             sends under 2, asks for 3.begin …
//! ```
//!
//! Objects are created once, on condition that they are not there, and never change; whoever reads after that sees them.
//!
//! # Why the order of a key is kept
//! Let `2.begin` be there from the moment *c* on. A node sends for T (the *lease*) from the moment at which it began to ask
//! a question whose answer was that it is not there. That moment was before *c*, so it sends nothing after c + T. It
//! confirms nothing after c + T + D (the *drain*) whose place it does not know to be right. The ends are asked for by a node
//! that has known `2.begin` for T + D, thus after c + T + D. So
//!
//! - what is confirmed of generation 1 lies before the ends, in a shard of generation 1, and
//! - nothing is sent under generation 2 before everything that is confirmed of generation 1 is in the topic.
//!
//! # Why nobody reads a record in a shard that it is not in
//! A node that has not heard yet that generation 2 is there takes what it sees in a partition for generation 1. What it has
//! seen before it is T + D old that it began to ask, with the answer that `2.begin` is not there, lies before the ends:
//! they are asked for later, and what a broker shows is below the end that it tells then. So that much it may show to its
//! readers ([`Switch::may_show`]). With anything younger it waits, until it knows.
//!
//! # Clocks
//! Only the speed of clocks enters, within a margin, not what they show: a moment is always compared with another one of
//! the same node. Clocks that stand still while a machine is suspended break it, and so may brokers that take in a record
//! after all of this. What that can do is bounded: **no record is ever lost**, whatever clocks do, since the shards of all
//! generations fill each partition without a gap (see [`Generations`]). Such a record is in the shard that follows, is read
//! there once, and has lost its place among those of its key. The acks of this node are not told to clients as good in the
//! second case ([`Switch::verdict`]).
//!
//! This does nothing by itself. It says what to ask and what to do, and is told answers.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::generations::{Generation, GenerationError, Generations};

/// The times of the protocol: the same on all nodes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For so long a node sends after it has begun to ask whether it may.
    pub lease: Duration,
    /// For so long after that it waits for acks.
    pub drain: Duration,
    /// What the clock of one node may gain on that of another one within both.
    pub margin: Duration,
}

impl Times {
    /// Those of every node. A switch holds appends up for 13 to 18 seconds: the 16 s until the ends are asked for, less up
    /// to 3.3 s in which a node has not seen yet that it has begun; and a second each until a question is asked whose answer
    /// is that the ends are due, and that they are there. A store that is away for 6 s holds up nothing, since three questions
    /// fit into a lease.
    pub const STANDARD: Self = Self {
        lease: Duration::from_secs(10),
        drain: Duration::from_secs(5),
        margin: Duration::from_secs(1),
    };

    /// Those of a node whose stream is its own: nobody else sends, and it has one clock. A switch holds appends up for 8 to 10
    /// seconds.
    pub const ALONE: Self =
        Self { lease: Duration::from_secs(6), drain: Duration::from_secs(2), margin: Duration::ZERO };

    /// How long a node has known of the beginning before it may ask for the ends.
    fn until_ends(&self) -> Duration {
        self.lease + self.drain + self.margin
    }
}

/// Somebody has begun to end the generation before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The number of the generation that begins.
    pub number: u32,
    /// How many partitions it is to have.
    pub partitions: u32,
}

/// An object to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The beginning of the generation with this number.
    Beginning(u32),
    /// The generation with this number.
    Generation(u32),
}

/// What is there of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Beginning`].
    Beginning(Option<Beginning>),
    /// To [`Question::Generation`].
    Generation(Option<Generation>),
}

/// What to do because of an answer. Whatever comes of it, the next question tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Ask the next question at once.
    AskOn,
    /// Ask the next question after [`Switch::pause`].
    Wait,
    /// Create this generation, on condition that it is not there.
    CreateFirst(Generation),
    /// Create this beginning, on condition that it is not there.
    Begin(Beginning),
    /// Ask each partition of the newest generation for its end, the high watermark whatever transactions are open, and
    /// create what [`Switch::end`] makes of that, on condition that it is not there.
    End,
}

/// What an ack is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The record is where readers of its generation find it.
    Good,
    /// That is not known yet.
    NotYet,
    /// The record is in the topic, and read with those of a later generation: its order is not promised.
    Late,
}

/// Why nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Shut {
    /// It is not known yet which shards there are.
    #[error("it is not known yet which shards there are")]
    Unknown,
    /// Another generation begins.
    #[error(
        "the topic has got more partitions, and the nodes agree on the new shards: that takes some 15 seconds"
    )]
    Switching,
    /// The store has not told for too long that none does.
    #[error("the store where nodes agree on the shards of the topic has not answered for too long")]
    Unconfirmed,
    /// The cluster has not told this node of all partitions yet.
    #[error("the cluster tells of fewer partitions than the topic has had")]
    Behind,
}

/// See the module. What one node knows.
#[derive(Debug, Clone)]
pub struct Switch {
    times: Times,
    generations: Generations,
    /// Up to when it may send under the newest generation.
    lease: Option<Instant>,
    /// The end of the newest generation, and when it was known here.
    begun: Option<(Beginning, Instant)>,
    /// How many partitions the cluster has told of.
    partitions: u32,
}

impl Switch {
    /// A node that knows nothing yet.
    pub fn new(times: Times) -> Self {
        Self { times, generations: Generations::default(), lease: None, begun: None, partitions: 0 }
    }

    /// What is known.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// The cluster says that the topic has so many partitions.
    pub fn has_partitions(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// How many it has told of last; zero before.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// What to ask for next. One question at a time.
    pub fn question(&self) -> Question {
        let number = self.generations.next_number();
        if self.begun.is_none() && number > 1 {
            Question::Beginning(number)
        } else {
            Question::Generation(number)
        }
    }

    /// How long to wait for the next question: a third of the lease, and a tenth while everybody waits.
    pub fn pause(&self) -> Duration {
        self.times.lease / if self.begun.is_some() { 10 } else { 3 }
    }

    /// Takes the answer to [`Switch::question`], which was begun to be asked at `asked`. It is `now`.
    ///
    /// # Errors
    /// If what is there does not follow what is known, or the topic cannot have so many partitions: nothing is changed
    /// then, and what the node may send ends with its lease.
    pub fn told(&mut self, asked: Instant, answer: Answer, now: Instant) -> Result<Task, GenerationError> {
        match answer {
            Answer::Generation(Some(generation)) => {
                self.generations.push(generation)?;
                (self.lease, self.begun) = (None, None);
                Ok(Task::AskOn)
            }
            Answer::Generation(None) => Ok(self.make_generation(now)),
            Answer::Beginning(Some(beginning)) => {
                // Known from now on: it may have been created after the question was begun.
                self.begun.get_or_insert((beginning, now));
                Ok(Task::AskOn)
            }
            Answer::Beginning(None) => {
                self.lease = self.lease.max(Some(asked + self.times.lease));
                self.begin()
            }
        }
    }

    fn make_generation(&self, now: Instant) -> Task {
        match self.begun {
            None if self.partitions > 0 => Task::CreateFirst(Generation::first(self.partitions)),
            Some((_, known)) if now.saturating_duration_since(known) >= self.times.until_ends() => Task::End,
            _ => Task::Wait,
        }
    }

    fn begin(&self) -> Result<Task, GenerationError> {
        let has = self.generations.newest().map_or(0, |newest| newest.partitions);
        // Fewer are what a broker says that has not heard of the others: see `Shut::Behind`.
        if self.partitions <= has {
            return Ok(Task::Wait);
        }
        self.generations.may_follow(self.partitions)?;
        Ok(Task::Begin(Beginning { number: self.generations.next_number(), partitions: self.partitions }))
    }

    /// The generation that follows the newest one, which ends at `ends`, as they were asked for after [`Task::End`] was
    /// given. It is `now`, in seconds since 1970.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn end(&self, ends: Vec<u64>, now: u64) -> Result<Option<Generation>, GenerationError> {
        let Some((beginning, _)) = self.begun else { return Ok(None) };
        self.generations.next(beginning.partitions, ends, now).map(Some)
    }

    /// Whether records may be sent under the newest generation.
    ///
    /// # Errors
    /// Why not.
    pub fn may_send(&self, now: Instant) -> Result<(), Shut> {
        let newest = self.generations.newest().ok_or(Shut::Unknown)?;
        if self.begun.is_some() {
            return Err(Shut::Switching);
        }
        if self.lease.is_none_or(|lease| now >= lease) {
            return Err(Shut::Unconfirmed);
        }
        if self.partitions < newest.partitions {
            return Err(Shut::Behind);
        }
        Ok(())
    }

    /// Whether all that a broker has shown of partitions up to `now` is of the generations that are known here.
    pub fn may_show(&self, now: Instant) -> bool {
        self.lease.is_some_and(|lease| now < lease + self.times.drain)
    }

    /// Whether the client of a record may be told that it is in the log: it was sent under generation `number`, and a
    /// broker says that it is at `offset` of `partition`.
    pub fn verdict(&self, number: u32, (partition, offset): (u32, u64), now: Instant) -> Verdict {
        let follower = self.generations.known().get(number as usize);
        match follower {
            Some(follower) if offset < follower.begins_at(partition) => Verdict::Good,
            Some(_) => Verdict::Late,
            None if self.may_show(now) => Verdict::Good,
            None => Verdict::NotYet,
        }
    }
}

#[cfg(test)]
mod tests;
