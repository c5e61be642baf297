//! WebSockets and streams of events, when somebody else may come in.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{PRODUCER, READER, ROOT, keys};
use crate::server::{PATIENCE, Server, Setup, stream};

type Socket = WebSocketStream<TcpStream>;

async fn open(server: &Server, query: &str, key: &str) -> Socket {
    let url = format!("{}?{query}", server.records("s").replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    let socket = TcpStream::connect(server.address).await.unwrap();
    tokio_tungstenite::client_async(request, socket).await.unwrap().0
}

/// The next message that is no ping: a text, or the code and reason of a close.
async fn next(socket: &mut Socket) -> Result<Value, (u16, String)> {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(Some(frame)) => return Err((frame.code.into(), frame.reason.to_string())),
            _ => {}
        }
    }
}

async fn put(socket: &mut Socket) -> Result<Value, (u16, String)> {
    socket.send(Message::text("{\"records\":[{\"n\":1}]}")).await.unwrap();
    next(socket).await
}

/// Events of `s`, once they have begun.
async fn events(server: &Server, key: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(format!("{}?from=latest", server.records("s")));
    let mut response =
        request.header("accept", "text/event-stream").header("x-api-key", key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().is_some());
    response
}

async fn rest(mut response: reqwest::Response) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap() {
        text.extend(chunk);
    }
    String::from_utf8(text).unwrap()
}

/// Changes `forebay.toml`, and has it read again.
async fn reload(server: &Server, change: impl Fn(String) -> String) {
    let file = server.folder().join("forebay.toml");
    std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
    let request = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    let answer = request.header("x-api-key", ROOT).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn what_is_open_ends_when_its_sender_may_not_any_more_and_only_then() {
    let server = Setup::pipeline(stream("s", 1)).node(&keys("")).start();
    let forbidden = Err((1008, "forbidden".to_owned()));
    let mut producer = open(&server, "from=none", PRODUCER).await;
    let mut reader = open(&server, "from=latest", READER).await;
    let (shown, mut root) = (events(&server, READER).await, open(&server, "from=none", ROOT).await);
    assert_eq!(put(&mut producer).await.unwrap()["accepted"], 1);
    assert_eq!(next(&mut reader).await.unwrap()["records"].as_array().unwrap().len(), 1);

    // Another secret of the producer, and the reader has no grant any more.
    reload(&server, |text| {
        text.replace(PRODUCER, "another-secret-0123456789").replace("\"tap:s\"", "\"tap:other\"")
    })
    .await;
    // Whatever was sent before the answer of the reload may have been taken; nothing behind it is.
    assert_eq!(put(&mut root).await.unwrap()["accepted"], 1);
    assert_eq!(put(&mut producer).await, forbidden);
    assert_eq!(next(&mut reader).await, forbidden);
    let shown = rest(shown).await;
    assert!(shown.ends_with("event: end\ndata: {\"reason\":\"forbidden\"}\n\n"), "{shown}");

    // Whoever has another grant has to come again, whatever it is.
    let all = events(&server, ROOT).await;
    reload(&server, |text| text.replace("\"*:*\"", "\"ingest:*\", \"admin:*\"")).await;
    assert!(rest(all).await.contains("forbidden"));
    assert_eq!(put(&mut root).await, forbidden);
    let mut root = open(&server, "from=none", ROOT).await;
    assert_eq!(put(&mut root).await.unwrap()["accepted"], 1);
    assert_eq!(server.metric("forebay_ingest_records_total", "verdict=\"accepted\"").await, 3.0);
    server.stop().assert_drained();
}
