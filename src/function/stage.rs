//! The loop of one stage: read, call, write down, append, wait.

mod commit;
mod memory;
mod reading;
mod seen;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use self::reading::Due;
pub use self::seen::Seen;
use super::Spec;
use super::call::{CallError, Caller};
use super::contract::{self, Outcome, Outcomes, shown};
use super::progress::{Passed, Progress};
use super::traced::TracedCall;
use super::waiting::Waiting;
use super::work::{Group, Work};
use crate::config::limits::{DELIVERY_LINGER_MS, FUNCTION_RECORDS_MAX};
use crate::delivery::Stop;
use crate::node::{DocumentFolder, NodeError};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::backoff::Backoff;
use crate::runtime::budget::{Budget, Permit};
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{ReaderId, Stream};
use crate::telemetry::metrics::FunctionMetrics;
use crate::telemetry::trace::TraceContext;

/// How long it sleeps at most where nothing is to be expected.
const IDLE_PAUSE: Duration = Duration::from_secs(3600);

/// Takes memory of the ingest share for what is appended, if there is any.
pub type Admit = Arc<dyn Fn(u64) -> Option<Permit> + Send + Sync>;

/// What a stage is built from.
pub struct Parts {
    /// What it does with records.
    pub spec: Spec,
    /// Where they come from.
    pub source: Arc<Stream>,
    /// Its number among the readers of that.
    pub reader: ReaderId,
    /// Where results go. Nobody else appends to it.
    pub target: Arc<Stream>,
    /// Pays for results.
    pub admit: Admit,
    /// What it takes of: an account of the ingest share.
    pub admit_from: Arc<Budget>,
    /// Pays for everything else: an account of the delivery share.
    pub budget: Arc<Budget>,
    /// Where it keeps how far it is, by the name of the source.
    pub files: DocumentFolder,
    /// Its metrics.
    pub metrics: FunctionMetrics,
}

/// Why a stage cannot begin.
#[derive(Debug, Error)]
pub enum StageError {
    /// What is kept cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// There is no HTTP client.
    #[error("an HTTP client cannot be made ({0})")]
    Client(#[from] reqwest::Error),
    /// A stream does not outlive the process.
    #[error("records go through a function only between durable streams")]
    InMemory,
}

/// See the module.
pub struct Stage {
    parts: Parts,
    caller: Caller,
    /// The numbers of source and target.
    numbers: (u32, u32),
    seen: Seen,
    /// What became of all records so far.
    passed: Passed,
    /// Records that are too few for a call yet, in each shard that has such.
    waiting: BTreeMap<ShardId, Waiting>,
    /// The shard to begin with.
    turn: usize,
    /// How many records are sent at most: less than usual after results that were too many for the log.
    records_max: usize,
    is_failing: bool,
}

/// What is to be done.
enum Step {
    /// Nothing for a while.
    Wait(Duration),
    /// Records have gone through, or are gone.
    Made(Made),
}

/// What became of the next records of a shard.
struct Made {
    shard: ShardId,
    to: SequenceNumber,
    /// How many of them were sent.
    sent: usize,
    passed: Passed,
    /// What is to be appended; nothing where all of them were dropped.
    groups: Vec<Group>,
}

impl Stage {
    /// A stage that goes on where what is kept says, or begins with the oldest record. Blocks the thread.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn open(parts: Parts) -> Result<Self, StageError> {
        let caller = Caller::new(parts.spec.function.clone())?;
        let (Some(source), Some(target)) = (parts.source.number(), parts.target.number()) else {
            return Err(StageError::InMemory);
        };
        parts.source.want_traces();
        let end = target_end(&parts.target);
        let kept: Option<Progress> = parts.files.read(parts.source.name())?;
        // One of earlier streams of these names says nothing of these.
        let kept = kept.filter(|kept| (kept.source, kept.target) == (source, target));
        let (positions, passed) = kept.map(|kept| kept.at(end)).unwrap_or_default();
        for (&shard, &position) in &positions {
            if let Some(log) = parts.source.shard(shard) {
                log.release(parts.reader, position);
            }
        }
        let seen = Seen::new(&parts.source, parts.metrics.clone(), positions);
        Ok(Self {
            parts,
            caller,
            numbers: (source, target),
            seen,
            passed,
            waiting: BTreeMap::new(),
            turn: 0,
            records_max: FUNCTION_RECORDS_MAX,
            is_failing: false,
        })
    }

    /// How far it is, while it runs and afterwards.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Works until the drain, or until it is told to stop. A call under way is given up then: the source keeps its
    /// records. Results that are being appended are waited for.
    pub async fn run(mut self, phases: Phases, stop: Stop) {
        self.work(&phases, &stop).await;
        let (stream, function, lag) = (self.parts.source.name(), self.caller.name(), self.seen.lag());
        if lag > 0 && !self.parts.source.is_deleted() {
            tracing::info!(%stream, function, records = lag, "records go through the function at the next start");
        }
    }

    async fn work(&mut self, phases: &Phases, stop: &Stop) {
        let signal = self.parts.source.delivery_signal();
        loop {
            // Before the look at the stream, so that nothing that comes after it is missed.
            let waiter = signal.wait();
            if phases.current() >= Phase::Draining || stop.is_told() || self.is_gone() {
                return;
            }
            let step = tokio::select! {
                biased;
                () = phases.reached(Phase::Draining) => return,
                () = stop.turned(false) => return,
                step = self.prepare() => step,
            };
            let pause = match step {
                Step::Wait(pause) => pause,
                Step::Made(made) => {
                    self.commit(made, (phases, stop)).await;
                    continue;
                }
            };
            tokio::select! {
                () = phases.reached(Phase::Draining) => {}
                () = stop.turned(false) => {}
                () = waiter.woken() => tokio::time::sleep(Duration::from_millis(DELIVERY_LINGER_MS)).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.parts.source.is_deleted() || self.parts.target.is_deleted()
    }

    /// Looks for records that are due, and has them go through the function.
    async fn prepare(&mut self) -> Step {
        self.wait_for_memory().await;
        let layout = self.parts.source.layout();
        let count = layout.shards().len();
        let mut pause = IDLE_PAUSE;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(from) = layout.shards().get(index).and_then(|shard| self.position(&layout, shard))
            else {
                continue;
            };
            let work = match self.due(from).await {
                Ok(Due::Now(work)) => work,
                Ok(Due::In(left)) => {
                    pause = pause.min(left);
                    continue;
                }
                Err(pause) => return Step::Wait(pause),
            };
            // Whatever has a number and is not there.
            let numbers = work.to.0.saturating_sub(from.1.0);
            let lost = Passed { lost: numbers.saturating_sub(work.count as u64), ..Passed::default() };
            if work.oldest().is_none() {
                let (shard, to, groups) = (work.shard, work.to, Vec::new());
                return Step::Made(Made { shard, to, sent: 0, passed: lost, groups });
            }
            self.turn = (index + 1) % count;
            let made = self.transform(work).await;
            return Step::Made(Made { passed: made.passed + lost, ..made });
        }
        Step::Wait(pause)
    }

    /// Has records go through the function. Where that cannot be, they have failed.
    async fn transform(&mut self, work: Work) -> Made {
        let bytes = contract::request_bytes(work.count, usize::try_from(work.bytes).unwrap_or(usize::MAX));
        // For the request, and the base64 in it that becomes the results.
        let _paid = self.parts.budget.take_anyway(bytes as u64);
        let request = Bytes::from(contract::request(&self.parts.spec.origin, work.sent(), bytes));
        let numbers: Vec<_> = work.sent().map(|sent| sent.number).collect();
        let traces = self.parts.source.take_traces(work.shard, work.to);
        let mut backoff = Backoff::default();
        let mut tries = 0;
        let (outcomes, why, _results_paid) = loop {
            let called = self.call(request.clone(), &numbers, &traces).await;
            self.tell(called.as_ref().err());
            match called {
                Ok((outcomes, permit)) => {
                    break (
                        outcomes,
                        self.said("does not want this record (ProcessingFailed)"),
                        Some(permit),
                    );
                }
                Err(_) if tries < self.parts.spec.retries => {
                    tries += 1;
                    backoff.wait().await;
                }
                Err(error) => {
                    let why = self.said(&format!("cannot be called ({} tries): {error}", tries + 1));
                    let failed = vec![Outcome::Failed; work.count];
                    break (Outcomes { data: Vec::new(), outcomes: failed }, why, None);
                }
            }
        };
        self.made(&work, &outcomes, &why).await
    }

    fn said(&self, what: &str) -> String {
        shown(&format!("function '{}' {what}", self.caller.name()))
    }

    async fn call(
        &self,
        request: Bytes,
        numbers: &[SequenceNumber],
        traces: &[TraceContext],
    ) -> Result<(Outcomes, Permit), CallError> {
        let Parts { source, budget, metrics, .. } = &self.parts;
        let traced = TracedCall::begin(metrics.tracer.as_deref(), traces);
        let called = self.caller.call(request, traced.context.as_ref(), budget).await;
        traced.end((source.name(), self.caller.name()), numbers.len(), called.is_err());
        let mut answer = called?;
        let outcomes = contract::outcomes(&answer.body, numbers)?;
        drop(answer.body);
        answer.permit.set(outcomes.data.capacity() as u64);
        Ok((outcomes, answer.permit))
    }

    /// Counts a call, and logs a change of how calls go.
    fn tell(&mut self, error: Option<&CallError>) {
        let (stream, function) = (self.parts.source.name(), self.caller.name());
        let is_news = self.is_failing != error.is_some();
        match error {
            None => {
                self.parts.metrics.calls.increment(1);
                if is_news {
                    tracing::info!(%stream, function, "the function answers again");
                }
            }
            Some(error) => {
                self.parts.metrics.errors.increment(1);
                if is_news {
                    let retries = self.parts.spec.retries;
                    tracing::error!(
                        %stream, function, %error, retries,
                        "a call of a function has failed: after so many retries records go to the dead letters"
                    );
                }
            }
        }
        self.parts.metrics.failing.set(if error.is_some() { 1.0 } else { 0.0 });
        self.is_failing = error.is_some();
    }

    async fn made(&self, work: &Work, outcomes: &Outcomes, why: &str) -> Made {
        let mut passed = Passed::default();
        for outcome in &outcomes.outcomes {
            match outcome {
                Outcome::Kept(_) => passed.ok += 1,
                Outcome::Dropped => passed.dropped += 1,
                Outcome::Failed => passed.failed += 1,
            }
        }
        let groups = self.admitted(work, outcomes, why).await;
        Made { shard: work.shard, to: work.to, sent: work.count, passed, groups }
    }
}

/// Where the one shard of a target ends.
fn target_end(target: &Stream) -> SequenceNumber {
    let layout = target.layout();
    layout.open().next().map_or(SequenceNumber(0), |shard| shard.log_ref().end())
}

#[cfg(test)]
mod tests;
