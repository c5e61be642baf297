//! Kinesis Data Streams.

use minicbor::{Decoder, Encoder};

use super::{UNSIGNED, expired, operations, run_in};
use crate::server::{Setup, durable_stream, stream};

const SCHEMA: &str = "[ingest]\nschema = \"number.schema.json\"\n";

fn setup() -> Setup {
    Setup::pipeline(durable_stream("clicks", 4, "os"))
        .and_pipeline("strict", format!("{}{SCHEMA}", stream("strict", 1)))
        .file("number.schema.json", r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#)
        .and_pipeline("other", stream("other", 1))
}

async fn call_every_operation(encoding: &str) {
    let (server, iterator) = expired::start(setup, "clicks").await;
    let iterator = iterator.as_deref();
    let Some(data) = run_in(&server, "kinesis.py", iterator.as_slice(), encoding) else { return };
    let control = run_in(&server, "kinesis_control.py", &[], encoding).unwrap();
    operations::check_kinesis(&[&data, &control], &[]);
    server.stop();
}

#[tokio::test]
async fn boto3_calls_every_operation_of_kinesis() {
    call_every_operation("json").await;
}

#[tokio::test]
async fn boto3_calls_every_operation_of_kinesis_in_cbor() {
    call_every_operation("cbor").await;
}

/// As the SDKs for Java send it.
async fn cbor(server: &crate::server::Server, operation: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-cbor-1.1")
        .body(body);
    let response = request.send().await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media_type, response.bytes().await.unwrap().to_vec())
}

/// The value of a text member anywhere in a reply.
fn text_of(body: &[u8], name: &str) -> String {
    let mut decoder = Decoder::new(body);
    let mut is_next = false;
    for token in decoder.tokens() {
        if let minicbor::data::Token::String(text) = token.unwrap() {
            if is_next {
                return text.to_owned();
            }
            is_next = text == name;
        }
    }
    panic!("no {name} in {body:?}")
}

#[tokio::test]
async fn cbor_is_answered_in_cbor() {
    let server = setup().node(UNSIGNED).start();
    let mut put = Encoder::new(Vec::new());
    put.begin_map().unwrap().str("StreamName").unwrap().str("other").unwrap();
    put.str("PartitionKey")
        .unwrap()
        .str("k")
        .unwrap()
        .str("Data")
        .unwrap()
        .bytes(b"{\"a\":1}")
        .unwrap()
        .end()
        .unwrap();
    let (status, media_type, body) = cbor(&server, "PutRecord", put.into_writer()).await;
    assert_eq!((status, media_type.as_str()), (200, "application/x-amz-cbor-1.1"));
    let number = text_of(&body, "SequenceNumber");

    let mut find = Encoder::new(Vec::new());
    find.map(4).unwrap().str("StreamName").unwrap().str("other").unwrap();
    find.str("ShardId").unwrap().str("shardId-000000000000").unwrap();
    find.str("ShardIteratorType").unwrap().str("AT_TIMESTAMP").unwrap();
    // The first of 2020, in tagged milliseconds.
    find.str("Timestamp").unwrap().tag(minicbor::data::Tag::new(1)).unwrap().u64(1_577_836_800_000).unwrap();
    let (status, _, body) = cbor(&server, "GetShardIterator", find.into_writer()).await;
    assert_eq!(status, 200, "{body:?}");
    let mut get = Encoder::new(Vec::new());
    get.map(1).unwrap().str("ShardIterator").unwrap().str(&text_of(&body, "ShardIterator")).unwrap();
    let (status, _, body) = cbor(&server, "GetRecords", get.into_writer()).await;
    assert_eq!((status, text_of(&body, "SequenceNumber")), (200, number));
    assert!(body.windows(8).any(|window| window == b"G{\"a\":1}"), "data is bytes of length seven: {body:?}");

    for bomb in [vec![0x9f; 100_000], b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec()] {
        let (status, _, body) = cbor(&server, "PutRecords", bomb).await;
        assert_eq!((status, text_of(&body, "__type").as_str()), (400, "SerializationException"));
    }
    server.stop();
}

#[tokio::test]
async fn what_is_no_operation_is_refused_in_its_encoding() {
    let server = setup().node(UNSIGNED).start();
    let client = reqwest::Client::new();
    let post = |target: &'static str, media_type: &'static str, body: &'static str| {
        let request = client.post(format!("http://{}/", server.address)).header("x-amz-target", target);
        let request = request.header("content-type", media_type).body(body);
        async move {
            let response = request.send().await.unwrap();
            let kind =
                response.headers().get("x-amzn-errortype").map(|kind| kind.to_str().unwrap().to_owned());
            (response.status().as_u16(), kind.unwrap_or_default())
        }
    };
    const JSON: &str = "application/x-amz-json-1.1";
    let unknown = (400, "UnknownOperationException".to_owned());
    assert_eq!(post("Kinesis_20131202.Nothing", JSON, "{}").await, unknown);
    assert_eq!(post("DynamoDB_20120810.GetItem", JSON, "{}").await, unknown);
    assert_eq!(post("Kinesis_20131202.ListStreams", "text/html", "{}").await, unknown);
    let shape = (400, "SerializationException".to_owned());
    assert_eq!(post("Kinesis_20131202.ListStreams", JSON, "{\"Limit\":\"1\"}").await, shape);
    assert_eq!(post("Kinesis_20131202.ListStreams", JSON, "{").await, shape);
    assert_eq!(post("Kinesis_20131202.ListStreams", JSON, "").await, (200, String::new()));
    let labels = "route=\"kinesis_list_streams\"";
    assert!(server.metric("forebay_http_requests_total", labels).await >= 3.0);
    server.stop();
}

/// Sends members as JSON over HTTP/2 without TLS, as the JavaScript SDK does.
async fn json_over_http2(
    server: &crate::server::Server,
    operation: &str,
    members: serde_json::Value,
) -> reqwest::Response {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(members.to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    response
}

/// Reads pieces of a body until one of its messages has `text`.
async fn until(response: &mut reqwest::Response, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let piece = tokio::time::timeout(crate::server::PATIENCE, response.chunk()).await;
        read.extend_from_slice(&piece.unwrap().unwrap().expect("the subscription goes on"));
    }
}

// Of several threads: connections go on while the server stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_over_http2_brings_records_as_they_come() {
    let server = setup().node(UNSIGNED).start();
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/other";
    let members = serde_json::json!({"StreamARN": arn, "ConsumerName": "reader"});
    let registered = json_over_http2(&server, "RegisterStreamConsumer", members).await;
    assert_eq!(registered.status(), 200);
    let registered: serde_json::Value = serde_json::from_slice(&registered.bytes().await.unwrap()).unwrap();
    let subscribe = serde_json::json!({
        "ConsumerARN": registered["Consumer"]["ConsumerARN"],
        "ShardId": "shardId-000000000000",
        "StartingPosition": {"Type": "LATEST"},
    });
    let mut subscription = json_over_http2(&server, "SubscribeToShard", subscribe).await;
    assert_eq!(subscription.headers()["content-type"], "application/vnd.amazon.eventstream");
    until(&mut subscription, "\"MillisBehindLatest\":0").await;
    for n in 0..3 {
        let data = format!("eyJuIjo{}fQ==", ["w", "x", "y"][n]);
        let put = serde_json::json!({"StreamARN": arn, "PartitionKey": "k", "Data": data});
        assert_eq!(json_over_http2(&server, "PutRecord", put).await.status(), 200);
        until(&mut subscription, &data).await;
    }
    // An open subscription does not hold up the end of the server.
    server.stop();
}
