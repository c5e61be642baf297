//! Streams with deliveries that are in no file: they are made, and end, while the node runs. Whoever has them made keeps
//! their pipelines, and names them at the next start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Control, ControlError};
use crate::config::MADE_NAME_PREFIX;
use crate::config::checked::Pipeline;
use crate::config::limits::DELIVERY_STOP_WAIT;
use crate::node::StreamOrigin;
use crate::pipeline::build::Builder;
use crate::pipeline::logs::Logs;
use crate::pipeline::running::{StillAtWork, Which};
use crate::runtime::clock;

impl Control {
    /// Runs a change of many steps to its end, alone: in it, [`Control::begin`] and [`Control::end`] may be called.
    ///
    /// # Errors
    /// If the process stops.
    pub async fn alone<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        self.change_blocking(move |control| Ok(change(control))).await
    }

    /// The same for one that is begun at once, or not at all if another change is under way. It goes on by itself; a
    /// drain waits for it.
    pub fn alone_now(self: &Arc<Self>, change: impl FnOnce(&Self) + Send + 'static) {
        let Ok(alone) = Arc::clone(&self.changing).try_lock_owned() else { return };
        let (control, held) = (Arc::clone(self), self.site.workers.hold());
        self.runtime.spawn_blocking(move || {
            change(&control);
            drop((alone, held));
        });
    }

    /// Makes the durable stream of a pipeline that is in no file, and starts its deliveries. Blocks the thread.
    ///
    /// # Errors
    /// If there is one of its name, or it cannot be written down or served.
    pub fn begin(&self, pipeline: Pipeline) -> Result<(), ControlError> {
        self.begin_as(pipeline, false)
    }

    pub(super) fn begin_as(&self, pipeline: Pipeline, is_internal: bool) -> Result<(), ControlError> {
        let name = pipeline.stream.name.clone();
        if self.intake(&name).is_ok() {
            return Err(ControlError::Exists { stream: name });
        }
        let mut logs = self.site.logs();
        let logs = Logs::for_clients(&mut logs, &self.site.node, &self.site.registry)?;
        logs.change_catalog(|catalog| {
            // One that was begun, and never kept by whoever keeps the pipeline: a process has died in between, or it could
            // not be built. Nobody else may use such a name, and nobody was told that it takes records.
            if name.starts_with(MADE_NAME_PREFIX) {
                catalog.remove(&name);
            }
            catalog.create(&pipeline.stream, clock::wall())?;
            // Whoever keeps the pipeline names its stream at the next start, as a file does.
            catalog.stream_mut(&name)?.properties.origin = StreamOrigin::Pipeline;
            Ok(())
        })?;
        // Of an earlier stream of that name.
        logs.delete_unnamed(&name);
        logs.folder.forget_ledgers(&name)?;
        let mut builder = Builder::later(&self.site, Some(logs));
        let mut intake = builder.build(self.account, pipeline)?;
        intake.is_internal = is_internal;
        let (built, .., fan_outs) = builder.built();
        self.site.start(built, &self.runtime);
        self.site.start_fan_outs(fan_outs, &self.runtime);
        self.site.edge.add(intake);
        tracing::info!(stream = name, "a client has made a stream with deliveries");
        Ok(())
    }

    /// Has a stream take no more records, since it is to go when those that it has are delivered.
    pub fn close(&self, stream: &str) {
        if let Ok(intake) = self.intake(stream) {
            intake.stream.close();
        }
    }

    /// Waits for something that has to do with a stream to be over. Blocks the thread.
    ///
    /// # Errors
    /// If it is not for a long time. It may be asked for again.
    pub fn wait_for(&self, stream: &str, over: impl Future<Output = ()>) -> Result<(), ControlError> {
        let waiting = async { tokio::time::timeout(DELIVERY_STOP_WAIT, over).await };
        self.runtime.block_on(waiting).map_err(|_| StillAtWork::of(stream).into())
    }

    /// Makes the node's folder where no stream has needed it so far. Blocks the thread.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open_folder(&self) -> Result<(), ControlError> {
        Logs::for_clients(&mut self.site.logs(), &self.site.node, &self.site.registry)?;
        Ok(())
    }

    /// Stops the deliveries of a stream where they stand, and deletes it with all of its records. Blocks the thread.
    ///
    /// # Errors
    /// If the deliveries do not stop in time, or it cannot be written down. It may be asked for again.
    pub fn end(&self, name: &str) -> Result<(), ControlError> {
        let Ok(intake) = self.intake(name) else { return Ok(()) };
        self.end_now(name, &intake)
    }

    /// Whether there is a stream of that name.
    pub fn serves(&self, stream: &str) -> bool {
        self.intake(stream).is_ok()
    }

    /// The same for one whose pipeline file has deliveries: a delivery stream of its name.
    pub fn serves_delivered(&self, stream: &str) -> bool {
        self.intake(stream).is_ok_and(|intake| intake.has_deliveries.load(Ordering::Relaxed))
    }

    /// Whether deliveries of a stream have still to deliver something, and do so.
    pub fn is_pending(&self, stream: &str) -> bool {
        if self.site.is_stopping(&Which::all_of(stream)) {
            return false;
        }
        let statuses = self.site.statuses();
        statuses.iter().any(|status| &**status.stream_name() == stream && status.report().pending > 0)
    }
}
