//! Who reads by SubscribeToShard at the moment: one connection for each consumer and shard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::record::ShardId;

/// How long a subscription is safe from being taken over.
const SAFE: Duration = Duration::from_secs(5);

/// Why a subscription ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Another one has taken its place.
    TakenOver,
    /// Its consumer, or the stream, is gone.
    Gone,
}

/// What a subscription is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The stream.
    pub stream: String,
    /// The consumer's name.
    pub consumer: String,
    /// The shard.
    pub shard: ShardId,
}

#[derive(Debug)]
struct Active {
    id: u64,
    since: Instant,
    stop: oneshot::Sender<End>,
}

/// All of them. There are at most as many as registered consumers have shards.
#[derive(Debug, Default)]
pub struct Subscriptions {
    active: Mutex<HashMap<Key, Active>>,
}

/// A subscription, for as long as it exists.
#[derive(Debug)]
pub struct Subscription {
    all: Arc<Subscriptions>,
    key: Key,
    id: u64,
    /// Told when it has to end.
    pub stopped: oneshot::Receiver<End>,
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Active>> {
        // Nothing panics while it is changed.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one at `now`, in the place of one that there may be.
    ///
    /// # Errors
    /// `ResourceInUseException` if that is too young.
    pub fn begin(self: &Arc<Self>, key: Key, now: Instant) -> Result<Subscription, Failure> {
        let mut active = self.lock();
        if let Some(other) = active.get(&key)
            && now.saturating_duration_since(other.since) < SAFE
        {
            let Key { stream, consumer, shard } = key;
            return Err(Failure::new(
                FailureKind::ResourceInUse,
                format!(
                    "Another active subscription exists for this consumer: {consumer}, stream: {stream}, shard: {shard}."
                ),
            ));
        }
        let (stop, stopped) = oneshot::channel();
        let id = fastrand::u64(..);
        if let Some(other) = active.insert(key.clone(), Active { id, since: now, stop }) {
            // One that has just ended by itself needs not be told.
            let _ = other.stop.send(End::TakenOver);
        }
        Ok(Subscription { all: Arc::clone(self), key, id, stopped })
    }

    /// Ends those of a consumer that is gone.
    pub fn end(&self, stream: &str, consumer: &str) {
        self.end_where(|key| key.stream == stream && key.consumer == consumer);
    }

    /// Ends those of a stream that is gone.
    pub fn end_stream(&self, stream: &str) {
        self.end_where(|key| key.stream == stream);
    }

    fn end_where(&self, ends: impl Fn(&Key) -> bool) {
        for (_, active) in self.lock().extract_if(|key, _| ends(key)) {
            let _ = active.stop.send(End::Gone);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut active = self.all.lock();
        if active.get(&self.key).is_some_and(|active| active.id == self.id) {
            active.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn key(shard: u32) -> Key {
        Key { stream: "s".into(), consumer: "c".into(), shard: ShardId(shard) }
    }

    #[tokio::test]
    async fn a_second_subscription_takes_over_once_the_first_is_five_seconds_old() {
        let all = Arc::new(Subscriptions::default());
        let now = clock::monotonic();
        let mut first = all.begin(key(1), now).unwrap();
        let early = all.begin(key(1), now + Duration::from_millis(4_999)).unwrap_err();
        assert_eq!(early.kind, FailureKind::ResourceInUse);
        assert!(all.begin(key(2), now).is_ok(), "another shard is free");
        let second = all.begin(key(1), now + SAFE).unwrap();
        assert_eq!(first.stopped.try_recv(), Ok(End::TakenOver));
        // The end of the first leaves the second alone.
        drop(first);
        assert!(all.begin(key(1), now + SAFE).is_err());
        drop(second);
        assert!(all.begin(key(1), now + SAFE).is_ok());
    }

    #[tokio::test]
    async fn subscriptions_end_with_their_consumer() {
        let all = Arc::new(Subscriptions::default());
        let mut one = all.begin(key(1), clock::monotonic()).unwrap();
        all.end("s", "other");
        assert!(one.stopped.try_recv().is_err());
        all.end("s", "c");
        assert_eq!(one.stopped.try_recv(), Ok(End::Gone));
        assert!(all.lock().is_empty());
    }
}
