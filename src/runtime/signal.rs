//! Waking whoever waits for new records or for memory, at next to no cost when nobody does.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// An edge-triggered signal with a count of who waits. [`Signal::notify`] is one atomic load when nobody does.
///
/// No wake-up is lost if the waiter registers first and looks second: [`Signal::wait`], then look for records, then
/// await the [`Waiter`].
#[derive(Debug, Default)]
pub struct Signal {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Signal {
    /// Wakes everybody who is registered.
    #[inline]
    pub fn notify(&self) {
        // The lock of the log orders this load against the look of a waiter: if the look came first, so did the
        // increment, and it is seen here; if it came second, it finds what was appended before this call.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.notify.notify_waiters();
        }
    }

    /// Registers. Look for records after this call and before awaiting the result.
    pub fn wait(&self) -> Waiter<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut notified = Box::pin(self.notify.notified());
        notified.as_mut().enable();
        Waiter { signal: self, notified }
    }
}

/// A registration; await [`Waiter::woken`], or drop it to go away.
#[derive(Debug)]
pub struct Waiter<'a> {
    signal: &'a Signal,
    notified: Pin<Box<Notified<'a>>>,
}

impl Waiter<'_> {
    /// Returns at the first [`Signal::notify`] since [`Signal::wait`].
    pub async fn woken(mut self) {
        self.notified.as_mut().await;
    }

    /// Returns as soon as one of `waiters` would; never, where there is none.
    pub async fn any_woken(mut waiters: Vec<Self>) {
        std::future::poll_fn(|context| {
            let is_woken = |waiter: &mut Self| waiter.notified.as_mut().poll(context).is_ready();
            if waiters.iter_mut().any(is_woken) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.signal.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_notification_between_registering_and_awaiting_is_not_lost() {
        let signal = Signal::default();
        let waiter = signal.wait();
        signal.notify();
        waiter.woken().await;
        assert_eq!(signal.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn whoever_waits_for_several_is_woken_by_each_of_them() {
        let signals: [Signal; 3] = Default::default();
        for signal in &signals {
            let waiters = signals.iter().map(Signal::wait).collect();
            signal.notify();
            Waiter::any_woken(waiters).await;
        }
        assert_eq!(Waiter::any_woken(Vec::new()).now_or_never(), None);
        assert!(signals.iter().all(|signal| signal.waiting.load(Ordering::SeqCst) == 0));
    }
}
