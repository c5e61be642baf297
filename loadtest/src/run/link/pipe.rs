//! Pipelining: several requests of HTTP/1.1 are under way on one connection, which answers them in order.
//!
//! What is due at the same time goes out in one write, and what came back at the same time is read by one: the
//! kernel's share of a request, which is most of what a load generator costs, is paid once for all of them. Requests
//! share a fate where a connection breaks: those of which a byte was sent are lost, the others go over the next one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use super::answer;
use super::connect::Stream;
use super::http1::READ_BYTES;
use super::{Attempt, RequestHead};

/// A connection that several senders share.
pub(in crate::run) struct Pipe {
    head: Arc<RequestHead>,
    state: RefCell<State>,
}

struct State {
    /// What is to be sent, …
    out: Vec<u8>,
    /// … how much of it is, …
    sent: usize,
    /// … and how many bytes were taken off its front since the beginning.
    base: u64,
    /// Requests without a reply, in order.
    waiting: VecDeque<Waiting>,
    senders: Vec<Sender>,
    /// Senders that may still come.
    left: usize,
    driver: Option<Waker>,
}

struct Waiting {
    sender: usize,
    /// Where it begins, of all bytes since the beginning.
    start: u64,
    since: Instant,
}

#[derive(Default)]
struct Sender {
    attempt: Option<Attempt>,
    waker: Option<Waker>,
}

/// An open connection.
struct Wire<S = Stream> {
    stream: S,
    /// What was read and not handed out is at `start..end`; the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Wakes when the oldest request may have waited for too long.
    timer: Pin<Box<Sleep>>,
    has_written: bool,
    /// The stream may hold bytes that it took and has not passed on, as TLS does.
    is_unflushed: bool,
    /// Nothing more can be written, but replies may come.
    is_deaf: bool,
}

/// Why a connection is left.
enum End {
    /// Nobody needs it any more.
    Done,
    /// It broke, for this reason.
    Broken(&'static str),
}

impl Pipe {
    /// For `senders` senders, each with one request at a time.
    pub(in crate::run) fn new(head: Arc<RequestHead>, senders: usize) -> Self {
        let state = State {
            out: Vec::new(),
            sent: 0,
            base: 0,
            waiting: VecDeque::with_capacity(senders),
            senders: (0..senders).map(|_| Sender::default()).collect(),
            left: senders,
            driver: None,
        };
        Self { head, state: RefCell::new(state) }
    }

    /// Sends `bytes` for `sender` behind what others have given, and waits for the reply.
    pub(super) async fn post(&self, sender: usize, bytes: &[u8], since: Instant) -> Attempt {
        {
            let mut state = self.state.borrow_mut();
            let start = state.base + state.out.len() as u64;
            state.out.extend_from_slice(bytes);
            state.waiting.push_back(Waiting { sender, start, since });
            state.wake_driver();
        }
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            let sender = &mut state.senders[sender];
            match sender.attempt.take() {
                Some(attempt) => Poll::Ready(attempt),
                None => {
                    remember(&mut sender.waker, context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A sender needs it no more.
    pub(super) fn leave(&self) {
        let mut state = self.state.borrow_mut();
        state.left = state.left.saturating_sub(1);
        state.wake_driver();
    }

    /// Keeps the connection open, writes and reads, until every sender has left.
    pub(in crate::run) async fn drive(&self) {
        let mut open = self.connect().await;
        let mut barren = 0;
        loop {
            let Some(wire) = &mut open else {
                if !self.is_needed().await {
                    return;
                }
                open = self.connect().await;
                if open.is_none() {
                    self.state.borrow_mut().fail(u64::MAX, || Attempt::NotSent);
                }
                continue;
            };
            match poll_fn(|context| self.work(wire, context)).await {
                End::Done => return,
                End::Broken(code) => {
                    let mut state = self.state.borrow_mut();
                    let sent = state.base + state.sent as u64;
                    barren = if wire.has_written { 0 } else { barren + 1 };
                    // A server may close an idle connection at any time: what was not begun goes over another.
                    match barren {
                        0 => state.fail(sent, || Attempt::Lost(code)),
                        1 => {}
                        _ => state.fail(u64::MAX, || Attempt::NotSent),
                    }
                    open = None;
                }
            }
        }
    }

    async fn connect(&self) -> Option<Wire> {
        let stream = timeout(self.head.timeout, self.head.dialer.dial()).await.ok()?.ok()?;
        Some(Wire::new(stream, self.head.timeout))
    }

    /// True when there is something to send, false when there will be nothing.
    async fn is_needed(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            remember(&mut state.driver, context);
            match (state.waiting.is_empty(), state.left) {
                (false, _) => Poll::Ready(true),
                (true, 0) => Poll::Ready(false),
                (true, _) => Poll::Pending,
            }
        })
        .await
    }

    fn work<S>(&self, wire: &mut Wire<S>, context: &mut Context<'_>) -> Poll<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut state = self.state.borrow_mut();
        remember(&mut state.driver, context);
        if state.waiting.is_empty() && state.left == 0 {
            return Poll::Ready(End::Done);
        }
        // First of all: who writes into a connection that has ended loses a request.
        loop {
            let read = match wire.fill(context) {
                Poll::Pending => break,
                Poll::Ready(read) => read,
            };
            let is_end = !matches!(read, Ok(count) if count > 0);
            let is_left = state.hand_out(wire, is_end);
            if is_end || is_left {
                return Poll::Ready(End::Broken("connection"));
            }
        }
        state.write(wire, context);
        let is_answered =
            state.waiting.front().is_none_or(|first| first.start >= state.base + state.sent as u64);
        if wire.is_deaf && is_answered {
            return Poll::Ready(End::Broken("connection"));
        }
        self.look_at_time(&state, wire, context)
    }

    /// The timer is not set anew for each request: when it goes off, the oldest one says how long is left.
    fn look_at_time<S>(&self, state: &State, wire: &mut Wire<S>, context: &mut Context<'_>) -> Poll<End> {
        while wire.timer.as_mut().poll(context).is_ready() {
            let now = clock::monotonic();
            let due = state.waiting.front().map_or(now, |oldest| oldest.since) + self.head.timeout;
            if due <= now {
                return Poll::Ready(End::Broken("timeout"));
            }
            wire.timer.as_mut().reset(due.into());
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            timer: Box::pin(sleep(timeout)),
            has_written: false,
            is_unflushed: false,
            is_deaf: false,
        }
    }

    /// Reads what is there; 0 bytes at the end of the connection.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end > self.buffer.len() / 2 {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut room);
        let count = room.filled().len();
        self.end += count;
        read.map(|done| done.map(|()| count))
    }
}

impl State {
    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn write<S: AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>, context: &mut Context<'_>) {
        while self.sent < self.out.len() && !wire.is_deaf {
            match Pin::new(&mut wire.stream).poll_write(context, &self.out[self.sent..]) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.sent += count;
                    (wire.has_written, wire.is_unflushed) = (true, true);
                }
                Poll::Ready(_) => wire.is_deaf = true,
                Poll::Pending => break,
            }
        }
        // Until it is done, or the end of a request may never leave: nobody else asks for it.
        if wire.is_unflushed
            && !wire.is_deaf
            && let Poll::Ready(flushed) = Pin::new(&mut wire.stream).poll_flush(context)
        {
            (wire.is_unflushed, wire.is_deaf) = (false, flushed.is_err());
        }
        if self.sent == self.out.len() {
            self.base += self.sent as u64;
            self.sent = 0;
            self.out.clear();
        }
    }

    /// Gives replies to those who wait for them. True if the connection cannot be used again.
    fn hand_out<S>(&mut self, wire: &mut Wire<S>, is_end: bool) -> bool {
        let mut is_left = false;
        while !is_left && wire.start < wire.end {
            // A reply to nothing.
            let Some(first) = self.waiting.front() else { return true };
            let (sender, start) = (first.sender, first.start);
            if start >= self.base + self.sent as u64 {
                return true;
            }
            match answer::take(&wire.buffer[wire.start..wire.end], is_end) {
                Err(answer::Broken) => return true,
                Ok(None) => break,
                Ok(Some(whole)) => {
                    wire.start += whole.size;
                    is_left = whole.closes;
                    self.waiting.pop_front();
                    self.tell(sender, whole.attempt);
                }
            }
        }
        if wire.start == wire.end {
            (wire.start, wire.end) = (0, 0);
        }
        is_left
    }

    fn tell(&mut self, sender: usize, attempt: Attempt) {
        let sender = &mut self.senders[sender];
        sender.attempt = Some(attempt);
        if let Some(waker) = &sender.waker {
            waker.wake_by_ref();
        }
    }

    /// Ends all requests that begin before `end`, and keeps the others for another connection.
    fn fail(&mut self, end: u64, attempt: impl Fn() -> Attempt) {
        while self.waiting.front().is_some_and(|first| first.start < end) {
            if let Some(first) = self.waiting.pop_front() {
                self.tell(first.sender, attempt());
            }
        }
        // Of a request that was sent in part, the rest is of no use to anybody.
        let whole = self.base + self.out.len() as u64;
        let keep = self.waiting.front().map_or(whole, |first| first.start);
        self.out.drain(..(keep - self.base) as usize);
        (self.base, self.sent) = (keep, 0);
    }
}

fn remember(waker: &mut Option<Waker>, context: &Context<'_>) {
    if !waker.as_ref().is_some_and(|has| has.will_wake(context.waker())) {
        *waker = Some(context.waker().clone());
    }
}

#[cfg(test)]
mod tests;
