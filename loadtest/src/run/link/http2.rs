//! HTTP/2, with TLS or by prior knowledge: a connection with one request at a time.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::super::reply;
use super::connect::Stream;
use super::{Attempt, IDEMPOTENCY_KEY, REPLY_BYTES_MAX};

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
    pub(super) async fn new(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, connection })
    }

    /// Sends a request and reads the reply. True if the connection can be used again.
    pub(super) async fn exchange(
        &mut self,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        key: Option<&str>,
    ) -> (Attempt, bool) {
        if self.sender.ready().await.is_err() {
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
        let response = match self.sender.try_send_request(request).await {
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
