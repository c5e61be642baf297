//! Nodes that die, that sleep, that come and go, and that believe what is not so.

use std::time::Duration;

use forebay::testkit::broker::Broker;
use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};

use super::{Cluster, Mock, OWNED, PARTITIONS, Scene, go_on, is_stopped, mock, rest, until};
use crate::chance::{self, Chance};
use crate::node::Node;

/// Where a delivery dies, and up to which passing.
const UPLOAD: [&str; 2] = ["upload.before", "upload.after"];
const LEDGER: [&str; 4] =
    ["ledger.seal.before", "ledger.seal.after", "ledger.commit.before", "ledger.commit.after"];

#[test]
fn nothing_acked_is_lost_when_edges_are_killed_at_random_times() {
    let Some(broker) = Broker::shared() else { return };
    let mut chance = Chance::of("cluster edges");
    let cluster = Cluster::real(&broker, broker.servers());
    let mut scene = Scene::begin("SIGKILL of edges at random times", cluster, 2, 1);
    scene.progress(100);
    while scene.row.kills < chance::kills(8) / 2 {
        rest(chance.pause(Duration::from_millis(20), Duration::from_secs(2)));
        let edge = chance.up_to(2) - 1;
        scene.kill_edge(edge as usize);
    }
    for edge in &mut scene.edges {
        assert!(edge.listens(), "{}", edge.log());
    }
    scene.progress(200);
    scene.row.note = format!("2 edges, 1 delivery, seed {}", chance.seed);
    scene.end();
}

#[test]
fn no_row_is_doubled_when_deliveries_are_killed_in_the_middle_of_uploads() {
    let (mock, store) = (mock(1), FaultyStore::start().unwrap());
    let mut chance = Chance::of("cluster uploads");
    let cluster = Cluster { sink: store.sink_line("lake/"), ..Cluster::mocked(&mock) };
    let mut scene = Scene::begin("delivery killed around and in uploads", cluster, 1, 1);
    // Some uploads come to the store when whoever sent them is dead, and another one has stored the same.
    store.rule(Rule::new(Operation::Put, Fault::Late).always().in_thousand(150));
    let store = scene.store.insert(store);
    let rounds = (chance::kills(0) / 30).max(1);
    let points: Vec<_> = match chance::is_long() {
        true => UPLOAD.into_iter().chain(LEDGER).collect(),
        false => UPLOAD.into(),
    };
    let late = store.requests().len();
    for round in 0..rounds {
        for point in &points {
            scene.progress(50);
            let passing = chance.up_to(3);
            scene.dies_at(&format!("victim-{round}-{point}"), &format!("{point}:{passing}"));
        }
    }
    scene.progress(200);
    let store = scene.store.as_ref().unwrap();
    let requests = store.requests().len() - late;
    store.heal();
    store.release();
    scene.row.note =
        format!("{} points, {rounds} times each, {requests} requests to the store", points.len());
    scene.end();
}

/// Waits until two nodes have so many shards.
fn own(first: (&Node, i32), second: (&Node, i32)) {
    for (node, shards) in [first, second] {
        until(&format!("{shards} shards"), || node.metric(OWNED, "") == Some(f64::from(shards)));
    }
}

#[test]
fn nothing_is_doubled_by_deliveries_that_go_on_after_others_have_taken_over() {
    let mock = mock(1);
    let name = "delivery asleep at a seal, an upload, a commit, while another takes over";
    let mut scene = Scene::begin(name, Cluster::mocked(&mock), 1, 1);
    let points = ["upload.before", "ledger.seal.before", "ledger.commit.before"];
    let rounds = (chance::kills(0) / 50).max(1);
    for point in points.repeat(usize::try_from(rounds).unwrap()) {
        let mut zombie = scene.cluster.node("zombie", "delivery");
        zombie.launch(Some(&format!("{point}:2:stop")));
        until("it stops by itself", || is_stopped(&zombie));
        // The group misses it, and the other one takes what it had.
        scene.all_are_owned();
        scene.progress(100);
        go_on(&zombie);
        own((&zombie, PARTITIONS / 2), (&scene.deliveries[0], PARTITIONS / 2));
        let told = |name: &str| zombie.metric(name, "").unwrap();
        let learned = told("forebay_delivery_shards_lost_total") + told("forebay_delivery_deposed_total");
        assert!(learned > 0.0, "it has not learned that its shards had moved\n{}", zombie.log());
        scene.progress(100);
        zombie.drain();
        scene.all_are_owned();
    }
    scene.row.note = format!("{} points, {rounds} times each", points.len());
    scene.end();
}

#[test]
fn nothing_is_doubled_by_two_clusters_that_both_believe_that_they_own_everything() {
    let mock = mock(1);
    let mut scene = Scene::begin(
        "two clusters that both believe that they own all partitions",
        Cluster::mocked(&mock),
        1,
        1,
    );
    // Of another group, so that nobody ever tells the one of the other.
    let group = std::mem::replace(&mut scene.cluster.group, "rivals".to_owned());
    let mut rival = scene.cluster.node("rival", "delivery");
    scene.cluster.group = group;
    rival.start();
    own((&rival, PARTITIONS), (&scene.deliveries[0], PARTITIONS));
    // The ledgers say whose they are: the other group is told so by name, and writes nothing.
    until("the rival is refused", || rival.log().contains("is of the nodes with [cluster] group"));
    for _ in 0..if chance::is_long() { 20 } else { 2 } {
        scene.progress(50);
        let taken = rival.metric("forebay_delivery_shards_taken_total", "").unwrap_or_default();
        assert_eq!(taken, 0.0, "{}", rival.log());
    }
    rival.drain();
    scene.progress(100);
    scene.row.note = "the one that came later is refused by the ledgers".to_owned();
    scene.end();
}

#[test]
fn nothing_is_lost_or_doubled_while_deliveries_come_and_go() {
    let mock = mock(1);
    let rounds = if chance::is_long() { 20 } else { 2 };
    come_and_go("deliveries come and go, one after the other", Cluster::mocked(&mock), rounds);
}

/// Few, as the real broker asks for: it knows no sessions, so when a leader of the group is told to stop while the others
/// find together, they wait for its word for ever.
#[test]
fn nothing_is_lost_or_doubled_while_deliveries_come_and_go_beside_a_real_broker() {
    let Some(broker) = Broker::shared() else { return };
    let cluster = Cluster::real(&broker, broker.servers());
    come_and_go("deliveries come and go, one after the other, real broker", cluster, 2);
}

fn come_and_go(name: &str, cluster: Cluster, rounds: u32) {
    let mut scene = Scene::begin(name, cluster, 1, 1);
    for round in 0..rounds {
        let mut guest = scene.cluster.node(&format!("guest-{round}"), "delivery");
        guest.launch(None);
        own((&guest, PARTITIONS / 2), (&scene.deliveries[0], PARTITIONS / 2));
        scene.progress(50);
        guest.drain();
        scene.all_are_owned();
    }
    scene.progress(100);
    scene.row.note = format!("{rounds} nodes");
    scene.end();
}

/// Nodes come, and all but two of them go: every other one by SIGKILL, the rest because they are told to. One stays.
#[test]
fn nothing_is_lost_or_doubled_in_a_storm_of_rebalances() {
    let mock: Mock = mock(1);
    let name = "rebalance storm, deliveries come, go and die";
    let mut chance = Chance::of(name);
    let mut scene = Scene::begin(name, Cluster::mocked(&mock), 1, 1);
    let rounds = if chance::is_long() { 40 } else { 5 };
    let mut guests = Vec::new();
    for round in 0..rounds {
        let mut guest = scene.cluster.node(&format!("guest-{round}"), "delivery");
        guest.launch(None);
        guests.push(guest);
        rest(chance.pause(Duration::from_millis(200), Duration::from_secs(2)));
        if guests.len() > 2 {
            let mut guest = guests.remove(0);
            if round % 2 == 0 {
                guest.kill();
                scene.row.kills += 1;
            } else {
                guest.drain();
            }
        }
    }
    guests.iter_mut().for_each(Node::drain);
    scene.all_are_owned();
    scene.progress(100);
    scene.row.note = format!("{rounds} nodes, seed {}", chance.seed);
    scene.end();
}
