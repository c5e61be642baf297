//! Clients that end their own side of a connection before they have their answer, as `nc -N` and some proxies do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::UNSIGNED;
use crate::listen::{Authority, listener};
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

const CONNECTIONS: usize = 50;

fn post(number: usize) -> String {
    let body = format!("{{\"number\":{number}}}");
    let (kind, bytes) = ("application/json", body.len());
    format!(
        "POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {bytes}\r\n\r\n{body}"
    )
}

/// Sends `bytes` and nothing more, ever.
fn sent(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    socket
}

fn answers(mut socket: TcpStream) -> String {
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    answers
}

#[tokio::test]
async fn what_was_sent_as_a_whole_is_answered_and_the_connection_ends() {
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).start();
    let sockets: Vec<_> = (0..CONNECTIONS).map(|number| sent(&server, post(number).as_bytes())).collect();
    for socket in sockets {
        let answers = answers(socket);
        assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    }
    let pipelined: String = (0..5).map(post).collect();
    let pipelined = answers(sent(&server, pipelined.as_bytes()));
    assert_eq!(pipelined.matches("HTTP/1.1 200").count(), 5, "{pipelined}");
    let retained = server.metric("forebay_stream_retained_records", "stream=\"s\"").await;
    assert_eq!(retained, (CONNECTIONS + 5) as f64);
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn records_that_are_told_by_parameters_are_answered_too() {
    let server = Setup::pipeline(durable_stream("s", 1, "fsync") + "[ingest]\npixel = true\n").start();
    for name in ["event", "pixel.gif"] {
        let get = |number| format!("GET /v1/streams/s/{name}?number={number} HTTP/1.1\r\nhost: x\r\n\r\n");
        let sockets: Vec<_> = (0..CONNECTIONS).map(|number| sent(&server, get(number).as_bytes())).collect();
        for mut socket in sockets {
            let mut status = [0; 10];
            socket.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 2", "{name}");
        }
    }
    let retained = server.metric("forebay_stream_retained_records", "stream=\"s\"").await;
    assert_eq!(retained, (2 * CONNECTIONS) as f64);
    server.stop().assert_drained();
}

#[tokio::test]
async fn an_end_over_tls_without_the_word_for_it_is_one_too() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let tls = listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls("")));
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).node(&tls).start();
    for number in 0..CONNECTIONS {
        let socket = TcpStream::connect(server.others[0].trim_start_matches("https://")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut socket = rustls::StreamOwned::new(authority.client(&[]), socket);
        socket.write_all(post(number).as_bytes()).unwrap();
        socket.flush().unwrap();
        socket.sock.shutdown(Shutdown::Write).unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    server.stop().assert_drained();
}

async fn call(server: &Server, operation: &str, members: Value) -> Value {
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-json-1.1");
    let reply = request.body(members.to_string()).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&reply).unwrap()
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_whole() {
    let server = Setup::pipeline(stream("s", 1)).node(UNSIGNED).start();
    for number in 0..8 {
        server.accept("s", json!({ "number": number, "text": "x".repeat(500_000) }).to_string()).await;
    }
    let shard = json!({
        "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"
    });
    let members = call(&server, "GetShardIterator", shard).await;
    let members = json!({ "ShardIterator": members["ShardIterator"] }).to_string();

    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Little room in the kernel, so that most of the answer has to stay with the server.
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (target, kind) = ("Kinesis_20131202.GetRecords", "application/x-amz-json-1.1");
    let length = members.len();
    write!(
        socket,
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: {target}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{members}"
    )
    .unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    // The answer is there, and stuck, by then; if it is not, less is tested.
    tokio::time::sleep(Duration::from_millis(300)).await;

    let answer = answers(socket);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let page: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{} bytes: {error}", body.len()));
    assert_eq!(page["Records"].as_array().unwrap().len(), 8);
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn what_ends_in_the_middle_is_over_at_once() {
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).start();
    let whole = post(1);
    let cuts = [1, 30, whole.len() - 15, whole.len() - 1];
    let sockets: Vec<_> = cuts.iter().map(|&cut| sent(&server, &whole.as_bytes()[..cut])).collect();
    for (socket, cut) in sockets.into_iter().zip(cuts) {
        let answers = answers(socket);
        assert!(!answers.contains(" 200 "), "{cut}: {answers}");
    }
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    let retained = server.metric("forebay_stream_retained_records", "stream=\"s\"").await;
    assert_eq!(retained, 0.0);
    server.stop().assert_drained();
}

#[tokio::test]
async fn one_who_waits_for_records_and_is_gone_is_let_go_of() {
    let server = Setup::pipeline(durable_stream("s", 1, "fsync")).start();
    let request = "GET /v1/streams/s/records?from=latest&wait=30 HTTP/1.1\r\nhost: x\r\n\r\n";
    // Begun first, and still waiting when the others are gone.
    let mut stays = TcpStream::connect(server.address).unwrap();
    stays.write_all(request.as_bytes()).unwrap();
    server.until("forebay_http_connections", "", |open| open == 1.0).await;
    for _ in 0..5 {
        assert_eq!(answers(sent(&server, request.as_bytes())), "");
    }
    stays.set_nonblocking(true).unwrap();
    let nothing = stays.read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(stays);
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    server.stop().assert_drained();
}
