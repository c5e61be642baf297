//! Shards that are split and merged under load: every record is delivered once, and those of a key in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::UNSIGNED;
use crate::lake;
use crate::server::{Server, Setup, durable_stream};
use crate::verify;

const PRODUCERS: u64 = 4;
const KEYS_EACH: u64 = 5;

/// What producers send to, which changes when the process is killed.
#[derive(Default)]
struct Target {
    url: std::sync::Mutex<String>,
    stop: AtomicBool,
    sent: AtomicU64,
}

/// Sends requests one after the other, each again until it is acknowledged, and numbers the records of each key.
async fn produce(target: Arc<Target>, producer: u64) {
    let client = reqwest::Client::new();
    let mut number = 0;
    while !target.stop.load(Ordering::Relaxed) {
        let record = |key| format!("{{\"k\":\"p{producer}-{key}\",\"n\":{number}}}\n");
        let body: String = (0..KEYS_EACH).map(record).collect();
        loop {
            let url = target.url.lock().unwrap().clone();
            let request = client
                .post(url)
                .header("content-type", "application/x-ndjson")
                .header("idempotency-key", format!("{producer}/{number}"))
                .timeout(Duration::from_secs(20))
                .body(body.clone());
            if request.send().await.is_ok_and(|reply| reply.status().is_success()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        number += 1;
        target.sent.fetch_add(KEYS_EACH, Ordering::Relaxed);
    }
}

async fn reshard(server: &Server, wish: Value) -> (u16, Value) {
    let url = server.records("s").replace("/records", "/shards");
    let reply = reqwest::Client::new().post(url).body(wish.to_string()).send().await.unwrap();
    (reply.status().as_u16(), serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap())
}

fn open(shards: &Value) -> Vec<String> {
    let shards = shards["shards"].as_array().unwrap().iter();
    shards
        .filter(|shard| shard["open"] == true)
        .map(|shard| shard["shard"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until so many more records have come.
async fn more(target: &Target, records: u64) {
    let goal = target.sent.load(Ordering::Relaxed) + records;
    while target.sent.load(Ordering::Relaxed) < goal {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn change_much(server: &Server, target: &Target) {
    let (status, shards) = reshard(server, json!({"count": 3})).await;
    assert_eq!((status, open(&shards).len()), (200, 3), "{shards}");
    more(target, 200).await;
    let widest = open(&shards)[0].clone();
    let (status, shards) = reshard(server, json!({"split": widest, "at": "middle"})).await;
    assert_eq!((status, open(&shards).len()), (200, 4), "{shards}");
    let (status, shards) = reshard(server, json!({"split": widest})).await;
    assert_eq!((status, &shards["code"]), (409, &"cannot_change".into()), "{shards}");
    more(target, 200).await;
    let (_, shards) = server.get("/v1/streams/s/shards").await;
    let halves: Vec<String> = open(&shards).into_iter().rev().take(2).collect();
    let (status, shards) = reshard(server, json!({"merge": halves})).await;
    assert_eq!((status, open(&shards).len()), (200, 3), "{shards}");
    more(target, 200).await;
}

/// Checks that each key has its numbers from 0 on, each once and in order, over the files in their order.
fn check(folder: &std::path::Path) {
    let mut files = lake::files(folder, ".json.gz");
    let number = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.split('-').nth(3).unwrap().parse::<u64>().unwrap()
    };
    files.sort_by_key(number);
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for line in files.iter().flat_map(|file| lake::gunzip_lines(file)) {
        let record: Value = serde_json::from_str(&line).unwrap();
        let (key, number) = (record["k"].as_str().unwrap(), record["n"].as_u64().unwrap());
        let expected = next.entry(key.to_owned()).or_default();
        assert_eq!(number, *expected, "{key}");
        *expected += 1;
    }
    assert_eq!(next.len() as u64, PRODUCERS * KEYS_EACH);
}

#[tokio::test]
async fn a_reshard_under_load_and_a_kill_keep_every_record_once_and_each_key_in_order() {
    let config = durable_stream("s", 1, "fsync")
        + "[ingest]\npartition_key = \"/k\"\n[[delivery]]\nname = \"d\"\nsink = { path = \"lake\" }\n\
           format = \"json\"\nprefix = \"\"\nbuffer = { size = \"64MiB\", interval = \"1s\" }\n";
    let server = Setup::pipeline(config.as_str()).start();
    let target = Arc::new(Target::default());
    *target.url.lock().unwrap() = server.records("s");
    let producers: Vec<_> =
        (0..PRODUCERS).map(|producer| tokio::spawn(produce(Arc::clone(&target), producer))).collect();
    more(&target, 200).await;
    change_much(&server, &target).await;
    let folder = server.kill();
    let server = Setup::pipeline(config.as_str()).in_folder(folder).start();
    *target.url.lock().unwrap() = server.records("s");
    more(&target, 200).await;
    change_much(&server, &target).await;
    target.stop.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await.unwrap();
    }
    let stopped = server.stop();
    stopped.assert_drained();
    check(&stopped.path("lake"));
    let reports = verify::well(stopped.folder.path(), &[]);
    let sent = target.sent.load(Ordering::Relaxed);
    assert_eq!(reports[0]["delivered"].as_u64(), Some(sent), "{reports:?}");
}

#[tokio::test]
async fn a_wish_that_makes_no_sense_is_refused_and_changes_nothing() {
    let server = Setup::pipeline(durable_stream("s", 2, "fsync")).start();
    let (_, before) = server.get("/v1/streams/s/shards").await;
    for (wish, status, code) in [
        (json!({}), 400, "bad_parameter"),
        (json!({"count": 0}), 400, "bad_parameter"),
        (json!({"count": 1_000_000}), 400, "bad_parameter"),
        (json!({"count": 2, "split": "shardId-000000000000"}), 400, "bad_parameter"),
        (json!({"merge": ["shardId-000000000000"]}), 400, "json"),
        (json!({"merge": ["shardId-000000000000", "shardId-000000000000"]}), 409, "cannot_change"),
        (json!({"split": "shardId-7"}), 404, "unknown_shard"),
        (json!({"split": "shardId-000000000009"}), 404, "unknown_shard"),
        (json!({"split": "shardId-000000000000", "at": "0"}), 409, "cannot_change"),
        (json!({"split": "shardId-000000000000", "at": "x"}), 400, "bad_parameter"),
        (json!({"split": "shardId-000000000000", "at": "hottest"}), 400, "bad_parameter"),
        (json!({"splits": 1}), 400, "json"),
    ] {
        let (found, reply) = reshard(&server, wish.clone()).await;
        assert_eq!((found, &reply["code"]), (status, &code.into()), "{wish}: {reply}");
    }
    assert_eq!(server.get("/v1/streams/s/shards").await.1, before);
    server.stop().assert_drained();
}

#[tokio::test]
async fn the_heaviest_key_of_a_shard_is_told_and_can_be_split_at() {
    let server =
        Setup::pipeline(durable_stream("s", 1, "fsync") + "[ingest]\npartition_key = \"/k\"\n").start();
    let line = |n: u64| {
        format!("{{\"k\":\"{}\"}}\n", if n.is_multiple_of(2) { "hot".to_owned() } else { n.to_string() })
    };
    server.accept("s", (0..4_001).map(line).collect::<String>()).await;
    let (_, shards) = server.get("/v1/streams/s/shards").await;
    let heaviest = &shards["shards"][0]["heaviest_keys"][0];
    assert_eq!(heaviest["partition_key"], "hot", "{shards}");
    let (status, shards) = reshard(&server, json!({"split": "shardId-000000000000", "at": "hottest"})).await;
    assert_eq!(status, 200, "{shards}");
    assert_eq!(shards["shards"][2]["starting_hash_key"], heaviest["hash_key"]);
    assert_eq!(shards["shards"][2]["parents"], json!(["shardId-000000000000"]));
    server.stop().assert_drained();
}

/// Puts records with these hashes, all with one key. The shard of each.
async fn put_at(server: &Server, hashes: &[u128]) -> Vec<String> {
    let record =
        |hash: &u128| json!({"Data": "e30=", "PartitionKey": "k", "ExplicitHashKey": hash.to_string()});
    let records: Vec<_> = hashes.iter().map(record).collect();
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Kinesis_20131202.PutRecords")
        .header("content-type", "application/x-amz-json-1.1")
        .body(json!({"StreamName": "s", "Records": records}).to_string());
    let reply = request.send().await.unwrap();
    let reply: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
    let shard = |record: &Value| record["ShardId"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
    reply["Records"].as_array().unwrap_or_else(|| panic!("{reply}")).iter().map(shard).collect()
}

#[tokio::test]
async fn a_stream_whose_clients_place_records_themselves_is_split_at_the_hottest_place() {
    const HOT: u128 = 0x1234_5678_9abc_def0_1234_5678_9abc_def0;
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).node(UNSIGNED).start();
    // Every second record lies at one place, the others below and above it. The key that they all have lies at none of
    // them, and would be split at for nothing.
    let places: Vec<u128> = (0..250_u128).flat_map(|n| [HOT, (n + 1) << 119]).collect();
    for _ in 0..4 {
        put_at(&server, &places).await;
    }
    let (_, shards) = server.get("/v1/streams/s/shards").await;
    let heaviest = &shards["shards"][0]["heaviest_keys"][0];
    assert_eq!((&heaviest["partition_key"], &heaviest["hash_key"]), (&json!("k"), &json!(HOT.to_string())));
    let (status, shards) = reshard(&server, json!({"split": "shardId-000000000000", "at": "hottest"})).await;
    assert_eq!(status, 200, "{shards}");
    let [_, lower, upper] = shards["shards"].as_array().unwrap().as_slice() else { panic!("{shards}") };
    assert_eq!(lower["ending_hash_key"], json!((HOT - 1).to_string()));
    assert_eq!(upper["starting_hash_key"], json!(HOT.to_string()));
    let found = put_at(&server, &places).await;
    for (place, shard) in places.iter().zip(found) {
        let expected = if *place < HOT { lower } else { upper };
        assert_eq!(expected["shard"], json!(shard), "{place}");
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn closed_shards_that_have_gone_are_missed_neither_by_a_restart_nor_by_verify() {
    let config = durable_stream("s", 1, "fsync").replace("[stream]\n", "[stream]\nretention = \"1s\"\n")
        + "[[delivery]]\nname = \"d\"\nsink = { path = \"lake\" }\nformat = \"json\"\nprefix = \"\"\n\
           buffer = { size = \"64MiB\", interval = \"1s\" }\n";
    let server = Setup::pipeline(config.as_str()).start();
    server.accept("s", "{\"n\":1}\n{\"n\":2}").await;
    assert_eq!(reshard(&server, json!({"count": 2})).await.0, 200);
    let began = std::time::Instant::now();
    loop {
        let (_, shards) = server.get("/v1/streams/s/shards").await;
        if shards["shards"].as_array().unwrap().len() == 2 {
            break;
        }
        assert!(began.elapsed() < crate::server::PATIENCE, "{shards}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.accept("s", "{\"n\":3}\n{\"n\":4}").await;
    let stopped = server.stop();
    stopped.assert_drained();
    let server = Setup::pipeline(config.as_str()).in_folder(stopped.folder).start();
    server.accept("s", "{\"n\":5}").await;
    let stopped = server.stop();
    stopped.assert_drained();
    let reports = verify::well(stopped.folder.path(), &[]);
    assert_eq!(reports[0]["delivered"].as_u64(), Some(5), "{reports:?}");
}
