//! Tasks that live as long as their stage: each is tracked, so that a shutdown can wait for it. Shorter ones (an upload,
//! the streams of an HTTP/2 connection) belong to the task that started them and end with it.

use std::future::Future;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The tasks of one stage.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// No task yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current runtime.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // The tracker keeps account of the task.
        drop(self.tracker.spawn(task));
    }

    /// Counts as a task for as long as it lives: another one is about to be started.
    pub fn hold(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// How many are running.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until every task has ended.
    pub async fn joined(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
