//! Clients that end their own side of a connection before they have their answer, as `nc -N` and some proxies do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::server::{PATIENCE, Server, Setup, durable_stream};

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
