//! What does not work at the moment and is tried again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use crate::delivery::pause::Pause;
use crate::delivery::status::Status;
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;

/// A disk that fails: the delivery says so, and tries again after a while.
#[derive(Debug)]
pub struct Trouble {
    status: Arc<Status>,
    pause: Pause,
    backoff: Backoff,
    until: Option<Instant>,
}

impl Trouble {
    /// None so far.
    pub fn none(status: &Arc<Status>) -> Self {
        Self {
            status: Arc::clone(status),
            pause: Pause::none(status),
            backoff: Backoff::default(),
            until: None,
        }
    }

    /// When to try again, if that is not now.
    pub fn until(&self) -> Option<Instant> {
        self.until.filter(|&until| until > clock::monotonic())
    }

    /// It has failed: `what` cannot be done because of `error`.
    pub fn failed(&mut self, what: &str, error: &dyn Display) {
        let why = format!("{what}: {error}");
        if self.pause.begin(&why) || self.backoff.is_news() {
            tracing::error!(
                stream = %self.status.stream_name(), delivery = self.status.name(), %error,
                "{what}: delivery is paused, nothing is dropped; it goes on by itself when this works again"
            );
        }
        self.until = Some(self.backoff.until());
    }

    /// It has worked.
    pub fn passed(&mut self) {
        if self.until.take().is_some() {
            self.backoff = Backoff::default();
            self.pause.end();
            tracing::info!(stream = %self.status.stream_name(), delivery = self.status.name(), "delivery goes on");
        }
    }
}
