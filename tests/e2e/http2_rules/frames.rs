//! Frames of HTTP/2 (RFC 9113) as bytes, written and read without a library that would mend them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::server::{PATIENCE, Server};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that is neither indexed nor compressed.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        // A length of seven bits, and the rest in groups of seven (RFC 7541, 5.1).
        let mut bytes = Vec::new();
        match text.len().checked_sub(127) {
            None => bytes.push(u8::try_from(text.len()).unwrap()),
            Some(mut left) => {
                bytes.push(127);
                while left >= 128 {
                    bytes.push(u8::try_from(left % 128).unwrap() | 128);
                    left /= 128;
                }
                bytes.push(u8::try_from(left).unwrap());
            }
        }
        bytes.extend(text.bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

/// The headers of a request, with more behind them.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")];
    pseudo.iter().chain(more).flat_map(|(name, value)| header(name, value)).collect()
}

/// A whole request without a body.
pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/v1/streams", &[]))
}

/// A frame that the server has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error of a reset or of a farewell.
    pub fn error(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }

    /// The status of an answer, as far as the static table has it, and 0 otherwise.
    pub fn status(&self) -> Option<u16> {
        // A change of the table's size may stand in front.
        let first = self.payload.iter().find(|byte| **byte & 0xe0 != 0x20);
        let status = match first {
            Some(0x88) => 200,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            _ => 0,
        };
        (self.kind == HEADERS).then_some(status)
    }
}

/// What a client sends first: settings, and that it has those of the server.
pub fn beginning() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat()
}

/// A connection whose settings have been exchanged.
pub struct Connection<S = TcpStream>(S);

impl Connection {
    pub fn open(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&beginning()).unwrap();
        Self(socket)
    }
}

impl<S: Read + Write> Connection<S> {
    /// The same over a socket that [`beginning`] was sent over.
    pub fn over(socket: S) -> Self {
        Self(socket)
    }

    /// Sends bytes; a server that has hung up already is none the worse for it.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next frame; none once the server has closed.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.read(&mut payload)?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.0.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("the server says nothing more, and does not close")
            }
            Err(_) => None,
        }
    }

    /// The first frame that `wanted` is about; none if the server closes before it.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(wanted)
    }
}
