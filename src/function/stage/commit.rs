//! Results → the target, each once: written down, appended, gone on behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Made, Stage, target_end};
use crate::config::limits::FUNCTION_RECORDS_MAX;
use crate::crash_point;
use crate::delivery::Stop;
use crate::function::progress::{Passed, Progress, UnderWay, next};
use crate::node::NodeError;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::backoff::Backoff;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::AppendError;

/// Who may want the stage to end.
type Enders<'a> = (&'a Phases, &'a Stop);

/// Why results are not in the target.
enum Refused {
    /// The log does not work at the moment.
    ForNow(String),
    /// They are more than the log takes at a time.
    TooLarge,
    /// The target is gone.
    Gone,
}

fn is_ended((phases, stop): Enders<'_>) -> bool {
    phases.current() >= Phase::Draining || stop.is_told()
}

impl Stage {
    /// Goes on behind records that leave nothing in the target.
    async fn commit_nothing(&mut self, made: &Made, enders: Enders<'_>) {
        let mut positions = self.seen.positions().clone();
        positions.insert(made.shard, made.to);
        if self.note(&positions, self.passed + made.passed, None, enders).await {
            self.go_on_behind(made);
        }
    }

    /// Appends results. Returns early where the stage is to end: the next one finds what there is then.
    pub(super) async fn commit(&mut self, made: Made, enders: Enders<'_>) {
        if made.groups.is_empty() {
            return self.commit_nothing(&made, enders).await;
        }
        // What a failed try has appended was taken back, so the end is the same for all tries.
        let behind = target_end(&self.parts.target);
        let under_way = UnderWay { shard: made.shard, to: made.to, behind, passed: made.passed };
        let positions = self.seen.positions().clone();
        if !self.note(&positions, self.passed, Some(under_way), enders).await {
            return;
        }
        crash_point!("function.noted");
        let mut backoff = Backoff::default();
        loop {
            match self.append(&made).await {
                Ok(()) => break,
                Err(Refused::Gone) => return,
                Err(Refused::TooLarge) if made.sent > 1 => {
                    // Nothing was appended, and the note is written anew with the next results.
                    self.records_max = (made.sent / 2).max(1);
                    return;
                }
                Err(Refused::TooLarge) => {
                    let why = "what the function has made of one record is more than a segment of the log: raise [log] segment";
                    self.wait_for("results cannot be appended", why, &mut backoff).await;
                }
                Err(Refused::ForNow(why)) => {
                    self.wait_for("results cannot be appended", &why, &mut backoff).await;
                }
            }
            if is_ended(enders) {
                return;
            }
        }
        crash_point!("function.appended");
        self.records_max = FUNCTION_RECORDS_MAX;
        self.go_on_behind(&made);
    }

    /// All of them, or none.
    async fn append(&self, made: &Made) -> Result<(), Refused> {
        let refused = |error| match error {
            AppendError::TooLarge { .. } => Refused::TooLarge,
            AppendError::Deleted { .. } => Refused::Gone,
            other => Refused::ForNow(other.to_string()),
        };
        let receipt = {
            let layout = self.parts.target.layout();
            let shard = layout.open().next().map(|shard| shard.facts.id).ok_or(Refused::Gone)?;
            let batches: Vec<_> = made.groups.iter().map(|group| (shard, group.batch())).collect();
            self.parts.target.append(batches, None).map_err(refused)?
        };
        receipt.committed().await.map(drop).map_err(|error| Refused::ForNow(error.to_string()))
    }

    fn go_on_behind(&mut self, &Made { shard, to, passed, .. }: &Made) {
        let metrics = &self.parts.metrics;
        metrics.ok.increment(passed.ok);
        metrics.dropped.increment(passed.dropped);
        metrics.failed.increment(passed.failed);
        metrics.lost.increment(passed.lost);
        self.passed = self.passed + passed;
        let layout = self.parts.source.layout();
        let mut positions = self.seen.positions();
        positions.insert(shard, to);
        positions.retain(|&id, _| layout.get(id).is_some());
        drop(positions);
        if let Some(log) = self.parts.source.shard(shard) {
            log.release(self.parts.reader, to);
        }
    }

    /// Writes down how far it is, however often that has to be tried. Returns whether it is written: not where the
    /// stage is to end.
    async fn note(
        &self,
        positions: &BTreeMap<ShardId, SequenceNumber>,
        passed: Passed,
        under_way: Option<UnderWay>,
        enders: Enders<'_>,
    ) -> bool {
        let (source, target) = self.numbers;
        let progress = Progress { source, target, next: next(positions), passed, under_way };
        let mut backoff = Backoff::default();
        loop {
            let (files, progress) = (self.parts.files.clone(), progress.clone());
            let source = Arc::clone(self.parts.source.name());
            let keeping = tokio::task::spawn_blocking(move || files.keep(&source, &progress));
            let why = match keeping.await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => NodeError::to_string(&error),
                // Only a panic or the end of the runtime ends it without a result.
                Err(_) => return false,
            };
            self.wait_for("how far it is cannot be written down", &why, &mut backoff).await;
            if is_ended(enders) {
                return false;
            }
        }
    }

    async fn wait_for(&self, what: &str, why: &str, backoff: &mut Backoff) {
        if backoff.is_news() {
            tracing::error!(
                stream = %self.parts.target.name(), function = self.caller.name(), why,
                "{what}: records do not go through the function, nothing is dropped; it is tried again"
            );
        }
        backoff.wait().await;
    }
}
