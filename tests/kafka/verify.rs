//! `forebay verify` and `forebay dlq` where streams are in Kafka, while nodes are at work.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use forebay::testkit::broker::fresh_name;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::cluster::{Cluster, Feed};

/// Runs the program in the folder of a node. Returns its exit code and what it has printed.
pub fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &said)
}

/// What `forebay verify` reports, where all is well.
pub fn well(folder: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.args(["verify", "--json"]).args(more).current_dir(folder).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&printed).unwrap()
}

fn sum(report: &Value, of: &str) -> u64 {
    report["deliveries"].as_array().unwrap().iter().map(|shard| shard[of].as_u64().unwrap()).sum()
}

fn has_note(report: &Value, wanted: &str) -> bool {
    report["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains(wanted))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_the_topic_is_accounted_for_while_nodes_deliver_it() {
    let cluster = Cluster::mocked();
    let edge = std::sync::Arc::new(cluster.edge("edge"));
    let node = cluster.delivery("node");
    let feed = Feed::into(vec![std::sync::Arc::clone(&edge)]);
    feed.more(200).await;
    // Records come in, and files are closed and stored.
    well(node.folder(), &[]);
    let acked = feed.end().await;
    cluster.has_all_once(acked).await;
    node.until("forebay_delivery_pending_records", "", |pending| pending == 0.0).await;
    let report = well(node.folder(), &[]);
    assert_eq!((sum(&report, "accepted"), sum(&report, "delivered")), (acked, acked), "{report}");
    assert_eq!((sum(&report, "missing"), sum(&report, "duplicated")), (0, 0), "{report}");
    assert!(sum(&report, "objects_compared") > 0, "{report}");
    assert!(has_note(&report, "its records were read up to where the topic ended"), "{report}");
    // What nobody delivers is pending, also in a shard that nobody has delivered anything of.
    let stopped = tokio::task::spawn_blocking(move || node.stop()).await.unwrap();
    edge.accept("events", "{\"n\":1000000}\n{\"n\":1000001}\n").await;
    let report = well(stopped.folder.path(), &[]);
    assert_eq!((sum(&report, "accepted"), sum(&report, "pending")), (acked + 2, 2), "{report}");
    // Nobody is asked, or nobody answers: what was not checked is told.
    let report = well(stopped.folder.path(), &["--offline"]);
    assert_eq!((sum(&report, "objects_compared"), sum(&report, "delivered")), (0, acked), "{report}");
    assert!(has_note(&report, "and not with its records: --offline was given"), "{report}");
}

/// Sends transactions of so many records to a topic, and one that is given up.
fn transactions(servers: &str, topic: &str, count: u64, records: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("transactional.id", topic);
    let producer: BaseProducer = config.create().unwrap();
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    for transaction in 0..=count {
        producer.begin_transaction().unwrap();
        for record in 0..records {
            let text = format!("{{\"n\":{}}}", transaction * records + record);
            producer
                .send(BaseRecord::<(), _>::to(topic).partition((record % 4) as i32).payload(&text))
                .unwrap();
        }
        if transaction == count {
            producer.flush(patience).unwrap();
            producer.abort_transaction(patience).unwrap();
        } else {
            producer.commit_transaction(patience).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_and_records_of_transactions_that_were_given_up_are_not_missed() {
    let Some(mut cluster) = Cluster::real("marked") else { return };
    let bus = format!(
        "[[delivery]]\nname = \"bus\"\nsink = {{ kafka = \"main\", topic = \"{}\", progress_topic = \"{}\" }}\n",
        fresh_name("bus"),
        fresh_name("progress")
    );
    cluster.other = Some((cluster.lake_delivery() + &bus, String::new()));
    let (servers, topic) = (cluster.servers.clone(), cluster.topic.clone());
    tokio::task::spawn_blocking(move || transactions(&servers, &topic, 5, 40)).await.unwrap();
    let node = cluster.delivery("node");
    cluster.has_all_once(200).await;
    for delivery in ["delivery=\"lake\"", "delivery=\"bus\""] {
        node.until("forebay_delivery_pending_records", delivery, |pending| pending == 0.0).await;
        node.until("forebay_delivery_delivered_records_total", delivery, |count| count == 200.0).await;
    }
    let report = well(node.folder(), &[]);
    let of_bus = &report["fan_outs"][0];
    assert_eq!((&of_bus["shards"], &of_bus["pending"]), (&4.into(), &0.into()), "{report}");
    assert_eq!((sum(&report, "delivered"), sum(&report, "missing")), (200, 0), "{report}");
    assert_eq!((sum(&report, "pending"), sum(&report, "duplicated")), (0, 0), "{report}");
    let stopped = tokio::task::spawn_blocking(move || node.stop()).await.unwrap();
    assert!(stopped.status.success(), "{}", stopped.stderr);
}
