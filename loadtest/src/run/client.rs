//! One keep-alive HTTP/1.1 connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::{Plan, PlanError};

/// Bytes of a reply's body. A request of 100,000 records that are all refused by name needs about 8 MB.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// Tells tries of the same request from requests with the same body
/// (`draft-ietf-httpapi-idempotency-key-header`).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What all requests of a run share.
#[derive(Debug)]
pub(super) struct RequestHead {
    address: (String, u16),
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl RequestHead {
    pub(super) fn new(plan: &Plan) -> Result<Self, PlanError> {
        let bad = |reason| PlanError::Url { url: plan.target.authority.clone(), reason };
        let path = format!("{}/v1/streams/{}/records", plan.target.prefix, plan.stream);
        let uri = path.parse().map_err(|_| bad("makes no path"))?;
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&plan.target.authority).map_err(|_| bad("makes no Host header"))?;
        headers.insert(header::HOST, host);
        let content_type = if plan.batch == 1 { "application/json" } else { "application/x-ndjson" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = plan.compression.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers.extend(plan.authorization.clone().map(|shown| (header::AUTHORIZATION, shown)));
        let address = (plan.target.host.clone(), plan.target.port);
        Ok(Self { address, uri, headers, timeout: plan.timeout })
    }
}

/// What became of one try to send a request.
#[derive(Debug)]
pub(super) enum Attempt {
    /// There is a reply.
    Answered { status: StatusCode, headers: HeaderMap, body: Bytes },
    /// Nothing of it reached the server.
    NotSent,
    /// It was sent, in part or whole, and there is no reply.
    Lost(&'static str),
}

/// A connection, opened when it is needed. Connection and request are driven by the same task: no wake-ups
/// between tasks.
pub(super) struct Link {
    head: Arc<RequestHead>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: Driver,
}

/// What reads and writes the socket while it is polled.
type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

impl Link {
    pub(super) fn new(head: Arc<RequestHead>) -> Self {
        Self { head, open: None }
    }

    /// Opens the connection before there is something to send. A failure shows when there is.
    pub(super) async fn open_ahead(&mut self) {
        if let Ok(Ok(open)) = timeout(self.head.timeout, connect(&self.head)).await {
            self.open = Some(open);
        }
    }

    /// Sends `body` and waits for the reply, for as long as the plan allows.
    pub(super) async fn post(&mut self, body: Bytes, key: Option<&str>) -> Attempt {
        let head = Arc::clone(&self.head);
        // Names of producers hold nothing that a header could not.
        let key = key.and_then(|key| HeaderValue::from_str(key).ok());
        let attempt = match self.open.take() {
            Some(open) => self.exchange(open, body.clone(), key.clone()).await,
            None => Attempt::NotSent,
        };
        // A server may close an idle connection at any time: that is no failure, so there is a second way in.
        match attempt {
            Attempt::NotSent => match timeout(head.timeout, connect(&head)).await {
                Ok(Ok(open)) => self.exchange(open, body, key).await,
                Ok(Err(_)) | Err(_) => Attempt::NotSent,
            },
            attempt => attempt,
        }
    }

    async fn exchange(&mut self, open: Open, body: Bytes, key: Option<HeaderValue>) -> Attempt {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        if let Some(key) = key {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        let Open { mut sender, connection } = open;
        let result = timeout(self.head.timeout, drive(connection, reply(&mut sender, request))).await;
        let (attempt, connection) = result.unwrap_or((Attempt::Lost("timeout"), None));
        if matches!(attempt, Attempt::Answered { .. }) {
            self.open = connection.map(|connection| Open { sender, connection });
        }
        attempt
    }
}

async fn connect(head: &RequestHead) -> Result<Open, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect((head.address.0.as_str(), head.address.1)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok(Open { sender, connection: Box::pin(connection) })
}

/// Polls the connection for as long as `exchange` needs it; returns it unless it has ended.
async fn drive(mut connection: Driver, exchange: impl Future<Output = Attempt>) -> (Attempt, Option<Driver>) {
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        attempt = &mut exchange => return (attempt, Some(connection)),
        _ = &mut connection => {}
    }
    // It has ended. An exchange that waits for its turn learns that only when it is gone.
    drop(connection);
    (exchange.await, None)
}

async fn reply(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Attempt {
    if sender.ready().await.is_err() {
        return Attempt::NotSent;
    }
    match sender.try_send_request(request).await {
        Ok(response) => read_reply(response).await,
        Err(mut error) => match error.take_message() {
            Some(_) => Attempt::NotSent,
            None => Attempt::Lost("connection"),
        },
    }
}

async fn read_reply(response: http::Response<Incoming>) -> Attempt {
    let (parts, body) = response.into_parts();
    match Limited::new(body, REPLY_BYTES_MAX).collect().await {
        Ok(body) => Attempt::Answered { status: parts.status, headers: parts.headers, body: body.to_bytes() },
        Err(_) => Attempt::Lost("reply"),
    }
}
