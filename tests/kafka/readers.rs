//! Whoever reads a stream that is in a topic, by each of the ways there are.

use std::process::Command;
use std::time::Instant;

use forebay::testkit::broker::Broker;
use futures_util::{SinkExt, StreamExt};
use rdkafka::producer::Producer as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::cursors::Cursor;
use crate::lake;
use crate::producer::Producer;
use crate::server::{PATIENCE, Server, Setup};

/// A pipeline whose log is a topic, with a key in each record.
pub fn pipeline(broker: &Broker, topic: &str) -> String {
    format!(
        "[stream]\nname = \"s\"\nlog = {{ kafka = \"{}\", topic = \"{topic}\" }}\n[ingest]\npartition_key = \"/k\"\n",
        broker.servers()
    )
}

pub fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 31)).collect()
}

/// The `n` of the records of a page.
pub fn numbers(page: &Value) -> Vec<u64> {
    let records = page["records"].as_array().unwrap_or_else(|| panic!("{page}"));
    records.iter().map(|record| record["data"]["n"].as_u64().unwrap()).collect()
}

pub fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

/// Server-sent events.
pub struct Events {
    response: reqwest::Response,
    text: Vec<u8>,
    pub id: String,
}

impl Events {
    pub async fn open(server: &Server, query: &str, last_id: &str) -> Self {
        let url = format!("{}?{query}", server.records("s"));
        let mut request = reqwest::Client::new().get(url).header("accept", "text/event-stream");
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: Vec::new(), id: last_id.to_owned() }
    }

    /// Name and data of the next event; `None` at the end.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let block = String::from_utf8(self.text.drain(..end + 2).collect()).unwrap();
                let (mut name, mut data) = (String::new(), Value::Null);
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => id.clone_into(&mut self.id),
                        Some(("event", told)) => told.clone_into(&mut name),
                        Some(("data", told)) => data = serde_json::from_str(told).unwrap(),
                        _ => {}
                    }
                }
                if !name.is_empty() {
                    return Some((name, data));
                }
                continue;
            }
            let piece = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            self.text.extend_from_slice(&piece.expect("in time").ok()??);
        }
    }

    /// The `n` of so many records.
    pub async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (name, data) = self.next().await.expect("a record");
            assert_eq!(name, "record", "{data}");
            numbers.push(data["data"]["n"].as_u64().unwrap());
        }
        numbers
    }
}

/// A WebSocket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(server: &Server, query: &str) -> Self {
        let url = format!("ws://{}/v1/streams/s/records?{query}", server.address);
        let socket = TcpStream::connect(server.address).await.unwrap();
        Self(tokio_tungstenite::client_async(url, socket).await.unwrap().0)
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match message.expect("a message").expect("a connection") {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn event_streams_and_websockets_of_any_edge_get_all_of_it_and_go_on_at_another() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("live", 3, &[]).unwrap();
    let [a, b] = [0, 1].map(|_| Setup::pipeline(pipeline(&broker, &topic)).start());
    a.accept("s", lines(0..50)).await;
    let mut events = Events::open(&b, "from=earliest", "").await;
    let mut seen = events.numbers(50).await;
    let mut socket = Socket::open(&b, "from=earliest").await;
    // What one edge takes the other one shows while it comes.
    a.accept("s", lines(50..100)).await;
    seen.extend(events.numbers(20).await);
    let at = events.id.clone();
    drop(events);
    let mut events = Events::open(&a, "", &at).await;
    seen.extend(events.numbers(30).await);
    assert_eq!(sorted(seen), (0..100).collect::<Vec<_>>());
    socket.send(json!({"id": "x", "records": [{"k": "k", "n": 100}, {"k": "k", "n": 101}]})).await;
    let (mut seen, mut ack) = (Vec::new(), Value::Null);
    while seen.len() < 102 || ack.is_null() {
        let message = socket.next().await;
        match message["ack"].is_null() {
            true => seen.extend(numbers(&message)),
            false => ack = message,
        }
    }
    assert_eq!((&ack["accepted"], &ack["durability"]), (&json!(2), &json!("kafka")), "{ack}");
    assert_eq!(sorted(seen), (0..102).collect::<Vec<_>>());
    assert_eq!(sorted(events.numbers(2).await), [100, 101]);
    drop((events, socket));
    a.stop().assert_drained();
    b.stop().assert_drained();
}

#[tokio::test]
async fn holes_of_transactions_are_no_losses_for_any_reader() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("holes", 1, &[]).unwrap();
    let producer = Producer::new(broker.servers(), &[("transactional.id", topic.as_str())]);
    producer.inner().init_transactions(PATIENCE).unwrap();
    let mut expected = Vec::new();
    for round in 0..30 {
        producer.inner().begin_transaction().unwrap();
        producer.send(&topic, 0, &format!("{{\"n\":{round}}}"));
        producer.settle();
        if round % 3 == 1 {
            producer.inner().abort_transaction(PATIENCE).unwrap();
        } else {
            producer.inner().commit_transaction(PATIENCE).unwrap();
            expected.push(round);
        }
    }
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    let (mut seen, mut path) = (Vec::new(), "?from=earliest&limit=7&wait=2s".to_owned());
    while seen.len() < expected.len() {
        let (status, page) = server.get(&format!("/v1/streams/s/records{path}")).await;
        assert_eq!((status, &page["skipped"]), (200, &json!(0)), "{page}");
        seen.extend(numbers(&page));
        path = format!("?after={}&limit=7&wait=2s", page["next"].as_str().unwrap());
    }
    assert_eq!(seen, expected);
    let mut events = Events::open(&server, "from=earliest", "").await;
    assert_eq!(events.numbers(expected.len()).await, expected);
    // A worker comes to the end, which a marker is behind.
    let cursor = Cursor { server: &server };
    cursor.make("earliest", "30s").await;
    let mut seen = Vec::new();
    let began = Instant::now();
    loop {
        let page = cursor.page("w", "&limit=7").await;
        seen.extend(numbers(&page));
        assert_eq!(cursor.commit("w", &page).await.0, 200);
        if cursor.view().await["lag"] == 0 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", cursor.view().await);
    }
    assert_eq!(seen, expected);
    drop(events);
    server.stop().assert_drained();
}

#[tokio::test]
async fn boto3_subscribes_to_a_shard_of_it() {
    let (Some(broker), Some(python)) = (Broker::shared(), lake::python()) else { return };
    let topic = broker.topic("subscribe", 2, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).node("aws.signature = \"off\"").start();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/subscribe_on_topic.py");
    let url = format!("http://{}", server.address);
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(script)
            .arg(url)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
    });
    let output = ran.await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.stop().assert_drained();
}
