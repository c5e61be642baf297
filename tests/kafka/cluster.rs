//! Many nodes over one topic: edges that take records, and nodes that share what is delivered. What else may become of
//! nodes, brokers and the topic are rows of `tests/crash/cluster/`.
//!
//! In front of librdkafka's mock cluster: the real broker never misses a member of a group that has died.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::faulty_broker::FaultyBroker;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{PATIENCE, Server, Setup};

const PARTITIONS: i32 = 4;
/// Records of a request: few, as the mock cluster keeps 5 MiB of a partition only.
const BATCH: u64 = 20;
/// What of a delivery is to be seen.
const OWNED: &str = "forebay_delivery_owned_shards";

/// A topic, a lake and ledgers that many nodes share.
pub struct Cluster {
    pub servers: String,
    pub topic: String,
    _mock: Option<(MockCluster<'static, DefaultProducerContext>, FaultyBroker)>,
    pub group: String,
    pub shared: TempDir,
    /// The delivery in the place of that into the lake, and what `forebay.toml` says for it.
    pub other: Option<(String, String)>,
}

impl Cluster {
    pub fn real(about: &str) -> Option<Self> {
        let broker = Broker::shared()?;
        let topic = broker.topic(about, PARTITIONS, &[]).unwrap();
        let (servers, shared) = (broker.servers().to_owned(), tempfile::tempdir().unwrap());
        Some(Self { servers, topic, _mock: None, group: fresh_name("nodes"), shared, other: None })
    }

    /// One that misses nodes that have died.
    pub fn mocked() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("events", PARTITIONS, 1).unwrap();
        // For the names of the group's members.
        let proxy = FaultyBroker::before_mock(&mock.bootstrap_servers()).unwrap();
        let (servers, topic, shared) =
            (proxy.servers().to_owned(), "events".to_owned(), tempfile::tempdir().unwrap());
        Self { servers, topic, _mock: Some((mock, proxy)), group: fresh_name("nodes"), shared, other: None }
    }

    /// A delivery into the lake.
    pub fn lake_delivery(&self) -> String {
        let shared = self.shared.path().display();
        format!(
            "[[delivery]]\nname = \"lake\"\nsink = {{ url = \"file://{shared}/lake/\" }}\nprefix = \"\"\n\
             format = \"json\"\ncompression = \"none\"\nbuffer = {{ size = \"64KiB\", interval = \"1s\" }}\n"
        )
    }

    /// A node with these roles, which is to be started.
    pub fn node(&self, name: &str, roles: &str) -> Setup {
        self.setup(name, Some(roles))
    }

    fn setup(&self, name: &str, roles: Option<&str>) -> Setup {
        let shared = self.shared.path().display();
        let Self { servers, group, topic, .. } = self;
        // Short, so that a node that is gone is missed soon.
        let client = "{ \"session.timeout.ms\" = \"6000\", \"heartbeat.interval.ms\" = \"500\", \
                      \"max.poll.interval.ms\" = \"10000\" }";
        let (delivery, more) = self.other.clone().unwrap_or_else(|| (self.lake_delivery(), String::new()));
        let cluster = roles.map(|roles| {
            format!("[cluster]\nledger = \"file://{shared}/ledgers/\"\nroles = {roles}\ngroup = \"{group}\"")
        });
        let node = format!(
            "node = \"{name}\"\n[[kafka]]\nname = \"main\"\nbrokers = [\"{servers}\"]\nclient = {client}\n{more}{}",
            cluster.unwrap_or_default()
        );
        let pipeline = format!(
            "[stream]\nname = \"events\"\nlog = {{ kafka = \"main\", topic = \"{topic}\" }}\n\
             [ingest]\npartition_key = \"/n\"\n{delivery}"
        );
        Setup::pipeline(pipeline).node(&node)
    }

    /// A node that knows of no others.
    pub fn alone(&self, name: &str) -> Server {
        self.setup(name, None).start()
    }

    pub fn edge(&self, name: &str) -> Server {
        self.node(name, "[\"edge\"]").start()
    }

    pub fn delivery(&self, name: &str) -> Server {
        self.node(name, "[\"delivery\"]").start()
    }

    /// How often each number is in the lake.
    fn lake(&self) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(self.shared.path().join("lake")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if !is_hidden(&path) {
                count(&std::fs::read_to_string(&path).unwrap(), &mut found);
            }
        }
        found
    }

    /// Waits until every number below `count` is in the lake, and nothing else, and checks that each is there once.
    pub async fn has_all_once(&self, count: u64) {
        let started = Instant::now();
        loop {
            let found = self.lake();
            let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(5).collect();
            assert!(doubled.is_empty(), "in the lake more than once: {doubled:?}");
            let missing: Vec<_> = (0..count).filter(|number| !found.contains_key(number)).take(5).collect();
            if missing.is_empty() {
                let others: Vec<_> = found.into_keys().filter(|number| *number >= count).take(5).collect();
                assert!(others.is_empty(), "nobody has sent {others:?}");
                return;
            }
            let has = found.len();
            assert!(
                started.elapsed() < PATIENCE,
                "{has} of {count} are in the lake: {missing:?} and others are not"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap().as_encoded_bytes().starts_with(b".")
}

fn count(lines: &str, found: &mut BTreeMap<u64, u64>) {
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        *found.entry(record["n"].as_u64().unwrap()).or_default() += 1;
    }
}

/// Sends records with rising numbers, a batch after the other, until it is told to end.
pub struct Feed {
    ends: Arc<AtomicBool>,
    pub sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Feed {
    pub fn into(edges: Vec<Arc<Server>>) -> Self {
        let (ends, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, counted) = (Arc::clone(&ends), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            for edge in edges.iter().cycle() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let first = counted.load(Ordering::Relaxed);
                let lines: String = (first..first + BATCH)
                    .map(|n| format!("{{\"n\":{n},\"pad\":\"{:0100}\"}}\n", n))
                    .collect();
                edge.accept("events", lines).await;
                counted.store(first + BATCH, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { ends, sent, task }
    }

    /// Waits until so many more were sent.
    pub async fn more(&self, records: u64) {
        let until = self.sent.load(Ordering::Relaxed) + records;
        let started = Instant::now();
        while self.sent.load(Ordering::Relaxed) < until {
            assert!(started.elapsed() < PATIENCE && !self.task.is_finished(), "nothing is taken");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it. Returns how many records were acknowledged: those with the numbers below.
    pub async fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

async fn owns(node: &Server, shards: u32) {
    node.until(OWNED, "delivery=\"lake\"", |owned| owned == f64::from(shards)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_the_shards_and_others_finish_what_a_killed_one_has_left() {
    let cluster = Cluster::mocked();
    let edges = vec![Arc::new(cluster.edge("edge-1")), Arc::new(cluster.edge("edge-2"))];
    // It dies when it has written down what is in a file, and has not stored it.
    let dies = cluster.node("first", "[\"delivery\"]").env("FOREBAY_CRASH_AT", "upload.before:3").start();
    let second = cluster.delivery("second");
    owns(&dies, 2).await;
    owns(&second, 2).await;
    let feed = Feed::into(edges.clone());
    let died = tokio::task::spawn_blocking(move || dies.wait());
    feed.more(500).await;
    assert!(!died.await.unwrap().status.success());
    owns(&second, 4).await;
    feed.more(500).await;
    let third = cluster.delivery("third");
    owns(&third, 2).await;
    feed.more(500).await;
    let acked = feed.end().await;
    cluster.has_all_once(acked).await;
    // What each has is told, and requests for records are sent to the edges.
    let (status, shards) = third.admin_get("/shards").await;
    let shards: Value = serde_json::from_str(&shards).unwrap();
    assert_eq!((status, shards["deliveries"][0]["shards"].as_array().unwrap().len()), (200, 2), "{shards}");
    assert_eq!(shards["deliveries"][0]["group"], format!("{}.events.lake", cluster.group));
    let (status, problem) = third.post("events", "application/x-ndjson", "{}\n").await;
    assert_eq!((status, &problem["code"]), (421, &"not_an_edge".into()), "{problem}");
    assert_eq!(edges[0].metric(OWNED, "").await, 0.0);
    for node in [&*edges[0], &third] {
        assert!(!node.folder().join("data").exists(), "nothing of a node is on its disk");
    }
    // Who is told to stop gives its shards away at once, and leaves nothing that would be missing.
    let stopped = tokio::task::spawn_blocking(move || third.stop()).await.unwrap();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    owns(&second, 4).await;
    cluster.has_all_once(acked).await;
}
