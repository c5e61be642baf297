//! How long whoever reads dead letters waits for a store.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::delivery::sink::{SinkError, SinkErrorClass};
use crate::runtime::clock;

/// How often a store is asked that does not answer well.
const TRIES_MAX: u32 = 4;
/// Pause after the first try; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks a store from a thread that may wait, for as long as somebody wants to know.
#[derive(Debug, Clone)]
pub struct Patience {
    runtime: Handle,
    ended: CancellationToken,
    deadline: Option<Instant>,
}

impl Patience {
    /// Waits as long as it takes. The thread that asks must be none of `runtime` that drives it.
    pub fn without_end(runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), ended: CancellationToken::new(), deadline: None }
    }

    /// Waits until `deadline`, and no longer than until `ended` is cancelled: nobody wants to know any more.
    pub fn until(runtime: &Handle, deadline: Instant, ended: CancellationToken) -> Self {
        Self { runtime: runtime.clone(), ended, deadline: Some(deadline) }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.ended.is_cancelled() || self.deadline.is_some_and(|deadline| clock::monotonic() >= deadline)
    }

    /// Asks, and again while the store is away. Blocks the thread.
    ///
    /// # Errors
    /// If the store refuses, does not answer several times in a row, or the time is over.
    pub fn ask<T>(&self, ask: impl AsyncFnMut() -> Result<T, SinkError>) -> Result<T, SinkError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.over() => {
                    Err(SinkError::new(SinkErrorClass::Transient, "it has not answered in time"))
                }
                answer = again_and_again(ask) => answer,
            }
        })
    }

    async fn over(&self) {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => {}
            () = self.ended.cancelled() => {}
        }
    }
}

async fn again_and_again<T>(mut ask: impl AsyncFnMut() -> Result<T, SinkError>) -> Result<T, SinkError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES_MAX {
        match ask().await {
            Err(error) if error.class == SinkErrorClass::Transient => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
    ask().await
}
