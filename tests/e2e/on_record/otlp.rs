//! Traces and metrics for a collector.

use std::path::Path;
use std::process::{Command, Stdio};

use forebay::testkit::skip::skipped;
use serde_json::{Value, json};

use super::collector::Collector;
use super::until;
use crate::lake;
use crate::server::{Setup, stream};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn node(collector: &Collector, more: &str) -> String {
    let address = collector.address;
    let headers = "headers = { x-collector-token = \"collector-secret\" }";
    format!("telemetry = {{ otlp = {{ endpoint = \"http://{address}/base/\", {headers}, {more} }} }}")
}

fn attribute(span: &Value, key: &str) -> Option<Value> {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key)?;
    let value = found["value"].as_object().unwrap();
    value.values().next().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_steps_of_traces_and_metrics() {
    let collector = Collector::start().await;
    // The first request is asked for again.
    collector.refuses(503, "0");
    let lake = "[[delivery]]\nname = \"lake\"\nbuffer = { interval = \"1s\" }\n";
    let setup = Setup::pipeline(stream("s", 1) + lake);
    let server = setup.node(&node(&collector, "traces_sample = 1.0, metrics_interval = \"1s\"")).start();
    let client = reqwest::Client::new();
    let post = |flags: &str| {
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        let request =
            client.post(server.records("s")).header("content-type", "application/json").body("{\"n\":1}");
        request.header("traceparent", parent).header("tracestate", "vendor=1").header("user-agent", "tests/1")
    };
    assert_eq!(post("01").send().await.unwrap().status(), 200);
    // Whoever has begun this one does not record it.
    assert_eq!(post("00").send().await.unwrap().status(), 200);
    server.get("/v1/streams/t").await;
    server.until("forebay_delivery_delivered_records_total", "", |delivered| delivered == 2.0).await;
    let points = until("metrics are not told", || {
        let points = collector.points("forebay_ingest_records_total", "sum")?;
        points.into_iter().find(|point| point["asDouble"] == 2.0)
    })
    .await;
    assert!(
        points["attributes"]
            .as_array()
            .unwrap()
            .contains(&json!({ "key": "stream", "value": { "stringValue": "s" } }))
    );
    server.stop().assert_drained();

    let spans = collector.spans();
    let of = |name: &str| -> Vec<&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    let posts = of("POST /v1/streams/{stream}/records");
    assert_eq!(posts.len(), 1, "{spans:?}");
    let span = posts[0];
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)));
    assert_eq!((&span["kind"], &span["traceState"]), (&json!(2), &json!("vendor=1")));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/streams/{stream}/records"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/streams/s/records"),
        ("url.scheme", "http"),
        ("client.address", "127.0.0.1"),
        ("user_agent.original", "tests/1"),
        ("network.protocol.version", "1.1"),
        ("forebay.stream", "s"),
    ] {
        assert_eq!(attribute(span, key), Some(json!(value)), "{key}");
    }
    let appends = of("append");
    assert_eq!((appends.len(), &appends[0]["parentSpanId"]), (1, &span["spanId"]));
    assert_eq!(
        (&appends[0]["traceId"], attribute(appends[0], "forebay.records")),
        (&json!(TRACE), Some(json!("1")))
    );
    let nano = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nano(span, "startTimeUnixNano") <= nano(appends[0], "startTimeUnixNano"));
    assert!(nano(appends[0], "endTimeUnixNano") <= nano(span, "endTimeUnixNano"));
    let unknown = of("GET /v1/streams/{stream}");
    assert_eq!((unknown.len(), &unknown[0]["parentSpanId"]), (1, &Value::Null), "a trace that begins here");
    assert_ne!(unknown[0]["traceId"], TRACE);
    let uploads = of("upload");
    assert!(
        uploads.iter().any(|upload| attribute(upload, "forebay.delivery") == Some(json!("lake"))),
        "{spans:?}"
    );
    assert!(collector.seen() > collector.sent().len(), "one was refused and came again");
    judged(&collector);
}

/// Has all bodies judged by the messages of the specification.
fn judged(collector: &Collector) {
    let Some(python) = lake::python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/check_otlp.py");
    let text: String = collector.sent().iter().map(|(path, body)| format!("{path} {body}\n")).collect();
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(77) => skipped("FOREBAY_PYTHON has no opentelemetry-proto (tests/requirements.txt names it)"),
        code => assert_eq!(code, Some(0), "{said}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_nothing_keeps_nobody_waiting_and_what_is_lost_is_counted() {
    let collector = Collector::start().await;
    for _ in 0..100 {
        collector.refuses(400, "0");
    }
    let server = Setup::pipeline(stream("s", 1))
        .node(&node(&collector, "traces_sample = 1.0, metrics_interval = \"0s\""))
        .start();
    let client = reqwest::Client::new();
    for _ in 0..600 {
        let request = client.get(format!("http://{}/v1/streams", server.address));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    server
        .until("forebay_otlp_dropped_total", "signal=\"spans\",why=\"refused\"", |dropped| dropped >= 512.0)
        .await;
    assert_eq!(server.metric("forebay_otlp_sent_total", "").await, 0.0);
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(stopped.stderr.matches("takes nothing").count(), 1, "{}", stopped.stderr);
    // One that is not there at all does not keep the process from ending.
    let gone = "telemetry = { otlp = { endpoint = \"http://127.0.0.1:1\", traces_sample = 1 } }";
    let server = Setup::pipeline(stream("s", 1)).node(gone).start();
    server.accept("s", "{\"n\":1}").await;
    server.stop().assert_drained();
}
