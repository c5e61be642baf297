use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;
use crate::config::checked::KafkaCluster;
use crate::config::limits::OWNERSHIP_LET_GO_WAIT;

/// Beyond any time that something may take here.
const LONG: Duration = Duration::from_secs(60);

struct World {
    mock: MockCluster<'static, DefaultProducerContext>,
    group: Group,
}

impl World {
    fn new(partitions: i32) -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("events", partitions, 1).unwrap();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let id = format!("forebay.events.lake-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { mock, group: Group { id, topic: "events".to_owned() } }
    }

    fn join(&self) -> Node {
        let cluster = KafkaCluster {
            name: None,
            brokers: vec![self.mock.bootstrap_servers()],
            tls: None,
            sasl: None,
            client: BTreeMap::from([
                ("session.timeout.ms".to_owned(), "6000".to_owned()),
                ("heartbeat.interval.ms".to_owned(), "500".to_owned()),
            ]),
        };
        let ownership = Ownership::join(Connection::new(cluster, "test"), self.group.clone()).unwrap();
        Node { ownership, owned: BTreeSet::new() }
    }
}

struct Node {
    ownership: Ownership,
    owned: BTreeSet<u32>,
}

impl Node {
    /// Takes the next change, at once. Returns whether there are more.
    async fn follow(&mut self) -> bool {
        match self.ownership.next().await {
            Some(Change::Take(shards)) => {
                shards.iter().for_each(|shard| assert!(self.owned.insert(shard.0), "{shard} twice"));
                true
            }
            Some(Change::LetGo(letting_go)) => {
                let shards = &letting_go.shards;
                shards.iter().for_each(|shard| assert!(self.owned.remove(&shard.0), "{shard} was not ours"));
                true
            }
            None => false,
        }
    }
}

/// Follows what the nodes are told until `is_right` of them.
async fn until(nodes: &mut [Node], is_right: impl Fn(&[Node]) -> bool) {
    let settled = async {
        while !is_right(nodes) {
            for node in nodes.iter_mut() {
                let _ = tokio::time::timeout(Duration::from_millis(20), node.follow()).await;
            }
        }
    };
    tokio::time::timeout(LONG, settled).await.expect("the group has not settled");
}

fn owned_of_all(nodes: &[Node]) -> Vec<u32> {
    let mut all: Vec<_> = nodes.iter().flat_map(|node| node.owned.iter().copied()).collect();
    all.sort_unstable();
    all
}

async fn leave(mut node: Node) {
    node.ownership.leave();
    while node.follow().await {}
    assert!(node.owned.is_empty(), "{:?} not given back", node.owned);
    tokio::task::spawn_blocking(move || node.ownership.ended()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_share_its_shards_and_what_one_leaves_another_takes() {
    let world = World::new(4);
    let mut nodes = vec![world.join()];
    until(&mut nodes, |nodes| nodes[0].owned.len() == 4).await;
    nodes.push(world.join());
    let is_shared = |nodes: &[Node]| nodes.iter().all(|node| node.owned.len() == 2);
    until(&mut nodes, is_shared).await;
    assert_eq!(owned_of_all(&nodes), [0, 1, 2, 3]);
    leave(nodes.remove(0)).await;
    until(&mut nodes, |nodes| nodes[0].owned.len() == 4).await;
    leave(nodes.remove(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_not_given_to_another_one_before_it_is_let_go_of() {
    let world = World::new(2);
    let mut first = world.join();
    while first.owned.len() < 2 {
        assert!(tokio::time::timeout(LONG, first.follow()).await.unwrap());
    }
    let mut second = world.join();
    let change = tokio::time::timeout(LONG, first.ownership.next()).await.unwrap();
    let Some(Change::LetGo(letting_go)) = change else { panic!("{change:?}") };
    assert!(!letting_go.is_lost && letting_go.shards.len() == 1, "{letting_go:?}");
    // Held back: nothing comes to the second one, which would wait for less than the bound of it all.
    let waited = tokio::time::timeout(OWNERSHIP_LET_GO_WAIT / 8, second.follow()).await;
    assert!(waited.is_err(), "{:?}", second.owned);
    first.owned.remove(&letting_go.shards[0].0);
    drop(letting_go);
    let mut nodes = vec![first, second];
    until(&mut nodes, |nodes| nodes.iter().all(|node| node.owned.len() == 1)).await;
    assert_eq!(owned_of_all(&nodes), [0, 1]);
    for node in nodes {
        leave(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hears_nothing_of_its_group_lets_go() {
    let world = World::new(2);
    let mut node = world.join();
    while node.owned.len() < 2 {
        assert!(tokio::time::timeout(LONG, node.follow()).await.unwrap());
    }
    world.mock.broker_down(1).unwrap();
    let change = tokio::time::timeout(LONG, node.ownership.next()).await.unwrap();
    let Some(Change::LetGo(letting_go)) = change else { panic!("{change:?}") };
    assert!(letting_go.is_lost && letting_go.shards.len() == 2, "{letting_go:?}");
    node.owned.clear();
    world.mock.broker_up(1).unwrap();
    while node.owned.len() < 2 {
        assert!(tokio::time::timeout(LONG, node.follow()).await.unwrap());
    }
    leave(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_at_the_group_sees_where_the_work_stands() {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let world = World::new(1);
    let mut node = world.join();
    while node.owned.is_empty() {
        assert!(tokio::time::timeout(LONG, node.follow()).await.unwrap());
    }
    node.ownership.standing().tell(ShardId(0), SequenceNumber(17));
    node.ownership.standing().tell(ShardId(9), SequenceNumber(1));
    let group = world.group.clone();
    leave(node).await;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", world.mock.bootstrap_servers()).set("group.id", &group.id);
    let told = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let mut asked = rdkafka::TopicPartitionList::new();
        asked.add_partition("events", 0);
        consumer.committed_offsets(asked, LONG).unwrap().elements()[0].offset()
    });
    assert_eq!(told.await.unwrap(), rdkafka::Offset::Offset(17));
}
