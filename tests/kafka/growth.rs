//! A topic that gets more partitions while records come in and are delivered: all of them once, those of a key in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use forebay::testkit::broker::{Broker, fresh_name};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lake;
use crate::log::tap;
use crate::server::{Server, Setup};

const KEYS: u64 = 40;
/// Longer than a switch holds records up, and than it takes until all have heard of new partitions.
const SWITCH: Duration = Duration::from_secs(90);

/// Sends records of all keys in turn, one request after the other, until it is told to end. What is refused because shards
/// change is sent again.
struct Feed {
    ends: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<u64>,
}

impl Feed {
    fn into(edges: Vec<Arc<Server>>, first: u64) -> Self {
        let (ends, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(first)));
        let (until, counted) = (Arc::clone(&ends), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut refused = 0;
            for edge in edges.iter().cycle() {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                let first = counted.load(Ordering::Relaxed);
                let lines: String = (first..first + KEYS)
                    .map(|n| format!("{{\"k\":\"key {}\",\"n\":{n}}}\n", n % KEYS))
                    .collect();
                match edge.post("events", "application/x-ndjson", lines).await {
                    (200, _) => counted.store(first + KEYS, Ordering::Relaxed),
                    (503, problem) => {
                        assert_eq!(problem["code"], "log_unavailable", "{problem}");
                        refused += 1;
                    }
                    (status, problem) => panic!("{status} {problem}"),
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            refused
        });
        Self { ends, sent, task }
    }

    /// Waits until so many more were taken.
    async fn more(&self, records: u64) {
        let (until, started) = (self.sent.load(Ordering::Relaxed) + records, Instant::now());
        while self.sent.load(Ordering::Relaxed) < until {
            assert!(started.elapsed() < SWITCH && !self.task.is_finished(), "nothing is taken");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it. Returns how many records were acknowledged, and how many requests were refused.
    async fn end(self) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        let refused = self.task.await.unwrap();
        (self.sent.load(Ordering::Relaxed), refused)
    }
}

/// The shards by Kinesis: id, parents, first and last number.
async fn shards(server: &Server, stream: &str) -> Vec<(u64, Vec<u64>, bool)> {
    let response = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Kinesis_20131202.ListShards")
        .body(json!({"StreamName": stream}).to_string())
        .send()
        .await
        .unwrap();
    let listed: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let number = |id: &Value| id.as_str().map(|id| id.trim_start_matches("shardId-").parse::<u64>().unwrap());
    let shard = |shard: &Value| {
        let parents = [&shard["ParentShardId"], &shard["AdjacentParentShardId"]];
        let is_open = shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
        (number(&shard["ShardId"]).unwrap(), parents.into_iter().filter_map(number).collect(), is_open)
    };
    let listed = listed["Shards"].as_array().unwrap_or_else(|| panic!("{listed}"));
    listed.iter().map(shard).collect()
}

async fn has_shards(server: &Server, stream: &str, count: usize) -> Vec<(u64, Vec<u64>, bool)> {
    let started = Instant::now();
    loop {
        let found = shards(server, stream).await;
        if found.len() == count {
            return found;
        }
        assert!(started.elapsed() < SWITCH, "{found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is read in turn: each record once, those of a key in order. Returns the shard of each.
async fn read_in_order(server: &Server, count: u64) -> BTreeMap<u64, u64> {
    let (mut last, mut shards) = (BTreeMap::new(), BTreeMap::new());
    for (record, shard, _) in tap(server, "events", count as usize).await {
        let n = record["n"].as_u64().unwrap();
        let before = last.insert(n % KEYS, n);
        assert!(before.is_none_or(|before| before < n), "{n} is read behind {before:?}");
        let shard = shard.trim_start_matches("shardId-").parse().unwrap();
        assert_eq!(shards.insert(n, shard), None, "{n} is read twice");
    }
    assert_eq!(shards.keys().copied().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    shards
}

/// The numbers of each file, and when it was written.
fn files(lake: &Path) -> Vec<(Vec<u64>, SystemTime)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(lake).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap();
        files.push((text.lines().map(number).collect(), path.metadata().unwrap().modified().unwrap()));
    }
    files
}

/// Waits until each number below `count` is in a file, once.
async fn all_once(lake: &Path, count: u64) -> Vec<(Vec<u64>, SystemTime)> {
    let started = Instant::now();
    loop {
        let found = files(lake);
        let mut numbers: Vec<_> = found.iter().flat_map(|(numbers, _)| numbers).copied().collect();
        let stored = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(stored, numbers.len(), "some are in the lake twice");
        if numbers.len() as u64 >= count {
            assert_eq!(numbers, (0..count).collect::<Vec<_>>());
            return found;
        }
        assert!(started.elapsed() < SWITCH, "{stored} of {count} are in the lake");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

struct Fleet {
    broker: Broker,
    topic: String,
    group: String,
    shared: TempDir,
}

impl Fleet {
    fn node(&self, name: &str, roles: &str) -> Setup {
        let (shared, Self { broker, topic, group, .. }) = (self.shared.path().display(), self);
        let client = "{ \"session.timeout.ms\" = \"6000\", \"heartbeat.interval.ms\" = \"500\", \
                      \"max.poll.interval.ms\" = \"10000\", \"topic.metadata.refresh.interval.ms\" = \"1000\" }";
        let node = format!(
            "node = \"{name}\"\naws.signature = \"off\"\n[[kafka]]\nname = \"main\"\nbrokers = [\"{}\"]\n\
             client = {client}\n[cluster]\nledger = \"file://{shared}/ledgers/\"\nroles = {roles}\n\
             group = \"{group}\"",
            broker.servers()
        );
        let pipeline = format!(
            "[stream]\nname = \"events\"\nlog = {{ kafka = \"main\", topic = \"{topic}\" }}\n\
             [ingest]\npartition_key = \"/k\"\n\
             [[delivery]]\nname = \"lake\"\nsink = {{ url = \"file://{shared}/lake/\" }}\nprefix = \"\"\n\
             format = \"json\"\ncompression = \"none\"\nbuffer = {{ size = \"64KiB\", interval = \"1s\" }}\n"
        );
        Setup::pipeline(pipeline).node(&node)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_grows_under_load_and_all_is_delivered_once_and_in_order() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("grows", 2, &[]).unwrap();
    let (group, shared) = (fresh_name("grow"), tempfile::tempdir().unwrap());
    let fleet = Fleet { broker, topic, group, shared };
    let edges: Vec<_> =
        (0..2).map(|n| Arc::new(fleet.node(&format!("edge-{n}"), "[\"edge\"]").start())).collect();
    let deliveries: Vec<_> =
        (0..2).map(|n| fleet.node(&format!("delivery-{n}"), "[\"delivery\"]").start()).collect();
    let feed = Feed::into(edges.clone(), 0);
    feed.more(20 * KEYS).await;
    tokio::task::block_in_place(|| fleet.broker.widen_topic(&fleet.topic, 5)).unwrap();
    let grown = has_shards(&edges[0], "events", 7).await;
    let parents: Vec<_> = grown.iter().map(|(_, parents, _)| parents.clone()).collect();
    assert_eq!(parents, [vec![], vec![], vec![0], vec![0], vec![0, 1], vec![1], vec![1]]);
    assert!(grown.iter().all(|(id, _, is_open)| *is_open == (*id >= 2)), "{grown:?}");
    assert_eq!(has_shards(&edges[1], "events", 7).await, grown);
    feed.more(20 * KEYS).await;
    // One that has not seen it comes to the same.
    let late = Arc::new(fleet.node("edge-2", "[\"edge\"]").start());
    assert_eq!(has_shards(&late, "events", 7).await, grown);
    let (acked, refused) = feed.end().await;
    assert!(refused > 0, "nothing was held up");
    let lake = fleet.shared.path().join("lake");
    let files = all_once(&lake, acked).await;
    let shards = read_in_order(&late, acked).await;
    let used: BTreeSet<_> = shards.values().copied().collect();
    assert_eq!(used, (0..7).collect());
    // Nothing of a child was stored before all of its parents was.
    let mut children: BTreeMap<u64, SystemTime> = BTreeMap::new();
    let mut last: BTreeMap<u64, SystemTime> = BTreeMap::new();
    for (numbers, written) in &files {
        let shard = shards[&numbers[0]];
        assert!(numbers.iter().all(|n| shards[n] == shard), "a file has records of more than one shard");
        assert!(numbers.windows(2).all(|pair| pair[0] % KEYS != pair[1] % KEYS || pair[0] < pair[1]));
        children.entry(shard).and_modify(|first| *first = (*first).min(*written)).or_insert(*written);
        last.entry(shard).and_modify(|last| *last = (*last).max(*written)).or_insert(*written);
    }
    for (id, parents, _) in &grown {
        for parent in parents {
            assert!(last[parent] < children[id], "shard {id} was stored before its parent {parent}");
        }
    }
    for node in deliveries {
        let stopped = tokio::task::spawn_blocking(move || node.stop()).await.unwrap();
        assert!(stopped.status.success(), "{}", stopped.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_follows_its_topic_and_knows_its_shards_after_a_restart() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("alone", 2, &[]).unwrap();
    let pipeline = format!(
        "[stream]\nname = \"events\"\nshards = 2\nlog = {{ kafka = \"{}\", topic = \"{topic}\" }}\n\
         [ingest]\npartition_key = \"/k\"\n{}",
        broker.servers(),
        crate::log::DELIVERY
    );
    let node = "aws.signature = \"off\"";
    let server = Arc::new(Setup::pipeline(pipeline.clone()).node(node).start());
    let feed = Feed::into(vec![Arc::clone(&server)], 0);
    feed.more(10 * KEYS).await;
    tokio::task::block_in_place(|| broker.widen_topic(&topic, 3)).unwrap();
    let grown = has_shards(&server, "events", 5).await;
    feed.more(10 * KEYS).await;
    let (acked, _) = feed.end().await;
    let delivered = "forebay_delivery_delivered_records_total";
    server.until(delivered, "delivery=\"lake\"", |count| count == acked as f64).await;
    read_in_order(&server, acked).await;
    let stopped = Arc::into_inner(server).unwrap().stop();
    stopped.assert_drained();
    let server = Arc::new(Setup::pipeline(pipeline).node(node).in_folder(stopped.folder).start());
    assert_eq!(has_shards(&server, "events", 5).await, grown);
    let feed = Feed::into(vec![Arc::clone(&server)], acked);
    feed.more(5 * KEYS).await;
    let (all, _) = feed.end().await;
    server.until(delivered, "delivery=\"lake\"", |count| count == (all - acked) as f64).await;
    let shards = read_in_order(&server, all).await;
    assert!(shards.range(acked..).all(|(_, shard)| *shard >= 2), "{shards:?}");
    let stopped = Arc::into_inner(server).unwrap().stop();
    stopped.assert_drained();
    let found = lake::gunzip_all(&stopped.path("lake"));
    let lines: BTreeSet<_> = found.iter().collect();
    assert_eq!((lines.len(), found.len() as u64), (found.len(), all));
}
