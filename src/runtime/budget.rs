//! The byte budget: what is held in memory has been paid for in bytes first.
//!
//! The process has one budget in two shares, so that neither side can starve the other:
//!
//! - **ingest** pays for request bodies, from before they are read until no batch, tap or delivery holds them;
//! - **delivery** pays for what encoders hold and for files on their way to a sink.
//!
//! A share is cut into accounts, one a stream or delivery, so that none can starve its neighbours: each account has a
//! *floor* that nobody else can use, and what it takes beyond the floor comes from the share's common *pool*. Floors
//! and pool together are the share.
//!
//! An account is a counter and nothing else: taking and giving back are one atomic operation each, two beyond the
//! floor. Who gives back besides looks whether anybody waits for that ([`Budget::given_back`]), which is one load.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;

use super::signal::{Signal, Waiter};

/// One share of the budget.
#[derive(Debug)]
pub struct Share {
    capacity: u64,
    accounts: Vec<Arc<Budget>>,
}

impl Share {
    /// A share of `capacity` bytes for `accounts` accounts: half of it is the pool, the other half is the floors. A
    /// single account gets all of it.
    pub fn new(capacity: u64, accounts: usize) -> Self {
        let count = accounts.max(1) as u64;
        let floor = if count == 1 { capacity } else { capacity / 2 / count };
        let pool = Pool::new(capacity - floor * count);
        let account = |_| Arc::new(Budget { floor, used: AtomicU64::new(0), pool: Arc::clone(&pool) });
        Self { capacity, accounts: (0..count).map(account).collect() }
    }

    /// All of its bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes taken at the moment, by all accounts.
    pub fn used(&self) -> u64 {
        self.accounts.iter().map(|account| account.used()).sum()
    }

    /// Bytes of the pool that are taken.
    #[cfg(test)]
    fn pool_used(&self) -> u64 {
        self.accounts[0].pool.used()
    }

    /// The last account but one; the last if there is no other.
    pub fn account_before_last(&self) -> Arc<Budget> {
        self.account(self.accounts.len().saturating_sub(2))
    }

    /// The account of a number that was counted in [`Share::new`]; a larger one shares the last account.
    pub fn account(&self, index: usize) -> Arc<Budget> {
        Arc::clone(&self.accounts[index.min(self.accounts.len() - 1)])
    }
}

/// What the accounts of a share have in common.
#[derive(Debug)]
struct Pool {
    capacity: u64,
    /// Below zero for a moment where bytes are given back by one thread before the one that takes them has counted
    /// them here.
    used: AtomicI64,
    /// Told when an account gives something back, whether to the pool or to its own floor.
    given_back: Signal,
}

impl Pool {
    fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, used: AtomicI64::new(0), given_back: Signal::default() })
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed).max(0).unsigned_abs()
    }
}

/// One account of a share.
#[derive(Debug)]
pub struct Budget {
    floor: u64,
    used: AtomicU64,
    pool: Arc<Pool>,
}

impl Budget {
    /// An account that is a share of its own.
    pub fn new(capacity: u64) -> Arc<Self> {
        let pool = Pool::new(0);
        Arc::new(Self { floor: capacity, used: AtomicU64::new(0), pool })
    }

    /// Bytes taken at the moment. May be more than there is: see [`Budget::take_anyway`].
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that it could have at most, if no other account had anything of the pool.
    pub fn capacity(&self) -> u64 {
        self.floor + self.pool.capacity
    }

    /// Bytes that it could take at the moment.
    pub fn left(&self) -> u64 {
        self.floor.saturating_sub(self.used()) + self.pool.capacity.saturating_sub(self.pool.used())
    }

    /// Whether its floor and the pool are taken to `percent` or more.
    pub fn is_taken_to(&self, percent: u64) -> bool {
        let over = |used: u64, capacity: u64| used.saturating_mul(100) >= capacity.saturating_mul(percent);
        over(self.used(), self.floor) && over(self.pool.used(), self.pool.capacity)
    }

    /// Registers for the next time that bytes are given back to this account, or to another one of its share. Look whether
    /// there are enough after this call and before awaiting the result, and again behind it: somebody else may have had
    /// them. Since the counters are not ordered against the signal, one may be missed on some machines: who waits has to
    /// look once in a while besides.
    pub fn given_back(&self) -> Waiter<'_> {
        self.pool.given_back.wait()
    }

    /// Takes `bytes`, or nothing if they are not there.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.try_add(bytes).then(|| Permit { budget: Arc::clone(self), bytes })
    }

    /// Takes `bytes` even if that overdraws the account: for what has already come into being, such as the last
    /// record of a file. The account refuses [`Budget::try_take`] until it is repaid.
    pub fn take_anyway(self: &Arc<Self>, bytes: u64) -> Permit {
        self.add(bytes);
        Permit { budget: Arc::clone(self), bytes }
    }

    fn beyond_floor(&self, used: u64) -> u64 {
        used.saturating_sub(self.floor)
    }

    /// Adds to the account, and what goes beyond the floor to the pool. Returns the pool's bytes afterwards, if it was
    /// asked for any.
    fn add(&self, bytes: u64) -> Option<i64> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        // Every byte beyond the floor is counted by exactly one call, whatever the order of the calls.
        let beyond = self.beyond_floor(before + bytes) - self.beyond_floor(before);
        // Far below 2^63: nobody has exbibytes.
        let beyond = beyond.cast_signed();
        (beyond > 0).then(|| self.pool.used.fetch_add(beyond, Ordering::Relaxed) + beyond)
    }

    fn try_add(&self, bytes: u64) -> bool {
        // A sum that no memory could hold must not wrap the counters.
        if bytes > self.floor + self.pool.capacity {
            return false;
        }
        match self.add(bytes) {
            Some(used) if used > self.pool.capacity.cast_signed() => {
                self.remove(bytes);
                false
            }
            _ => true,
        }
    }

    fn remove(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        let beyond = self.beyond_floor(before) - self.beyond_floor(before - bytes);
        if beyond > 0 {
            self.pool.used.fetch_sub(beyond.cast_signed(), Ordering::Relaxed);
        }
        self.pool.given_back.notify();
    }
}

/// Bytes taken from a [`Budget`]. They go back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Permit {
    /// The account that they were taken from.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes on top; false, and nothing taken, if they are not there.
    #[must_use]
    pub fn try_grow(&mut self, more: u64) -> bool {
        let taken = self.budget.try_add(more);
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Makes it hold exactly `bytes`, overdrawing the share if need be.
    pub fn set(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            self.budget.add(bytes - self.bytes);
        } else {
            self.budget.remove(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Bytes that it pays for until the last holder of them is gone: with a client that does not read.
    pub fn cover(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Covered { bytes, _permit: self })
    }
}

struct Covered {
    bytes: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for Covered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_hands_out_more_than_it_has() {
        let budget = Budget::new(10);
        let first = budget.try_take(7).expect("7 of 10");
        assert!(budget.try_take(4).is_none());
        assert_eq!(budget.used(), 7);
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.try_take(10).is_some());
        assert!(budget.try_take(u64::MAX).is_none());
    }

    #[test]
    fn a_permit_grows_shrinks_and_gives_back_exactly_what_it_holds() {
        let budget = Budget::new(10);
        let mut permit = budget.try_take(2).expect("2 of 10");
        assert!(permit.try_grow(8));
        assert!(!permit.try_grow(1));
        permit.set(3);
        assert_eq!(budget.used(), 3);
        permit.set(23);
        assert_eq!((permit.bytes(), budget.used()), (23, 23));
        drop(permit);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_account_cannot_take_the_floor_of_another() {
        // Pool 50, two floors of 25.
        let share = Share::new(100, 2);
        let (greedy, modest) = (share.account(0), share.account(1));
        let all = greedy.try_take(75).expect("its floor and the pool");
        assert!(greedy.try_take(1).is_none());
        assert!(greedy.is_taken_to(100) && !modest.is_taken_to(1));
        assert_eq!((greedy.capacity(), greedy.left(), modest.left()), (75, 0, 25));
        let floor = modest.try_take(25).expect("its floor");
        assert!(modest.try_take(1).is_none());
        assert_eq!((share.used(), share.pool_used()), (100, 50));
        drop(all);
        assert_eq!((share.used(), share.pool_used()), (25, 0));
        assert!(modest.try_take(50).is_some());
        drop(floor);
        assert_eq!((share.used(), share.pool_used()), (0, 0));
    }

    #[tokio::test]
    async fn whoever_waits_for_memory_is_woken_by_whatever_account_of_the_share_gives_back() {
        use futures_util::FutureExt as _;

        let share = Share::new(100, 2);
        let (one, other) = (share.account(0), share.account(1));
        let (all, floor) = (one.try_take(75).expect("75 of 100"), other.try_take(25).expect("the rest"));
        let waiter = other.given_back();
        drop(other.try_take(1));
        drop(other.take_anyway(0));
        drop(all);
        waiter.woken().await;
        let waiter = other.given_back();
        assert_eq!(waiter.woken().now_or_never(), None, "nothing has come back since");
        drop(floor);
    }

    #[test]
    fn many_threads_leave_nothing_behind() {
        let share = Share::new(1_000, 3);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let account = share.account(thread % 3);
                scope.spawn(move || {
                    for step in 0..10_000_u64 {
                        let mut permit = account.take_anyway(step % 400);
                        let _ = permit.try_grow(step % 300);
                        permit.set(step % 500);
                        drop(account.try_take(step % 700));
                    }
                });
            }
        });
        assert_eq!((share.used(), share.pool_used()), (0, 0));
    }
}
