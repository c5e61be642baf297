//! That the broker which judges us does what it is trusted to do, and that its reader sees it.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use forebay::testkit::broker::Broker;
use forebay::testkit::faulty_broker::{Api, Fault, FaultyBroker, Rule};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::producer::Producer;
use crate::topic_reader::{Isolation, Message, TopicReader};

const WAIT: Duration = Duration::from_secs(30);

#[test]
fn messages_come_back_with_all_that_they_were_given() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("whole", 3, &[]).unwrap();
    let producer = Producer::new(broker.servers(), &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "a", value: Some(&[0_u8, 255][..]) })
        .insert(Header::<&str> { key: "none", value: None });
    let full: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic)
        .partition(2)
        .key(&b"key\xff"[..])
        .payload(&b"value"[..])
        .timestamp(1_700_000_000_123)
        .headers(headers);
    producer.send_record(full).unwrap();
    producer.send_record(BaseRecord::<(), ()>::to(&topic).partition(2).timestamp(1)).unwrap();
    producer.send_record(BaseRecord::to(&topic).partition(0).key("").payload("").timestamp(2)).unwrap();
    let places: Vec<_> = producer.settle().into_iter().map(|settled| settled.place.unwrap()).collect();
    assert_eq!(places.len(), 3);
    let bytes = |text: &[u8]| Some(text.to_vec());
    let bare = Message {
        partition: 2,
        offset: 1,
        key: None,
        value: None,
        headers: Vec::new(),
        timestamp_ms: 1,
        is_create_time: true,
    };
    let empty = Message {
        partition: 0,
        offset: 0,
        key: bytes(b""),
        value: bytes(b""),
        timestamp_ms: 2,
        ..bare.clone()
    };
    let full = Message {
        offset: 0,
        key: bytes(b"key\xff"),
        value: bytes(b"value"),
        headers: vec![("a".into(), bytes(b"1")), ("a".into(), bytes(b"\0\xff")), ("none".into(), None)],
        timestamp_ms: 1_700_000_000_123,
        ..bare.clone()
    };
    for isolation in [Isolation::Committed, Isolation::Uncommitted] {
        let found = reader.messages(broker.servers(), &topic, isolation);
        assert_eq!(found, [empty.clone(), full.clone(), bare.clone()]);
        assert_eq!((found[1].header("a"), found[1].header("none")), (Some("1"), None));
    }
}

#[test]
fn only_committed_transactions_are_read_and_a_deposed_producer_is_fenced() {
    let (Some(broker), Some(reader)) = (Broker::shared(), TopicReader::of_environment()) else { return };
    let topic = broker.topic("transactions", 1, &[]).unwrap();
    let begin = || {
        let producer = Producer::new(broker.servers(), &[("transactional.id", topic.as_str())]);
        producer.inner().init_transactions(WAIT).unwrap();
        producer
    };
    let old = begin();
    for (text, is_kept) in [("a", true), ("b", false), ("c", true)] {
        old.inner().begin_transaction().unwrap();
        old.send(&topic, 0, text);
        old.settle();
        if is_kept { old.inner().commit_transaction(WAIT) } else { old.inner().abort_transaction(WAIT) }
            .unwrap();
    }
    old.inner().begin_transaction().unwrap();
    old.send(&topic, 0, "d");
    old.settle();
    let new = begin();
    let fenced = old.inner().commit_transaction(WAIT).unwrap_err();
    assert_eq!(fenced.rdkafka_error_code(), Some(RDKafkaErrorCode::Fenced), "{fenced}");
    new.inner().begin_transaction().unwrap();
    new.send(&topic, 0, "e");
    new.inner().commit_transaction(WAIT).unwrap();
    assert_eq!(reader.texts(broker.servers(), &topic), ["a", "c", "e"]);
    let all = reader.messages(broker.servers(), &topic, Isolation::Uncommitted);
    assert_eq!(all.iter().map(Message::text).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn an_outage_keeps_what_was_acknowledged_and_ends_at_the_same_address() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let topic = broker.topic("outage", 2, &[]).unwrap();
    let producer = Producer::new(broker.servers(), &[]);
    let send = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            producer.send(&topic, (number % 2) as i32, &number.to_string());
        }
    };
    send(0..100);
    assert_eq!(producer.settle().len(), 100);
    broker.stop().unwrap();
    assert_eq!(TcpStream::connect(broker.servers()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    send(100..200);
    broker.start().unwrap();
    let settled = producer.settle();
    assert!(settled.len() == 100 && settled.iter().all(|settled| settled.place.is_ok()), "{settled:?}");
    let expected: Vec<_> = (0..200).step_by(2).chain((1..200).step_by(2)).map(|n| n.to_string()).collect();
    assert_eq!(reader.texts(broker.servers(), &topic), expected);
}

#[test]
fn what_is_not_answered_before_an_outage_is_not_doubled_behind_it() {
    let (Some(mut broker), Some(reader)) = (Broker::own().unwrap(), TopicReader::of_environment()) else {
        return;
    };
    let proxy = FaultyBroker::before(broker.servers()).unwrap();
    let topic = broker.topic("unanswered", 1, &[]).unwrap();
    let producer = Producer::new(proxy.servers(), &[]);
    producer.send(&topic, 0, "before");
    producer.settle();
    // The broker has it, and hears of no other try.
    proxy.rule(Rule::new(Api::Produce, Fault::Drop).once_done());
    proxy.rule(Rule::new(Api::Produce, Fault::Drop).always());
    producer.send(&topic, 0, "unanswered");
    let began = Instant::now();
    while proxy.struck() < 2 {
        assert!(began.elapsed() < WAIT, "{} of 2", proxy.struck());
        std::thread::sleep(Duration::from_millis(5));
    }
    broker.stop().unwrap();
    broker.start().unwrap();
    proxy.heal();
    assert!(producer.settle().iter().all(|settled| settled.place.is_ok()));
    assert_eq!(reader.texts(broker.servers(), &topic), ["before", "unanswered"]);
}

#[test]
fn topics_are_widened_and_removed() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("widened", 1, &[("cleanup.policy", "compact")]).unwrap();
    let producer = Producer::new(broker.servers(), &[]);
    let client = producer.inner().client();
    let partitions = || client.fetch_metadata(Some(&topic), WAIT).unwrap().topics()[0].partitions().len();
    assert_eq!(partitions(), 1);
    broker.widen_topic(&topic, 3).unwrap();
    assert_eq!(partitions(), 3);
    broker.remove_topic(&topic).unwrap();
    assert!(broker.remove_topic(&topic).unwrap_err().to_string().contains("UnknownTopic"));
    assert!(broker.topic("refused", -5, &[]).is_err());
}
