//! Waking whoever waits for new records, at next to no cost when nobody does.

use std::sync::atomic::{AtomicUsize, Ordering};

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
    notified: std::pin::Pin<Box<Notified<'a>>>,
}

impl Waiter<'_> {
    /// Returns at the first [`Signal::notify`] since [`Signal::wait`].
    pub async fn woken(mut self) {
        self.notified.as_mut().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.signal.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_notification_between_registering_and_awaiting_is_not_lost() {
        let signal = Signal::default();
        let waiter = signal.wait();
        signal.notify();
        waiter.woken().await;
        assert_eq!(signal.waiting.load(Ordering::SeqCst), 0);
    }
}
