//! Streams of pipeline files, which come, change and go when the files are read again. All of it is to be called alone,
//! in [`Control::alone`], and blocks the thread.

use std::sync::Arc;
use std::time::Duration;

use super::{Control, ControlError};
use crate::config::checked::Pipeline;
use crate::node::StreamOrigin;
use crate::pipeline::build::Builder;
use crate::pipeline::logs::Logs;
use crate::pipeline::running::Which;
use crate::runtime::clock;

impl Control {
    /// Whether a stream can be begun, as far as that can be told without doing it.
    ///
    /// # Errors
    /// [`ControlError::Exists`]: also where the node still keeps records of a stream of that name.
    pub fn check_new(&self, stream: &str) -> Result<(), ControlError> {
        let logs = self.site.logs();
        let is_kept = logs.as_ref().is_some_and(|logs| logs.catalog.stream(stream).is_some());
        match is_kept || self.intake(stream).is_ok() {
            true => Err(ControlError::Exists { stream: stream.to_owned() }),
            false => Ok(()),
        }
    }

    /// Makes the stream of a pipeline file that is new, and starts its deliveries.
    ///
    /// # Errors
    /// If there is one of its name, or it cannot be written down or served: it is not there then.
    pub fn begin_declared(&self, pipeline: Pipeline) -> Result<(), ControlError> {
        let (name, is_durable) = (pipeline.stream.name.clone(), pipeline.stream.durability.is_durable());
        self.check_new(&name)?;
        let begun = self.begin_noted(pipeline);
        if begun.is_err() && is_durable {
            self.forget_noted(&name)?;
        }
        begun
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
        self.site.start(builder.built(), &self.runtime);
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
        self.site.edge.remove(name);
        if let Some(logs) = self.site.logs().as_mut() {
            logs.keep_unnamed_stream(Arc::clone(&intake.stream));
        }
        Ok(())
    }

    /// Takes deliveries of a durable stream away that its file does not name any more. Where they come back, they go on
    /// from where they are, as far as the records are there.
    ///
    /// # Errors
    /// If they do not stop in time: they go on then.
    pub fn leave_deliveries(&self, stream: &str, deliveries: &[String]) -> Result<(), ControlError> {
        self.stop_and_leave(&Which::named(stream, deliveries.iter().map(String::as_str)))
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
        if stream.is_durable() {
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
        if !stream.is_durable() {
            return Ok(());
        }
        self.note(name, |catalog| {
            catalog.stream_mut(name)?.declared_shards = count;
            Ok(())
        })
    }
}
