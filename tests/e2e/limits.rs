//! Limits and quotas of whole processes: what clients are told is true, and what was used outlives the process.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::Value;

use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};
use crate::websocket::Client;

const KEY: &str = "0123456789abcdef";

fn lines(count: usize) -> String {
    "{\"n\":1}\n".repeat(count)
}

/// A node that knows one API key.
fn with_key(pipeline: String, settings: &str) -> Setup {
    let auth = "[auth]\ningest = [\"api_key\"]\ntap = [\"api_key\"]\n";
    let key = format!("[[api_key]]\nname = \"mobile\"\nkey = \"{KEY}\"\nallow = [\"*:*\"]\n{settings}");
    Setup::pipeline(pipeline).node(&format!("{auth}{key}"))
}

async fn send(server: &Server, records: usize) -> Response {
    let request = reqwest::Client::new().post(server.records("s")).header("x-api-key", KEY);
    request.header("content-type", "application/x-ndjson").body(lines(records)).send().await.unwrap()
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

/// Sends until there is too much, however slow this machine is.
async fn refused(mut send: impl AsyncFnMut() -> Response) -> Response {
    let started = Instant::now();
    loop {
        let response = send().await;
        if response.status() == 429 {
            return response;
        }
        assert_eq!(response.status(), 200);
        assert!(started.elapsed() < PATIENCE, "nothing is ever too much");
    }
}

#[tokio::test]
async fn after_the_time_that_is_told_the_same_is_let_in() {
    let limit = "limit = { records_per_second = 4, burst = 8 }\n";
    let server = with_key(stream("s", 1), limit).start();
    // More than the burst: a full bucket takes any single request.
    let response = refused(async || send(&server, 20).await).await;
    let policy = "\"principal.records_per_second\";q=4;qu=\"records\";w=1;forebay-burst=8";
    assert_eq!(header(&response, "ratelimit-policy"), policy);
    let wait: u64 = header(&response, "retry-after").parse().unwrap();
    let field = format!("\"principal.records_per_second\";r=0;t={wait}");
    assert_eq!(header(&response, "ratelimit"), field);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let problem: Value = json(response).await;
    assert_eq!(problem["code"], "rate_limited");
    assert_eq!(problem["limit"], "principal mobile: records_per_second");
    assert_eq!(problem["violated-policies"], serde_json::json!(["principal.records_per_second"]));
    assert_eq!(problem["retry_after"], wait);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(send(&server, 20).await.status(), 200);
    assert!(server.metric("forebay_throttled_total", "limit=\"principal\"").await >= 1.0);
    assert!(server.metric("forebay_ingest_refused_requests_total", "rate_limited").await >= 1.0);
}

/// Waits until the node's folder has this.
async fn kept(server: &Server, wanted: &str) {
    let (file, started) = (server.folder().join("data/usage.json"), Instant::now());
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains(wanted)) {
        assert!(started.elapsed() < PATIENCE, "{wanted} is never kept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_quota_goes_on_after_a_restart_and_after_a_kill() {
    let quota = "quota = { records = 10, period = \"month\" }\n";
    let setup = || with_key(durable_stream("s", 1, "os"), quota);
    let server = setup().start();
    assert_eq!(send(&server, 6).await.status(), 200);
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();

    let server = setup().in_folder(stopped.folder).start();
    assert_eq!(server.metric("forebay_quota_used_records", "principal=\"mobile\"").await, 6.0);
    let response = send(&server, 5).await;
    assert_eq!(response.status(), 429, "five are more than are left");
    let wait: u64 = header(&response, "retry-after").parse().unwrap();
    assert!(wait <= 31 * 24 * 60 * 60, "{wait}");
    let problem: Value = json(response).await;
    assert_eq!(
        (&problem["code"], &problem["limit"]),
        (&"usage_quota_exceeded".into(), &"principal mobile: quota.records".into())
    );
    assert_eq!(send(&server, 3).await.status(), 200);
    kept(&server, "\"records\": 9").await;
    let folder = server.kill();

    let server = setup().in_folder(folder).start();
    assert_eq!(send(&server, 2).await.status(), 429);
    assert_eq!(send(&server, 1).await.status(), 200);
    assert_eq!(send(&server, 1).await.status(), 429);
    assert_eq!(server.metric("forebay_quota_used_records", "").await, 10.0);
    assert!(server.metric("forebay_throttled_total", "limit=\"quota\"").await >= 2.0);
}

#[tokio::test]
async fn a_quota_needs_no_durable_stream_and_counts_nothing_that_is_refused() {
    let setup = || with_key(stream("s", 1), "quota = { records = 4, bytes = \"1MiB\", period = \"day\" }\n");
    let server = setup().start();
    let wrong = reqwest::Client::new().post(server.records("s")).header("x-api-key", KEY);
    let wrong = wrong.header("content-type", "application/x-ndjson").body("no json\n{\"n\":1}\n");
    let reply: Value = json(wrong.send().await.unwrap()).await;
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&1.into(), &1.into()));
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let server = setup().in_folder(stopped.folder).start();
    assert_eq!(send(&server, 4).await.status(), 429);
    assert_eq!(send(&server, 3).await.status(), 200);
}

#[tokio::test]
async fn readers_owe_what_they_were_given() {
    let limits = "limit = { tap = { records_per_second = 1 } }\n";
    let server = Setup::pipeline(stream("s", 1) + "[ingest]\n" + limits).start();
    server.accept("s", lines(500)).await;
    let page = || reqwest::get(format!("{}?from=earliest", server.records("s")));
    let response = refused(async || page().await.unwrap()).await;
    let problem: Value = json(response).await;
    assert_eq!(problem["limit"], "stream s: tap.records_per_second");
    assert!(problem["retry_after"].as_u64().is_some_and(|wait| wait > 100), "{problem}");
    server.accept("s", lines(1)).await;
}

#[tokio::test]
async fn a_message_that_is_wrong_costs_what_a_wrong_body_does() {
    let server =
        Setup::pipeline(stream("s", 1) + "[ingest]\nlimit = { bytes_per_second = \"1B\" }\n").start();
    let mut client = Client::open(&server, "from=none").await;
    // Paid for after a quarter of an hour.
    let nonsense = "x".repeat(1_000);
    for code in ["json", "rate_limited", "rate_limited"] {
        client.send(nonsense.clone()).await;
        let ack = client.next().await.unwrap();
        assert_eq!(ack["error"]["code"], code, "{ack}");
    }
}

#[tokio::test]
async fn a_client_address_and_everybody_are_limited_before_the_body_is_read() {
    let limits = "[limits]\nclient_address = { bytes_per_second = \"100B\", burst_bytes = \"50B\" }\n";
    let server = Setup::pipeline(stream("s", 1)).node(limits).start();
    let send = async || {
        let request = reqwest::Client::new().post(server.records("s"));
        request.header("content-type", "application/x-ndjson").body(lines(1_000)).send().await.unwrap()
    };
    let response = refused(send).await;
    let problem: Value = json(response).await;
    assert_eq!(problem["limit"], "client address: bytes_per_second");
    assert!(server.metric("forebay_throttled_total", "limit=\"client_address\"").await >= 1.0);
    // Reading has a limit of its own.
    assert_eq!(server.get("/v1/streams").await.0, 200);
}

#[tokio::test]
async fn clients_of_kinesis_get_the_error_that_they_wait_for() {
    let limit = "[ingest]\nlimit = { records_per_second = 1 }\n";
    let server = Setup::pipeline(stream("s", 1) + limit).node("[aws]\nsignature = \"off\"\n").start();
    let record = "{\"Data\":\"e30=\",\"PartitionKey\":\"k\"}";
    let body = format!("{{\"StreamName\":\"s\",\"Records\":[{}]}}", vec![record; 100].join(","));
    let put = async || {
        let request = reqwest::Client::new().post(format!("http://{}/", server.address));
        let request = request.header("x-amz-target", "Kinesis_20131202.PutRecords");
        request.header("content-type", "application/x-amz-json-1.1").body(body.clone()).send().await.unwrap()
    };
    let started = Instant::now();
    let refused = loop {
        let response = put().await;
        if response.status() != 200 {
            break response;
        }
        assert!(started.elapsed() < PATIENCE);
    };
    assert_eq!(refused.status(), 400);
    let failure: Value = json(refused).await;
    assert_eq!(failure["__type"], "ProvisionedThroughputExceededException", "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("stream s: records_per_second"), "{failure}");
}
