//! Delivery streams whose records go through a function.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use forebay::testkit::faulty_store::FaultyStore;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::UNSIGNED;
use super::firehose::{call, done, setup};
use crate::server::{PATIENCE, Server, Setup};

/// What a function does with a record `{"id":N}`, by the last digit of N.
const DROPS: u64 = 7;
const FAILS: u64 = 3;

/// Ways to answer wrongly, one after the other.
const WRONG: usize = 6;

/// A function in this process: it writes records in capitals, drops some, and cannot do anything with others.
struct Function {
    address: SocketAddr,
    /// Each call so often goes wrong; 0 for none, 1 for all of them.
    wrong_every: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    /// How often each record was sent.
    seen: Arc<Mutex<BTreeMap<u64, usize>>>,
}

impl Function {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let function = Self {
            address: listener.local_addr().unwrap(),
            wrong_every: Arc::default(),
            calls: Arc::default(),
            seen: Arc::default(),
        };
        let (wrong_every, calls, seen) =
            (Arc::clone(&function.wrong_every), Arc::clone(&function.calls), Arc::clone(&function.seen));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (wrong_every, calls, seen) =
                    (Arc::clone(&wrong_every), Arc::clone(&calls), Arc::clone(&seen));
                let service = service_fn(move |request| {
                    let call = calls.fetch_add(1, Ordering::SeqCst);
                    let every = wrong_every.load(Ordering::SeqCst);
                    let wrong = (every > 0 && call.is_multiple_of(every)).then_some(call / every.max(1));
                    answer(request, wrong, Arc::clone(&seen))
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(serving);
            }
        });
        function
    }

    /// `[[function]]`, for a node.
    fn table(&self) -> String {
        format!(
            "function = [{{ name = \"capitals\", url = \"http://{}/2015-03-31/functions/capitals/invocations\", headers = {{ x-token = \"t\" }} }}]",
            self.address
        )
    }

    fn goes_wrong(&self, every: usize) {
        self.wrong_every.store(every, Ordering::SeqCst);
    }

    async fn is_called_again(&self, times: usize) {
        let wanted = self.calls.load(Ordering::SeqCst) + times;
        until("the function is not called", || self.calls.load(Ordering::SeqCst) >= wanted).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    wrong: Option<usize>,
    seen: Arc<Mutex<BTreeMap<u64, usize>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/2015-03-31/functions/capitals/invocations");
    assert_eq!(request.headers()["x-token"], "t");
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    let arn = body["deliveryStreamArn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:firehose:us-east-1:000000000000:deliverystream/"), "{arn}");
    assert_eq!((&body["region"], body["invocationId"].is_string()), (&json!("us-east-1"), true));
    let result = |record: &Value| {
        let text = String::from_utf8(STANDARD.decode(record["data"].as_str().unwrap()).unwrap()).unwrap();
        assert!(record["approximateArrivalTimestamp"].as_i64().unwrap() > 1_700_000_000_000);
        let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_u64().unwrap();
        *seen.lock().unwrap().entry(id).or_default() += 1;
        let (result, data) = match id % 10 {
            DROPS => ("Dropped", Value::Null),
            FAILS => ("ProcessingFailed", json!("")),
            _ => ("Ok", json!(STANDARD.encode(text.to_uppercase()))),
        };
        json!({ "recordId": record["recordId"], "result": result, "data": data })
    };
    let mut records: Vec<_> = body["records"].as_array().unwrap().iter().map(result).collect();
    let mut response = Response::builder();
    let body = match wrong.map(|way| way % WRONG) {
        None => {
            // In any order.
            records.reverse();
            json!({ "records": records })
        }
        Some(0) => {
            response = response.status(503);
            json!({ "records": records })
        }
        Some(1) => {
            response = response.header("X-Amz-Function-Error", "Unhandled");
            json!({ "errorType": "KeyError", "errorMessage": "'x'" })
        }
        Some(2) => json!({ "errorMessage": "Task timed out" }),
        Some(3) => {
            records.pop();
            json!({ "records": records })
        }
        Some(4) => {
            records[0]["recordId"] = json!("another");
            json!({ "records": records })
        }
        Some(_) => json!("nothing"),
    };
    Ok(response.body(Full::from(body.to_string())).unwrap())
}

async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{otherwise}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn processing(parameters: &[(&str, &str)]) -> Value {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:capitals:$LATEST";
    let mut all = vec![json!({ "ParameterName": "LambdaArn", "ParameterValue": arn })];
    all.extend(
        parameters.iter().map(|(name, value)| json!({ "ParameterName": name, "ParameterValue": value })),
    );
    json!({ "Enabled": true, "Processors": [{ "Type": "Lambda", "Parameters": all }] })
}

fn create(name: &str, parameters: &[(&str, &str)]) -> Value {
    json!({ "DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": {
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": format!("{name}/v1/"),
        "ErrorOutputPrefix": format!("errors/{name}/!{{firehose:error-output-type}}/"),
        "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 1 },
        "ProcessingConfiguration": processing(parameters),
    }})
}

fn node(store: &FaultyStore, function: &Function) -> Setup {
    setup(store).node(UNSIGNED).node(&function.table())
}

async fn put(server: &Server, name: &str, ids: std::ops::Range<u64>) -> bool {
    let record = |id| json!({ "Data": STANDARD.encode(format!("{{\"id\":{id},\"word\":\"a\"}}")) });
    let records: Vec<Value> = ids.map(record).collect();
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Firehose_20150804.PutRecordBatch")
        .header("content-type", "application/x-amz-json-1.1")
        .body(json!({ "DeliveryStreamName": name, "Records": records }).to_string());
    let Ok(reply) = request.send().await else { return false };
    assert_eq!(reply.status().as_u16(), 200);
    let Ok(body) = reply.bytes().await else { return false };
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["FailedPutCount"], 0);
    true
}

/// How often each number is in the objects below a prefix.
fn numbers(store: &FaultyStore, below: &str) -> BTreeMap<u64, usize> {
    let mut numbers = BTreeMap::new();
    for (_, object) in store.objects().into_iter().filter(|(key, _)| key.starts_with(below)) {
        let mut text = String::from_utf8_lossy(&object.bytes).into_owned();
        if object.bytes.starts_with(b"\x1f\x8b") {
            text = std::io::read_to_string(MultiGzDecoder::new(&*object.bytes)).unwrap();
        }
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            let value = value.unwrap();
            let id = match value["rawData"].as_str() {
                None => {
                    assert_eq!(value["WORD"], "A", "it has not gone through: {value}");
                    value["ID"].as_u64()
                }
                Some(raw) => {
                    assert_eq!(value["errorCode"], "processing-failed");
                    let raw: Value = serde_json::from_slice(&STANDARD.decode(raw).unwrap()).unwrap();
                    assert_eq!(raw["word"], "a", "it is not as it came");
                    raw["id"].as_u64()
                }
            };
            *numbers.entry(id.unwrap()).or_default() += 1;
        }
    }
    numbers
}

fn once(ids: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    ids.map(|id| (id, 1)).collect()
}

fn is_kept(id: &u64) -> bool {
    id % 10 != DROPS && id % 10 != FAILS
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_through_the_function_that_a_processor_names() {
    let (store, function) = (FaultyStore::start().unwrap(), Function::start().await);
    let server = node(&store, &function).start();
    let mut unknown = create("unknown", &[]);
    let parameter = &mut unknown["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"]["Processors"]
        [0]["Parameters"][0];
    parameter["ParameterValue"] = json!("arn:aws:lambda:us-east-1:000000000000:function:other");
    let (status, reply) = call(&server, "CreateDeliveryStream", unknown).await;
    assert_eq!((status, &reply["__type"]), (400, &json!("InvalidArgumentException")));
    assert!(reply["message"].as_str().unwrap().contains("there is no function \"other\""), "{reply}");

    let parameters = [("BufferIntervalInSeconds", "0"), ("NumberOfRetries", "0")];
    let mut wanted = create("words", &parameters);
    let backup = json!({ "RoleARN": "arn:aws:iam::000000000000:role/firehose", "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": "backup/", "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 1 } });
    wanted["ExtendedS3DestinationConfiguration"]["S3BackupMode"] = json!("Enabled");
    wanted["ExtendedS3DestinationConfiguration"]["S3BackupConfiguration"] = backup;
    done(&server, "CreateDeliveryStream", wanted).await;
    let described = done(&server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": "words" })).await;
    let destination =
        &described["DeliveryStreamDescription"]["Destinations"][0]["ExtendedS3DestinationDescription"];
    assert_eq!(destination["ProcessingConfiguration"], processing(&parameters));

    assert!(put(&server, "words", 0..50).await);
    let kept = once((0..50).filter(is_kept));
    until("records do not come through", || numbers(&store, "words/v1/") == kept).await;
    let failed = once((0..50).filter(|id| id % 10 == FAILS));
    let below = "errors/words/processing-failed/";
    until("what has failed does not come", || numbers(&store, below) == failed).await;

    // Nobody can be asked: all of them have failed, and those after them have not.
    function.goes_wrong(1);
    assert!(put(&server, "words", 50..60).await);
    let failed: BTreeMap<_, _> = failed.into_iter().chain(once(50..60)).collect();
    until("what cannot be asked for does not come", || numbers(&store, below) == failed).await;
    function.goes_wrong(0);
    let update = json!({
        "DeliveryStreamName": "words", "CurrentDeliveryStreamVersionId": "1", "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": { "Prefix": "words/v2/" },
    });
    done(&server, "UpdateDestination", update.clone()).await;
    let mut without = update;
    without["CurrentDeliveryStreamVersionId"] = json!("2");
    without["ExtendedS3DestinationUpdate"] = json!({ "ProcessingConfiguration": { "Enabled": false } });
    let (status, reply) = call(&server, "UpdateDestination", without).await;
    assert_eq!(status, 400);
    assert!(reply["message"].as_str().unwrap().contains("the processor Lambda"), "{reply}");
    assert!(put(&server, "words", 60..70).await);
    let after = once((60..70).filter(is_kept));
    until("records do not come through again", || numbers(&store, "words/v2/") == after).await;
    // The backup has what clients have put.
    let backed_up = || -> String {
        let objects = store.objects().into_iter().filter(|(key, _)| key.starts_with("backup/"));
        objects.map(|(_, object)| String::from_utf8(object.bytes.to_vec()).unwrap()).collect()
    };
    until("the backup does not come", || backed_up().matches("\"id\"").count() == 70).await;
    assert_eq!(numbers(&store, "words/v1/"), kept);
    own_streams_are_hidden(&server, "words").await;

    let stopped = server.stop();
    stopped.assert_drained();
    crate::verify::well(stopped.folder.path(), &[]);
    let mut gone = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start_that_fails();
    gone.retain(|letter| letter != '\\');
    assert!(
        gone.contains("delivery stream 'words'") && gone.contains("there is no function \"capitals\""),
        "{gone}"
    );
}

/// The streams before and behind a function are nobody's but the delivery stream's, whichever way somebody comes to them.
async fn own_streams_are_hidden(server: &Server, name: &str) {
    let client = reqwest::Client::new();
    for stream in [format!("firehose.{name}"), format!("firehose.{name}.source")] {
        let url = format!("http://{}/v1/streams/{stream}", server.address);
        for path in ["", "/shards", "/records?from=earliest", "/cursors"] {
            assert_eq!(
                reqwest::get(format!("{url}{path}")).await.unwrap().status().as_u16(),
                404,
                "{stream}{path}"
            );
        }
        let put = client.post(format!("{url}/records")).header("content-type", "application/json").body("{}");
        assert_eq!(put.send().await.unwrap().status().as_u16(), 404, "{stream}");
        let shard = "shardId-000000000000";
        for (operation, more) in [
            ("PutRecord", json!({ "Data": "e30=", "PartitionKey": "k" })),
            ("PutRecords", json!({ "Records": [{ "Data": "e30=", "PartitionKey": "k" }] })),
            ("GetShardIterator", json!({ "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" })),
            ("ListShards", json!({})),
            ("DescribeStream", json!({})),
            ("DescribeStreamSummary", json!({})),
            ("DeleteStream", json!({})),
            ("UpdateShardCount", json!({ "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING" })),
            ("IncreaseStreamRetentionPeriod", json!({ "RetentionPeriodHours": 48 })),
            ("ListTagsForStream", json!({})),
        ] {
            let mut body = json!({ "StreamName": stream });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let request = client
                .post(format!("http://{}/", server.address))
                .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
                .header("content-type", "application/x-amz-json-1.1")
                .body(body.to_string());
            let reply = request.send().await.unwrap().text().await.unwrap();
            assert!(reply.contains("ResourceNotFoundException"), "{operation} of {stream}: {reply}");
        }
    }
    let (_, streams) = server.get("/v1/streams").await;
    assert!(!streams.to_string().contains("firehose."), "{streams}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_in_one_file_though_the_function_fails_and_the_node_is_killed() {
    let (store, function) = (FaultyStore::start().unwrap(), Function::start().await);
    function.goes_wrong(4);
    let next = AtomicU64::new(0);
    let mut acked = Vec::new();
    let mut folder = None;
    let parameters = [("BufferIntervalInSeconds", "0"), ("NumberOfRetries", "300")];
    for point in ["function.noted:3", "function.appended:3", "function.appended:1", "function.noted:1"] {
        let mut setup = node(&store, &function).env("FOREBAY_CRASH_AT", point);
        let is_first = folder.is_none();
        if let Some(folder) = folder {
            setup = setup.in_folder(folder);
        }
        let server = setup.start();
        if is_first {
            done(&server, "CreateDeliveryStream", create("live", &parameters)).await;
        }
        let started = Instant::now();
        loop {
            let first = next.fetch_add(10, Ordering::Relaxed);
            if !put(&server, "live", first..first + 10).await {
                break;
            }
            acked.extend(first..first + 10);
            assert!(started.elapsed() < PATIENCE, "nothing comes by {point}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        folder = Some(server.kill());
    }
    // And once while the function is down, with a call under way or between two.
    function.goes_wrong(1);
    let server = node(&store, &function).in_folder(folder.unwrap()).start();
    let first = next.fetch_add(10, Ordering::Relaxed);
    assert!(put(&server, "live", first..first + 10).await);
    acked.extend(first..first + 10);
    function.is_called_again(3).await;
    let server = node(&store, &function).in_folder(server.kill()).start();
    function.is_called_again(1).await;
    function.goes_wrong(0);
    let (kept, failed): (Vec<u64>, Vec<u64>) =
        acked.iter().copied().filter(|id| id % 10 != DROPS).partition(is_kept);
    let has_all = |below: &str, wanted: &[u64]| {
        let found = numbers(&store, below);
        wanted.iter().all(|id| found.contains_key(id))
    };
    until("records do not come", || has_all("live/v1/", &kept)).await;
    until("what has failed does not come", || has_all("errors/live/", &failed)).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let (records, letters) = (numbers(&store, "live/v1/"), numbers(&store, "errors/live/"));
    for (number, times) in records.iter().chain(&letters) {
        assert_eq!(*times, 1, "{number}");
    }
    // What was not acknowledged may be there as well, in the right place.
    assert!(records.keys().all(is_kept) && letters.keys().all(|id| id % 10 == FAILS));
    assert!(function.seen.lock().unwrap().values().any(|times| *times > 1), "calls were made again");
    let report = crate::verify::report(stopped.folder.path(), &[]);
    let gone_through = &report["functions"].as_array().unwrap()[0];
    assert_eq!(
        (&gone_through["stream"], &gone_through["target"], &gone_through["function"]),
        (&json!("firehose.live.source"), &json!("firehose.live"), &json!("capitals"))
    );
    let count = |name: &str| gone_through[name].as_u64().unwrap_or_else(|| panic!("{name}: {gone_through}"));
    let of_function = (count("ok"), count("failed"), count("pending"), count("lost"));
    assert_eq!(of_function, (records.len() as u64, letters.len() as u64, 0, 0), "{gone_through}");
    assert_eq!(count("dropped"), count("accepted") - of_function.0 - of_function.1);
    assert!(count("dropped") >= acked.iter().filter(|id| *id % 10 == DROPS).count() as u64);
    let reports = report["deliveries"].as_array().unwrap();
    let live = reports.iter().find(|report| report["stream"] == "firehose.live").unwrap();
    assert_eq!(live["delivered"].as_u64(), Some(records.len() as u64), "{live}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_delivery_stream_goes_once_its_records_have_gone_through() {
    let (store, function) = (FaultyStore::start().unwrap(), Function::start().await);
    let server = node(&store, &function).start();
    function.goes_wrong(1);
    let parameters = [("BufferIntervalInSeconds", "0"), ("NumberOfRetries", "300")];
    done(&server, "CreateDeliveryStream", create("going", &parameters)).await;
    assert!(put(&server, "going", 0..10).await);
    function.is_called_again(2).await;
    let name = json!({ "DeliveryStreamName": "going" });
    done(&server, "DeleteDeliveryStream", name.clone()).await;
    let described = done(&server, "DescribeDeliveryStream", name.clone()).await;
    assert_eq!(described["DeliveryStreamDescription"]["DeliveryStreamStatus"], "DELETING");
    function.goes_wrong(0);
    let started = Instant::now();
    while call(&server, "DescribeDeliveryStream", name.clone()).await.0 == 200 {
        assert!(started.elapsed() < PATIENCE, "it does not go");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(numbers(&store, "going/v1/"), once((0..10).filter(is_kept)));
    let data = server.folder().join("data");
    for left in
        ["functions/firehose.going.source.json", "ledger/firehose.going", "delivery-streams/going.json"]
    {
        assert!(!data.join(left).exists(), "{left}");
    }
    // One of the same name begins anew.
    done(&server, "CreateDeliveryStream", create("going", &parameters)).await;
    assert!(put(&server, "going", 10..20).await);
    let all = once((0..20).filter(is_kept));
    until("the new one does not deliver", || numbers(&store, "going/v1/") == all).await;
    let forced = json!({ "DeliveryStreamName": "going", "AllowForceDelete": true });
    done(&server, "DeleteDeliveryStream", forced).await;
    assert_eq!(call(&server, "DescribeDeliveryStream", name).await.0, 400);
    server.stop().assert_drained();
}
