//! HTTP/2, with TLS or by prior knowledge: a connection, and a request on a stream of it.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::super::reply;
use super::{Attempt, IDEMPOTENCY_KEY, REPLY_BYTES_MAX, RequestHead};

/// Streams that are opened before the server has said how many it takes: more than that could be refused.
const STREAMS_BEFORE_SETTINGS: usize = 1;

/// An open connection.
pub(super) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Http2 {
    /// Connects; nothing if that fails.
    pub(super) async fn open(head: &RequestHead) -> Option<Self> {
        let stream = head.dialer.dial().await.ok()?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .ok()?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Some(Self { sender, connection })
    }

    /// Whether nothing more can be sent over it, as far as is known.
    pub(super) fn has_ended(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request, as soon as the server takes one more at a time, and reads the reply. True if the connection can
    /// be used again.
    pub(super) async fn exchange(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        key: Option<&str>,
    ) -> (Attempt, bool) {
        let mut sender = self.sender.clone();
        if sender.ready().await.is_err() {
            return (Attempt::NotSent, false);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        // Names of producers hold nothing that a header could not.
        if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let is_back = error.take_message().is_some();
                return (if is_back { Attempt::NotSent } else { Attempt::Lost("connection") }, false);
            }
        };
        let (parts, body) = response.into_parts();
        let after = parts.headers.get(http::header::RETRY_AFTER);
        let retry_after = after.and_then(|value| reply::retry_after(value.to_str().ok()?));
        match Limited::new(body, REPLY_BYTES_MAX).collect().await {
            Ok(body) => {
                let (status, body) = (parts.status.as_u16(), body.to_bytes());
                (Attempt::Answered { status, retry_after, body }, true)
            }
            Err(_) => (Attempt::Lost("reply"), false),
        }
    }
}
