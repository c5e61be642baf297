//! Kinesis' quotas of a shard. What is owed here takes a minute to pay: more than a test takes.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{ACCESS_KEY, UNSIGNED, run};
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

const QUOTAS: &str = "quotas = \"kinesis\"\n";

/// MD5 puts `a` into the first of two shards and `b` into the second.
fn limited(name: &str, shards: u32) -> String {
    format!("{}{QUOTAS}[ingest]\npartition_key = \"query:key\"\n", stream(name, shards))
}

/// As many records as a request may have: a hundred seconds of a shard's.
async fn exhaust(server: &Server, stream: &str, key: &str) {
    let body = "{}\n".repeat(100_000);
    let accepted = post(server, stream, key, body).await;
    assert_eq!(accepted.0, 200, "{accepted:?}");
}

/// The status, `Retry-After`, and the body.
async fn post(server: &Server, stream: &str, key: &str, body: String) -> (u16, Option<u64>, Value) {
    let request = reqwest::Client::new()
        .post(format!("{}?key={key}", server.records(stream)))
        .header("content-type", "application/x-ndjson")
        .body(body);
    let response = request.send().await.unwrap();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    let status = response.status().as_u16();
    (status, retry_after, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_shard_that_is_used_up_refuses_requests_and_says_for_how_long() {
    let server = Setup::pipeline(limited("s", 2)).and_pipeline("free", stream("free", 1)).start();
    exhaust(&server, "s", "a").await;
    let (status, retry_after, problem) = post(&server, "s", "a", "{\"n\":1}".to_owned()).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("quota_exceeded")), "{problem}");
    assert_eq!(problem["limit"], "write_records", "{problem}");
    assert_eq!(problem["retry_after"].as_u64(), retry_after);
    let seconds = retry_after.unwrap();
    assert!((1..=100).contains(&seconds), "{seconds}");
    // The other shard has its own, and a stream without quotas has none.
    assert_eq!(post(&server, "s", "b", "{\"n\":2}".to_owned()).await.0, 200);
    exhaust(&server, "free", "a").await;
    exhaust(&server, "free", "a").await;

    let url = format!("ws://{}/v1/streams/s/records?from=none", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text(r#"{"id":7,"records":{"n":3},"key":"a"}"#)).await.unwrap();
    let ack = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    let ack: Value = serde_json::from_str(ack.to_text().unwrap()).unwrap();
    assert_eq!((&ack["ack"], &ack["error"]["code"]), (&json!(7), &json!("quota_exceeded")), "{ack}");
    assert!(ack["error"]["retry_after"].as_u64().is_some_and(|seconds| (1..=100).contains(&seconds)));

    assert_eq!(server.metric("forebay_quota_throttled_records_total", "stream=\"s\"").await, 2.0);
    let writes = "stream=\"s\",operation=\"write\"";
    assert_eq!(server.metric("forebay_quota_throttled_requests_total", writes).await, 2.0);
    assert_eq!(server.metric("forebay_ingest_refused_requests_total", "code=\"quota_exceeded\"").await, 1.0);
    assert_eq!(
        server.metric("forebay_ingest_records_total", "stream=\"s\",verdict=\"accepted\"").await,
        100_001.0
    );
    server.stop();
}

/// A request of the Firehose API: status and body.
async fn firehose(server: &Server, operation: &str, body: Value) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Firehose_20150804.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(body.to_string());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn firehose_asks_its_clients_to_slow_down() {
    let delivered =
        format!("{}[[delivery]]\nname = \"d\"\nbuffer = {{ interval = \"1h\" }}\n", limited("s", 1));
    let server = Setup::pipeline(delivered).node(UNSIGNED).start();
    let record = json!({"Data": "eyJuIjoxfQ=="});
    let put = json!({"DeliveryStreamName": "s", "Record": record});
    assert_eq!(firehose(&server, "PutRecord", put.clone()).await.0, 200);
    // Nothing is left once the bucket was full: whatever is missing of it comes before the request does.
    loop {
        if post(&server, "s", "a", "{}\n".repeat(100_000)).await.0 == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let batch = json!({"DeliveryStreamName": "s", "Records": [record, record]});
    for (operation, body) in [("PutRecord", put), ("PutRecordBatch", batch)] {
        let (status, reply) = firehose(&server, operation, body).await;
        assert_eq!((status, &reply["__type"]), (503, &json!("ServiceUnavailableException")), "{reply}");
        assert_eq!(reply["message"], "Slow down.");
    }
    server.stop();
}

#[test]
fn boto3_is_throttled_as_by_the_service() {
    let server = Setup::pipeline(limited("limited", 2))
        .and_pipeline("durable", format!("{}{QUOTAS}", durable_stream("durable", 1, "fsync")))
        .node(&format!("{ACCESS_KEY}\naws.quotas = [\"rehearse-*\"]"))
        .start();
    if run(&server, "quotas.py", &[]).is_some() {
        server.stop();
    }
}
