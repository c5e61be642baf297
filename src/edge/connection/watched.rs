//! The socket of a connection as hyper has it, which reports what passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::progress::Progress;
use super::protocol::{Beginning, Protocol};
use crate::edge::answers::Step;
use crate::edge::listen::socket::Socket;
use crate::edge::strict::wire::Wire;

/// The socket, reporting what comes in and what goes out.
#[derive(Debug)]
pub struct Watched {
    socket: Socket,
    beginning: Beginning,
    /// What has come in over HTTP/1.
    wire: Option<Wire>,
    progress: Arc<Progress>,
}

impl Watched {
    /// Reports to `progress`. `beginning` was read from the socket already.
    pub fn new(
        (socket, beginning): (Socket, Beginning),
        protocol: Protocol,
        progress: &Arc<Progress>,
    ) -> Self {
        let wire = (protocol == Protocol::Http1).then(Wire::default);
        Self { socket, beginning, wire, progress: Arc::clone(progress) }
    }

    /// A client that takes its answer slowly, but takes it, is not silent. `taken` is what it was given in a write, as far
    /// as the socket takes it.
    fn moved<'a>(&self, is_ready: bool, taken: impl Iterator<Item = &'a [u8]>) {
        if is_ready {
            self.progress.wait_begins();
        }
        if let Some(mut answers) = self.progress.answers() {
            let now = self.progress.now();
            answers.moved(Step::Write, is_ready, now);
            taken.for_each(|bytes| answers.sent(bytes, now));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (before, has_room) = (buf.filled().len(), buf.remaining() > 0);
        let poll = this.beginning.poll_read(Pin::new(&mut this.socket), cx, buf);
        if poll.is_ready() {
            let bytes = buf.filled().get(before..).unwrap_or_default();
            if let Some(wire) = &mut this.wire {
                let is_end = matches!(poll, Poll::Ready(Ok(()))) && has_room && bytes.is_empty();
                if is_end && wire.is_between_messages() && this.progress.defers_end(cx) {
                    return Poll::Pending;
                }
                wire.follow(bytes);
                if let Some(flawed) = wire.flawed() {
                    this.progress.flawed(flawed);
                }
            }
            this.progress.received(bytes);
        }
        poll
    }
}

/// How many bytes a write has taken.
fn taken(poll: &Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(Ok(count)) => *count,
        _ => 0,
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.moved(poll.is_ready(), buf.get(..taken(&poll)).into_iter());
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.socket).poll_flush(cx);
        if let Some(mut answers) = self.progress.answers() {
            answers.moved(Step::Flush, poll.is_ready(), self.progress.now());
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        let mut left = taken(&poll);
        let parts = bufs.iter().map(|buf| {
            let (now, _) = buf.split_at(left.min(buf.len()));
            left -= now.len();
            now
        });
        self.moved(poll.is_ready(), parts);
        poll
    }
}
