use super::*;
use crate::config::checked::{Durability, LogPlace};

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
