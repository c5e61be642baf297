//! Named cursors: workers that share a stream and take over from dead ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use crate::events::Events;
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};
use crate::websocket::Client;

fn keyed(name: &str, shards: u32) -> String {
    durable_stream(name, shards, "fsync") + "[ingest]\npartition_key = \"/k\"\n"
}

async fn send(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("http://{}/v1/streams/s/cursors{path}", server.address);
    let method = method.parse().unwrap();
    let reply = reqwest::Client::new().request(method, url).body(body.to_string()).send().await.unwrap();
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default())
}

async fn put(server: &Server, body: Value) -> (u16, Value) {
    send(server, "PUT", "/c", body).await
}

async fn make(server: &Server, lease: &str) {
    let (status, view) = put(server, json!({"from": "earliest", "lease": lease})).await;
    assert_eq!((status, &view["cursor"]), (201, &json!("c")), "{view}");
}

/// A page for a worker.
async fn page(server: &Server, worker: &str, query: &str) -> Value {
    let path = format!("/v1/streams/s/records?cursor=c&worker={worker}{query}");
    let (status, page) = server.get(&path).await;
    assert_eq!(status, 200, "{page}");
    page
}

async fn commit(server: &Server, worker: &str, page: &Value) -> (u16, Value) {
    put(server, json!({"worker": worker, "next": page["next"]})).await
}

fn numbers(page: &Value) -> Vec<u64> {
    page["records"].as_array().unwrap().iter().map(|record| record["data"]["n"].as_u64().unwrap()).collect()
}

fn shards(page: &Value) -> Vec<&str> {
    page["shards"].as_array().unwrap().iter().map(|shard| shard.as_str().unwrap()).collect()
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 13)).collect()
}

/// Notes what a worker has seen; the numbers of a key have to rise from page to page, but for what is seen again.
#[derive(Default)]
struct Seen {
    all: BTreeSet<u64>,
    by_key: BTreeMap<String, u64>,
}

impl Seen {
    fn note(&mut self, page: &Value) {
        for record in page["records"].as_array().unwrap() {
            let (key, n) = (record["data"]["k"].as_str().unwrap(), record["data"]["n"].as_u64().unwrap());
            if self.all.insert(n) {
                let last = self.by_key.insert(key.to_owned(), n);
                assert!(last.is_none_or(|last| last < n), "{key}: {last:?}, then {n}");
            }
        }
    }
}

#[tokio::test]
async fn a_worker_takes_over_from_a_dead_one_and_every_record_is_seen() {
    let server = Setup::pipeline(keyed("s", 4)).start();
    make(&server, "2s").await;
    let (mut seen, mut dead) = (Seen::default(), 0);
    // Both take part before there is anything to hand over.
    page(&server, "w1", "").await;
    for worker in ["w2", "w1", "w2"] {
        page(&server, worker, "").await;
    }
    server.accept("s", lines(0..400)).await;
    let started = Instant::now();
    let mut lost = Value::Null;
    while seen.all.len() < 800 {
        assert!(started.elapsed() < PATIENCE, "{} seen", seen.all.len());
        let mine = page(&server, "w1", "&limit=50&wait=5").await;
        seen.note(&mine);
        assert_eq!(commit(&server, "w1", &mine).await.0, 200);
        if dead < 3 {
            // The last of its pages it does not finish.
            let others = page(&server, "w2", "&limit=20").await;
            assert_eq!(shards(&others).len(), 2, "{others}");
            if dead < 2 {
                seen.note(&others);
                assert_eq!(commit(&server, "w2", &others).await.0, 200);
            } else {
                lost = others;
                server.accept("s", lines(400..800)).await;
            }
            dead += 1;
        }
    }
    let (status, problem) = commit(&server, "w2", &lost).await;
    assert_eq!(status, 200, "all of it is done by now: {problem}");
    let (_, view) = send(&server, "GET", "/c", Value::Null).await;
    assert_eq!((&view["lag"], &view["lease"]), (&json!(0), &json!("2s")), "{view}");
    assert!(server.metric("forebay_cursor_takeovers_total", "stream=\"s\"").await >= 2.0);
    assert_eq!(server.metric("forebay_cursor_lag_records", "cursor=\"c\"").await, 0.0);
    assert_eq!(send(&server, "DELETE", "/c", Value::Null).await.0, 204);
    let (_, text) = server.admin_get("/metrics").await;
    assert!(!text.contains("cursor=\"c\""), "what is gone is shown no more: {text}");
    let log = server.stop().stderr;
    assert!(log.contains("a worker's lease is over"), "{log}");
}

#[tokio::test]
async fn a_late_checkpoint_is_refused_and_names_the_shards() {
    let server = Setup::pipeline(stream("s", 1)).start();
    make(&server, "1s").await;
    server.accept("s", lines(0..10)).await;
    let late = page(&server, "w1", "&limit=6").await;
    assert_eq!(numbers(&late), (0..6).collect::<Vec<_>>());
    // It waits until the lease of the other one is over.
    let other = page(&server, "w2", "&limit=2&wait=30").await;
    assert_eq!((numbers(&other), shards(&other)), (vec![0, 1], vec!["shardId-000000000000"]));
    let (status, problem) = commit(&server, "w1", &late).await;
    assert_eq!(
        (status, &problem["code"], &problem["shards"]),
        (409, &json!("lease_lost"), &json!(["shardId-000000000000"])),
        "{problem}"
    );
    assert_eq!(
        numbers(&page(&server, "w2", "&limit=2").await),
        [0, 1],
        "again, since it was not said to be done"
    );
    let (status, told) = commit(&server, "w2", &other).await;
    assert_eq!((status, &told["shards"]), (200, &json!(["shardId-000000000000"])), "{told}");
    assert_eq!(numbers(&page(&server, "w2", "&limit=2").await), [2, 3]);
    assert_eq!(put(&server, json!({"lease": "1h"})).await.1["lease"], "1h");
    page(&server, "w2", "").await;
    let (status, problem) = put(&server, json!({"reset": "earliest"})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot_change")), "{problem}");
    let (status, view) = put(&server, json!({"reset": "earliest", "force": true})).await;
    assert_eq!((status, &view["lag"]), (200, &json!(10)), "{view}");
    let (status, _) = send(&server, "DELETE", "/c?worker=w2", Value::Null).await;
    assert_eq!(status, 204);
    let (_, list) = send(&server, "GET", "", Value::Null).await;
    let expected =
        json!({"cursor": "c", "lease": "1h", "lag": 10, "worker_count": 0, "leased_shard_count": 0});
    assert_eq!(list["cursors"], json!([expected]), "{list}");
    let (_, whole) = send(&server, "GET", "/c", Value::Null).await;
    assert_eq!((&whole["workers"], whole["shards"].as_array().unwrap().len()), (&json!([]), 1), "{whole}");
    assert_eq!(send(&server, "DELETE", "/c", Value::Null).await.0, 204);
    let (status, problem) = server.get("/v1/streams/s/records?cursor=c&worker=w1").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_cursor")), "{problem}");
}

#[tokio::test]
async fn after_a_kill_workers_go_on_behind_the_checkpoint_with_their_shards() {
    let config = keyed("s", 1);
    let server = Setup::pipeline(config.as_str()).start();
    make(&server, "1h").await;
    server.accept("s", lines(0..10)).await;
    let first = page(&server, "w1", "&limit=4").await;
    let second = page(&server, "w1", &format!("&limit=4&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(numbers(&second), [4, 5, 6, 7]);
    assert_eq!(commit(&server, "w1", &first).await.0, 200);
    let server = Setup::pipeline(config.as_str()).in_folder(server.kill()).start();
    let other = page(&server, "w2", "").await;
    assert_eq!((numbers(&other), shards(&other)), (vec![], vec![]), "it is the first one's for an hour");
    assert_eq!(numbers(&page(&server, "w1", "&limit=3").await), [4, 5, 6]);
    assert_eq!(commit(&server, "w1", &second).await.0, 200, "what it got before");
    assert_eq!(numbers(&page(&server, "w1", "").await), [8, 9]);
    let (status, view) = put(&server, json!({"from": "earliest"})).await;
    assert_eq!((status, &view["lag"]), (200, &json!(2)), "it is there: {view}");
}

#[tokio::test]
async fn children_are_read_once_their_parents_are_done() {
    let server = Setup::pipeline(keyed("s", 1)).start();
    make(&server, "1h").await;
    server.accept("s", lines(0..20)).await;
    let url = server.records("s").replace("/records", "/shards");
    let wish = json!({"split": "shardId-000000000000"}).to_string();
    assert!(reqwest::Client::new().post(url).body(wish).send().await.unwrap().status().is_success());
    server.accept("s", lines(20..60)).await;
    let parent = page(&server, "w1", "&limit=15").await;
    assert_eq!(numbers(&page(&server, "w2", "").await), Vec::<u64>::new());
    assert_eq!(commit(&server, "w1", &parent).await.0, 200);
    let rest = page(&server, "w1", "").await;
    assert_eq!((numbers(&rest), shards(&rest)), ((15..20).collect(), vec!["shardId-000000000000"]));
    let ahead = page(&server, "w1", &format!("&after={}", rest["next"].as_str().unwrap())).await;
    assert_eq!(numbers(&ahead), Vec::<u64>::new(), "its end is not done");
    assert_eq!(commit(&server, "w1", &rest).await.0, 200);
    let mut seen = Seen::default();
    seen.note(&parent);
    seen.note(&rest);
    for worker in ["w1", "w2"] {
        let child = page(&server, worker, "&limit=1000").await;
        assert_eq!(shards(&child).len(), 1, "{child}");
        seen.note(&child);
        assert_eq!(commit(&server, worker, &child).await.0, 200);
    }
    assert_eq!(seen.all.len(), 60);
}

#[tokio::test]
async fn events_and_a_websocket_share_a_cursor() {
    let server = Setup::pipeline(keyed("s", 2)).start();
    make(&server, "1h").await;
    let mut events = Events::open_anywhere(&server, "cursor=c&worker=w1", "").await;
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data["shards"].as_array().unwrap().len()), ("shards", 2));
    let mut socket = Client::open(&server, "cursor=c&worker=w2").await;
    let told = socket.next().await.unwrap();
    let own = shards(&told)[0].to_owned();
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data["shards"].as_array().unwrap().len()), ("shards", 1));
    server.accept("s", lines(0..40)).await;
    let (mut seen, mut last) = (BTreeSet::new(), Value::Null);
    let mut from_events = 0;
    while seen.len() < 40 {
        tokio::select! {
            event = events.next() => {
                let event = event.unwrap();
                assert!(event.name == "record" && event.data["shard"] != own.as_str(), "{event:?}");
                assert!(seen.insert(event.data["data"]["n"].as_u64().unwrap()));
                from_events += 1;
            }
            message = socket.next() => {
                let message = message.unwrap();
                seen.extend(numbers(&message));
                last = message["next"].clone();
            }
        }
    }
    assert!(0 < from_events && from_events < 40, "{from_events}");
    socket.send(json!({"id": 7, "commit": last}).to_string()).await;
    let ack = socket.next().await.unwrap();
    assert_eq!((&ack["ack"], ack["committed"].is_string()), (&json!(7), true), "{ack}");
    socket.send(json!({"commit": "nothing"}).to_string()).await;
    assert_eq!(socket.next().await.unwrap()["error"]["code"], "bad_parameter");
    let (status, told) = put(&server, json!({"worker": "w1", "next": events.last_id})).await;
    assert_eq!(status, 200, "{told}");
    let (_, view) = send(&server, "GET", "/c", Value::Null).await;
    assert_eq!(view["lag"], 0, "{view}");
    assert_eq!(send(&server, "DELETE", "/c", Value::Null).await.0, 204);
    assert_eq!(events.next().await.unwrap().data["reason"], "unknown_cursor");
    assert_eq!(socket.next().await, Err(1008));
}

#[tokio::test]
async fn a_reset_sends_a_connection_that_stays_the_records_again() {
    let server = Setup::pipeline(stream("s", 1)).start();
    make(&server, "1h").await;
    let mut events = Events::open_anywhere(&server, "cursor=c&worker=w1", "").await;
    assert_eq!(events.next().await.unwrap().name, "shards");
    server.accept("s", lines(0..10)).await;
    assert_eq!(events.numbers(10).await, (0..10).collect::<Vec<_>>());
    let far = events.last_id.clone();
    assert_eq!(put(&server, json!({"worker": "w1", "next": far})).await.0, 200);
    let (status, view) = put(&server, json!({"reset": "earliest", "force": true})).await;
    assert_eq!((status, &view["lag"]), (200, &json!(10)), "{view}");
    server.accept("s", lines(10..11)).await;
    assert_eq!(events.numbers(11).await, (0..11).collect::<Vec<_>>(), "and not the newest one alone");
    // Nor does a client pass over them that comes again with where it was.
    assert_eq!(put(&server, json!({"reset": "earliest", "force": true})).await.0, 200);
    drop(events);
    assert_eq!(send(&server, "DELETE", "/c?worker=w1", Value::Null).await.0, 204);
    let again = page(&server, "w1", &format!("&limit=3&after={far}")).await;
    assert_eq!(numbers(&again), [0, 1, 2]);
    assert_eq!(commit(&server, "w1", &json!({"next": far})).await.0, 409);
    assert_eq!(commit(&server, "w1", &again).await.0, 200);
}

#[tokio::test]
async fn a_worker_that_leaves_takes_its_connections_with_it() {
    let server = Setup::pipeline(stream("s", 1)).start();
    make(&server, "1h").await;
    let mut events = Events::open_anywhere(&server, "cursor=c&worker=w1", "").await;
    assert_eq!(events.next().await.unwrap().name, "shards");
    let mut socket = Client::open(&server, "cursor=c&worker=w1").await;
    assert_eq!(shards(&socket.next().await.unwrap()), ["shardId-000000000000"]);
    assert_eq!(send(&server, "DELETE", "/c?worker=w1", Value::Null).await.0, 204);
    assert_eq!(events.next().await.unwrap().data["reason"], "worker_left");
    assert_eq!(socket.next().await, Err(1000));
    let (_, view) = send(&server, "GET", "/c", Value::Null).await;
    assert_eq!((&view["workers"], &view["leased_shard_count"]), (&json!([]), &json!(0)), "{view}");
}

/// What a WebSocket was told last, once that is the end of the only shard.
async fn told_end(socket: &mut Client, end: u64) -> Value {
    loop {
        let told = socket.next().await.unwrap();
        assert_eq!(numbers(&told), Vec::<u64>::new());
        if told["next"].as_str().unwrap().ends_with(&format!("-{end}")) {
            return told;
        }
    }
}

#[tokio::test]
async fn a_websocket_with_a_filter_that_passes_nothing_comes_to_the_children() {
    let server = Setup::pipeline(keyed("s", 1)).start();
    make(&server, "1h").await;
    let mut socket = Client::open(&server, "cursor=c&worker=w1&where=/n=99").await;
    assert_eq!(shards(&socket.next().await.unwrap()), ["shardId-000000000000"]);
    server.accept("s", lines(0..20)).await;
    let (_, all) = server.get("/v1/streams/s/records?from=earliest").await;
    let end = all["next"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
    let url = server.records("s").replace("/records", "/shards");
    let wish = json!({"split": "shardId-000000000000"}).to_string();
    assert!(reqwest::Client::new().post(url).body(wish).send().await.unwrap().status().is_success());
    let told = told_end(&mut socket, end).await;
    socket.send(json!({"commit": told["next"]}).to_string()).await;
    server.accept("s", lines(90..100)).await;
    let (mut committed, mut seen) = (false, Vec::new());
    while !committed || seen.is_empty() {
        let message = socket.next().await.unwrap();
        assert_eq!(message["error"], Value::Null, "{message}");
        match message["records"].is_array() {
            true => seen.extend(numbers(&message)),
            false => committed = true,
        }
    }
    assert_eq!(seen, [99]);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_a_filter_moves_on() {
    let server = Setup::pipeline(stream("s", 1)).start();
    make(&server, "1h").await;
    server.accept("s", lines(0..30)).await;
    let filtered = page(&server, "w1", "&where=/n=17").await;
    assert_eq!(numbers(&filtered), [17]);
    assert_eq!(commit(&server, "w1", &filtered).await.0, 200);
    assert_eq!(page(&server, "w1", "").await["records"], json!([]));
    for (query, code) in [
        ("cursor=c", "bad_parameter"),
        ("worker=w", "bad_parameter"),
        ("cursor=c&worker=w&from=latest", "bad_parameter"),
        ("cursor=c&worker=w&after=0-99999999999999999", "bad_parameter"),
        ("cursor=d&worker=w", "unknown_cursor"),
    ] {
        let (_, problem) = server.get(&format!("/v1/streams/s/records?{query}")).await;
        assert_eq!(problem["code"], code, "{query}: {problem}");
    }
    let long = format!("/{}", "c".repeat(1000));
    for (path, body, code) in [
        ("/c", json!({"lease": "1ms"}), "bad_parameter"),
        ("/c", json!({"next": "0-1"}), "bad_parameter"),
        ("/c", json!({"worker": "w", "next": "x"}), "bad_parameter"),
        ("/c", json!({"reset": "0-99999999999999999", "force": true}), "bad_parameter"),
        ("/c", json!({"form": "latest"}), "json"),
        ("/c", json!({"from": "17"}), "bad_parameter"),
        ("/d", json!({"worker": "w"}), "unknown_cursor"),
        (&*long, json!({}), "bad_parameter"),
        // What is escaped names nothing.
        ("/%20", json!({}), "not_found"),
    ] {
        let (_, problem) = send(&server, "PUT", path, body.clone()).await;
        assert_eq!(problem["code"], code, "{path} {body}: {problem}");
    }
}
