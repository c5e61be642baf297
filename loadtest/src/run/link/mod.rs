//! How a lane reaches the server: a connection of its own with one request at a time, or its share of one with
//! several ([`SharedLink`]). Opened when it is needed.

mod answer;
pub(super) mod connect;
mod http1;
mod http2;
mod pipe;
mod streams;
mod websocket;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay::runtime::clock;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use tokio::time::{Sleep, sleep, timeout};

use self::connect::{Dialer, TlsError};
use self::http1::Http1;
use self::http2::Http2;
use self::pipe::Pipe;
use self::streams::Streams;
use self::websocket::WebSocket;
use super::plan::{Plan, PlanError};
use super::workload::{Class, Protocol};

/// Bytes of a reply's body. A request of 100,000 records that are all refused by name needs about 8 MB.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// Tells tries of the same request from requests with the same body
/// (`draft-ietf-httpapi-idempotency-key-header`).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What all requests of a class share.
pub(super) struct RequestHead {
    dialer: Dialer,
    pub(super) protocol: Protocol,
    uri: Uri,
    headers: HeaderMap,
    /// The same as text, up to what is different in each request.
    pub(super) lines: String,
    timeout: Duration,
}

impl RequestHead {
    pub(super) fn new(plan: &Plan, class: &Class) -> Result<Self, HeadError> {
        let bad = |reason| PlanError::Url { url: plan.target.authority.clone(), reason };
        let protocol = class.protocol;
        let records = format!("{}/v1/streams/{}/records", plan.target.prefix, plan.stream);
        let path = if protocol.is_aws() { format!("{}/", plan.target.prefix) } else { records };
        let scheme = match (protocol, plan.target.is_tls) {
            (Protocol::WebSocket, false) => "ws",
            (Protocol::WebSocket, true) => "wss",
            (_, false) => "http",
            (_, true) => "https",
        };
        let query = if protocol == Protocol::WebSocket { "?from=none" } else { "" };
        let uri = format!("{scheme}://{}{path}{query}", plan.target.authority);
        let uri: Uri = uri.parse().map_err(|_| bad("makes no path"))?;
        let mut headers = HeaderMap::new();
        if !matches!(protocol, Protocol::WebSocket) && !protocol.is_aws() {
            let is_single = class.batch.high == 1;
            let content_type = if is_single { "application/json" } else { "application/x-ndjson" };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(encoding) = plan.compression.content_encoding() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
        }
        if !protocol.is_aws() {
            headers.extend(plan.authorization.clone().map(|shown| (header::AUTHORIZATION, shown)));
        }
        let mut lines = format!("POST {path} HTTP/1.1\r\nhost: {}\r\n", plan.target.authority);
        for (name, value) in &headers {
            let value = value.to_str().map_err(|_| bad("goes with a key that no header can hold"))?;
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        let dialer = Dialer::new(&plan.target, &plan.trust, protocol.alpn())?;
        Ok(Self { dialer, protocol, uri, headers, lines, timeout: plan.timeout })
    }
}

/// Why no request can be made.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What became of one try to send a request.
#[derive(Debug)]
pub(super) enum Attempt {
    /// There is a reply.
    Answered { status: u16, retry_after: Option<Duration>, body: Bytes },
    /// Nothing of it reached the server.
    NotSent,
    /// It was sent, in part or whole, and there is no reply.
    Lost(&'static str),
}

/// A connection that several lanes share.
pub(super) enum SharedLink {
    /// Requests of HTTP/1.1, which are answered in order.
    Pipe(Pipe),
    /// Requests of HTTP/2.
    Streams(Streams),
}

impl SharedLink {
    /// For `lanes` lanes, each with one request at a time.
    pub(super) fn new(head: Arc<RequestHead>, lanes: usize) -> Self {
        match head.protocol {
            Protocol::Http2 => Self::Streams(Streams::new(head)),
            _ => Self::Pipe(Pipe::new(head, lanes)),
        }
    }

    /// Does what nobody does who only waits for a reply.
    pub(super) async fn drive(&self) {
        match self {
            Self::Pipe(pipe) => pipe.drive().await,
            // Its connection has a task of its own.
            Self::Streams(_) => {}
        }
    }
}

/// A connection.
pub(super) struct Link {
    pub(super) head: Arc<RequestHead>,
    open: Option<Open>,
    /// The connection that it shares with others, and its place there.
    shared: Option<(Rc<SharedLink>, usize)>,
    /// Goes off when a reply may be overdue.
    timer: Option<Pin<Box<Sleep>>>,
}

enum Open {
    Http1(Box<Http1>),
    Http2(Http2),
    WebSocket(Box<WebSocket>),
}

impl Link {
    pub(super) fn new(head: Arc<RequestHead>) -> Self {
        Self { head, open: None, shared: None, timer: None }
    }

    /// One of several senders over a connection.
    pub(super) fn shared(head: Arc<RequestHead>, shared: Rc<SharedLink>, place: usize) -> Self {
        Self { shared: Some((shared, place)), ..Self::new(head) }
    }

    /// Says that nothing more will be sent.
    pub(super) fn leave(&mut self) {
        if let Some((shared, _)) = self.shared.take()
            && let SharedLink::Pipe(pipe) = &*shared
        {
            pipe.leave();
        }
    }

    /// Opens the connection before there is something to send. A failure shows when there is.
    pub(super) async fn open_ahead(&mut self) {
        match self.shared.as_ref().map(|(shared, _)| &**shared) {
            None => self.open = timeout(self.head.timeout, connect(&self.head)).await.ok().flatten(),
            Some(SharedLink::Streams(streams)) => streams.open_ahead().await,
            // Who drives it opens it.
            Some(SharedLink::Pipe(_)) => {}
        }
    }

    /// Sends `bytes`, which are what a body maker of this protocol makes, and waits for the reply, for as long as the
    /// plan allows.
    pub(super) async fn post(&mut self, bytes: &Bytes, key: Option<&str>, now: Instant) -> Attempt {
        if let Some((shared, place)) = &self.shared {
            return match &**shared {
                SharedLink::Pipe(pipe) => pipe.post(*place, bytes, now).await,
                SharedLink::Streams(streams) => streams.post(bytes, key, &mut self.timer).await,
            };
        }
        let head = Arc::clone(&self.head);
        // A server may close an idle connection at any time: that is no failure, so there is a second way in.
        if let Some(open) = self.open.take().filter(|open| !open.has_ended()) {
            match self.exchange(open, bytes, key, now).await {
                Attempt::NotSent => {}
                attempt => return attempt,
            }
        }
        match timeout(head.timeout, connect(&head)).await {
            Ok(Some(open)) => self.exchange(open, bytes, key, clock::monotonic()).await,
            Ok(None) | Err(_) => Attempt::NotSent,
        }
    }

    async fn exchange(&mut self, mut open: Open, bytes: &Bytes, key: Option<&str>, now: Instant) -> Attempt {
        let head = Arc::clone(&self.head);
        let exchange = async {
            match &mut open {
                Open::Http1(link) => link.exchange(bytes).await,
                Open::Http2(link) => link.exchange(&head.uri, &head.headers, bytes.clone(), key).await,
                Open::WebSocket(link) => link.exchange(bytes, key).await,
            }
        };
        let (attempt, stays) = within(&mut self.timer, now, head.timeout, exchange)
            .await
            .unwrap_or((Attempt::Lost("timeout"), false));
        if stays {
            self.open = Some(open);
        }
        attempt
    }
}

impl Open {
    fn has_ended(&self) -> bool {
        match self {
            Open::Http1(link) => link.has_ended(),
            Open::Http2(link) => link.has_ended(),
            // It learns it when something is sent.
            Open::WebSocket(_) => false,
        }
    }
}

async fn connect(head: &RequestHead) -> Option<Open> {
    if head.protocol == Protocol::Http2 {
        return Http2::open(head).await.map(Open::Http2);
    }
    let stream = head.dialer.dial().await.ok()?;
    if head.protocol == Protocol::WebSocket {
        let link = WebSocket::new(stream, &head.uri.to_string(), &head.headers).await.ok()?;
        return Some(Open::WebSocket(Box::new(link)));
    }
    Some(Open::Http1(Box::new(Http1::new(stream))))
}

/// What `work` gives, unless it takes longer than `limit` from `since` on. The timer is not set anew for each request:
/// when it goes off, it is seen how long is left.
async fn within<T>(
    timer: &mut Option<Pin<Box<Sleep>>>,
    since: Instant,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(limit)));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        while timer.as_mut().poll(context).is_ready() {
            if since + limit <= clock::monotonic() {
                return Poll::Ready(None);
            }
            timer.as_mut().reset((since + limit).into());
        }
        Poll::Pending
    })
    .await
}
