//! Telling one delivery to stop while the others, and those who send records, go on.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::limits::DELIVERY_STOP_PATIENCE;

/// The wish that a delivery stops. All clones are the same wish; it may be taken back.
#[derive(Debug, Clone)]
pub struct Stop {
    wish: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { wish: Arc::new(watch::Sender::new(false)) }
    }
}

impl Stop {
    /// Nobody wishes it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the delivery to stop.
    pub fn tell(&self) {
        self.wish.send_replace(true);
    }

    /// Has the delivery go on, unless it has stopped already.
    pub fn take_back(&self) {
        self.wish.send_replace(false);
    }

    /// Whether it is told to stop.
    pub fn is_told(&self) -> bool {
        *self.wish.borrow()
    }

    /// Returns once the wish is another one than `told`.
    pub(crate) async fn turned(&self, told: bool) {
        // The sender lives in `self`, so the wait cannot fail for want of one.
        let _ = self.wish.subscribe().wait_for(|wish| *wish != told).await;
    }

    /// Returns once it has been told for [`DELIVERY_STOP_PATIENCE`].
    pub(super) async fn overdue(&self) {
        loop {
            self.turned(false).await;
            tokio::select! {
                () = tokio::time::sleep(DELIVERY_STOP_PATIENCE) => return,
                () = self.turned(true) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wish_that_is_taken_back_is_never_overdue() {
        let stop = Stop::new();
        let overdue = tokio::spawn({
            let stop = stop.clone();
            async move { stop.overdue().await }
        });
        stop.tell();
        tokio::time::sleep(DELIVERY_STOP_PATIENCE / 2).await;
        assert!(stop.is_told());
        stop.take_back();
        tokio::time::sleep(DELIVERY_STOP_PATIENCE * 2).await;
        assert!(!stop.is_told() && !overdue.is_finished());
        stop.tell();
        tokio::time::sleep(DELIVERY_STOP_PATIENCE - Duration::from_millis(1)).await;
        assert!(!overdue.is_finished());
        tokio::time::timeout(Duration::from_secs(60), overdue).await.unwrap().unwrap();
    }
}
