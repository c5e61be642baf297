//! What becomes of a step that could not be done: again, with another transaction, with another client, or not at all.

use std::time::{Duration, Instant};

use super::Worker;
use crate::delivery::fan_out::WhenFenced;
use crate::delivery::fan_out::held::Stage;
use crate::delivery::fan_out::producer::{Failed, Remedy};
use crate::delivery::pause::Pause;
use crate::kafka::{Fault, FaultClass};
use crate::runtime::clock;

/// How long to wait for the report of what has failed a transaction, and how often to look.
const REPORT_LOOK: Duration = Duration::from_millis(10);
const REPORT_LOOKS: usize = 100;

/// Half of what a broker gives a transaction by the client's default.
const TRANSACTION_OLD: Duration = Duration::from_secs(30);
/// Being fenced again within this is no accident.
const FENCED_AGAIN: Duration = Duration::from_secs(600);

impl Worker {
    /// Deals with what a step could not do.
    pub(super) async fn recover(&mut self, failed: Failed, began: Instant) {
        let Failed { fault, remedy } = self.explain(failed).await;
        if fault.class == FaultClass::Fenced && self.parts.when_fenced == WhenFenced::End {
            // If it was the broker that has given up an old transaction, the next worker goes on.
            self.deposed = Some(fault);
            return;
        }
        if fault.class == FaultClass::Fenced && !self.was_given_up_by_broker() {
            return self.halt(&fault).await;
        }
        if fault.class == FaultClass::Missing {
            // One of them may be gone, and is then made, or waited for.
            self.topics.forget();
            (self.has_dead_topic, self.has_progress_topic) = (false, false);
        }
        let stage = match &self.open {
            _ if self.producer.is_none() => Stage::Connecting,
            // A record cannot be addressed: what was before it may well be committed.
            Some(open) if !open.is_closed() && remedy == Remedy::Again => Stage::Sending,
            _ => Stage::Committing,
        };
        self.held.failed(&fault, (stage, began), &self.connection);
        match remedy {
            Remedy::Again => {}
            Remedy::Abort => self.is_aborting = self.open.is_some(),
            Remedy::Reconnect => {
                // Whether it was committed is found out by the next client.
                self.unresolved = self.open.take().filter(|open| open.is_told).or(self.unresolved.take());
                self.disconnect().await;
            }
        }
    }

    /// A transaction that has to be given up has a reason, which is reported at about the same time.
    async fn explain(&mut self, failed: Failed) -> Failed {
        let Some(producer) = self.producer.clone().filter(|_| failed.remedy == Remedy::Abort) else {
            return failed;
        };
        for _ in 0..REPORT_LOOKS {
            if producer.reports().has_any() {
                break;
            }
            tokio::time::sleep(REPORT_LOOK).await;
        }
        self.check_reports().err().unwrap_or(failed)
    }

    /// Whether a transaction was open for so long that the broker has ended it, which looks as if somebody had taken our
    /// place. Not twice in a row: somebody may have.
    fn was_given_up_by_broker(&mut self) -> bool {
        let now = clock::monotonic();
        let age = |begun: Instant| now.saturating_duration_since(begun);
        let is_old = self.open.as_ref().is_some_and(|open| age(open.begun) >= TRANSACTION_OLD);
        let is_first = self.fenced.is_none_or(|last| age(last) >= FENCED_AGAIN);
        self.fenced = Some(now);
        is_old && is_first
    }

    /// Sends nothing more: only a restart helps.
    async fn halt(&mut self, fault: &Fault) {
        let (stream, delivery) = (self.parts.stream.name(), &self.parts.config.name);
        let why = format!(
            "another process has taken the transactional id '{}' ({fault}): two nodes deliver from copies of one folder, \
             or this one was replaced; stop one of them, and restart to go on here",
            self.parts.identity
        );
        tracing::error!(%stream, delivery, why, "delivery into Kafka has stopped");
        let mut pause = Pause::none(&self.parts.status);
        pause.begin(&why);
        self.halted = Some(pause);
        self.disconnect().await;
    }
}
