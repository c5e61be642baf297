//! Idempotent ingest: replies by idempotency key, for as long as clients may ask again.
//!
//! A client that has lost a reply sends the same request with the same `Idempotency-Key` again. It gets the first reply,
//! and no record is appended twice. The window of remembered replies stands in memory; the replies themselves are in
//! the log, in the same commit as their records, so that a restart finds both or neither.
//!
//! | the key is | the request gets |
//! | --- | --- |
//! | new | a [`Claim`]: it is handled, and the claim is kept with the records |
//! | under way | to wait for the one that has it |
//! | known, with the same content | the first reply |
//! | known, with other content | a refusal |

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::config::limits::{REPLY_ENTRY_BYTES, REPLY_WINDOW_BYTES};
use crate::runtime::clock::UnixMicros;

/// The replies of one stream.
#[derive(Debug)]
pub struct Replies {
    window: Duration,
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Bytes, Slot, foldhash::fast::RandomState>,
    /// Keys of kept replies, oldest first.
    order: VecDeque<(UnixMicros, Bytes)>,
    bytes: u64,
}

#[derive(Debug)]
enum Slot {
    /// Its request is being handled; the sender is gone once that is over.
    UnderWay(watch::Receiver<()>),
    Kept(Kept),
}

#[derive(Debug, Clone)]
struct Kept {
    fingerprint: u64,
    reply: Bytes,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Known {
    /// Nothing: this request has it now.
    New(Claim),
    /// The same request was answered so.
    Answered(Bytes),
    /// Another request had it.
    Other,
}

/// The right to use a key for the first time. Dropped without [`Claim::keep`], the key is free again.
#[derive(Debug)]
pub struct Claim {
    replies: Arc<Replies>,
    key: Bytes,
    fingerprint: u64,
    /// Held for those who wait; they are told when it is dropped.
    _under_way: watch::Sender<()>,
}

impl Replies {
    /// Remembers replies for `window`, or fewer if they need more than [`REPLY_WINDOW_BYTES`].
    pub fn new(window: Duration) -> Arc<Self> {
        Arc::new(Self { window, bytes_max: REPLY_WINDOW_BYTES, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panics under the lock has changed nothing yet, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a key up and claims it if it is free. Waits while a request with it is under way.
    pub async fn claim(self: &Arc<Self>, key: &[u8], fingerprint: u64, now: UnixMicros) -> Known {
        loop {
            let mut under_way = match self.look(key, fingerprint, now) {
                Ok(known) => return known,
                Err(under_way) => under_way,
            };
            // An error is the end of the claim, which is what is waited for.
            while under_way.changed().await.is_ok() {}
        }
    }

    fn look(
        self: &Arc<Self>,
        key: &[u8],
        fingerprint: u64,
        now: UnixMicros,
    ) -> Result<Known, watch::Receiver<()>> {
        let mut state = self.state();
        state.forget_before(self.oldest(now));
        match state.slots.get(key) {
            Some(Slot::UnderWay(under_way)) => return Err(under_way.clone()),
            Some(Slot::Kept(kept)) if kept.fingerprint == fingerprint => {
                return Ok(Known::Answered(kept.reply.clone()));
            }
            Some(Slot::Kept(_)) => return Ok(Known::Other),
            None => {}
        }
        let key = Bytes::copy_from_slice(key);
        let (sender, receiver) = watch::channel(());
        state.slots.insert(key.clone(), Slot::UnderWay(receiver));
        Ok(Known::New(Claim { replies: Arc::clone(self), key, fingerprint, _under_way: sender }))
    }

    /// Puts a reply back that was found in the log. Replies come in the order in which they were given.
    pub fn restore(&self, key: &[u8], fingerprint: u64, arrival: UnixMicros, reply: &[u8]) {
        let kept = Kept { fingerprint, reply: Bytes::copy_from_slice(reply) };
        self.state().keep(Bytes::copy_from_slice(key), kept, arrival, self.bytes_max);
    }

    /// Arrival of the oldest reply that is remembered at `now`.
    pub fn oldest(&self, now: UnixMicros) -> UnixMicros {
        UnixMicros(now.0.saturating_sub(i64::try_from(self.window.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Forgets what is too old.
    pub fn expire(&self, now: UnixMicros) {
        self.state().forget_before(self.oldest(now));
    }
}

impl State {
    fn keep(&mut self, key: Bytes, kept: Kept, arrival: UnixMicros, bytes_max: u64) {
        self.bytes += cost(&key, &kept);
        self.order.push_back((arrival, key.clone()));
        if let Some(Slot::Kept(before)) = self.slots.insert(key.clone(), Slot::Kept(kept)) {
            // Only a log that was damaged has a key twice.
            self.bytes = self.bytes.saturating_sub(cost(&key, &before));
        }
        while self.bytes > bytes_max && self.forget_oldest() {}
    }

    fn forget_before(&mut self, oldest: UnixMicros) {
        while self.order.front().is_some_and(|(arrival, _)| *arrival < oldest) {
            self.forget_oldest();
        }
    }

    /// False if there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        if let Some(Slot::Kept(kept)) = self.slots.remove(&key) {
            self.bytes = self.bytes.saturating_sub(cost(&key, &kept));
        }
        true
    }
}

fn cost(key: &Bytes, kept: &Kept) -> u64 {
    (key.len() + kept.reply.len()) as u64 + REPLY_ENTRY_BYTES
}

impl Claim {
    /// The key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Of the request.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The request was answered with `reply`, and its records are durable.
    pub fn keep(self, reply: Bytes, arrival: UnixMicros) {
        let kept = Kept { fingerprint: self.fingerprint, reply };
        self.replies.state().keep(self.key.clone(), kept, arrival, self.replies.bytes_max);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.replies.state();
        if matches!(state.slots.get(&self.key), Some(Slot::UnderWay(_))) {
            state.slots.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_000_000_000);

    fn claimed(known: Known) -> Claim {
        match known {
            Known::New(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    fn answer(known: Known) -> Bytes {
        match known {
            Known::Answered(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_key_that_was_answered_gets_the_first_reply_and_no_other_content() {
        let replies = Replies::new(Duration::from_secs(60));
        claimed(replies.claim(b"k", 7, NOW).await).keep("one".into(), NOW);
        assert_eq!(answer(replies.claim(b"k", 7, NOW).await), "one");
        assert!(matches!(replies.claim(b"k", 8, NOW).await, Known::Other));
        claimed(replies.claim(b"l", 8, NOW).await);
    }

    #[tokio::test]
    async fn a_key_whose_request_came_to_nothing_is_free_again() {
        let replies = Replies::new(Duration::from_secs(60));
        drop(claimed(replies.claim(b"k", 7, NOW).await));
        claimed(replies.claim(b"k", 8, NOW).await);
    }

    #[tokio::test]
    async fn whoever_comes_second_waits_for_the_first() {
        let replies = Replies::new(Duration::from_secs(60));
        let first = claimed(replies.claim(b"k", 7, NOW).await);
        let second = replies.claim(b"k", 7, NOW);
        let keep = async {
            tokio::task::yield_now().await;
            first.keep("one".into(), NOW);
        };
        let (second, ()) = tokio::join!(second, keep);
        assert_eq!(answer(second), "one");
        let first = claimed(replies.claim(b"l", 7, NOW).await);
        let second = replies.claim(b"l", 7, NOW);
        let give_up = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, give_up);
        claimed(second);
    }

    #[tokio::test]
    async fn a_reply_is_forgotten_when_the_window_is_over_and_restored_ones_are_as_good() {
        let replies = Replies::new(Duration::from_secs(1));
        replies.restore(b"k", 7, NOW, b"one");
        assert_eq!(answer(replies.claim(b"k", 7, UnixMicros(NOW.0 + 1_000_000)).await), "one");
        claimed(replies.claim(b"k", 7, UnixMicros(NOW.0 + 1_000_001)).await);
        assert_eq!(replies.state().bytes, 0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let mut state = State::default();
        let kept = || Kept { fingerprint: 0, reply: Bytes::from_static(b"x") };
        for number in 0..100_u8 {
            state.keep(Bytes::from(vec![number]), kept(), NOW, 10 * (REPLY_ENTRY_BYTES + 2));
        }
        assert_eq!((state.slots.len(), state.order.len()), (10, 10));
        assert!(state.slots.contains_key(&Bytes::from_static(&[99])));
        assert_eq!(state.bytes, 10 * (REPLY_ENTRY_BYTES + 2));
    }
}
