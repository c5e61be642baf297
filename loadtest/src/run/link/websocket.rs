//! A WebSocket: messages out, an ack for each back.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::Attempt;
use super::connect::Stream;

/// An open connection.
pub(super) struct WebSocket {
    stream: WebSocketStream<Stream>,
    message: String,
}

/// What the server says.
#[derive(Deserialize)]
struct Ack<'a> {
    ack: Option<u64>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Problem {
    status: u16,
}

impl WebSocket {
    pub(super) async fn new(stream: Stream, url: &str, headers: &HeaderMap) -> Result<Self, Box<Error>> {
        let mut request = url.into_client_request().map_err(Box::new)?;
        request.headers_mut().extend(headers.clone());
        let (stream, _) = tokio_tungstenite::client_async(request, stream).await.map_err(Box::new)?;
        Ok(Self { stream, message: String::new() })
    }

    /// Sends an array of records and reads the ack. True if the connection can be used again.
    pub(super) async fn exchange(&mut self, records: &[u8], key: Option<&str>) -> (Attempt, bool) {
        let Ok(records) = std::str::from_utf8(records) else { return (Attempt::Lost("connection"), false) };
        self.message.clear();
        self.message.push_str("{\"id\":1,");
        if let Some(key) = key {
            // Names of producers need no escapes.
            self.message.push_str("\"idempotency_key\":\"");
            self.message.push_str(key);
            self.message.push_str("\",");
        }
        self.message.push_str("\"records\":");
        self.message.push_str(records);
        self.message.push('}');
        if self.stream.send(Message::text(self.message.as_str())).await.is_err() {
            return (Attempt::Lost("connection"), false);
        }
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Some(attempt) = read(text.as_str()) {
                        return (attempt, true);
                    }
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return (Attempt::Lost("connection"), false),
            }
        }
    }
}

/// The ack as if it had come over HTTP; nothing if it is a message of another kind.
fn read(text: &str) -> Option<Attempt> {
    let ack: Ack<'_> = serde_json::from_str(text).ok()?;
    ack.ack?;
    let retry_after = None;
    Some(match ack.error {
        None => Attempt::Answered { status: 200, retry_after, body: Bytes::copy_from_slice(text.as_bytes()) },
        Some(error) => {
            let status = serde_json::from_str::<Problem>(error.get()).map_or(500, |problem| problem.status);
            Attempt::Answered { status, retry_after, body: Bytes::copy_from_slice(error.get().as_bytes()) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_read_as_a_reply_of_http() {
        let Some(Attempt::Answered { status: 200, body, .. }) = read("{\"ack\":1,\"accepted\":2}") else {
            panic!()
        };
        assert_eq!(body, "{\"ack\":1,\"accepted\":2}");
        let refused = "{\"ack\":1,\"error\":{\"status\":503,\"code\":\"draining\"}}";
        let Some(Attempt::Answered { status: 503, body, .. }) = read(refused) else { panic!() };
        assert_eq!(body, "{\"status\":503,\"code\":\"draining\"}");
        assert!(read("{\"records\":[],\"next\":\"x\"}").is_none());
    }
}
