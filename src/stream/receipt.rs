//! What whoever appends gets: where the records went, and a wait until that is a fact.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use super::log::Appended;
use super::replies::Claim;
use crate::record::ShardId;
use crate::runtime::clock::UnixMicros;

/// Makes a reply from where the records of the request went.
pub type MakeReply = Box<dyn FnOnce(&[(ShardId, Appended)]) -> Bytes + Send>;

/// A reply that the log is to keep, for a client that may ask again.
pub struct NewReply {
    /// The client's key.
    pub claim: Claim,
    /// When the request was complete.
    pub arrival: UnixMicros,
    /// Makes the reply, once the records have their numbers.
    pub make: MakeReply,
    /// The most bytes that `make` makes.
    pub bytes_max: usize,
}

impl fmt::Debug for NewReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewReply").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// A request that is in the log, though perhaps not durably yet.
#[derive(Debug)]
pub struct Receipt {
    /// Where its records went, by shard.
    pub appended: Vec<(ShardId, Appended)>,
    /// The reply, if it was to be kept.
    pub reply: Option<Bytes>,
    /// Done once they have reached the stream's durability. Nothing may be told to the client before.
    pub commit: Commit,
}

/// Why a request was not appended. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The disk has no room for it.
    #[error("the disk of the log is full: nothing of this request was kept")]
    DiskFull,
    /// It needs more than a segment.
    #[error(
        "the request needs {bytes} bytes of the log, of which a segment has {limit}: send less at a time, or raise [log] segment"
    )]
    TooLarge {
        /// What it needs.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// Its shards are being changed.
    #[error("the shards of the stream are being changed: nothing of this request was kept")]
    Resharding,
    /// A shard takes nothing.
    #[error("{shard} does not exist or is closed: nothing of this request was kept")]
    NoShard {
        /// The shard.
        shard: ShardId,
    },
    /// The stream was deleted.
    #[error("stream '{stream}' was deleted: nothing of this request was kept")]
    Deleted {
        /// Its name.
        stream: String,
    },
    /// The log cannot be written at the moment.
    #[error("the log cannot be written ({0}): nothing of this request was kept")]
    Unavailable(String),
}

/// Why a request that was appended has not become durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Writing has failed. The log will not bring the records back, unless the disk fails altogether: then it is
    /// unknown whether they are there after a restart.
    #[error("the log could not be written: {0}")]
    Failed(String),
}

/// A wait for durability.
#[derive(Debug)]
#[must_use = "a request is no fact before it is committed"]
pub enum Commit {
    /// There is nothing to wait for.
    Done,
    /// The log tells.
    Told(oneshot::Receiver<Result<(), CommitError>>),
}

impl Future for Commit {
    type Output = Result<(), CommitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Commit::Done => Poll::Ready(Ok(())),
            Commit::Told(told) => {
                let told = ready!(Pin::new(told).poll(context));
                Poll::Ready(told.unwrap_or_else(|_| Err(CommitError::Failed("the log has ended".to_owned()))))
            }
        }
    }
}
