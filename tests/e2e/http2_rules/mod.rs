//! What a server owes a client over HTTP/2 that breaks its rules: the sections of RFC 9113 that a server is attacked by.

pub mod frames;

use frames::*;

use crate::server::{Server, Setup, stream};

/// Errors of RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn server() -> Server {
    Setup::pipeline(stream("s", 1)).start()
}

/// A good request is answered on a connection of its own.
fn assert_serves(server: &Server) {
    let mut connection = Connection::open(server);
    connection.send(&get(1));
    let answer = connection.until(|frame| frame.kind == HEADERS).expect("an answer");
    assert_eq!(answer.status(), Some(200), "{answer:?}");
}

/// The error that a connection is ended with, or a stream where that is enough.
fn ended_by(server: &Server, bytes: &[u8]) -> Option<u32> {
    let mut connection = Connection::open(server);
    connection.send(bytes);
    let ending = |frame: &Frame| frame.kind == RST_STREAM || frame.kind == GOAWAY && frame.error() != Some(0);
    connection.until(ending).and_then(|frame| frame.error())
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection() {
    let server = server();
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/v1/streams/s/records", &[]));
    let cases: Vec<(&str, Vec<u8>, &[u32])> = vec![
        ("4.2 a frame of more than 16 KiB", frame(DATA, 0, 1, &[0; 16_385]), &[FRAME_SIZE_ERROR]),
        (
            "4.3 headers that no decoder reads",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 5]),
            &[COMPRESSION_ERROR],
        ),
        (
            "4.3 an index that is in no table",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xfe]),
            &[COMPRESSION_ERROR],
        ),
        (
            "5.1 data on a stream that is idle",
            frame(DATA, END_STREAM, 1, b"{}"),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        ("5.1 a reset of a stream that is idle", frame(RST_STREAM, 0, 1, &[0; 4]), &[PROTOCOL_ERROR]),
        (
            "5.1 a window of a stream that is idle",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            &[PROTOCOL_ERROR],
        ),
        ("5.1.1 a stream of the server's", get(2), &[PROTOCOL_ERROR]),
        (
            "5.1.1 a stream before one that there was",
            [get(5), get(3)].concat(),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        ("6.1 data on no stream", frame(DATA, 0, 0, b"x"), &[PROTOCOL_ERROR]),
        (
            "6.1 padding longer than the frame",
            [open.clone(), frame(DATA, 8, 1, &[9, 0])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("6.2 headers on no stream", get(0), &[PROTOCOL_ERROR]),
        (
            "6.2 another frame between headers",
            [frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "6.3 a priority of a wrong size",
            frame(PRIORITY, 0, 1, &[0; 4]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "6.4 a reset of a wrong size",
            [open.clone(), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        ("6.4 a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        ("6.5 settings of a wrong size", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        ("6.5 an acknowledgement that says something", frame(SETTINGS, ACK, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("6.5 settings of a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        (
            "6.5.2 a window of more than 31 bits",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            &[FLOW_CONTROL_ERROR],
        ),
        ("6.5.2 frames smaller than 16 KiB", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), &[PROTOCOL_ERROR]),
        ("6.6 a push by a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("6.7 a ping of a wrong size", frame(PING, 0, 0, &[0; 7]), &[FRAME_SIZE_ERROR]),
        ("6.7 a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("6.9 a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        (
            "6.9.1 a window of more than 31 bits",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            &[FLOW_CONTROL_ERROR],
        ),
        ("6.10 a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &[]), &[PROTOCOL_ERROR]),
    ];
    for (what, bytes, errors) in cases {
        let found = ended_by(&server, &bytes);
        // What has an error of its own may be told by the general one: RFC 9113, section 7.
        let is_right = found.is_some_and(|error| errors.contains(&error) || error == PROTOCOL_ERROR);
        assert!(is_right, "{what}: {found:?}, not {errors:?}");
    }
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn requests_that_are_malformed_are_reset_or_refused_and_keep_nothing() {
    let server = server();
    let target = "/v1/streams/s/records";
    let post = |more: &[(&str, &str)]| request("POST", target, more);
    let without = |name: &str| -> Vec<u8> {
        let all = [(":method", "POST"), (":scheme", "http"), (":path", target), (":authority", "x")];
        all.iter().filter(|(found, _)| *found != name).flat_map(|(name, value)| header(name, value)).collect()
    };
    let late = [header("a", "b"), request("POST", target, &[])].concat();
    let cases = [
        ("8.2 a name in capitals", post(&[("X-A", "b")])),
        ("8.2.1 a line break in a value", post(&[("x-a", "b\r\nc: d")])),
        ("8.2.1 a zero in a value", post(&[("x-a", "b\0")])),
        ("8.2.2 a header of the connection", post(&[("connection", "close")])),
        ("8.2.2 chunks", post(&[("transfer-encoding", "chunked")])),
        ("8.2.2 an upgrade", post(&[("upgrade", "h2c")])),
        ("8.2.2 trailers and more", post(&[("te", "gzip")])),
        ("8.3 a pseudo-header behind others", late),
        ("8.3 one that is none of a request", post(&[(":status", "200")])),
        ("8.3 one that nobody knows", post(&[(":a", "b")])),
        ("8.3.1 no method", without(":method")),
        ("8.3.1 no path", without(":path")),
        ("8.3.1 no scheme", without(":scheme")),
        ("8.3.1 two methods", post(&[(":method", "POST")])),
        ("8.3.1 two paths", post(&[(":path", "/")])),
        ("8.3.1 an empty path", request("POST", "", &[])),
        ("8.3.1 a user", without(":authority").into_iter().chain(header(":authority", "u@x")).collect()),
        ("8.3.1 another host", post(&[("host", "y")])),
        ("8.1.1 a length that is not that of the body", post(&[("content-length", "9")])),
        ("8.1.1 two lengths", post(&[("content-length", "7"), ("content-length", "8")])),
    ];
    for (what, block) in cases {
        let mut connection = Connection::open(&server);
        connection.send(
            &[frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, b"{\"a\":1}")].concat(),
        );
        let answer = connection.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        let answer = answer.unwrap_or_else(|| panic!("{what}: closed without a word"));
        let is_refused = answer.status() == Some(400) || answer.error().is_some_and(|error| error != 0);
        assert!(is_refused, "{what}: {answer:?}");
    }
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    let server = server();
    let mut connection = Connection::open(&server);
    let resets =
        (0..1_000).flat_map(|n| [get(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat());
    connection.send(&resets.collect::<Vec<_>>());
    let goaway = connection.until(|frame| frame.kind == GOAWAY).expect("a farewell");
    assert_eq!(goaway.error(), Some(ENHANCE_YOUR_CALM), "{goaway:?}");
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn headers_without_an_end_are_not_kept() {
    let server = server();
    for (what, first) in [("much of little", header("a", &"b".repeat(1_000))), ("nothing", Vec::new())] {
        let mut connection = Connection::open(&server);
        connection.send(&frame(HEADERS, 0, 1, &request("GET", "/", &[])));
        for _ in 0..10_000 {
            connection.send(&frame(CONTINUATION, 0, 1, &first));
        }
        let goaway = connection.until(|frame| frame.kind == GOAWAY);
        // Closed with bytes unread, the farewell may be lost.
        if let Some(goaway) = goaway {
            assert_ne!(goaway.error(), Some(0), "{what}: {goaway:?}");
        }
    }
    // Headers of more than max_header, or too many of them, in frames that are right.
    let large = request(
        "GET",
        "/v1/streams",
        &[("a", &"b".repeat(14_000)), ("b", &"c".repeat(1_500)), ("c", &"d".repeat(800))],
    );
    let many: Vec<_> = (0..150).map(|_| ("a", "b")).collect();
    for block in [large, request("GET", "/v1/streams", &many)] {
        let mut connection = Connection::open(&server);
        let (one, two) = block.split_at(block.len().min(16_000));
        connection
            .send(&[frame(HEADERS, END_STREAM, 1, one), frame(CONTINUATION, END_HEADERS, 1, two)].concat());
        let answer =
            connection.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY)).expect("an answer");
        assert_ne!(answer.status(), Some(200), "{answer:?}");
    }
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn no_more_streams_are_open_than_may_be() {
    let server = server();
    let mut connection = Connection::open(&server);
    // Requests whose bodies do not end, so that they stay.
    let open =
        |n: u32| frame(HEADERS, END_HEADERS, 2 * n + 1, &request("POST", "/v1/streams/s/records", &[]));
    let settings = connection.until(|frame| frame.kind == SETTINGS && frame.flags == 0).expect("settings");
    let max = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("a bound of streams");
    let max = u32::from_be_bytes(max[2..6].try_into().unwrap());
    assert_eq!(max, 200);
    connection.send(&(0..max + 1).flat_map(open).collect::<Vec<_>>());
    let refused = connection.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY)).expect("a refusal");
    assert_eq!(
        (refused.kind, refused.error(), refused.stream),
        (RST_STREAM, Some(REFUSED_STREAM), 2 * max + 1)
    );
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn floods_of_pings_and_settings_are_answered_one_by_one_and_disturb_nobody() {
    let server = server();
    for (kind, payload) in [(PING, &[7; 8][..]), (SETTINGS, &[])] {
        let mut connection = Connection::open(&server);
        let count = 2_000;
        connection.send(&frame(kind, 0, 0, payload).repeat(count));
        connection.send(&get(1));
        let (mut acks, mut status) = (0, None);
        while let Some(frame) = connection.next() {
            acks += usize::from(frame.kind == kind && frame.flags & ACK != 0);
            status = status.or(frame.status());
            if status.is_some() && acks >= count {
                break;
            }
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        }
        assert!(acks >= count, "{acks} of {count}");
        assert_eq!(status, Some(200));
    }
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let lines = "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"2s\"";
    let server = Setup::pipeline(stream("s", 1)).server(lines).start();
    let mut slow_head = Connection::open(&server);
    slow_head.send(&get(1)[..12]);
    assert_eq!(slow_head.until(|frame| frame.kind == HEADERS), None);
    let mut slow_body = Connection::open(&server);
    slow_body.send(&frame(HEADERS, END_HEADERS, 1, &request("POST", "/v1/streams/s/records", &[])));
    slow_body.send(&frame(DATA, 0, 1, b"{\"a\""));
    let answer = slow_body.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM)).expect("an answer");
    assert_ne!(answer.status(), Some(200));
    server.until("forebay_http_requests_total", "code=\"408\"", |count| count == 1.0).await;
    server
        .until("forebay_http_connections_timed_out_total", "late_with=\"head\"", |count| count >= 1.0)
        .await;
    // Then it is silent, and its connection ends as well.
    assert_eq!(slow_body.until(|_| false), None);
    assert_serves(&server);
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_connection_may_have_a_bounded_number_of_requests() {
    let server = Setup::pipeline(stream("s", 1)).server("max_requests_per_connection = 3").start();
    let mut connection = Connection::open(&server);
    connection.send(&[get(1), get(3), get(5)].concat());
    let goaway = connection.until(|frame| frame.kind == GOAWAY).expect("a farewell");
    assert_eq!(goaway.error(), Some(0), "{goaway:?}");
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    let request = "GET /v1/streams HTTP/1.1\r\nhost: x\r\n\r\n";
    std::io::Write::write_all(&mut socket, request.repeat(5).as_bytes()).unwrap();
    let mut answers = Vec::new();
    let _ = std::io::Read::read_to_end(&mut socket, &mut answers);
    let answers = String::from_utf8_lossy(&answers).into_owned();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    server.stop().assert_drained();
}
