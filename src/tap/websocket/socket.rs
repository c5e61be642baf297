//! The bytes of messages that have begun and are not complete, paid for, and those on their way out, within bounds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::limits::{BODY_STEP_BYTES, WEBSOCKET_WRITE_BYTES};
use crate::edge::Edge;
use crate::edge::gate::throttle::fair::Competitor;
use crate::runtime::budget::Permit;

/// A connection whose reads are paid for from its stream's account, as bodies are, until the message is taken.
pub struct PaidSocket {
    io: TokioIo<Upgraded>,
    edge: Arc<Edge>,
    competitor: Competitor,
    permit: Permit,
    /// Bytes that came since the last message was taken.
    held: u64,
    /// Whether they could not be paid for.
    refused: bool,
}

impl PaidSocket {
    /// `permit` is of the stream's account, and empty.
    pub fn new(connection: Upgraded, edge: Arc<Edge>, competitor: Competitor, permit: Permit) -> Self {
        Self { io: TokioIo::new(connection), edge, competitor, permit, held: 0, refused: false }
    }

    /// A message was taken out of what has come in.
    pub fn taken(&mut self) {
        self.held = 0;
        self.permit.set(0);
    }

    /// Whether reading has failed for want of memory.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Pays for what has come in, in steps; less than a step is the connection's own.
    fn pay(&mut self, bytes: u64) -> io::Result<()> {
        self.held += bytes;
        let step = BODY_STEP_BYTES as u64;
        let wanted = self.held / step * step;
        let more = wanted.saturating_sub(self.permit.bytes());
        let Self { edge, competitor, permit, .. } = self;
        if more > 0 && edge.admit_more(permit, more, competitor).is_err() {
            self.refused = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }
}

impl AsyncRead for PaidSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let bytes = buf.filled().len() - before;
        Poll::Ready(self.pay(bytes as u64))
    }
}

impl AsyncWrite for PaidSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // Over HTTP/2 hyper takes all of it, whatever window the client gives.
        let some = buf.get(..WEBSOCKET_WRITE_BYTES).unwrap_or(buf);
        Pin::new(&mut self.io).poll_write(cx, some)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
