//! A topic as the log of a stream: many edges, one log.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use forebay::stream::{HashKey, HashRange};
use forebay::testkit::broker::Broker;
use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};
use serde_json::{Value, json};

use crate::lake;
use crate::server::{PATIENCE, Server, Setup};
use crate::topic_reader::{Isolation, TopicReader};

pub const DELIVERY: &str = "[[delivery]]\nname = \"lake\"\nsink = { path = \"lake\" }\nformat = \"json\"\nprefix = \"\"\n\
     buffer = { size = \"1MiB\", interval = \"1s\" }\n";

/// No signatures, and one seal for all edges.
const AWS: &str = "aws.signature = \"off\"\naws.token_secret = \"sixteen letters!\"";

/// A pipeline whose log is a topic, with a key in each record.
fn pipeline(broker: &Broker, topic: &str) -> String {
    format!(
        "[stream]\nname = \"s\"\nlog = {{ kafka = \"{}\", topic = \"{topic}\" }}\n[ingest]\npartition_key = \"/k\"\n",
        broker.servers()
    )
}

/// All records of a stream by long polls: payload, and shard with number, until there are `count`.
pub async fn tap(server: &Server, stream: &str, count: usize) -> Vec<(Value, String, u64)> {
    tap_from(server, stream, "from=earliest", count).await
}

/// The same from somewhere else on.
async fn tap_from(server: &Server, stream: &str, begin: &str, count: usize) -> Vec<(Value, String, u64)> {
    let mut path = format!("/v1/streams/{stream}/records?{begin}&limit=1000&wait=5s");
    let (mut seen, began) = (Vec::new(), Instant::now());
    while seen.len() < count {
        let (status, page) = server.get(&path).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(page["skipped"], 0, "{page}");
        for record in page["records"].as_array().unwrap() {
            let number = record["sequence_number"].as_str().unwrap().parse().unwrap();
            seen.push((record["data"].clone(), record["shard"].as_str().unwrap().to_owned(), number));
        }
        assert!(began.elapsed() < PATIENCE, "{} of {count}", seen.len());
        path = format!(
            "/v1/streams/{stream}/records?after={}&limit=1000&wait=5s",
            page["next"].as_str().unwrap()
        );
    }
    seen
}

#[tokio::test]
async fn what_is_put_is_in_the_topic_by_its_key_and_is_read_in_order() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("log", 3, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    let mut told = BTreeMap::new();
    for round in 0..30 {
        let lines: String =
            (0..10).map(|n| format!("{{\"k\":\"key {}\",\"n\":{}}}\n", n % 7, round * 10 + n)).collect();
        let (status, reply) = server.post("s", "application/x-ndjson", lines).await;
        assert_eq!((status, &reply["durability"]), (200, &json!("kafka")), "{reply}");
        for shard in reply["shards"].as_array().unwrap() {
            let number = |name: &str| shard[name].as_str().unwrap().parse::<u64>().unwrap();
            assert_eq!(number("last") - number("first") + 1, shard["count"].as_u64().unwrap(), "{reply}");
            *told.entry(shard["shard"].as_str().unwrap().to_owned()).or_insert(0) +=
                shard["count"].as_u64().unwrap();
        }
    }
    assert_eq!(told.values().sum::<u64>(), 300);
    let messages = reader.messages(broker.servers(), &topic, Isolation::Committed);
    assert_eq!(messages.len(), 300);
    let ranges: Vec<_> = HashRange::even(3).collect();
    for message in &messages {
        let value: Value = serde_json::from_str(message.text()).unwrap();
        let key = message.key.as_deref().unwrap();
        assert_eq!(value["k"].as_str().unwrap().as_bytes(), key);
        let hash = HashKey::of(key).0;
        let shard = ranges.iter().position(|range| (range.first..=range.last).contains(&hash)).unwrap();
        assert_eq!(message.partition as usize, shard);
        assert!(message.is_create_time && message.headers.is_empty());
    }
    let seen = tap(&server, "s", 300).await;
    let mut last = BTreeMap::new();
    for (data, shard, number) in &seen {
        let partition: i32 = shard.trim_start_matches("shardId-").parse().unwrap();
        let offset = i64::try_from(*number).unwrap();
        let is_it = |message: &&crate::topic_reader::Message| {
            (message.partition, message.offset) == (partition, offset)
        };
        let message = messages.iter().find(is_it).unwrap();
        assert_eq!(&serde_json::from_str::<Value>(message.text()).unwrap(), data);
        let n = data["n"].as_u64().unwrap();
        assert!(last.insert(data["k"].to_string(), n).is_none_or(|before| before < n), "order of a key");
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn edges_that_share_a_topic_read_all_of_it_and_know_each_others_cursors() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("shared", 2, &[]).unwrap();
    let (a, b) = (
        Setup::pipeline(pipeline(&broker, &topic)).start(),
        Setup::pipeline(pipeline(&broker, &topic)).start(),
    );
    let put = async |server: &Server, name: &str| {
        for round in 0..20 {
            let lines: String =
                (0..10).map(|n| format!("{{\"k\":\"{n}\",\"of\":\"{name}{round}-{n}\"}}\n")).collect();
            assert_eq!(server.accept("s", lines).await, 10);
        }
    };
    tokio::join!(put(&a, "a"), put(&b, "b"));
    let (of_a, of_b) = (tap(&a, "s", 400).await, tap(&b, "s", 400).await);
    let sorted = |mut seen: Vec<(Value, String, u64)>| {
        seen.sort_by(|a, b| (&a.1, a.2).cmp(&(&b.1, b.2)));
        seen
    };
    let all = sorted(of_a);
    assert_eq!(all, sorted(of_b));
    let records: BTreeSet<_> = all.iter().map(|(data, ..)| data["of"].to_string()).collect();
    assert_eq!((records.len(), all.len()), (400, 400));
    // Where one has stopped, the other one goes on.
    let (_, page) = a.get("/v1/streams/s/records?from=earliest&limit=100").await;
    let (after, left) = (page["next"].as_str().unwrap(), 400 - page["records"].as_array().unwrap().len());
    let after = format!("after={after}");
    let (on_a, on_b) = (tap_from(&a, "s", &after, left).await, tap_from(&b, "s", &after, left).await);
    // Which shard a page begins with differs.
    assert_eq!(sorted(on_a), sorted(on_b));
    a.stop().assert_drained();
    b.stop().assert_drained();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_loses_nothing_that_was_acknowledged_and_is_told() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let topic = broker.topic("outage", 2, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic) + DELIVERY).start();
    let line = |n: u32| format!("{{\"k\":\"{n}\",\"n\":{n}}}");
    for n in 0..20 {
        server.accept("s", line(n)).await;
    }
    broker.stop().unwrap();
    let puts = (20..60).map(|n| server.post("s", "application/x-ndjson", line(n)));
    let (replies, ()) = tokio::join!(futures_util::future::join_all(puts), async {
        server.until("forebay_stream_topic_up", "stream=\"s\"", |up| up == 0.0).await;
        let (status, why) = server.admin_get("/readyz").await;
        assert!(status == 503 && why.contains("stream 's'"), "{status} {why}");
        tokio::task::block_in_place(|| broker.start()).unwrap();
    });
    let mut acknowledged: BTreeSet<u32> = (0..20).collect();
    for (n, (status, reply)) in (20..).zip(replies) {
        match status {
            200 => {
                acknowledged.insert(n);
            }
            503 => assert!(
                ["outcome_unknown", "log_unavailable", "memory_full"]
                    .contains(&reply["code"].as_str().unwrap()),
                "{reply}"
            ),
            _ => panic!("{status} {reply}"),
        }
    }
    server.accept("s", line(60)).await;
    acknowledged.insert(60);
    server.until("forebay_stream_topic_up", "stream=\"s\"", |up| up == 1.0).await;
    let texts = reader.texts(broker.servers(), &topic);
    let found: BTreeSet<u32> = texts
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["n"].as_u64().unwrap() as u32)
        .collect();
    assert_eq!(found.len(), texts.len(), "nothing is doubled");
    assert!(found.is_superset(&acknowledged), "{acknowledged:?} {found:?}");
    let delivered = "forebay_delivery_delivered_records_total";
    server.until(delivered, "delivery=\"lake\"", |count| count == texts.len() as f64).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let lines: BTreeSet<_> = lake::gunzip_all(&stopped.path("lake")).into_iter().collect();
    assert_eq!(lines, texts.into_iter().collect());
}

#[tokio::test]
async fn what_an_edge_has_acknowledged_survives_its_kill() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("killed", 2, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    let (url, acknowledged) = (server.records("s"), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
    let client = reqwest::Client::new();
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let (url, client, acknowledged) = (url.clone(), client.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let id = format!("{sender}-{n}");
                    let body = format!("{{\"k\":\"{n}\",\"id\":\"{id}\"}}");
                    let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
                    match request.send().await {
                        Ok(response) if response.status() == 200 => acknowledged.lock().unwrap().push(id),
                        _ => break,
                    }
                }
            })
        })
        .collect();
    while acknowledged.lock().unwrap().len() < 500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _folder = server.kill();
    for sender in senders {
        sender.await.unwrap();
    }
    let acknowledged: BTreeSet<String> = acknowledged.lock().unwrap().drain(..).collect();
    let texts = reader.texts(broker.servers(), &topic);
    let id = |text: &String| serde_json::from_str::<Value>(text).unwrap()["id"].as_str().unwrap().to_owned();
    let found: BTreeSet<String> = texts.iter().map(id).collect();
    assert_eq!(found.len(), texts.len(), "nothing is doubled");
    assert!(acknowledged.is_subset(&found), "{:?}", acknowledged.difference(&found).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_only_one_node_could_do_is_refused_by_name() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("refused", 2, &[]).unwrap();
    let server = Setup::pipeline(pipeline(&broker, &topic)).start();
    let client = reqwest::Client::new();
    let answer = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let with_key = client
        .post(server.records("s"))
        .header("content-type", "application/json")
        .header("idempotency-key", "1")
        .body("{}");
    assert_eq!(answer(with_key).await, (400, "bad_parameter".to_owned()));
    server.stop().assert_drained();
}

#[tokio::test]
async fn deliveries_go_on_where_they_were_after_a_restart_and_wait_for_a_broker_that_is_away() {
    let Some(mut broker) = Broker::own().unwrap() else { return };
    let topic = broker.topic("restart", 3, &[]).unwrap();
    let pipeline = pipeline(&broker, &topic) + DELIVERY;
    let server = Setup::pipeline(pipeline.clone()).start();
    let lines = |numbers: std::ops::Range<u32>| {
        numbers.map(|n| format!("{{\"k\":\"{n}\",\"n\":{n}}}\n")).collect::<String>()
    };
    server.accept("s", lines(0..100)).await;
    server
        .until("forebay_delivery_delivered_records_total", "delivery=\"lake\"", |count| count == 100.0)
        .await;
    let stopped = server.stop();
    stopped.assert_drained();
    broker.stop().unwrap();
    let server = Setup::pipeline(pipeline).in_folder(stopped.folder).start();
    let began = Instant::now();
    let reply = loop {
        let (status, reply) = server.post("s", "application/x-ndjson", lines(0..1)).await;
        assert_eq!(status, 503, "{reply}");
        if reply["code"] == "log_unavailable" {
            break reply;
        }
        assert!(began.elapsed() < PATIENCE, "{reply}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(reply["detail"].as_str().unwrap().contains("Kafka"), "{reply}");
    broker.start().unwrap();
    let began = Instant::now();
    while server.post("s", "application/x-ndjson", lines(100..200)).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server
        .until("forebay_delivery_delivered_records_total", "delivery=\"lake\"", |count| count == 100.0)
        .await;
    let stopped = server.stop();
    stopped.assert_drained();
    let found = lake::gunzip_all(&stopped.path("lake"));
    let lines: BTreeSet<_> = found.iter().cloned().collect();
    let expected: BTreeSet<_> = (0..200).map(|n| format!("{{\"k\":\"{n}\",\"n\":{n}}}")).collect();
    assert_eq!((lines, found.len()), (expected, 200));
}

#[tokio::test]
async fn boto3_puts_and_gets_over_it() {
    let (Some(broker), Some(python)) = (Broker::shared(), lake::python()) else { return };
    let topic = broker.topic("boto3", 2, &[]).unwrap();
    let edges: Vec<_> =
        (0..2).map(|_| Setup::pipeline(pipeline(&broker, &topic)).node(AWS).start()).collect();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kinesis_on_topic.py");
    let output = Command::new(python)
        .arg(script)
        .args(edges.iter().map(|edge| format!("http://{}", edge.address)))
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    edges.into_iter().for_each(|edge| edge.stop().assert_drained());
}

#[tokio::test]
async fn what_a_drain_could_not_store_stays_in_the_topic_and_is_delivered_after_the_next_start() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("undrained", 1, &[]).unwrap();
    let store = FaultyStore::start().unwrap();
    store.rule(Rule::new(Operation::Put, Fault::SLOW_DOWN).always());
    let sink = format!("[[delivery]]\nname = \"d\"\nformat = \"json\"\n{}\n", store.sink_line("lake/"));
    let config = pipeline(&broker, &topic) + &sink;
    let server = Setup::pipeline(config.as_str()).server("drain_timeout = \"1s\"").start();
    let lines: String = (0..10).map(|n| format!("{{\"k\":\"a\",\"n\":{n}}}\n")).collect();
    server.accept("s", lines).await;
    server.until("forebay_delivery_pending_records", "", |count| count == 10.0).await;
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert_eq!(stopped.status.code(), Some(0), "{}{}", stopped.stdout, stopped.stderr);
    let kept = "10 records stay in the log and are delivered after the next start";
    assert!(stopped.stdout.contains(kept), "{}", stopped.stdout);
    assert!(store.objects().is_empty());

    store.heal();
    let server = Setup::pipeline(config).in_folder(stopped.folder).start();
    server.until("forebay_delivery_delivered_records_total", "", |count| count == 10.0).await;
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap().assert_drained();
}
