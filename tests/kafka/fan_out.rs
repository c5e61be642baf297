//! Deliveries into Kafka: the real binary, a real broker, and a reader that is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Rule};
use serde_json::Value;

use crate::server::{PATIENCE, Server, Setup, durable_stream};
use crate::topic_reader::{Isolation, Message, TopicReader};

/// Keys of the records.
const KEYS: usize = 7;

/// A pipeline of three shards that goes into a topic of four partitions.
struct Scene {
    servers: String,
    reader: TopicReader,
    topic: String,
    /// Where positions are.
    progress: String,
}

impl Scene {
    fn new(broker: &Broker, reader: TopicReader, about: &str) -> Self {
        let topic = broker.topic(about, 4, &[]).unwrap();
        Self { servers: broker.servers().to_owned(), reader, topic, progress: fresh_name("progress") }
    }

    fn shared(about: &str) -> Option<Self> {
        let (broker, reader) = (Broker::shared()?, TopicReader::of_environment()?);
        Some(Self::new(&broker, reader, about))
    }

    /// The pipeline, with what else its sink says.
    fn pipeline(&self, servers: &str, more: &str) -> String {
        let Self { topic, progress, .. } = self;
        let topic = if more.contains("topic = ") { String::new() } else { format!(", topic = \"{topic}\"") };
        durable_stream("clicks", 3, "os")
            + &format!(
                "[ingest]\npartition_key = \"/k\"\n[[delivery]]\nname = \"bus\"\n\
                 sink = {{ kafka = \"{servers}\"{topic}, progress_topic = \"{progress}\"{more} }}\n"
            )
    }

    fn setup(&self, more: &str) -> Setup {
        Setup::pipeline(self.pipeline(&self.servers, more))
    }

    fn messages(&self, topic: &str) -> Vec<Message> {
        self.reader.messages(&self.servers, topic, Isolation::Committed)
    }

    /// Demands that the records of `numbers` are in the topic, each once, and those of a key in order.
    fn assert_once_and_in_order(&self, numbers: Range<usize>) {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for message in self.messages(&self.topic) {
            let (key, number) = parts(&message);
            assert_eq!(message.key.as_deref(), Some(key.as_bytes()));
            assert!(seen.insert(number), "{number} is there twice");
            let before = last.insert(key.clone(), number);
            assert!(before.is_none_or(|before| before < number), "{key}: {number} behind {before:?}");
        }
        let missing: Vec<_> = numbers.clone().filter(|number| !seen.contains(&(*number as u64))).collect();
        assert!(missing.is_empty(), "{} are missing: {missing:?}", missing.len());
        assert_eq!(seen.len(), numbers.len());
    }
}

fn parts(message: &Message) -> (String, u64) {
    let value: Value = serde_json::from_str(message.text()).unwrap();
    (value["k"].as_str().unwrap().to_owned(), value["n"].as_u64().unwrap())
}

/// Records of these numbers, as NDJSON.
fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"k\":\"key-{}\",\"n\":{n}}}\n", n % KEYS)).collect()
}

async fn put(server: &Server, numbers: Range<usize>) {
    assert_eq!(server.accept("clicks", lines(numbers.clone())).await, numbers.len() as u64);
}

/// Waits until so many records are delivered in this life of the process.
async fn delivered(server: &Server, records: f64) {
    server.until("forebay_delivery_pending_records", "delivery=\"bus\"", |pending| pending == 0.0).await;
    server.until("forebay_kafka_records_total", "", |count| count >= records).await;
}

/// Waits until the delivery is paused, and returns why.
async fn paused(server: &Server) -> String {
    server.until("forebay_delivery_paused", "delivery=\"bus\"", |paused| paused == 1.0).await;
    server.admin_get("/readyz").await.1
}

#[tokio::test]
async fn records_become_messages_with_key_headers_and_time() {
    let Some(scene) = Scene::shared("whole") else { return };
    for (guarantee, life) in [("exactly_once", 0), ("at_least_once", 1)] {
        let topic = if life == 0 { scene.topic.clone() } else { fresh_name("whole") };
        let more = format!(", topic = \"{topic}\", guarantee = \"{guarantee}\", compression = \"zstd\"");
        let server = scene.setup(&more).start();
        put(&server, 0..500).await;
        delivered(&server, 500.0).await;
        assert!(server.metric("forebay_kafka_transactions_total", "committed").await >= 1.0);
        server.stop().assert_drained();
        let found = scene.messages(&topic);
        assert_eq!(found.len(), 500);
        for message in found {
            let (key, _) = parts(&message);
            assert_eq!(message.key.as_deref(), Some(key.as_bytes()));
            assert_eq!(message.header("forebay.stream"), Some("clicks"));
            assert!(message.header("forebay.shard").unwrap().starts_with("shardId-00000000000"));
            assert!(message.header("forebay.sequence_number").unwrap().parse::<u64>().unwrap() > 0);
            let micros: i64 = message.header("forebay.arrival_time").unwrap().parse().unwrap();
            assert_eq!((message.timestamp_ms, message.is_create_time), (micros / 1_000, true));
        }
    }
}

#[tokio::test]
async fn nothing_is_missing_or_doubled_when_the_process_is_killed_again_and_again() {
    let Some(scene) = Scene::shared("killed") else { return };
    let mut folder = None;
    let (mut sent, kills) = (0, 6);
    for life in 0..=kills {
        let mut setup = scene.setup(", transaction = { interval = \"30ms\", size = \"64KiB\" }");
        if let Some(folder) = folder.take() {
            setup = setup.in_folder(folder);
        }
        let server = setup.start();
        if life == kills {
            put(&server, sent..sent + 100).await;
            sent += 100;
            server.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
            server.stop().assert_drained();
            break;
        }
        let until = std::time::Instant::now() + Duration::from_millis(fastrand::u64(20..900));
        while std::time::Instant::now() < until {
            put(&server, sent..sent + 300).await;
            sent += 300;
        }
        folder = Some(server.kill());
    }
    scene.assert_once_and_in_order(0..sent);
}

#[tokio::test]
async fn a_process_that_dies_around_a_commit_neither_loses_nor_doubles() {
    let Some(scene) = Scene::shared("points") else { return };
    let (mut folder, mut sent) = (None, 0);
    for point in ["fan_out.commit.before:2", "fan_out.commit.after:2", "fan_out.commit.before:5"] {
        let mut setup = scene.setup("").env("FOREBAY_CRASH_AT", point);
        if let Some(folder) = folder.take() {
            setup = setup.in_folder(folder);
        }
        let server = setup.start();
        // Each request in a transaction of its own, until it is dead.
        let mut answered = 0;
        while answered < 50 {
            match put_once(&server, sent).await {
                true => sent += 20,
                false => break,
            }
            answered += 1;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        assert!(answered < 50, "nothing came by {point}");
        folder = Some(server.kill());
    }
    let server = scene.setup("").in_folder(folder.unwrap()).start();
    assert!(put_once(&server, sent).await);
    server.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
    server.stop().assert_drained();
    scene.assert_once_and_in_order(0..sent + 20);
}

/// Puts the 20 records from `from` on. Returns whether that was answered. What was not may be in the log or not: the same
/// once more puts no second copy there.
async fn put_once(server: &Server, from: usize) -> bool {
    let request = reqwest::Client::new().post(server.records("clicks")).body(lines(from..from + 20));
    let request = request.header("content-type", "application/x-ndjson");
    let answer = request.header("idempotency-key", format!("from-{from}")).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test]
async fn an_outage_of_the_broker_is_waited_for() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let scene = Scene::new(&broker, reader, "outage");
    let server = scene.setup("").start();
    put(&server, 0..300).await;
    delivered(&server, 300.0).await;
    broker.stop().unwrap();
    put(&server, 300..600).await;
    let why = paused(&server).await;
    assert!(why.contains("delivery 'bus' of stream 'clicks' is paused") && why.contains("Kafka"), "{why}");
    put(&server, 600..900).await;
    broker.start().unwrap();
    delivered(&server, 900.0).await;
    server.until("forebay_delivery_paused", "", |paused| paused == 0.0).await;
    server.stop().assert_drained();
    scene.assert_once_and_in_order(0..900);
}

#[tokio::test]
async fn a_process_starts_while_the_broker_is_away() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let scene = Scene::new(&broker, reader, "away");
    broker.stop().unwrap();
    let server = scene.setup("").start();
    put(&server, 0..100).await;
    paused(&server).await;
    broker.start().unwrap();
    delivered(&server, 100.0).await;
    server.stop().assert_drained();
    scene.assert_once_and_in_order(0..100);
}

#[tokio::test]
async fn a_topic_that_is_missing_is_waited_for() {
    let Some(scene) = Scene::shared("missing") else { return };
    // The broker makes topics that it is asked about, so that the proxy has to say no.
    let proxy = FaultyBroker::before(&scene.servers).unwrap();
    proxy.rule(Rule::new(Api::Metadata, Fault::UNKNOWN_TOPIC).of_topic(&scene.topic).always());
    let server = Setup::pipeline(scene.pipeline(proxy.servers(), "")).start();
    put(&server, 0..50).await;
    let why = paused(&server).await;
    assert!(why.contains(&format!("send to topic '{}': it is not there: make it", scene.topic)), "{why}");
    proxy.heal();
    delivered(&server, 50.0).await;
    server.stop().assert_drained();
    scene.assert_once_and_in_order(0..50);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_a_dead_letter_in_parts_and_takes_no_other_with_it() {
    let Some(scene) = Scene::shared("large") else { return };
    let proxy = FaultyBroker::before(&scene.servers).unwrap();
    let too_large = Rule::new(Api::Produce, Fault::Error(10)).of_topic(&scene.topic).larger_than(400_000);
    proxy.rule(too_large.always());
    let more = ", transaction = { interval = \"200ms\" }";
    let text = scene.pipeline(proxy.servers(), more).replace("[ingest]", "[ingest]\nmax_record = \"1MiB\"");
    let server = Setup::pipeline(text).start();
    put(&server, 0..40).await;
    let large = format!("{{\"k\":\"key-0\",\"n\":40,\"x\":\"{}\"}}", "x".repeat(700_000));
    server.accept("clicks", large.clone() + "\n").await;
    put(&server, 41..80).await;
    server.until("forebay_kafka_dead_lettered_records_total", "", |count| count == 1.0).await;
    delivered(&server, 79.0).await;
    assert_eq!(server.metric("forebay_delivery_dead_lettered_records_total", "too_large").await, 1.0);
    server.stop().assert_drained();
    let numbers: BTreeSet<_> = scene.messages(&scene.topic).iter().map(|message| parts(message).1).collect();
    assert_eq!(numbers, (0..80).filter(|number| *number != 40).collect());
    let letter = scene.messages(&format!("{}.dead", scene.topic));
    assert_eq!(letter.len(), 2);
    let whole: String = letter.iter().map(Message::text).collect();
    assert_eq!(whole, large);
    for (index, part) in letter.iter().enumerate() {
        assert_eq!(part.header("forebay.reason"), Some("too_large"));
        assert_eq!(part.header("forebay.part"), Some(&*(index + 1).to_string()));
        assert_eq!(part.header("forebay.parts"), Some("2"));
        assert_eq!(part.key.as_deref(), Some(&b"key-0"[..]));
    }
}

#[tokio::test]
async fn what_is_as_large_as_a_message_that_was_refused_ends_no_transaction() {
    const LARGE: u64 = 12;
    let Some(scene) = Scene::shared("larger") else { return };
    let proxy = FaultyBroker::before(&scene.servers).unwrap();
    let too_large = Rule::new(Api::Produce, Fault::Error(10)).of_topic(&scene.topic).larger_than(400_000);
    proxy.rule(too_large.always());
    let more = ", transaction = { interval = \"200ms\" }, headers = []";
    let text = scene.pipeline(proxy.servers(), more).replace("[ingest]", "[ingest]\nmax_record = \"1MiB\"");
    let server = Setup::pipeline(text).start();
    for number in 0..LARGE {
        // All of the same size.
        let (number, pad) = (number + 10, "x".repeat(700_000));
        let line = format!("{{\"k\":\"key-0\",\"n\":{number},\"x\":\"{pad}\"}}\n");
        server.accept("clicks", line).await;
    }
    let letters = LARGE as f64;
    server.until("forebay_kafka_dead_lettered_records_total", "", |count| count == letters).await;
    let aborted = server.metric("forebay_kafka_transactions_total", "outcome=\"aborted\"").await;
    // Of the batch, and of what it was about.
    assert!((1.0..=2.0).contains(&aborted), "{aborted}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn topics_are_named_after_fields_and_what_has_none_is_a_dead_letter() {
    let Some(scene) = Scene::shared("tenants") else { return };
    let base = fresh_name("tenants");
    let text = scene
        .pipeline(&scene.servers, &format!(", topic = \"{base}-{{/tenant}}\", partitioner = \"stream\""));
    let schema = "{\"type\":\"object\",\"required\":[\"n\"]}";
    let text = text.replace("[ingest]", "[ingest]\nschema = \"s.json\"\non_invalid = \"dead_letter\"");
    let text = text + &format!("dead_letters = {{ topic = \"{base}.letters\" }}\n");
    let server = Setup::pipeline(text).file("s.json", schema).start();
    let lines = "{\"k\":\"a\",\"n\":1,\"tenant\":\"one\"}\n{\"k\":\"a\",\"n\":2,\"tenant\":\"t/w o\"}\n\
                 {\"k\":\"a\",\"n\":3}\n{\"k\":\"a\",\"tenant\":\"one\"}\n";
    server.accept("clicks", lines).await;
    server.until("forebay_kafka_dead_lettered_records_total", "", |count| count == 2.0).await;
    delivered(&server, 2.0).await;
    assert_eq!(server.metric("forebay_kafka_topics", "").await, 2.0);
    server.stop().assert_drained();
    let numbers = |topic: &str| scene.messages(topic).iter().map(|it| parts(it).1).collect::<Vec<_>>();
    assert_eq!(numbers(&format!("{base}-one")), [1]);
    assert_eq!(numbers(&format!("{base}-t_2Fw_o")), [2]);
    let letters = scene.messages(&format!("{base}.letters"));
    let reasons: BTreeSet<_> =
        letters.iter().map(|letter| letter.header("forebay.reason").unwrap()).collect();
    assert_eq!(reasons, ["partition", "schema"].into());
}

#[tokio::test]
async fn lost_answers_and_errors_of_the_broker_neither_lose_nor_double() {
    let Some(scene) = Scene::shared("faults") else { return };
    let proxy = FaultyBroker::before(&scene.servers).unwrap();
    let more = ", transaction = { interval = \"20ms\" }";
    let server = Setup::pipeline(scene.pipeline(proxy.servers(), more)).start();
    let mut sent = 0;
    let rules = [
        Rule::new(Api::EndTxn, Fault::Drop).once_done(),
        Rule::new(Api::EndTxn, Fault::Drop),
        Rule::new(Api::Produce, Fault::Drop).once_done(),
        Rule::new(Api::Produce, Fault::Drop).times(3),
        Rule::new(Api::Produce, Fault::NOT_LEADER).times(2),
        Rule::new(Api::AddPartitionsToTxn, Fault::Drop).once_done(),
        Rule::new(Api::Produce, Fault::UNKNOWN_SERVER_ERROR),
        Rule::any(Fault::Late(Duration::from_millis(300))).times(5),
        Rule::new(Api::Produce, Fault::Error(29)),
    ];
    let count = rules.len();
    for rule in rules {
        proxy.rule(rule);
        let struck = proxy.struck();
        while proxy.struck() == struck {
            put(&server, sent..sent + 60).await;
            sent += 60;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    put(&server, sent..sent + 60).await;
    sent += 60;
    assert!(proxy.struck() >= count as u64);
    // A transaction that nobody ends any more keeps readers of positions waiting until the broker gives it up.
    let (began, all) = (Instant::now(), 3 * PATIENCE);
    while server.metric("forebay_delivery_pending_records", "delivery=\"bus\"").await > 0.0 {
        assert!(began.elapsed() < all, "not delivered within {all:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    delivered(&server, sent as f64).await;
    server.stop().assert_drained();
    scene.assert_once_and_in_order(0..sent);
}

#[tokio::test]
async fn at_least_once_loses_nothing_when_it_is_killed() {
    let Some(scene) = Scene::shared("least") else { return };
    let more = ", guarantee = \"at_least_once\", transaction = { interval = \"30ms\" }";
    let (mut folder, mut sent) = (None, 0);
    for life in 0..4 {
        let mut setup = scene.setup(more);
        if let Some(folder) = folder.take() {
            setup = setup.in_folder(folder);
        }
        let server = setup.start();
        for _ in 0..10 {
            put(&server, sent..sent + 100).await;
            sent += 100;
        }
        if life == 3 {
            server.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
            server.stop().assert_drained();
            break;
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        folder = Some(server.kill());
    }
    let seen: BTreeSet<_> = scene.messages(&scene.topic).iter().map(|message| parts(message).1).collect();
    assert_eq!(seen, (0..sent as u64).collect());
}

#[tokio::test]
async fn a_node_whose_folder_was_copied_is_fenced_by_the_copy_and_says_so() {
    let Some(scene) = Scene::shared("fenced") else { return };
    let first = scene.setup("").start();
    put(&first, 0..50).await;
    delivered(&first, 50.0).await;
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-r", &format!("{}/data", first.folder().display()), &copy.path().display().to_string()])
        .status();
    assert!(copied.unwrap().success());
    let second = scene.setup("").in_folder(copy).start();
    second.until("forebay_kafka_transactions_total", "", |count| count >= 0.0).await;
    put(&second, 50..100).await;
    delivered(&second, 50.0).await;
    put(&first, 100..150).await;
    let why = paused(&first).await;
    assert!(why.contains("another process has taken the transactional id"), "{why}");
    drop(first);
    second.stop().assert_drained();
    scene.assert_once_and_in_order(0..100);
}

#[tokio::test]
async fn a_delivery_into_kafka_comes_changes_and_goes_while_records_come_in() {
    let Some(scene) = Scene::shared("reload") else { return };
    let other = fresh_name("reload");
    let server = scene.setup("").start();
    put(&server, 0..200).await;
    delivered(&server, 200.0).await;
    let file = server.folder().join("pipelines/pipeline.toml");
    let reload = |text: String| {
        std::fs::write(&file, text).unwrap();
        server.signal(rustix::process::Signal::HUP);
    };
    reload(scene.pipeline(&scene.servers, &format!(", topic = \"{other}\"")));
    let mut sent = 200;
    // Until the other topic is used, records go to the first.
    while server.metric("forebay_kafka_topics", "").await < 1.0 || sent < 600 {
        put(&server, sent..sent + 100).await;
        sent += 100;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
    server.stop().assert_drained();
    let numbers = |topic: &str| scene.messages(topic).iter().map(|it| parts(it).1).collect::<Vec<_>>();
    let (before, after) = (numbers(&scene.topic), numbers(&other));
    assert!(before.len() >= 200 && !after.is_empty(), "{} {}", before.len(), after.len());
    let all: BTreeSet<_> = before.iter().chain(&after).copied().collect();
    assert_eq!((all.len(), before.len() + after.len()), (sent, sent), "each is in one of them");
}
