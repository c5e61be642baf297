//! What a thread puts off until it has nothing else to do.
//!
//! An edge thread works through everything that has come in before it sleeps. Whoever waits for its work is woken once
//! then, and not once a request: a commit takes along what the thread has gathered, and the thread is not pushed off its
//! core in between.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

/// Who is woken.
pub trait Wake: Send + Sync {
    /// There is work for it, and the thread that has made it is about to sleep.
    fn wake(&self);
}

thread_local! {
    /// Who is to be woken; `None` on threads that put nothing off.
    static PUT_OFF: RefCell<Option<Vec<Arc<dyn Wake>>>> = const { RefCell::new(None) };
}

/// A runtime of the calling thread alone, whose [`before_park`] puts off until the runtime has nothing to do.
pub struct ParkingRuntime(Runtime);

impl ParkingRuntime {
    /// Built with timers and sockets.
    pub fn build() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().on_thread_park(wake_all).build()?;
        PUT_OFF.set(Some(Vec::new()));
        Ok(Self(runtime))
    }

    /// Runs `future` on the calling thread, which has to be the one that has built it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let output = self.0.block_on(future);
        // The runtime ends without a pause if the future was ready.
        wake_all();
        output
    }
}

impl Drop for ParkingRuntime {
    fn drop(&mut self) {
        wake_all();
        PUT_OFF.set(None);
    }
}

/// Wakes `waiter` before this thread sleeps the next time. False if nobody would: the caller has to wake it.
pub fn before_park<W: Wake + 'static>(waiter: &Arc<W>) -> bool {
    PUT_OFF.with_borrow_mut(|put_off| {
        let Some(waiters) = put_off else { return false };
        // One or two journals: a list is the fastest set.
        if !waiters.iter().any(|other| std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(waiter))) {
            waiters.push(Arc::clone(waiter) as Arc<dyn Wake>);
        }
        true
    })
}

fn wake_all() {
    PUT_OFF.with_borrow_mut(|put_off| {
        for waiter in put_off.iter_mut().flat_map(|waiters| waiters.drain(..)) {
            waiter.wake();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn get(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_waiter_is_woken_once_for_all_that_was_done_before_the_thread_sleeps() {
        let (count, other) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let runtime = ParkingRuntime::build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                assert!(before_park(&count));
                tokio::task::yield_now().await;
            }
            assert!(before_park(&other));
            assert_eq!((count.get(), other.get()), (0, 0));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            assert_eq!((count.get(), other.get()), (1, 1));
            assert!(before_park(&count));
        });
        assert_eq!(
            (count.get(), other.get()),
            (2, 1),
            "also at the end, when the thread does not sleep any more"
        );
    }

    #[test]
    fn a_thread_without_such_a_runtime_puts_nothing_off() {
        let count = Arc::new(Count::default());
        assert!(!before_park(&count));
        drop(ParkingRuntime::build().unwrap());
        assert!(!before_park(&count));
    }
}
