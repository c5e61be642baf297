//! Bad input of every kind: a clear refusal, and no effect on anybody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::server::{PATIENCE, Server, Setup, stream};

fn server() -> Server {
    let lines = "max_body = \"2MiB\"\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"2s\"";
    Setup::pipeline(stream("s", 2) + "[ingest]\npartition_key = \"/k\"\n").server(lines).start()
}

/// After whatever happened, a good request is answered as ever, and nothing is left of the bad one.
async fn assert_unharmed(server: &Server) {
    assert_eq!(server.accept("s", "{\"ok\":true}").await, 1);
    assert_eq!(server.admin_get("/livez").await.0, 200);
}

/// Sends bytes as they are and reads what comes back until the server closes or has answered.
fn raw(server: &Server, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request).unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn bodies_that_are_no_records_get_a_4xx_with_a_code() {
    let server = server();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let long_number = format!("{{\"n\":1{}e999}}", "0".repeat(10_000));
    let (json_type, lines_type) = ("application/json", "application/x-ndjson");
    let empty_lines = "\n".repeat(1_000_000);
    let bodies: [(&str, &[u8], &str); 17] = [
        (json_type, b"not json", "json"),
        (json_type, b"{\"a\":1", "json"),
        (json_type, b"{\"a\":1}{\"a\":2}", "json"),
        (json_type, deep.as_bytes(), "json"),
        (json_type, deep_object.as_bytes(), "json"),
        (json_type, b"{\"a\":1,\"a\":2}", "json"),
        (json_type, b"{\"n\":1e400}", "json"),
        (json_type, long_number.as_bytes(), "json"),
        (json_type, b"{\"n\":01}", "json"),
        (json_type, b"{\"s\":\"\xc3\x28\"}", "json"),
        (json_type, b"{\"s\":\"\\ud800\"}", "json"),
        (json_type, b"{\"s\":\"\0\"}", "json"),
        (json_type, b"", "empty"),
        (json_type, b"5", "all_rejected"),
        (lines_type, empty_lines.as_bytes(), "empty"),
        (lines_type, b"\0\0\0", "all_rejected"),
        (lines_type, b"\xff\xfe{\0\"\0", "all_rejected"),
    ];
    for (content_type, body, code) in bodies {
        let (status, problem) = server.post("s", content_type, body.to_vec()).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{shown}: {problem}");
    }
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn a_bad_record_among_good_ones_is_named_by_its_place() {
    let server = server();
    let deep = "[".repeat(200) + &"]".repeat(200);
    let body = format!(
        "{{\"n\":1}}\n{{\"a\":{deep}}}\n{{\"n\":1,\"n\":2}}\n{{\"n\":123456789012345678901234567890}}\n{{}}x"
    );
    let (status, reply) = server.post("s", "application/x-ndjson", body).await;
    assert_eq!((status, &reply["accepted"]), (200, &json!(2)), "{reply}");
    let messages: Vec<_> =
        reply["errors"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect();
    assert!(messages[0].starts_with("nested deeper than 128"), "{messages:?}");
    assert!(messages[1].starts_with("duplicate key"), "{messages:?}");
    assert!(messages[2].starts_with("trailing data"), "{messages:?}");
}

#[tokio::test]
async fn bombs_and_oversized_bodies_are_stopped_at_the_bound() {
    let server = server();
    let compress = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = vec![b' '; 64 << 20];
    for (encoding, body) in [("gzip", compress(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 3).unwrap())] {
        assert!(body.len() < 1 << 20, "the bomb itself is small");
        let request =
            reqwest::Client::new().post(server.records("s")).header("content-type", "application/json");
        let response = request.header("content-encoding", encoding).body(body).send().await.unwrap();
        assert_eq!(response.status(), 413, "{encoding}");
    }
    for (encoding, body) in
        [("gzip", &b"\x1f\x8b\x08garbage"[..]), ("zstd", b"nonsense"), ("deflate", b"\xff\xff\xff")]
    {
        let request =
            reqwest::Client::new().post(server.records("s")).header("content-type", "application/json");
        let response = request.header("content-encoding", encoding).body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{encoding}");
        assert!(response.text().await.unwrap().contains("bad_encoding"), "{encoding}");
    }
    // Announced and not announced.
    let (status, problem) = server.post("s", "application/json", vec![b' '; 3 << 20]).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")), "{problem}");
    let mut chunked =
        b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.extend_from_slice(&vec![b' '; 1 << 20]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert!(raw(&server, &chunked).starts_with("HTTP/1.1 413"));
    assert_unharmed(&server).await;
    let used = server.until("forebay_memory_used_bytes", "share=\"ingest\"", |used| used < 10_000.0).await;
    assert!(used < 10_000.0, "refused bodies are not paid for any more");
}

#[tokio::test]
async fn wrong_routes_types_and_methods_are_refused_with_a_code() {
    let server = server();
    let client = reqwest::Client::new();
    let url = server.records("s");
    let code = |response: reqwest::Response| async move {
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(problem["status"], status);
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let post = |url: &str, content_type: &str| {
        client.post(url).header("content-type", content_type).body("{}").send()
    };
    assert_eq!(
        code(post(&url, "application/xml").await.unwrap()).await,
        (415, "unsupported_media_type".into())
    );
    assert_eq!(
        code(post(&url, "application/x-www-form-urlencoded").await.unwrap()).await,
        (415, "unsupported_media_type".into())
    );
    let unknown = server.records("nosuch");
    assert_eq!(code(post(&unknown, "application/json").await.unwrap()).await, (404, "unknown_stream".into()));
    let root = format!("http://{}/", server.address);
    assert_eq!(code(post(&root, "application/json").await.unwrap()).await, (404, "not_found".into()));
    assert_eq!(code(client.delete(&url).send().await.unwrap()).await, (405, "method_not_allowed".into()));
    let brotli = client.post(&url).header("content-encoding", "br").body("{}").send().await.unwrap();
    assert_eq!(code(brotli).await, (415, "unsupported_encoding".into()));
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let server = server();
    // A head that does not end.
    assert_eq!(raw(&server, b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\n"), "");
    // Nothing at all.
    assert_eq!(raw(&server, b""), "");
    // A body that does not come: an answer, and the connection closes.
    let answer =
        raw(&server, b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    // A connection that is kept open and silent.
    let answer = raw(&server, b"GET /v1/streams HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.metric("forebay_http_connections_timed_out_total", "head").await >= 2.0);
    assert!(server.metric("forebay_http_connections_timed_out_total", "next_request").await >= 1.0);
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let server = server();
    for _ in 0..50 {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket
            .write_all(
                b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{\"a\":",
            )
            .unwrap();
        drop(socket);
    }
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    assert_eq!(server.metric("forebay_memory_used_bytes", "share=\"ingest\"").await, 0.0);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn lengths_that_lie_are_not_believed() {
    let server = server();
    // Shorter than the body: the rest is read as the next request, which it is not.
    let answer = raw(&server, b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n{\"a\":12}{\"b\":1}\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
    // Two lengths, or a length and chunks: refused or closed, never guessed.
    for head in ["content-length: 8\r\ncontent-length: 9", "content-length: abc"] {
        let answer = raw(
            &server,
            format!("POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{{\"a\":12}}")
                .as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
    }
    let answer = raw(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(answer.starts_with("HTTP/1.1 400"), "a TLS greeting: {answer}");
    let long = format!("GET /v1/streams HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(100_000));
    assert!(raw(&server, long.as_bytes()).starts_with("HTTP/1.1 431"));
    let endless = format!("GET /v1/streams HTTP/1.1\r\nhost: x\r\nx-long: {}", "x".repeat(1_000_000));
    let answer = raw(&server, endless.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let server = server();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-type: application/json\r\n";
    write!(socket, "{head}content-length: 7\r\n\r\n").unwrap();
    let mut buffer = [0; 25];
    socket.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"{\"a\":1}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A refusal comes instead of the invitation.
    let answer = raw(&server, format!("{head}content-length: 70000000\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn connections_over_the_cap_are_told_so() {
    let server = Setup::pipeline(stream("s", 1)).server("max_connections = 20").start();
    let held: Vec<_> = (0..20).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    server.until("forebay_http_connections", "", |open| open == 20.0).await;
    let answer = raw(&server, b"");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_connections"), "{answer}");
    drop(held);
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_disturb_a_request() {
    // 10,000 where the limit of open files of this test process allows it: each end is one.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = 10_000.min(allowed.saturating_sub(500)) as usize;
    let server = Setup::pipeline(stream("s", 1)).server("header_timeout = \"60s\"").start();
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(TcpStream::connect(server.address).unwrap());
    }
    server.until("forebay_http_connections", "", |open| open >= count as f64).await;
    assert_unharmed(&server).await;
    drop(held);
    tokio::time::timeout(
        Duration::from_secs(60),
        server.until("forebay_http_connections", "", |open| open < 5.0),
    )
    .await
    .unwrap();
}
