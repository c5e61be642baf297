//! Which HTTP a connection speaks, wherever it comes in and however its first bytes are cut.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::http2_rules::frames::{Connection, HEADERS, beginning, get};
use crate::listen::{Authority, listener};
use crate::server::{PATIENCE, Server, Setup, stream};

const GET: &[u8] = b"GET /v1/streams HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// What a proxy sends first that speaks for itself.
const PROXY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

trait Duplex: Read + Write {}
impl<S: Read + Write> Duplex for S {}
type Socket = Box<dyn Duplex>;

/// A server with all kinds of listeners.
struct Place {
    server: Server,
    authority: Authority,
}

impl Place {
    fn new() -> Self {
        let authority = Authority::new();
        authority.sign("server", "server", &["127.0.0.1"]);
        let unix = listener(&format!("unix = \"{}\"\n", authority.path("edge.sock").display()));
        let local = "address = \"127.0.0.1:0\"\n";
        let tls = listener(&format!("{local}{}", authority.tls("")));
        let proxied = listener(&format!("{local}proxy_protocol = true\n{}", authority.tls("")));
        let setup = Setup::pipeline(stream("s", 1)).node(&[unix, tls, proxied].concat());
        Self { server: setup.start(), authority }
    }

    fn tcp(&self, address: &str) -> TcpStream {
        let socket = TcpStream::connect(address.trim_start_matches("https://")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    fn plain(&self) -> Socket {
        Box::new(self.tcp(&self.server.address.to_string()))
    }

    fn unix(&self) -> Socket {
        let socket = UnixStream::connect(self.authority.path("edge.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Box::new(socket)
    }

    fn tls(&self, protocols: &[&str]) -> Socket {
        let socket = self.tcp(&self.server.others[1]);
        Box::new(rustls::StreamOwned::new(self.authority.client(protocols), socket))
    }

    fn proxied(&self, protocols: &[&str]) -> Socket {
        let mut socket = self.tcp(&self.server.others[2]);
        socket.write_all(PROXY).unwrap();
        Box::new(rustls::StreamOwned::new(self.authority.client(protocols), socket))
    }
}

/// Sends in pieces of so many bytes, each on its own. A server that has hung up meanwhile is none the worse for it.
fn send(socket: &mut Socket, bytes: &[u8], piece: usize) {
    for part in bytes.chunks(piece) {
        let _ = socket.write_all(part).and_then(|()| socket.flush());
    }
}

fn speaks_http1(mut socket: Socket, piece: usize) -> bool {
    send(&mut socket, GET, piece);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer.starts_with(b"HTTP/1.1 200 ")
}

fn speaks_http2(mut socket: Socket, piece: usize) -> bool {
    send(&mut socket, &[beginning(), get(1)].concat(), piece);
    let answer = Connection::over(socket).until(|frame| frame.kind == HEADERS);
    answer.is_some_and(|answer| answer.status() == Some(200))
}

#[test]
fn the_first_bytes_tell_where_nothing_was_agreed_on() {
    let place = Place::new();
    for piece in [1, 3, 24, usize::MAX] {
        for speaks in [speaks_http1, speaks_http2] {
            assert!(speaks(place.plain(), piece), "TCP by {piece}");
            assert!(speaks(place.unix(), piece), "a Unix socket by {piece}");
            assert!(speaks(place.tls(&[]), piece), "TLS by {piece}");
            assert!(speaks(place.proxied(&[]), piece), "behind a proxy by {piece}");
        }
    }
    place.server.stop().assert_drained();
}

#[test]
fn what_tls_has_agreed_on_is_spoken() {
    let place = Place::new();
    for piece in [1, usize::MAX] {
        assert!(speaks_http1(place.tls(&["http/1.1"]), piece), "{piece}");
        assert!(speaks_http1(place.proxied(&["http/1.1"]), piece), "{piece}");
        assert!(speaks_http2(place.tls(&["h2"]), piece), "{piece}");
        assert!(speaks_http2(place.proxied(&["h2", "http/1.1"]), piece), "{piece}");
    }
    assert!(!speaks_http1(place.tls(&["h2"]), usize::MAX), "lines where frames were agreed on");
    assert!(!speaks_http2(place.tls(&["http/1.1"]), usize::MAX), "frames where lines were agreed on");
    assert!(speaks_http1(place.plain(), usize::MAX));
    place.server.stop().assert_drained();
}

#[tokio::test]
async fn a_client_that_stops_within_its_first_bytes_is_cut_off() {
    let server = Setup::pipeline(stream("s", 1)).server("header_timeout = \"1s\"").start();
    let beginnings =
        [&b""[..], b"G", b"POS", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"PRI * HTTP/1.1\r\n"];
    let held: Vec<_> = beginnings
        .iter()
        .map(|bytes| {
            let mut socket = TcpStream::connect(server.address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(bytes).unwrap();
            socket
        })
        .collect();
    for (mut socket, bytes) in held.into_iter().zip(beginnings) {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    }
    let name = "forebay_http_connections_timed_out_total";
    server.until(name, "late_with=\"head\"", |count| count == beginnings.len() as f64).await;
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    assert_eq!(server.get("/v1/streams").await.0, 200);
    server.stop().assert_drained();
}

#[tokio::test]
async fn connections_whose_protocol_is_not_known_end_with_the_server_and_with_their_clients() {
    let server = Setup::pipeline(stream("s", 1)).start();
    for bytes in [&b""[..], b"PRI", b"P"] {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(bytes).unwrap();
    }
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(b"PRI * ").unwrap();
    server.until("forebay_http_connections", "", |open| open == 1.0).await;
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    stopped.assert_drained();
    assert_eq!(socket.read(&mut [0; 8]).unwrap(), 0);
}
