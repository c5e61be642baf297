//! Keys that an issuer publishes, and that change: fetched in the background, again and again, and believed for a while
//! when the issuer is gone.
//!
//! ```text
//! fetched ── refresh ──▶ fetched                 every `refresh`
//!    │                      ▲
//!    ├── a key is asked for that nobody knows ─┤  at most once per UNKNOWN_KEY_PAUSE, whatever tokens say
//!    │                      │
//!    └── fails ─▶ failing ──┘                     tries again and again; the keys stay
//!                    └── refresh + outage_grace after the last success ─▶ denied: no key is known
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::fetch::{FetchError, Source};
use super::key_set::{KeySet, Skipped};
use super::refusal::Refusal;
use crate::config::limits::{JWT_KEYS_WAIT_MAX, JWT_UNKNOWN_KEY_PAUSE};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;
use crate::telemetry::metrics::JwtKeyMetrics;

/// How keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keeping {
    /// Who publishes them.
    pub issuer: String,
    /// How often they are fetched.
    pub refresh: Duration,
    /// For how long they are believed after the time when they should have been fetched again.
    pub grace: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    keeping: Keeping,
    born: Instant,
    current: RwLock<Fetched>,
    /// Of `current`, for whoever looks at each request: the number of the set, 0 for none, and microseconds after `born`
    /// until which it is believed.
    number: AtomicU64,
    believed_until: AtomicU64,
    asking: Mutex<Asking>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    /// Wakes the task.
    wanted: Notify,
    metrics: JwtKeyMetrics,
}

#[derive(Debug, Default)]
struct Fetched {
    keys: Option<Arc<KeySet>>,
    at: Option<Instant>,
}

#[derive(Debug)]
struct Asking {
    /// Fetches that have begun.
    begun: u64,
    /// Whether another one has been asked for.
    is_asked: bool,
    /// When one was asked for because of a key that nobody knew.
    last: Option<Instant>,
    /// How often all was forgotten.
    forgotten: u64,
}

impl FetchedKeys {
    /// No key yet.
    pub fn new(keeping: Keeping, metrics: JwtKeyMetrics) -> Self {
        Self {
            keeping,
            born: clock::monotonic(),
            current: RwLock::default(),
            number: AtomicU64::new(0),
            believed_until: AtomicU64::new(0),
            // By the task, as soon as it runs.
            asking: Mutex::new(Asking { begun: 0, is_asked: true, last: None, forgotten: 0 }),
            ended: watch::Sender::new(0),
            wanted: Notify::new(),
            metrics,
        }
    }

    /// The keys, while they are believed.
    ///
    /// # Errors
    /// [`Refusal::NoKeys`].
    pub fn current(&self) -> Result<Arc<KeySet>, Refusal> {
        let keys = self.read().keys.clone().ok_or(Refusal::NoKeys)?;
        if self.is_current(keys.number) { Ok(keys) } else { Err(Refusal::NoKeys) }
    }

    /// Whether what was verified with the set of this number still holds.
    pub fn is_current(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) == number
            && self.micros(clock::monotonic()) < self.believed_until.load(Ordering::Acquire)
    }

    /// To be called where a key is missing: waits until keys have been fetched, if they are, for a few seconds at most.
    /// Returns whether it is worth while to look again.
    pub async fn news(&self) -> bool {
        let (mut ended, target) = {
            let mut asking = self.asking();
            let now = clock::monotonic();
            let is_early = asking.last.is_some_and(|last| now.duration_since(last) < JWT_UNKNOWN_KEY_PAUSE);
            if !asking.is_asked && !is_early {
                asking.is_asked = true;
                asking.last = Some(now);
                self.wanted.notify_one();
            }
            let target = asking.begun + u64::from(asking.is_asked);
            (self.ended.subscribe(), target)
        };
        if *ended.borrow() >= target {
            return false;
        }
        let waited = tokio::time::timeout(JWT_KEYS_WAIT_MAX, ended.wait_for(|ended| *ended >= target)).await;
        waited.is_ok_and(|ended| ended.is_ok())
    }

    /// Forgets the keys, and asks for them: until they are there nobody's token is taken. Returns how many there were.
    pub fn forget(&self) -> usize {
        let mut asking = self.asking();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        self.number.store(0, Ordering::Release);
        self.believed_until.store(0, Ordering::Release);
        // A fetch that is under way may bring what has just been taken back: it counts for nothing.
        asking.forgotten += 1;
        asking.is_asked = true;
        self.wanted.notify_one();
        self.metrics.keys.set(0.0);
        std::mem::take(&mut *current).keys.map_or(0, |keys| keys.count())
    }

    /// Brings the gauge of their age up to date.
    pub fn refresh_gauges(&self) {
        if let Some(at) = self.read().at {
            self.metrics.age.set(clock::monotonic().saturating_duration_since(at).as_secs_f64());
        }
    }

    /// Keeps them. Ends only when it is dropped.
    pub async fn run(self: Arc<Self>, source: impl Source) {
        let (mut backoff, mut state) = (Backoff::default(), State::New);
        loop {
            let forgotten = {
                let mut asking = self.asking();
                asking.begun += 1;
                asking.is_asked = false;
                asking.forgotten
            };
            let pause = match source.fetch().await {
                Ok((keys, skipped)) => {
                    backoff = Backoff::default();
                    self.succeed((keys, forgotten), skipped, &mut state);
                    self.keeping.refresh
                }
                Err(error) => {
                    self.fail(&error, &mut state);
                    backoff.next_pause()
                }
            };
            self.ended.send_modify(|ended| *ended += 1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// `forgotten` is how often all had been when the fetch began.
    fn succeed(&self, (keys, forgotten): (KeySet, u64), skipped: Option<Skipped>, state: &mut State) {
        let issuer = self.keeping.issuer.as_str();
        self.metrics.ok.increment(1);
        let now = clock::monotonic();
        let lasts = self.keeping.refresh.saturating_add(self.keeping.grace);
        let is_new = {
            let asking = self.asking();
            if asking.forgotten != forgotten {
                return;
            }
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let is_new = current.keys.as_ref().is_none_or(|known| !known.is_same(&keys));
            if is_new {
                self.number.store(keys.number, Ordering::Release);
                self.metrics.keys.set(keys.count() as f64);
                current.keys = Some(Arc::new(keys));
            }
            current.at = Some(now);
            let until = self.micros(now).saturating_add(micros(lasts));
            self.believed_until.store(until, Ordering::Release);
            is_new
        };
        if is_new {
            let (keys, unused) = (self.read().keys.as_ref().map_or(0, |keys| keys.count()), skipped.as_ref());
            let (unused, why) = unused.map_or((0, String::new()), |it| (it.count, it.first.to_string()));
            match (keys, unused) {
                (0, _) => tracing::warn!(
                    issuer,
                    unused,
                    why,
                    "the issuer has no key that can be used: its tokens are refused"
                ),
                (_, 0) => tracing::info!(issuer, keys, "keys of the issuer"),
                _ => tracing::info!(
                    issuer,
                    keys,
                    unused,
                    why,
                    "keys of the issuer, some of which cannot be used"
                ),
            }
        } else if matches!(state, State::Failing | State::Denied) {
            tracing::info!(issuer, "the keys of the issuer can be fetched again");
        }
        *state = State::Well;
    }

    fn fail(&self, error: &FetchError, state: &mut State) {
        let issuer = self.keeping.issuer.as_str();
        self.metrics.failed(error.outcome()).increment(1);
        let is_believed = self.micros(clock::monotonic()) < self.believed_until.load(Ordering::Acquire);
        let next = if is_believed { State::Failing } else { State::Denied };
        if *state != next {
            match next {
                State::Failing => tracing::warn!(
                    issuer, %error,
                    "the keys of the issuer cannot be fetched: those that are known stay for `outage_grace`"
                ),
                _ => tracing::error!(
                    issuer, %error,
                    "the keys of the issuer cannot be fetched, and none are believed any more: its tokens are refused"
                ),
            }
        }
        *state = next;
    }

    fn micros(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.born))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Fetched> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was told in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Well,
    Failing,
    Denied,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
