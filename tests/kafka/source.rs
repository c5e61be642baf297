//! A topic that others fill as the source of a stream.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::testkit::broker::Broker;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::json;

use crate::lake;
use crate::log::{DELIVERY, tap};
use crate::producer::Producer;
use crate::server::Setup;

const WAIT: Duration = Duration::from_secs(30);
const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;

fn pipeline(broker: &Broker, topic: &str, ingest: &str) -> String {
    format!(
        "[stream]\nname = \"s\"\nsource = {{ kafka = \"{}\", topic = \"{topic}\" }}\n{ingest}{DELIVERY}",
        broker.servers()
    )
}

#[tokio::test]
async fn what_others_have_put_is_delivered_whole_around_holes_and_what_is_no_json() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.topic("source", 2, &[]).unwrap();
    let producer = Producer::new(broker.servers(), &[("transactional.id", topic.as_str())]);
    producer.inner().init_transactions(WAIT).unwrap();
    let mut expected = Vec::new();
    for round in 0..20 {
        producer.inner().begin_transaction().unwrap();
        for n in 0..10 {
            let text = format!("{{\"n\":{}}}", round * 10 + n);
            producer.send(&topic, n % 2, &text);
            if round % 3 != 2 {
                expected.push(text);
            }
        }
        producer.settle();
        match round % 3 {
            2 => producer.inner().abort_transaction(WAIT).unwrap(),
            _ => producer.inner().commit_transaction(WAIT).unwrap(),
        }
    }
    let plain = Producer::new(broker.servers(), &[]);
    // Deleted, no JSON, against the schema, bytes that are no text, headers that mean nothing to us.
    plain.send_record(BaseRecord::<str, ()>::to(&topic).partition(0).key("gone")).unwrap();
    for text in [&b"no json"[..], b"{\"n\":\"text\"}", b"\xff\xfe", b""] {
        plain
            .send_record(BaseRecord::<[u8], [u8]>::to(&topic).partition(0).key(b"\xff").payload(text))
            .unwrap();
    }
    let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("1") });
    let last = BaseRecord::<(), str>::to(&topic).partition(1).payload("{\"n\":-1}").headers(headers);
    plain.send_record(last).unwrap();
    plain.settle();
    expected.push("{\"n\":-1}".to_owned());
    let ingest = "[ingest]\nschema = \"s.json\"\n";
    let server = Setup::pipeline(pipeline(&broker, &topic, ingest)).file("s.json", SCHEMA).start();
    let (status, reply) = server.post("s", "application/json", "{\"n\":1}").await;
    assert_eq!((status, &reply["code"]), (409, &json!("read_only_stream")), "{reply}");
    assert!(reply["detail"].as_str().unwrap().contains(&topic), "{reply}");
    server
        .until("forebay_delivery_delivered_records_total", "delivery=\"lake\"", |n| {
            n == expected.len() as f64
        })
        .await;
    server.until("forebay_delivery_dead_lettered_records_total", "delivery=\"lake\"", |n| n == 4.0).await;
    let seen = tap(&server, "s", expected.len()).await;
    assert!(seen.len() <= expected.len() + 4);
    let stopped = server.stop();
    stopped.assert_drained();
    let folder = stopped.path("lake");
    let is_dead = |path: &std::path::PathBuf| path.starts_with(folder.join("errors"));
    let (dead, well): (Vec<_>, Vec<_>) = lake::files(&folder, ".gz").into_iter().partition(is_dead);
    let lines: Vec<String> = well.iter().flat_map(|path| lake::gunzip_lines(path)).collect();
    assert_eq!(lines.len(), expected.len());
    assert_eq!(lines.iter().collect::<BTreeSet<_>>(), expected.iter().collect());
    let reasons: Vec<String> = dead.iter().flat_map(|path| lake::gunzip_lines(path)).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| reason.contains("schema")).count(), 1, "{reasons:?}");
}
