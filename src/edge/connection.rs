//! One connection: what it is waiting for, and when that has taken too long.

mod opening;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

use self::opening::{Opened, Unopened, open};
use super::Edge;
use super::answers::{Answers, Step};
use super::desk::Desk;
use super::listen::accept::Arrival;
use super::listen::socket::Socket;
use super::strict::wire::{Flaw, Wire};
use super::upgrade::{Takeovers, Upgrade};
use crate::config::checked::Server;
use crate::config::limits::{
    HEADERS_MAX, HTTP2_BROKEN_STREAMS_MAX, HTTP2_RESET_STREAMS_MAX, HTTP2_SEND_BUFFER_BYTES,
    HTTP2_STREAMS_MAX, READ_BUFFER_BYTES_MAX,
};
use crate::runtime::clock;

/// In place of the beginning of a wait: it has begun since the timer fired last. A slow head therefore has between one
/// and two times the header time-out.
const NOT_NOTED: u64 = u64::MAX;

/// How long a client may take to notice that its silent connection is being closed.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a connection is waiting for, kept in atomics because hyper wants `Send` futures; all uses are on one thread.
#[derive(Debug)]
struct Progress {
    opened: Instant,
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// Microseconds after `opened` at which the wait began.
    since: AtomicU64,
    /// While bytes of a request head have come in and the head is not complete.
    head_begun: AtomicBool,
    /// Once a request has come over HTTP/2. Any frame of the client counts as life where no answer is under way.
    http2: AtomicBool,
    /// Requests that have come.
    requests: AtomicU64,
    /// The first of them that is not believed, and why.
    flawed: OnceLock<(u64, Flaw)>,
    /// Told when there are as many as there may be.
    exhausted: Notify,
    /// Those of HTTP/2.
    answers: Mutex<Answers>,
}

/// A request that is being answered, for as long as it exists: hyper drops it where the client resets its stream.
struct Answering(Arc<Progress>);

impl Answering {
    fn new(progress: &Arc<Progress>, version: Version) -> Self {
        progress.answering.fetch_add(1, Ordering::Relaxed);
        progress.head_begun.store(false, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            progress.http2.store(true, Ordering::Relaxed);
        }
        Self(Arc::clone(progress))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // The wait for the next request begins with the answer's last byte: see `Watched::wrote`.
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which time-out a connection has run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    Head,
    NextRequest,
    /// With taking an answer, over HTTP/2.
    Answer,
}

impl Progress {
    fn new() -> Self {
        Self {
            opened: clock::monotonic(),
            answering: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            // A new connection owes its first head at once.
            head_begun: AtomicBool::new(true),
            http2: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            flawed: OnceLock::new(),
            exhausted: Notify::new(),
            answers: Mutex::default(),
        }
    }

    /// Counts a request; says whether it is the last that the connection may have, and why it is not believed.
    fn request(&self, max: Option<u64>) -> (bool, Option<Flaw>) {
        let index = self.requests.fetch_add(1, Ordering::Relaxed);
        let is_last = max.is_some_and(|max| index + 1 >= max);
        if is_last {
            self.exhausted.notify_one();
        }
        (is_last, self.flawed.get().filter(|(from, _)| *from <= index).map(|(_, flaw)| *flaw))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // Nothing panics while they are changed.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wait_begins(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Bytes came in. When a head has begun is not noted here, because that would cost a look at the clock for each
    /// request: the timer notes it when it next fires.
    fn received(&self, bytes: &[u8]) {
        self.answers().received(bytes);
        if self.http2.load(Ordering::Relaxed) {
            self.wait_begins();
        } else if self.answering.load(Ordering::Relaxed) == 0 && !self.head_begun.load(Ordering::Relaxed) {
            self.head_begun.store(true, Ordering::Relaxed);
            self.since.store(NOT_NOTED, Ordering::Relaxed);
        }
    }

    /// How long it may still wait, or what it is late with.
    fn remaining(&self, server: &Server) -> Result<Duration, Late> {
        let of_answers = self.answers().remaining(server.idle_timeout, self.now()).ok_or(Late::Answer)?;
        Ok(self.remaining_of_requests(server)?.min(of_answers))
    }

    /// The same of requests. While one is being answered the handler's own time-outs count; the look is then repeated
    /// after the shorter bound.
    fn remaining_of_requests(&self, server: &Server) -> Result<Duration, Late> {
        if self.answering.load(Ordering::Relaxed) > 0 {
            return Ok(server.header_timeout.min(server.idle_timeout));
        }
        let (limit, late) = if self.head_begun.load(Ordering::Relaxed) {
            (server.header_timeout, Late::Head)
        } else {
            (server.idle_timeout, Late::NextRequest)
        };
        if self.since.load(Ordering::Relaxed) == NOT_NOTED {
            self.wait_begins();
        }
        let waited = Duration::from_micros(self.now().saturating_sub(self.since.load(Ordering::Relaxed)));
        match limit.checked_sub(waited) {
            Some(rest) if !rest.is_zero() => Ok(rest),
            _ => Err(late),
        }
    }

    /// Returns when the connection is late. The timer is set again only when it fires, so that a busy connection
    /// costs one timer a time-out, not one a request.
    async fn late(&self, server: &Server) -> Late {
        loop {
            match self.remaining(server) {
                // A head that begins while an idle wait runs must be noticed in its own time.
                Ok(rest) => tokio::time::sleep(rest.min(server.header_timeout)).await,
                Err(late) => return late,
            }
        }
    }
}

/// The socket, reporting what comes in and what goes out.
struct Watched {
    socket: Socket,
    wire: Wire,
    progress: Arc<Progress>,
}

impl Watched {
    /// A client that takes its answer slowly, but takes it, is not silent. `taken` is what it was given in a write, as far
    /// as the socket takes it.
    fn moved<'a>(&self, step: Step, is_ready: bool, taken: impl Iterator<Item = &'a [u8]>) {
        if is_ready {
            self.progress.wait_begins();
        }
        let mut answers = self.progress.answers();
        if answers.is_http2() {
            let now = self.progress.now();
            answers.moved(step, is_ready, now);
            taken.for_each(|bytes| answers.sent(bytes, now));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.socket).poll_read(cx, buf);
        if poll.is_ready() {
            let bytes = buf.filled().get(before..).unwrap_or_default();
            self.wire.follow(bytes);
            if let Some(flawed) = self.wire.flawed() {
                self.progress.flawed.get_or_init(|| flawed);
            }
            self.progress.received(bytes);
        }
        poll
    }
}

/// How many bytes a write has taken.
fn taken(poll: &Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(Ok(count)) => *count,
        _ => 0,
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.moved(Step::Write, poll.is_ready(), buf.get(..taken(&poll)).into_iter());
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.socket).poll_flush(cx);
        let mut answers = self.progress.answers();
        if answers.is_http2() {
            answers.moved(Step::Flush, poll.is_ready(), self.progress.now());
        }
        drop(answers);
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        let mut left = taken(&poll);
        let parts = bufs.iter().map(|buf| {
            let (now, _) = buf.split_at(left.min(buf.len()));
            left -= now.len();
            now
        });
        self.moved(Step::Write, poll.is_ready(), parts);
        poll
    }
}

/// HTTP/1.1 and HTTP/2 within the limits.
fn http(server: &Server) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No `pipeline_flush`: with it hyper does not send the answer that stands before a request it cannot parse.
    builder.http1().max_headers(HEADERS_MAX).max_buf_size(server.header_bytes_max.max(READ_BUFFER_BYTES_MAX));
    builder
        .http2()
        .max_header_list_size(u32::try_from(server.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(HTTP2_RESET_STREAMS_MAX)
        .max_local_error_reset_streams(HTTP2_BROKEN_STREAMS_MAX)
        // A WebSocket may have a stream.
        .enable_connect_protocol();
    builder
}

/// Serves a connection until it ends, is late, leaves a stream behind that only its end ends, or `stop` turns true. Its
/// requests are answered by `desk`.
pub async fn serve<D: Desk>(edge: Arc<Edge>, arrival: Arrival, desk: D, mut stop: watch::Receiver<bool>) {
    let from = arrival.address;
    let opened = tokio::select! {
        opened = open(&edge, arrival) => opened,
        () = tokio::time::sleep(edge.server.header_timeout) => Err(Unopened::Late),
        () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
    };
    // Its place among those of its address is given back at the end.
    let Opened { socket, peer, member: _member } = match opened {
        Ok(opened) => opened,
        Err(Unopened::Late) => return edge.connection_metrics.late_head.increment(1),
        Err(Unopened::Crowded) => return edge.connection_metrics.refused_by_address.increment(1),
        Err(Unopened::Broken(what, why)) => {
            // Not louder: everybody on the internet can bring this about.
            tracing::debug!(client = ?from, what, why, "edge: connection refused");
            return edge.connection_metrics.broken(what).increment(1);
        }
    };
    let peer = Arc::new(peer);
    let progress = Arc::new(Progress::new());
    let io = TokioIo::new(Watched { socket, wire: Wire::default(), progress: Arc::clone(&progress) });
    let takeovers = Arc::new(Takeovers::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        let (is_last, flaw) = progress.request(edge.server.connection_requests_max);
        if let Some(flaw) = flaw {
            request.extensions_mut().insert(flaw);
        }
        let (edge, answering) = (Arc::clone(&edge), Answering::new(&progress, request.version()));
        let (takeovers, peer, desk) = (Arc::clone(&takeovers), Arc::clone(&peer), desk.clone());
        // hyper keeps room for what answers a request as long as the connection is open. In a box of its own it is there
        // for as long as the answer takes: 8 KiB less for each connection that is silent.
        Box::pin(async move {
            let upgrade = Upgrade::default();
            let is_http1 = request.version() < Version::HTTP_2;
            let mut response = desk.answer(&edge, &peer, request, &upgrade).await;
            if is_last && is_http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            match upgrade.take() {
                // The connection is not silent while somebody has it or a stream of it, who looks for that itself.
                Some(takeover) => takeovers.begin(async move {
                    let left = takeover.await;
                    drop(answering);
                    left
                }),
                None => drop(answering),
            }
            Ok::<_, std::convert::Infallible>(response)
        })
    });
    let builder = http(&edge.server);
    let connection = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(connection);
    let mut stopped = false;
    let is_cut = loop {
        tokio::select! {
            // The connection first: it is what nearly every wake-up is about.
            biased;
            // A connection that breaks is the client's affair; what it had sent whole is kept.
            _ = connection.as_mut() => break false,
            late = progress.late(&edge.server) => {
                match late {
                    Late::Head => {
                        edge.connection_metrics.late_head.increment(1);
                        return;
                    }
                    Late::NextRequest => edge.connection_metrics.late_idle.increment(1),
                    Late::Answer => {
                        edge.connection_metrics.late_answer.increment(1);
                        tracing::debug!(client = ?from, "edge: connection closed, nothing of an answer is taken");
                    }
                }
                break true;
            }
            () = takeovers.stuck() => {
                tracing::debug!(client = ?from, "edge: connection closed, one of its streams takes nothing");
                break true;
            }
            () = progress.exhausted.notified(), if !stopped => {
                stopped = true;
                connection.as_mut().graceful_shutdown();
            }
            // The thread outlives its connections, so the sender is there.
            () = async { drop(stop.wait_for(|stop| *stop).await) }, if !stopped => {
                stopped = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if is_cut {
        // Over HTTP/2 the client is told; over HTTP/1.1 the connection just ends.
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, connection.as_mut()).await;
        return;
    }
    takeovers.ended().await;
}
