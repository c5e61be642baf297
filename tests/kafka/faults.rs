//! That the proxy in front of a broker does what it is told, seen with librdkafka.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use forebay::testkit::broker::{Broker, fresh_name};
use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Link, Rule};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::producer::{Producer, Settled};
use crate::topic_reader::TopicReader;

const WAIT: Duration = Duration::from_secs(30);

/// A topic of one partition, behind a proxy.
struct Scene {
    broker: Broker,
    reader: TopicReader,
    proxy: FaultyBroker,
    topic: String,
}

impl Scene {
    fn new(about: &str) -> Option<Self> {
        let (broker, reader) = (Broker::shared()?, TopicReader::of_environment()?);
        let proxy = FaultyBroker::before(broker.servers()).unwrap();
        let topic = broker.topic(about, 1, &[]).unwrap();
        Some(Self { broker, reader, proxy, topic })
    }

    fn producer(&self, properties: &[(&str, &str)]) -> Producer {
        Producer::new(self.proxy.servers(), properties)
    }

    /// What is in the topic, seen past the proxy.
    fn texts(&self) -> Vec<String> {
        self.reader.texts(self.broker.servers(), &self.topic)
    }

    /// Sends one message through the proxy and waits for what becomes of it.
    fn send(&self, producer: &Producer, text: &str) -> Result<(i32, i64), RDKafkaErrorCode> {
        producer.send(&self.topic, 0, text);
        let settled = producer.settle();
        let [Settled { text: settled, place }] = &settled[..] else { panic!("{settled:?}") };
        assert_eq!(settled, text);
        *place
    }

    fn consumer(&self, properties: &[(&str, &str)]) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.proxy.servers()).set("group.id", fresh_name("group"));
        config.set("auto.offset.reset", "earliest").set("reconnect.backoff.max.ms", "100");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    /// A consumer that begins at the topic's begin, without a group.
    fn assigned(&self) -> BaseConsumer {
        let consumer = self.consumer(&[]);
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&all).unwrap();
        consumer
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.proxy.problems(), [""; 0]);
        }
    }
}

/// The next message's text, or the next error that `is_meant`.
fn next(consumer: &BaseConsumer, is_meant: impl Fn(&KafkaError) -> bool) -> Result<String, RDKafkaErrorCode> {
    let began = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => return Ok(String::from_utf8(message.payload().unwrap().to_vec()).unwrap()),
            Some(Err(error)) if is_meant(&error) => return Err(error.rdkafka_error_code().unwrap()),
            _ => assert!(began.elapsed() < WAIT, "nothing comes"),
        }
    }
}

fn is(code: RDKafkaErrorCode) -> impl Fn(&KafkaError) -> bool {
    move |error| error.rdkafka_error_code() == Some(code)
}

#[test]
fn all_traffic_of_a_client_goes_through_the_proxy() {
    let Some(scene) = Scene::new("through") else { return };
    let producer = scene.producer(&[]);
    assert_eq!(scene.send(&producer, "a"), Ok((0, 0)));
    assert_eq!(scene.proxy.asked(Api::Produce), 1);
    let consumer = scene.consumer(&[]);
    consumer.subscribe(&[&scene.topic]).unwrap();
    assert_eq!(next(&consumer, |_| false), Ok("a".into()));
    for api in [Api::Fetch, Api::Metadata, Api::FindCoordinator, Api::JoinGroup, Api::SyncGroup] {
        assert!(scene.proxy.asked(api) >= 1, "{api:?}");
    }
    // The other client speaks newer versions.
    assert_eq!(scene.reader.texts(scene.proxy.servers(), &scene.topic), ["a"]);
    // Nothing is left to go another way.
    scene.proxy.link(Link::Cut).unwrap();
    let refused = TcpStream::connect(scene.proxy.servers()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    producer.send(&scene.topic, 0, "b");
    consumer.commit_consumer_state(rdkafka::consumer::CommitMode::Async).unwrap();
    assert_eq!(scene.texts(), ["a"]);
    scene.proxy.link(Link::Open).unwrap();
    assert_eq!(producer.settle().len(), 1);
    assert_eq!(next(&consumer, |_| false), Ok("b".into()));
}

#[test]
fn a_lost_answer_doubles_what_is_not_idempotent() {
    let Some(scene) = Scene::new("lost-answer") else { return };
    for idempotence in ["false", "true"] {
        let producer = scene.producer(&[("enable.idempotence", idempotence)]);
        scene.send(&producer, &format!("{idempotence} before")).unwrap();
        scene.proxy.rule(Rule::new(Api::Produce, Fault::Drop).of_topic(&scene.topic).once_done());
        scene.send(&producer, idempotence).unwrap();
    }
    assert_eq!(scene.texts(), ["false before", "false", "false", "true before", "true"]);
    assert_eq!(scene.proxy.struck(), 2);
}

#[test]
fn a_request_that_is_dropped_or_late_is_done_in_the_end() {
    let Some(scene) = Scene::new("dropped") else { return };
    let producer = scene.producer(&[]);
    let late = Duration::from_millis(300);
    for (number, rule) in [
        Rule::new(Api::Produce, Fault::Drop).times(2),
        Rule::new(Api::Produce, Fault::Late(late)),
        Rule::new(Api::Produce, Fault::Late(late)).once_done(),
    ]
    .into_iter()
    .enumerate()
    {
        scene.proxy.rule(rule);
        let began = Instant::now();
        scene.send(&producer, &number.to_string()).unwrap();
        assert!(number == 0 || began.elapsed() >= late);
    }
    assert_eq!(scene.texts(), ["0", "1", "2"]);
    assert_eq!((scene.proxy.struck(), scene.proxy.asked(Api::Produce)), (4, 3));
}

#[test]
fn errors_of_produce_are_those_that_the_client_sees() {
    let Some(scene) = Scene::new("produce-errors") else { return };
    let other = scene.broker.topic("other", 1, &[]).unwrap();
    let producer = scene.producer(&[]);
    scene.proxy.rule(Rule::new(Api::Produce, Fault::NOT_LEADER).times(3));
    scene.proxy.rule(Rule::new(Api::Produce, Fault::NOT_ENOUGH_REPLICAS).times(2));
    assert_eq!(scene.send(&producer, "after five errors"), Ok((0, 0)));
    assert_eq!((scene.proxy.struck(), scene.proxy.asked(Api::Produce)), (5, 1));

    scene
        .proxy
        .rule(Rule::new(Api::Produce, Fault::TOPIC_AUTHORIZATION_FAILED).of_topic(&scene.topic).always());
    let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
    let producer = scene.producer(&[]);
    assert_eq!(scene.send(&producer, "denied"), Err(denied));
    producer.send(&other, 0, "another topic");
    assert_eq!(producer.settle()[0].place, Ok((0, 0)));
    scene.proxy.heal();

    scene.proxy.rule(Rule::new(Api::Produce, Fault::MESSAGE_TOO_LARGE).larger_than(10_000).always());
    let producer = scene.producer(&[]);
    assert_eq!(scene.send(&producer, &"x".repeat(10_000)), Err(RDKafkaErrorCode::MessageSizeTooLarge));
    let producer = scene.producer(&[]);
    scene.send(&producer, "small").unwrap();
    assert_eq!(scene.texts(), ["after five errors", "small"]);
}

#[test]
fn an_error_instead_of_the_brokers_answer_comes_when_all_is_done() {
    let Some(scene) = Scene::new("done-with-error") else { return };
    for idempotence in ["false", "true"] {
        scene.proxy.rule(Rule::new(Api::Produce, Fault::REQUEST_TIMED_OUT).once_done());
        let producer = scene.producer(&[("enable.idempotence", idempotence)]);
        scene.send(&producer, idempotence).unwrap();
    }
    assert_eq!(scene.texts(), ["false", "false", "true"]);
}

#[test]
fn errors_of_what_only_asks_are_seen_and_end() {
    let Some(scene) = Scene::new("read-errors") else { return };
    let producer = scene.producer(&[]);
    scene.send(&producer, "a").unwrap();
    let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
    let rule = |api| Rule::new(api, Fault::TOPIC_AUTHORIZATION_FAILED).of_topic(&scene.topic).always();

    scene.proxy.rule(rule(Api::Fetch));
    let consumer = scene.assigned();
    assert_eq!(next(&consumer, is(denied)), Err(denied));
    scene.proxy.heal();
    assert_eq!(next(&consumer, |_| false), Ok("a".into()));

    scene.proxy.rule(rule(Api::ListOffsets));
    let ends = |client: &BaseConsumer| client.fetch_watermarks(&scene.topic, 0, WAIT);
    let refused = ends(&consumer).unwrap_err();
    assert_eq!(refused.rdkafka_error_code(), Some(denied), "{refused}");
    scene.proxy.heal();
    assert_eq!(ends(&consumer).unwrap(), (0, 1));

    scene.proxy.rule(rule(Api::Metadata));
    let client = scene.producer(&[]);
    let topic = |client: &Producer| {
        let metadata = client.inner().client().fetch_metadata(Some(&scene.topic), WAIT).unwrap();
        let topic = &metadata.topics()[0];
        (topic.error().map(RDKafkaErrorCode::from), topic.partitions().len())
    };
    assert_eq!(topic(&client), (Some(denied), 0));
    scene.proxy.heal();
    assert_eq!(topic(&client), (None, 1));
}

#[test]
fn a_group_finds_together_again_after_a_storm_of_rebalances() {
    let Some(scene) = Scene::new("rebalances") else { return };
    scene.proxy.rule(Rule::new(Api::FindCoordinator, Fault::NOT_COORDINATOR).times(2));
    scene.proxy.rule(Rule::new(Api::JoinGroup, Fault::NOT_COORDINATOR));
    scene.proxy.rule(Rule::new(Api::SyncGroup, Fault::REBALANCE_IN_PROGRESS).times(2));
    scene.proxy.rule(Rule::new(Api::Heartbeat, Fault::REBALANCE_IN_PROGRESS).times(2));
    let consumer = scene.consumer(&[("heartbeat.interval.ms", "100"), ("session.timeout.ms", "6000")]);
    consumer.subscribe(&[&scene.topic]).unwrap();
    let began = Instant::now();
    while scene.proxy.struck() < 7 {
        assert!(consumer.poll(Duration::from_millis(50)).is_none_or(|message| message.is_err()));
        assert!(began.elapsed() < WAIT, "{} of 7", scene.proxy.struck());
    }
    scene.send(&scene.producer(&[]), "a").unwrap();
    assert_eq!(next(&consumer, |_| false), Ok("a".into()));
}

#[test]
fn what_a_stalled_or_slow_link_holds_passes_in_the_end() {
    let Some(scene) = Scene::new("stalled") else { return };
    let producer = scene.producer(&[]);
    scene.send(&producer, "a").unwrap();
    scene.proxy.link(Link::Stall).unwrap();
    producer.send(&scene.topic, 0, "b");
    // A connection is taken, and so is what comes, though nothing is said to it.
    TcpStream::connect(scene.proxy.servers()).unwrap();
    assert!(producer.inner().flush(Duration::from_millis(300)).is_err());
    assert_eq!((producer.settled(), scene.texts()), (Vec::new(), vec!["a".to_owned()]));
    let latency = Duration::from_millis(200);
    scene.proxy.link(Link::Slow { latency, bytes_per_second: 0 }).unwrap();
    assert_eq!(producer.settle().len(), 1);
    let began = Instant::now();
    scene.send(&producer, "c").unwrap();
    assert!(began.elapsed() >= latency);
    scene.proxy.link(Link::Slow { latency: Duration::ZERO, bytes_per_second: 20_000 }).unwrap();
    let began = Instant::now();
    scene.send(&producer, &"d".repeat(10_000)).unwrap();
    assert!(began.elapsed() >= latency * 2);
    scene.proxy.link(Link::Open).unwrap();
    assert_eq!(scene.texts().len(), 4);
}

#[test]
fn transactions_and_fences_outlast_a_link_that_is_cut() {
    let Some(scene) = Scene::new("cut") else { return };
    let begin = || {
        let producer = scene.producer(&[("transactional.id", &scene.topic)]);
        producer.inner().init_transactions(WAIT).unwrap();
        producer
    };
    let old = begin();
    for text in ["a", "b"] {
        old.inner().begin_transaction().unwrap();
        scene.send(&old, text).unwrap();
        scene.proxy.link(Link::Cut).unwrap();
        assert!(old.inner().flush(Duration::ZERO).is_ok());
        scene.proxy.link(Link::Open).unwrap();
        if text == "a" {
            old.inner().commit_transaction(WAIT).unwrap();
        }
    }
    let new = begin();
    let fenced = old.inner().commit_transaction(WAIT).unwrap_err();
    assert_eq!(fenced.rdkafka_error_code(), Some(RDKafkaErrorCode::Fenced), "{fenced}");
    new.inner().begin_transaction().unwrap();
    scene.send(&new, "c").unwrap();
    new.inner().commit_transaction(WAIT).unwrap();
    assert_eq!(scene.texts(), ["a", "c"]);
}

#[test]
fn a_transaction_whose_commit_is_not_answered_is_committed_once() {
    let Some(scene) = Scene::new("commits") else { return };
    let producer = scene.producer(&[("transactional.id", &scene.topic)]);
    scene.proxy.rule(Rule::new(Api::InitProducerId, Fault::NOT_COORDINATOR).times(2));
    producer.inner().init_transactions(WAIT).unwrap();
    for (text, rule) in [
        ("a", Rule::new(Api::EndTxn, Fault::Drop).once_done()),
        ("b", Rule::new(Api::EndTxn, Fault::Drop)),
        ("c", Rule::new(Api::EndTxn, Fault::NOT_COORDINATOR)),
        ("d", Rule::new(Api::AddPartitionsToTxn, Fault::NOT_COORDINATOR)),
    ] {
        producer.inner().begin_transaction().unwrap();
        scene.proxy.rule(rule);
        scene.send(&producer, text).unwrap();
        producer.inner().commit_transaction(WAIT).unwrap();
    }
    assert_eq!(scene.texts(), ["a", "b", "c", "d"]);
    assert_eq!(scene.proxy.struck(), 6);

    producer.inner().begin_transaction().unwrap();
    scene.proxy.rule(Rule::new(Api::AddPartitionsToTxn, Fault::TOPIC_AUTHORIZATION_FAILED));
    producer.send(&scene.topic, 0, "e");
    let denied = producer.inner().commit_transaction(WAIT).unwrap_err();
    let KafkaError::Transaction(denied) = denied else { panic!("{denied}") };
    assert!(denied.txn_requires_abort(), "{denied}");
    producer.inner().abort_transaction(WAIT).unwrap();
    assert_eq!(producer.settled()[0].place, Err(RDKafkaErrorCode::PurgeQueue));

    producer.inner().begin_transaction().unwrap();
    scene.send(&producer, "f").unwrap();
    scene.proxy.rule(Rule::new(Api::EndTxn, Fault::PRODUCER_FENCED));
    let KafkaError::Transaction(fenced) = producer.inner().commit_transaction(WAIT).unwrap_err() else {
        panic!("of another kind")
    };
    assert!(fenced.is_fatal() && fenced.code() == RDKafkaErrorCode::Fenced, "{fenced}");
}
