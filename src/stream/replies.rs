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
use metrics::Counter;
use tokio::sync::watch;

use crate::config::limits::{REPLY_ENTRY_BYTES, REPLY_WINDOW_BYTES};
use crate::runtime::clock::UnixMicros;

/// The replies of one stream.
#[derive(Debug)]
pub struct Replies {
    window: Duration,
    bytes_max: u64,
    /// Counts replies that were forgotten before their window was over.
    evicted: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Bytes, Slot, foldhash::fast::RandomState>,
    /// Kept replies, oldest first. A key may be in it twice: the log still has the reply of an earlier use.
    order: VecDeque<Place>,
    /// Replies kept so far.
    kept: u64,
    bytes: u64,
}

/// Where a reply stands in the order in which they are forgotten.
#[derive(Debug)]
struct Place {
    arrival: UnixMicros,
    /// The number of the reply, which tells it from one of another use of the key.
    number: u64,
    key: Bytes,
}

#[derive(Debug)]
enum Slot {
    /// Its request is being handled; the sender is gone once that is over.
    UnderWay(watch::Receiver<()>),
    Kept(Kept),
}

#[derive(Debug, Clone)]
struct Kept {
    /// The number of its [`Place`].
    number: u64,
    fingerprint: u64,
    reply: Bytes,
}

/// A reply that is to be kept.
struct NewKept {
    key: Bytes,
    fingerprint: u64,
    reply: Bytes,
    arrival: UnixMicros,
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
    /// Remembers replies for `window`, or for less if they need more than [`REPLY_WINDOW_BYTES`]; `evicted` then counts
    /// those that are forgotten too early.
    pub fn new(window: Duration, evicted: Counter) -> Arc<Self> {
        Arc::new(Self { window, bytes_max: REPLY_WINDOW_BYTES, evicted, state: Mutex::default() })
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
        let (key, reply) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(reply));
        self.keep(NewKept { key, fingerprint, reply, arrival });
    }

    fn keep(&self, new: NewKept) {
        let in_window = self.oldest(new.arrival);
        let mut state = self.state();
        state.keep(new);
        let evicted = state.shrink(self.bytes_max, in_window);
        drop(state);
        self.evicted.increment(evicted);
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
    fn keep(&mut self, new: NewKept) {
        let NewKept { key, fingerprint, reply, arrival } = new;
        let number = self.kept;
        self.kept += 1;
        let kept = Kept { number, fingerprint, reply };
        self.bytes += cost(&key, &kept);
        self.order.push_back(Place { arrival, number, key: key.clone() });
        if let Some(Slot::Kept(before)) = self.slots.insert(key.clone(), Slot::Kept(kept)) {
            // The log has the reply of an earlier use of the key, which a process of before had forgotten in time.
            self.bytes = self.bytes.saturating_sub(cost(&key, &before));
        }
    }

    /// Forgets replies, oldest first, until the others need no more than `bytes_max`. Returns how many of them had
    /// arrived at `in_window` or later.
    fn shrink(&mut self, bytes_max: u64, in_window: UnixMicros) -> u64 {
        let mut evicted = 0;
        while self.bytes > bytes_max {
            let Some(place) = self.order.pop_front() else { break };
            evicted += u64::from(self.forget(&place) && place.arrival >= in_window);
        }
        evicted
    }

    fn forget_before(&mut self, oldest: UnixMicros) {
        while let Some(place) = self.order.pop_front_if(|place| place.arrival < oldest) {
            self.forget(&place);
        }
    }

    /// Forgets a reply. False if the key is in use again, by a later request: then it is no longer there.
    fn forget(&mut self, place: &Place) -> bool {
        let is_kept = |slot: &Slot| matches!(slot, Slot::Kept(kept) if kept.number == place.number);
        if !self.slots.get(&place.key).is_some_and(is_kept) {
            return false;
        }
        if let Some(Slot::Kept(kept)) = self.slots.remove(&place.key) {
            self.bytes = self.bytes.saturating_sub(cost(&place.key, &kept));
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
        let (key, fingerprint) = (self.key.clone(), self.fingerprint);
        self.replies.keep(NewKept { key, fingerprint, reply, arrival });
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

    fn replies(window_seconds: u64) -> Arc<Replies> {
        Replies::new(Duration::from_secs(window_seconds), Counter::noop())
    }

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
        let replies = replies(60);
        claimed(replies.claim(b"k", 7, NOW).await).keep("one".into(), NOW);
        assert_eq!(answer(replies.claim(b"k", 7, NOW).await), "one");
        assert!(matches!(replies.claim(b"k", 8, NOW).await, Known::Other));
        claimed(replies.claim(b"l", 8, NOW).await);
    }

    #[tokio::test]
    async fn a_key_whose_request_came_to_nothing_is_free_again() {
        let replies = replies(60);
        drop(claimed(replies.claim(b"k", 7, NOW).await));
        claimed(replies.claim(b"k", 8, NOW).await);
    }

    #[tokio::test]
    async fn whoever_comes_second_waits_for_the_first() {
        let replies = replies(60);
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
        let replies = replies(1);
        replies.restore(b"k", 7, NOW, b"one");
        assert_eq!(answer(replies.claim(b"k", 7, UnixMicros(NOW.0 + 1_000_000)).await), "one");
        claimed(replies.claim(b"k", 7, UnixMicros(NOW.0 + 1_000_001)).await);
        assert_eq!(replies.state().bytes, 0);
    }

    #[tokio::test]
    async fn forgetting_an_earlier_use_of_a_key_leaves_the_later_reply() {
        let replies = replies(1);
        // The first was forgotten for want of room; the log still has both.
        let later = UnixMicros(NOW.0 + 900_000);
        replies.restore(b"k", 7, NOW, b"one");
        replies.restore(b"k", 8, later, b"two");
        let first_is_over = UnixMicros(NOW.0 + 1_000_001);
        assert_eq!(answer(replies.claim(b"k", 8, first_is_over).await), "two");
        assert!(replies.state().bytes > 0);
        let both_are_over = UnixMicros(later.0 + 1_000_001);
        replies.expire(both_are_over);
        let state = replies.state();
        assert_eq!((state.bytes, state.order.len()), (0, 0));
    }

    #[tokio::test]
    async fn forgetting_an_earlier_use_of_a_key_leaves_the_request_that_has_it() {
        let replies = replies(60);
        let claim = claimed(replies.claim(b"k", 7, NOW).await);
        replies.state().order.push_back(Place { arrival: UnixMicros(0), number: 99, key: "k".into() });
        replies.expire(NOW);
        assert_eq!(replies.state().slots.len(), 1);
        claim.keep("one".into(), NOW);
        assert_eq!(answer(replies.claim(b"k", 7, NOW).await), "one");
    }

    fn keep(state: &mut State, number: u8, arrival: i64) {
        let (key, reply) = (Bytes::from(vec![number]), Bytes::from_static(b"x"));
        state.keep(NewKept { key, fingerprint: 0, reply, arrival: UnixMicros(arrival) });
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first_and_are_counted_if_their_window_is_not_over() {
        let mut state = State::default();
        let bytes_max = 10 * (REPLY_ENTRY_BYTES + 2);
        let mut evicted = 0;
        for number in 0..100_u8 {
            keep(&mut state, number, i64::from(number));
            evicted += state.shrink(bytes_max, UnixMicros(20));
        }
        assert_eq!((state.slots.len(), state.order.len()), (10, 10));
        assert!(state.slots.contains_key(&Bytes::from_static(&[99])));
        // The first 20 had had their time.
        assert_eq!((state.bytes, evicted), (bytes_max, 70));
    }
}
