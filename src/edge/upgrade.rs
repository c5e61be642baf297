//! Requests that leave HTTP: over HTTP/1.1 the whole connection does, over HTTP/2 one stream of it (RFC 8441).

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::OnUpgrade;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What takes a connection or a stream over.
pub type Takeover = Pin<Box<dyn Future<Output = Left> + Send>>;

/// What a takeover leaves behind when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Its connection or stream ends by itself.
    Nothing,
    /// A stream of HTTP/2 with bytes that the client does not take: hyper keeps both until the connection ends, because
    /// what is dropped is not reset.
    Stuck,
}

/// Where the handler of a request leaves what goes on when its answer has been sent.
#[derive(Default)]
pub struct Upgrade(Mutex<Option<Takeover>>);

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// A request that asks to leave HTTP.
#[derive(Debug)]
pub struct Leaving<'a> {
    /// The connection or the stream, once the answer has been sent.
    pub on_upgrade: OnUpgrade,
    /// Where to leave what goes on with it.
    pub upgrade: &'a Upgrade,
}

impl Upgrade {
    /// Leaves it.
    pub fn leave(&self, takeover: Takeover) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
    }

    /// Takes it, if there is one.
    pub fn take(&self) -> Option<Takeover> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What has taken streams of a connection over, or all of it: in its place under the cap of connections, and ended with
/// it. There are no more than the connection may have streams: one, or [`HTTP2_STREAMS_MAX`](crate::config::limits::HTTP2_STREAMS_MAX).
#[derive(Debug, Default)]
pub struct Takeovers {
    running: Mutex<JoinSet<()>>,
    stuck: Arc<Notify>,
}

impl Takeovers {
    /// Begins one.
    pub fn begin(&self, takeover: impl Future<Output = Left> + Send + 'static) {
        let stuck = Arc::clone(&self.stuck);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are forgotten.
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            if takeover.await == Left::Stuck {
                stuck.notify_one();
            }
        });
    }

    /// Returns once one has left a stream that only the end of the connection ends.
    pub async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        let mut running = mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        while running.join_next().await.is_some() {}
    }
}
