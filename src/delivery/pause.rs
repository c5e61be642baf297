//! Whether a delivery is paused, and why.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::status::Status;

/// What keeps a delivery from going on at the moment: an upload that is refused, a ledger that cannot be written, a
/// log that cannot be read. At most one entry an upload, one a shard and one for the ledger.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    next_id: u64,
    /// The one that was begun, or has changed its reason, last is last.
    reasons: Vec<(u64, String)>,
}

impl Pauses {
    /// Adds one that nothing mends.
    pub fn add_for_ever(&mut self, why: &str) {
        self.reasons.push((self.next_id, why.to_owned()));
        self.next_id += 1;
    }

    /// The latest reason.
    pub fn why(&self) -> Option<&str> {
        self.reasons.last().map(|(_, why)| why.as_str())
    }
}

/// Whether one thing keeps a delivery from going on. The delivery is paused while any does, so that uploads that get
/// through beside one that is refused do not hide it. One that is dropped keeps it no longer.
#[derive(Debug)]
pub(super) struct Pause {
    status: Arc<Status>,
    id: Option<u64>,
}

impl Pause {
    /// Nothing is wrong so far.
    pub fn none(status: &Arc<Status>) -> Self {
        Self { status: Arc::clone(status), id: None }
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.status.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes why this cannot go on. Returns whether the delivery was not paused before.
    pub fn begin(&mut self, why: &str) -> bool {
        let mut pauses = self.pauses();
        let news = pauses.reasons.is_empty();
        let id = self.id.unwrap_or(pauses.next_id);
        pauses.next_id = pauses.next_id.max(id + 1);
        pauses.reasons.retain(|(other, _)| *other != id);
        pauses.reasons.push((id, why.to_owned()));
        self.status.metrics.paused.set(1.0);
        drop(pauses);
        self.id = Some(id);
        news
    }

    /// Publishes that this goes on. Returns whether the delivery was paused and no longer is.
    pub fn end(&mut self) -> bool {
        let Some(id) = self.id.take() else { return false };
        let mut pauses = self.pauses();
        pauses.reasons.retain(|(other, _)| *other != id);
        let news = pauses.reasons.is_empty();
        if news {
            self.status.metrics.paused.set(0.0);
        }
        news
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.end() {
            tracing::info!(
                stream = %self.status.stream_name(), delivery = self.status.name(),
                "the last upload that was refused has ended without being stored: delivery is no longer paused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::checked;
    use crate::stream::{Backing, Captures, Stream};
    use crate::telemetry::metrics::Registry;

    fn status(registry: &Registry) -> Arc<Status> {
        let config = checked::Stream {
            name: "s".into(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(60),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let plan = Captures::default().plan().unwrap();
        let stream = Stream::new(&config, Backing::Memory, 1, plan, registry.stream("s"));
        Arc::new(Status::new(Arc::new(stream), "d", registry))
    }

    /// Why it is paused, after a check that the gauge says the same.
    fn paused(status: &Status, registry: &Registry) -> Option<String> {
        let why = status.report().paused;
        let value = i32::from(why.is_some());
        let text = registry.render();
        let gauge = text.lines().find(|line| line.starts_with("forebay_delivery_paused{")).unwrap();
        assert!(gauge.ends_with(&format!(" {value}")), "{gauge}");
        why
    }

    #[test]
    fn one_refused_upload_keeps_a_delivery_paused_while_others_succeed() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let mut refused = Pause::none(&status);
        assert!(refused.begin("denied"));
        for _ in 0..3 {
            assert!(!Pause::none(&status).end(), "an upload that was not refused changes nothing");
            assert_eq!(paused(&status, &registry).as_deref(), Some("denied"));
            assert!(!refused.begin("denied"), "refused again is no news");
        }
        assert!(refused.end());
        assert!(!refused.end(), "resuming twice is no news");
        assert_eq!(paused(&status, &registry), None);
    }

    #[test]
    fn a_delivery_resumes_with_the_last_pause_and_shows_the_latest_reason_that_holds() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let (mut first, mut second) = (Pause::none(&status), Pause::none(&status));
        assert!(first.begin("one"));
        assert!(!second.begin("two"));
        assert_eq!(paused(&status, &registry).as_deref(), Some("two"));
        assert!(!second.end());
        assert_eq!(paused(&status, &registry).as_deref(), Some("one"));
        assert!(first.end());
        assert_eq!(paused(&status, &registry), None);
        assert!(first.begin("three"), "pausing anew is news");
        assert_eq!(paused(&status, &registry).as_deref(), Some("three"));
    }

    #[test]
    fn a_dropped_pause_is_over_once() {
        let registry = Registry::new().unwrap();
        let status = status(&registry);
        let (mut first, mut second) = (Pause::none(&status), Pause::none(&status));
        first.begin("one");
        second.begin("two");
        second.end();
        drop(second);
        assert_eq!(paused(&status, &registry).as_deref(), Some("one"));
        drop(first);
        assert_eq!(paused(&status, &registry), None);
    }
}
