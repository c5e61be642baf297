//! The files, read again while the binary runs.

use std::time::Instant;

use reqwest::header::ORIGIN;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

const OLD_KEY: &str = "old-0123456789abcdef";
const NEW_KEY: &str = "new-0123456789abcdef";

/// Tables of `forebay.toml` that let everybody with `key` do everything.
fn auth(key: &str) -> String {
    let words = "[\"api_key\"]";
    format!(
        "auth = {{ ingest = {words}, tap = {words}, admin = {words} }}\n\
         [[api_key]]\nname = \"somebody\"\nkey = \"{key}\"\nallow = [\"*:*\"]\n"
    )
}

fn delivery(name: &str, more: &str) -> String {
    format!("[[delivery]]\nname = \"{name}\"\ncompression = \"none\"\nprefix = \"\"\n{more}\n")
}

fn web(more: &str) -> String {
    format!("{}{more}", durable_stream("web", 2, "os"))
}

fn write(server: &Server, name: &str, text: &str) {
    std::fs::write(server.folder().join("pipelines").join(name), text).unwrap();
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Asks the admin port.
async fn reload(server: &Server) -> (u16, Value) {
    reload_as(server, "").await
}

async fn reload_as(server: &Server, key: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    let response = request.header("x-api-key", key).send().await.unwrap();
    let status = response.status().as_u16();
    (status, json_of(response).await)
}

async fn put(server: &Server, key: &str, stream: &str, ids: std::ops::Range<u32>) -> u16 {
    let lines: String = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let request = reqwest::Client::new().post(server.records(stream)).header("x-api-key", key);
    request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap().status().as_u16()
}

/// All numbers in the files of a delivery, in order.
fn delivered(folder: &std::path::Path, stream: &str, delivery: &str) -> Vec<u64> {
    let folder = folder.join("data/lake").join(stream).join(delivery);
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(path).unwrap();
            ids.extend(
                text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()),
            );
        }
    }
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn keys_streams_and_deliveries_change_and_each_record_is_delivered_once() {
    let old = web(&(delivery("lake", "") + &delivery("leaving", "")));
    let server = Setup::pipeline(&old).node(&auth(OLD_KEY)).start();
    assert_eq!(put(&server, OLD_KEY, "web", 0..100).await, 200);
    assert_eq!(put(&server, NEW_KEY, "web", 0..1).await, 401);

    let changed = web(&(delivery("lake", "buffer = { interval = \"1s\" }") + &delivery("fresh", "")));
    write(&server, "pipeline.toml", &changed.replace("shards = 2", "shards = 3"));
    write(
        &server,
        "orders.toml",
        &format!("{}{}", durable_stream("orders", 1, "fsync"), delivery("lake", "")),
    );
    let node = server.folder().join("forebay.toml");
    let text = std::fs::read_to_string(&node).unwrap();
    std::fs::write(&node, text.replace(OLD_KEY, NEW_KEY)).unwrap();
    assert_eq!(reload_as(&server, NEW_KEY).await.0, 401);
    let (status, told) = reload_as(&server, OLD_KEY).await;
    let changes = json!([
        "stream 'orders': new",
        "stream 'web': 3 shards",
        "stream 'web': delivery 'lake': buffer, dead letters",
        "stream 'web': delivery 'fresh': new",
        "stream 'web': delivery 'leaving': gone",
        "[auth] and those whom it knows",
    ]);
    assert_eq!((status, told), (200, json!({ "reloaded": true, "changes": changes })));

    assert_eq!(put(&server, OLD_KEY, "web", 0..1).await, 401, "the old key");
    assert_eq!(put(&server, NEW_KEY, "web", 100..200).await, 200);
    assert_eq!(put(&server, NEW_KEY, "orders", 0..10).await, 200);
    let shards = reqwest::Client::new().get(server.records("web").replace("records", "shards"));
    let shards: Value = json_of(shards.header("x-api-key", NEW_KEY).send().await.unwrap()).await;
    let open = shards["shards"].as_array().unwrap().iter().filter(|shard| shard["open"] == true).count();
    assert_eq!(open, 3);
    assert_eq!(reload_as(&server, NEW_KEY).await, (200, json!({ "reloaded": true, "changes": [] })));

    let stopped = server.stop();
    stopped.assert_drained();
    let all: Vec<u64> = (0..200).collect();
    for name in ["lake", "fresh"] {
        assert_eq!(delivered(stopped.folder.path(), "web", name), all, "{name}");
    }
    let left = delivered(stopped.folder.path(), "web", "leaving");
    assert!(left.iter().all(|id| *id < 100), "{left:?}");
    assert_eq!(delivered(stopped.folder.path(), "orders", "lake"), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_whose_file_goes_and_comes_back_goes_on_where_it_was() {
    let b = durable_stream("b", 2, "os") + &delivery("lake", "buffer = { interval = \"1s\" }");
    let server = Setup::pipeline(web(&delivery("lake", ""))).and_pipeline("b", &b).start();
    assert_eq!(put(&server, "", "b", 0..50).await, 200);
    let cursors = format!("http://{}/v1/streams/b/cursors/c", server.address);
    let made = reqwest::Client::new().put(&cursors).body("{\"from\":\"earliest\"}").send().await.unwrap();
    assert!(made.status().is_success());
    let file = server.folder().join("pipelines/b.toml");
    for round in 1..4_u32 {
        std::fs::remove_file(&file).unwrap();
        let gone = "stream 'b': gone; its records stay until their retention is over";
        assert_eq!(reload(&server).await, (200, json!({ "reloaded": true, "changes": [gone] })));
        assert_eq!(put(&server, "", "b", 0..1).await, 404);
        // Not as something else.
        std::fs::write(&file, b.replace("\"os\"", "\"fsync\"")).unwrap();
        let (status, told) = reload(&server).await;
        let why = "stream 'b': durability of stream 'b' has changed since its file was gone: restart, or bring it back as it was";
        assert_eq!((status, told["error"].as_str()), (409, Some(why)), "{told}");
        assert_eq!(put(&server, "", "b", 0..1).await, 404);
        // With other settings of the kind that may change while a stream is there.
        std::fs::write(&file, b.replace("shards = 2", &format!("shards = {}", 2 + round))).unwrap();
        assert_eq!(reload(&server).await, (200, json!({ "reloaded": true, "changes": ["stream 'b': new"] })));
        assert_eq!(put(&server, "", "b", round * 50..(round + 1) * 50).await, 200);
        assert_eq!(reload(&server).await.1["changes"], json!([]));
    }
    let (status, shards) = server.get("/v1/streams/b/shards").await;
    let open = shards["shards"].as_array().unwrap().iter().filter(|shard| shard["open"] == true).count();
    assert_eq!((status, open), (200, 5), "{shards}");
    assert_eq!(server.get("/v1/streams/b/cursors/c").await.0, 200);
    // New shards are read behind those that they come of: a page each time.
    let (mut ids, mut from) = (Vec::new(), "from=earliest".to_owned());
    loop {
        let (status, page) = server.get(&format!("/v1/streams/b/records?{from}")).await;
        assert_eq!(status, 200, "{page}");
        let records = page["records"].as_array().unwrap();
        ids.extend(records.iter().map(|it| it["data"]["id"].as_u64().unwrap()));
        if records.is_empty() {
            break;
        }
        from = format!("after={}", page["next"].as_str().unwrap());
    }
    ids.sort_unstable();
    let all: Vec<u64> = (0..200).collect();
    assert_eq!(ids, all);
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(delivered(stopped.folder.path(), "b", "lake"), all, "each once");
    // And as after any restart.
    let server = Setup::default().in_folder(stopped.folder).start();
    assert_eq!(server.get("/v1/streams/b/cursors/c").await.0, 200);
    assert_eq!(put(&server, "", "b", 200..210).await, 200);
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(delivered(stopped.folder.path(), "b", "lake"), (0..210).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_wrong_or_takes_a_restart_changes_nothing() {
    let old = web(&delivery("lake", ""));
    let server = Setup::pipeline(&old).start();
    write(&server, "pipeline.toml", &old.replace("shards = 2", "shards = \"two\""));
    write(&server, "orders.toml", &durable_stream("orders", 1, "os"));
    let (status, told) = reload(&server).await;
    let why = told["error"].as_str().unwrap();
    assert!(status == 409 && why.contains("pipeline.toml:3:10: "), "{why}");
    assert_eq!(put(&server, "", "orders", 0..1).await, 404);

    write(&server, "pipeline.toml", &old.replace("\"os\"", "\"fsync\""));
    let why = "a restart is needed: durability of stream 'web' has changed";
    assert_eq!(reload(&server).await, (409, json!({ "reloaded": false, "error": why })));
    assert_eq!(put(&server, "", "orders", 0..1).await, 404);

    write(&server, "pipeline.toml", &old);
    server.signal(Signal::HUP);
    let begun = Instant::now();
    while put(&server, "", "orders", 0..1).await != 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Waits until the signal's is over, which is told in the log at its end.
    assert_eq!(reload(&server).await, (200, json!({ "reloaded": true, "changes": [] })));
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(stopped.stderr.contains("stream 'orders': new"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("all stays as it was"), "{}", stopped.stderr);
}

#[tokio::test]
async fn changes_before_one_that_fails_are_taken_back() {
    let old = web(&delivery("lake", ""));
    let server = Setup::pipeline(&old).start();
    assert_eq!(put(&server, "", "web", 0..50).await, 200);
    // Stands where the folder of the new stream's ledgers has to be.
    let obstacle = server.folder().join("data/ledger/zebra");
    std::fs::write(&obstacle, "no folder").unwrap();
    write(
        &server,
        "pipeline.toml",
        &web(&(delivery("lake", "buffer = { interval = \"2s\" }") + &delivery("fresh", ""))),
    );
    write(&server, "zebra.toml", &format!("{}{}", durable_stream("zebra", 1, "os"), delivery("lake", "")));
    let (status, told) = reload(&server).await;
    assert_eq!(status, 409, "{told}");
    assert!(told["error"].as_str().unwrap().starts_with("stream 'zebra': "), "{told}");
    assert_eq!(put(&server, "", "zebra", 0..1).await, 404);
    assert_eq!(put(&server, "", "web", 50..100).await, 200);

    std::fs::remove_file(&obstacle).unwrap();
    let (status, told) = reload(&server).await;
    let changes = json!([
        "stream 'web': delivery 'lake': buffer, dead letters",
        "stream 'web': delivery 'fresh': new",
        "stream 'zebra': new",
    ]);
    assert_eq!((status, &told["changes"]), (200, &changes), "{told}");
    let stopped = server.stop();
    stopped.assert_drained();
    let all: Vec<u64> = (0..100).collect();
    for name in ["lake", "fresh"] {
        assert_eq!(delivered(stopped.folder.path(), "web", name), all, "{name}");
    }
}

/// Changes `forebay.toml`.
fn change(server: &Server, from: &str, to: &str) {
    let node = server.folder().join("forebay.toml");
    let text = std::fs::read_to_string(&node).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&node, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn limits_of_everybody_routes_keys_and_streams_change() {
    let web = |limit: &str| format!("{}[ingest]\nlimit = {{ {limit} }}\n", stream("web", 1));
    let tables = format!("{}[limits]\nglobal = {{ records_per_second = 1000000 }}\n", auth(OLD_KEY));
    let server = Setup::pipeline(web("records_per_second = 1000000")).node(&tables).start();
    let put = |count| put(&server, OLD_KEY, "web", 0..count);
    let reload = || reload_as(&server, OLD_KEY);
    assert_eq!(put(5).await, 200);
    // A request of more than a whole bucket is let in by a full one, and pays for it later: the next one is refused.
    let hour = "{ records_per_second = 1, burst = 1 }";
    for (from, to, line) in [
        ("global = { records_per_second = 1000000 }", format!("global = {hour}"), "[limits]"),
        ("allow = [", format!("limit = {hour}\nallow = ["), "[auth] and those whom it knows"),
        (
            "global = { records_per_second = 1000000 }",
            format!("[limits.route]\nrecords = {hour}"),
            "[limits]",
        ),
    ] {
        change(&server, from, &to);
        let (status, told) = reload().await;
        assert_eq!((status, &told["changes"]), (200, &json!([line])), "{told}");
        assert_eq!((put(1_000).await, put(1_000).await), (200, 429), "{line}");
        change(&server, &to, from);
        assert_eq!(reload().await.0, 200);
        assert_eq!((put(5).await, put(5).await), (200, 200), "as before");
    }
    write(&server, "pipeline.toml", &web("records_per_second = 1, burst = 1"));
    assert_eq!(reload().await.1["changes"], json!(["stream 'web': [ingest]"]));
    assert_eq!((put(900).await, put(900).await), (200, 429));
    server.stop().assert_drained();
}

#[tokio::test]
async fn access_keys_come_and_go() {
    let key = |id: &str, secret: &str| {
        format!(
            "[[access_key]]\nid = \"{id}\"\nsecret = \"{secret}\"\nallow = [\"ingest:s\", \"kinesis:*\"]\n"
        )
    };
    let (old, new) = (key("AKIDOLD", "wJalrXUtnFEMI-old"), key("AKIDNEW", "wJalrXUtnFEMI-new"));
    let tables = format!("[auth]\ningest = [\"signature_v4\"]\ntap = [\"none\"]\nadmin = [\"none\"]\n{old}");
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let native = |user: &str| {
        crate::gate::put(&server, &["--aws-sigv4", "aws:amz:eu-central-1:forebay", "--user", user]).0
    };
    let kinesis = |user: &str| {
        let words = ["--aws-sigv4", "aws:amz:eu-central-1:kinesis", "--user", user];
        let target = ["--header", "x-amz-target: Kinesis_20131202.ListStreams"];
        let content = ["--header", "content-type: application/x-amz-json-1.1", "--data-binary", "{}"];
        crate::gate::curl(&server, "/", &[&words[..], &target, &content].concat()).0
    };
    let (of_old, of_new) = ("AKIDOLD:wJalrXUtnFEMI-old", "AKIDNEW:wJalrXUtnFEMI-new");
    assert_eq!((native(of_old), kinesis(of_old), native(of_new), kinesis(of_new)), (200, 200, 401, 400));
    change(&server, &old, &new);
    let line = "an [[access_key]], or how signatures are checked";
    assert_eq!(reload(&server).await, (200, json!({ "reloaded": true, "changes": [line] })));
    assert_eq!((native(of_old), kinesis(of_old), native(of_new), kinesis(of_new)), (401, 400, 200, 200));
    change(&server, "wJalrXUtnFEMI-new", "wJalrXUtnFEMI-rotated");
    assert_eq!(reload(&server).await.0, 200);
    assert_eq!((native(of_new), kinesis("AKIDNEW:wJalrXUtnFEMI-rotated")), (401, 200));
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("wJalrXUtnFEMI"), "{}", stopped.stderr);
}

#[tokio::test]
async fn a_page_in_a_browser_has_nothing_read_again() {
    let server = Setup::pipeline(durable_stream("web", 1, "os")).start();
    let url = format!("http://{}/reload", server.admin);
    let sent = reqwest::Client::new().post(&url).header(ORIGIN, "https://evil.example").send().await;
    assert_eq!(sent.unwrap().status(), 403);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_stream_is_a_delivery_stream_of_firehose_for_as_long_as_its_file_has_deliveries() {
    let server = Setup::pipeline(web("")).node("aws.signature = \"off\"").start();
    let put = || async {
        let body = json!({ "DeliveryStreamName": "web", "Record": { "Data": "e30=" } });
        let request = reqwest::Client::new().post(format!("http://{}/", server.address));
        let request = request.header("x-amz-target", "Firehose_20150804.PutRecord");
        let request = request.header("content-type", "application/x-amz-json-1.1").body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(put().await, 400);
    for (deliveries, status) in [(delivery("lake", ""), 200), (String::new(), 400)] {
        write(&server, "pipeline.toml", &web(&deliveries));
        assert_eq!(reload(&server).await.0, 200);
        assert_eq!(put().await, status, "{deliveries:?}");
    }
    server.stop().assert_drained();
}
