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
    /// Part of an answer waits until the client takes it.
    is_stuck: bool,
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
        Self { socket, beginning, wire, is_stuck: false, progress: Arc::clone(progress) }
    }

    /// Notes whether a write, or what TLS does behind it, waits for the client. An end that was put off for that is read
    /// when it goes on.
    fn goes_on(&mut self, is_ready: bool, cx: &Context<'_>) {
        let was_stuck = std::mem::replace(&mut self.is_stuck, !is_ready);
        if was_stuck && is_ready && self.progress.has_put_off_end() {
            cx.waker().wake_by_ref();
        }
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
                let is_end = match &poll {
                    Poll::Ready(Ok(())) => has_room && bytes.is_empty(),
                    // Over TLS, without the word that this is the end: what has come is whole.
                    Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
                    Poll::Pending => false,
                };
                if is_end && wire.is_between_messages() && this.progress.defers_end(this.is_stuck, cx) {
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
        self.goes_on(poll.is_ready(), cx);
        self.moved(poll.is_ready(), buf.get(..taken(&poll)).into_iter());
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.socket).poll_flush(cx);
        self.goes_on(poll.is_ready(), cx);
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
        self.goes_on(poll.is_ready(), cx);
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
