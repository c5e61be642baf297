//! Requests that leave HTTP: over HTTP/1.1 the whole connection does, over HTTP/2 one stream of it (RFC 8441).

use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use hyper::upgrade::OnUpgrade;
use tokio::task::JoinSet;

/// What takes a connection or a stream over.
pub type Takeover = Pin<Box<dyn Future<Output = ()> + Send>>;

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
pub struct Takeovers(Mutex<JoinSet<()>>);

impl Takeovers {
    /// Begins one.
    pub fn begin(&self, takeover: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are forgotten.
        while running.try_join_next().is_some() {}
        running.spawn(takeover);
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        let mut running = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        while running.join_next().await.is_some() {}
    }
}
