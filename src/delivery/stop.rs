//! Telling one delivery to stop while the others, and those who send records, go on.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::limits::DELIVERY_STOP_PATIENCE;

/// What is wished of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// That it goes on.
    Work,
    /// That it stops, so that another one may follow it.
    Change,
    /// That it stops, and nothing follows it.
    End,
}

/// The wish that a delivery stops. All clones are the same wish; it may be taken back.
#[derive(Debug, Clone)]
pub struct Stop {
    wish: Arc<watch::Sender<Wish>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { wish: Arc::new(watch::Sender::new(Wish::Work)) }
    }
}

impl Stop {
    /// Nobody wishes it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the delivery to stop. What it has not stored the one that follows it stores.
    pub fn tell(&self) {
        self.raise(Wish::Change);
    }

    /// Tells the delivery to stop for good: what it has not stored is to be forgotten.
    pub fn tell_for_good(&self) {
        self.raise(Wish::End);
    }

    fn raise(&self, to: Wish) {
        // Whoever waits for it to be overdue does not begin to wait anew by being told twice.
        self.wish.send_if_modified(|wish| {
            let is_more = *wish < to;
            *wish = to.max(*wish);
            is_more
        });
    }

    /// Has the delivery go on, unless it has stopped already.
    pub fn take_back(&self) {
        self.wish.send_replace(Wish::Work);
    }

    /// Whether it is told to stop.
    pub fn is_told(&self) -> bool {
        *self.wish.borrow() > Wish::Work
    }

    /// Returns once the wish is another one than `told`.
    pub(crate) async fn turned(&self, told: bool) {
        self.becomes(|wish| (wish > Wish::Work) != told).await;
    }

    async fn becomes(&self, is_wanted: impl Fn(Wish) -> bool) {
        // The sender lives in `self`, so the wait cannot fail for want of one.
        let _ = self.wish.subscribe().wait_for(|wish| is_wanted(*wish)).await;
    }

    /// Returns once it has been told for [`DELIVERY_STOP_PATIENCE`] that the delivery stops: for good, unless another one
    /// could make again what it has not stored (`is_repeatable`).
    pub(super) async fn overdue(&self, is_repeatable: bool) {
        let enough = if is_repeatable { Wish::Change } else { Wish::End };
        loop {
            self.becomes(|wish| wish >= enough).await;
            tokio::select! {
                () = tokio::time::sleep(DELIVERY_STOP_PATIENCE) => return,
                () = self.becomes(|wish| wish < enough) => {}
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
            async move { stop.overdue(true).await }
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

    #[tokio::test(start_paused = true)]
    async fn what_nobody_can_make_again_is_overdue_only_where_the_end_is_for_good() {
        let stop = Stop::new();
        let overdue = tokio::spawn({
            let stop = stop.clone();
            async move { stop.overdue(false).await }
        });
        stop.tell();
        tokio::time::sleep(DELIVERY_STOP_PATIENCE * 3).await;
        assert!(!overdue.is_finished());
        stop.tell_for_good();
        tokio::time::sleep(DELIVERY_STOP_PATIENCE / 2).await;
        stop.tell();
        stop.tell_for_good();
        assert!(!overdue.is_finished());
        let left = DELIVERY_STOP_PATIENCE / 2 + Duration::from_millis(1);
        tokio::time::timeout(left, overdue).await.unwrap().unwrap();
    }
}
