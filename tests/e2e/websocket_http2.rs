//! Taps: WebSockets on streams of one HTTP/2 connection (RFC 8441), beside requests.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

/// An HTTP/2 connection.
pub(crate) struct Connection {
    requests: http2::SendRequest<Full<Bytes>>,
    authority: String,
}

/// A WebSocket on a stream of it.
struct Client(WebSocketStream<TokioIo<Upgraded>>);

impl Connection {
    async fn open(server: &Server) -> Self {
        Self::open_with(server, http2::Builder::new(TokioExecutor::new())).await.0
    }

    /// One whose client takes no byte of a body, and is never silent; with its end.
    pub(crate) async fn open_without_window(server: &Server) -> (Self, JoinHandle<()>) {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0).timer(TokioTimer::new());
        builder.keep_alive_interval(Duration::from_millis(100)).keep_alive_while_idle(true);
        Self::open_with(server, builder).await
    }

    async fn open_with(server: &Server, builder: http2::Builder<TokioExecutor>) -> (Self, JoinHandle<()>) {
        let socket = TcpStream::connect(server.address).await.unwrap();
        let (requests, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        // What the server can do stands in its first frame.
        let own = Self { requests, authority: server.address.to_string() };
        assert_eq!(own.get("/v1/streams").await.status(), 200);
        (own, ended)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.authority))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let sending = self.requests.clone().send_request(request);
        tokio::time::timeout(PATIENCE, sending).await.expect("in time").unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Incoming> {
        self.send(self.request(Method::GET, path).body(Full::default()).unwrap()).await
    }

    async fn connect(&self, query: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = self.request(Method::CONNECT, &format!("/v1/streams/s/records?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.extension(Protocol::from_static("websocket")).body(Full::default());
        self.send(request.unwrap()).await
    }

    async fn websocket(&self, query: &str) -> Client {
        let response = self.connect(query, &[("sec-websocket-version", "13")]).await;
        assert_eq!(response.status(), 200, "{response:?}");
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        let stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        Client(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }
}

impl Client {
    async fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message that is JSON, or the code of the close.
    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match message.expect("a close first").expect("a stream") {
                Message::Text(text) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
                Message::Close(frame) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                _ => {}
            }
        }
    }
}

async fn refusal(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (status, body["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_have_a_stream_of_one_connection_and_requests_go_on_beside_them() {
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).start();
    let connection = Connection::open(&server).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(connection.websocket("from=latest").await);
    }
    let mut writer = connection.websocket("from=none").await;
    for n in 0..100 {
        writer.send(format!("{{\"id\":{n},\"records\":[{{\"n\":{n}}}]}}")).await;
    }
    for n in 0..100 {
        let ack = writer.next().await.unwrap();
        assert_eq!((&ack["ack"], &ack["accepted"]), (&json!(n), &json!(1)), "{ack}");
    }
    for reader in &mut readers {
        let mut numbers = Vec::new();
        while numbers.len() < 100 {
            let page = reader.next().await.unwrap();
            let records = page["records"].as_array().unwrap();
            numbers.extend(records.iter().map(|record| record["data"]["n"].as_u64().unwrap()));
        }
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
    assert_eq!(connection.get("/v1/streams/s").await.status(), 200);
    let (open, kind) = ("forebay_tap_open", "kind=\"websocket\"");
    assert_eq!(server.metric(open, kind).await, 21.0);
    assert_eq!(server.metric("forebay_http_connections", "").await, 1.0);
    // One goes, and the others stay.
    let mut first = readers.remove(0);
    // The server may have ended the stream before all of this is done.
    let _ = first.0.close(None).await;
    server.until(open, kind, |open| open == 20.0).await;
    writer.send("{\"id\":1,\"records\":[{\"n\":100}]}".to_owned()).await;
    assert_eq!(writer.next().await.unwrap()["accepted"], 1);
    assert_eq!(readers[0].next().await.unwrap()["records"][0]["data"]["n"], 100);
    // The connection goes, and all of them with it.
    drop((readers, writer, first, connection));
    server.until(open, kind, |open| open == 0.0).await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn the_limits_are_those_of_other_websockets() {
    let server =
        Setup::pipeline(stream("s", 1)).server("max_body = \"64KiB\"\nidle_timeout = \"2s\"").start();
    let connection = Connection::open(&server).await;
    let mut large = connection.websocket("from=none").await;
    large.send(format!("{{\"id\":1,\"records\":[{{\"pad\":\"{}\"}}]}}", "x".repeat(70_000))).await;
    assert_eq!(large.next().await, Err(1009));
    // One that answers pings stays, however quiet it is; one that does not is not heard of any more.
    let mut quiet = connection.websocket("from=none").await;
    let silent = connection.websocket("from=none").await;
    let open = ("forebay_tap_open", "kind=\"websocket\"");
    server.until(open.0, open.1, |open| open == 2.0).await;
    tokio::select! {
        heard = quiet.next() => panic!("{heard:?}"),
        _ = server.until(open.0, open.1, |open| open == 1.0) => {}
    }
    quiet.send("{\"id\":1,\"records\":[{\"n\":1}]}".to_owned()).await;
    assert_eq!(quiet.next().await.unwrap()["accepted"], 1);
    let stopping = tokio::task::spawn_blocking(move || server.stop().assert_drained());
    assert_eq!(quiet.next().await, Err(1001));
    drop((quiet, silent, connection));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_loses_its_connection_and_others_go_on() {
    let server = Setup::pipeline(durable_stream("s", 1, "os")).server("idle_timeout = \"3s\"").start();
    let other = Connection::open(&server).await;
    let mut writer = other.websocket("from=none").await;
    let pad = "x".repeat(100_000);
    for n in 0..20 {
        writer.send(format!("{{\"id\":{n},\"records\":[{{\"n\":{n},\"pad\":\"{pad}\"}}]}}")).await;
        assert_eq!(writer.next().await.unwrap()["accepted"], 1);
    }
    let (open, slow, used) =
        ("forebay_tap_open", "forebay_tap_slow_readers_total", "forebay_memory_used_bytes");
    let kind = "kind=\"websocket\"";
    let before = server.metric(used, "").await;
    // Pages that wait for a window, and an answered close that does.
    let (greedy, greedy_ended) = Connection::open_without_window(&server).await;
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(greedy.websocket("from=earliest").await);
    }
    let (polite, polite_ended) = Connection::open_without_window(&server).await;
    let mut leaving = polite.websocket("from=none").await;
    leaving.0.close(None).await.unwrap();
    let all_ended = async {
        tokio::time::timeout(PATIENCE, greedy_ended).await.expect("in time").unwrap();
        tokio::time::timeout(PATIENCE, polite_ended).await.expect("in time").unwrap();
        server.until(open, kind, |open| open == 1.0).await;
        server.until("forebay_http_connections", "", |open| open == 1.0).await;
        server.until(used, "", |used| used <= before).await;
    };
    tokio::select! {
        heard = writer.next() => panic!("{heard:?}"),
        () = all_ended => {}
    }
    assert!(server.metric(slow, kind).await >= 1.0);
    writer.send("{\"id\":1,\"records\":[{\"n\":1}]}".to_owned()).await;
    assert_eq!(writer.next().await.unwrap()["accepted"], 1);
    drop((readers, leaving, greedy, polite, writer, other));
    server.stop().assert_drained();
}

// Of several threads: the connection goes on while the server stops.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_refused() {
    let server = Setup::pipeline(stream("s", 1)).start();
    let connection = Connection::open(&server).await;
    let version = ("sec-websocket-version", "13");
    let no_version = connection.connect("from=none", &[]).await;
    assert_eq!(refusal(no_version).await, (400, "bad_parameter".to_owned()));
    let elsewhere = connection.connect("from=none", &[version, ("origin", "https://evil.example")]).await;
    assert_eq!(refusal(elsewhere).await, (403, "origin_not_allowed".to_owned()));
    let own = format!("http://{}", server.address);
    let own = connection.connect("from=none", &[version, ("origin", &own)]).await;
    assert_eq!(own.status(), 200);
    let path = "/v1/streams/none/records";
    let request = connection.request(Method::CONNECT, path).header(version.0, version.1);
    let request = request.extension(Protocol::from_static("websocket")).body(Full::default()).unwrap();
    assert_eq!(refusal(connection.send(request).await).await, (404, "unknown_stream".to_owned()));
    // Another protocol, and a stream's description in place of its records.
    for (path, protocol) in [("/v1/streams/s/records", "connect-udp"), ("/v1/streams/s", "websocket")] {
        let request = connection.request(Method::CONNECT, path).header(version.0, version.1);
        let request = request.extension(Protocol::from(protocol)).body(Full::default()).unwrap();
        assert_eq!(refusal(connection.send(request).await).await.0, 405, "{path}");
    }
    drop((own, connection));
    server.stop().assert_drained();
}
