//! Nodes that share a delivery from a topic into another one.
//!
//! The records and the consumer group are in librdkafka's mock cluster, which misses nodes that have died. What is
//! delivered goes to the real broker, which keeps transactions apart and fences those who were deposed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, Feed};
use crate::server::{PATIENCE, Server};
use crate::topic_reader::{Isolation, TopicReader};
use crate::verify;

/// Nodes in front of the mock cluster that deliver to the real broker.
struct Scene {
    cluster: Cluster,
    servers: String,
    reader: TopicReader,
    target: String,
    progress: String,
}

impl Scene {
    fn new(about: &str, more: &str) -> Option<Self> {
        let (broker, reader) = (Broker::shared()?, TopicReader::of_environment()?);
        let (servers, target) = (broker.servers().to_owned(), broker.topic(about, 3, &[]).unwrap());
        let progress = fresh_name("progress");
        let delivery = format!(
            "[[delivery]]\nname = \"bus\"\nsink = {{ kafka = \"target\", topic = \"{target}\", \
             progress_topic = \"{progress}\"{more} }}\n"
        );
        let node = format!("[[kafka]]\nname = \"target\"\nbrokers = [\"{servers}\"]\n");
        let mut cluster = Cluster::mocked();
        cluster.other = Some((delivery, node));
        Some(Self { cluster, servers, reader, target, progress })
    }

    /// How often each number is in the target, and in which order those of a shard are.
    fn found(&self) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::new();
        for message in self.reader.messages(&self.servers, &self.target, Isolation::Committed) {
            let record: Value = serde_json::from_str(message.text()).unwrap();
            *found.entry(record["n"].as_u64().unwrap()).or_default() += 1;
        }
        found
    }

    /// Waits until every number below `count` is in the target. Returns how often each is.
    async fn has_all(&self, count: u64) -> BTreeMap<u64, u64> {
        let started = Instant::now();
        loop {
            let found = self.found();
            let missing: Vec<_> = (0..count).filter(|number| !found.contains_key(number)).take(5).collect();
            if missing.is_empty() {
                return found;
            }
            let has = found.len();
            assert!(started.elapsed() < PATIENCE, "{has} of {count}: {missing:?} and others are not there");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn has_all_once(&self, count: u64) {
        let found = self.has_all(count).await;
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(5).collect();
        assert!(doubled.is_empty(), "more than once: {doubled:?}");
    }
}

async fn owns(node: &Server, shards: u32) {
    let is_so = |owned| owned == f64::from(shards);
    node.until("forebay_delivery_owned_shards", "delivery=\"bus\"", is_so).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_fan_out_and_others_go_on_for_one_that_was_killed() {
    let Some(scene) = Scene::new("shared", ", transaction = { interval = \"50ms\" }") else { return };
    let Scene { cluster, .. } = &scene;
    let edge = Arc::new(cluster.edge("edge"));
    // It dies with a transaction that is whole and not committed.
    let dies =
        cluster.node("first", "[\"delivery\"]").env("FOREBAY_CRASH_AT", "fan_out.commit.before:8").start();
    let second = cluster.delivery("second");
    owns(&dies, 2).await;
    owns(&second, 2).await;
    let feed = Feed::into(vec![Arc::clone(&edge)]);
    let died = tokio::task::spawn_blocking(move || dies.wait());
    feed.more(300).await;
    assert!(!died.await.unwrap().status.success());
    owns(&second, 4).await;
    feed.more(300).await;
    let third = cluster.delivery("third");
    owns(&third, 2).await;
    feed.more(300).await;
    let acked = feed.end().await;
    scene.has_all_once(acked).await;
    let (status, shards) = third.admin_get("/shards").await;
    let shards: Value = serde_json::from_str(&shards).unwrap();
    let of_bus = &shards["deliveries"][0];
    assert_eq!((status, of_bus["shards"].as_array().unwrap().len()), (200, 2), "{shards}");
    assert_eq!(of_bus["group"], format!("{}.events.bus", cluster.group));
    assert!(third.metric("forebay_kafka_records_total", "").await > 0.0);
    // Each shard has positions of its own, under the name that its owner has to take.
    let positions = scene.reader.messages(&scene.servers, &scene.progress, Isolation::Committed);
    for shard in 0..4 {
        let key = format!("forebay.{}/events/events/bus/shardId-{shard:012}", cluster.group);
        assert!(positions.iter().any(|message| message.key.as_deref() == Some(key.as_bytes())), "{key}");
    }
    // Who is told to stop commits what it has, and gives its shards away.
    let stopped = tokio::task::spawn_blocking(move || third.stop()).await.unwrap();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    owns(&second, 4).await;
    scene.has_all_once(acked).await;
    // Anybody can see how far it is, and where dead letters would be.
    second.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
    let report = verify::well(second.folder(), &[]);
    let of_bus = &report["fan_outs"][0];
    assert_eq!((&of_bus["shards"], &of_bus["pending"], &of_bus["gone"]), (&4.into(), &0.into(), &0.into()));
    let (code, said) = verify::run(second.folder(), &["dlq", "ls"]);
    let place = format!("dead letters of events/bus are in topic '{}.dead'", scene.target);
    assert!(code == Some(0) && said.contains(&place), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_on_with_a_commit_after_its_shards_have_moved_is_fenced() {
    let Some(scene) = Scene::new("zombie", ", transaction = { interval = \"50ms\" }") else { return };
    let Scene { cluster, .. } = &scene;
    let edge = Arc::new(cluster.edge("edge"));
    let stops = "fan_out.commit.before:8:stop";
    let zombie = cluster.node("zombie", "[\"delivery\"]").env("FOREBAY_CRASH_AT", stops).start();
    let other = cluster.delivery("other");
    owns(&zombie, 2).await;
    owns(&other, 2).await;
    let feed = Feed::into(vec![Arc::clone(&edge)]);
    // It stops by itself. The group misses it, and the other one takes what it had.
    owns(&other, 4).await;
    feed.more(300).await;
    scene.has_all_once(feed.sent.load(Ordering::Relaxed)).await;
    zombie.signal(Signal::CONT);
    owns(&other, 2).await;
    owns(&zombie, 2).await;
    let lost = zombie.metric("forebay_delivery_shards_lost_total", "").await;
    let deposed = zombie.metric("forebay_delivery_deposed_total", "").await;
    assert!(lost + deposed > 0.0, "it has not learned that its shards had moved");
    feed.more(300).await;
    let acked = feed.end().await;
    scene.has_all_once(acked).await;
    let stopped = tokio::task::spawn_blocking(move || zombie.stop()).await.unwrap();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    scene.has_all_once(acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_fan_out_that_delivers_at_least_once() {
    let more = ", guarantee = \"at_least_once\", transaction = { interval = \"50ms\" }";
    let Some(scene) = Scene::new("least", more) else { return };
    let Scene { cluster, .. } = &scene;
    let edge = Arc::new(cluster.edge("edge"));
    let (first, second) = (cluster.delivery("first"), cluster.delivery("second"));
    owns(&first, 2).await;
    owns(&second, 2).await;
    let feed = Feed::into(vec![Arc::clone(&edge)]);
    feed.more(300).await;
    drop(first.kill());
    owns(&second, 4).await;
    feed.more(300).await;
    let acked = feed.end().await;
    let found = scene.has_all(acked).await;
    let unknown: Vec<_> = found.keys().filter(|number| **number >= acked).collect();
    assert!(unknown.is_empty(), "nobody has sent {unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_has_delivered_alone_is_not_delivered_again_by_nodes_that_share_it() {
    let Some(scene) = Scene::new("alone", ", transaction = { interval = \"50ms\" }") else { return };
    let Scene { cluster, .. } = &scene;
    let alone = Arc::new(cluster.alone("alone"));
    let feed = Feed::into(vec![Arc::clone(&alone)]);
    feed.more(200).await;
    scene.has_all_once(feed.sent.load(Ordering::Relaxed)).await;
    // It goes on taking records, but somebody else delivers them.
    let first = cluster.delivery("first");
    owns(&first, 4).await;
    alone.until("forebay_delivery_paused", "delivery=\"bus\"", |paused| paused == 1.0).await;
    let why = alone.admin_get("/readyz").await.1;
    assert!(why.contains("another process has taken the transactional id"), "{why}");
    feed.more(200).await;
    let acked = feed.end().await;
    scene.has_all_once(acked).await;
    let stopped = tokio::task::spawn_blocking(move || first.stop()).await.unwrap();
    assert!(stopped.status.success(), "{}", stopped.stderr);
}
