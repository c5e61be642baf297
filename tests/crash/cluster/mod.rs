//! Many nodes over one topic: edges that take records, and deliveries that share what becomes of them. Rows about nodes,
//! about brokers, and about the topic itself.
//!
//! The real broker never misses a member of a group that has died. Rows about that are in front of librdkafka's mock
//! cluster, which does, but keeps 5 MiB of a partition only: load is light.

mod arrived;
mod brokers;
mod nodes;
mod topics;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::faulty_broker::FaultyBroker;
use forebay::testkit::faulty_store::FaultyStore;
use forebay::testkit::generators::Profile;
use forebay_load::manifest::Manifest;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::load::{self, Load};
use crate::node::{LOOK, Node, PATIENCE};
use crate::table::{self, Row};
use arrived::Arrived;

const STREAM: &str = "sensors";
const PARTITIONS: i32 = 4;
/// What of a delivery is to be seen.
const OWNED: &str = "forebay_delivery_owned_shards";

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A mock cluster with the topic `events`.
fn mock(brokers: i32) -> Mock {
    let mock = MockCluster::new(brokers).unwrap();
    mock.create_topic("events", PARTITIONS, brokers).unwrap();
    mock
}

/// Waits for what must happen.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(5 * LOOK);
    }
}

/// A topic, a lake and ledgers that many nodes share.
struct Cluster {
    servers: String,
    topic: String,
    group: String,
    /// Name of the delivery.
    delivery: String,
    /// After how many ms a member of the group is missed.
    session: u32,
    /// A line of the delivery.
    sink: String,
    shared: TempDir,
    /// What names the members of groups of a mock cluster, for as long as the cluster is there.
    proxy: Option<Arc<FaultyBroker>>,
}

impl Cluster {
    fn at(servers: &str, topic: &str) -> Self {
        let shared = tempfile::tempdir().unwrap();
        let sink = format!("sink = {{ url = \"file://{}/lake/\" }}", shared.path().display());
        let (servers, topic, delivery) = (servers.to_owned(), topic.to_owned(), "lake".to_owned());
        let group = fresh_name("nodes");
        // The shortest that brokers allow.
        Self { servers, topic, group, delivery, session: 6_000, sink, shared, proxy: None }
    }

    /// On a topic of its own of a real broker, which nodes reach at `servers`.
    fn real(broker: &Broker, servers: &str) -> Self {
        Self::at(servers, &broker.topic("crash-cluster", PARTITIONS, &[]).unwrap())
    }

    /// On a mock cluster. Of one broker, it is behind a proxy that has nothing else to do than to name members of groups.
    /// One of several brokers is without: rows on it lose no sessions.
    fn mocked(mock: &Mock) -> Self {
        match mock.bootstrap_servers() {
            servers if servers.contains(',') => Self { session: 3_000, ..Self::at(&servers, "events") },
            _ => Self::behind_proxy(mock).1,
        }
    }

    /// The same, with the proxy for more. The real broker of other rows knows no sessions: when all members of a group come
    /// back at the same time, they may wait for ever for one that was there before.
    fn behind_proxy(mock: &Mock) -> (Arc<FaultyBroker>, Self) {
        let proxy = Arc::new(FaultyBroker::before_mock(&mock.bootstrap_servers()).unwrap());
        let (session, kept) = (3_000, Some(Arc::clone(&proxy)));
        (proxy.clone(), Self { session, proxy: kept, ..Self::at(proxy.servers(), "events") })
    }

    /// A node that is to be started. `role` is `edge` or `delivery`.
    fn node(&self, name: &str, role: &str) -> Node {
        let Self { servers, topic, group, delivery, session, sink, .. } = self;
        let shared = self.shared.path().display();
        // Short, so that a node that is gone is missed soon. The real broker knows no sessions: if a node stops between its
        // first question and its first heartbeat, a rebalance waits for it for the whole of `max.poll.interval.ms`.
        let client = format!(
            "{{ \"session.timeout.ms\" = \"{session}\", \"heartbeat.interval.ms\" = \"300\", \
             \"max.poll.interval.ms\" = \"10000\" }}"
        );
        let servers = servers.replace(',', "\", \"");
        let node = format!(
            "node = \"{name}\"\n[[kafka]]\nname = \"main\"\nbrokers = [\"{servers}\"]\nclient = {client}\n\
             [cluster]\nledger = \"file://{shared}/ledgers/\"\nroles = [\"{role}\"]\ngroup = \"{group}\""
        );
        let pipeline = format!(
            "[stream]\nname = \"{STREAM}\"\nlog = {{ kafka = \"main\", topic = \"{topic}\" }}\n\
             [ingest]\npartition_key = \"/device_id\"\nmax_record = \"1MiB\"\n\
             [[delivery]]\nname = \"{delivery}\"\n{sink}\nprefix = \"\"\nformat = \"json\"\ncompression = \"none\"\n\
             buffer = {{ size = \"64KiB\", interval = \"1s\" }}\n"
        );
        Node::new(&node, &[("sensors.toml", pipeline)])
    }
}

/// A row under way: nodes are up, and load is on all edges.
struct Scene {
    cluster: Cluster,
    edges: Vec<Node>,
    deliveries: Vec<Node>,
    row: Row,
    loads: Vec<load::Running>,
    manifests: Vec<Manifest>,
    arrived: Arrived,
    /// Where objects are, if that is no folder.
    store: Option<FaultyStore>,
}

impl Scene {
    /// Starts so many nodes of each role, and load.
    fn begin(name: &str, cluster: Cluster, edges: usize, deliveries: usize) -> Self {
        let mut scene = Self::quiet(name, cluster, edges, deliveries);
        scene.send();
        scene
    }

    /// The same without load.
    fn quiet(name: &str, cluster: Cluster, edges: usize, deliveries: usize) -> Self {
        let nodes = |role: &str, count| {
            (1..=count).map(|number| cluster.node(&format!("{role}-{number}"), role)).collect()
        };
        let (edges, deliveries) = (nodes("edge", edges), nodes("delivery", deliveries));
        let row = Row { name: format!("cluster: {name}"), ..Row::default() };
        let (loads, manifests, arrived) = (Vec::new(), Vec::new(), Arrived::default());
        let mut scene = Self { cluster, edges, deliveries, row, loads, manifests, arrived, store: None };
        scene.edges.iter_mut().for_each(Node::start);
        // One after the other: where many join at once, the group of the real broker may fall apart.
        for index in 0..scene.deliveries.len() {
            scene.deliveries[index].start();
            scene.all_are_owned();
        }
        scene
    }

    /// Begins to send to every edge, for the first time or again.
    fn send(&mut self) {
        for (number, edge) in self.edges.iter().enumerate() {
            // The names of its records tell it from those before it.
            let run = format!("{STREAM}-{}-{number}", self.manifests.len());
            let (profile, is_repeated) = (Profile::Iot, false);
            let load =
                Load { stream: STREAM, run, is_repeated, profile, rate: 200.0, batch: 10, record_bytes: 0 };
            self.loads.push(load.start(&edge.url()));
        }
    }

    /// Waits until each edge has acked so many records more.
    fn progress(&self, records: u64) {
        let goals: Vec<_> = self.loads.iter().map(|load| load.acked() + records).collect();
        let began = Instant::now();
        for (number, (load, goal)) in self.loads.iter().zip(goals).enumerate() {
            while load.acked() < goal {
                assert!(began.elapsed() < PATIENCE, "edge {number} acks nothing\n{}", self.log());
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Kills an edge and launches it again.
    fn kill_edge(&mut self, index: usize) {
        self.edges[index].kill();
        self.row.kills += 1;
        self.edges[index].launch(None);
    }

    /// Waits until all shards are owned by the deliveries that run, some by two of them where the group has fallen apart.
    fn all_are_owned(&mut self) {
        let all = f64::from(PARTITIONS);
        let owned = |node: &Node| node.metric(OWNED, "").unwrap_or(0.0);
        let deliveries = &self.deliveries;
        until("all shards are owned", || {
            deliveries.iter().filter(|node| node.is_up()).map(owned).sum::<f64>() >= all
        });
    }

    /// Ends the load. Edges must be up.
    fn end_load(&mut self) {
        self.manifests.extend(self.loads.drain(..).map(|load| load.finish().manifest));
    }

    fn lake(&self) -> PathBuf {
        self.cluster.shared.path().join("lake")
    }

    /// Puts objects where files are.
    fn fetch_objects(&self) {
        for (key, object) in self.store.iter().flat_map(FaultyStore::objects) {
            let path = self.cluster.shared.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !path.exists() {
                std::fs::write(path, &object.bytes).unwrap();
            }
        }
    }

    /// Waits until everything that was acked by loads that have ended is in the lake. Returns whether it is.
    fn has_arrived(&mut self) -> bool {
        let began = Instant::now();
        loop {
            self.fetch_objects();
            self.arrived.look(&self.lake());
            let missing: u64 = self.manifests.iter().map(|manifest| self.arrived.misses(manifest)).sum();
            if missing == 0 || began.elapsed() > PATIENCE {
                return missing == 0;
            }
            std::thread::sleep(10 * LOOK);
        }
    }

    /// Everything that nodes have said.
    fn log(&self) -> String {
        let nodes = self.edges.iter().chain(&self.deliveries);
        nodes.map(|node| format!("--- {}\n{}", node.path().display(), node.log())).collect()
    }

    /// Ends the load, waits until everything is delivered, stops all nodes, and demands that everything is there once and
    /// in order.
    fn end(mut self) {
        self.progress(1);
        self.end_load();
        // What is missing is counted behind.
        self.has_arrived();
        self.edges
            .iter_mut()
            .chain(&mut self.deliveries)
            .filter(|node| node.is_running())
            .for_each(Node::drain);
        self.fetch_objects();
        self.row.acked = self.manifests.iter().map(load::acked).sum();
        let manifests: Vec<_> = self.manifests.iter().collect();
        let verdicts = load::judge(&[load::folder_lake(&self.lake())], &[], &manifests);
        let [verdict] = &verdicts[..] else { panic!("{verdicts:?}") };
        let row = &mut self.row;
        (row.delivered, row.dead_lettered) = (verdict.records, verdict.dead_lettered);
        (row.missing, row.duplicated) = (verdict.missing, verdict.duplicated);
        row.reordered = verdict.reordered;
        table::keep(row);
        let counts = (row.missing, row.duplicated, row.reordered);
        assert_eq!(counts, (0, 0, 0), "{verdict}\n{}", self.log());
        let others = verdict.hash_unchecked + verdict.order_unchecked + verdict.dead_lettered;
        assert!(verdict.ok && others == 0, "{verdict}\n{}", self.log());
        let problems = self.cluster.proxy.as_ref().map(|proxy| proxy.problems()).unwrap_or_default();
        assert_eq!(problems, [""; 0]);
        self.own_verdict();
    }

    /// Has the binary compare its ledgers with the objects.
    fn own_verdict(&self) {
        let own = self.deliveries[0].output(&["verify"]);
        let said = String::from_utf8_lossy(&own.stdout).into_owned() + &String::from_utf8_lossy(&own.stderr);
        assert!(own.status.success(), "forebay verify: {}\n{said}", own.status);
    }

    /// Starts a delivery that dies at a crash point, and waits until it has.
    fn dies_at(&mut self, name: &str, point: &str) {
        use std::os::unix::process::ExitStatusExt;
        let mut node = self.cluster.node(name, "delivery");
        node.launch(Some(point));
        let status = node.ends_within(PATIENCE);
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(9), "{status:?} at {point}\n{}", node.log());
        self.row.kills += 1;
    }
}

/// Whether a process was stopped by a signal and was not told to go on.
fn is_stopped(node: &Node) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
    stat.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
}

/// Has it go on.
fn go_on(node: &Node) {
    node.signal(Signal::CONT);
}

/// A pause of a row.
fn rest(time: Duration) {
    std::thread::sleep(time);
}
