//! Which HTTP a connection speaks: as TLS has agreed on it, or as its first bytes tell.
//!
//! A client of HTTP/2 sends the [`PREFACE`] before anything else. What differs from it, mostly within three bytes, is
//! HTTP/1. This is found out before hyper has the connection, so that one that is silent holds the state of no protocol
//! but its own. The bytes that were read for it are kept in [`Beginning`] and handed on with what follows them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::either::Either;

use crate::edge::listen::socket::Socket;

/// What an HTTP/2 client sends before its first frame (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The names of TLS (RFC 7301, section 6; RFC 9113, section 3.1).
const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

/// A version of HTTP, by its form on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Lines of text: HTTP/1.0 and HTTP/1.1.
    Http1,
    /// Frames.
    Http2,
}

impl Protocol {
    /// What was agreed on, and otherwise what the first bytes are of, which are left in `beginning`.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn of(socket: &mut Socket, beginning: &mut Beginning) -> io::Result<Self> {
        match Self::agreed(socket) {
            Some(protocol) => Ok(protocol),
            None => Self::detected(socket, beginning).await,
        }
    }

    /// What TLS has agreed on. Nothing without TLS, or where the client has offered nothing.
    fn agreed(socket: &Socket) -> Option<Self> {
        let Either::Right(tls) = socket else { return None };
        match tls.get_ref().1.alpn_protocol() {
            Some(ALPN_HTTP1) => Some(Self::Http1),
            Some(ALPN_HTTP2) => Some(Self::Http2),
            _ => None,
        }
    }

    /// Reads no more than it takes to tell. What ends within the preface is left to HTTP/1, which knows of ends.
    async fn detected(socket: &mut (impl AsyncRead + Unpin), beginning: &mut Beginning) -> io::Result<Self> {
        while beginning.filled < PREFACE.len() {
            let known = beginning.filled;
            let place = beginning.bytes.get_mut(known..).unwrap_or_default();
            let count = socket.read(place).await?;
            beginning.filled += count;
            let is_preface = PREFACE.starts_with(beginning.bytes.get(..beginning.filled).unwrap_or_default());
            if count == 0 || !is_preface {
                return Ok(Self::Http1);
            }
        }
        Ok(Self::Http2)
    }
}

/// What was read of a connection to find its protocol out, and not handed on yet.
#[derive(Debug, Default)]
pub struct Beginning {
    bytes: [u8; PREFACE.len()],
    filled: usize,
    taken: usize,
}

impl Beginning {
    /// Reads what is kept and, in the same call, what the socket has: hyper makes its buffer larger where the rest of a
    /// request needs a second read.
    pub fn poll_read(
        &mut self,
        mut socket: Pin<&mut (impl AsyncRead + Unpin)>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let kept = self.bytes.get(self.taken..self.filled).unwrap_or_default();
        if kept.is_empty() {
            return socket.poll_read(cx, buf);
        }
        let now = kept.get(..buf.remaining()).unwrap_or(kept);
        buf.put_slice(now);
        self.taken += now.len();
        if buf.remaining() > 0 {
            // What is kept is there whatever comes of this. The end, or what is broken, is so at the next read as well.
            let _ = socket.as_mut().poll_read(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
