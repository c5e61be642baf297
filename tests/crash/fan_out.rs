//! A delivery into Kafka under load, with a real broker: the process is killed, the broker goes and comes, and a proxy
//! between them says what brokers say.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Link, Rule};
use forebay::testkit::generators::Profile;
use forebay_load::manifest::Manifest;
use serde_json::Value;

use crate::chance::{self, Chance};
use crate::load::{self, Load};
use crate::node::{LOOK, Node, PATIENCE};
use crate::table::{self, Row};
use crate::topic_reader::{Isolation, TopicReader};

const STREAM: &str = "sensors";

/// A node whose only delivery goes into Kafka, under load.
struct Scene {
    node: Node,
    load: load::Running,
    reader: TopicReader,
    servers: String,
    topic: String,
    row: Row,
}

impl Scene {
    fn begin(name: &str, broker: &Broker, reader: TopicReader) -> Self {
        Self::through(broker.servers(), name, broker, reader)
    }

    /// The node reaches the broker at `through`.
    fn through(through: &str, name: &str, broker: &Broker, reader: TopicReader) -> Self {
        let topic = broker.topic("crash", 4, &[]).unwrap();
        let servers = broker.servers().to_owned();
        let pipeline = format!(
            "[stream]\nname = \"{STREAM}\"\nshards = 4\ndurability = \"fsync\"\nidempotency_window = \"10m\"\n\
             [ingest]\npartition_key = \"/device_id\"\nmax_record = \"1MiB\"\n[[delivery]]\nname = \"bus\"\n\
             sink = {{ kafka = \"{through}\", topic = \"{topic}\", progress_topic = \"{}\" }}\n",
            fresh_name("progress")
        );
        let mut node = Node::new("[log]\nsegment = \"4MiB\"", &[("sensors.toml", pipeline)]);
        node.start();
        let (profile, is_repeated) = (Profile::Iot, true);
        let run = STREAM.to_owned();
        let load =
            Load { stream: STREAM, run, is_repeated, profile, rate: 1_000.0, batch: 20, record_bytes: 0 };
        let load = load.start(&node.url());
        let row = Row { name: name.into(), ..Row::default() };
        Self { node, load, reader, servers, topic, row }
    }

    /// Waits until so many records more are acked.
    fn progress(&self, records: u64) {
        let (goal, began) = (self.load.acked() + records, std::time::Instant::now());
        while self.load.acked() < goal {
            assert!(began.elapsed() < PATIENCE, "nothing is acked\n{}", self.node.log());
            std::thread::sleep(LOOK);
        }
    }

    fn kill(&mut self) {
        self.node.kill();
        self.row.kills += 1;
    }

    /// Ends the load, drains the node, reads the topic, and demands that everything is there once and in order.
    fn end(mut self) {
        self.progress(1);
        let manifest = self.load.finish().manifest;
        self.node.drain();
        self.row.acked = load::acked(&manifest);
        let messages = self.reader.messages(&self.servers, &self.topic, Isolation::Committed);
        let values = messages.iter().map(|message| serde_json::from_str(message.text()).unwrap());
        judge(values, &manifest, &mut self.row);
        table::keep(&self.row);
        let Row { missing, duplicated, reordered, .. } = self.row;
        assert_eq!((missing, duplicated, reordered), (0, 0, 0), "{}", self.node.log());
    }
}

/// Counts what is missing, doubled and out of order among messages in the order of their partitions. Those of a producer
/// and a key are in order.
fn judge(messages: impl Iterator<Item = Value>, manifest: &Manifest, row: &mut Row) {
    let (mut seen, mut last) = (HashMap::<String, HashMap<u64, u64>>::new(), BTreeMap::new());
    for message in messages {
        let text = |name: &str| message[name].as_str().unwrap().to_owned();
        let (producer, key, sequence) =
            (text("producer"), text("device_id"), message["sequence"].as_u64().unwrap());
        row.delivered += 1;
        *seen.entry(producer.clone()).or_default().entry(sequence).or_default() += 1;
        let before = last.insert((producer, key), sequence);
        row.reordered += u64::from(before.is_some_and(|before| before > sequence));
    }
    row.duplicated = seen.values().flat_map(HashMap::values).map(|count| count - 1).sum();
    row.missing += load::missing(manifest, |producer, sequence| {
        seen.get(producer).is_some_and(|there| there.contains_key(&sequence))
    });
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_when_the_process_is_killed_at_random_times() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let mut chance = Chance::of("fan-out");
    let mut scene = Scene::begin("into Kafka: SIGKILL at random times", &broker, reader);
    let kills = chance::kills(6);
    scene.progress(100);
    while scene.row.kills < kills {
        std::thread::sleep(chance.pause(Duration::from_millis(5), Duration::from_millis(1_500)));
        scene.kill();
        scene.node.launch(None);
    }
    assert!(scene.node.listens(), "{}", scene.node.log());
    scene.progress(500);
    scene.row.note = format!("seed {}", chance.seed);
    scene.end();
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_when_the_broker_goes_and_comes() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let mut chance = Chance::of("fan-out broker");
    let mut scene = Scene::begin("into Kafka: broker stopped and started", &broker, reader);
    let rounds = (chance::kills(0) / 20).max(2);
    for round in 0..rounds {
        scene.progress(300);
        broker.stop().unwrap();
        std::thread::sleep(chance.pause(Duration::from_millis(100), Duration::from_millis(4_000)));
        // In one of two outages the process dies as well.
        if round % 2 == 1 {
            scene.kill();
            scene.node.start();
        }
        broker.start().unwrap();
    }
    scene.progress(500);
    scene.row.note = format!("{rounds} outages");
    scene.end();
}

/// For how long something is wrong, so that some transactions meet it.
const ILL: Duration = Duration::from_millis(2_500);
/// What is slow or stalls in the long form does so for longer than the client waits for answers.
const ILL_LONG: Duration = Duration::from_secs(65);

/// Something that goes wrong between the node and the broker with a topic.
type Illness = fn(&FaultyBroker, &str);

/// Each illness lasts for `time`; then all is well, and then comes the next. The process is killed in the middle of each
/// second one.
fn falls_ill(name: &str, time: Duration, illnesses: &[Illness]) {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let mut chance = Chance::of(name);
    let proxy = FaultyBroker::before(broker.servers()).unwrap();
    let mut scene = Scene::through(proxy.servers(), &format!("into Kafka: {name}"), &broker, reader);
    let rounds = if chance::is_long() { 5 } else { 1 };
    let mut count = 0;
    for illness in illnesses.repeat(rounds) {
        scene.progress(200);
        illness(&proxy, &scene.topic);
        std::thread::sleep(time);
        count += 1;
        if count % 2 == 0 {
            scene.kill();
            scene.node.start();
            std::thread::sleep(chance.pause(ILL / 10, ILL));
        }
        proxy.heal();
        proxy.link(Link::Open).unwrap();
    }
    scene.progress(500);
    scene.row.note = format!("{count} illnesses, {} wrong answers", proxy.struck());
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_while_leaders_and_coordinators_move() {
    falls_ill(
        "leaders and coordinators move",
        ILL,
        &[
            |proxy, topic| {
                proxy.rule(
                    Rule::new(Api::Produce, Fault::NOT_LEADER).of_topic(topic).always().in_thousand(500),
                );
            },
            |proxy, _| {
                for api in [Api::EndTxn, Api::AddPartitionsToTxn, Api::InitProducerId] {
                    proxy.rule(Rule::new(api, Fault::NOT_COORDINATOR).always().in_thousand(500));
                }
            },
        ],
    );
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_by_a_slow_broker() {
    let time = if chance::is_long() { ILL_LONG } else { ILL };
    let slow = |proxy: &FaultyBroker, _: &str| {
        let latency = Duration::from_millis(250);
        proxy.link(Link::Slow { latency, bytes_per_second: 200_000 }).unwrap();
    };
    falls_ill("slow broker", time, &[slow, |proxy, _| proxy.link(Link::Stall).unwrap()]);
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_while_topics_are_gone() {
    let gone = |proxy: &FaultyBroker, topic: &str| {
        for api in [Api::Metadata, Api::Produce, Api::AddPartitionsToTxn] {
            proxy.rule(Rule::new(api, Fault::UNKNOWN_TOPIC).of_topic(topic).always());
        }
    };
    falls_ill("topic not there for a while", ILL, &[gone, gone]);
}

#[test]
fn nothing_is_lost_or_doubled_in_kafka_while_rights_are_lost() {
    falls_ill(
        "rights on topic and transactions lost",
        ILL,
        &[
            |proxy, topic| {
                for api in [Api::Metadata, Api::Produce, Api::AddPartitionsToTxn] {
                    proxy.rule(Rule::new(api, Fault::TOPIC_AUTHORIZATION_FAILED).of_topic(topic).always());
                }
            },
            |proxy, _| {
                for api in [Api::EndTxn, Api::InitProducerId] {
                    proxy.rule(Rule::new(api, Fault::TRANSACTIONAL_ID_AUTHORIZATION_FAILED).always());
                }
            },
        ],
    );
}

#[test]
fn what_is_too_large_for_a_topic_of_kafka_is_a_dead_letter_and_takes_nothing_else_with_it() {
    const LARGEST: usize = 400_000;
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let proxy = FaultyBroker::before(broker.servers()).unwrap();
    let mut scene =
        Scene::through(proxy.servers(), "into Kafka: records that are too large", &broker, reader);
    let rule = Rule::new(Api::Produce, Fault::MESSAGE_TOO_LARGE).of_topic(&scene.topic);
    proxy.rule(rule.larger_than(LARGEST).always());
    let rounds = if chance::is_long() { 60 } else { 5 };
    for round in 0..rounds {
        scene.progress(50);
        let body =
            format!("{{\"device_id\":\"large\",\"number\":{round},\"pad\":\"{}\"}}", "x".repeat(700_000));
        let (status, reply) = scene.node.request("POST", &format!("/v1/streams/{STREAM}/records"), &body);
        assert_eq!(status, 200, "{reply}");
        if round % 20 == 3 {
            scene.kill();
            scene.node.start();
        }
    }
    scene.progress(200);
    let (reader, servers) = (TopicReader::of_environment().unwrap(), scene.servers.clone());
    let letters = format!("{}.dead", scene.topic);
    scene.row.dead_lettered = rounds;
    scene.row.note = format!("{} batches refused", proxy.struck());
    scene.end();
    // Each in two parts, once.
    let mut parts = BTreeMap::<String, Vec<String>>::new();
    for message in reader.messages(&servers, &letters, Isolation::Committed) {
        assert_eq!(message.header("forebay.reason"), Some("too_large"));
        let part = message.header("forebay.part").unwrap().to_owned();
        let place = ["forebay.shard", "forebay.sequence_number"].map(|name| message.header(name).unwrap());
        parts.entry(place.concat()).or_default().push(part);
    }
    assert_eq!(parts.len() as u64, rounds);
    assert!(parts.values().all(|parts| parts == &["1", "2"]), "{parts:?}");
}
