use std::collections::BTreeMap;
use std::net::TcpListener;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::kafka::topic::TopicSettings;

fn cluster(brokers: &str) -> KafkaCluster {
    let (tls, sasl, client) = (None, None, BTreeMap::new());
    KafkaCluster { name: None, brokers: vec![brokers.to_owned()], tls, sasl, client }
}

fn wanted(purpose: Purpose) -> Wanted {
    Wanted { topic: "t".to_owned(), purpose, by: "stream 's'".to_owned() }
}

fn facts(partitions: u32, replicas: usize, settings: TopicSettings) -> TopicFacts {
    TopicFacts { partitions, replicas, settings }
}

fn said(purpose: Purpose, facts: Option<&TopicFacts>) -> Vec<String> {
    judge(&cluster("b:1"), &wanted(purpose), facts).iter().map(Finding::to_string).collect()
}

const MIB: u64 = 1 << 20;

#[test]
fn a_topic_that_fits_is_not_mentioned() {
    let settings = TopicSettings {
        cleanup_policy: Some("delete".into()),
        timestamp_type: Some("CreateTime".into()),
        message_bytes_max: Some(2 * MIB),
        min_insync_replicas: Some(2),
    };
    let facts = facts(4, 3, settings);
    assert!(said(Purpose::Log { shards: Some(4), record_bytes_max: MIB }, Some(&facts)).is_empty());
    assert!(said(Purpose::Log { shards: None, record_bytes_max: MIB }, Some(&facts)).is_empty());
    assert!(said(Purpose::Sink { shards: Some(4), record_bytes_max: MIB }, Some(&facts)).is_empty());
    assert!(said(Purpose::Source { shards: None }, Some(&facts)).is_empty());
    assert!(said(Purpose::Progress, None).is_empty());
}

#[test]
fn each_thing_that_does_not_fit_is_told_with_what_to_do() {
    let place = "stream 's': topic 't' of Kafka cluster 'b:1'";
    let plain = facts(2, 1, TopicSettings::default());
    let set = |settings| facts(4, 3, settings);
    let log = Purpose::Log { shards: Some(4), record_bytes_max: MIB };
    for (purpose, facts, message) in [
        (log.clone(), None, "problem: PLACE does not exist: make it, with 4 partitions"),
        (
            Purpose::Source { shards: None },
            None,
            "problem: PLACE does not exist: make it, with as many partitions as you want shards",
        ),
        (
            log.clone(),
            Some(&plain),
            "problem: PLACE has 2 partitions, and the stream says shards = 4: give it 4 partitions, or write shards = 2",
        ),
        (
            Purpose::Source { shards: Some(1) },
            Some(&plain),
            "problem: PLACE has 2 partitions, and the stream says shards = 1: write shards = 2, or leave it out",
        ),
        (
            Purpose::Sink { shards: Some(3), record_bytes_max: MIB },
            Some(&plain),
            "warning: PLACE has 2 partitions, and the stream has 3 shards: give it as many, unless its consumers are meant to be fewer",
        ),
        (
            log.clone(),
            Some(&set(TopicSettings {
                cleanup_policy: Some("compact,delete".into()),
                ..TopicSettings::default()
            })),
            "problem: PLACE has cleanup.policy = compact,delete, so that records with the key of later ones are lost: set cleanup.policy = delete",
        ),
        (
            log.clone(),
            Some(&set(TopicSettings {
                timestamp_type: Some("LogAppendTime".into()),
                ..TopicSettings::default()
            })),
            "warning: PLACE has message.timestamp.type = LogAppendTime, so that arrival is the broker's time, not the edge's: set message.timestamp.type = CreateTime",
        ),
        (
            log.clone(),
            Some(&set(TopicSettings { message_bytes_max: Some(MIB), ..TopicSettings::default() })),
            "warning: PLACE takes messages of 1048576 bytes, and [ingest] max_record is 1MiB: no record of that size is taken: set max.message.bytes = 1049600 or more",
        ),
        (
            log.clone(),
            Some(&set(TopicSettings { min_insync_replicas: Some(1), ..TopicSettings::default() })),
            "warning: PLACE has 3 replicas and min.insync.replicas = 1, so that an ack may rest on one machine: set min.insync.replicas = 2",
        ),
        (
            log,
            Some(&set(TopicSettings { min_insync_replicas: Some(4), ..TopicSettings::default() })),
            "problem: PLACE has 3 replicas and min.insync.replicas = 4, so that nothing can be written: give it more replicas, or fewer to wait for",
        ),
        (
            Purpose::Progress,
            Some(&set(TopicSettings { cleanup_policy: Some("delete".into()), ..TopicSettings::default() })),
            "problem: PLACE has cleanup.policy = delete, so that positions are lost: set cleanup.policy = compact",
        ),
    ] {
        assert_eq!(said(purpose, facts), [message.replace("PLACE", place)]);
    }
}

#[tokio::test]
async fn a_topic_of_a_cluster_is_looked_at() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("t", 2, 1).unwrap();
    let wanted = [wanted(Purpose::Source { shards: Some(3) })];
    let findings = probe(&cluster(&mock.bootstrap_servers()), &wanted).await;
    let message = "has 2 partitions, and the stream says shards = 3";
    assert!(matches!(&findings[..], [only] if only.message.ends_with(message)), "{findings:?}");
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named_with_the_reason() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    let wanted = [wanted(Purpose::Progress), wanted(Purpose::Source { shards: None })];
    let findings = probe(&cluster(&place), &wanted).await;
    let [finding] = &findings[..] else { panic!("one finding for both questions: {findings:?}") };
    assert_eq!(finding.severity, Severity::Problem);
    assert!(finding.message.contains(&place) && finding.message.contains("refused"), "{finding}");
    assert!(finding.help.contains("can be reached from here"), "{finding}");
}
