//! Taps: WebSockets in both directions.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

/// A client.
pub struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn try_open(server: &Server, query: &str, origin: Option<&str>) -> Result<Self, Error> {
        let url = format!("ws://{}/v1/streams/s/records?{query}", server.address);
        let mut request = url.into_client_request()?;
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let socket = TcpStream::connect(server.address).await.unwrap();
        Ok(Self(tokio_tungstenite::client_async(request, socket).await?.0))
    }

    /// Connects.
    pub async fn open(server: &Server, query: &str) -> Self {
        Self::try_open(server, query, None).await.unwrap()
    }

    /// Sends a message.
    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    /// The next message that is JSON, or the code of the close.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match message.expect("a close first").expect("a connection") {
                Message::Text(text) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
                Message::Close(frame) => return Err(frame.expect("a code").code.into()),
                _ => {}
            }
        }
    }

    /// The `n` of so many records.
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let page = self.next().await.unwrap();
            let records = page["records"].as_array().unwrap();
            numbers.extend(records.iter().map(|record| record["data"]["n"].as_u64().unwrap()));
        }
        numbers
    }
}

fn refused(result: Result<Client, Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let body: Value =
                serde_json::from_slice(response.body().as_deref().unwrap_or_default()).unwrap_or_default();
            (response.status().as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn messages_are_acknowledged_in_order_and_read_by_others() {
    let server =
        Setup::pipeline(durable_stream("s", 3, "fsync") + "[ingest]\npartition_key = \"/k\"\n").start();
    let mut reader = Client::open(&server, "from=latest").await;
    let mut writer = Client::open(&server, "from=none").await;
    for n in 0..200 {
        writer.send(format!("{{\"id\":{n},\"records\":[{{\"k\":\"a\",\"n\":{n}}}]}}")).await;
    }
    for n in 0..200 {
        let ack = writer.next().await.unwrap();
        assert_eq!(
            (&ack["ack"], &ack["accepted"], &ack["durability"]),
            (&json!(n), &json!(1), &json!("fsync"))
        );
        assert_eq!(ack["shards"].as_array().unwrap().len(), 1);
    }
    assert_eq!(reader.numbers(200).await, (0..200).collect::<Vec<_>>(), "one key, one order");
    drop(server.kill());
}

#[tokio::test]
async fn a_wrong_message_is_refused_alone() {
    let server = Setup::pipeline(stream("s", 1)).start();
    let mut client = Client::open(&server, "from=none").await;
    for (message, id, code) in [
        ("{\"id\":\"a\",\"records\":[{\"n\":1}]}", json!("a"), None),
        ("nonsense", json!(2), Some("json")),
        ("{\"id\":3,\"records\":[{\"n\":]}", json!(3), Some("json")),
        ("{\"id\":4,\"records\":[]}", json!(4), Some("empty")),
        ("{\"id\":5,\"records\":[],\"shard\":1}", json!(5), Some("json")),
        ("{\"id\":6,\"records\":[1]}", json!(6), Some("all_rejected")),
        ("{\"records\":{\"n\":2},\"key\":\"k\"}", json!(7), None),
    ] {
        client.send(message).await;
        let ack = client.next().await.unwrap();
        assert_eq!((&ack["ack"], ack["error"]["code"].as_str()), (&id, code), "{message}: {ack}");
    }
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    let records = page["records"].as_array().unwrap();
    assert_eq!((records.len(), &records[1]["partition_key"]), (2, &json!("k")));
}

#[tokio::test]
async fn bodies_are_taken_as_of_a_post_and_a_repeated_message_counts_once() {
    let server = Setup::pipeline(stream("s", 1)).start();
    let mut client = Client::open(&server, "from=none&messages=body").await;
    for (body, accepted) in [("{\"n\":0}\n{\"n\":1}", 2), ("[{\"n\":2}]", 1), ("{\"n\":3}", 1)] {
        client.send(body).await;
        assert_eq!(client.next().await.unwrap()["accepted"], accepted);
    }
    let mut client = Client::open(&server, "from=none").await;
    let message = "{\"id\":1,\"idempotency_key\":\"once\",\"records\":[{\"n\":4}]}";
    client.send(message).await;
    let first = client.next().await.unwrap();
    client.send(message).await;
    let again = client.next().await.unwrap();
    assert_eq!((&again["shards"], &again["replayed"]), (&first["shards"], &json!(true)));
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!(page["records"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_reader_goes_on_from_the_cursor_of_a_page_with_a_filter() {
    let server = Setup::pipeline(stream("s", 2) + "[ingest]\npartition_key = \"/k\"\n").start();
    let lines = |numbers: std::ops::Range<u64>| -> String {
        numbers.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 3)).collect()
    };
    server.accept("s", lines(0..30)).await;
    let mut reader = Client::open(&server, "from=earliest&key=1").await;
    let page = reader.next().await.unwrap();
    assert_eq!(page["records"].as_array().unwrap().len(), 10);
    let after = page["next"].as_str().unwrap().to_owned();
    drop(reader);
    server.accept("s", lines(30..60)).await;
    let mut reader = Client::open(&server, &format!("after={after}&key=1")).await;
    assert_eq!(reader.numbers(10).await, (30..60).filter(|n| n % 3 == 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn closes_tell_why() {
    let server =
        Setup::pipeline(stream("s", 1)).server("max_body = \"64KiB\"\nidle_timeout = \"2s\"").start();
    let mut large = Client::open(&server, "from=none").await;
    large.send(format!("{{\"id\":1,\"records\":[{{\"pad\":\"{}\"}}]}}", "x".repeat(70_000))).await;
    assert_eq!(large.next().await, Err(1009));
    // One that answers pings stays, however quiet it is.
    let mut quiet = Client::open(&server, "from=latest").await;
    let silent = Client::open(&server, "from=none").await;
    let open = ("forebay_tap_open", "kind=\"websocket\"");
    server.until(open.0, open.1, |open| open == 2.0).await;
    let hear = tokio::time::timeout(Duration::from_secs(5), quiet.next()).await;
    assert!(hear.is_err(), "{hear:?}");
    // The one that does not read has not answered either.
    server.until(open.0, open.1, |open| open == 1.0).await;
    drop(silent);
    let stopping = tokio::task::spawn_blocking(move || server.stop().assert_drained());
    assert_eq!(quiet.next().await, Err(1001));
    drop(quiet);
    stopping.await.unwrap();
}

#[tokio::test]
async fn pages_of_other_origins_and_broken_handshakes_are_refused() {
    let server =
        Setup::pipeline(stream("s", 1)).server("cors = { origins = [\"https://app.example\"] }").start();
    let own = format!("http://{}", server.address);
    for origin in [own.as_str(), "https://app.example"] {
        Client::try_open(&server, "from=none", Some(origin)).await.unwrap();
    }
    let elsewhere = Client::try_open(&server, "from=none", Some("https://evil.example")).await;
    assert_eq!(refused(elsewhere), (403, "origin_not_allowed".to_owned()));
    assert_eq!(refused(Client::try_open(&server, "wait=1", None).await).0, 400);
    assert_eq!(refused(Client::try_open(&server, "messages=x", None).await).0, 400);
    let url = format!("http://{}/v1/streams/s/records", server.address);
    let plain = reqwest::Client::new().get(url).header("upgrade", "websocket").send().await.unwrap();
    assert_eq!(plain.status(), 400);
}
