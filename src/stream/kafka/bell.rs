//! What wakes the thread of a topic, and whoever waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    is_rung: bool,
    is_over: bool,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BellState> {
        // Nothing panics while it is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread.
    pub fn ring(&self) {
        self.lock().is_rung = true;
        self.rung.notify_all();
    }

    /// The thread is to end.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.rung.notify_all();
    }

    /// Whether the thread is to end.
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Has those look again who wait until something is so.
    pub fn tell(&self) {
        drop(self.lock());
        self.rung.notify_all();
    }

    /// Waits until it is rung, or is over, or `time` has passed.
    pub fn wait(&self, time: Duration) {
        let state = self.lock();
        let waited = self.rung.wait_timeout_while(state, time, |state| !state.is_rung && !state.is_over);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_rung = false;
    }

    /// Waits until something is so, at most for `time`.
    pub fn wait_until(&self, time: Duration, is_so: impl Fn() -> bool) {
        let state = self.lock();
        let waited = self.rung.wait_timeout_while(state, time, |state| !state.is_over && !is_so());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
