//! What a connection waits for, and when that has taken too long.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::protocol::Protocol;
use crate::config::checked::Server;
use crate::edge::answers::Answers;
use crate::edge::strict::wire::Flaw;
use crate::runtime::clock;

/// In place of the beginning of a wait: it has begun since the timer fired last. A slow head therefore has between one
/// and two times the header time-out.
const NOT_NOTED: u64 = u64::MAX;

/// What a connection is waiting for, kept in atomics because hyper wants `Send` futures; all uses are on one thread.
#[derive(Debug)]
pub struct Progress {
    opened: Instant,
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// Whether the last request is one that a client sends to change something.
    is_changing: AtomicBool,
    /// Microseconds after `opened` at which the end of what the client sends was put off first; 0 while it was not.
    end_put_off: AtomicU64,
    /// Who is to be told of its end, because he is to read that nothing more will come only then.
    ended: AtomicWaker,
    /// Microseconds after `opened` at which the wait began.
    since: AtomicU64,
    /// While bytes of a request head have come in and the head is not complete.
    head_begun: AtomicBool,
    /// Requests that have come.
    requests: AtomicU64,
    /// The first of them that is not believed, and why.
    flawed: OnceLock<(u64, Flaw)>,
    /// What there is over HTTP/2 alone.
    http2: Option<Box<Http2>>,
}

/// See [`Progress`].
#[derive(Debug, Default)]
struct Http2 {
    /// Told when there are as many requests as there may be.
    exhausted: Notify,
    answers: Mutex<Answers>,
}

/// A request that is being answered, for as long as it exists: hyper drops it where the client resets its stream.
#[derive(Debug)]
pub struct Answering(Arc<Progress>);

impl Answering {
    /// From now on, a request that changes something or not.
    pub fn new(progress: &Arc<Progress>, is_changing: bool) -> Self {
        progress.answering.fetch_add(1, Ordering::Relaxed);
        progress.is_changing.store(is_changing, Ordering::Relaxed);
        progress.head_begun.store(false, Ordering::Relaxed);
        Self(Arc::clone(progress))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // The wait for the next request begins with the answer's last byte: see `Progress::wait_begins`.
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.wake();
    }
}

/// Which time-out a connection has run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// With a request's head, the first one or one that has begun.
    Head,
    /// With the next request.
    NextRequest,
    /// With taking an answer, over HTTP/2.
    Answer,
}

impl Progress {
    /// That of a connection which owes its first head from now on.
    pub fn new() -> Self {
        Self {
            opened: clock::monotonic(),
            answering: AtomicUsize::new(0),
            is_changing: AtomicBool::new(false),
            end_put_off: AtomicU64::new(0),
            ended: AtomicWaker::new(),
            since: AtomicU64::new(0),
            head_begun: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            flawed: OnceLock::new(),
            http2: None,
        }
    }

    /// The same, of a protocol that is known now.
    pub fn over(self, protocol: Protocol) -> Self {
        Self { http2: (protocol == Protocol::Http2).then(Box::default), ..self }
    }

    /// Counts a request; says whether it is the last that the connection may have, and why it is not believed.
    pub fn request(&self, max: Option<u64>) -> (bool, Option<Flaw>) {
        let index = self.requests.fetch_add(1, Ordering::Relaxed);
        let is_last = max.is_some_and(|max| index + 1 >= max);
        if let Some(http2) = self.http2.as_ref().filter(|_| is_last) {
            http2.exhausted.notify_one();
        }
        (is_last, self.flawed.get().filter(|(from, _)| *from <= index).map(|(_, flaw)| *flaw))
    }

    /// From this request on nothing is believed, counted from 0.
    pub fn flawed(&self, from: (u64, Flaw)) {
        self.flawed.get_or_init(|| from);
    }

    /// Returns once there are as many requests as there may be, over HTTP/2. Over HTTP/1 the last answer says so itself.
    pub async fn exhausted(&self) {
        match &self.http2 {
            Some(http2) => http2.exhausted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The answers that are under way, over HTTP/2.
    pub fn answers(&self) -> Option<MutexGuard<'_, Answers>> {
        // Nothing panics while they are changed.
        self.http2.as_ref().map(|http2| http2.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Microseconds since the connection was opened.
    pub fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Something has moved: from here on it is waited for what comes next.
    pub fn wait_begins(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Bytes came in. When a head has begun is not noted here, because that would cost a look at the clock for each
    /// request: the timer notes it when it next fires.
    pub fn received(&self, bytes: &[u8]) {
        if let Some(mut answers) = self.answers() {
            answers.received(bytes);
            // Once there was a request, any frame of the client counts as life where no answer is under way.
            if self.requests.load(Ordering::Relaxed) > 0 {
                self.wait_begins();
            }
        } else if self.answering.load(Ordering::Relaxed) == 0 && !self.head_begun.load(Ordering::Relaxed) {
            self.head_begun.store(true, Ordering::Relaxed);
            self.since.store(NOT_NOTED, Ordering::Relaxed);
        }
    }

    /// Whether the end of what the client sends, behind whole requests over HTTP/1, is to be read only once the answer to
    /// the one under way is there and, where it is `stuck` on its way out, has been taken: hyper would drop that one, and a
    /// client that ends its side first would not know what became of records that are kept. One that only waits for
    /// something is dropped: nobody may be there any more. Whoever asks is woken when the answer is there.
    pub fn defers_end(&self, stuck: bool, cx: &Context<'_>) -> bool {
        let is_answering = self.answering.load(Ordering::Relaxed) > 0;
        let defers = (is_answering || stuck) && self.is_changing.load(Ordering::Relaxed);
        if defers {
            self.ended.register(cx.waker());
            if self.end_put_off.load(Ordering::Relaxed) == 0 {
                self.end_put_off.store(self.now().max(1), Ordering::Relaxed);
            }
        }
        defers
    }

    /// Whether the end of what the client sends is still to be read.
    pub fn has_put_off_end(&self) -> bool {
        self.end_put_off.load(Ordering::Relaxed) > 0
    }

    /// How long it may still wait, or what it is late with.
    fn remaining(&self, server: &Server) -> Result<Duration, Late> {
        let of_requests = self.remaining_of_requests(server);
        let Some(answers) = self.answers() else { return of_requests };
        let of_answers = answers.remaining(server.idle_timeout, self.now()).ok_or(Late::Answer)?;
        Ok(of_requests?.min(of_answers))
    }

    /// The same of requests. While one is being answered the handler's own time-outs count; the look is then repeated
    /// after the shorter bound. Only a client that has ended its side, and may be gone, does not keep its place for as long
    /// as a disk hangs.
    fn remaining_of_requests(&self, server: &Server) -> Result<Duration, Late> {
        if self.answering.load(Ordering::Relaxed) > 0 {
            let look_again = server.header_timeout.min(server.idle_timeout);
            return match self.end_put_off.load(Ordering::Relaxed) {
                0 => Ok(look_again),
                since => {
                    let rest = self.rest_of(server.idle_timeout, since).ok_or(Late::NextRequest)?;
                    Ok(rest.min(look_again))
                }
            };
        }
        let (limit, late) = if self.head_begun.load(Ordering::Relaxed) {
            (server.header_timeout, Late::Head)
        } else {
            (server.idle_timeout, Late::NextRequest)
        };
        if self.since.load(Ordering::Relaxed) == NOT_NOTED {
            self.wait_begins();
        }
        self.rest_of(limit, self.since.load(Ordering::Relaxed)).ok_or(late)
    }

    /// What is left of `limit`, which counts from `since`.
    fn rest_of(&self, limit: Duration, since: u64) -> Option<Duration> {
        let waited = Duration::from_micros(self.now().saturating_sub(since));
        limit.checked_sub(waited).filter(|rest| !rest.is_zero())
    }

    /// Returns when the connection is late. The timer is set again only when it fires, so that a busy connection
    /// costs one timer a time-out, not one a request.
    pub async fn late(&self, server: &Server) -> Late {
        loop {
            match self.remaining(server) {
                // A head that begins while an idle wait runs must be noticed in its own time.
                Ok(rest) => tokio::time::sleep(rest.min(server.header_timeout)).await,
                Err(late) => return late,
            }
        }
    }
}
