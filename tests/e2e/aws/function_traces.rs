//! The trace of a request goes on in the call of the function that its records go through.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forebay::testkit::faulty_store::FaultyStore;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::UNSIGNED;
use super::firehose::{done, setup};
use crate::server::PATIENCE;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Answers that each record stays as it is, and keeps the headers of each call.
async fn function(seen: Arc<Mutex<Vec<HeaderMap>>>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
        }
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let kept =
        |record: &Value| json!({ "recordId": record["recordId"], "result": "Ok", "data": record["data"] });
    let records: Vec<_> = body["records"].as_array().unwrap().iter().map(kept).collect();
    seen.lock().unwrap().push(headers);
    Ok(Response::new(Full::from(json!({ "records": records }).to_string())))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_request_goes_on_in_the_call_of_the_function() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let (store, address) = (FaultyStore::start().unwrap(), function(Arc::clone(&seen)).await);
    let table = format!("function = [{{ name = \"same\", url = \"http://{address}/\" }}]");
    let server = setup(&store).node(UNSIGNED).node(&table).start();
    let parameter = |name: &str, value: &str| json!({ "ParameterName": name, "ParameterValue": value });
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:same";
    let parameters = [parameter("LambdaArn", arn), parameter("BufferIntervalInSeconds", "1")];
    let wanted = json!({ "DeliveryStreamName": "words", "ExtendedS3DestinationConfiguration": {
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 1 },
        "ProcessingConfiguration":
            { "Enabled": true, "Processors": [{ "Type": "Lambda", "Parameters": parameters }] },
    }});
    done(&server, "CreateDeliveryStream", wanted).await;
    let put = |traceparent: Option<String>| {
        let records = [json!({ "Data": STANDARD.encode("{\"id\":1}") })];
        let mut request = reqwest::Client::new()
            .post(format!("http://{}/", server.address))
            .header("x-amz-target", "Firehose_20150804.PutRecordBatch")
            .header("content-type", "application/x-amz-json-1.1")
            .body(json!({ "DeliveryStreamName": "words", "Records": records }).to_string());
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent).header("tracestate", "vendor=1");
        }
        request.send()
    };
    let calls = async |count: usize| {
        let started = Instant::now();
        while seen.lock().unwrap().len() < count {
            assert!(started.elapsed() < PATIENCE, "the function is not called");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        seen.lock().unwrap()[count - 1].clone()
    };
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(put(Some(parent.clone())).await.unwrap().status(), 200);
    let headers = calls(1).await;
    // Nothing is told to a collector here, so the step that has caused the call is the client's.
    assert_eq!(headers["traceparent"], parent);
    assert_eq!(headers["tracestate"], "vendor=1");
    assert_eq!(put(None).await.unwrap().status(), 200);
    let headers = calls(2).await;
    assert!(!headers.contains_key("traceparent"), "{headers:?}");
    // What has not come through by then does so after the next start.
    assert_eq!(server.stop().status.code(), Some(0));
}
