//! Who is let in: proofs of identity as real clients send them, and what they are for.

mod authorizer;
mod basic;
mod certificate;
mod commands;
mod renewal;
mod signature;
mod webhook;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::{PATIENCE, Server, Setup, stream};

/// Keys of a producer of `s`, of a reader of `s`, and of one who may do everything.
const PRODUCER: &str = "a-producer-of-s-0123456789";
const READER: &str = "a-reader-of-s-0123456789";
const ROOT: &str = "everything-0123456789";

/// Every action takes an API key.
fn keys(more_of_auth: &str) -> String {
    let key = |name: &str, key: &str, allow: &str| {
        format!("[[api_key]]\nname = \"{name}\"\nkey = \"{key}\"\nallow = [{allow}]\n")
    };
    let kinds = "[\"api_key\"]";
    format!("[auth]\ningest = {kinds}\ntap = {kinds}\nadmin = {kinds}\n{more_of_auth}")
        + &key("producer", PRODUCER, "\"ingest:s\"")
        + &key("reader", READER, "\"tap:s\"")
        + &key("root", ROOT, "\"*:*\"")
}

fn start(tables: &str) -> Server {
    Setup::pipeline(stream("s", 1)).and_pipeline("other", stream("other", 1)).node(tables).start()
}

/// What curl gets: the status, and the body where it is JSON.
pub(crate) fn curl(server: &Server, path: &str, words: &[&str]) -> (u16, Value) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--write-out", "\n%{http_code}"])
        .args(words)
        .arg(format!("http://{}{path}", server.address))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

/// The same, with a record where it is to be put.
pub(crate) fn put(server: &Server, words: &[&str]) -> (u16, Value) {
    curl(server, "/v1/streams/s/records", &[words, &["--json", "{\"n\":1}"]].concat())
}

#[track_caller]
pub(crate) fn assert_refused((status, problem): (u16, Value), wanted: u16, detail: &str) {
    let code = if wanted == 401 { "unauthenticated" } else { "forbidden" };
    assert_eq!((status, problem["code"].as_str()), (wanted, Some(code)), "{problem}");
    assert_eq!(problem["detail"], detail);
}

/// One header word of curl.
fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

fn api_key(key: &str) -> String {
    format!("X-Api-Key: {key}")
}

#[tokio::test]
async fn a_key_lets_in_as_a_header_and_for_what_it_is_for_only() {
    let server = start(&keys(""));
    assert_eq!(put(&server, &["--header", &api_key(PRODUCER)]).0, 200);
    assert_eq!(put(&server, &["--header", &bearer(PRODUCER)]).0, 200);
    let page = "/v1/streams/s/records?from=earliest";
    let (status, read) = curl(&server, page, &["--header", &api_key(READER)]);
    assert_eq!((status, read["records"].as_array().unwrap().len()), (200, 2));
    assert_refused(put(&server, &[]), 401, "this request does not say who has sent it");
    assert_refused(put(&server, &["--header", &api_key("wrong")]), 401, "the API key is not known");
    assert_refused(put(&server, &["--header", &bearer("wrong")]), 401, "the bearer token is not known");
    let reader = ["--header", &api_key(READER)];
    assert_refused(put(&server, &reader), 403, "'reader' may not put records into 's'");
    let producer = ["--header", &api_key(PRODUCER)];
    assert_refused(curl(&server, page, &producer), 403, "'producer' may not read 's'");
    let split = "{\"split\":\"shardId-000000000000\"}";
    let split_by = |key: &str| {
        curl(&server, "/v1/streams/s/shards", &["--header", &api_key(key), "--data-binary", split])
    };
    assert_refused(split_by(READER), 403, "'reader' may not change 's'");
    assert_eq!(split_by(ROOT).0, 200);
    // Not in the query, unless that is allowed.
    let in_query = format!("/v1/streams/s?api_key={READER}");
    assert_refused(curl(&server, &in_query, &[]), 401, "this request does not say who has sent it");
    let answer = reqwest::Client::new().get(server.records("s")).send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"forebay\"");
    let stopped = server.stop();
    for key in [PRODUCER, READER, ROOT, "wrong"] {
        assert!(!stopped.stderr.contains(key) && !stopped.stdout.contains(key), "{}", stopped.stderr);
    }
}

#[tokio::test]
async fn a_key_in_the_query_counts_where_it_may() {
    let server = start(&keys("credentials_in_query = true\n"));
    for name in ["api_key", "access_token"] {
        assert_eq!(curl(&server, &format!("/v1/streams/s?{name}={READER}"), &[]).0, 200, "{name}");
    }
    let wrong = curl(&server, "/v1/streams/s?api_key=wrong", &[]);
    assert_refused(wrong, 401, "the API key is not known");
}

#[tokio::test]
async fn what_a_key_may_not_read_is_not_listed_and_what_asks_nothing_is_answered() {
    let server = start(&keys(""));
    let names = |key: &str| -> Vec<String> {
        let (status, list) = curl(&server, "/v1/streams", &["--header", &api_key(key)]);
        assert_eq!(status, 200, "{list}");
        let streams = list["streams"].as_array().unwrap();
        streams.iter().map(|stream| stream["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(READER), ["s"]);
    assert_eq!(names(ROOT), ["other", "s"]);
    let list = curl(&server, "/v1/streams", &["--header", &api_key(PRODUCER)]);
    assert_refused(list, 403, "'producer' may not read any stream");
    // What exists is not told to those who may not read it.
    for path in ["/v1/streams/other", "/v1/streams/nothing"] {
        assert_eq!(curl(&server, path, &["--header", &api_key(READER)]).0, 403, "{path}");
    }
    assert_eq!(curl(&server, "/v1/nothing", &[]).0, 404);
    assert_eq!(curl(&server, "/v1/streams", &["--request", "OPTIONS"]).0, 204);
    assert_eq!(server.admin_get("/livez").await.0, 200);
}

#[tokio::test]
async fn events_and_websockets_ask_for_a_key_as_well() {
    let server = start(&keys(""));
    let events = |key: &str| {
        let request = reqwest::Client::new().get(server.records("s")).header("accept", "text/event-stream");
        request.header("x-api-key", key.to_owned()).send()
    };
    assert_eq!(events("wrong").await.unwrap().status(), 401);
    assert_eq!(events(PRODUCER).await.unwrap().status(), 403);
    assert_eq!(events(READER).await.unwrap().status(), 200);
    let open = async |query: &str, key: &str| {
        let url = format!("ws://{}/v1/streams/s/records?{query}", server.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", bearer(key)[15..].parse().unwrap());
        let socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
        match tokio_tungstenite::client_async(request, socket).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(open("from=none", "wrong").await.err(), Some(401));
    assert_eq!(open("from=none", READER).await.err(), Some(403));
    assert_eq!(open("from=latest", PRODUCER).await.err(), Some(403));
    for (query, key, wanted) in [("from=none", PRODUCER, "accepted"), ("from=latest", READER, "forbidden")] {
        let mut socket = open(query, key).await.unwrap();
        socket.send(Message::text("{\"records\":[{\"n\":1}]}")).await.unwrap();
        let answer = loop {
            let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
            if let Message::Text(text) = message {
                break text.to_string();
            }
        };
        assert!(answer.contains(wanted), "{query}: {answer}");
    }
}

/// Writes all of a request and reads all of the answer.
fn raw(server: &Server, head: &str, body: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(format!("POST /v1/streams/s/records HTTP/1.1\r\nhost: a\r\n{head}\r\n").as_bytes())
        .unwrap();
    socket.write_all(body).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_reads_why() {
    let server = start(&keys(""));
    let body = vec![b' '; 8 << 20];
    let length = format!("connection: close\r\ncontent-length: {}\r\n", body.len());
    let answer = raw(&server, &length, &body);
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\"unauthenticated\""), "{answer}");
    // One that asks first sends nothing.
    let answer = raw(&server, &format!("{length}expect: 100-continue\r\n"), b"");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // A key that comes twice is nobody's: a proxy may have seen another one than the node.
    let twice = format!("{}\r\n{}\r\n{length}", api_key(PRODUCER), api_key("wrong"));
    assert!(raw(&server, &twice, &body).starts_with("HTTP/1.1 401 "));
    // Nothing was read into memory for any of them.
    assert_eq!(server.metric("forebay_memory_used_bytes", "share=\"ingest\"").await, 0.0);
    assert_eq!(server.metric("forebay_http_requests_total", "code=\"401\"").await, 3.0);
}

#[tokio::test]
async fn ten_thousand_keys_are_known_from_the_start() {
    let mut tables = keys("");
    for number in 0..10_000 {
        let name = format!("name = \"key-{number}\"\nkey = \"0123456789abcdef-{number}\"");
        write!(tables, "[[api_key]]\n{name}\nallow = [\"ingest:s\"]\n").unwrap();
    }
    let server = start(&tables);
    for number in [0, 5_000, 9_999] {
        let key = api_key(&format!("0123456789abcdef-{number}"));
        assert_eq!(put(&server, &["--header", &key]).0, 200, "{number}");
    }
    let unknown = put(&server, &["--header", &api_key("0123456789abcdef-10000")]);
    assert_refused(unknown, 401, "the API key is not known");
}

#[test]
fn a_node_that_others_reach_does_not_start_without_identities() {
    let setup = || Setup::pipeline(stream("s", 1)).server("listen = \"0.0.0.0:0\"");
    let said = setup().start_that_fails();
    assert!(said.contains("everybody who can reach 0.0.0.0:0 may put records"), "{said}");
    let said = setup().node("[auth]\ningest = [\"none\"]").start_that_fails();
    assert!(said.contains("\"none\" lets everybody who can reach 0.0.0.0:0"), "{said}");
}

#[test]
fn the_answer_to_a_refusal_is_a_problem_document() {
    let server = start(&keys(""));
    let (status, mut problem) = put(&server, &[]);
    let id = problem.as_object_mut().unwrap().remove("request_id").unwrap();
    assert!(!id.as_str().unwrap().is_empty());
    let wanted = json!({
        "type": "about:blank", "title": "Not authenticated", "status": 401, "code": "unauthenticated",
        "detail": "this request does not say who has sent it",
    });
    assert_eq!((status, problem), (401, wanted));
}
