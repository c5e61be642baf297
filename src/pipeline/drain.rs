//! The end of all stages, in flow order.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::{Pipelines, Running};
use crate::delivery::StatusReport;
use crate::runtime::clock;
use crate::runtime::phases::Phase;

/// How long blocking calls of the deliveries (file-system writes) may take once their tasks are gone.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

impl Pipelines {
    /// Ends the stages in flow order: the edge first, then the deliveries, which close their files and upload them
    /// until `[server] drain_timeout` has passed, then the logs. What was not built yet is not there to be ended.
    /// Returns the final balance. Blocks the thread.
    pub fn drain(&self) -> Vec<StatusReport> {
        let started = clock::monotonic();
        let running = self.lock_running().take();
        let Some(Running { edge_threads, deliveries }) = running else { return self.reports() };
        self.phases.advance(Phase::StoppingEdge);
        for thread in edge_threads {
            if !matches!(thread.join(), Ok(Ok(()))) {
                tracing::error!("an edge thread ended with an error");
            }
        }
        self.phases.advance(Phase::Draining);
        if let Some(deliveries) = deliveries {
            let have_ended =
                self.drain_deliveries(deliveries, self.drain_timeout.saturating_sub(started.elapsed()));
            self.site.keep_usage(true);
            self.site.edge.intakes().iter().for_each(|intake| intake.stream.end_log());
            if let Some(logs) = self.site.logs().take() {
                logs.journals().stop();
                if !have_ended {
                    tracing::warn!(
                        "the disk is still at work: the node's folder stays locked until the process ends"
                    );
                    // A write that hangs in the disk can go on at any time, and name a file that the next process has
                    // already begun another one over. Only the end of this process is known to end it.
                    std::mem::forget(logs);
                }
            }
        }
        self.site.edge.observer.end();
        self.phases.advance(Phase::Stopped);
        self.reports()
    }

    /// Returns whether nothing of the deliveries runs any more.
    fn drain_deliveries(&self, deliveries: Runtime, timeout: Duration) -> bool {
        let workers = self.site.workers.clone();
        let drained =
            deliveries.block_on(async move { tokio::time::timeout(timeout, workers.joined()).await });
        if drained.is_err() {
            tracing::error!(
                drain_timeout_seconds = self.drain_timeout.as_secs(),
                "the drain deadline has passed"
            );
        }
        let stopping = clock::monotonic();
        deliveries.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
        // It does not tell; but it returns early only if there is nothing left to wait for.
        stopping.elapsed() < RUNTIME_STOP_TIMEOUT
    }
}
