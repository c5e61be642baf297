//! Whoever reads a stream that is in a topic, by each of the ways there are, and what can become of the topic meanwhile.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use forebay::testkit::broker::Broker;
use futures_util::{SinkExt, StreamExt};
use rdkafka::producer::Producer as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

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
struct Events {
    response: reqwest::Response,
    text: Vec<u8>,
    id: String,
}

impl Events {
    async fn open(server: &Server, query: &str, last_id: &str) -> Self {
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
    async fn next(&mut self) -> Option<(String, Value)> {
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
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
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

/// `forebay tail`, and the numbers that it prints.
pub struct Tail {
    child: Child,
    pub numbers: Receiver<u64>,
}

impl Tail {
    pub fn start(server: &Server, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["tail", "s", "--json", "--url", &format!("http://{}", server.address)])
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, numbers) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(record["data"]["n"].as_u64().unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, numbers }
    }

    pub fn take(&self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.numbers.recv_timeout(PATIENCE).expect("a number in time")).collect()
    }

    /// Has it end as by Ctrl-C, and takes what it has still printed.
    pub fn interrupt(mut self) -> Vec<u64> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.numbers.iter().collect()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// The named cursor `c` of the stream.
pub struct Cursor<'a> {
    pub server: &'a Server,
}

impl Cursor<'_> {
    pub async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/v1/streams/s/cursors{path}", self.server.address);
        let method = method.parse().unwrap();
        let reply = reqwest::Client::new().request(method, url).body(body.to_string()).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default())
    }

    pub async fn make(&self, from: &str, lease: &str) {
        let (status, view) = self.send("PUT", "/c", json!({"from": from, "lease": lease})).await;
        assert_eq!(status, 201, "{view}");
    }

    /// A page for a worker.
    pub async fn page(&self, worker: &str, query: &str) -> Value {
        let path = format!("/v1/streams/s/records?cursor=c&worker={worker}{query}");
        let (status, page) = self.server.get(&path).await;
        assert_eq!(status, 200, "{page}");
        page
    }

    pub async fn commit(&self, worker: &str, page: &Value) -> (u16, Value) {
        self.send("PUT", "/c", json!({"worker": worker, "next": page["next"]})).await
    }

    pub async fn view(&self) -> Value {
        self.send("GET", "/c", Value::Null).await.1
    }
}

/// Stops the broker and the node, and starts the node first.
#[tokio::test]
async fn the_cursors_of_a_node_that_is_alone_outlive_it_and_wait_for_the_broker() {
    let Some(mut broker) = Broker::own().unwrap() else { return };
    let topic = broker.topic("kept", 2, &[]).unwrap();
    let pipeline = pipeline(&broker, &topic);
    let server = Setup::pipeline(pipeline.clone()).start();
    server.accept("s", lines(0..40)).await;
    let cursor = Cursor { server: &server };
    cursor.make("earliest", "1h").await;
    let first = cursor.page("w", "&limit=10").await;
    assert_eq!(cursor.commit("w", &first).await.0, 200);
    let done = cursor.view().await["next"].clone();
    let folder = server.kill();
    broker.stop().unwrap();
    let server = Setup::pipeline(pipeline).in_folder(folder).start();
    let cursor = Cursor { server: &server };
    let (status, problem) = cursor.send("GET", "/c", Value::Null).await;
    assert_eq!((status, &problem["code"]), (503, &json!("log_unavailable")), "{problem}");
    let (status, problem) = cursor.send("PUT", "/d", json!({})).await;
    assert_eq!((status, &problem["code"]), (503, &json!("log_unavailable")), "{problem}");
    broker.start().unwrap();
    let began = Instant::now();
    while cursor.send("GET", "/c", Value::Null).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cursor.view().await["next"], done);
    assert_eq!(
        numbers(&cursor.page("other", "").await),
        Vec::<u64>::new(),
        "it is the first one's for an hour"
    );
    let (status, _) = cursor.send("DELETE", "/c?worker=other", Value::Null).await;
    assert_eq!(status, 204);
    let mut seen = numbers(&first);
    let began = Instant::now();
    while seen.len() < 40 {
        let page = cursor.page("w", "&wait=2s").await;
        seen.extend(numbers(&page));
        assert_eq!(cursor.commit("w", &page).await.0, 200);
        assert!(began.elapsed() < PATIENCE, "{seen:?}");
    }
    assert_eq!(sorted(seen), (0..40).collect::<Vec<_>>());
    server.stop().assert_drained();
}

/// Two nodes that keep cursors in one folder.
fn nodes(broker: &Broker, topic: &str, shared: &std::path::Path) -> [Server; 2] {
    [0, 1].map(|index| {
        let node = format!(
            "node = \"n{index}\"\n[cluster]\nledger = \"file://{}/ledgers/\"\nroles = [\"edge\"]\n{}",
            shared.display(),
            ""
        );
        Setup::pipeline(pipeline(broker, topic)).node(&node).start()
    })
}

#[tokio::test]
async fn workers_at_several_nodes_share_a_cursor_and_its_state_outlives_a_node() {
    let Some(broker) = Broker::shared() else { return };
    let (topic, shared) = (broker.topic("cursor", 4, &[]).unwrap(), tempfile::tempdir().unwrap());
    let [a, b] = nodes(&broker, &topic, shared.path());
    let (on_a, on_b) = (Cursor { server: &a }, Cursor { server: &b });
    on_a.make("earliest", "4s").await;
    let (status, view) = on_b.send("PUT", "/c", json!({"from": "latest"})).await;
    assert_eq!((status, &view["lease"]), (200, &json!("4s")), "it is there: {view}");
    let (_, list) = on_b.send("GET", "", Value::Null).await;
    assert_eq!(list["cursors"].as_array().unwrap().len(), 1, "{list}");
    // Both take part before there is anything to hand over.
    let shards = async |cursor: &Cursor<'_>, worker: &str| {
        cursor.page(worker, "").await["shards"].as_array().unwrap().len()
    };
    assert_eq!(shards(&on_a, "w1").await, 4);
    assert_eq!(shards(&on_b, "w2").await, 2);
    let began = Instant::now();
    while shards(&on_a, "w1").await != 2 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    a.accept("s", lines(0..200)).await;
    let mut seen = Vec::new();
    let began = Instant::now();
    while seen.len() < 200 {
        // What one node has sent is said to be done to the other one.
        for (worker, from, to) in [("w1", &on_a, &on_b), ("w2", &on_b, &on_a)] {
            let page = from.page(worker, "&limit=20&wait=1s").await;
            seen.extend(numbers(&page));
            let (status, told) = to.commit(worker, &page).await;
            assert_eq!(status, 200, "{told}");
        }
        assert!(began.elapsed() < PATIENCE, "{} seen", seen.len());
    }
    assert_eq!(sorted(seen), (0..200).collect::<Vec<_>>());
    // A page that is not done, and a node that is gone.
    a.accept("s", lines(200..240)).await;
    let late = on_a.page("w1", "&wait=5s").await;
    assert!(!numbers(&late).is_empty());
    drop(a.kill());
    let mut seen = Vec::new();
    let began = Instant::now();
    while seen.len() < 40 {
        let page = on_b.page("w2", "&wait=1s").await;
        seen.extend(numbers(&page));
        assert_eq!(on_b.commit("w2", &page).await.0, 200);
        assert!(began.elapsed() < PATIENCE, "{} seen", seen.len());
    }
    assert_eq!(sorted(seen), (200..240).collect::<Vec<_>>(), "with those of the dead one");
    assert_eq!(on_b.view().await["lag"], 0);
    let (status, _) = on_b.send("DELETE", "/c", Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(on_b.send("GET", "/c", Value::Null).await.0, 404);
    b.stop().assert_drained();
}

#[tokio::test]
async fn a_word_that_comes_too_late_by_another_node_does_not_count_and_a_deleted_cursor_is_gone_everywhere() {
    let Some(broker) = Broker::shared() else { return };
    let (topic, shared) = (broker.topic("late", 1, &[]).unwrap(), tempfile::tempdir().unwrap());
    let [a, b] = nodes(&broker, &topic, shared.path());
    let (on_a, on_b) = (Cursor { server: &a }, Cursor { server: &b });
    on_a.make("earliest", "1s").await;
    a.accept("s", lines(0..10)).await;
    let late = on_a.page("w1", "&limit=6&wait=5s").await;
    assert!(!numbers(&late).is_empty());
    // It waits until the lease of the other one is over.
    let other = on_b.page("w2", "&limit=2&wait=30").await;
    assert_eq!(numbers(&other), [0, 1]);
    let (status, problem) = on_a.commit("w1", &late).await;
    assert_eq!((status, &problem["code"]), (409, &json!("lease_lost")), "{problem}");
    assert_eq!(on_a.commit("w2", &other).await.0, 200);
    let mut events = Events::open(&a, "cursor=c&worker=w3", "").await;
    assert_eq!(events.next().await.unwrap().0, "shards");
    let (status, _) = on_b.send("DELETE", "/c", Value::Null).await;
    assert_eq!(status, 204);
    let (status, problem) = a.get("/v1/streams/s/records?cursor=c&worker=w1").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_cursor")), "{problem}");
    loop {
        let (name, data) = events.next().await.expect("an end that is told");
        if name == "end" {
            assert_eq!(data["reason"], "unknown_cursor", "{data}");
            break;
        }
    }
    // One of its name is another one, for both.
    on_b.make("earliest", "1s").await;
    assert_eq!(on_a.view().await["lag"], 10);
}

#[tokio::test]
async fn a_node_that_is_not_told_of_a_store_refuses_cursors_by_name() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("nowhere", 1, &[]).unwrap();
    let node = "[cluster]\nroles = [\"edge\"]\n";
    let server = Setup::pipeline(pipeline(&broker, &topic)).node(node).start();
    let (status, problem) = Cursor { server: &server }.send("PUT", "/c", json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot_change")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("[cluster] ledger"), "{problem}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn forebay_tail_prints_it_alone_and_with_others_by_a_cursor() {
    let Some(broker) = Broker::shared() else { return };
    let (topic, shared) = (broker.topic("tail", 4, &[]).unwrap(), tempfile::tempdir().unwrap());
    let [a, b] = nodes(&broker, &topic, shared.path());
    a.accept("s", lines(0..30)).await;
    let alone = Tail::start(&b, &["--from", "earliest"]);
    assert_eq!(sorted(alone.take(30)), (0..30).collect::<Vec<_>>());
    b.accept("s", lines(30..40)).await;
    assert_eq!(sorted(alone.take(10)), (30..40).collect::<Vec<_>>());
    drop(alone);
    let cursor = Cursor { server: &a };
    cursor.make("earliest", "30s").await;
    let one = Tail::start(&a, &["--cursor", "c"]);
    let mut printed = one.take(40);
    let other = Tail::start(&b, &["--cursor", "c"]);
    let began = Instant::now();
    loop {
        let view = cursor.view().await;
        let workers = view["workers"].as_array().unwrap();
        if workers.len() == 2 && workers.iter().all(|worker| worker["shards"] == 2) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    a.accept("s", lines(40..300)).await;
    // Whoever is stopped leaves nothing that the other one would have to print again.
    printed.extend(one.take(10));
    printed.extend(one.interrupt());
    a.accept("s", lines(300..400)).await;
    let began = Instant::now();
    while cursor.view().await["lag"] != 0 {
        assert!(began.elapsed() < PATIENCE, "{}", cursor.view().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    printed.extend(other.interrupt());
    assert_eq!(sorted(printed), (0..400).collect::<Vec<_>>());
    assert_eq!(cursor.view().await["workers"], json!([]), "both have left");
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

/// Retention passes over what readers have not read yet.
#[tokio::test]
async fn what_retention_takes_from_a_reader_that_is_behind_is_told_and_it_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("retained", 1, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    for start in (0..100).step_by(10) {
        server.accept("s", lines(start..start + 10)).await;
    }
    let (_, first) = server.get("/v1/streams/s/records?from=earliest&limit=10").await;
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    let mut events = Events::open(&server, "from=earliest", "").await;
    assert_eq!(events.numbers(10).await, (0..10).collect::<Vec<_>>());
    let id = events.id.clone();
    drop(events);
    let cursor = Cursor { server: &server };
    cursor.make("earliest", "30s").await;
    assert_eq!(cursor.commit("w", &cursor.page("w", "&limit=10").await).await.0, 200);
    assert_eq!(broker.remove_records(&topic, 0, 40).unwrap(), 40);
    // The node learns of it within seconds, or when it asks for what is gone.
    let after = format!("/v1/streams/s/records?after={}&limit=5&wait=1s", first["next"].as_str().unwrap());
    let began = Instant::now();
    let page = loop {
        let (status, page) = server.get(&after).await;
        if status == 200 && page["skipped"] != 0 {
            break page;
        }
        assert!(status == 200 || page["code"] == "log_unreadable", "{status} {page}");
        assert!(began.elapsed() < PATIENCE, "{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((numbers(&page), &page["skipped"]), ((40..45).collect(), &json!(30)), "{page}");
    let mut events = Events::open(&server, "", &id).await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &data["skipped"]), ("gap", &json!(30)));
    assert_eq!(events.numbers(60).await, (40..100).collect::<Vec<_>>());
    let page = cursor.page("w", "").await;
    assert_eq!((numbers(&page), &page["skipped"]), ((40..100).collect(), &json!(30)), "{page}");
    assert_eq!(cursor.commit("w", &page).await.0, 200);
    assert_eq!(cursor.view().await["lag"], 0);
    drop(events);
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_told_to_writers_and_readers_and_one_that_is_made_again_as_well() {
    let Some(broker) = Broker::own().unwrap() else { return };
    let topic = broker.topic("deleted", 1, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    server.accept("s", lines(0..50)).await;
    let mut events = Events::open(&server, "from=earliest", "").await;
    events.numbers(50).await;
    broker.remove_topic(&topic).unwrap();
    // A writer is told that it is not kept, and why.
    let began = Instant::now();
    let problem = loop {
        let (status, problem) = server.post("s", "application/x-ndjson", lines(50..51)).await;
        assert_eq!(status, 503, "{problem}");
        if problem["code"] == "log_failed" || problem["code"] == "log_unavailable" {
            break problem;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{problem}");
    };
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&topic) && detail.contains("nown topic"), "{detail}");
    server.until("forebay_stream_topic_up", "stream=\"s\"", |up| up == 0.0).await;
    let (status, why) = server.admin_get("/readyz").await;
    assert!(status == 503 && why.contains("stream 's'"), "{status} {why}");
    // A reader of what was there is not left to wait.
    let asked = Instant::now();
    let (status, page) = server.get("/v1/streams/s/records?from=earliest&limit=1000").await;
    assert!(asked.elapsed() < PATIENCE, "{status} {page}");
    let cpu = server.metric("process_cpu_seconds_total", "").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let spent = server.metric("process_cpu_seconds_total", "").await - cpu;
    assert!(spent < 1.5, "{spent} s of CPU in 3 s: it does not sleep");
    // Another one of its name has other numbers: nobody goes on as if nothing had happened.
    broker.make_again(&topic, 1).unwrap();
    let began = Instant::now();
    loop {
        let (status, why) = server.admin_get("/readyz").await;
        if status == 503 && why.contains("it was made again") {
            assert!(why.contains("restart"), "{why}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{status} {why}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, problem) = server.post("s", "application/x-ndjson", lines(51..52)).await;
    assert_eq!((status, &problem["code"]), (503, &json!("log_unavailable")), "{problem}");
    drop(events);
    let stopped = server.stop();
    let folder = stopped.folder;
    // What it says helps.
    let server = Setup::pipeline(pipeline(&broker, &topic)).in_folder(folder).start();
    server.accept("s", lines(0..5)).await;
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!(numbers(&page), (0..5).collect::<Vec<_>>());
    server.stop().assert_drained();
}
