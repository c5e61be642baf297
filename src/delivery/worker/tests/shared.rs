//! Several nodes that all believe, one after the other or at the same time, that a delivery is theirs: every record is in
//! exactly one file.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;

use super::lake;
use super::world::{Kind, Process, SHARDS, Spec, World, config};
use crate::config::checked::Delivery;
use crate::delivery::ledger::shared::SharedPlace;
use crate::delivery::ledger::{Ledger, LedgerError, State};
use crate::delivery::{Ended, OpenError};
use crate::testkit::disk::{Failure, Fault, Operation};
use crate::testkit::lossy_store::{LossyStore, Weather};

const NODES: usize = 3;
const MEMORY: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);

/// A node: its way to the store with the ledger, and its worker if it has one.
struct Node {
    way: LossyStore,
    process: Option<Process>,
}

/// See the module.
struct Cluster {
    world: World,
    store: Arc<dyn ObjectStore>,
    nodes: Vec<Node>,
    seed: u64,
}

fn place(store: Arc<dyn ObjectStore>) -> SharedPlace {
    SharedPlace::new(store, Path::from("ledgers/s/d/all"))
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let node = |node: u64| {
            let way = LossyStore::to(Arc::clone(&store), seed.wrapping_add(node));
            Node { way, process: None }
        };
        Self { world: World::new(seed), nodes: (0..NODES as u64).map(node).collect(), store, seed }
    }

    /// Has a node take the delivery over. The one that had it does not notice.
    async fn take_over(&mut self, node: usize, config: Delivery) -> Result<(), OpenError> {
        self.nodes[node].process = None;
        let way: Arc<dyn ObjectStore> = Arc::new(self.nodes[node].way.clone());
        self.world.shared = Some((place(way), format!("n{node}")));
        let opened = self.world.open(config, MEMORY).await;
        self.nodes[node].process = self.world.detach();
        opened
    }

    /// Lets a node work.
    async fn run(&mut self, node: usize, polls: u64, time: Duration) {
        self.world.ended = None;
        self.world.attach(self.nodes[node].process.take());
        self.world.run(polls, time).await;
        self.nodes[node].process = self.world.detach();
    }

    /// The node is gone; what it has asked the stores for may still be done.
    fn kill(&mut self, node: usize) {
        self.nodes[node].process = None;
        self.nodes[node].way.cut();
        self.seed = self.seed.wrapping_mul(31).wrapping_add(7);
        self.nodes[node].way = LossyStore::to(Arc::clone(&self.store), self.seed);
    }

    /// One node ends the work, while the others still believe that it is theirs.
    async fn finish(&mut self, config: Delivery) {
        self.world.disk.heal();
        self.nodes.iter().for_each(|node| node.way.set_weather(Weather::default()));
        let zombies: Vec<_> = self.nodes.iter_mut().map(|node| node.process.take()).collect();
        self.take_over(0, config).await.unwrap();
        self.world.attach(self.nodes[0].process.take());
        let (report, has_ended) = self.world.drain(SECOND * 600).await;
        assert!(has_ended, "{report:?}");
        assert!(matches!(self.world.ended, Some(Ended::Drained(_))), "{:?}", self.world.ended);
        assert_eq!((report.pending, report.skipped), (0, 0), "{report:?}");
        self.world.check_lake();
        self.world.check_state(&self.state().await);
        for zombie in zombies.into_iter().flatten() {
            self.world.ended = None;
            self.world.attach(Some(zombie));
            // Whoever has nothing to write does not learn it, and does nothing.
            self.world.run(u64::MAX, SECOND * 120).await;
            let ended = self.world.ended.take();
            assert!(matches!(ended, None | Some(Ended::Deposed(_))), "{ended:?}");
            self.world.detach();
        }
        self.world.check_lake();
        self.world.check_state(&self.state().await);
    }

    async fn state(&self) -> State {
        Ledger::take_over(place(Arc::clone(&self.store)), "test").await.unwrap().1
    }
}

fn records(count: usize) -> Vec<Spec> {
    (0..count).map(|index| Spec { shard: 0, partition: (index % 2) as u8, kind: Kind::Number }).collect()
}

/// Files of more than a chunk, which are sent while they are filled.
fn large() -> Delivery {
    let mut config = config(0);
    config.buffer.size_bytes = 1_500_000;
    config.sink.multipart_bytes = 200_000;
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_deposed_worker_ends_and_tells_who_goes_on() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1);
        cluster.take_over(0, config(0)).await.unwrap();
        cluster.world.send(&records(20)).await;
        cluster.run(0, u64::MAX, SECOND).await;
        cluster.take_over(1, config(0)).await.unwrap();
        cluster.world.send(&records(20)).await;
        cluster.run(0, u64::MAX, SECOND * 60).await;
        let Some(Ended::Deposed(by)) = cluster.world.ended.take() else { panic!("it goes on") };
        assert_eq!((by.number, by.node.as_str()), (2, "n1"));
        assert!(cluster.nodes[0].process.is_none());
        cluster.finish(config(0)).await;
    });
}

#[test]
fn a_seal_of_a_deposed_worker_that_nobody_has_seen_is_never_uploaded_and_its_number_is_given_again() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1);
        cluster.take_over(0, config(0)).await.unwrap();
        cluster.run(0, u64::MAX, SECOND).await;
        // It reads and closes files, and cannot write that down.
        cluster.nodes[0].way.set_weather(Weather { fails: 1_000, ..Weather::default() });
        cluster.world.send(&records(20)).await;
        cluster.run(0, u64::MAX, SECOND * 60).await;
        assert!(lake::files(&cluster.world.disk).is_empty(), "nothing is stored before the ledger has it");
        assert_eq!(cluster.state().await.next_seal, 0);
        cluster.world.send(&records(7)).await;
        cluster.take_over(1, config(0)).await.unwrap();
        cluster.run(1, u64::MAX, SECOND * 60).await;
        let files = lake::files(&cluster.world.disk);
        assert!(files.iter().any(|file| file.number == 0), "the same number");
        cluster.nodes[0].way.set_weather(Weather::default());
        cluster.run(0, u64::MAX, SECOND * 60).await;
        assert!(matches!(cluster.world.ended, Some(Ended::Deposed(_))));
        assert_eq!(lake::files(&cluster.world.disk).len(), files.len());
        cluster.finish(config(0)).await;
    });
}

#[test]
fn a_large_file_that_a_deposed_worker_has_begun_is_never_seen() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1);
        cluster.world.pad = 90_000;
        cluster.take_over(0, large()).await.unwrap();
        cluster.world.send(&records(20)).await;
        let before_age = Duration::from_millis(150);
        cluster.run(0, u64::MAX, before_age).await;
        let begun = cluster.state().await.begun.len();
        assert!(begun > 0, "parts of it are sent");
        cluster.take_over(1, large()).await.unwrap();
        cluster.run(1, u64::MAX, before_age).await;
        // Both send the same records, each into a file of its own, and the old one cannot close its.
        cluster.run(0, u64::MAX, SECOND * 60).await;
        assert!(matches!(cluster.world.ended, Some(Ended::Deposed(_))));
        cluster.run(1, u64::MAX, SECOND * 60).await;
        cluster.finish(large()).await;
    });
}

#[test]
fn a_worker_is_not_begun_where_a_thread_would_wait_for_a_store() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1);
        cluster.world.shared = Some((place(Arc::clone(&cluster.store)), "n".to_owned()));
        let error = cluster.world.start(config(0), MEMORY).unwrap_err();
        assert!(matches!(error, OpenError::Ledger(LedgerError::NotHere)), "{error}");
    });
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A request comes.
    Send(Vec<Spec>),
    /// A node is woken so many times at most.
    Work { node: usize, polls: u64 },
    /// A node has some time.
    Wait { node: usize, millis: u64 },
    /// A node takes over, whoever has it.
    TakeOver { node: usize, variant: usize },
    /// A node is killed.
    Kill { node: usize },
    /// A node's way to the ledger becomes like this.
    Weather { node: usize, weather: Weather },
    /// The sink fails so many times.
    Fault { operation: Operation, times: u64 },
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![6 => Just(Kind::Number), 1 => Just(Kind::Text), 1 => Just(Kind::Homeless)];
    (0..SHARDS, 0..5_u8, kind).prop_map(|(shard, partition, kind)| Spec { shard, partition, kind })
}

fn weather() -> impl Strategy<Value = Weather> {
    let bad = (0..200_u32, 0..200_u32, 0..200_u32, 0..3_000_u64).prop_map(
        |(fails, loses_answer, is_late, millis)| Weather {
            fails,
            loses_answer,
            is_late,
            millis: 0..millis,
            ..Weather::default()
        },
    );
    prop_oneof![
        2 => bad,
        1 => Just(Weather { fails: 1_000, ..Weather::default() }),
        2 => Just(Weather::default()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let operations = [Operation::Create, Operation::Rename, Operation::Write, Operation::Sync];
    let operation = prop::sample::select(operations.to_vec());
    prop_oneof![
        6 => prop::collection::vec(spec(), 1..40).prop_map(Step::Send),
        8 => (0..NODES, 1..30_u64).prop_map(|(node, polls)| Step::Work { node, polls }),
        6 => (0..NODES, 1..2_000_u64).prop_map(|(node, millis)| Step::Wait { node, millis }),
        5 => (0..NODES, 0..3_usize).prop_map(|(node, variant)| Step::TakeOver { node, variant }),
        2 => (0..NODES).prop_map(|node| Step::Kill { node }),
        2 => (0..NODES, weather()).prop_map(|(node, weather)| Step::Weather { node, weather }),
        1 => (operation, 1..5_u64).prop_map(|(operation, times)| Step::Fault { operation, times }),
    ]
}

/// Whether files are large, and a configuration of those that are or are not.
fn variant(is_large: bool, variant: usize) -> Delivery {
    match (is_large, variant) {
        (true, _) => large(),
        (false, variant) => config(variant),
    }
}

async fn check(steps: Vec<Step>, is_large: bool, seed: u64) {
    fastrand::seed(seed);
    let mut cluster = Cluster::new(seed);
    cluster.world.pad = if is_large { 90_000 } else { 60 };
    let _ = cluster.take_over(0, variant(is_large, 0)).await;
    for step in steps {
        match step {
            Step::Send(specs) => cluster.world.send(&specs).await,
            Step::Work { node, polls } => cluster.run(node, polls, SECOND).await,
            Step::Wait { node, millis } => cluster.run(node, u64::MAX, Duration::from_millis(millis)).await,
            Step::TakeOver { node, variant: number } => {
                // It may fail where its way does.
                let _ = cluster.take_over(node, variant(is_large, number)).await;
            }
            Step::Kill { node } => cluster.kill(node),
            Step::Weather { node, weather } => cluster.nodes[node].way.set_weather(weather),
            Step::Fault { operation, times } => {
                cluster.world.disk.inject(Fault::new(operation, Failure::Io).times(times));
            }
        }
    }
    cluster.finish(variant(is_large, 1)).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_file_whoever_believes_to_own_it(
        steps in prop::collection::vec(step(), 1..50),
        seed in any::<u64>(),
    ) {
        runtime().block_on(check(steps, false, seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_in_exactly_one_large_file_whoever_believes_to_own_it(
        steps in prop::collection::vec(step(), 1..30),
        seed in any::<u64>(),
    ) {
        runtime().block_on(check(steps, true, seed));
    }
}
