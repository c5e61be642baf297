//! Requests over HTTP/1.1 that two servers could read in two ways, as bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::{PATIENCE, Server, Setup, stream};

const CHUNKS: &str = "5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n";
const RECORD: &str = "{\"a\":1}";
/// What would be smuggled in.
const NEXT: &str = "GET /v1/streams/s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Sends bytes as they are; what comes back until the server closes.
fn raw(server: &Server, request: &str) -> String {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    // One that closes with bytes unread resets: what came before counts.
    let _ = socket.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/streams/s/records HTTP/1.1\r\n{headers}\r\n{body}")
}

/// The statuses of all answers.
fn statuses(answer: &str) -> Vec<u16> {
    let behind = |part: &str| part.get(..3).and_then(|status| status.parse().ok());
    answer.split("HTTP/1.").skip(1).filter_map(|part| behind(part.get(2..)?)).collect()
}

fn server() -> Server {
    Setup::pipeline(stream("s", 1)).start()
}

/// Each is refused, nothing behind it is answered, and no record is kept.
async fn assert_refused(server: &Server, requests: &[String], status: u16) {
    for request in requests {
        let answer = raw(server, &format!("{request}{NEXT}"));
        assert_eq!(statuses(&answer), [status], "{request:?}: {answer}");
    }
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
    assert_eq!(server.accept("s", RECORD).await, 1);
}

#[tokio::test]
async fn a_message_whose_end_can_be_told_in_two_ways_is_refused() {
    let server = server();
    let chunked = "transfer-encoding: chunked\r\n";
    let requests = [
        post(&format!("host: x\r\ncontent-length: 7\r\n{chunked}"), CHUNKS),
        post(&format!("host: x\r\n{chunked}content-length: 7\r\n"), CHUNKS),
        post(&format!("host: x\r\n{chunked}Content-Length: 29\r\n"), CHUNKS),
        post(&format!("host: x\r\n{chunked}{chunked}"), CHUNKS),
        post("host: x\r\ntransfer-encoding: gzip, chunked\r\n", CHUNKS),
        post("host: x\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", CHUNKS),
        post("host: x\r\ntransfer-encoding: identity\r\n", CHUNKS),
        post("host: x\r\ntransfer-encoding: xchunked\r\n", CHUNKS),
        post("host: x\r\ntransfer-encoding: \u{b}chunked\r\n", CHUNKS),
        post("host: x\r\ntransfer-encoding : chunked\r\n", CHUNKS),
        post("host: x\r\ncontent-length: 7\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\ncontent-length: 7\r\ncontent-length: 8\r\n", RECORD),
        post("host: x\r\ncontent-length: 7, 7\r\n", RECORD),
        post("host: x\r\ncontent-length: +7\r\n", RECORD),
        post("host: x\r\ncontent-length: 0x7\r\n", RECORD),
        post("host: x\r\ncontent-length : 7\r\n", RECORD),
        post(chunked, CHUNKS).replace("HTTP/1.1", "HTTP/1.0"),
    ];
    assert_refused(&server, &requests, 400).await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn lines_and_names_are_those_of_the_standard() {
    let server = server();
    let requests = [
        post("host: x\r\ncontent-length: 7\r\n", RECORD).replace("\r\n", "\n"),
        post("host: x\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nx-a: b\r\n c: d\r\ncontent-length: 7\r\n", RECORD),
        post(" host: x\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nx-a: b\rc: d\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nx-a: b\0c\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nx a: b\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\n: b\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nx\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\ncontent-length: 7\r\n", RECORD).replace("HTTP/1.1", "HTTP/1.2"),
        post("host: x\r\ncontent-length: 7\r\n", RECORD).replace(' ', "\t"),
        "GET /v1/streams\r\n\r\n".to_owned(),
    ];
    assert_refused(&server, &requests, 400).await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn who_is_asked_is_said_once() {
    let server = server();
    let requests = [
        post("content-length: 7\r\n", RECORD),
        post("host: x\r\nhost: x\r\ncontent-length: 7\r\n", RECORD),
        post("host: x\r\nHOST: y\r\ncontent-length: 7\r\n", RECORD),
        post("host: user@x\r\ncontent-length: 7\r\n", RECORD),
        post("host: x/y\r\ncontent-length: 7\r\n", RECORD),
    ]
    .into_iter()
    .chain(["http://y/", "http://u:p@x/", "ftp://x/", "/#"].map(|target| {
        post("host: x\r\ncontent-length: 7\r\n", RECORD).replace("POST /", &format!("POST {target}"))
    }))
    .collect::<Vec<_>>();
    assert_refused(&server, &requests, 400).await;
    let answer = raw(&server, "GET http://x/v1/streams HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(statuses(&answer), [200], "{answer}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn paths_that_could_be_written_otherwise_name_nothing() {
    let server = server();
    let paths = [
        "//v1/streams",
        "/v1//streams",
        "/v1/streams/",
        "/v1/streams/%73",
        "/v1%2fstreams/s",
        "/v1/streams/s%00",
        "/v1/streams/%2e%2e/streams",
        "/v1/streams/x/../s",
        "/v1/./streams",
        "/v1\\streams",
        "/v1/streams/\u{e9}",
        "/v1/streams;x/s",
    ];
    for path in paths {
        let answer = raw(&server, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert_eq!(statuses(&answer), [404], "{path}: {answer}");
        assert!(answer.contains("\"code\":\"not_found\""), "{path}: {answer}");
    }
    for target in ["\\v1\\streams", "/v1/streams\0", "/v1/ streams", "v1/streams/s"] {
        let answer = raw(&server, &format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert_eq!(statuses(&answer), [400], "{target}: {answer}");
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn chunks_are_read_strictly_and_what_stands_behind_them_is_not_believed() {
    let server = server();
    let body = |chunks: &str| post("host: x\r\ntransfer-encoding: chunked\r\n", chunks);
    let requests = [
        body(&format!("5;{}\r\n{{\"a\":\r\n2\r\n1}}\r\n0\r\n\r\n", "a".repeat(100_000))),
        body("5;a=\nb\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"),
        body(&CHUNKS.replace("\r\n", "\n")),
        body("-5\r\n{\"a\":\r\n0\r\n\r\n"),
        body("0x5\r\n{\"a\":\r\n0\r\n\r\n"),
        body("fffffffffffffffff\r\n{\"a\":\r\n0\r\n\r\n"),
        body(&format!("7\r\n{RECORD}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(5_000))),
        body(&format!("7\r\n{RECORD}\r\n0\r\nx: {}\r\n\r\n", "y".repeat(200_000))),
    ];
    assert_refused(&server, &requests, 400).await;
    let trailers = body(&format!("7;a=b\r\n{RECORD}\r\n0\r\nhost: y\r\ncontent-length: 1\r\n\r\n"));
    let answer = raw(&server, &format!("{trailers}{NEXT}"));
    assert_eq!(statuses(&answer), [200, 200], "{answer}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn nothing_is_tunnelled_or_sent_back() {
    let server = server();
    let requests = [
        ("CONNECT example.com:80 HTTP/1.1\r\nhost: example.com:80\r\nconnection: close\r\n\r\n", 404),
        ("CONNECT /v1/streams/s/records HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (
            "TRACE /v1/streams/s/records HTTP/1.1\r\nhost: x\r\nx-secret: hush\r\nconnection: close\r\n\r\n",
            405,
        ),
        ("TRACE / HTTP/1.1\r\nhost: x\r\nx-secret: hush\r\nconnection: close\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
    ];
    for (request, status) in requests {
        let answer = raw(&server, request);
        assert_eq!(statuses(&answer), [status], "{request}: {answer}");
        assert!(!answer.contains("hush"), "{answer}");
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn the_bodies_of_requests_that_need_none_are_not_the_next_request() {
    let server = server();
    let inner = "DELETE /v1/streams/s HTTP/1.1\r\nhost: x\r\n\r\n";
    let length =
        format!("GET /v1/streams HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{inner}", inner.len());
    let chunks = format!(
        "GET /v1/streams HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
        inner.len()
    );
    for request in [length, chunks] {
        let answer = raw(&server, &format!("{request}{NEXT}"));
        assert!(statuses(&answer).iter().all(|status| *status == 200), "{answer}");
    }
    server.stop().assert_drained();
}
