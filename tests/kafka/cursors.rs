//! Named cursors of a stream that is in a topic: of a node that is alone, and of nodes that share them.

use std::time::{Duration, Instant};

use forebay::testkit::broker::Broker;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::readers::{Events, lines, numbers, pipeline, sorted};
use crate::server::{PATIENCE, Server, Setup};
use crate::tail_command::Tail;

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

/// The next numbers that it prints.
fn take(tail: &Tail, count: usize) -> Vec<u64> {
    (0..count).map(|_| tail.numbers.recv_timeout(PATIENCE).expect("a number in time")).collect()
}

/// Has it end as by Ctrl-C, and takes what it has still printed.
fn interrupt(mut tail: Tail) -> Vec<u64> {
    assert_eq!(tail.signal(Signal::INT).code(), Some(0));
    tail.rest()
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
async fn forebay_tail_prints_it_alone_and_with_others_by_a_cursor() {
    let Some(broker) = Broker::shared() else { return };
    let (topic, shared) = (broker.topic("tail", 4, &[]).unwrap(), tempfile::tempdir().unwrap());
    let [a, b] = nodes(&broker, &topic, shared.path());
    a.accept("s", lines(0..30)).await;
    let alone = Tail::start(&b, &["--from", "earliest"]);
    assert_eq!(sorted(take(&alone, 30)), (0..30).collect::<Vec<_>>());
    b.accept("s", lines(30..40)).await;
    assert_eq!(sorted(take(&alone, 10)), (30..40).collect::<Vec<_>>());
    drop(alone);
    let cursor = Cursor { server: &a };
    cursor.make("earliest", "30s").await;
    let one = Tail::start(&a, &["--cursor", "c"]);
    let mut printed = take(&one, 40);
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
    printed.extend(take(&one, 10));
    printed.extend(interrupt(one));
    a.accept("s", lines(300..400)).await;
    let began = Instant::now();
    while cursor.view().await["lag"] != 0 {
        assert!(began.elapsed() < PATIENCE, "{}", cursor.view().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    printed.extend(interrupt(other));
    assert_eq!(sorted(printed), (0..400).collect::<Vec<_>>());
    assert_eq!(cursor.view().await["workers"], json!([]), "both have left");
}
