//! A delivery into Kafka under load, with a real broker: the process is killed, and the broker goes and comes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use forebay::testkit::broker::{Broker, fresh_name};
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
        let topic = broker.topic("crash", 4, &[]).unwrap();
        let servers = broker.servers().to_owned();
        let pipeline = format!(
            "[stream]\nname = \"{STREAM}\"\nshards = 4\ndurability = \"fsync\"\nidempotency_window = \"10m\"\n\
             [ingest]\npartition_key = \"/device_id\"\n[[delivery]]\nname = \"bus\"\n\
             sink = {{ kafka = \"{servers}\", topic = \"{topic}\", progress_topic = \"{}\" }}\n",
            fresh_name("progress")
        );
        let mut node = Node::new("[log]\nsegment = \"4MiB\"", &[("sensors.toml", pipeline)]);
        node.start();
        let load = Load { stream: STREAM, profile: Profile::Iot, rate: 1_000.0, batch: 20, record_bytes: 0 };
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
        self.row.acked = manifest.producers.iter().map(|account| account.acked.count()).sum();
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
    for account in &manifest.producers {
        let there = seen.get(&account.producer);
        let is_there = |sequence: &u64| there.is_some_and(|there| there.contains_key(sequence));
        let acked = account.acked.iter().flat_map(|(first, last)| first..=last);
        row.missing += acked.filter(|sequence| !is_there(sequence)).count() as u64;
    }
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
