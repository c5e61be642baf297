//! Kinds of readers: how they ask for records, and how a record looks to them.

use std::net::SocketAddr;

use bytes::Bytes;
use forebay::record::ShardId;
use tokio::net::TcpStream;

use crate::harness::aws::{self, JSON};
use crate::harness::client::{Connection, get};
use crate::round::STREAM;

/// Digits of a request's number, which each of its records carries: nine, which Base64 keeps together behind the six
/// bytes before them.
pub const DIGITS: usize = 9;
/// What stands before them at the beginning of a record.
pub const MARK: &str = "{\"n\":\"";
/// The same in Base64.
const MARK_BASE64: &str = "eyJuIjoi";
const DIGITS_BASE64: usize = DIGITS / 3 * 4;
/// The cursor that workers share.
const CURSOR: &str = "bench";

/// What a reader reads with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Server-sent events.
    Events,
    /// A WebSocket.
    WebSocket,
    /// SubscribeToShard in JSON, a connection for each shard.
    Subscribe,
    /// Server-sent events to a worker of a named cursor.
    Worker,
}

impl Kind {
    /// Those of whom each gets every record.
    pub const ALL: [Kind; 3] = [Kind::Events, Kind::WebSocket, Kind::Subscribe];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Events => "events",
            Kind::WebSocket => "websocket",
            Kind::Subscribe => "subscribe",
            Kind::Worker => "worker",
        }
    }

    /// Connections of a reader.
    pub fn connections(self, shards: u32) -> usize {
        if self == Kind::Subscribe { shards as usize } else { 1 }
    }

    /// The requests of a reader, one a connection.
    pub fn requests(self, address: SocketAddr, shards: u32, reader: usize) -> Vec<Bytes> {
        let get_with = |query: &str, headers: &str| {
            let line =
                format!("GET /v1/streams/{STREAM}/records{query} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
            vec![line.into()]
        };
        let get = |headers: &str| get_with("", headers);
        match self {
            Kind::Events => get("Accept: text/event-stream\r\n"),
            Kind::WebSocket => {
                get("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
            }
            Kind::Worker => {
                get_with(&format!("?cursor={CURSOR}&worker=w{reader}"), "Accept: text/event-stream\r\n")
            }
            Kind::Subscribe => {
                let arn = register(address, reader);
                (0..shards).map(|shard| subscribe(&arn, ShardId(shard))).collect()
            }
        }
    }

    /// What a record is told by.
    pub fn mark(self) -> &'static [u8] {
        if self == Kind::Subscribe { MARK_BASE64.as_bytes() } else { MARK.as_bytes() }
    }

    /// The number of the request whose record has its mark before `text`; `None` if it is cut off.
    pub fn number(self, text: &[u8]) -> Option<usize> {
        let parse = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
        if self != Kind::Subscribe {
            return parse(text.get(..DIGITS)?);
        }
        let six_bits = |byte: u8| match byte {
            b'A'..=b'Z' => u32::from(byte - b'A'),
            b'a'..=b'z' => u32::from(byte - b'a') + 26,
            // Digits in ASCII need no other symbols in Base64 than these.
            _ => u32::from(byte.wrapping_sub(b'0')) + 52,
        };
        let mut digits = [0; DIGITS];
        for (three, four) in digits.chunks_exact_mut(3).zip(text.get(..DIGITS_BASE64)?.chunks_exact(4)) {
            let bits = four.iter().fold(0, |bits, byte| bits << 6 | six_bits(*byte));
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        parse(&digits)
    }
}

/// Makes the cursor of all workers.
pub fn make_cursor(address: SocketAddr) {
    const BODY: &str = r#"{"from":"latest","lease":"1h"}"#;
    let request = format!(
        "PUT /v1/streams/{STREAM}/cursors/{CURSOR} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    // The first is answered with 201, and the second with 200 where the cursor is there.
    let _ = Connection::open(address).unwrap().exchange(request.as_bytes());
    let mut connection = Connection::open(address).unwrap();
    let reply = connection.exchange(request.as_bytes()).unwrap();
    assert!(reply.starts_with(b"{\"cursor\""), "{}", String::from_utf8_lossy(reply));
}

/// Whether each worker has its part of the shards, and nobody more.
pub fn is_balanced(address: SocketAddr, shards: u32, workers: usize) -> bool {
    let request = get(&format!("/v1/streams/{STREAM}/cursors/{CURSOR}"));
    let mut connection = Connection::open(address).unwrap();
    let reply: serde_json::Value =
        serde_json::from_slice(connection.exchange(request.as_bytes()).unwrap()).unwrap();
    let rows = reply["workers"].as_array().unwrap();
    rows.len() == workers && rows.iter().all(|row| row["shards"] == u64::from(shards) / workers as u64)
}

/// Registers a consumer; its ARN.
fn register(address: SocketAddr, reader: usize) -> String {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    let body = serde_json::json!({ "StreamARN": arn, "ConsumerName": format!("reader-{reader}") });
    let request = aws::request("RegisterStreamConsumer", JSON, body.to_string().as_bytes());
    let mut connection = Connection::open(address).unwrap();
    let reply: serde_json::Value = serde_json::from_slice(connection.exchange(&request).unwrap()).unwrap();
    reply["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned()
}

fn subscribe(arn: &str, shard: ShardId) -> Bytes {
    let body = serde_json::json!({
        "ConsumerARN": arn,
        "ShardId": shard.to_string(),
        "StartingPosition": { "Type": "LATEST" },
    });
    aws::request("SubscribeToShard", JSON, body.to_string().as_bytes())
}

/// Sends a reader's request and takes the head of the answer; what stands behind it is no record yet.
pub async fn open(address: SocketAddr, request: &[u8]) -> TcpStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        assert!(socket.read_buf(&mut head).await.unwrap() > 0);
    }
    let is_open = head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 101");
    assert!(is_open, "{}", String::from_utf8_lossy(&head));
    socket
}
