//! Deliveries into Kafka.

use std::time::Duration;

use super::*;
use crate::config::checked::{FanOut, Guarantee, KafkaCompression, MessageHeader, MessageKey, Partitioner};

fn fan_out(lines: &str) -> FanOut {
    let text = format!("{STREAM}[[delivery]]\nname = \"bus\"\n{lines}\n");
    let mut pipeline = pipeline(&text);
    assert!(pipeline.deliveries.is_empty());
    pipeline.fan_outs.remove(0)
}

fn complaint(lines: &str) -> String {
    complaints_below_stream(&format!("[[delivery]]\nname = \"bus\"\n{lines}")).replace("p.toml:", "")
}

#[test]
fn a_cluster_and_a_topic_are_enough() {
    let bus = fan_out("sink = { kafka = \"a:9092, b:9092\", topic = \"clicks\" }");
    assert_eq!(bus.name, "bus");
    assert_eq!(bus.dead_topic, "clicks.dead");
    let sink = bus.sink;
    assert_eq!(sink.cluster.brokers, ["a:9092", "b:9092"]);
    assert_eq!((sink.topic.fixed(), sink.topics_max), (Some("clicks"), 1_000));
    assert_eq!((sink.key, sink.partitioner), (MessageKey::PartitionKey, Partitioner::Murmur2));
    let words: Vec<_> = sink.headers.iter().map(MessageHeader::as_str).collect();
    assert_eq!(words, ["stream", "shard", "sequence_number", "arrival_time"]);
    assert_eq!((sink.compression, sink.compression_level), (KafkaCompression::None, None));
    assert_eq!((sink.guarantee, &*sink.progress_topic), (Guarantee::ExactlyOnce, "forebay.progress"));
    assert_eq!((sink.transaction_interval, sink.transaction_bytes), (Duration::from_millis(100), 16 << 20));
}

#[test]
fn all_of_it_can_be_told() {
    let bus = fan_out(
        "sink = { kafka = \"a:9092\", topic = \"clicks-{/tenant}\", max_topics = 7, key = \"/id\", partitioner = \"/part\", \
         headers = [], compression = \"zstd\", compression_level = 3, guarantee = \"at_least_once\", \
         progress_topic = \"p\", transaction = { interval = \"1s\", size = \"1MiB\" } }\n\
         dead_letters = { topic = \"letters\" }",
    );
    assert_eq!(bus.dead_topic, "letters");
    let sink = bus.sink;
    assert_eq!((sink.topic.as_str(), sink.topic.fixed(), sink.topics_max), ("clicks-{/tenant}", None, 7));
    assert!(matches!(&sink.key, MessageKey::Field(pointer) if pointer.as_str() == "/id"));
    assert!(matches!(&sink.partitioner, Partitioner::Field(pointer) if pointer.as_str() == "/part"));
    assert!(sink.headers.is_empty());
    assert_eq!((sink.compression, sink.compression_level), (KafkaCompression::Zstd, Some(3)));
    assert_eq!(sink.guarantee, Guarantee::AtLeastOnce);
    assert_eq!((sink.transaction_interval, sink.transaction_bytes), (Duration::from_secs(1), 1 << 20));
    let bus = fan_out(
        "sink = { kafka = \"a:9092\", topic = \"{/tenant}\", partitioner = \"shard\", key = \"none\" }",
    );
    assert_eq!(bus.dead_topic, "s.bus.dead", "a topic that depends on the record has no neighbour");
    assert_eq!((bus.sink.key, bus.sink.partitioner), (MessageKey::None, Partitioner::Shard));
}

#[test]
fn keys_of_files_and_of_kafka_do_not_mix() {
    assert_eq!(
        complaint(
            "format = \"json\"\nbuffer = { size = \"1MiB\" }\nsink = { kafka = \"a:1\", topic = \"t\", path = \"x\" }"
        ),
        "5:10: format is for files, and this delivery goes into Kafka\n\
         6:10: buffer is for files, and this delivery goes into Kafka\n\
         7:45: sink.path is for files, and this delivery goes into Kafka"
    );
    assert_eq!(
        complaint("sink = { path = \"x\", topic = \"t\" }\ndead_letters = { topic = \"d\" }"),
        "5:30: sink.topic is for a sink with kafka only\n6:26: dead_letters.topic is for a sink with kafka only"
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    let sink = |more: &str| complaint(&format!("sink = {{ kafka = \"a:1\"{more} }}"));
    assert!(sink("").contains("missing \"topic\""), "{}", sink(""));
    assert!(sink(", topic = \"a b\"").contains("' ' is none of them"), "{}", sink(", topic = \"a b\""));
    assert!(sink(", topic = \"{event_time:%Y}\"").contains("{event_time} cannot be part of a topic's name"));
    let topic = |more: &str| sink(&format!(", topic = \"t\"{more}"));
    assert!(topic(", key = \"partition\"").contains("did you mean \"partition_key\"?"));
    assert!(topic(", partitioner = \"murmur\"").contains("did you mean \"murmur2\"?"));
    assert!(topic(", headers = [\"shard\", \"shard\"]").contains("header \"shard\" is given twice"));
    assert!(topic(", headers = [\"principal\"]").contains("who has sent a record is not kept with it"));
    assert!(topic(", compression = \"snappy\", compression_level = 1").contains("has no levels"));
    assert!(topic(", compression = \"gzip\", compression_level = 10").contains("from 1 to 9 for gzip"));
    assert!(topic(", compression = \"zstd\", compression_level = 13").contains("from 1 to 12 for zstd"));
    assert!(topic(", transaction = { interval = \"1m\" }").contains("interval must be at most 20s"));
    assert!(topic(", transaction = { size = \"1GiB\" }").contains("size must be from"));
    assert!(topic(", progress_topic = \"t\"").contains("progress_topic is the same topic as topic"));
    assert!(
        complaint("sink = { kafka = \"nowhere\", topic = \"t\" }")
            .contains("neither a cluster of [[kafka]] nor brokers")
    );
    let twice = "sink = { kafka = \"a:1\", topic = \"t\" }\n[[delivery]]\nname = \"bus\"";
    assert!(complaint(twice).contains("delivery name \"bus\" is used twice"));
}
