//! Reading the files again while the node runs: on SIGHUP, or where the admin port is asked to.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config;
use crate::pipeline::Pipelines;
use crate::pipeline::reload::{Asked, ReloadError};

/// The files that `serve` was started with.
pub struct Files<'a> {
    /// Pipeline files and folders.
    pub paths: Vec<PathBuf>,
    /// The node's file, if it was named.
    pub config: Option<PathBuf>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Files<'_> {
    /// Reads and checks all of them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(&self) -> Result<config::checked::Config, config::Problems> {
        config::load(&self.paths, self.config.as_deref(), self.env)
    }
}

/// Whoever wants the files to be read again.
pub struct Wishes {
    hang_up: Signal,
    asked: mpsc::Receiver<Asked>,
}

impl Wishes {
    /// Takes SIGHUP, whose default is to end the process, and what comes of the sender.
    ///
    /// # Errors
    /// If the signal cannot be taken.
    pub fn new() -> std::io::Result<(Self, mpsc::Sender<Asked>)> {
        // One waits while one is answered: more would be told the same.
        let (ask, asked) = mpsc::channel(1);
        Ok((Self { hang_up: signal(SignalKind::hangup())?, asked }, ask))
    }

    /// The next one, with who is to be told.
    pub async fn next(&mut self) -> Option<Asked> {
        tokio::select! {
            Some(()) = self.hang_up.recv() => None,
            Some(asked) = self.asked.recv() => Some(asked),
            else => std::future::pending().await,
        }
    }
}

/// Reads the files and has them hold. What comes of it is in the log, and told to who has asked.
pub async fn reload(files: &Files<'_>, pipelines: &Arc<Pipelines>, asked: Option<Asked>) {
    // Whatever becomes of it: who has moved a log sends the same signal.
    pipelines.reopen_logs();
    let outcome = match files.load() {
        Ok(config) => pipelines.reload(config).await,
        Err(problems) => Err(ReloadError::Files(problems)),
    };
    match &outcome {
        Ok(changes) if changes.is_empty() => tracing::info!("the files were read again: nothing has changed"),
        Ok(changes) => {
            changes.iter().for_each(|change| tracing::info!(change, "the files were read again"));
        }
        Err(error) => {
            tracing::error!(%error, "the files were read again and do not hold: all stays as it was")
        }
    }
    match asked {
        // Who has gone meanwhile finds it in the log.
        Some(asked) => drop(asked.send(outcome)),
        None => pipelines.note_reload(None, &outcome),
    }
}
