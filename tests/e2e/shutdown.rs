//! SIGTERM and SIGINT: what is in flight is answered, what is open is stored, and the balance is printed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::lake;
use crate::server::{PATIENCE, Setup, stream};

fn with_json_delivery() -> Setup {
    let delivery = "[[delivery]]\nname = \"lake\"\nsink = { path = \"lake\" }\nformat = \"json\"\n";
    Setup::pipeline(stream("s", 3) + delivery)
}

#[tokio::test]
async fn both_signals_store_what_is_open_and_exit_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = with_json_delivery().start();
        server.accept("s", "{\"n\":1}\n{\"n\":2}\n").await;
        server.signal(signal);
        let stopped = server.wait();
        stopped.assert_drained();
        assert!(
            stopped.stdout.contains("s/lake: accepted 2 = delivered 2 + dead-lettered 0 + pending 0"),
            "{}",
            stopped.stdout
        );
        let mut lines = lake::gunzip_all(&stopped.path("lake"));
        lines.sort();
        assert_eq!(lines, ["{\"n\":1}", "{\"n\":2}"]);
    }
}

#[tokio::test]
async fn a_request_that_is_half_sent_when_the_signal_comes_is_answered_and_delivered() {
    let server = with_json_delivery().start();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n{\"a\"")
        .unwrap();
    // The head must have reached the handler before the signal does.
    server.until("forebay_http_connections", "", |open| open >= 1.0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.write_all(b":1}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stopped = server.wait();
    stopped.assert_drained();
    assert_eq!(lake::gunzip_all(&stopped.path("lake")), ["{\"a\":1}"]);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = with_json_delivery().start();
    let _idle = TcpStream::connect(server.address).unwrap();
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/streams", server.address);
    assert_eq!(client.get(url).send().await.unwrap().status(), 200);
    server.stop().assert_drained();
}

#[tokio::test]
async fn what_cannot_be_delivered_by_the_deadline_is_reported_and_the_exit_code_says_so() {
    // Nothing listens on port 9 of the loopback address.
    let sink = "sink = { url = \"s3://nowhere/\", endpoint = \"http://127.0.0.1:9\", region = \"us-east-1\", access_key_id = \"a\", secret_access_key = \"hush\" }";
    let server = Setup::pipeline(
        stream("s", 1) + &format!("[[delivery]]\nname = \"lake\"\n{sink}\nformat = \"json\"\n"),
    )
    .server("drain_timeout = \"1s\"")
    .start();
    server.accept("s", "{\"n\":1}").await;
    let stopped = server.stop();
    assert_eq!(stopped.status.code(), Some(3), "{}", stopped.stderr);
    assert!(stopped.stdout.contains("pending 1"), "{}", stopped.stdout);
    assert!(stopped.stderr.contains("records were not delivered"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("hush") && !stopped.stdout.contains("hush"));
}

#[tokio::test]
async fn a_second_signal_gives_up_at_once() {
    let sink = "sink = { url = \"s3://nowhere/\", endpoint = \"http://127.0.0.1:9\", region = \"us-east-1\", access_key_id = \"a\", secret_access_key = \"b\" }";
    let server = Setup::pipeline(
        stream("s", 1) + &format!("[[delivery]]\nname = \"lake\"\n{sink}\nformat = \"json\"\n"),
    )
    .server("drain_timeout = \"1h\"")
    .start();
    server.accept("s", "{\"n\":1}").await;
    server.signal(Signal::TERM);
    while server.admin_get("/readyz").await.1.contains("\"phase\":\"serving\"") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.signal(Signal::TERM);
    let stopped = server.wait();
    assert_eq!(stopped.status.code(), Some(3));
    assert!(stopped.stderr.contains("second signal"), "{}", stopped.stderr);
}

#[test]
fn a_stage_that_cannot_be_built_is_named() {
    let delivery =
        "[[delivery]]\nname = \"lake\"\nsink = { url = \"file:///proc/nowhere/\" }\nformat = \"json\"\n";
    let stderr = Setup::pipeline(stream("s", 1) + delivery).start_that_fails();
    assert!(stderr.contains("delivery 'lake' of stream 's': "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
