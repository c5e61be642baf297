//! The published life of the process: starting → recovering → serving → draining → stopped.

use std::sync::Arc;

use tokio::sync::watch;

use super::progress::Progress;

/// Where the process is in its life. Only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Pipelines are being built; the edge listens, and refuses.
    Starting,
    /// The log is read back, which may take a while: see [`Phases::progress`].
    Recovering,
    /// Everything runs.
    Serving,
    /// The edge takes no new connection and answers what is in flight.
    StoppingEdge,
    /// The edge is silent; deliveries read what is left, close their files and upload them.
    Draining,
    /// What can be delivered is delivered.
    Stopped,
}

impl Phase {
    /// The word in `/readyz` and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Recovering => "recovering",
            Phase::Serving => "serving",
            Phase::StoppingEdge => "stopping-edge",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// Publishes the phase and lets stages wait for one.
#[derive(Debug, Clone)]
pub struct Phases {
    sender: Arc<watch::Sender<Phase>>,
    progress: Arc<Progress>,
}

impl Default for Phases {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(Phase::Starting)), progress: Arc::default() }
    }
}

impl Phases {
    /// Begins with [`Phase::Starting`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on to `phase`; does nothing if that lies behind.
    pub fn advance(&self, phase: Phase) {
        self.sender.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        });
    }

    /// The phase at the moment.
    pub fn current(&self) -> Phase {
        *self.sender.borrow()
    }

    /// How far [`Phase::Recovering`] is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The phase in words, with its progress where it has one.
    pub fn describe(&self) -> String {
        match self.current() {
            phase @ Phase::Recovering => format!("{}, {}", phase.as_str(), self.progress),
            phase => phase.as_str().to_owned(),
        }
    }

    /// Returns once `phase` or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the wait cannot fail for want of one.
        let _ = self.sender.subscribe().wait_for(|current| *current >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_never_goes_back() {
        let phases = Phases::new();
        phases.advance(Phase::Draining);
        phases.advance(Phase::Serving);
        assert_eq!(phases.current(), Phase::Draining);
        phases.reached(Phase::StoppingEdge).await;
    }

    #[test]
    fn only_recovery_tells_how_far_it_is() {
        let phases = Phases::new();
        assert_eq!(phases.describe(), "starting");
        phases.advance(Phase::Recovering);
        phases.progress().add_total(2_000_000);
        phases.progress().add_done(500_000);
        assert_eq!(phases.describe(), "recovering, 0.5 of 2.0 MB of the log read (25 %)");
        phases.advance(Phase::Serving);
        assert_eq!(phases.describe(), "serving");
    }
}
