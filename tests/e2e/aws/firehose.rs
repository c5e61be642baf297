//! Amazon Data Firehose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use forebay::testkit::aggregate::{UserRecord, aggregate};
use forebay::testkit::faulty_store::{FaultyStore, StoredObject};
use serde_json::{Value, json};

use super::{ACCESS_KEY, UNSIGNED, javascript, operations, run};
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

/// A node whose buckets are in `store`, with a pipeline beside.
pub(super) fn setup(store: &FaultyStore) -> Setup {
    let endpoint = store.endpoint();
    Setup::pipeline(format!(
        "{}[[delivery]]\nname = \"lake\"\ncompression = \"none\"\n",
        durable_stream("orders", 2, "os")
    ))
    .and_pipeline("other", stream("other", 1))
    .node(&format!("aws.s3_sink.endpoint = \"{endpoint}\""))
    .node("aws.s3_sink.region = \"us-east-1\"\naws.s3_sink.access_key_id = \"k\"\naws.s3_sink.secret_access_key = \"s\"")
    .node("aws.table = [{ database = \"lake\", name = \"clicks\", columns = [{ name = \"id\", type = \"int64\" }] }, { database = \"lake\", name = \"learned\", schema = \"infer\" }]")
}

/// The status, and the body; null if it is empty. An operation of another API is named in full.
pub(super) async fn call(server: &Server, operation: &str, body: Value) -> (u16, Value) {
    let target = match operation.contains('.') {
        true => operation.to_owned(),
        false => format!("Firehose_20150804.{operation}"),
    };
    let response = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
}

pub(super) async fn done(server: &Server, operation: &str, body: Value) -> Value {
    let (status, reply) = call(server, operation, body).await;
    assert_eq!(status, 200, "{operation}: {reply}");
    reply
}

async fn refused(server: &Server, operation: &str, body: Value) -> (String, String) {
    let (status, reply) = call(server, operation, body).await;
    assert_eq!(status, 400, "{operation}: {reply}");
    let text = |name: &str| reply[name].as_str().unwrap().to_owned();
    (text("__type"), text("message"))
}

fn destination() -> Value {
    // The bucket of the store.
    json!({
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": "clicks/!{partitionKeyFromQuery:customer}/",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "BufferingHints": { "SizeInMBs": 64, "IntervalInSeconds": 900 },
        "DynamicPartitioningConfiguration": { "Enabled": true },
        "ProcessingConfiguration": { "Enabled": true, "Processors": [
            { "Type": "RecordDeAggregation", "Parameters": [
                { "ParameterName": "SubRecordType", "ParameterValue": "JSON" },
            ]},
            { "Type": "MetadataExtraction", "Parameters": [
                { "ParameterName": "MetadataExtractionQuery", "ParameterValue": "{customer:.c.id}" },
                { "ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6" },
            ]},
        ]},
    })
}

fn data(bytes: impl AsRef<[u8]>) -> Value {
    json!({ "Data": STANDARD.encode(bytes) })
}

fn objects(store: &FaultyStore, below: &str) -> Vec<String> {
    let objects = store.objects().into_iter().filter(|(key, _)| key.contains(below));
    let text = |(_, object): (String, StoredObject)| match object.bytes.starts_with(b"\x1f\x8b") {
        true => std::io::read_to_string(MultiGzDecoder::new(&*object.bytes)).unwrap(),
        false => String::from_utf8_lossy(&object.bytes).into_owned(),
    };
    objects.map(text).collect()
}

/// How many JSON values there are, with or without something between them.
fn values(store: &FaultyStore, below: &str) -> usize {
    let count = |text: &String| {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        values.map(Result::unwrap).count()
    };
    objects(store, below).iter().map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_stream_is_made_while_the_node_runs_and_stays() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let create =
        json!({ "DeliveryStreamName": "clicks", "ExtendedS3DestinationConfiguration": destination() });
    let made = done(&server, "CreateDeliveryStream", create.clone()).await;
    assert_eq!(made["DeliveryStreamARN"], "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks");
    assert_eq!(refused(&server, "CreateDeliveryStream", create).await.0, "ResourceInUseException");

    let records =
        json!([data("{\"c\":{\"id\":\"a\"},\"n\":1}{\"c\":{\"id\":\"b\"},\"n\":2}\n"), data("no JSON")]);
    let put = json!({ "DeliveryStreamName": "clicks", "Records": records });
    let reply = done(&server, "PutRecordBatch", put).await;
    assert_eq!(
        (&reply["FailedPutCount"], reply["RequestResponses"].as_array().unwrap().len()),
        (&json!(0), 2)
    );
    let put = json!({ "DeliveryStreamName": "clicks", "Record": data("{\"c\":{\"id\":\"a\"},\"n\":3}") });
    assert!(done(&server, "PutRecord", put.clone()).await["RecordId"].is_string());
    let to_pipeline = json!({ "DeliveryStreamName": "orders", "Record": data("{\"n\":4}") });
    done(&server, "PutRecord", to_pipeline).await;

    let names = done(&server, "ListDeliveryStreams", json!({ "Limit": 1 })).await;
    assert_eq!(names, json!({ "DeliveryStreamNames": ["clicks"], "HasMoreDeliveryStreams": true }));
    let tags = json!({ "DeliveryStreamName": "clicks", "Tags": [{ "Key": "k", "Value": "v" }] });
    done(&server, "TagDeliveryStream", tags).await;
    let update = |version: &str| {
        json!({
            "DeliveryStreamName": "clicks", "CurrentDeliveryStreamVersionId": version, "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": { "CompressionFormat": "GZIP" },
        })
    };
    done(&server, "UpdateDestination", update("1")).await;
    let (kind, message) = refused(&server, "UpdateDestination", update("1")).await;
    assert_eq!(kind, "ConcurrentModificationException", "{message}");
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(
        objects(&store, "clicks/a/"),
        ["{\"c\":{\"id\":\"a\"},\"n\":1}{\"c\":{\"id\":\"a\"},\"n\":3}"]
    );
    assert_eq!(objects(&store, "clicks/b/"), ["{\"c\":{\"id\":\"b\"},\"n\":2}"]);
    assert_eq!(objects(&store, "errors/processing-failed/").len(), 1);

    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let described = done(&server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": "clicks" })).await;
    let described = &described["DeliveryStreamDescription"];
    assert_eq!(
        (&described["VersionId"], &described["DeliveryStreamStatus"]),
        (&json!("2"), &json!("ACTIVE"))
    );
    let shown = &described["Destinations"][0]["ExtendedS3DestinationDescription"];
    for (member, given) in destination().as_object().unwrap() {
        assert_eq!(&shown[member], given, "{member}");
    }
    assert_eq!(shown["CompressionFormat"], "GZIP");
    let tags = done(&server, "ListTagsForDeliveryStream", json!({ "DeliveryStreamName": "clicks" })).await;
    assert_eq!(tags["Tags"], json!([{ "Key": "k", "Value": "v" }]));
    done(&server, "PutRecord", put.clone()).await;
    let delete = json!({ "DeliveryStreamName": "clicks", "AllowForceDelete": true });
    done(&server, "DeleteDeliveryStream", delete).await;
    for operation in ["DescribeDeliveryStream", "PutRecord"] {
        let (kind, message) = refused(&server, operation, put.clone()).await;
        assert_eq!(kind, "ResourceNotFoundException");
        assert_eq!(message, "Firehose clicks under account 000000000000 not found.");
    }
    // The same name once more: nothing is left of what it was.
    let create =
        json!({ "DeliveryStreamName": "clicks", "ExtendedS3DestinationConfiguration": destination() });
    done(&server, "CreateDeliveryStream", create).await;
    let again = json!({ "DeliveryStreamName": "clicks", "Record": data("{\"c\":{\"id\":\"again\"}}") });
    done(&server, "PutRecord", again).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(objects(&store, "clicks/again/"), ["{\"c\":{\"id\":\"again\"}}"]);
    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let delete = json!({ "DeliveryStreamName": "clicks", "AllowForceDelete": true });
    done(&server, "DeleteDeliveryStream", delete).await;
    let stopped = server.stop();
    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let names = done(&server, "ListDeliveryStreams", json!({})).await;
    assert_eq!(names["DeliveryStreamNames"], json!(["orders"]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nothing_delivers_is_no_delivery_stream_and_one_may_have_its_name() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let made = json!({ "StreamName": "clicks", "ShardCount": 1 });
    assert_eq!(call(&server, "Kinesis_20131202.CreateStream", made).await.0, 200);
    // What another delivery stream reads is not delivered under its own name.
    let tapped = json!({
        "DeliveryStreamName": "reader", "DeliveryStreamType": "KinesisStreamAsSource",
        "KinesisStreamSourceConfiguration": {
            "KinesisStreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        },
        "ExtendedS3DestinationConfiguration": plain("reader/", &json!({})),
    });
    done(&server, "CreateDeliveryStream", tapped).await;
    // One of a client of Kinesis, and one of a file without deliveries.
    for name in ["clicks", "other"] {
        let (record, absent) = (data("{\"c\":{\"id\":\"lost\"}}"), format!("Firehose {name} under account"));
        for (operation, body) in [
            ("PutRecord", json!({ "DeliveryStreamName": name, "Record": record })),
            ("PutRecordBatch", json!({ "DeliveryStreamName": name, "Records": [record] })),
            ("DescribeDeliveryStream", json!({ "DeliveryStreamName": name })),
        ] {
            let (kind, message) = refused(&server, operation, body).await;
            assert_eq!(kind, "ResourceNotFoundException", "{operation} {name}");
            assert!(message.starts_with(&absent), "{message}");
        }
    }
    done(&server, "DeleteDeliveryStream", json!({ "DeliveryStreamName": "reader" })).await;
    let names = done(&server, "ListDeliveryStreams", json!({})).await;
    assert_eq!(names["DeliveryStreamNames"], json!(["orders"]));
    let name = json!({ "DeliveryStreamName": "clicks" });
    assert_eq!(refused(&server, "DescribeDeliveryStream", name.clone()).await.0, "ResourceNotFoundException");
    let create =
        json!({ "DeliveryStreamName": "clicks", "ExtendedS3DestinationConfiguration": destination() });
    done(&server, "CreateDeliveryStream", create).await;
    let put = json!({ "DeliveryStreamName": "clicks", "Record": data("{\"c\":{\"id\":\"a\"}}") });
    done(&server, "PutRecord", put).await;
    let described = done(&server, "DescribeDeliveryStream", name).await;
    assert_eq!(described["DeliveryStreamDescription"]["DeliveryStreamStatus"], "ACTIVE");
    server.stop().assert_drained();
    assert_eq!(objects(&store, "clicks/a/"), ["{\"c\":{\"id\":\"a\"}}"]);
}

#[test]
fn boto3_calls_every_operation_of_firehose() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(ACCESS_KEY).start();
    let Some(output) = run(&server, "firehose.py", &[]) else { return };
    operations::check_firehose(&output);
    server.stop().assert_drained();
    assert_eq!(values(&store, "py/data/"), 501);
}

#[test]
fn each_member_of_a_destination_is_kept_or_refused_by_its_name() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let Some(output) = run(&server, "firehose_members.py", &[]) else { return };
    println!("{output}");
    server.stop().assert_drained();
}

#[test]
fn the_aws_cli_calls_every_operation_of_firehose() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(ACCESS_KEY).start();
    let Some(output) = run(&server, "cli_firehose.py", &[]) else { return };
    operations::check_firehose(&output);
    server.stop().assert_drained();
    assert_eq!(values(&store, "cli/data/"), 10);
}

#[test]
fn the_javascript_sdk_calls_every_operation_of_firehose() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(ACCESS_KEY).start();
    let Some(output) = javascript::run(&server, "firehose.mjs", &[]) else { return };
    operations::check_firehose(&output);
    server.stop().assert_drained();
    assert_eq!(values(&store, "js/data/"), 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_delivery_stream_goes_by_itself_once_its_records_are_delivered() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let hints = json!({ "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 0 } });
    let create = json!({
        "DeliveryStreamName": "brief",
        "ExtendedS3DestinationConfiguration": plain("brief/", &hints),
    });
    done(&server, "CreateDeliveryStream", create).await;
    let listed = done(&server, "Kinesis_20131202.ListStreams", json!({})).await;
    assert_eq!(listed["StreamNames"], json!(["orders", "other"]), "its stream is no stream of Kinesis");
    let put = json!({ "DeliveryStreamName": "brief", "Record": data(b"last words") });
    done(&server, "PutRecord", put).await;
    let name = json!({ "DeliveryStreamName": "brief" });
    done(&server, "DeleteDeliveryStream", name.clone()).await;
    let began = std::time::Instant::now();
    while call(&server, "DescribeDeliveryStream", name.clone()).await.0 == 200 {
        assert!(began.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(refused(&server, "DescribeDeliveryStream", name).await.0, "ResourceNotFoundException");
    assert_eq!(bytes(&store, "brief/"), b"last words");
    server.stop().assert_drained();
}

/// The bytes of all objects below a prefix, in the order of their names.
fn bytes(store: &FaultyStore, below: &str) -> Vec<u8> {
    let objects = store.objects().into_iter().filter(|(key, _)| key.contains(below));
    objects.flat_map(|(_, object)| object.bytes.to_vec()).collect()
}

/// A destination without anything that looks into records.
fn plain(prefix: &str, more: &Value) -> Value {
    let mut destination = json!({
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "Prefix": prefix,
        "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 900 },
    });
    destination.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    destination
}

const NO_JSON: [&[u8]; 5] = [b"{\"a\":1}\n", b"no json\r\n\n", b"\xff\x00\xfe", b"  ", b"{\"a\":"];

/// What the Kinesis Producer Library makes of two records, whose bytes are `12\xff`.
fn aggregated() -> Vec<u8> {
    aggregate(&[UserRecord::new("k", "12"), UserRecord::new("k", b"\xff")])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_put_is_stored_byte_for_byte_with_its_backup() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let line_feeds = json!({
        "FileExtension": ".log",
        "ProcessingConfiguration": { "Enabled": true, "Processors": [{ "Type": "AppendDelimiterToRecord" }] },
        "S3BackupMode": "Enabled",
        "S3BackupConfiguration": plain("backup/", &json!({})),
    });
    for (name, destination) in [("none", plain("none/", &json!({}))), ("lines", plain("lines/", &line_feeds))]
    {
        let create = json!({ "DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": destination });
        done(&server, "CreateDeliveryStream", create).await;
        let records: Vec<Value> = NO_JSON.iter().map(data).chain([data(aggregated())]).collect();
        let reply =
            done(&server, "PutRecordBatch", json!({ "DeliveryStreamName": name, "Records": records })).await;
        assert_eq!(reply["FailedPutCount"], 0, "{reply}");
    }
    server.stop().assert_drained();
    let mut records = NO_JSON.map(<[u8]>::to_vec).to_vec();
    records.push(aggregated());
    let with =
        |behind: &[u8]| records.iter().flat_map(|record| [record, behind].concat()).collect::<Vec<u8>>();
    assert_eq!(bytes(&store, "none/"), with(b""));
    assert_eq!(bytes(&store, "lines/"), with(b"\n"));
    assert_eq!(bytes(&store, "backup/"), with(b""));
    let names: Vec<String> = store.objects().into_keys().collect();
    let ending =
        |below: &str| names.iter().find(|name| name.contains(below)).unwrap().rsplit_once('.').unwrap().1;
    assert_eq!((ending("none/"), ending("lines/"), ending("backup/")), ("raw", "log", "raw"));
    assert!(!names.iter().any(|name| name.contains("failed")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_client_can_be_a_source_and_stays_for_as_long_as_it_is_one() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    let kinesis = |operation: &str| format!("Kinesis_20131202.{operation}");
    let stream = json!({ "StreamName": "made" });
    done(&server, &kinesis("CreateStream"), json!({ "StreamName": "made", "ShardCount": 1 })).await;
    let create = json!({
        "DeliveryStreamName": "reader",
        "DeliveryStreamType": "KinesisStreamAsSource",
        "KinesisStreamSourceConfiguration": {
            "KinesisStreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/made",
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        },
        "ExtendedS3DestinationConfiguration": plain("made/", &json!({})),
    });
    let mut learned = create.clone();
    learned["ExtendedS3DestinationConfiguration"] = plain(
        "made/",
        &json!({
            "BufferingHints": { "SizeInMBs": 64, "IntervalInSeconds": 900 },
            "DataFormatConversionConfiguration": {
                "Enabled": true,
                "SchemaConfiguration": { "RoleARN": "arn:aws:iam::000000000000:role/r", "DatabaseName": "lake", "TableName": "learned" },
                "InputFormatConfiguration": { "Deserializer": { "OpenXJsonSerDe": {} } },
                "OutputFormatConfiguration": { "Serializer": { "ParquetSerDe": {} } },
            },
        }),
    );
    let (_, message) = refused(&server, "CreateDeliveryStream", learned).await;
    assert!(message.contains("cannot be learned from stream 'made'"), "{message}");
    done(&server, "CreateDeliveryStream", create).await;
    let put =
        |record: &[u8]| json!({ "StreamName": "made", "PartitionKey": "k", "Data": STANDARD.encode(record) });
    done(&server, &kinesis("PutRecord"), put(NO_JSON[0])).await;
    let (kind, message) = refused(&server, &kinesis("DeleteStream"), stream.clone()).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(message, "Stream made is the source of the delivery streams reader: delete them before it.");
    let folder = server.kill();

    let server = setup(&store).node(UNSIGNED).in_folder(folder).start();
    let described = done(&server, "DescribeDeliveryStream", json!({ "DeliveryStreamName": "reader" })).await;
    assert_eq!(described["DeliveryStreamDescription"]["DeliveryStreamStatus"], "ACTIVE");
    for record in &NO_JSON[1..] {
        done(&server, &kinesis("PutRecord"), put(record)).await;
    }
    done(&server, &kinesis("PutRecord"), put(&aggregated())).await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(bytes(&store, "made/"), [&NO_JSON.concat(), &b"12\xff"[..]].concat());

    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    done(&server, "DeleteDeliveryStream", json!({ "DeliveryStreamName": "reader" })).await;
    done(&server, &kinesis("DeleteStream"), stream.clone()).await;
    let stopped = server.stop();
    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let (kind, _) = refused(&server, &kinesis("DescribeStreamSummary"), stream).await;
    assert_eq!(kind, "ResourceNotFoundException");
    server.stop();
}
