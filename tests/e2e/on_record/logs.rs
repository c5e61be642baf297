//! The access log, and ids of requests.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{lines, until};
use crate::server::{Server, Setup, stream};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Every member of a line.
const MEMBERS: [&str; 21] = [
    "time",
    "request_id",
    "trace_id",
    "client",
    "method",
    "path",
    "route",
    "stream",
    "status",
    "code",
    "bytes_in",
    "bytes_out",
    "records",
    "body_us",
    "append_us",
    "total_us",
    "principal",
    "identity",
    "tls",
    "http",
    "user_agent",
];

fn setup(log: &str) -> Setup {
    Setup::pipeline(stream("s", 1)).node(log)
}

/// Sends a request; its status, its id as the answer tells it, and its body.
async fn send(request: reqwest::RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, id, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn every_request_is_a_line_with_all_that_is_known_of_it() {
    let log = "access_log = { path = \"logs/access.log\" }\naws = { signature = \"off\" }";
    let server = setup(log).start();
    let client = reqwest::Client::builder().user_agent("tests/1 \"quoted\"").build().unwrap();
    let url = server.records("s") + "?token=hush";
    let post = client.post(&url).header("content-type", "application/json").body("[{\"n\":1},{\"n\":2}]");
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let (_, posted, _) = send(post.header("traceparent", parent)).await;
    let (_, unknown, problem) = send(client.get(format!("http://{}/v1/streams/t", server.address))).await;
    assert_eq!((&problem["code"], &problem["request_id"]), (&json!("unknown_stream"), &json!(unknown)));
    let (_, refused, _) = send(client.post(&url).header("content-type", "text/html").body("{")).await;
    let put = json!({ "StreamName": "s", "Data": "e30=", "PartitionKey": "k" }).to_string();
    let put = client
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Kinesis_20131202.PutRecord")
        .header("content-type", "application/x-amz-json-1.1")
        .body(put);
    let response = put.send().await.unwrap();
    assert_eq!(response.headers()["x-amzn-requestid"], response.headers()["x-request-id"]);
    let put = response.headers()["x-request-id"].to_str().unwrap().to_owned();

    let path = server.folder().join("logs/access.log");
    server.stop().assert_drained_into(&path, |found| {
        assert_eq!(found.len(), 4);
        for line in found {
            let members: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, MEMBERS.into_iter().collect(), "{line}");
            assert_eq!(
                (&line["client"], &line["tls"], &line["http"]),
                (&json!("127.0.0.1"), &json!(false), &json!("1.1"))
            );
            assert_eq!(line["user_agent"], "tests/1 \"quoted\"");
            assert!(chrono(&line["time"]), "{line}");
        }
        let of = |id: &str| found.iter().find(|line| line["request_id"] == id).unwrap();
        let line = of(&posted);
        let facts =
            ["method", "path", "route", "stream", "status", "trace_id", "bytes_in", "records", "code"];
        assert_eq!(
            facts.map(|name| line[name].clone()),
            [
                json!("POST"),
                json!("/v1/streams/s/records"),
                json!("records"),
                json!("s"),
                json!(200),
                json!(TRACE),
                json!(17),
                json!(2),
                Value::Null
            ]
        );
        let micros = |name: &str| line[name].as_u64().unwrap();
        assert!(micros("body_us") + micros("append_us") <= micros("total_us"), "{line}");
        assert!(line["bytes_out"].as_u64().unwrap() > 80, "{line}");
        assert_eq!((&of(&unknown)["status"], &of(&unknown)["code"]), (&json!(404), &json!("unknown_stream")));
        assert_eq!(of(&refused)["code"], "unsupported_media_type");
        let line = of(&put);
        assert_eq!(
            ["route", "stream", "records"].map(|name| line[name].clone()),
            [json!("kinesis_put_record"), json!("s"), json!(1)]
        );
    });
}

/// Whether it has the form of RFC 3339 in UTC with microseconds.
fn chrono(time: &Value) -> bool {
    let text = time.as_str().unwrap_or_default();
    text.len() == "2026-11-22T06:00:00.000000Z".len() && text.ends_with('Z') && &text[10..11] == "T"
}

#[tokio::test]
async fn an_id_is_taken_from_those_who_are_believed_and_from_nobody_else() {
    let ask = async |server: &Server, headers: &[(&str, &str)]| {
        let mut request = reqwest::Client::new().get(format!("http://{}/v1/streams", server.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await.1
    };
    let made = |id: &str| id.len() == 36 && id.matches('-').count() == 4;
    for (lines, is_believed) in [
        ("", false),
        ("request_ids = \"everybody\"", true),
        ("trusted_proxies = [\"127.0.0.0/8\"]", true),
        ("trusted_proxies = [\"10.0.0.0/8\"]", false),
        ("trusted_proxies = [\"127.0.0.0/8\"]\nrequest_ids = \"nobody\"", false),
    ] {
        let server = setup("").server(lines).start();
        let id = ask(&server, &[("x-request-id", "edge-7/a:b")]).await;
        assert_eq!(id == "edge-7/a:b", is_believed, "{lines}: {id}");
        assert!(is_believed || made(&id), "{lines}: {id}");
        for hostile in ["a\"b", "a b", "<x>", &"a".repeat(129)] {
            let id = ask(&server, &[("x-request-id", hostile)]).await;
            assert!(made(&id), "{lines}: {hostile} became {id}");
        }
        let id = ask(&server, &[("x-request-id", "a"), ("x-request-id", "b")]).await;
        assert!(made(&id), "{lines}: {id}");
    }
}

#[tokio::test]
async fn of_a_sample_every_error_is_there() {
    let server = setup("access_log = { path = \"a.log\", sample = 0.0 }").start();
    for _ in 0..20 {
        server.accept("s", "{\"n\":1}").await;
    }
    for _ in 0..3 {
        server.get("/nowhere").await;
    }
    let path = server.folder().join("a.log");
    server.stop().assert_drained_into(&path, |found| {
        let statuses: Vec<_> = found.iter().map(|line| line["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [404; 3]);
    });
}

#[tokio::test]
async fn lines_go_to_standard_output_where_no_file_is_named() {
    let server = setup("access_log = {}").start();
    server.accept("s", "{\"n\":1}").await;
    let stopped = server.stop();
    stopped.assert_drained();
    let found: Vec<Value> =
        stopped.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(found.len(), 1, "{}", stopped.stdout);
    assert_eq!(found[0]["route"], "records");
}

#[tokio::test]
async fn files_are_closed_when_they_are_full_and_opened_again_on_sighup() {
    let log = "access_log = { path = \"logs/a.log\", max_size = \"64KiB\", keep = 2, gzip = true }";
    let server = setup(log).start();
    let folder = server.folder().join("logs");
    let count = || std::fs::read_dir(&folder).unwrap().count();
    let client = reqwest::Client::new();
    // About 400 bytes a line, so 160 lines a file: the fourth one is begun.
    for _ in 0..600 {
        client.get(format!("http://{}/v1/streams", server.address)).send().await.unwrap();
    }
    let names = || -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    until("files are not closed and compressed", || {
        let names = names();
        (names.len() == 3 && names.iter().filter(|name| name.ends_with("Z.log.gz")).count() == 2)
            .then_some(())
    })
    .await;
    for name in names().iter().filter(|name| name.ends_with(".gz")) {
        let file = std::fs::File::open(folder.join(name)).unwrap();
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
        assert!(text.len() <= 64 << 10 && text.ends_with('\n'));
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
    std::fs::rename(folder.join("a.log"), folder.join("moved")).unwrap();
    server.signal(Signal::HUP);
    until("the file is not opened again", || folder.join("a.log").exists().then_some(())).await;
    server.accept("s", "{\"n\":1}").await;
    let path = folder.join("a.log");
    assert_eq!(count(), 4);
    server.stop().assert_drained_into(&path, |found| {
        // Lines that had not been written come first.
        assert_eq!(found.last().unwrap()["route"], "records");
    });
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_and_no_request_waits_for_it() {
    let said = setup("access_log = { path = \"/proc/nowhere/a.log\" }").start_that_fails();
    assert!(said.contains("[access_log] cannot be written"), "{said}");
    // There all writes fail as on a full disk.
    let server = setup("access_log = { path = \"/dev/full\" }").start();
    for _ in 0..50 {
        server.accept("s", "{\"n\":1}").await;
    }
    server
        .until("forebay_lines_dropped_total", "log=\"access\",why=\"failed\"", |dropped| dropped == 50.0)
        .await;
    let stopped = server.stop();
    stopped.assert_drained();
    assert_eq!(stopped.stderr.matches("the log cannot be written").count(), 1, "{}", stopped.stderr);
}

/// What is read of a log whose server has stopped: its folder goes with it.
trait AssertLog {
    /// Asserts that all is drained, and looks at the lines.
    fn assert_drained_into(self, path: &std::path::Path, look: impl FnOnce(&[Value]));
}

impl AssertLog for crate::server::Stopped {
    fn assert_drained_into(self, path: &std::path::Path, look: impl FnOnce(&[Value])) {
        self.assert_drained();
        look(&lines(path));
    }
}
