//! What keeps a fan-out from going on at the moment.

use std::sync::Arc;
use std::time::Instant;

use crate::config::limits::FAN_OUT_TROUBLE_QUIET;
use crate::delivery::pause::Pause;
use crate::delivery::status::Status;
use crate::kafka::{Connection, Fault, FaultClass};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;

/// How far something has to get for a trouble to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// To the cluster, and to what it keeps for us.
    Connecting,
    /// What is open is committed, be it empty.
    Committing,
    /// Records are committed.
    Sending,
}

/// A cluster in trouble: the fan-out waits, and tries again. It says that it is paused when that takes a while, or at
/// once where it does not go away by itself.
#[derive(Debug)]
pub struct Held {
    status: Arc<Status>,
    pause: Pause,
    backoff: Backoff,
    since: Option<(Instant, Stage)>,
    until: Option<Instant>,
}

impl Held {
    /// By nothing.
    pub fn none(status: &Arc<Status>) -> Self {
        let (pause, status) = (Pause::none(status), Arc::clone(status));
        Self { status, pause, backoff: Backoff::default(), since: None, until: None }
    }

    /// When to try again, if that is not now.
    pub fn until(&self) -> Option<Instant> {
        self.until.filter(|&until| until > clock::monotonic())
    }

    /// Something that was begun at `began` has failed.
    pub fn failed(&mut self, fault: &Fault, (stage, began): (Stage, Instant), connection: &Connection) {
        let now = clock::monotonic();
        let (since, known) = self.since.unwrap_or((began, stage));
        self.since = Some((since, known.max(stage)));
        let lasts = now.saturating_duration_since(since) >= FAN_OUT_TROUBLE_QUIET;
        if lasts || fault.class != FaultClass::Transient {
            let why = describe(fault, connection);
            if self.pause.begin(&why) || self.backoff.is_news() {
                tracing::error!(
                    stream = %self.status.stream_name(), delivery = self.status.name(), why,
                    "delivery into Kafka is paused, nothing is dropped; it goes on by itself when this works again"
                );
            }
        } else {
            tracing::debug!(stream = %self.status.stream_name(), delivery = self.status.name(), error = %fault, "trying again");
        }
        self.until = Some(self.backoff.until());
    }

    /// It has got as far as `stage`.
    pub fn passed(&mut self, stage: Stage) {
        if self.since.is_none_or(|(_, of)| of > stage) {
            return;
        }
        (self.since, self.until, self.backoff) = (None, None, Backoff::default());
        if self.pause.end() {
            tracing::info!(stream = %self.status.stream_name(), delivery = self.status.name(), "delivery into Kafka goes on");
        }
    }
}

/// A fault, with what the client itself has said, and what an operator can do.
pub fn describe(fault: &Fault, connection: &Connection) -> String {
    let said = connection.trouble().filter(|said| said.message != fault.message);
    let said = said.map(|said| format!("; the client says: {}", said.message)).unwrap_or_default();
    let help = match fault.class {
        FaultClass::Denied => {
            "; look at the cluster's credentials, and at the ACLs that docs/operations.md lists for fan-outs"
        }
        _ => "",
    };
    format!("{fault}{said}{help}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::KafkaCluster;
    use crate::delivery::fan_out::tests::memory_stream;
    use crate::telemetry::metrics::Registry;

    fn fault(class: FaultClass) -> Fault {
        Fault { class, cluster: "main".into(), action: "send".into(), message: "no".into() }
    }

    #[test]
    fn a_short_trouble_is_no_pause_and_one_that_needs_somebody_is_one_at_once() {
        let registry = Registry::new().unwrap();
        let status = Arc::new(Status::new(memory_stream(1, &registry), "d", &registry));
        let cluster = KafkaCluster {
            name: None,
            brokers: vec!["h:1".into()],
            tls: None,
            sasl: None,
            client: Default::default(),
        };
        let connection = Connection::new(cluster, "test");
        let mut held = Held::none(&status);
        held.failed(&fault(FaultClass::Transient), (Stage::Connecting, clock::monotonic()), &connection);
        assert!(held.until().is_some());
        assert_eq!(status.report().paused, None);
        held.failed(&fault(FaultClass::Denied), (Stage::Committing, clock::monotonic()), &connection);
        let why = status.report().paused.unwrap();
        assert!(why.contains("send: no") && why.contains("ACL"), "{why}");
        held.passed(Stage::Connecting);
        assert!(status.report().paused.is_some(), "a connection alone proves nothing");
        held.passed(Stage::Committing);
        assert_eq!(status.report().paused, None);
        assert_eq!(held.until(), None);
    }
}
