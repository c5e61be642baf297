//! A wait for memory: for what is given back, not for a while; and told if it is long.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Sleep;

use crate::runtime::budget::Budget;

/// Looks of a waiting stage come at least so long after each other, however often others give back.
const PAUSE: Duration = Duration::from_millis(50);
/// After so long it asks again although nothing was given back: the edge makes room when it is asked, of what deliveries
/// have let go of in the meantime.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a wait is that somebody has to know of: ten times what a full budget takes to be written to a store.
const LONG: Duration = Duration::from_secs(10);

/// Whose records wait, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The stream that they come from.
    pub stream: &'a str,
    /// The function that they are to go through.
    pub function: &'a str,
    /// The share of the budget that is spent.
    pub share: &'static str,
}

/// See the module.
#[derive(Debug)]
pub struct Shortage<'a> {
    who: Who<'a>,
    long: Pin<Box<Sleep>>,
    is_told: bool,
}

impl<'a> Shortage<'a> {
    /// Begins now.
    pub fn new(who: Who<'a>) -> Self {
        Self { who, long: Box::pin(tokio::time::sleep(LONG)), is_told: false }
    }

    /// Waits until `is_there` says that memory of `budget` is there, or until it is time to ask for it again.
    pub async fn wait(&mut self, budget: &Arc<Budget>, is_there: impl Fn() -> bool) {
        let ask_again = tokio::time::sleep(ASK_AGAIN);
        tokio::pin!(ask_again);
        loop {
            // Before the look, so that nothing that is given back behind it is missed.
            let given_back = budget.given_back();
            if is_there() {
                return;
            }
            tokio::select! {
                biased;
                () = given_back.woken() => tokio::time::sleep(PAUSE).await,
                () = &mut self.long, if !self.is_told => self.tell(),
                () = &mut ask_again => return,
            }
        }
    }

    /// Lets others have what is there for a moment: who has just been refused though there seemed to be enough must not ask
    /// at once.
    pub async fn pause(&self) {
        tokio::time::sleep(PAUSE).await;
    }

    fn tell(&mut self) {
        let Who { stream, function, share } = self.who;
        self.is_told = true;
        tracing::warn!(
            stream,
            function,
            share,
            waited_seconds = LONG.as_secs(),
            "records do not go through the function, nothing is dropped: that share of the memory is spent; see \
             forebay_memory_used_bytes for who has it, and raise memory_budget if that is not too much"
        );
    }

    /// Memory is there.
    pub fn end(self) {
        let Who { stream, function, share } = self.who;
        if self.is_told {
            tracing::info!(stream, function, share, "there is memory again: records go through the function");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    const WHO: Who<'_> = Who { stream: "s", function: "f", share: "delivery" };

    #[tokio::test(start_paused = true)]
    async fn who_waits_looks_when_something_is_given_back_and_not_before() {
        let (budget, looks) = (Budget::new(10), AtomicU64::new(0));
        let held = budget.try_take(10).expect("10 of 10");
        let is_there = || {
            looks.fetch_add(1, Ordering::Relaxed);
            budget.left() >= 5
        };
        let mut shortage = Shortage::new(WHO);
        let mut waiting = Box::pin(shortage.wait(&budget, is_there));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        tokio::time::advance(ASK_AGAIN / 2).await;
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(looks.load(Ordering::Relaxed), 1, "nothing has happened");
        // Of many that give back a little, each is no look of its own.
        for _ in 0..100 {
            drop(budget.take_anyway(1));
            assert_eq!(waiting.as_mut().now_or_never(), None);
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        drop(held);
        waiting.await;
        assert_eq!(looks.load(Ordering::Relaxed), 2);
        assert!(!shortage.is_told, "it was short");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_told_once_and_memory_is_asked_for_again_in_between() {
        let budget = Budget::new(10);
        let _held = budget.take_anyway(10);
        let mut shortage = Shortage::new(WHO);
        let mut told = Vec::new();
        for _ in 0..25 {
            // Returns by itself, since whoever is asked may make room.
            shortage.wait(&budget, || budget.left() > 0).await;
            told.push(shortage.is_told);
        }
        assert_eq!(told.iter().filter(|is_told| !**is_told).count(), 9, "{told:?}");
        shortage.end();
    }
}
