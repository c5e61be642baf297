//! The thread that brings a node from generation to generation. It asks the store what the switch wants to know, and does
//! what comes of the answer.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Runtime;

use super::Growth;
use super::generations::{Generation, GenerationError};
use super::objects::ObjectsError;
use super::switch::{Beginning, Task};
use crate::kafka::Fault;
use crate::runtime::clock;
use crate::stream::kafka::client::{self, End, QUESTION_TIMEOUT};
use crate::stream::kafka::topic::TopicLog;

/// How soon it is asked again after an error: so that a store that is away for a few seconds takes no lease.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why it does not go on.
#[derive(Debug, Error)]
enum DriverError {
    #[error("nodes cannot agree on the shards: {0}")]
    Objects(#[from] ObjectsError),
    #[error("the shards cannot follow the partitions: {0}")]
    Generation(#[from] GenerationError),
    #[error("{0}")]
    Ends(Fault),
    #[error("{0}")]
    Unwanted(String),
}

/// What the thread does until it is told to end.
pub(super) fn run(topic: &Arc<TopicLog>) {
    let growth = topic.growth();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => Driver { topic, growth, runtime }.run(),
        Err(error) => {
            growth.has_trouble(Some(format!("nothing can be asked about shards: {error}")));
            tracing::error!(stream = %topic.stream(), %error, "nothing can be asked about shards: restart the node");
        }
    }
    growth.judge_held(true);
}

struct Driver<'a> {
    topic: &'a Arc<TopicLog>,
    growth: &'a Growth,
    runtime: Runtime,
}

impl Driver<'_> {
    fn run(&self) {
        while !self.growth.bell.is_over() {
            let step = self.step();
            let pause = match step {
                Ok(pause) => {
                    if self.growth.has_trouble(None) {
                        tracing::info!(stream = %self.topic.stream(), "shards and partitions are in step again");
                    }
                    pause
                }
                Err(error) => {
                    let error = self.topic.says(&error.to_string());
                    if self.growth.has_trouble(Some(error.clone())) {
                        tracing::error!(stream = %self.topic.stream(), error, "trying again");
                    }
                    RETRY_AFTER
                }
            };
            self.growth.judge_held(false);
            self.topic.bell.tell();
            if !pause.is_zero() {
                self.growth.bell.wait(pause);
            }
        }
    }

    /// One question and what comes of it. Returns how long to wait for the next one.
    fn step(&self) -> Result<Duration, DriverError> {
        let (growth, question) = (self.growth, self.growth.switch().question());
        let asked = clock::monotonic();
        let answer = self.runtime.block_on(growth.objects.ask(question))?;
        let task = growth.switch().told(asked, answer, clock::monotonic());
        // Before the next answer lets anything be sent to new shards, or be shown of them.
        self.topic.follow_generations();
        match task? {
            Task::AskOn => {}
            Task::Wait => return Ok(growth.switch().pause()),
            Task::CreateFirst(first) => self.create_first(&first)?,
            Task::Begin(beginning) => self.begin(&beginning)?,
            Task::End => self.end()?,
        }
        Ok(Duration::ZERO)
    }

    fn create_first(&self, first: &Generation) -> Result<(), DriverError> {
        self.topic.wants(std::slice::from_ref(first)).map_err(DriverError::Unwanted)?;
        Ok(self.runtime.block_on(self.growth.objects.add(first))?)
    }

    fn begin(&self, beginning: &Beginning) -> Result<(), DriverError> {
        tracing::info!(
            stream = %self.topic.stream(), topic = self.topic.name(), partitions = beginning.partitions,
            generation = beginning.number, "the topic has more partitions: other shards take the place of those that there are"
        );
        Ok(self.runtime.block_on(self.growth.objects.begin(beginning))?)
    }

    /// Asks where the partitions end, and writes it down if nobody has done so before.
    fn end(&self) -> Result<(), DriverError> {
        let Some((_, partitions)) = self.growth.newest() else { return Ok(()) };
        let connection = self.topic.connection();
        let reader = client::surveyor(connection).map_err(DriverError::Ends)?;
        let partitions = (0..partitions).map(|partition| i32::try_from(partition).unwrap_or(i32::MAX));
        let asked = (partitions, End::High);
        let ends = client::ends((&reader, connection), self.topic.name(), asked, QUESTION_TIMEOUT);
        let mut ends = ends.map_err(DriverError::Ends)?;
        ends.sort_unstable();
        let ends = ends.into_iter().map(|(_, end)| end).collect();
        let now = u64::try_from(clock::wall().0 / 1_000_000).unwrap_or_default();
        let next = self.growth.switch().end(ends, now)?;
        if let Some(next) = next {
            self.runtime.block_on(self.growth.objects.add(&next))?;
        }
        Ok(())
    }
}
