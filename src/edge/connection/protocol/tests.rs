//! First bytes, in whatever pieces they come.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::Waker;

use tokio::io::AsyncWriteExt;

use super::*;

/// Gives one piece at a read, then its end, and counts the reads.
struct Pieces {
    left: VecDeque<Vec<u8>>,
    reads: usize,
    /// In place of the end: nothing more comes for now.
    is_silent: bool,
}

impl Pieces {
    fn new(pieces: &[&[u8]]) -> Self {
        Self { left: pieces.iter().map(|piece| piece.to_vec()).collect(), reads: 0, is_silent: false }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        let is_silent = self.is_silent;
        match self.left.front_mut() {
            None if is_silent => Poll::Pending,
            None => Poll::Ready(Ok(())),
            Some(piece) => {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(piece);
                *piece = rest;
                if piece.is_empty() {
                    self.left.pop_front();
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// A socket as hyper has it.
struct Rewound(Beginning, Pieces);

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.0.poll_read(Pin::new(&mut this.1), cx, buf)
    }
}

/// What is found out about a client that sends these pieces and hangs up, and all that is handed on, read by so many bytes.
async fn served(pieces: &[&[u8]], by: usize) -> (Protocol, Vec<u8>) {
    let (mut socket, mut beginning) = (Pieces::new(pieces), Beginning::default());
    let protocol = Protocol::detected(&mut socket, &mut beginning).await.unwrap();
    let (mut rewound, mut all, mut part) = (Rewound(beginning, socket), Vec::new(), vec![0; by]);
    loop {
        match rewound.read(&mut part).await.unwrap() {
            0 => return (protocol, all),
            count => all.extend(&part[..count]),
        }
    }
}

/// In all at once, in single bytes, and cut at each place.
async fn check(bytes: &[u8], expected: Protocol) {
    let single: Vec<_> = bytes.chunks(1).collect();
    let cuts = (1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
    for pieces in cuts.chain([vec![bytes], single]) {
        for by in [1, 5, 23, 24, 25, 8_192] {
            let (protocol, all) = served(&pieces, by).await;
            assert_eq!(protocol, expected, "{pieces:?}");
            assert_eq!(all, bytes, "{pieces:?} by {by}");
        }
    }
}

#[tokio::test]
async fn the_preface_is_http_2_however_it_is_cut_and_nothing_of_it_is_lost() {
    check(PREFACE, Protocol::Http2).await;
    check(&[PREFACE, &b"\0\0\0\x04\0\0\0\0\0"[..]].concat(), Protocol::Http2).await;
}

#[tokio::test]
async fn what_differs_from_the_preface_in_any_byte_is_http_1() {
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE.to_vec();
        bytes[at] ^= 1;
        check(&bytes, Protocol::Http1).await;
        bytes.extend(b"and more");
        check(&bytes, Protocol::Http1).await;
    }
    check(b"POST /v1/streams/s/records HTTP/1.1\r\nhost: x\r\n\r\n", Protocol::Http1).await;
    check(b"GET / HTTP/1.0\r\n\r\n", Protocol::Http1).await;
    check(b"\r\n\r\n", Protocol::Http1).await;
}

#[tokio::test]
async fn what_ends_within_the_preface_is_http_1() {
    for at in 1..PREFACE.len() {
        check(&PREFACE[..at], Protocol::Http1).await;
    }
    assert_eq!(served(&[], 8).await, (Protocol::Http1, Vec::new()));
}

#[tokio::test]
async fn no_more_is_read_than_it_takes_to_tell() {
    let (mut socket, mut beginning) = (Pieces::new(&[b"PUT", b" /"]), Beginning::default());
    assert_eq!(Protocol::detected(&mut socket, &mut beginning).await.unwrap(), Protocol::Http1);
    assert_eq!(socket.reads, 1);
    let frames = [PREFACE, &b"frame"[..]].concat();
    let (mut socket, mut beginning) = (Pieces::new(&[&frames]), Beginning::default());
    assert_eq!(Protocol::detected(&mut socket, &mut beginning).await.unwrap(), Protocol::Http2);
    assert_eq!(socket.left, [b"frame".to_vec()]);
}

/// Whether nothing comes of it for now.
fn is_waiting<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn a_client_that_stops_within_the_preface_is_waited_for() {
    let (mut client, mut server) = tokio::io::duplex(64);
    let mut beginning = Beginning::default();
    client.write_all(&PREFACE[..3]).await.unwrap();
    {
        let mut detected = pin!(Protocol::detected(&mut server, &mut beginning));
        assert!(is_waiting(detected.as_mut()));
        client.write_all(&PREFACE[3..23]).await.unwrap();
        assert!(is_waiting(detected.as_mut()));
        client.write_all(&PREFACE[23..]).await.unwrap();
        assert_eq!(detected.await.unwrap(), Protocol::Http2);
    }
    assert_eq!(beginning.bytes, *PREFACE);
}

#[tokio::test]
async fn what_has_come_is_handed_on_in_one_read() {
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    for (cut, expected) in [(3, request.len()), (24, request.len()), (30, 30)] {
        let mut socket = Pieces::new(&[&request[..cut], &request[cut..]]);
        let mut beginning = Beginning::default();
        Protocol::detected(&mut socket, &mut beginning).await.unwrap();
        let mut buffer = [0; 8_192];
        let count = Rewound(beginning, socket).read(&mut buffer).await.unwrap();
        assert_eq!(buffer[..count], request[..expected], "{cut}");
    }
}

#[tokio::test]
async fn first_bytes_are_not_held_back_where_nothing_follows_them() {
    let (mut socket, mut beginning) = (Pieces::new(&[b"GE"]), Beginning::default());
    socket.is_silent = true;
    Protocol::detected(&mut socket, &mut beginning).await.unwrap();
    let (mut rewound, mut buffer) = (Rewound(beginning, socket), [0; 8]);
    assert_eq!(rewound.read(&mut buffer).await.unwrap(), 2);
    assert!(is_waiting(pin!(rewound.read(&mut buffer))));
}
