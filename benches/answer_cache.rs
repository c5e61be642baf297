//! What an answer costs that is made, and the same given again (`[cache]`): over one connection, with what the client
//! takes.
//!
//! ```text
//! cargo bench --bench answer_cache
//! ```
//!
//! `off` has no cache, `made` has one and asks with `Cache-Control: no-cache`, so that its difference to `off` is what
//! keeping costs; `given` gets what is kept, and `known` a 304.

#![allow(clippy::unwrap_used, reason = "a bench that cannot run has to stop")]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use criterion::{Criterion, criterion_group, criterion_main};
use forebay::testkit::web_events;
use harness::forebay::{Judging, Server, StreamSpec, configure_with};
use mimalloc::MiMalloc;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Records in the stream: one full page of the usual size.
const RECORDS: u64 = 1_000;
const CACHE: &str = "cache = { ttl = \"1h\" }\n";

/// A connection that asks for one thing at a time.
struct Client {
    connection: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn new(server: &Server) -> Self {
        let connection = TcpStream::connect(server.address()).unwrap();
        connection.set_nodelay(true).unwrap();
        Self { connection: BufReader::new(connection), body: Vec::new() }
    }

    /// Sends a request whole; returns the head of its answer.
    fn ask(&mut self, request: &[u8]) -> String {
        self.connection.get_mut().write_all(request).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.connection.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
        self.body.resize(length, 0);
        self.connection.read_exact(&mut self.body).unwrap();
        head
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET /v1/streams{path} HTTP/1.1\r\nhost: bench\r\n{more}\r\n").into_bytes()
}

/// A server with the records.
fn start(node: &str) -> (Server, Client) {
    let spec = StreamSpec::new("bench", 1, Judging::Syntax);
    let server = Server::of(configure_with(&[(spec.name.clone(), spec.file())], node));
    let mut client = Client::new(&server);
    let lines = web_events::lines(0..RECORDS);
    let head = format!(
        "POST /v1/streams/bench/records HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n",
        lines.len()
    );
    let answer = client.ask(&[head.as_bytes(), lines.as_bytes()].concat());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    (server, client)
}

fn answers(criterion: &mut Criterion) {
    let ((_plain, mut plain), (_caching, mut caching)) = (start(""), start(CACHE));
    for (name, path) in [
        ("list", ""),
        ("stream", "/bench"),
        ("page_of_10", "/bench/records?from=earliest&limit=10"),
        ("page_of_1000", "/bench/records?from=earliest"),
    ] {
        let mut group = criterion.benchmark_group(format!("answer_cache/{name}"));
        let request = get(path, "");
        group.bench_function("off", |bencher| bencher.iter(|| plain.ask(&request)));
        let fresh = get(path, "cache-control: no-cache\r\n");
        group.bench_function("made", |bencher| bencher.iter(|| caching.ask(&fresh)));
        let head = caching.ask(&request);
        assert!(field(&head, "age").is_some(), "{head}");
        group.bench_function("given", |bencher| bencher.iter(|| caching.ask(&request)));
        let known = get(path, &format!("if-none-match: {}\r\n", field(&head, "etag").unwrap()));
        assert!(caching.ask(&known).starts_with("HTTP/1.1 304 "));
        group.bench_function("known", |bencher| bencher.iter(|| caching.ask(&known)));
        group.finish();
    }
}

criterion_group!(benches, answers);
criterion_main!(benches);
