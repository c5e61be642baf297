//! Streams of pipeline files, which come, change and go when the files are read again. All of it is to be called alone,
//! in [`Control::alone`], and blocks the thread.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Control, ControlError};
use crate::config::checked::Pipeline;
use crate::edge::Intake;
use crate::node::StreamOrigin;
use crate::pipeline::build::{Builder, is_of_pipeline};
use crate::pipeline::logs::Logs;
use crate::pipeline::reload::plan::{Change, fixed_of_stream};
use crate::pipeline::running::Which;
use crate::runtime::clock;

/// A stream that is not there for clients, because its file is gone. All of it goes on in memory, so that it can come
/// back: its log, its shards and its cursors are the same then.
#[derive(Debug)]
pub(super) struct Left {
    intake: Arc<Intake>,
    /// As its file had it, without deliveries.
    pipeline: Pipeline,
}

impl Left {
    /// What of a file that comes back takes a restart.
    fn check(&self, pipeline: &Pipeline) -> Result<(), ControlError> {
        let what = fixed_of_stream(&self.pipeline, pipeline);
        if what.is_empty() { Ok(()) } else { Err(ControlError::CameBackOther { what }) }
    }
}

impl Control {
    fn left(&self) -> MutexGuard<'_, HashMap<String, Left>> {
        // Nothing panics under it.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a stream can be begun, or come back, as far as that can be told without doing it.
    ///
    /// # Errors
    /// [`ControlError::Exists`]: also where the node still keeps records of a stream of that name from before its start;
    /// [`ControlError::CameBackOther`].
    pub fn check_declared(&self, pipeline: &Pipeline) -> Result<(), ControlError> {
        match self.left().get(&pipeline.stream.name) {
            Some(left) => left.check(pipeline),
            None => self.check_new(&pipeline.stream.name),
        }
    }

    /// Whether there is no stream of a name, nor records of one.
    fn check_new(&self, stream: &str) -> Result<(), ControlError> {
        let logs = self.site.logs();
        let is_kept = logs.as_ref().is_some_and(|logs| logs.catalog.stream(stream).is_some());
        match is_kept || self.intake(stream).is_ok() {
            true => Err(ControlError::Exists { stream: stream.to_owned() }),
            false => Ok(()),
        }
    }

    /// Makes the stream of a pipeline file that is new, and starts its deliveries; one that was there before comes back.
    ///
    /// # Errors
    /// If there is one of its name, or it cannot be written down or served: it is not there then.
    pub fn begin_declared(&self, pipeline: Pipeline) -> Result<(), ControlError> {
        let left = self.left().remove(&pipeline.stream.name);
        if let Some(left) = left {
            return self.come_back(left, &pipeline);
        }
        let (name, is_durable) = (pipeline.stream.name.clone(), pipeline.stream.durability.is_durable());
        self.check_new(&name)?;
        let begun = self.begin_noted(pipeline);
        if begun.is_err() && is_durable {
            self.forget_noted(&name)?;
        }
        begun
    }

    /// Has a stream go on as its file says now: with its records, and its deliveries where their ledgers are.
    fn come_back(&self, left: Left, pipeline: &Pipeline) -> Result<(), ControlError> {
        let name = &pipeline.stream.name;
        if let Err(error) = left.check(pipeline) {
            self.left().insert(name.clone(), left);
            return Err(error);
        }
        if let Some(logs) = self.site.logs().as_mut() {
            logs.name_again(&left.intake.stream);
        }
        // They are others now, if there are any.
        left.intake.has_deliveries.store(!pipeline.fan_outs.is_empty(), Ordering::Relaxed);
        self.site.edge.restore(Arc::clone(&left.intake));
        self.change_fan_outs(pipeline)?;
        let Some(change) = Change::between(&left.pipeline, pipeline) else { return Ok(()) };
        if let Err(error) = self.take_change(&change) {
            self.leave(&left.pipeline)?;
            return Err(error);
        }
        if let Some(shards) = change.shards
            && let Err(error) = self.resize_as_declared(name, shards)
        {
            tracing::warn!(stream = name, shards, %error, "the stream keeps the shards that it has for now");
        }
        Ok(())
    }

    fn begin_noted(&self, pipeline: Pipeline) -> Result<(), ControlError> {
        let (name, durability) = (pipeline.stream.name.clone(), pipeline.stream.durability);
        let mut logs = self.site.logs();
        let kept = match durability.is_durable() {
            false => logs.as_mut(),
            true => {
                let is_first = logs.is_none();
                let logs = Logs::for_durability(&mut logs, &self.site.node, &self.site.registry, durability)?;
                if is_first {
                    self.site.keep_token_key(Some(&logs.folder))?;
                }
                logs.change_catalog(|catalog| {
                    catalog.create(&pipeline.stream, clock::wall())?;
                    catalog.stream_mut(&name)?.properties.origin = StreamOrigin::Pipeline;
                    Ok(())
                })?;
                logs.folder.forget_ledgers(&name)?;
                Some(logs)
            }
        };
        let mut builder = Builder::later(&self.site, kept);
        let intake = builder.build(self.account, pipeline)?;
        let (built, .., fan_outs) = builder.built();
        self.site.start(built, &self.runtime);
        self.site.start_fan_outs(fan_outs, &self.runtime);
        self.site.edge.add(intake);
        Ok(())
    }

    /// Takes a stream out of the catalog that has never taken a record.
    fn forget_noted(&self, name: &str) -> Result<(), ControlError> {
        let mut logs = self.site.logs();
        let Some(logs) = logs.as_mut() else { return Ok(()) };
        Ok(logs.change_catalog(|catalog| {
            catalog.remove(name);
            Ok(())
        })?)
    }

    /// Whether a stream can go.
    ///
    /// # Errors
    /// If there is none, or somebody else delivers it too.
    pub fn check_leave(&self, pipeline: &Pipeline) -> Result<(), ControlError> {
        let name = &pipeline.stream.name;
        self.intake(name)?;
        let is_declared = |of: &str| pipeline.deliveries.iter().any(|delivery| delivery.name == of);
        match self.site.parts_of(&Which::all_of(name)).iter().all(|parts| is_declared(&parts.config.name)) {
            true => Ok(()),
            false => Err(ControlError::Delivered { stream: name.clone() }),
        }
    }

    /// Takes a durable stream away of a pipeline file that is gone. Its records stay until their retention is over, and
    /// its deliveries and cursors go on from where they are if the file comes back.
    ///
    /// # Errors
    /// If its deliveries do not stop in time: it is there as before then.
    pub fn leave(&self, pipeline: &Pipeline) -> Result<(), ControlError> {
        let name = &pipeline.stream.name;
        let intake = self.intake(name)?;
        self.stop_and_leave(&Which::all_of(name))?;
        self.runtime.block_on(self.site.leave_fan_outs(name))?;
        self.site.edge.remove(name);
        if let Some(logs) = self.site.logs().as_mut() {
            logs.keep_unnamed_stream(Arc::clone(&intake.stream));
        }
        let pipeline = Pipeline { deliveries: Vec::new(), ..pipeline.clone() };
        self.left().insert(name.clone(), Left { intake, pipeline });
        Ok(())
    }

    /// Takes deliveries of a durable stream away that its file does not name any more. Where they come back, they go on
    /// from where they are, as far as the records are there.
    ///
    /// # Errors
    /// If they do not stop in time: they go on then.
    pub fn leave_deliveries(&self, stream: &str, deliveries: &[String]) -> Result<(), ControlError> {
        self.stop_and_leave(&Which::named(stream, deliveries.iter().map(String::as_str)))?;
        let left = self.site.parts_of(&Which::all_of(stream));
        let fan_outs = self.site.fan_outs().iter().any(|running| **running.parts.stream.name() == *stream);
        let has_deliveries = fan_outs || left.iter().any(|parts| is_of_pipeline(&parts.config));
        self.intake(stream)?.has_deliveries.store(has_deliveries, Ordering::Relaxed);
        Ok(())
    }

    /// Has the fan-outs of a stream be those that its file says.
    ///
    /// # Errors
    /// If some do not stop in time. They stop when they can.
    pub fn change_fan_outs(&self, pipeline: &Pipeline) -> Result<(), ControlError> {
        let intake = self.intake(&pipeline.stream.name)?;
        // A drain waits for what is about to be started.
        let _held = self.site.workers.hold();
        let changing = self.site.change_fan_outs(&intake.stream, &pipeline.fan_outs, &self.runtime);
        Ok(self.runtime.block_on(changing)?)
    }

    fn stop_and_leave(&self, which: &Which) -> Result<(), ControlError> {
        let _held = self.site.workers.hold();
        if let Err(still) = self.runtime.block_on(self.site.stop(which)) {
            self.site.go_on_later(which.clone(), &self.changing, &self.runtime);
            return Err(still.into());
        }
        for parts in self.site.parts_of(which) {
            parts.stream.remove_reader(parts.reader);
        }
        self.site.forget_deliveries(which);
        Ok(())
    }

    /// Keeps the records of the stream of a pipeline file for `age` from now on.
    ///
    /// # Errors
    /// If there is none, or it cannot be written down.
    pub fn keep_declared_for(&self, name: &str, age: Duration) -> Result<(), ControlError> {
        let stream = Arc::clone(&self.intake(name)?.stream);
        if stream.is_on_disk() {
            self.note(name, |catalog| {
                catalog.stream_mut(name)?.retention = age;
                Ok(())
            })?;
        }
        stream.keep_for(age);
        Ok(())
    }

    /// Gives the stream of a pipeline file another number of shards, and notes that this is what its file says.
    ///
    /// # Errors
    /// As [`Control::resize`].
    pub fn resize_as_declared(&self, name: &str, count: u32) -> Result<(), ControlError> {
        let stream = Arc::clone(&self.intake(name)?.stream);
        self.runtime.block_on(self.resize_now(&stream, count))?;
        if !stream.is_on_disk() {
            return Ok(());
        }
        self.note(name, |catalog| {
            catalog.stream_mut(name)?.declared_shards = count;
            Ok(())
        })
    }
}
