//! Uploads under way, and what each of them is doing: one that panics cannot tell that itself.

use std::collections::HashMap;

use thiserror::Error;
use tokio::task::{Id, JoinError, JoinSet};

use super::uploads::Ended;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Stores the whole of a closed file.
    File,
    /// One step of a file that is sent while it is filled.
    Step,
    /// Throws away what an earlier process has left of a file.
    Leftover,
}

/// A task: what it does to the file of which number, and the key of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What it does.
    pub work: Work,
    /// Number of the file.
    pub number: u64,
    /// Key of its object.
    pub key: String,
}

/// A task that has ended without a result: an error in this program, which trying again would meet again.
#[derive(Debug, Error)]
#[error("sending '{key}' has failed within the program ({source})", key = task.key)]
pub struct Panicked {
    /// What it was about.
    pub task: Task,
    /// How it has ended.
    pub source: JoinError,
}

/// See the module. As many as the worker starts.
#[derive(Debug, Default)]
pub struct UploadTasks {
    running: JoinSet<Ended>,
    tasks: HashMap<Id, Task>,
}

impl UploadTasks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts one.
    pub fn start(&mut self, task: Task, doing: impl Future<Output = Ended> + Send + 'static) {
        let id = self.running.spawn(doing).id();
        self.tasks.insert(id, task);
    }

    /// Breaks all of them off, and returns when none runs any more. What they have given to the disk may still be written.
    pub async fn break_off(&mut self) {
        self.running.shutdown().await;
        self.tasks.clear();
    }

    /// One that has ended, if there is any.
    pub fn try_next(&mut self) -> Option<Ended> {
        let ended = self.running.try_join_next_with_id()?;
        self.end(ended)
    }

    /// The next one that ends; `None` if there is none. Whoever stops waiting misses nothing.
    pub async fn next(&mut self) -> Option<Ended> {
        let ended = self.running.join_next_with_id().await?;
        self.end(ended)
    }

    fn end(&mut self, ended: Result<(Id, Ended), JoinError>) -> Option<Ended> {
        match ended {
            Ok((id, ended)) => {
                self.tasks.remove(&id);
                Some(ended)
            }
            // Nobody cancels one and still asks, so it has panicked.
            Err(source) => {
                let task = self.tasks.remove(&source.id())?;
                Some(Ended::Panicked(Panicked { task, source }))
            }
        }
    }
}
