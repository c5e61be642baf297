//! A lane's work: take a body, wait until it is due, send it, and try again where that is asked for.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use forebay::testkit::generators::mix;
use tokio::sync::{Notify, SetOnce};

use super::account::{Doubt, Fate, NOT_SENT, Tally, settle};
use super::bodies::{self, Body, Queue};
use super::consume::Stamps;
use super::link::{Attempt, Link, RequestHead};
use super::reply::{self, Answer, Retry};
use super::schedule::Schedule;
use super::workload::Protocol;
use crate::manifest::{Account, RANGES_MAX};

/// First pause before another try where the server names none; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Longest such pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Shortest pause, whatever the server says: it may say 0.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Pause of a connection that cannot be opened and must not try again: a server that is gone must not burn a core.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

/// How often a pause looks whether the run was stopped.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// What all connections of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) start: Instant,
    pub(super) duration: Option<Duration>,
    pub(super) retry: Option<Duration>,
    pub(super) idempotent: bool,
    /// Lanes of all connections: producers are dealt to them in turn.
    pub(super) lanes: usize,
    /// Where the times of records are kept for readers.
    pub(super) stamps: Option<Arc<Stamps>>,
    pub(super) live: Live,
}

/// What can be read while the run goes on.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) requests: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) payload_bytes: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) retries: AtomicU64,
    /// Ranges that the manifest holds so far.
    pub(super) ranges: AtomicUsize,
}

impl Live {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn has_too_many_ranges(&self) -> bool {
        self.ranges.load(Ordering::Relaxed) > RANGES_MAX
    }
}

/// When a request was due, and the time by then.
#[derive(Clone, Copy)]
struct When {
    intended: Instant,
    now: Instant,
}

/// One request at a time, over a connection of its own or as one of several over one.
pub(super) struct Lane {
    pub(super) index: u32,
    /// Which part of the load it is of.
    pub(super) class: usize,
    /// Its number among the connections of that part.
    pub(super) place: u32,
    /// When requests of that part are due; `None` in a closed loop.
    pub(super) schedule: Option<Schedule>,
    pub(super) queue: Queue,
    pub(super) head: Arc<RequestHead>,
    /// Notified when a request is due.
    pub(super) due: Arc<Notify>,
    /// Of the producers whose records this connection sends.
    pub(super) accounts: Vec<Account>,
}

impl Lane {
    /// Works until there is nothing more to send, from when the load has `begun` or was stopped before that. Returns
    /// what became of the records.
    pub(super) async fn work(
        mut self,
        shared: &Shared,
        tally: &RefCell<Tally>,
        mut link: Link,
        begun: &SetOnce<()>,
    ) -> Vec<Account> {
        link.open_ahead().await;
        begun.wait().await;
        let mut turn = 0;
        while !shared.live.is_stopped() {
            let (body, is_starved) = match self.queue.try_next() {
                Some(body) => (body, false),
                None => match self.queue.next().await {
                    Some(body) => (body, true),
                    None => break,
                },
            };
            let Some(when) = self.wait(shared, tally, turn, is_starved).await else { break };
            turn += 1;
            self.request(shared, tally, &mut link, &body, when).await;
            if shared.live.has_too_many_ranges() {
                break;
            }
        }
        link.leave();
        self.accounts
    }

    /// Waits until the next request is due. Nothing if the run is over by then.
    async fn wait(
        &mut self,
        shared: &Shared,
        tally: &RefCell<Tally>,
        turn: u64,
        is_starved: bool,
    ) -> Option<When> {
        let Some(schedule) = self.schedule else {
            tally.borrow_mut().counts.starved += u64::from(is_starved);
            let now = clock::monotonic();
            let is_over = shared.duration.is_some_and(|duration| now >= shared.start + duration);
            return (!is_over).then_some(When { intended: now, now });
        };
        let due = schedule.due(self.place, turn);
        if shared.duration.is_some_and(|duration| due >= duration) {
            return None;
        }
        let intended = shared.start + due;
        let mut now = clock::monotonic();
        let was_idle = now < intended;
        while now < intended {
            if shared.live.is_stopped() {
                return None;
            }
            // The bound is for a run that was stopped; otherwise the pacer comes first.
            let _ = tokio::time::timeout(STOP_CHECK, self.due.notified()).await;
            now = clock::monotonic();
        }
        let mut tally = tally.borrow_mut();
        if was_idle {
            tally.pacing.record(now - intended);
        } else {
            tally.counts.starved += u64::from(is_starved);
        }
        Some(When { intended, now })
    }

    async fn request(
        &mut self,
        shared: &Shared,
        tally: &RefCell<Tally>,
        link: &mut Link,
        body: &Body,
        When { intended, now }: When,
    ) {
        let live = &shared.live;
        let (fate, doubt, now) = self.deliver(shared, tally, link, body, now).await;
        let mut tally = tally.borrow_mut();
        tally.tick(now);
        tally.latency(now.saturating_duration_since(intended));
        let account = &mut self.accounts[body.producer];
        let (acked, payload, ranges) = (tally.counts.acked, tally.counts.payload_bytes, account.fragments());
        settle(account, &mut tally.counts, body, &fate, doubt);
        tally.counts.requests += 1;
        let acked_now = tally.counts.acked - acked;
        if let Some(class) = tally.classes.get_mut(self.class) {
            class.requests += 1;
            class.failed += u64::from(!fate.is_success());
            class.acked += acked_now;
            class.latency.record(now.saturating_duration_since(intended));
        }
        live.requests.fetch_add(1, Ordering::Relaxed);
        live.records.fetch_add(acked_now, Ordering::Relaxed);
        live.payload_bytes.fetch_add(tally.counts.payload_bytes - payload, Ordering::Relaxed);
        let more_ranges = account.fragments().saturating_sub(ranges);
        if more_ranges > 0 {
            live.ranges.fetch_add(more_ranges, Ordering::Relaxed);
        }
        if !fate.is_success() {
            tally.counts.failed += 1;
            live.failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Fate::Answered(Answer::Taken { durability: Some(durability), .. }) = fate
            && tally.durability.is_none()
        {
            tally.durability = Some(durability);
        }
    }

    /// Sends a body until it has a final fate, and says when that was.
    async fn deliver(
        &self,
        shared: &Shared,
        tally: &RefCell<Tally>,
        link: &mut Link,
        body: &Body,
        mut sent: Instant,
    ) -> (Fate, Doubt, Instant) {
        let give_up = shared.retry.map(|retry| sent + retry);
        {
            let mut tally = tally.borrow_mut();
            tally.tick(sent);
            tally.counts.sent += body.records;
        }
        if let Some(stamps) = &shared.stamps {
            let producer = self.index as usize + body.producer * shared.lanes;
            stamps.stamp(producer, body.first, body.records, sent);
        }
        let protocol = self.head.protocol;
        let has_key = shared.idempotent && !protocol.is_aws();
        let name = &self.accounts[body.producer].producer;
        // In HTTP/1.1 it is part of the bytes.
        let key = (has_key && protocol != Protocol::Native).then(|| bodies::key(name, body.first));
        let mut doubt = Doubt::default();
        let mut tries = 0;
        loop {
            let (fate, now) = attempt(tally, link, body, key.as_deref(), sent).await;
            doubt.is_repeated |= doubt.is_open && !has_key && fate != Fate::NotSent;
            doubt.is_open |= fate.is_open();
            let pause = pause(&fate, tries, body.first).filter(|_| !shared.live.is_stopped());
            let Some(pause) = pause.filter(|&pause| give_up.is_some_and(|end| now + pause <= end)) else {
                if fate == Fate::NotSent && give_up.is_none() {
                    rest(UNREACHABLE_PAUSE, shared).await;
                }
                return (fate, doubt, now);
            };
            rest(pause, shared).await;
            tries += 1;
            sent = clock::monotonic();
            let mut tally = tally.borrow_mut();
            tally.tick(sent);
            tally.counts.retries += 1;
            shared.live.retries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One try, and when it ended.
async fn attempt(
    tally: &RefCell<Tally>,
    link: &mut Link,
    body: &Body,
    key: Option<&str>,
    sent: Instant,
) -> (Fate, Instant) {
    let attempt = link.post(&body.bytes, key, sent).await;
    let now = clock::monotonic();
    let mut tally = tally.borrow_mut();
    tally.tick(now);
    let fate = match attempt {
        Attempt::Answered { status, retry_after, body: reply } => {
            tally.service.record(now - sent);
            tally.counts.body_bytes += body.body_bytes;
            let protocol = link.head.protocol;
            let answer = reply::read(protocol, status, retry_after, &reply, body.records);
            match &answer {
                Answer::Taken { refused, .. } => {
                    refused.iter().for_each(|(_, code)| tally.error(status, code));
                }
                Answer::Refused { code, .. } | Answer::Unknown { code, .. } => {
                    tally.error(status, code);
                }
            }
            Fate::Answered(answer)
        }
        Attempt::NotSent => {
            tally.error(0, NOT_SENT);
            Fate::NotSent
        }
        Attempt::Lost(code) => {
            tally.counts.body_bytes += body.body_bytes;
            tally.error(0, code);
            Fate::Lost
        }
    };
    (fate, now)
}

/// How long to wait before another try; nothing if trying again cannot help.
fn pause(fate: &Fate, tries: u32, salt: u64) -> Option<Duration> {
    // A share of one half, different for each request and try, keeps clients from coming back all at once.
    let jitter = mix(salt ^ (u64::from(tries) << 48)) as f64 / u64::MAX as f64 / 2.0;
    match fate {
        Fate::Answered(Answer::Refused { retry, .. } | Answer::Unknown { retry, .. }) => match retry {
            Some(Retry { after: Some(after) }) => Some((*after).max(PAUSE_MIN).mul_f64(1.0 + jitter)),
            Some(Retry { after: None }) => Some(backoff(tries).mul_f64(0.5 + jitter)),
            None => None,
        },
        Fate::NotSent | Fate::Lost => Some(backoff(tries).mul_f64(0.5 + jitter)),
        Fate::Answered(Answer::Taken { .. }) => None,
    }
}

fn backoff(tries: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << tries.min(16)).min(BACKOFF_MAX)
}

/// Sleeps, or until the run is stopped.
pub(super) async fn rest(pause: Duration, shared: &Shared) {
    let end = clock::monotonic() + pause;
    while !shared.live.is_stopped() {
        let left = end.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(STOP_CHECK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(after: Option<u64>) -> Fate {
        let retry = Some(Retry { after: after.map(Duration::from_secs) });
        Fate::Answered(Answer::Refused { code: "throttled".into(), retry })
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_server_asked_for() {
        for salt in 0..1_000 {
            let two = pause(&refused(Some(2)), 5, salt).unwrap();
            assert!(two >= Duration::from_secs(2) && two <= Duration::from_secs(3), "{two:?}");
            assert!(pause(&refused(Some(0)), 0, salt).unwrap() >= PAUSE_MIN);
        }
    }

    #[test]
    fn pauses_grow_differ_and_have_an_end() {
        for fate in [refused(None), Fate::Lost, Fate::NotSent] {
            for (tries, most) in [(0, BACKOFF_MIN), (3, BACKOFF_MIN * 8), (40, BACKOFF_MAX)] {
                let pauses: Vec<_> = (0..100).map(|salt| pause(&fate, tries, salt).unwrap()).collect();
                assert!(pauses.iter().all(|pause| (most / 2..=most).contains(pause)));
                assert!(pauses.iter().any(|pause| *pause != pauses[0]));
            }
        }
    }

    #[test]
    fn what_trying_again_cannot_help_is_final() {
        for answer in [
            Answer::Refused { code: "schema".into(), retry: None },
            Answer::Unknown { code: "internal".into(), retry: None },
            Answer::Taken { refused: vec![], unlisted: 0, durability: None },
        ] {
            assert_eq!(pause(&Fate::Answered(answer), 0, 0), None);
        }
    }
}
