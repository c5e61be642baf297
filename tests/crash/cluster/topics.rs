//! A topic that is gone, that may not be used, and that does not take what is too large: what producers are told, and that
//! nothing acked is lost.

use std::time::{Duration, Instant};

use forebay::testkit::broker::Broker;
use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Link, Rule};

use super::{Cluster, PARTITIONS, STREAM, Scene, mock, rest, until};
use crate::chance;
use crate::node::{LOOK, Node, PATIENCE};

/// What asks for the topic or changes it.
const OF_TOPIC: [Api; 4] = [Api::Produce, Api::Fetch, Api::ListOffsets, Api::Metadata];
/// What a member of a group asks.
const OF_GROUP: [Api; 3] = [Api::FindCoordinator, Api::JoinGroup, Api::Heartbeat];

const TOPIC_UP: &str = "forebay_stream_topic_up";

/// Puts one record that is nobody's; status, code and what is said.
fn put(edge: &Node, padding: usize) -> (u16, String, String) {
    let body = format!("{{\"device_id\":\"probe\",\"pad\":\"{}\"}}", "x".repeat(padding));
    let reply = edge.try_request("POST", &format!("/v1/streams/{STREAM}/records"), &body);
    let (status, reply) = reply.expect("the edge answers");
    let text = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}

/// Waits until a put is refused with one of these codes, and returns why. Until then it may be any 503.
fn refused(edge: &Node, codes: &[&str]) -> String {
    let began = Instant::now();
    loop {
        let (status, code, why) = put(edge, 0);
        assert!(status == 503 || status == 200, "{status} {code}: {why}");
        if codes.contains(&&*code) {
            return why;
        }
        assert!(began.elapsed() < PATIENCE, "not {codes:?} but {status} {code}: {why}\n{}", edge.log());
        std::thread::sleep(LOOK);
    }
}

/// Waits until a node says by its metrics and at `/readyz` that the topic is not to be had; returns why.
fn is_down(node: &Node) -> String {
    until("the topic is down", || node.metric(TOPIC_UP, "") == Some(0.0));
    let (status, why) = node.try_admin("/readyz").unwrap();
    assert!(status == 503 && why.contains(&format!("stream '{STREAM}'")), "{status} {why}");
    why
}

fn is_up(node: &Node) {
    until("the topic is up", || node.metric(TOPIC_UP, "") == Some(1.0));
}

/// How many lines of a node's log have this.
fn lines(node: &Node, text: &str) -> usize {
    node.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_topic_that_is_deleted_is_told_and_costs_nothing_that_was_acked() {
    let Some(broker) = Broker::shared() else { return };
    let proxy = FaultyBroker::before(broker.servers()).unwrap();
    let cluster = Cluster::real(&broker, proxy.servers());
    let topic = cluster.topic.clone();
    let mut scene = Scene::begin("topic deleted, and made again", cluster, 2, 2);
    scene.progress(if chance::is_long() { 10_000 } else { 500 });
    scene.end_load();
    assert!(scene.has_arrived(), "{}", scene.log());

    // This broker makes topics that it is asked about, so the proxy has to say no, and what it has made goes again.
    for api in OF_TOPIC {
        proxy.rule(Rule::new(api, Fault::UNKNOWN_TOPIC).of_topic(&topic).always());
    }
    broker.remove_topic(&topic).unwrap();
    for node in scene.edges.iter().chain(&scene.deliveries) {
        let why = is_down(node);
        assert!(why.contains(&topic), "{why}");
    }
    let why = refused(&scene.edges[0], &["outcome_unknown", "log_failed", "log_unavailable"]);
    assert!(why.contains(&topic), "{why}");

    // Numbers begin anew. Nobody takes records under numbers that were given before, and nobody passes over them.
    proxy.link(Link::Cut).unwrap();
    let _ = broker.remove_topic(&topic);
    broker.make_topic(&topic, PARTITIONS, &[]).unwrap();
    proxy.heal();
    proxy.link(Link::Open).unwrap();
    let again = "made again";
    for edge in &scene.edges {
        let why = refused(edge, &["log_unavailable"]);
        assert!(why.contains(again), "{why}");
        assert!(is_down(edge).contains(again));
    }
    for node in &scene.deliveries {
        until("a delivery says so", || node.try_admin("/readyz").is_some_and(|(_, why)| why.contains(again)));
    }

    // A name that has delivered nothing yet begins at the oldest record.
    scene.edges.iter_mut().chain(&mut scene.deliveries).for_each(Node::drain);
    scene.cluster.delivery = "lake-again".to_owned();
    let next = Scene::quiet("topic deleted, and made again", scene.cluster, 2, 2);
    let mut scene = Scene { row: scene.row, manifests: scene.manifests, arrived: scene.arrived, ..next };
    scene.send();
    scene.progress(if chance::is_long() { 5_000 } else { 200 });
    scene.row.note = "other names for the deliveries".to_owned();
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}

#[test]
fn lost_rights_are_told_and_all_goes_on_when_they_come_back() {
    // Members of the group cannot ask about the topic either: the real broker would never miss those that begin anew.
    let mock = mock(1);
    let (proxy, cluster) = Cluster::behind_proxy(&mock);
    let topic = cluster.topic.clone();
    let mut scene = Scene::begin("rights on the topic lost", cluster, 2, 2);
    let time = Duration::from_secs(if chance::is_long() { 30 } else { 2 });
    let deny = |api: &Api| {
        proxy.rule(Rule::new(*api, Fault::TOPIC_AUTHORIZATION_FAILED).of_topic(&topic).always());
    };
    let rounds = if chance::is_long() { 3 } else { 1 };
    for round in 0..rounds {
        scene.progress(100);
        // All of them, then the right to write alone.
        OF_TOPIC.iter().for_each(deny);
        let why = refused(&scene.edges[0], &["log_failed"]);
        assert!(why.contains("authoriz"), "{why}");
        for node in scene.edges.iter().chain(&scene.deliveries) {
            let why = is_down(node);
            assert!(why.contains("authoriz"), "{why}");
        }
        if round % 2 == 1 {
            scene.kill_edge(1);
        }
        rest(time);
        proxy.heal();
        for node in scene.edges.iter_mut().chain(&mut scene.deliveries) {
            assert!(node.listens(), "{}", node.log());
            is_up(node);
        }
        scene.progress(100);
        deny(&Api::Produce);
        let why = refused(&scene.edges[0], &["log_failed"]);
        assert!(why.contains("authoriz"), "{why}");
        rest(time);
        proxy.heal();
    }
    scene.progress(200);
    let told = lines(&scene.edges[0], "authoriz");
    assert!((1..=20 * rounds).contains(&told), "{told} lines\n{}", scene.edges[0].log());
    scene.row.note = format!("{rounds} times, of the topic, of writing alone");
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}

/// In front of the mock cluster, which misses members that were not let go.
#[test]
fn lost_rights_on_the_group_end_when_they_come_back() {
    let mock = mock(1);
    let (proxy, cluster) = Cluster::behind_proxy(&mock);
    let mut scene = Scene::begin("rights on the group lost", cluster, 1, 2);
    let time = Duration::from_secs(if chance::is_long() { 30 } else { 2 });
    let rounds = if chance::is_long() { 3 } else { 1 };
    for _ in 0..rounds {
        scene.progress(100);
        let denied = |api: &Api| proxy.rule(Rule::new(*api, Fault::GROUP_AUTHORIZATION_FAILED).always());
        OF_GROUP.iter().for_each(denied);
        rest(time);
        proxy.heal();
        scene.all_are_owned();
    }
    scene.progress(200);
    scene.row.note = format!("{rounds} times");
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}

#[test]
fn what_is_too_large_for_the_topic_is_refused_and_takes_nothing_else_with_it() {
    const LARGEST: usize = 400_000;
    let Some(broker) = Broker::shared() else { return };
    let proxy = FaultyBroker::before(broker.servers()).unwrap();
    let cluster = Cluster::real(&broker, proxy.servers());
    let rule = Rule::new(Api::Produce, Fault::MESSAGE_TOO_LARGE).of_topic(&cluster.topic);
    proxy.rule(rule.larger_than(LARGEST).always());
    let mut scene = Scene::begin("records that are too large", cluster, 2, 2);
    let rounds = if chance::is_long() { 200 } else { 10 };
    for round in 0..rounds {
        scene.progress(20);
        let (status, code, why) = put(&scene.edges[round % 2], 2 * LARGEST);
        assert_eq!((status, &*code), (413, "refused_by_log"), "{why}");
        if round % 50 == 25 {
            scene.kill_edge(round % 2);
            assert!(scene.edges[round % 2].listens(), "{}", scene.log());
            until("it takes records", || put(&scene.edges[round % 2], 0).0 == 200);
        }
    }
    scene.progress(200);
    scene.row.note = format!("{rounds} records refused with 413");
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}
