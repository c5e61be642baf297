//! Delivery streams beside what happens to their sources and to the node at the same time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::faulty_store::FaultyStore;
use serde_json::{Value, json};

use super::UNSIGNED;
use super::firehose::{call, done, setup};
use super::live::{create, numbers};
use crate::server::Server;

fn create_of(name: &str, source: &str) -> Value {
    let mut create = create(name, 900);
    create["DeliveryStreamType"] = json!("KinesisStreamAsSource");
    create["KinesisStreamSourceConfiguration"] = json!({
        "KinesisStreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{source}"),
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
    });
    create
}

/// An operation that the node does not survive.
async fn dies(server: &Server, operation: &str, body: Value) {
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Firehose_20150804.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(body.to_string());
    assert!(request.send().await.is_err(), "{operation} is answered");
}

async fn put(server: &Server, name: &str, id: u64) {
    let record = json!({ "Data": STANDARD.encode(format!("{{\"id\":{id}}}")) });
    done(server, "PutRecord", json!({ "DeliveryStreamName": name, "Record": record })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_delivery_stream_whose_making_a_crash_has_cut_off_can_be_used() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).env("FOREBAY_CRASH_AT", "deliveries.begun:1").start();
    dies(&server, "CreateDeliveryStream", create("cut", 900)).await;
    let server = setup(&store).node(UNSIGNED).in_folder(server.kill()).start();
    let name = json!({ "DeliveryStreamName": "cut" });
    assert_eq!(call(&server, "DescribeDeliveryStream", name).await.0, 400, "nobody was told of it");
    done(&server, "CreateDeliveryStream", create("cut", 900)).await;
    put(&server, "cut", 1).await;
    let server = setup(&store).node(UNSIGNED).in_folder(server.kill()).start();
    put(&server, "cut", 2).await;
    server.stop().assert_drained();
    assert_eq!(numbers(&store, "cut/"), [(1, 1), (2, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_go_while_a_delivery_stream_of_it_is_being_made() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    for round in 0..12 {
        let (source, reader) = (format!("source-{round}"), format!("reader-{round}"));
        let stream = json!({ "StreamName": source, "ShardCount": 1 });
        done(&server, "Kinesis_20131202.CreateStream", stream).await;
        let name = json!({ "StreamName": source });
        let ((made, _), (deleted, _)) = tokio::join!(
            call(&server, "CreateDeliveryStream", create_of(&reader, &source)),
            call(&server, "Kinesis_20131202.DeleteStream", name.clone()),
        );
        assert!((made == 200) != (deleted == 200), "one of them is refused: {made}, {deleted}");
        let (described, _) = call(&server, "Kinesis_20131202.DescribeStreamSummary", name).await;
        assert_eq!(described == 200, made == 200);
    }
    server.stop().assert_drained();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_looks_at_delivery_streams_of_streams_that_clients_have_made() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    done(&server, "Kinesis_20131202.CreateStream", json!({ "StreamName": "made", "ShardCount": 1 })).await;
    done(&server, "CreateDeliveryStream", create_of("reader", "made")).await;
    for id in 0..5 {
        let data = STANDARD.encode(format!("{{\"id\":{id}}}"));
        let record = json!({ "StreamName": "made", "PartitionKey": "k", "Data": data });
        done(&server, "Kinesis_20131202.PutRecord", record).await;
    }
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(numbers(&store, "reader/").len(), 5);
    let reports = crate::verify::well(stopped.folder.path(), &[]);
    let of_reader: Vec<_> = reports.iter().filter(|report| report["delivery"] == "firehose.reader").collect();
    assert_eq!((of_reader.len(), &of_reader[0]["delivered"]), (1, &json!(5)));
    let object = store.objects().into_keys().find(|key| key.contains("reader/")).unwrap();
    store.remove(&object);
    let findings = crate::verify::findings(stopped.folder.path());
    assert!(findings.contains("reader"), "{findings}");
}

/// An update that gives a delivery stream a backup.
fn with_backup(name: &str) -> Value {
    let backup = json!({
        "RoleARN": "arn:aws:iam::000000000000:role/firehose", "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": format!("backup-of-{name}/"),
    });
    json!({
        "DeliveryStreamName": name, "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": { "S3BackupMode": "Enabled", "S3BackupUpdate": backup },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_begins_with_its_update_though_the_node_dies_before_it_runs() {
    // What is noted first of one that taps a stream is its making.
    for (name, passing) in [("direct", 1), ("tapped", 2)] {
        let store = FaultyStore::start().unwrap();
        let crash = format!("deliveries.noted:{passing}");
        let server = setup(&store).node(UNSIGNED).env("FOREBAY_CRASH_AT", &crash).start();
        let made = if name == "tapped" { create_of(name, "orders") } else { create(name, 900) };
        done(&server, "CreateDeliveryStream", made).await;
        let to = if name == "tapped" { "orders" } else { name };
        put(&server, to, 0).await;
        // The time of an update is told in milliseconds.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        dies(&server, "UpdateDestination", with_backup(name)).await;
        let server = setup(&store).node(UNSIGNED).in_folder(server.kill()).start();
        put(&server, to, 1).await;
        server.stop().assert_drained();
        assert_eq!(numbers(&store, &format!("backup-of-{name}/")), [(1, 1)].into());
        assert_eq!(numbers(&store, &format!("{name}/v1/")).len(), 2);
    }
}
