//! The body of an answer: in one piece, or piece by piece for as long as its producer goes on.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces that a streamed body holds: the connection takes one as soon as it has room, so more would only be memory.
const PIECES_MAX: usize = 1;

/// The body of every answer of the edge.
#[derive(Debug)]
pub enum Body {
    /// In one piece.
    Whole(Full<Bytes>),
    /// Piece by piece.
    Streamed(Streamed),
}

impl Body {
    /// In one piece.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Body::Whole(Full::new(bytes.into()))
    }

    /// What `produce` sends, piece by piece, until it returns.
    ///
    /// The producer is no task of its own: it runs when the connection asks the body for more, and it is dropped with
    /// the body when the client has gone away or the connection is closed. What must happen at that moment belongs in
    /// the `Drop` of something that it holds. While the client takes nothing, the producer stands still, its timers as
    /// well; a connection on which nothing moves for `[server] idle_timeout` is closed, and one of HTTP/2 as soon as
    /// nothing of one answer does. Therefore a producer sends something more often than that.
    pub fn streamed<F, P>(produce: F) -> Self
    where
        F: FnOnce(Pieces) -> P,
        P: Future<Output = ()> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        Body::Streamed(Streamed { producer: Some(Box::pin(produce(Pieces(sender)))), pieces })
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Full::default())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Whole(body) => Pin::new(body).poll_frame(cx),
            Body::Streamed(body) => {
                body.poll_piece(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(body) => body.is_end_stream(),
            Body::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(body) => body.size_hint(),
            Body::Streamed(_) => SizeHint::default(),
        }
    }
}

/// A body that is still being made.
pub struct Streamed {
    /// `None` once it has returned.
    producer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: mpsc::Receiver<Bytes>,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").finish_non_exhaustive()
    }
}

impl Streamed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(producer) = &mut self.producer
            && producer.as_mut().poll(cx).is_ready()
        {
            self.producer = None;
        }
        self.pieces.poll_recv(cx)
    }
}

/// Where a producer sends the pieces of its body.
#[derive(Debug)]
pub struct Pieces(mpsc::Sender<Bytes>);

impl Pieces {
    /// Sends a piece; returns once the connection has taken it and has room for more. Empty pieces are nothing.
    pub async fn send(&self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if !piece.is_empty() {
            // The receiver lives as long as the producer: both belong to the body.
            let _ = self.0.send(piece).await;
            // There is room again when the piece is taken, and the producer goes on when more is asked for.
            let _ = self.0.reserve().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_whole_body_tells_its_length_and_a_streamed_one_does_not() {
        let body = Body::whole("abc");
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        let body = Body::streamed(|pieces| async move {
            for piece in ["a", "", "b"] {
                pieces.send(piece).await;
                tokio::task::yield_now().await;
            }
            pieces.send("c").await;
        });
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    /// Counts what was sent, and adds a thousand when it goes.
    struct Sent(Arc<AtomicUsize>);

    impl Drop for Sent {
        fn drop(&mut self) {
            self.0.fetch_add(1_000, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_producer_makes_what_is_asked_for_and_goes_with_its_body() {
        let count = Arc::new(AtomicUsize::new(0));
        let sent = Sent(Arc::clone(&count));
        let mut body = Body::streamed(|pieces| async move {
            loop {
                sent.0.fetch_add(1, Ordering::Relaxed);
                pieces.send("x").await;
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 0);
        body.frame().await.unwrap().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        body.frame().await.unwrap().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(body);
        assert_eq!(count.load(Ordering::Relaxed), 1_002);
    }
}
