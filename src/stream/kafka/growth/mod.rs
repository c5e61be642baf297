//! A topic that gets more partitions: what a reshard is for a log of our own.
//!
//! ```text
//! store ◀──asks, creates── driver ──tells──▶ Growth ◀── appender: may it send, what is an ack worth
//!                            │                  ▲
//!                            └─ new shards      └────── tail: may it show what it has read
//! ```
//!
//! - [`generations`]: which shards there are then, and where each of them begins and ends in its partition.
//! - [`switch`]: how all nodes come to the same, and none appends to a shard that is closed.
//! - [`objects`]: where they write down what they agree on.
//! - `driver`: the thread that asks and does what the switch says.
//! - [`window`]: a part of a partition as the log of a shard.
//!
//! [`Growth`] is what one node knows of it.

mod driver;
pub mod generations;
pub mod objects;
pub mod switch;
pub mod window;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::bell::Bell;
use super::request::Request;
use super::topic::TopicLog;
use crate::config::limits::KAFKA_PRODUCE_TIMEOUT;
use crate::runtime::clock;
use generations::Generations;
use objects::Objects;
use switch::{Shut, Switch, Times, Verdict};

/// Where the nodes of a stream agree on its shards, and how fast.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// The objects that they write.
    pub objects: Objects,
    /// The times of the protocol.
    pub times: Times,
}

/// See the module.
pub struct Growth {
    objects: Objects,
    switch: Mutex<Switch>,
    /// Requests whose records are in the topic, and of which it is not known yet in which shards; each with the time of its
    /// last ack. No more than were on their way when the lease ended, as none is sent then.
    held: Mutex<Vec<(Instant, Arc<Request>)>>,
    trouble: Mutex<Option<String>>,
    /// Wakes the driver.
    bell: Bell,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth").field("switch", &self.switch).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Growth {
    /// Nothing is asked yet.
    pub fn new(agreement: Agreement) -> Self {
        let Agreement { objects, times } = agreement;
        let (switch, bell) = (Mutex::new(Switch::new(times)), Bell::default());
        Self {
            objects,
            switch,
            held: Mutex::default(),
            trouble: Mutex::default(),
            bell,
            thread: Mutex::default(),
        }
    }

    /// Begins to ask.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn begin(&self, topic: &Arc<TopicLog>) -> std::io::Result<()> {
        let topic = Arc::clone(topic);
        let thread = std::thread::Builder::new().name("kafka shards".to_owned());
        *lock(&self.thread) = Some(thread.spawn(move || driver::run(&topic))?);
        Ok(())
    }

    /// Ends it. Requests that are held are told that nobody knows. Blocks the thread.
    pub(super) fn end(&self) {
        self.bell.end();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        lock(&self.switch)
    }

    /// The cluster says that the topic has so many partitions.
    pub(super) fn has_partitions(&self, partitions: u32) {
        let mut switch = self.switch();
        let is_news = switch.partitions() != partitions;
        switch.has_partitions(partitions);
        drop(switch);
        if is_news {
            self.bell.ring();
        }
    }

    /// How many partitions the cluster has told of last; zero before.
    pub fn partitions(&self) -> u32 {
        self.switch().partitions()
    }

    /// What is known.
    pub fn generations(&self) -> Generations {
        self.switch().generations().clone()
    }

    /// Number and partitions of the newest generation, if that is known.
    pub(super) fn newest(&self) -> Option<(u32, u32)> {
        self.switch().generations().newest().map(|newest| (newest.number, newest.partitions))
    }

    /// Whether all that a broker has shown before this is called is of the generations that are known: otherwise it may be
    /// of one that nobody has told this node of yet.
    pub(super) fn may_show(&self) -> bool {
        self.switch().may_show(clock::monotonic())
    }

    /// Whether anything may be sent.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn may_send(&self) -> Result<(), Shut> {
        self.switch().may_send(clock::monotonic())
    }

    /// Whether it may be sent to shards of the generation with this number.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn may_send_under(&self, generation: u32) -> Result<(), Shut> {
        let switch = self.switch();
        switch.may_send(clock::monotonic())?;
        let is_newest = switch.generations().newest().is_some_and(|newest| newest.number == generation);
        if is_newest { Ok(()) } else { Err(Shut::Switching) }
    }

    /// [`Switch::verdict`], now, on offsets of partitions.
    pub(super) fn verdict(&self, generation: u32, places: impl Iterator<Item = (u32, u64)>) -> Verdict {
        let (switch, now) = (self.switch(), clock::monotonic());
        let mut worst = Verdict::Good;
        for place in places {
            match switch.verdict(generation, place, now) {
                Verdict::Good => {}
                Verdict::Late => return Verdict::Late,
                Verdict::NotYet => worst = Verdict::NotYet,
            }
        }
        worst
    }

    /// Keeps a request until more is known.
    pub(super) fn hold(&self, request: Arc<Request>) {
        lock(&self.held).push((clock::monotonic(), request));
    }

    /// How many are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        lock(&self.held).len()
    }

    /// Judges those that are held once more. Who has waited for too long is told that nobody knows; all are, if it `is_over`.
    fn judge_held(&self, is_over: bool) {
        let held = std::mem::take(&mut *lock(&self.held));
        let mut waiting = Vec::new();
        for (since, request) in held {
            let gives_up = is_over || since.elapsed() >= KAFKA_PRODUCE_TIMEOUT;
            if !request.judge_again(gives_up) {
                waiting.push((since, request));
            }
        }
        lock(&self.held).append(&mut waiting);
    }

    /// Why it is not known which shards there are, or whether others begin.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Returns whether that is news.
    fn has_trouble(&self, trouble: Option<String>) -> bool {
        let mut known = lock(&self.trouble);
        let is_news = *known != trouble;
        *known = trouble;
        is_news
    }
}
