//! The files, read again while the node runs.
//!
//! ```text
//! files ─▶ check ─▶ what lies between ─▶ can it be done? ─▶ streams, one by one ─▶ logs, who may come in, collector,
//!          └────── anything wrong: nothing changes ─────┘   └ one fails: those     certificates
//!                                                             before it go back ┘
//! ```
//!
//! Streams and cursors keep their places: a delivery that changes goes on from its ledger, as after a restart with a
//! changed file.

pub mod plan;

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::oneshot;

use self::plan::{Change, Plan, Step};
use super::Pipelines;
use super::control::{Control, ControlError, DeliveryChange};
use crate::config::Problems;
use crate::config::checked::{Config, Pipeline};
use crate::edge::gate::rules::TooLarge;
use crate::edge::gate::screen::Screen;
use crate::edge::visit::Visit;
use crate::runtime::clock::UnixMicros;
use crate::runtime::phases::Phase;
use crate::telemetry::audit::{Acted, Origin, Who};
use crate::telemetry::observer::ObserverError;
use crate::telemetry::request_id::RequestId;

/// Why the files do not hold, although they have been read again. What held before holds.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// Something is wrong with them.
    #[error("{0}")]
    Files(Problems),
    /// They say something that takes a restart.
    #[error("a restart is needed: {}", .0.join("; "))]
    Restart(Vec<String>),
    /// A stream cannot be changed so.
    #[error("stream '{stream}': {source}")]
    Stream {
        /// Its name.
        stream: String,
        /// Why not.
        source: Box<ControlError>,
    },
    /// The rules about requests are too many to be one machine.
    #[error(transparent)]
    Rules(#[from] TooLarge),
    /// A log cannot be written where it is to be.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// The node does not serve, or not yet.
    #[error("the node does not serve at the moment")]
    NotServing,
}

impl ReloadError {
    /// For the audit log.
    fn code(&self) -> &'static str {
        match self {
            ReloadError::Files(_) => "files",
            ReloadError::Restart(_) => "restart_needed",
            ReloadError::Stream { .. } => "stream",
            ReloadError::Rules(_) => "rules",
            ReloadError::Observer(_) => "log",
            ReloadError::NotServing => "not_serving",
        }
    }
}

/// What has changed, a line each, or why nothing has.
pub type Outcome = Result<Vec<String>, ReloadError>;

/// Who asks for it, and is told.
pub type Asked = oneshot::Sender<Outcome>;

impl Pipelines {
    /// Has `new` hold in the place of the configuration that does, as a whole or not at all. Returns what has changed, a
    /// line each. Certificates are read again in any case.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn reload(self: &Arc<Self>, new: Config) -> Outcome {
        if self.phases.current() != Phase::Serving {
            return Err(ReloadError::NotServing);
        }
        let control = self.site.edge.control().map_err(|_| ReloadError::NotServing)?;
        // One at a time: what is compared with must be what holds.
        let mut holding = self.config.lock().await;
        let plan = Plan::between(&holding, &new).map_err(ReloadError::Restart)?;
        let edge = &self.site.edge;
        // All that can fail comes first.
        let screen = Screen::new(&new, &self.registry)?;
        let prepared = edge.observer.prepare(&new.node, &self.registry)?;
        let (old, steps) = (holding.clone(), plan.steps.clone());
        // Streams come before the gate that knows who may come to them.
        let gate = edge.gate();
        gate.screen().expect(plan.coming());
        let changed = control.alone(move |control| control.reload(&old, &steps)).await;
        if let Err(error) = changed.map_err(|_| ReloadError::NotServing).flatten() {
            gate.screen().expect([]);
            prepared.give_up();
            return Err(error);
        }
        edge.observer.change(&new.node, prepared);
        if plan.parts.iter().any(|part| part.is_of_gate()) {
            // Keys of issuers whose settings are the same stay.
            let jwt =
                edge.gate().jwt().reloaded(&new.node.auth.jwt_issuers, (&self.registry, &edge.throttle));
            control.keep_keys(&jwt);
            let node = &new.node;
            let settings = (&node.auth, &node.limits, &node.aws.access);
            edge.replace_gate(settings, jwt, Arc::new(screen));
        }
        self.export(&new.node).await;
        self.reload_certificates();
        *holding = new;
        Ok(plan.lines())
    }
}

impl Pipelines {
    /// Has it on record that the files were to be read again: by a request over the admin port, or by a signal.
    pub fn note_reload(&self, visit: Option<&Visit>, outcome: &Outcome) {
        let refused = outcome.as_ref().err().map(ReloadError::code);
        let acted = Acted { action: "reload", stream: None, target: None, refused };
        if let Some(visit) = visit {
            return visit.act(&self.site.edge, &acted);
        }
        let (id, who) = (RequestId::new(), Who { name: "SIGHUP".into(), identity: "none" });
        let origin = Origin { request_id: id.as_str(), trace: None, client: None, who: Some(&who) };
        self.site.edge.observer.audit.acted(&acted, &origin);
    }
}

impl Control {
    /// Takes all steps, or none of them. To be called alone. Blocks the thread.
    fn reload(&self, old: &Config, steps: &[Step]) -> Result<(), ReloadError> {
        let failed = |step: &Step, source| ReloadError::Stream {
            stream: step.stream().to_owned(),
            source: Box::new(source),
        };
        steps.iter().try_for_each(|step| self.check_step(step).map_err(|error| failed(step, error)))?;
        for (done, step) in steps.iter().enumerate() {
            if let Err(error) = self.take(step) {
                // A change may have been made in part.
                let upto = done + usize::from(matches!(step, Step::Change(_)));
                self.take_back(old, steps.get(..upto).unwrap_or_default());
                return Err(failed(step, error));
            }
        }
        // Last, since what is there stays right with any number of shards.
        for step in steps {
            if let Step::Change(change) = step
                && let Some(shards) = change.shards
                && let Err(error) = self.resize_as_declared(step.stream(), shards)
            {
                let stream = step.stream();
                tracing::warn!(stream, shards, %error, "the stream keeps the shards that it has for now");
            }
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<(), ControlError> {
        match step {
            Step::Add(pipeline) => self.check_declared(pipeline),
            Step::Remove(pipeline) => self.check_leave(pipeline),
            Step::Change(change) if change.rebuilds() => self.check_change(&rebuilt(change)),
            Step::Change(_) => Ok(()),
        }
    }

    fn take(&self, step: &Step) -> Result<(), ControlError> {
        match step {
            Step::Add(pipeline) => self.begin_declared((**pipeline).clone()),
            Step::Remove(pipeline) => self.leave(pipeline),
            Step::Change(change) => self.take_change(change),
        }
    }

    /// Changes a stream that there is, but for its shards.
    pub(super) fn take_change(&self, change: &Change) -> Result<(), ControlError> {
        let stream = &change.pipeline.stream.name;
        if change.rebuilds() {
            self.change_deliveries(&rebuilt(change))?;
        }
        if !change.removed.is_empty() {
            self.leave_deliveries(stream, &change.removed)?;
        }
        if !change.fan_outs.is_empty() {
            self.change_fan_outs(&change.pipeline)?;
        }
        change.retention.map_or(Ok(()), |age| self.keep_declared_for(stream, age))
    }

    /// Undoes steps, the last one first.
    fn take_back(&self, old: &Config, done: &[Step]) {
        for step in done.iter().rev() {
            let before = old.pipelines.iter().find(|pipeline| pipeline.stream.name == step.stream());
            if let Err(error) = self.take_one_back(step, before) {
                let stream = step.stream();
                tracing::error!(stream, %error, "a change cannot be taken back: restart with the files as they were");
            }
        }
    }

    fn take_one_back(&self, step: &Step, before: Option<&Pipeline>) -> Result<(), ControlError> {
        match (step, before) {
            // Its records stay: somebody may have been told that they are there.
            (Step::Add(pipeline), _) if pipeline.stream.durability.is_durable() => self.leave(pipeline),
            (Step::Add(pipeline), _) => self.end(&pipeline.stream.name),
            (Step::Remove(pipeline), _) => self.begin_declared((**pipeline).clone()),
            (Step::Change(change), Some(before)) => match Change::between(&change.pipeline, before) {
                Some(back) => self.take(&Step::Change(Box::new(back))),
                None => Ok(()),
            },
            (Step::Change(_), None) => Ok(()),
        }
    }
}

/// The deliveries of a change that start, with how the stream takes records.
fn rebuilt(change: &Change) -> DeliveryChange {
    let starts = |name: &String| {
        change.added.contains(name) || change.changed.iter().any(|(changed, _)| changed == name)
    };
    let mut pipeline = change.pipeline.clone();
    pipeline.deliveries.retain(|delivery| starts(&delivery.name));
    // New ones begin with the oldest record that is there, as after a restart.
    DeliveryChange { pipeline, is_own: true, since: UnixMicros(0) }
}
