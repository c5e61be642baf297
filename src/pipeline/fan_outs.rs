//! The deliveries into Kafka that run: started, and stopped or changed with their streams.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::logs::Logs;
use super::running::StillAtWork;
use super::site::Site;
use crate::config::checked::FanOut;
use crate::config::limits::DELIVERY_STOP_WAIT;
use crate::delivery::fan_out::{Parts, Slots, WhenFenced, Worker, identity, origin_of_topic};
use crate::delivery::{Begin, Fields, Status, Stop};
use crate::runtime::budget::Budget;
use crate::stream::{Captures, ReaderId, Stream};

/// A fan-out.
pub(super) struct RunningFanOut {
    /// What it was built from.
    pub parts: Arc<Parts>,
    stop: Stop,
    /// Whether it has ended. One that has panicked has.
    ended: watch::Receiver<bool>,
}

/// A fan-out that was built and does not run yet.
pub(super) type BuiltFanOut = (Arc<Parts>, Worker);

/// A fan-out of a stream, to be built.
pub(super) struct NewFanOut {
    /// What it is.
    pub config: Arc<FanOut>,
    /// Its number among the stream's readers.
    pub reader: ReaderId,
    /// Where its fields are.
    pub slots: Slots,
    /// The same.
    pub fields: Fields,
    /// Its account of the delivery share.
    pub budget: Arc<Budget>,
    /// Where it begins.
    pub begin: Begin,
}

impl Site {
    /// Builds a fan-out. Nobody is asked anything yet.
    pub(super) fn fan_out(&self, logs: Option<&Logs>, stream: &Arc<Stream>, new: NewFanOut) -> BuiltFanOut {
        let origin = match (logs, stream.number(), stream.topic()) {
            (Some(logs), Some(number), _) => format!("{}.{number}", logs.folder.id()),
            // Its numbers are the same for everybody: a second node that does the same ends the first.
            (_, _, Some(topic)) => origin_of_topic(topic.name()),
            // Its numbers mean nothing to any other process.
            _ => format!("run-{:x}", self.run),
        };
        let identity = identity(&origin, stream.name(), &new.config.name);
        let parts = Arc::new(self.fan_out_parts(identity, stream, &new));
        let worker = Worker::new(&parts);
        (parts, worker)
    }

    /// What a fan-out is built from.
    pub(super) fn fan_out_parts(&self, identity: Arc<str>, stream: &Arc<Stream>, new: &NewFanOut) -> Parts {
        let NewFanOut { config, reader, slots, fields, budget, begin } = new;
        Parts {
            stream: Arc::clone(stream),
            reader: *reader,
            slots: slots.clone(),
            fields: fields.clone(),
            status: Arc::new(Status::new(Arc::clone(stream), &config.name, &self.registry)),
            metrics: self.registry.kafka(stream.name(), &config.name),
            budget: Arc::clone(budget),
            identity,
            inherits: None,
            begin: begin.clone(),
            when_fenced: WhenFenced::Halt,
            config: Arc::clone(config),
        }
    }

    /// Starts what was built.
    pub(super) fn start_fan_outs(&self, built: Vec<BuiltFanOut>, runtime: &Handle) {
        let _guard = runtime.enter();
        for (parts, worker) in built {
            let (stop, phases) = (Stop::new(), self.phases.clone());
            let (told, (end, ended)) = (stop.clone(), watch::channel(false));
            self.workers.spawn(async move {
                worker.run(phases, told).await;
                end.send_replace(true);
            });
            self.fan_outs().push(RunningFanOut { parts, stop, ended });
        }
    }

    /// Stops those of a stream that `which` says so of, and knows them no more. What they have not committed stays in
    /// the log, and whoever follows under the same name goes on there. Returns what they were built from.
    ///
    /// # Errors
    /// If they do not stop for a long time. They stop when they can.
    pub(super) async fn stop_fan_outs(
        &self,
        stream: &str,
        which: impl Fn(&FanOut) -> bool,
    ) -> Result<Vec<Arc<Parts>>, StillAtWork> {
        let is_meant = |parts: &Parts| **parts.stream.name() == *stream && which(&parts.config);
        let ended: Vec<_> = self
            .fan_outs()
            .iter()
            .filter(|running| is_meant(&running.parts))
            .map(|running| {
                running.stop.tell();
                running.ended.clone()
            })
            .collect();
        for mut ended in ended {
            let waiting = ended.wait_for(|has_ended| *has_ended);
            // One that has panicked has ended as well.
            if tokio::time::timeout(DELIVERY_STOP_WAIT, waiting).await.is_err() {
                return Err(StillAtWork::of(stream));
            }
        }
        let mut fan_outs = self.fan_outs();
        let (stopped, rest) = fan_outs.drain(..).partition(|running| is_meant(&running.parts));
        *fan_outs = rest;
        let stopped: Vec<RunningFanOut> = stopped;
        Ok(stopped.into_iter().map(|running| running.parts).collect())
    }

    /// Stops all fan-outs of a stream, which keeps nothing for them any more.
    ///
    /// # Errors
    /// As [`Site::stop_fan_outs`].
    pub(super) async fn leave_fan_outs(&self, stream: &str) -> Result<(), StillAtWork> {
        for parts in self.stop_fan_outs(stream, |_| true).await? {
            parts.stream.remove_reader(parts.reader);
        }
        Ok(())
    }

    /// Has `wanted` be the fan-outs of a stream: those that are the same go on, others come, change and go. One that
    /// changes goes on from what it has committed.
    ///
    /// # Errors
    /// As [`Site::stop_fan_outs`].
    pub(super) async fn change_fan_outs(
        &self,
        stream: &Arc<Stream>,
        wanted: &[FanOut],
        runtime: &Handle,
    ) -> Result<(), StillAtWork> {
        let stopped = self.stop_fan_outs(stream.name(), |config| !wanted.contains(config)).await?;
        let is_running = |config: &FanOut| {
            let is_it = |running: &RunningFanOut| {
                running.parts.stream.name() == stream.name() && *running.parts.config == *config
            };
            self.fan_outs().iter().any(is_it)
        };
        let coming: Vec<_> = wanted.iter().filter(|config| !is_running(config)).collect();
        let mut built = Vec::new();
        for config in coming {
            let before = stopped.iter().find(|parts| parts.config.name == config.name);
            let (reader, budget) = match before {
                Some(before) => (before.reader, Arc::clone(&before.budget)),
                None => (stream.add_reader(), self.memory.share.account(usize::MAX)),
            };
            // Its own captures: those of the stream are what the edge has been told.
            let mut captures = Captures::default();
            let slots = Slots::of(config, &mut captures);
            // Each of them is a field of the configuration, which has been checked.
            let Ok(plan) = captures.plan() else { continue };
            let needs_fields = !captures.pointers().is_empty();
            let fields = if needs_fields { Fields::Own(Arc::new(plan)) } else { Fields::OfStream(0) };
            let (config, begin) = (Arc::new(config.clone()), Begin::Oldest);
            let new = NewFanOut { config, reader, slots, fields, budget, begin };
            built.push(self.fan_out(self.logs().as_ref(), stream, new));
        }
        for parts in &stopped {
            if !wanted.iter().any(|config| config.name == parts.config.name) {
                parts.stream.remove_reader(parts.reader);
            }
        }
        self.start_fan_outs(built, runtime);
        Ok(())
    }
}
