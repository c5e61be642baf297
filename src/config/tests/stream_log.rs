use super::*;
use crate::config::checked::{Durability, KafkaCompression, LogPlace};

fn text(stream: &str) -> String {
    format!("[stream]\nname = \"s\"\n{stream}\n")
}

#[test]
fn a_topic_is_the_log_or_the_source_of_a_stream() {
    for (key, is_source) in [("log", false), ("source", true)] {
        let topic = "{ kafka = \"b1:9092, b2:9092\", topic = \"events\" }";
        let stream = pipeline(&text(&format!("shards = 4\n{key} = {topic}"))).stream;
        assert_eq!((stream.durability, stream.idempotency_window.is_zero()), (Durability::Kafka, true));
        assert!(!stream.durability.is_durable());
        let LogPlace::Kafka(log) = stream.log else { panic!("{key}") };
        assert_eq!((log.topic.as_str(), log.is_source, log.partitions), ("events", is_source, Some(4)));
        assert_eq!(log.cluster.brokers, ["b1:9092", "b2:9092"]);
    }
    assert_eq!(pipeline(&text("")).stream.log, LogPlace::Local);
}

#[test]
fn what_is_appended_to_a_topic_may_be_compressed() {
    let log = |more: &str| {
        let topic = format!("log = {{ kafka = \"b:9092\", topic = \"events\"{more} }}");
        let LogPlace::Kafka(log) = pipeline(&text(&topic)).stream.log else { panic!("{more}") };
        (log.compression, log.compression_level)
    };
    assert_eq!(log(""), (KafkaCompression::None, None));
    assert_eq!(log(", compression = \"lz4\""), (KafkaCompression::Lz4, None));
    assert_eq!(log(", compression = \"zstd\", compression_level = 12"), (KafkaCompression::Zstd, Some(12)));
    let told = |key: &str, more: &str| {
        complaints(&text(&format!("{key} = {{ kafka = \"b:9092\", topic = \"events\", {more} }}")))
    };
    let cases = [
        ("log", "compression = \"zstdd\"", "did you mean \"zstd\"?"),
        ("log", "compression = \"snappy\", compression_level = 1", "compression = \"snappy\" has no levels"),
        ("log", "compression_level = 1", "compression = \"none\" has no levels"),
        ("log", "compression = \"zstd\", compression_level = 13", "must be from 1 to 12 for zstd, found 13"),
        ("source", "compression = \"zstd\"", "compression has no meaning with source"),
        ("source", "compression_level = 3", "compression_level has no meaning with source"),
    ];
    for (key, more, expected) in cases {
        let told = told(key, more);
        assert!(told.contains(expected), "{key} {more}: {told}");
    }
}

#[test]
fn what_only_a_log_of_this_machine_can_do_is_refused_by_name() {
    for (setting, name) in [
        ("durability = \"fsync\"", "durability"),
        ("retention = \"1h\"", "retention"),
        ("retention_bytes = \"1GiB\"", "retention_bytes"),
        ("idempotency_window = \"1m\"", "idempotency_window"),
        ("quotas = \"kinesis\"", "quotas"),
    ] {
        let log = "log = { kafka = \"b:9092\", topic = \"events\" }";
        let told = complaints(&text(&format!("{setting}\n{log}")));
        let expected =
            format!("p.toml:3:{}: {name} has no meaning with log = {{ kafka = … }}", name.len() + 4);
        assert!(told.starts_with(&expected), "{told}");
        assert!(told.contains("help: leave it out"), "{told}");
    }
    let source = "source = { kafka = \"b:9092\", topic = \"events\" }";
    for setting in ["partition_key = \"/k\"", "on_invalid = \"reject\"", "pixel = true"] {
        let told = complaints(&format!("{}[ingest]\n{setting}", text(source)));
        assert!(told.contains("has no meaning with source"), "{told}");
    }
}

#[test]
fn a_topic_that_cannot_be_is_told() {
    let cases = [
        ("log = { topic = \"t\" }", "kafka"),
        ("log = { kafka = \"b:9092\" }", "topic"),
        ("log = { kafka = \"nobody\", topic = \"t\" }", "is neither a cluster of [[kafka]] nor brokers"),
        ("log = { kafka = \"b:9092\", topic = \"a b\" }", "is no name of a topic"),
        ("log = { kafka = \"b:9092\", topic = \"..\" }", "is no name of a topic"),
        (
            "log = { kafka = \"b:9092\", topic = \"t\" }\nsource = { kafka = \"b:9092\", topic = \"t\" }",
            "a stream has a log or a source, and not both",
        ),
    ];
    for (setting, expected) in cases {
        let told = complaints(&text(setting));
        assert!(told.contains(expected), "{setting}: {told}");
    }
}
