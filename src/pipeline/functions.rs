//! The stages between two streams that run: started, and stopped with their streams.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::StartError;
use super::control::Transformation;
use super::running::StillAtWork;
use super::site::Site;
use crate::config::limits::DELIVERY_STOP_WAIT;
use crate::delivery::Stop;
use crate::edge::Intake;
use crate::edge::gate::throttle::fair::Competitor;
use crate::function::Spec;
use crate::function::stage::{Parts, Seen, Stage};
use crate::node::DocumentFolder;
use crate::runtime::disk::RealDisk;

/// A stage.
pub(super) struct RunningFunction {
    source: Arc<str>,
    seen: Seen,
    stop: Stop,
    /// Whether it has ended. One that has panicked has.
    ended: watch::Receiver<bool>,
}

/// A stage that was built and does not run yet.
pub(super) struct BuiltFunction {
    source: Arc<str>,
    stage: Stage,
}

impl RunningFunction {
    /// Whether records have still to go through it. Those of one that has ended with the process, or has panicked, go
    /// through it after the next start; of one that was told to stop, nobody wants them any more.
    fn is_pending(&self) -> bool {
        !self.stop.is_told() && self.seen.lag() > 0
    }
}

impl Site {
    /// What runs between two streams. Nobody else may append to the second one. Blocks the thread.
    ///
    /// # Errors
    /// If one cannot go on where it was.
    pub(super) fn build_functions(
        &self,
        transformations: &[Transformation],
        intakes: &mut [Intake],
    ) -> Result<Vec<BuiltFunction>, StartError> {
        let mut built = Vec::with_capacity(transformations.len());
        for Transformation { source, target, spec } in transformations {
            let named = |name: &Arc<str>| intakes.iter().position(|intake| intake.stream.name() == name);
            let (Some(source), Some(target)) = (named(source), named(target)) else { continue };
            (intakes[source].is_internal, intakes[target].is_internal) = (true, true);
            built.push(self.build_function(spec, &intakes[source], &intakes[target])?);
        }
        Ok(built)
    }

    /// Builds the stage that has records of `source` go through a function into `target`, which nobody else appends to.
    /// Blocks the thread.
    ///
    /// # Errors
    /// If it cannot go on where it was.
    pub(super) fn build_function(
        &self,
        spec: &Spec,
        source: &Intake,
        target: &Intake,
    ) -> Result<BuiltFunction, StartError> {
        let name = Arc::clone(source.stream.name());
        let (edge, budget) = (Arc::clone(&self.edge), Arc::clone(&target.budget));
        let parts = Parts {
            source: Arc::clone(&source.stream),
            reader: source.stream.add_reader(),
            target: Arc::clone(&target.stream),
            admit: Arc::new(move |bytes| edge.admit(&budget, bytes, &Competitor::Nobody).ok()),
            admit_from: Arc::clone(&target.budget),
            budget: self.memory.share.account(usize::MAX),
            files: self.function_files(),
            metrics: self.registry.function(target.stream.name(), &spec.function.name),
            spec: spec.clone(),
        };
        let reader = parts.reader;
        match Stage::open(parts) {
            Ok(stage) => Ok(BuiltFunction { source: name, stage }),
            Err(error) => {
                source.stream.remove_reader(reader);
                Err(StartError::Function { stream: target.stream.name().to_string(), source: error })
            }
        }
    }

    fn function_files(&self) -> DocumentFolder {
        DocumentFolder::of_functions(Arc::new(RealDisk), &self.node.data_dir)
    }

    /// Starts stages.
    pub(super) fn start_functions(&self, built: Vec<BuiltFunction>, runtime: &Handle) {
        let _guard = runtime.enter();
        for BuiltFunction { source, stage } in built {
            let (stop, phases) = (Stop::new(), self.phases.clone());
            let (told, (end, ended)) = (stop.clone(), watch::channel(false));
            let seen = stage.seen();
            self.workers.spawn(async move {
                stage.run(phases, told).await;
                end.send_replace(true);
            });
            self.functions().push(RunningFunction { source, seen, stop, ended });
        }
    }

    /// Brings the gauges of all stages up to date.
    pub(super) fn refresh_function_gauges(&self) {
        self.functions().iter().for_each(|stage| stage.seen.refresh_gauge());
    }

    /// Whether records of a source have still to go through its function.
    pub(super) fn is_function_pending(&self, source: &str) -> bool {
        self.functions().iter().any(|stage| *stage.source == *source && stage.is_pending())
    }

    /// Stops the stage of a source for good, if there is one.
    ///
    /// # Errors
    /// If it does not stop for a long time. It stops when it can.
    pub(super) async fn stop_function(&self, source: &str) -> Result<(), StillAtWork> {
        let ended: Vec<_> = self
            .functions()
            .iter()
            .filter(|stage| *stage.source == *source)
            .map(|stage| {
                stage.stop.tell();
                stage.ended.clone()
            })
            .collect();
        for mut ended in ended {
            let waiting = ended.wait_for(|has_ended| *has_ended);
            // One that has panicked has ended as well.
            if tokio::time::timeout(DELIVERY_STOP_WAIT, waiting).await.is_err() {
                return Err(StillAtWork::of(source));
            }
        }
        self.functions().retain(|stage| *stage.source != *source);
        Ok(())
    }

    /// Takes away what a stage has kept that has ended, and whose source is gone.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn forget_function(&self, source: &str) -> Result<(), crate::node::NodeError> {
        self.function_files().remove(source)
    }
}
