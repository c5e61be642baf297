//! What tells a collector of traces and metrics: begun, and replaced by another while the node runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::Pipelines;
use crate::config::checked::{Node, Otlp};
use crate::config::limits::OTLP_FLUSH_WAIT;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::tasks::Tasks;
use crate::telemetry::otlp::{Exporter, Process};

/// The exporter that runs, if there is a collector.
#[derive(Debug, Default)]
pub struct Exports {
    process: Process,
    current: tokio::sync::Mutex<Option<Running>>,
}

/// Its task, and how to end it.
#[derive(Debug)]
struct Running {
    config: Otlp,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl Running {
    /// Has it tell what is left, and waits until it has, or has taken too long.
    async fn end(self) {
        self.stop.send_replace(true);
        self.tasks.joined().await;
    }
}

impl Pipelines {
    /// Has a collector told what there is to tell from now on, as the configuration says. Another one is told first what
    /// was meant for it, for as long as [`OTLP_FLUSH_WAIT`]. To be called on the runtime that is to do it.
    pub async fn export(self: &Arc<Self>, node: &Node) {
        let mut current = self.exports.current.lock().await;
        if current.as_ref().map(|running| &running.config) == node.otlp.as_ref() {
            return;
        }
        if let Some(running) = current.take() {
            running.end().await;
        }
        let render = Box::new({
            let pipelines = Arc::downgrade(self);
            move || pipelines.upgrade().map(|it| it.render_metrics()).unwrap_or_default()
        });
        let tracer = Arc::clone(&self.site.edge.observer.tracer);
        let exporter = Exporter::new((node, &self.exports.process), tracer, &self.registry, render);
        let (Some(exporter), Some(config)) = (exporter, node.otlp.clone()) else { return };
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::new();
        tasks.spawn(run(exporter, self.phases.clone(), stopped));
        *current = Some(Running { config, stop, tasks });
    }

    /// Waits until the collector was told what is left. The phases tell that there is nothing more to come.
    pub async fn exported(&self) {
        if let Some(running) = self.exports.current.lock().await.take() {
            running.end().await;
        }
    }
}

/// Runs until everything else has stopped, or until it is told to, and for a while longer.
async fn run(exporter: Exporter, phases: Phases, mut stopped: watch::Receiver<bool>) {
    // Its own, so that it can be ended alone.
    let life = Phases::new();
    let over = async {
        tokio::select! {
            () = phases.reached(Phase::Stopped) => {}
            // The sender outlives it, or nobody waits for it any more.
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        life.advance(Phase::Stopped);
        tokio::time::sleep(OTLP_FLUSH_WAIT).await;
        tracing::warn!("the collector has not taken what was left for it in time");
    };
    tokio::select! {
        () = exporter.run(life.clone()) => {}
        () = over => {}
    }
}
