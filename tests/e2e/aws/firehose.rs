//! Amazon Data Firehose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::faulty_store::{FaultyStore, StoredObject};
use serde_json::{Value, json};

use super::{ACCESS_KEY, UNSIGNED, run};
use crate::server::{Server, Setup, durable_stream, stream};

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
    .node("aws.table = [{ database = \"lake\", name = \"clicks\", columns = [{ name = \"id\", type = \"int64\" }] }]")
}

/// The status, and the body.
pub(super) async fn call(server: &Server, operation: &str, body: Value) -> (u16, Value) {
    let response = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Firehose_20150804.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
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

fn data(text: &str) -> Value {
    json!({ "Data": STANDARD.encode(text) })
}

fn objects(store: &FaultyStore, below: &str) -> Vec<String> {
    let objects = store.objects().into_iter().filter(|(key, _)| key.contains(below));
    let text = |(key, object): (String, StoredObject)| match key.ends_with(".gz") {
        true => std::io::read_to_string(flate2::read::MultiGzDecoder::new(&*object.bytes)).unwrap(),
        false => String::from_utf8_lossy(&object.bytes).into_owned(),
    };
    objects.map(text).collect()
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

    let names = done(&server, "ListDeliveryStreams", json!({ "Limit": 2 })).await;
    assert_eq!(names, json!({ "DeliveryStreamNames": ["clicks", "orders"], "HasMoreDeliveryStreams": true }));
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
        ["{\"c\":{\"id\":\"a\"},\"n\":1}\n{\"c\":{\"id\":\"a\"},\"n\":3}\n"]
    );
    assert_eq!(objects(&store, "clicks/b/"), ["{\"c\":{\"id\":\"b\"},\"n\":2}\n"]);
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
    assert_eq!(objects(&store, "clicks/again/"), ["{\"c\":{\"id\":\"again\"}}\n"]);
    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let delete = json!({ "DeliveryStreamName": "clicks", "AllowForceDelete": true });
    done(&server, "DeleteDeliveryStream", delete).await;
    let stopped = server.stop();
    let server = setup(&store).node(UNSIGNED).in_folder(stopped.folder).start();
    let names = done(&server, "ListDeliveryStreams", json!({})).await;
    assert_eq!(names["DeliveryStreamNames"], json!(["orders", "other"]));
    server.stop();
}

#[test]
fn boto3_makes_fills_and_deletes_delivery_streams() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(ACCESS_KEY).start();
    if run(&server, "firehose.py", &[]).is_some() {
        server.stop().assert_drained();
        assert_eq!(objects(&store, "py/data/").len(), 1);
    }
}
