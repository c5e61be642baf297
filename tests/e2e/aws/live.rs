//! Delivery streams that are changed, added and deleted while records come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::faulty_store::{Fault, FaultyStore, Rule};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::UNSIGNED;
use super::firehose::{call, done, setup};
use crate::server::{PATIENCE, Server};

/// Records of a request.
const BATCH: u64 = 20;

/// What producers have sent so far, over all processes.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    acked: Mutex<Vec<u64>>,
}

impl Sent {
    async fn until_more(&self, than: usize) {
        let started = Instant::now();
        let wanted = self.acked.lock().unwrap().len() + than;
        while self.acked.lock().unwrap().len() < wanted {
            assert!(started.elapsed() < PATIENCE, "nothing is accepted any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Two who put numbers that come once each, until they are told to end or the node dies.
struct Load {
    ends: Arc<AtomicBool>,
    producers: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(server: &Server, name: &'static str, sent: &Arc<Sent>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let producer = || {
            let (address, sent, ends) = (server.address.to_string(), Arc::clone(sent), Arc::clone(&ends));
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                while !ends.load(Ordering::Relaxed) {
                    let first = sent.next.fetch_add(BATCH, Ordering::Relaxed);
                    let record = |id| json!({ "Data": STANDARD.encode(format!("{{\"id\":{id}}}")) });
                    let records: Vec<Value> = (first..first + BATCH).map(record).collect();
                    let request = client
                        .post(format!("http://{address}/"))
                        .header("x-amz-target", "Firehose_20150804.PutRecordBatch")
                        .header("content-type", "application/x-amz-json-1.1")
                        .body(json!({ "DeliveryStreamName": name, "Records": records }).to_string());
                    let Ok(reply) = request.send().await else { return };
                    assert_eq!(reply.status().as_u16(), 200, "producers are not disturbed");
                    let Ok(body) = reply.bytes().await else { return };
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body["FailedPutCount"], 0);
                    sent.acked.lock().unwrap().extend(first..first + BATCH);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        };
        let producers = (0..2).map(|_| producer()).collect();
        Self { ends, producers }
    }

    async fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        for producer in self.producers {
            producer.await.unwrap();
        }
    }
}

pub(super) fn create(name: &str, interval: u32) -> Value {
    json!({ "DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": {
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": format!("{name}/v1/"),
        "ErrorOutputPrefix": format!("{name}/errors/"),
        "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": interval },
    }})
}

fn update(version: u32, destination: Value) -> Value {
    json!({
        "DeliveryStreamName": "live", "CurrentDeliveryStreamVersionId": version.to_string(),
        "DestinationId": "destinationId-000000000001", "ExtendedS3DestinationUpdate": destination,
    })
}

fn conversion() -> Value {
    json!({
        "Prefix": "live/v4/",
        "CompressionFormat": "UNCOMPRESSED",
        "BufferingHints": { "SizeInMBs": 64, "IntervalInSeconds": 1 },
        "DataFormatConversionConfiguration": {
            "Enabled": true,
            "SchemaConfiguration": { "RoleARN": "arn:aws:iam::000000000000:role/firehose", "DatabaseName": "lake", "TableName": "clicks" },
            "InputFormatConfiguration": { "Deserializer": { "OpenXJsonSerDe": {} } },
            "OutputFormatConfiguration": { "Serializer": { "ParquetSerDe": {} } },
        },
    })
}

/// How often each number is in the objects whose keys have `below` in them.
pub(super) fn numbers(store: &FaultyStore, below: &str) -> BTreeMap<u64, usize> {
    let mut numbers = BTreeMap::new();
    for (key, object) in store.objects().into_iter().filter(|(key, _)| key.contains(below)) {
        let found: Vec<u64> = if key.ends_with(".parquet") {
            let rows =
                ParquetRecordBatchReaderBuilder::try_new(object.bytes.clone()).unwrap().build().unwrap();
            let column = |batch: arrow::array::RecordBatch| {
                batch.column(0).as_primitive::<Int64Type>().values().to_vec()
            };
            rows.flat_map(|batch| column(batch.unwrap())).map(i64::cast_unsigned).collect()
        } else {
            let mut text = String::from_utf8_lossy(&object.bytes).into_owned();
            if object.bytes.starts_with(b"\x1f\x8b") {
                let decoder = flate2::read::MultiGzDecoder::new(&*object.bytes);
                text = std::io::read_to_string(decoder).unwrap();
            }
            let records = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            records.map(|record| record.unwrap()["id"].as_u64().unwrap()).collect()
        };
        for number in found {
            *numbers.entry(number).or_default() += 1;
        }
    }
    numbers
}

async fn described(server: &Server, name: &str) -> Value {
    let described = done(server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": name })).await;
    described["DeliveryStreamDescription"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_in_one_file_while_the_destination_changes_and_the_node_is_killed_in_between() {
    let store = FaultyStore::start().unwrap();
    store.rule(Rule::any(Fault::INTERNAL).in_thousand(50).always());
    let sent = Arc::new(Sent::default());
    let server = setup(&store).node(UNSIGNED).env("FOREBAY_CRASH_AT", "deliveries.noted:4").start();
    done(&server, "CreateDeliveryStream", create("live", 1)).await;
    done(&server, "CreateDeliveryStream", create("going", 900)).await;
    let load = Load::begin(&server, "live", &sent);
    let destinations =
        [json!({ "Prefix": "live/v2/" }), json!({ "CompressionFormat": "GZIP" }), conversion()];
    for (version, destination) in (1..).zip(destinations) {
        sent.until_more(300).await;
        done(&server, "UpdateDestination", update(version, destination)).await;
        let described = described(&server, "live").await;
        assert_eq!(described["DeliveryStreamStatus"], "ACTIVE");
        assert_eq!(described["VersionId"], (version + 1).to_string());
    }
    // Files of columns are stored before the next one.
    let started = Instant::now();
    while numbers(&store, "live/v4/").is_empty() {
        assert!(started.elapsed() < PATIENCE, "no Parquet file comes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let last = json!({ "Prefix": "live/v5/", "DataFormatConversionConfiguration": { "Enabled": false } });
    let dies = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Firehose_20150804.UpdateDestination")
        .header("content-type", "application/x-amz-json-1.1")
        .body(update(4, last).to_string());
    assert!(dies.send().await.is_err(), "it dies between the note and the change");
    load.end().await;
    let folder = server.kill();

    let server = setup(&store).node(UNSIGNED).in_folder(folder).start();
    let after = described(&server, "live").await;
    assert_eq!((&after["VersionId"], &after["DeliveryStreamStatus"]), (&json!("5"), &json!("ACTIVE")));
    let load = Load::begin(&server, "live", &sent);
    sent.until_more(300).await;
    let again = json!({ "Prefix": "live/v6/", "CompressionFormat": "GZIP", "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 900 } });
    done(&server, "UpdateDestination", update(5, again)).await;
    let put = json!({ "DeliveryStreamName": "going", "Record": { "Data": STANDARD.encode("{\"id\":0}") } });
    done(&server, "PutRecord", put).await;
    let delete = json!({ "DeliveryStreamName": "going", "AllowForceDelete": true });
    done(&server, "DeleteDeliveryStream", delete).await;
    assert_eq!(
        call(&server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": "going" })).await.0,
        400
    );
    assert!(!server.folder().join("data/ledger/firehose.going").exists(), "nothing is left of it");
    sent.until_more(300).await;
    load.end().await;
    store.heal();
    let stopped = server.stop();
    stopped.assert_drained();

    let found = numbers(&store, "live/");
    assert_eq!(found.iter().find(|(_, times)| **times > 1), None, "twice");
    let acked = sent.acked.lock().unwrap();
    assert_eq!(acked.iter().find(|number| !found.contains_key(number)), None, "missing");
    for below in ["live/v4/", "live/v6/"] {
        assert!(!numbers(&store, below).is_empty(), "{below}");
    }
    let reports = crate::verify::well(stopped.folder.path(), &[]);
    let live = reports.iter().find(|report| report["stream"] == "firehose.live").unwrap();
    assert_eq!(live["delivered"].as_u64(), Some(found.len() as u64), "{live}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_added_to_a_stream_begins_with_what_comes_then_and_goes_without_a_trace() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let put = async |server: &Server, numbers: std::ops::Range<u64>| {
        for id in numbers {
            let record = json!({ "Data": STANDARD.encode(format!("{{\"id\":{id}}}")) });
            done(server, "PutRecord", json!({ "DeliveryStreamName": "orders", "Record": record })).await;
        }
    };
    put(&server, 0..5).await;
    // The time of its making is told in milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut tapped = create("tapped", 900);
    tapped["DeliveryStreamType"] = json!("KinesisStreamAsSource");
    tapped["KinesisStreamSourceConfiguration"] = json!({
        "KinesisStreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
    });
    done(&server, "CreateDeliveryStream", tapped).await;
    assert_eq!(described(&server, "tapped").await["DeliveryStreamStatus"], "ACTIVE");
    put(&server, 5..12).await;
    let server = setup(&store).node(UNSIGNED).in_folder(server.kill()).start();
    put(&server, 12..15).await;
    let mut change = update(1, json!({ "Prefix": "tapped/v2/" }));
    change["DeliveryStreamName"] = json!("tapped");
    done(&server, "UpdateDestination", change).await;
    put(&server, 15..20).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let once = |numbers: std::ops::Range<u64>| numbers.map(|number| (number, 1)).collect();
    assert_eq!(numbers(&store, "tapped/"), once(5..20));
    let reports = crate::verify::well(stopped.folder.path(), &[]);
    assert_eq!(reports.iter().filter(|report| report["delivery"] == "firehose.tapped").count(), 1);

    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    done(&server, "DeleteDeliveryStream", json!({ "DeliveryStreamName": "tapped" })).await;
    let left = |path: &str| server.folder().join("data").join(path).exists();
    assert!(!left("ledger/orders/firehose.tapped") && !left("delivery-streams/tapped.json"));
    assert!(left("ledger/orders/lake"));
    put(&server, 20..25).await;
    server.stop().assert_drained();
    assert_eq!(numbers(&store, "tapped/"), once(5..20));
}
